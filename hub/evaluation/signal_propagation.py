"""Signal propagation: what reaches the end of a deep network, layer by layer.

Paper: Oyedotun et al., "Revisiting the Training of Very Deep Neural Networks without Skip Connections", ICPR 2020
Slug: plain_nets
Idea: a deep network that cannot be trained shows it before the first step: activations fade or grow, units die, become
  copies of each other, and all inputs look alike (its layers are singular).
Differs: reconstructed from the abstract; the figures are common ones for what it names. The effective rank is that of
  Roy and Vetterli (EUSIPCO 2007), of the activations' covariance.
Checked: each figure against NumPy on a case with a known answer, the Jacobian against differences of the outputs
  (tests/test_plain_nets.py).
"""

from typing import TYPE_CHECKING, NamedTuple

from hub.registry import register

if TYPE_CHECKING:
    import keras
    import numpy as np


class Signal(NamedTuple):
    """One layer's outputs over all examples; a unit is a channel, its values those of all examples and positions.

    `mean`, `std`: over all values. `dead`: share of units, 0..1, that always give the same. `rank`: `effective_rank` of
    the units' covariance. `cosine`: mean over pairs of examples of the cosine between their outputs, 1 when they have
    become one; 0 counts for a pair with an output of zero. `redundant`: share of units, 0..1, that correlate with
    another by more than 0.95 or less than -0.95.
    """

    mean: float
    std: float
    dead: float
    rank: float
    cosine: float
    redundant: float


@register("signal_report")
def signal_report(model: "keras.Model", inputs: "np.ndarray") -> dict[str, Signal]:
    """Layer name -> `Signal` of each layer of a functional `model` that has an activation, in inference.

    Args:
        inputs: [N, ...], N at least 2. All outputs are held at once: some dozens of examples are enough.

    Raises:
        ValueError: fewer than two examples, or no layer has an activation other than the linear one.
    """
    import keras

    if len(inputs) < 2:
        raise ValueError(f"Examples are compared with each other: give at least 2. Received: {len(inputs)}.")
    shapes = keras.layers.ReLU, keras.layers.LeakyReLU, keras.layers.PReLU, keras.layers.ELU
    linear = (None, keras.activations.linear)
    active = [x for x in model.layers if isinstance(x, shapes) or getattr(x, "activation", None) not in linear]
    if not active:
        raise ValueError(f"`signal_report` needs layers with an activation. Received: {model.name} without any.")
    probe = keras.Model(model.inputs, [layer.output for layer in active])
    outputs = keras.tree.flatten(probe(keras.ops.convert_to_tensor(inputs), training=False))
    return {layer.name: _signal(_numpy(values)) for layer, values in zip(active, outputs, strict=True)}


@register("effective_rank")
def effective_rank(covariance: "np.ndarray") -> float:
    """exp(H) of the eigenvalues' shares, H their entropy: from 1, one direction only, to K, all directions alike.

    Args:
        covariance: [K, K], symmetric, no negative eigenvalue; 0 where the matrix is zero.

    Raises:
        ValueError: the matrix is not square.
    """
    import numpy as np

    if np.ndim(covariance) != 2 or len(covariance) != np.shape(covariance)[1]:
        raise ValueError(f"A covariance is square. Received: shape {np.shape(covariance)}.")
    values = np.maximum(np.linalg.eigvalsh(np.asarray(covariance, "float64")), 0)
    shares = values[values > 0] / values.sum()
    return float(np.exp(-(shares * np.log(shares)).sum())) if len(shares) else 0.0


@register("jacobian_spectrum")
def jacobian_spectrum(model: "keras.Model", inputs: "np.ndarray") -> "np.ndarray":
    """Singular values of each example's end-to-end Jacobian, [N, min(K, D)], the largest first.

    Exact, one backward pass per output: K passes in all. The gradient is TensorFlow's.

    Args:
        model: [N, ...] of D numbers -> one output [N, ...] of K numbers; it runs in inference.
        inputs: [N, ...].

    Raises:
        ValueError: the outputs do not depend on the inputs in a differentiable way.
        NotImplementedError: another backend than TensorFlow is running.
    """
    import keras
    import numpy as np

    if keras.backend.backend() != "tensorflow":
        raise NotImplementedError(
            f"The Jacobian is TensorFlow's: set KERAS_BACKEND=tensorflow. Received: {keras.backend.backend()!r}."
        )
    import tensorflow as tf

    inputs = tf.cast(tf.convert_to_tensor(inputs), "float32")
    with tf.GradientTape(persistent=True, watch_accessed_variables=False) as tape:
        tape.watch(inputs)
        outputs = tf.reshape(model(inputs, training=False), (len(inputs), -1))
        columns = tf.unstack(outputs, axis=1)
    rows = [tape.gradient(column, inputs) for column in columns]  # no example sees its neighbour
    if any(row is None for row in rows):
        raise ValueError(f"No gradient goes from the outputs of {model.name} to its inputs.")
    jacobians = np.stack([row.numpy().reshape(len(inputs), -1) for row in rows], axis=1)
    return np.linalg.svd(jacobians, compute_uv=False)


def kernel_spectrum(model: "keras.Model") -> dict[str, tuple[float, float]]:
    """Layer name -> (largest, smallest) singular value of its kernel as a matrix [fan-in, units]."""
    import numpy as np

    found = {}
    for layer in model.layers:
        for weight in layer.weights:
            if weight.name == "kernel" and len(weight.shape) > 1:
                values = np.linalg.svd(_numpy(weight).reshape(-1, weight.shape[-1]), compute_uv=False)
                found[layer.name] = float(values[0]), float(values[-1])
    return found


def _signal(outputs: "np.ndarray") -> Signal:
    import numpy as np

    outputs = outputs.astype("float64")
    units = outputs.reshape(-1, outputs.shape[-1])
    spread = np.ptp(units, axis=0)
    centred = units - units.mean(0)
    covariance = centred.T @ centred / len(units)
    live = spread > 0
    scale = np.sqrt(np.diag(covariance)[live])
    correlation = covariance[np.ix_(live, live)] / np.outer(scale, scale)
    copies = (np.abs(correlation - np.diag(np.diag(correlation))) > 0.95).any(1)
    flat = outputs.reshape(len(outputs), -1)
    norms = np.linalg.norm(flat, axis=1, keepdims=True)
    flat = np.divide(flat, norms, out=np.zeros_like(flat), where=norms > 0)
    cosines = (flat @ flat.T)[~np.eye(len(flat), dtype=bool)]
    return Signal(
        mean=float(units.mean()), std=float(units.std()), dead=float(1 - live.mean()), rank=effective_rank(covariance),
        cosine=float(cosines.mean()), redundant=float(copies.sum() / len(live)),
    )  # fmt: skip


def _numpy(values):
    import keras

    return keras.ops.convert_to_numpy(values)


def contract_example(make):
    import keras
    import numpy as np

    if make.func is effective_rank:
        assert abs(make(np.eye(5)) - 5) < 1e-9
        assert abs(make(np.ones((4, 4))) - 1) < 1e-9
        return
    inputs = keras.Input((3,))
    model = keras.Model(inputs, keras.layers.Dense(3, "relu", use_bias=False, name="hidden")(inputs))
    if make.func is signal_report:
        model.set_weights([np.diag([1.0, 1.0, -1.0])])
        found = make(model, np.array([[1, 1, 1], [2, 2, 2], [3, 3, 3]], "float32"))["hidden"]
        np.testing.assert_allclose(found, (4 / 3, np.sqrt(28 / 9 - 16 / 9), 1 / 3, 1, 1, 2 / 3), atol=1e-6)
    elif keras.backend.backend() == "tensorflow":
        model.set_weights([np.diag([1.0, 3.0, 2.0])])
        np.testing.assert_allclose(make(model, np.ones((2, 3), "float32")), [[3, 2, 1]] * 2, atol=1e-6)

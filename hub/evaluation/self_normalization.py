"""Self-normalisation: does a network keep the mean and variance of what flows through it?

Paper: Klambauer et al., "Self-Normalizing Neural Networks", NeurIPS 2017, arXiv:1706.02515
Slug: snn_selu
Idea: with SELU and weights of variance 1 / fan-in, mean 0 and variance 1 are an attracting fixed point of the map from
  one layer's moments to the next one's, so deep dense networks train without normalisation.
Differs: activation, weights and alpha dropout are Keras's own ("selu", "lecun_normal", `AlphaDropout`); here is the
  paper's map of moments and the measurement of a network's, not its networks and their data.
Checked: the map equals quadrature, its fixed point and derivative are the paper's; SELU keeps variance through 50
  random layers where ReLU loses it; alpha dropout keeps both (tests/test_self_normalization.py).
"""

import math
from typing import TYPE_CHECKING

from hub.registry import register

if TYPE_CHECKING:
    import keras
    import numpy as np

SCALE = 1.0507009873554805  # lambda
ALPHA = 1.6732632423543772


@register("activation_flow")
def activation_flow(model: "keras.Model", inputs: "np.ndarray") -> dict[str, tuple[float, float]]:
    """Layer name -> (mean, variance) of its outputs over all units and examples of `inputs`, in inference.

    Only layers with an activation other than the linear one, in the order of `model.layers`, `model` functional.

    Raises:
        ValueError: no layer has an activation.
    """
    import keras
    import numpy as np

    linear = (None, keras.activations.linear)
    active = [layer for layer in model.layers if getattr(layer, "activation", None) not in linear]
    if not active:
        raise ValueError(f"`activation_flow` needs layers with an activation. Received: {model.name} without any.")
    probe = keras.Model(model.inputs, [layer.output for layer in active])
    outputs = keras.tree.flatten(probe.predict(inputs, verbose=0))
    moments = [(float(np.mean(y, dtype="float64")), float(np.var(y, dtype="float64"))) for y in outputs]
    return dict(zip((layer.name for layer in active), moments, strict=True))


def selu_moment_map(mean: float, variance: float, omega: float = 0.0, tau: float = 1.0) -> tuple[float, float]:
    """Mean and variance of selu(z), z normal: one layer's step in the moments' plane (eq. 4 and 5).

    Args:
        mean, variance: of the layer's inputs, which are independent; their second moment is not zero.
        omega: sum of the weights of a unit.
        tau: sum of their squares.
    """
    centre = mean * omega
    spread = variance * tau  # the weights are fixed, so only the inputs' variance enters
    if spread <= 0:
        raise ValueError(f"The pre-activations need a positive variance. Received: variance * tau = {spread}.")
    root = math.sqrt(spread)

    def tail(x):  # P(Z > x)
        return 0.5 * math.erfc(x / math.sqrt(2))

    def below(power):  # E[exp(power z); z < 0]
        return math.exp(power * centre + power**2 * spread / 2) * tail((centre + power * spread) / root)

    density = math.exp(-(centre**2) / (2 * spread)) / math.sqrt(2 * math.pi)
    above = tail(-centre / root)
    first = centre * above + root * density + ALPHA * (below(1) - below(0))
    second = (centre**2 + spread) * above + centre * root * density
    second += ALPHA**2 * (below(2) - 2 * below(1) + below(0))
    return SCALE * first, SCALE**2 * (second - first**2)


def contract_example(make):
    import keras
    import numpy as np

    inputs = keras.Input((64,))
    outputs = keras.layers.Dense(64, activation="selu", kernel_initializer="lecun_normal", name="hidden")(inputs)
    ones = np.zeros((5, 64), "float32")
    flow = make(keras.Model(inputs, keras.layers.Dense(3)(outputs)), ones)
    assert flow == {"hidden": (0.0, 0.0)}
    mean, variance = selu_moment_map(0.0, 1.0)
    assert abs(mean) < 1e-12 and abs(variance - 1) < 1e-12

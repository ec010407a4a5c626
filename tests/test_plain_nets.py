"""Deep networks without shortcuts at their start, and each figure of the signal's report on a case with an answer."""

import functools

import keras
import numpy as np
import pytest
from keras import layers

from hub import registry
from hub.evaluation.signal_propagation import (
    effective_rank,
    jacobian_spectrum,
    kernel_spectrum,
    signal_report,
)
from hub.models.plainnet import RECIPES, plainnet

RNG = np.random.default_rng(0)
tensorflow_only = pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="the gradient is TensorFlow's")


@functools.cache
def at_the_start(recipe):
    keras.utils.set_random_seed(0)
    images = np.random.default_rng(0).normal(size=(6, 32, 32, 3)).astype("float32")
    return list(signal_report(plainnet(50, recipe), images).values())


def test_fifty_layers_keep_the_signal_where_the_plain_start_loses_it():
    """Zero padding takes its share, so that 1 is not kept: with it, the second moment is expected to fall to 0.135."""
    revisited, plain = at_the_start("revisited"), at_the_start("relu")
    assert len(revisited) == len(plain) == 49
    assert 1e-3 < revisited[-1].std ** 2 < 10
    assert plain[-1].std ** 2 < 1e-15
    share = np.ones((32, 32))
    for layer in range(49):
        strides = 2 if layer in (17, 33) else 1
        total = 2 if strides == 1 else 1
        padded = np.pad(share, (total // 2, total - total // 2))
        share = np.lib.stride_tricks.sliding_window_view(padded, (3, 3))[::strides, ::strides].mean((2, 3))
    assert share.shape == (8, 8) and abs(share.mean() - 0.135) < 1e-3


def test_the_slope_keeps_units_and_inputs_apart():
    revisited = at_the_start("revisited")[24]
    rectified = at_the_start(RECIPES["revisited"]._replace(negative_slope=0.0))[24]
    assert revisited.rank > 1.2 * rectified.rank
    assert 1 - revisited.cosine > 2 * (1 - rectified.cosine)


@pytest.mark.slow
def test_twenty_layers_learn_with_the_recipe_only():
    """Handwritten digits, 420 steps: above 80 %, where the plain start, or the slope with Glorot's weights, guesses."""
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    x = ((x - x.mean()) / x.std()).astype("float32").reshape(-1, 8, 8, 1)
    found = {}
    recipes = {**RECIPES, "slope only": RECIPES["revisited"]._replace(initializer="glorot")}
    for name, recipe in recipes.items():
        keras.utils.set_random_seed(1)
        model = plainnet(20, recipe, 8, input_shape=(8, 8, 1))
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.SGD(0.02, momentum=0.9, clipnorm=1.0), loss)
        model.fit(x[:1400], y[:1400], batch_size=50, epochs=15, verbose=0)
        found[name] = np.mean(keras.ops.convert_to_numpy(model(x[1400:])).argmax(1) == y[1400:])
    assert found["revisited"] > 0.8 and max(found["relu"], found["slope only"]) < 0.25, found


def test_layout():
    """Depth counts layers with weights; stages halve the map; BatchNorm takes the biases' place."""
    for depth in (4, 8, 20, 34, 50):
        model = plainnet(depth, width=2, input_shape=(8, 8, 1))
        assert sum(isinstance(x, layers.Conv2D | layers.Dense) for x in model.layers) == depth
    assert [model.get_layer(f"stage{s}").output.shape[1:] for s in (1, 2, 3)] == [(8, 8, 2), (4, 4, 4), (2, 2, 8)]
    normed = plainnet(8, batch_norm=True)
    assert sum(isinstance(x, layers.BatchNormalization) for x in normed.layers) == 7
    assert not any(
        w.name == "bias" for layer in normed.layers if isinstance(layer, layers.Conv2D) for w in layer.weights
    )


@pytest.mark.parametrize("initializer", ["he", "orthogonal"])
def test_initial_variance_is_the_one_that_fits_the_slope(initializer):
    keras.utils.set_random_seed(0)
    kernel = RECIPES["revisited"]._replace(initializer=initializer).kernel()["kernel_initializer"]((3, 3, 64, 64))
    kernel = keras.ops.convert_to_numpy(kernel)
    np.testing.assert_allclose(kernel.var(), 2 / (1 + 0.3**2) / (9 * 64), rtol=0.03)
    if initializer == "orthogonal":
        matrix = kernel.reshape(-1, 64)
        np.testing.assert_allclose(matrix.T @ matrix, np.eye(64) * 2 / 1.09, atol=1e-5)


def test_norms_stay_within_their_bound():
    model = plainnet(8, RECIPES["revisited"]._replace(max_norm=0.5), 4, input_shape=(8, 8, 1), num_classes=2)
    keras.optimizers.SGD(1.0).apply([w + 1 for w in model.trainable_variables], model.trainable_variables)
    for layer in model.layers:
        if isinstance(layer, layers.Conv2D):
            norms = np.sqrt((keras.ops.convert_to_numpy(layer.kernel) ** 2).sum((0, 1, 2)))
            assert norms.max() <= 0.5 + 1e-5


def test_plainnet_refuses():
    for options, said in (({"depth": 3}, "Received: depth=3"), ({"depth": 8, "recipe": "he"}, "Received: recipe='he'")):
        with pytest.raises(ValueError, match=said):
            plainnet(**options)


# The figures


def test_effective_rank():
    values = np.array([0.5, 0.25, 0.25])
    basis = np.linalg.qr(RNG.normal(size=(3, 3)))[0]
    assert effective_rank(7 * basis @ np.diag(values) @ basis.T) == pytest.approx(2**1.5)
    assert effective_rank(np.zeros((3, 3))) == 0
    with pytest.raises(ValueError, match="square"):
        effective_rank(np.ones((2, 3)))


def test_the_report_equals_slow_derivations():
    keras.utils.set_random_seed(0)
    inputs = keras.Input((5, 4, 2))
    x = layers.LeakyReLU(0.2, name="leaky")(layers.Conv2D(6, 3, name="conv")(inputs))
    model = keras.Model(inputs, layers.Dense(4, activation="relu", name="dense")(x))
    kernel = np.array(keras.ops.convert_to_numpy(model.get_layer("conv").kernel))
    kernel[..., 1] = -kernel[..., 0]  # rectified by different slopes: close to a mirror image
    kernel[..., 2] = 0
    model.get_layer("conv").kernel.assign(kernel)
    images = RNG.normal(size=(7, 5, 4, 2)).astype("float32")
    report = signal_report(model, images)
    assert list(report) == ["leaky", "dense"]
    values = keras.ops.convert_to_numpy(keras.Model(inputs, x)(images)).astype("float64")
    units = values.reshape(-1, 6)
    found = report["leaky"]
    assert found.mean == pytest.approx(units.mean(), abs=1e-6) and found.std == pytest.approx(units.std(), rel=1e-5)
    assert found.dead == pytest.approx(1 / 6)
    shares = np.linalg.eigvalsh(np.cov(units.T))
    shares = shares[shares > 1e-12] / shares.sum()
    assert found.rank == pytest.approx(np.exp(-(shares * np.log(shares)).sum()), rel=1e-4)
    pairs = [(a.ravel() @ b.ravel()) / np.linalg.norm(a) / np.linalg.norm(b)
             for i, a in enumerate(values) for j, b in enumerate(values) if i != j]  # fmt: skip
    assert found.cosine == pytest.approx(np.mean(pairs), abs=1e-5)
    close = 0
    for i in range(6):
        close += any(abs(np.corrcoef(units[:, i], units[:, j])[0, 1]) > 0.95 for j in range(6)
                     if i != j and units[:, i].std() and units[:, j].std())  # fmt: skip
    assert found.redundant == pytest.approx(close / 6)


def test_a_silent_layer_has_a_report():
    inputs = keras.Input((3,))
    model = keras.Model(inputs, layers.Dense(4, activation="relu", kernel_initializer="zeros", name="silent")(inputs))
    assert signal_report(model, np.ones((2, 3)))["silent"] == (0, 0, 1, 0, 0, 0)
    with pytest.raises(ValueError, match="at least 2"):
        signal_report(model, np.ones((1, 3)))
    with pytest.raises(ValueError, match="without any"):
        signal_report(keras.Model(inputs, layers.Dense(2)(inputs)), np.ones((2, 3)))


def test_kernel_spectrum():
    model = registry.build("plainnet_tiny", input_shape=(8, 8, 1))
    found = kernel_spectrum(model)
    assert len(found) == 8
    kernel = keras.ops.convert_to_numpy(model.get_layer("stage2_1_conv").kernel).reshape(-1, 16)
    np.testing.assert_allclose(
        found["stage2_1_conv"], np.sqrt(np.linalg.eigvalsh(kernel.T @ kernel)[[-1, 0]]), rtol=1e-4
    )


@tensorflow_only
def test_the_jacobian_equals_differences():
    keras.utils.set_random_seed(0)
    inputs = keras.Input((2, 3, 1))
    x = layers.Dense(9, activation="tanh")(layers.Flatten()(inputs))
    model = keras.Model(inputs, layers.Dense(4)(x))
    images = RNG.normal(size=(3, 2, 3, 1)).astype("float32")
    found = jacobian_spectrum(model, images)
    assert found.shape == (3, 4)
    for n, image in enumerate(images):
        steps = 1e-2 * np.eye(6).reshape(6, 2, 3, 1)
        plus, minus = (keras.ops.convert_to_numpy(model((image + s * steps).astype("float32"))) for s in (1, -1))
        slow = np.linalg.svd((plus - minus) / 2e-2, compute_uv=False)
        np.testing.assert_allclose(found[n], slow, rtol=1e-2, atol=1e-3)
    cut = keras.Model(inputs, layers.Flatten()(keras.ops.cast(keras.ops.cast(inputs, "int32"), "float32")))
    with pytest.raises(ValueError, match="No gradient"):
        jacobian_spectrum(cut, images)

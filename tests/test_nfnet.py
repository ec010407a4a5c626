"""Scaled weight standardisation and NFNet: the variance that they promise, blocks that start as nothing."""

import math

import keras
import numpy as np
import pytest
from keras import layers

from hub import registry
from hub.layers.scaled_ws_conv import GAMMA, ScaledWSConv2D, with_channels

numpy = keras.ops.convert_to_numpy
SMALL = {"input_shape": (32, 32, 3), "num_classes": 0}


def randomised(layer, seed=0):
    rng = np.random.default_rng(seed)
    layer.set_weights([rng.normal(0.3, 1, w.shape) for w in layer.weights])
    return layer


@pytest.mark.parametrize("options", [{}, {"groups": 2}, {"scale": 1.7, "use_bias": False}, {"epsilon": 0.5}], ids=str)
def test_filters_one_by_one(options):
    layer = ScaledWSConv2D(6, (3, 2), **options)
    layer.build((None, 9, 8, 4))
    randomised(layer)
    raw = layer.get_weights()[0].astype("float64")
    gain = numpy(layer.gain)
    scale, epsilon = options.get("scale", 1), options.get("epsilon", 1e-5)
    found = numpy(layer.kernel)
    assert found.shape == (3, 2, 4 // options.get("groups", 1), 6)
    for i in range(6):
        w = raw[..., i].ravel()
        expected = scale * gain[i] * (w - w.mean()) / math.sqrt(w.size * (w.var() + epsilon))
        np.testing.assert_allclose(found[..., i].ravel(), expected, rtol=1e-5, atol=1e-6)


def test_the_applied_filters_in_a_plain_convolution():
    layer = ScaledWSConv2D(6, 3, 2, "same", scale=GAMMA["relu"], groups=2)
    images = np.random.default_rng(0).normal(size=(2, 9, 8, 4)).astype("float32")
    layer.build(images.shape)
    outputs = randomised(layer)(images)
    plain = layers.Conv2D(6, 3, 2, "same", groups=2)
    plain.build(images.shape)
    plain.set_weights([numpy(layer.kernel), numpy(layer.bias)])
    np.testing.assert_allclose(numpy(outputs), numpy(plain(images)), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("activation", GAMMA)
def test_the_constants_are_the_activations(activation):
    """gamma**2 Var(activation(z)) = 1, by quadrature over z."""
    z, step = np.linspace(-10, 10, 20_001, retstep=True)
    density = np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi) * step
    y = numpy(keras.activations.get(activation)(z.astype("float32"))).astype("float64")
    variance = density @ y**2 - (density @ y) ** 2
    assert abs(GAMMA[activation] ** 2 * variance - 1) < 1e-2  # the authors sampled


@pytest.mark.parametrize("activation", GAMMA)
def test_variance_behind_each_activation(activation):
    keras.utils.set_random_seed(0)
    x = keras.activations.get(activation)(np.random.default_rng(0).normal(size=(8, 4, 4, 512)).astype("float32"))
    variance = np.var(numpy(ScaledWSConv2D(512, 1, scale=GAMMA[activation])(x)))
    assert abs(variance - 1) < 0.05


def test_variance_stays_through_twenty_layers():
    keras.utils.set_random_seed(0)
    x = np.random.default_rng(0).normal(size=(8, 4, 4, 256)).astype("float32")
    for _ in range(20):
        x = ScaledWSConv2D(256, 1, scale=GAMMA["relu"])(keras.ops.relu(x))
    assert 0.8 < np.var(numpy(x)) < 1.25


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5])
def test_other_channels_that_are_alike(channels):
    """The applied filters of C channels have the sum of three colours' at every pixel."""
    rng = np.random.default_rng(0)
    kernel, gain = rng.normal(0.3, 1, (6, 3, 2, 5)).astype("float32"), rng.uniform(0.5, 1.5, 6).astype("float32")

    def applied(kernel, gain):
        layer = ScaledWSConv2D(6, (2, 5))
        layer.build((None, 9, 9, kernel.shape[1]))
        layer.set_weights([kernel.transpose(2, 3, 1, 0), np.zeros(6), gain])
        return numpy(layer.kernel).sum(2)

    other = with_channels(kernel, gain, channels)
    assert other[0].shape == (6, channels, 2, 5)
    np.testing.assert_allclose(applied(*other), applied(kernel, gain), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("original", [True, False])
def test_every_block_has_the_variance_that_its_divisor_assumes(original):
    """1 + alpha**2 behind a stage's first block, alpha**2 more behind each further one.

    Each stage is fed what it expects, the same at every pixel: pooling would take three quarters of noise. What blocks
    add is somewhat less than 0.04, since 3x3 convolutions see zeros behind the border.
    """
    keras.utils.set_random_seed(0)
    wide = {
        "input_shape": (None, None, 3),
        "depths": (1, 2, 3, 1),
        "widths": (128,) * 4,
        "group_width": 64,
        "skip_gain": 1.0,
        "original": original,
    }
    model = registry.build("nfnet_tiny", **{**SMALL, **wide})
    rng = np.random.default_rng(0)
    for start, variance, ends in (
        ("stem_conv4", 1.0, {"stage1": 1.04}),
        ("stage1", 1.04, {"stage2_block0_add": 1.04, "stage2": 1.08}),
        ("stage2", 1.08, {"stage3_block0_add": 1.04, "stage3_block1_add": 1.08, "stage3": 1.12}),
        ("stage3", 1.12, {"stage4_block0_add": 1.04}),
    ):
        begin = model.get_layer(start).output
        stage = keras.Model(begin, [model.get_layer(end).output for end in ends])
        x = rng.normal(0, variance**0.5, (64, 1, 1, begin.shape[-1])).repeat(8, 1).repeat(8, 2).astype("float32")
        found = [np.var(numpy(y)) for y in keras.tree.flatten(stage(x))]
        np.testing.assert_allclose(found, list(ends.values()), rtol=0.1)
        assert (np.diff(found) > 0.01).all() and (np.diff(found) < 0.06).all()


@pytest.mark.parametrize("original", [True, False])
def test_blocks_start_as_nothing(original):
    model = registry.build("nfnet_tiny", **SMALL, skip_gain=0.0, original=original)
    images = np.random.default_rng(0).normal(size=(2, 32, 32, 3)).astype("float32")
    ends = [model.get_layer(name).output for name in ("stage3_block0_add", "stage3")]
    first, last = map(numpy, keras.Model(model.input, ends)(images))
    np.testing.assert_array_equal(first, last)
    assert np.std(first) > 0.05


def test_drop_path_and_dropout():
    options = {**SMALL, "num_classes": 3}
    plain = registry.build("nfnet_tiny", **options)
    model = registry.build("nfnet_tiny", **options, drop_path=0.8, dropout=0.5)
    rates = [layer.rate for layer in model.layers if layer.name.endswith("_drop")]
    np.testing.assert_allclose(rates, (0.2, 0.4, 0.6, 0.8))
    assert model.get_layer("dropout").rate == 0.5
    model.set_weights(plain.get_weights())
    images = np.random.default_rng(0).normal(size=(2, 32, 32, 3)).astype("float32")
    expected = numpy(plain(images, training=False))
    np.testing.assert_allclose(numpy(model(images, training=False)), expected, rtol=1e-4, atol=1e-6)


def test_an_activation_without_constant():
    with pytest.raises(ValueError, match="gelu, relu, silu"):
        registry.build("nfnet_tiny", activation="tanh")

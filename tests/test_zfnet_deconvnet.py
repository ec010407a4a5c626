"""ZFNet's sizes, switches against loops, the deconvnet against explicit unpooling, occlusion against a loop."""

import itertools

import keras
import numpy as np
import pytest
from keras import layers, ops

from hub import registry
from hub.evaluation.part_correspondence import part_correspondence
from hub.explain.deconvnet import Deconvnet
from hub.explain.occlusion import OcclusionSensitivity
from hub.layers.local_response_normalization import LocalResponseNormalization
from hub.layers.unpool import MaxPoolWithSwitches, Unpool2D

RNG = np.random.default_rng(0)
tensorflow_only = pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="the gradient is TensorFlow's")


def numpy(x):
    return keras.ops.convert_to_numpy(x)


def test_figure_3():
    """The paper's sizes and filters; the arithmetic of 62,357,608 is the contract's."""
    model = registry.build("zfnet", num_classes=0)
    shapes = [model.get_layer(f"stage{s}").output.shape[1:] for s in range(1, 6)]
    assert shapes == [(110, 110, 96), (55, 55, 96), (26, 26, 256), (13, 13, 256), (6, 6, 256)]
    assert [w.shape[-1] for w in model.weights if w.name == "kernel"] == [96, 256, 384, 384, 256]


def test_zfnet_s_pools_take_the_last_window_at_the_end():
    """110 -> 55 needs a window that hangs over the border; by definition, one position at a time."""
    model = registry.build("zfnet_tiny", input_shape=(63, 70, 3))
    images = RNG.normal(size=(1, 63, 70, 3)).astype("float32")
    taps = [model.get_layer(at).output for at in ("stage1", "stage2_pool", "stage3", "stage4_pool", "stage4", "stage5")]
    outputs = list(map(numpy, keras.Model(model.input, taps)(images)))
    for before, after, ceil in zip(outputs[::2], outputs[1::2], (True, True, False), strict=True):
        rows, columns = (range(0, n - 1 if ceil else n - 2, 2) for n in before.shape[1:3])
        slow = np.stack([np.stack([before[:, i : i + 3, j : j + 3].max((1, 2)) for j in columns], 1) for i in rows], 1)
        np.testing.assert_array_equal(after, slow)


def test_filters_are_held_to_a_root_mean_square_of_a_tenth():
    model = registry.build("zfnet_tiny", input_shape=(63, 63, 3), num_classes=3)
    small = {}
    for layer in model.layers:
        if isinstance(layer, layers.Conv2D):
            layer.kernel.assign(layer.kernel * np.array([1e-3, *[9.0] * (layer.filters - 1)]))
            small[layer.name] = numpy(layer.kernel)[..., 0]
    keras.optimizers.SGD(0.0).apply([0 * w for w in model.trainable_variables], model.trainable_variables)
    for name, first in small.items():
        kernel = numpy(model.get_layer(name).kernel)
        np.testing.assert_allclose(np.sqrt((kernel[..., 1:] ** 2).mean((0, 1, 2))), 0.1, rtol=1e-5)
        np.testing.assert_allclose(kernel[..., 0], first, rtol=1e-3)


def test_zfnet_refuses():
    for shape, said in (((62, 224, 3), "63 pixels"), ((None, 224, 3), "fixed size")):
        with pytest.raises(ValueError, match=said):
            registry.build("zfnet_tiny", input_shape=shape)
    model = registry.build("zfnet_tiny", input_shape=(None, None, 3), num_classes=0)
    assert numpy(model(np.zeros((1, 63, 63, 3)))).shape == (1, 1, 1, 21)


def test_local_response_normalization_equals_a_loop():
    x = RNG.normal(0, 30, size=(2, 3, 2, 9)).astype("float32")
    expected = np.empty_like(x)
    for c in range(9):
        near = x[..., max(0, c - 2) : min(8, c + 2) + 1]
        expected[..., c] = x[..., c] / (2 + 1e-4 * (near.astype("float64") ** 2).sum(-1)) ** 0.75
    np.testing.assert_allclose(numpy(LocalResponseNormalization()(x)), expected, rtol=1e-5)


# Pooling and unpooling

GEOMETRY = [
    (size, strides, padding, shape)
    for (size, strides), padding, shape in itertools.product(
        [(2, None), (3, 2), (3, 1), (2, 3)], ("valid", "same"), [(2, 8, 7, 3), (1, 9, 10, 2)]
    )
]


@pytest.mark.parametrize(("size", "strides", "padding", "shape"), GEOMETRY, ids=str)
def test_switches_and_unpooling_equal_loops(size, strides, padding, shape):
    x = RNG.integers(-5, 1, size=shape).astype("float32")  # ties, and no positive value for a border to lose against
    values, switches = map(numpy, MaxPoolWithSwitches(size, strides, padding)(x))
    np.testing.assert_array_equal(values, numpy(layers.MaxPooling2D(size, strides, padding)(x)))
    step = strides or size
    before = [max((-(-n // step) - 1) * step + size - n, 0) // 2 if padding == "same" else 0 for n in shape[1:3]]
    signal = RNG.normal(size=values.shape).astype("float32")
    back = np.zeros_like(x)
    for n, i, j, c in np.ndindex(values.shape):
        best = None
        for p, q in np.ndindex(size, size):
            row, column = i * step + p - before[0], j * step + q - before[1]
            inside = 0 <= row < shape[1] and 0 <= column < shape[2]
            if inside and (best is None or x[n, row, column, c] > best[0]):
                best = x[n, row, column, c], p * size + q, row, column
        assert switches[n, i, j, c] == best[1]
        back[n, best[2], best[3], c] += signal[n, i, j, c]
    found = Unpool2D(size, strides, padding, output_size=shape[1:3])([signal, switches])
    np.testing.assert_allclose(numpy(found), back, atol=1e-6)


@tensorflow_only
def test_unpooling_is_the_gradient_of_max_pooling():
    import tensorflow as tf

    x = tf.constant(RNG.normal(size=(2, 11, 9, 4)).astype("float32"))
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = layers.MaxPooling2D(3, 2, "same")(x)
    signal = RNG.normal(size=y.shape).astype("float32")
    _, switches = MaxPoolWithSwitches(3, 2, "same")(x)
    found = Unpool2D(3, 2, "same", (11, 9))([signal, switches])
    np.testing.assert_allclose(numpy(found), tape.gradient(y, x, signal).numpy(), atol=1e-6)


def test_unpooling_without_a_size_fills_what_the_windows_span():
    for padding, expected in (("valid", (9, 7)), ("same", (8, 6))):
        values, switches = np.ones((1, 4, 3, 2), "float32"), np.zeros((1, 4, 3, 2), "int32")
        assert tuple(Unpool2D(3, 2, padding)([values, switches]).shape) == (1, *expected, 2)
    for layer in (MaxPoolWithSwitches, Unpool2D):
        with pytest.raises(ValueError, match="padding='full'"):
            layer(padding="full")


# Deconvnet


def visible_network():
    keras.utils.set_random_seed(0)
    inputs = keras.Input((18, 16, 3))
    x = layers.Conv2D(6, 3, padding="same", activation="relu", name="first")(inputs)
    x = layers.MaxPooling2D(3, 2, "same", name="pool")(x)
    x = layers.ReLU(name="top")(layers.Conv2D(5, 3, padding="same", name="second")(x))
    return keras.Model(inputs, layers.Dense(4, name="logits")(layers.GlobalAveragePooling2D()(x)))


@tensorflow_only
@pytest.mark.parametrize("channel", [None, 2])
def test_the_paper_s_three_steps(channel):
    """Unpool with switches, rectify, filter transposed; from one activation, the rest zero; by separate operations."""
    model, images = visible_network(), RNG.normal(size=(3, 18, 16, 3)).astype("float32")
    first, second = model.get_layer("first"), model.get_layer("second")
    second.bias.assign([0.5] * 5)
    low, top = keras.Model(model.input, [first.output, model.get_layer("top").output])(images)
    _, switches = MaxPoolWithSwitches(3, 2, "same")(low)
    top = numpy(top)
    alone = np.zeros_like(top)
    for n in range(3):
        seen = top[n] if channel is None else top[n, ..., channel : channel + 1]
        i, j, k = np.unravel_index(seen.argmax(), seen.shape)
        k = k if channel is None else channel
        alone[n, i, j, k] = top[n, i, j, k]
    down = ops.conv_transpose(np.maximum(alone, 0), second.kernel, 1, "same")
    down = Unpool2D(3, 2, "same", (18, 16))([down, switches])
    expected = numpy(ops.conv_transpose(ops.relu(down), first.kernel, 1, "same"))
    found = Deconvnet("top", channel).signal(model, images)
    assert np.abs(expected).max((1, 2, 3)).min() > 0
    np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())
    maps = Deconvnet("top", channel)(model, images)
    by_hand = np.abs(expected).sum(-1)
    np.testing.assert_allclose(maps, by_hand / by_hand.max((1, 2), keepdims=True), atol=1e-5)


@tensorflow_only
def test_deconvnet_refuses():
    model, images = visible_network(), np.ones((1, 18, 16, 3), "float32")
    with pytest.raises(ValueError, match="name that too"):
        Deconvnet(channel=1)
    for bad, said in ((Deconvnet("top", 5), "5 feature maps. Received: channel=5"), (Deconvnet("tip"), "no layer")):
        with pytest.raises(ValueError, match=said):
            bad(model, images)


# Occlusion


def spot_network():
    """Outputs the sum of the pixels in one square, and nothing else."""
    inputs = keras.Input((12, 10, 1))
    kernel = np.zeros((12, 10, 1, 2), "float32")
    kernel[3:6, 4:8, 0, 1] = 1
    model = keras.Model(inputs, layers.Flatten()(layers.Conv2D(2, (12, 10), use_bias=False, name="c")(inputs)))
    model.set_weights([kernel])
    return model


def test_occlusion_falls_at_the_spot_and_only_there():
    model, images = spot_network(), np.ones((2, 12, 10, 1), "float32")
    fall = OcclusionSensitivity(1, 1, value=0.0).fall(model, images)
    expected = np.zeros((2, 12, 10))
    expected[:, 3:6, 4:8] = 1
    np.testing.assert_allclose(fall, expected, atol=1e-5)
    wide = OcclusionSensitivity(3, value=0.0)(model, images)
    assert wide[0, 4, 5] > 0.5 and not wide[:, 8:].any() and wide.max() == 1
    assert not OcclusionSensitivity(3)(model, images).any(), "a mean of equal pixels hides nothing"
    assert OcclusionSensitivity(3, value=2.0).fall(model, images).min() < 0


@pytest.mark.parametrize("layer", [None, "top"])
def test_occlusion_equals_a_loop_over_squares(layer):
    model, images = visible_network(), RNG.normal(size=(3, 18, 16, 3)).astype("float32")
    squares = list(itertools.product((0, 4, 8, 12, 13), (0, 4, 8, 11)))
    taps = keras.Model(model.input, [model.get_layer("top").output, model.output])
    expected, covers = np.zeros((3, 18, 16)), np.zeros((18, 16))
    for n, image in enumerate(images):
        copies = np.repeat(image[None], 1 + len(squares), axis=0)  # the first stays whole
        for copy, (i, j) in zip(copies[1:], squares, strict=True):
            copy[i : i + 5, j : j + 5] = image.mean((0, 1))
        maps, logits = map(numpy, taps(copies))
        values = logits if layer is None else maps.sum((1, 2))
        unit = values[0].argmax()
        for value, (i, j) in zip(values[1:], squares, strict=True):
            expected[n, i : i + 5, j : j + 5] += values[0, unit] - value[unit]
            covers[i : i + 5, j : j + 5] += n == 0
    found = OcclusionSensitivity(5, 4, layer=layer, batch_size=7).fall(model, images)
    np.testing.assert_allclose(found, expected / covers, atol=1e-5 * np.abs(expected).max())


def test_occlusion_refuses():
    for options in ({"size": 0}, {"size": 2, "strides": 3}, {"batch_size": 0}):
        with pytest.raises(ValueError, match="at least 1"):
            OcclusionSensitivity(**options)
    with pytest.raises(ValueError, match="larger than images of 12 x 10"):
        OcclusionSensitivity(11)(spot_network(), np.ones((1, 12, 10, 1)))


def test_part_correspondence_equals_a_loop_over_pairs():
    whole, covered = RNG.integers(-2, 3, size=(2, 5, 3, 4))
    change = np.sign(whole - covered).reshape(5, -1)
    shares = [np.mean(change[i] != change[j]) for i, j in itertools.permutations(range(5), 2)]
    np.testing.assert_allclose(part_correspondence(whole, covered), np.mean(shares), atol=1e-6)
    for bad in ((np.ones((1, 3)), np.ones((1, 3))), (np.ones((2, 3)), np.ones((3, 2))), (np.ones(2), np.ones(2))):
        with pytest.raises(ValueError, match="at least 2 images"):
            part_correspondence(*bad)

"""RDNet: one layer by loops, the widths of the published table, layers that start as nothing, stochastic depth."""

import math

import keras
import numpy as np

from hub import registry
from hub.models.rdnet import dense_layer

numpy = keras.ops.convert_to_numpy
SIZE = {"input_shape": (32, 32, 3), "num_classes": 3}


def layer_by_loops(x, weights):
    """The new channels for one picture x [H, W, C], from the paper's description."""
    height, width, channels = x.shape
    padded = np.pad(x, ((3, 3), (3, 3), (0, 0)))
    kernel, bias = weights["depthwise"]
    y = np.empty_like(x)
    for i in range(height):
        for j in range(width):
            for c in range(channels):
                y[i, j, c] = np.sum(padded[i : i + 7, j : j + 7, c] * kernel[:, :, c, 0]) + bias[c]
    gamma, beta = weights["norm"]
    y = gamma * (y - y.mean(-1, keepdims=True)) / np.sqrt(y.var(-1, keepdims=True) + 1e-6) + beta
    kernel, bias = weights["fc1"]
    y = y @ kernel[0, 0] + bias
    y = y * (1 + np.vectorize(math.erf)(y / math.sqrt(2))) / 2
    kernel, bias = weights["fc2"]
    y = y @ kernel[0, 0] + bias
    kernel, bias = weights["ese"]
    y = y * np.clip(y.mean((0, 1)) @ kernel[0, 0] + bias + 3, 0, 6) / 6
    return y * weights["scale"][0]


def test_a_layer_equals_loops():
    inputs = keras.Input((5, 4, 12))
    model = keras.Model(inputs, dense_layer(inputs, 6, True, 0.1, 0.0, "a"))
    assert model.get_layer("a_fc1").filters == 48
    rng = np.random.default_rng(0)
    model.set_weights([rng.normal(size=w.shape, scale=0.5) for w in model.weights])
    model.get_layer("a_ese").set_weights([10 * w for w in model.get_layer("a_ese").get_weights()])  # closes some gates
    parts = ("depthwise", "norm", "fc1", "fc2", "ese", "scale")
    weights = {part: [w.astype("float64") for w in model.get_layer(f"a_{part}").get_weights()] for part in parts}
    images = rng.normal(size=(2, 5, 4, 12)).astype("float32")
    expected = np.stack([layer_by_loops(image.astype("float64"), weights) for image in images])
    assert (expected == 0).all((1, 2)).any() and (expected != 0).any()
    np.testing.assert_allclose(numpy(model(images, training=False)), expected, rtol=1e-4, atol=1e-5)


def test_the_table_of_tiny():
    """64 + 3 * 64; half of it in eights and 3 * 104; four mixes of 3 * 128; 3 * 224."""
    model = registry.build("rdnet_tiny", num_classes=0)
    shapes = [model.get_layer(f"stage{s}").output.shape[1:] for s in (1, 2, 3, 4)]
    assert shapes == [(56, 56, 256), (28, 28, 440), (14, 14, 744), (7, 7, 1040)]
    assert model.output is model.get_layer("stage4").output
    assert [layer.name for layer in model.layers if layer.name.endswith("layer0_ese")] == [
        f"mix{i}_layer0_ese" for i in range(2, 7)
    ]


def test_a_factor_of_zero_adds_channels_of_zeros():
    model = registry.build("rdnet_mini", **SIZE, layer_scale=0.0)
    both = keras.Model(model.input, [model.get_layer("stem_norm").output, model.get_layer("stage1").output])
    stem, stage = map(numpy, both(np.random.default_rng(0).normal(size=(2, 32, 32, 3))))
    np.testing.assert_array_equal(stage[..., :8], stem)
    assert (stage[..., 8:] == 0).all() and np.ptp(stem) > 1


def test_drop_path():
    images = np.random.default_rng(0).normal(size=(8, 32, 32, 3)).astype("float32")
    plain = registry.build("rdnet_mini", **SIZE)
    model = registry.build("rdnet_mini", **SIZE, drop_path=0.6)
    rates = {layer.name: layer.rate for layer in model.layers if layer.name.endswith("_drop")}
    expected = {"mix1_layer0_drop": 0.2, "mix2_layer0_drop": 0.4, "mix3_layer0_drop": 0.6}
    assert rates.keys() == expected.keys()
    np.testing.assert_allclose([rates[name] for name in expected], list(expected.values()))
    model.set_weights(plain.get_weights())
    kept = numpy(plain(images, training=False))
    np.testing.assert_allclose(numpy(model(images, training=False)), kept, rtol=1e-5, atol=1e-6)
    trained = numpy(model(images, training=True))
    assert np.abs(trained - kept).max() > 1e-3 * np.abs(kept).max()

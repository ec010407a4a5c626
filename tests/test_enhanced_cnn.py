"""Enhanced CNN by its formula and against loops; LeNet-5's layers, and how they make the original's 60,000."""

import itertools

import keras
import numpy as np
import pytest
from keras import layers

from hub import registry
from hub.models.enhanced_cnn import enhanced_cnn

RNG = np.random.default_rng(0)


def numpy(x):
    return keras.ops.convert_to_numpy(x).astype("float64")


def trainable(model):
    return sum(int(np.prod(w.shape)) for w in model.trainable_weights)


def test_parameters_by_formula():
    """The convolutions' biases, which normalisation makes idle, are 896 of them."""
    widths = (3, 64, 64, 128, 128, 256, 256)
    convolutions = sum(9 * a * b + b for a, b in itertools.pairwise(widths))
    norms, hidden, logits = 2 * sum(widths[1:]), 4096 * 512 + 512, 512 * 10 + 10
    assert convolutions == 1_145_408 and norms == 1_792
    assert trainable(registry.build("enhanced_cnn")) == convolutions + norms + hidden + logits == 3_249_994
    assert trainable(enhanced_cnn(batch_norm=False)) == 3_249_994 - 1_792
    plain = 3 * 9 * 64 + 64 + 9 * 64 * 128 + 128 + 8 * 8 * 128 * 512 + 512 + logits
    assert trainable(registry.build("plain_cnn")) == plain


def kinds(**options):
    model = enhanced_cnn((4, 4), input_shape=(8, 8, 3), **options)
    return [sum(isinstance(x, kind) for x in model.layers)
            for kind in (layers.Conv2D, layers.BatchNormalization, layers.Dropout)]  # fmt: skip


def test_each_switch_takes_out_what_it_names():
    assert kinds() == [4, 4, 3]
    assert kinds(batch_norm=False) == [4, 0, 3]
    assert kinds(dropout=0.0) == [4, 4, 1]
    assert kinds(head_dropout=0.0) == [4, 4, 2]
    assert kinds(depth=1) == [2, 2, 3]


def slow_conv(x, kernel, bias):
    """Valid, one position at a time."""
    size = len(kernel)
    rows, columns = (range(n - size + 1) for n in x.shape[1:3])
    at = lambda i, j: np.einsum("nhwc,hwcf->nf", x[:, i : i + size, j : j + size], kernel) + bias  # noqa: E731
    return np.stack([np.stack([at(i, j) for j in columns], 1) for i in rows], 1)


def halved(x, reduce):
    n, height, width, channels = x.shape
    x = x[:, : height // 2 * 2, : width // 2 * 2]
    return reduce(x.reshape(n, height // 2, 2, width // 2, 2, channels), axis=(2, 4))


def randomised(model):
    for w in model.weights:
        if w.name == "moving_variance":
            w.assign(RNG.uniform(0.5, 2, w.shape))
        elif w.name != "kernel":
            w.assign(RNG.normal(0.5 * (w.name == "gamma"), 0.3, w.shape))
    return {layer.name: [numpy(w) for w in layer.weights] for layer in model.layers}


def test_enhanced_cnn_equals_loops():
    keras.utils.set_random_seed(0)
    model = enhanced_cnn((3, 4), units=5, input_shape=(9, 10, 2), num_classes=3)
    of, images = randomised(model), RNG.normal(size=(2, 9, 10, 2)).astype("float32")
    x = images.astype("float64")
    for stage in (1, 2):
        for i in (1, 2):
            x = slow_conv(np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0))), *of[f"stage{stage}_{i}_conv"])
            gamma, beta, mean, variance = of[f"stage{stage}_{i}_bn"]
            x = np.maximum(gamma * (x - mean) / np.sqrt(variance + 1e-3) + beta, 0)
        x = halved(x, np.max)
    x = x.reshape(2, -1)
    for at in ("hidden", "logits"):
        x = np.maximum(x, 0 if at == "logits" else -np.inf) @ of[at][0] + of[at][1]
    np.testing.assert_allclose(numpy(model(images)), x, rtol=1e-4, atol=1e-5)


def test_lenet5_equals_loops():
    keras.utils.set_random_seed(0)
    model = registry.build("lenet5", input_shape=(19, 18, 1), num_classes=3)
    of, images = randomised(model), RNG.normal(size=(2, 19, 18, 1)).astype("float32")
    x = images.astype("float64")
    for stage in (1, 2):
        x = halved(np.tanh(slow_conv(x, *of[f"stage{stage}_conv"])), np.mean)
    x = x.reshape(2, -1)
    for at in ("c5", "f6"):
        x = np.tanh(x @ of[at][0] + of[at][1])
    np.testing.assert_allclose(numpy(model(images)), x @ of["logits"][0] + of["logits"][1], rtol=1e-4, atol=1e-5)


def test_lenet5_s_layers_make_the_original_s_count():
    """LeCun et al., section II B: trained pools, 60 of the 96 connections, and fixed radial basis functions."""
    model = registry.build("lenet5")
    assert model.get_layer("stage1_conv").output.shape[1:] == (28, 28, 6)
    assert [model.get_layer(f"stage{s}").output.shape[1:] for s in (1, 2)] == [(14, 14, 6), (5, 5, 16)]
    count = {layer.name: layer.count_params() for layer in model.layers}
    missing = (96 - 60) * 25
    assert trainable(model) - count["logits"] - missing + 2 * 6 + 2 * 16 == 60_000


def test_images_of_one_size():
    for name, least in (("enhanced_cnn", 8), ("lenet5", 16)):
        for shape in ((None, 32, 3), (least - 1, 32, 3)):
            with pytest.raises(ValueError, match=f"at least {least} pixels"):
                registry.build(name, input_shape=shape)
        free = registry.build(name, input_shape=(None, None, 3), num_classes=0)
        assert free(np.zeros((1, least, least, 3))).shape[1:3] == (1, 1)

"""All-CNN's four ways to shrink a map against loops; guided backpropagation on networks small enough for hand work."""

import itertools

import keras
import numpy as np
import pytest
from keras import layers

from hub import registry
from hub.explain.guided_backprop import GuidedBackprop
from hub.models.all_cnn import B, C, all_cnn

RNG = np.random.default_rng(0)
tensorflow_only = pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="the gradient is TensorFlow's")


def numpy(x):
    return keras.ops.convert_to_numpy(x).astype("float64")


def relu(x):
    return np.maximum(x, 0)


def windows(x, size, strides, fill):
    """Every window that Keras's "same" takes of [N, H, W, C]: yields its place and values [N, size, size, C]."""
    pads = [max((-(-n // strides) - 1) * strides + size - n, 0) for n in x.shape[1:3]]
    x = np.pad(x, ((0, 0), *((p // 2, p - p // 2) for p in pads), (0, 0)), constant_values=fill)
    for i, j in itertools.product(*(range((n - size) // strides + 1) for n in x.shape[1:3])):
        yield i, j, x[:, i * strides : i * strides + size, j * strides : j * strides + size]


def conv(layer, x, strides=1):
    kernel, bias = map(numpy, layer.weights)
    found = {(i, j): np.einsum("nhwc,hwcf->nf", w, kernel) + bias for i, j, w in windows(x, len(kernel), strides, 0)}
    rows, columns = (max(k[a] for k in found) + 1 for a in (0, 1))
    return np.stack([np.stack([found[i, j] for j in range(columns)], 1) for i in range(rows)], 1)


def pool(x):
    found = {(i, j): w.max((1, 2)) for i, j, w in windows(x, 3, 2, -np.inf)}
    rows, columns = (max(k[a] for k in found) + 1 for a in (0, 1))
    return np.stack([np.stack([found[i, j] for j in range(columns)], 1) for i in range(rows)], 1)


@pytest.mark.parametrize("kernels", [B, C], ids=["b", "c"])
@pytest.mark.parametrize("shrink", ["pool", "strided", "convpool", "all"])
def test_equals_loops_over_positions(kernels, shrink):
    """Tables 1 and 2, a layer at a time, on an odd size."""
    keras.utils.set_random_seed(1)
    model = all_cnn(kernels, shrink, width=3, padding="same", input_shape=(9, 11, 2), num_classes=4)
    for weight in model.weights:
        if weight.name == "bias":
            weight.assign(RNG.normal(0, 0.3, weight.shape))
    images = RNG.normal(size=(2, 9, 11, 2)).astype("float32")
    convs = iter([layer for layer in model.layers if isinstance(layer, layers.Conv2D)])
    x = images.astype("float64")
    for _ in range(2):
        x = relu(conv(next(convs), x))
        x = relu(conv(next(convs), x, 2 if shrink == "strided" else 1))
        if shrink in ("convpool", "all"):
            x = relu(conv(next(convs), x, 2 if shrink == "all" else 1))
        if shrink in ("pool", "convpool"):
            x = pool(x)
    assert x.shape == (2, 3, 3, 6)
    left = list(convs)
    assert [layer.name for layer in left] == ["stage3_1_conv", "stage3_2_conv", "logits"]
    for layer in left:
        x = relu(conv(layer, x))
    np.testing.assert_allclose(numpy(model(images)), x.mean((1, 2)), rtol=1e-4, atol=1e-5)


def test_the_paper_s_tables():
    """All-CNN-C by its rows: nine convolutions, maps of 32, 16, 8 and 6; a hundred classes; what a pool costs less."""
    model = registry.build("all_cnn_c", num_classes=100)
    shapes = [tuple(w.shape) for w in model.weights if w.name == "kernel"]
    assert [s[0] for s in shapes] == [3] * 7 + [1, 1]
    assert [s[-1] for s in shapes] == [96] * 3 + [192] * 5 + [100]
    assert [model.get_layer(f"stage{s}").output.shape[1] for s in (1, 2, 3)] == [16, 8, 6]
    assert model.count_params() == 1_387_108
    counts = {at: registry.build(f"{at}_cnn_c").count_params() for at in ("base", "strided", "convpool", "all")}
    extra = 9 * (96**2 + 192**2) + 96 + 192
    assert counts["strided"] == counts["base"] == counts["all"] - extra
    assert counts["convpool"] == counts["all"] == 1_369_738


def test_all_cnn_refuses_another_way_to_shrink():
    with pytest.raises(ValueError, match=r"pool, strided, convpool, all\. Received: shrink='mean'"):
        all_cnn(C, "mean")


# Guided backpropagation


def two_layers(style):
    """Dense, ReLU, dense, ReLU over images of one pixel, the ReLUs in `style`'s place, and both kernels."""
    inputs = keras.Input((1, 1, 5))
    x = inputs
    for i, units in enumerate((7, 3)):
        x = layers.Dense(units, activation="relu" if style == "argument" else None, name=f"dense{i}")(x)
        if style == "layer":
            x = layers.ReLU()(x)
        elif style == "activation":
            x = layers.Activation("relu")(x)
        elif style == "nested":
            x = keras.Sequential([keras.Input(x.shape[1:]), layers.ReLU()])(x)
    model = keras.Model(inputs, layers.Flatten()(x))
    kernels = RNG.normal(size=(5, 7)), RNG.normal(size=(7, 3))
    for i, kernel in enumerate(kernels):
        model.get_layer(f"dense{i}").kernel.assign(kernel)
    return model, kernels


@tensorflow_only
@pytest.mark.parametrize("style", ["argument", "layer", "activation", "nested"])
def test_each_rule_by_hand(style):
    model, (first, second) = two_layers(style)
    images = RNG.normal(size=(40, 1, 1, 5)).astype("float32")
    hidden = relu(images[:, 0, 0] @ first)
    top = relu(hidden @ second)
    start = np.zeros_like(top)
    start[:, 0], start[:, 1] = 1, -1
    before = model.get_config(), numpy(model(images))
    differ = []
    for rule in ("gradient", "deconvnet", "guided"):
        signal = start
        for f, kernel in ((top, second), (hidden, first)):
            live, positive = (f > 0) | (rule == "deconvnet"), (signal > 0) | (rule == "gradient")
            signal = (signal * live * positive) @ kernel.T
        explain = GuidedBackprop(rule)
        found = explain.signal(model, images, lambda outputs: outputs[:, 0] - outputs[:, 1])
        np.testing.assert_allclose(found[:, 0, 0], signal, rtol=1e-4, atol=1e-5)
        differ.append(found)
    assert all(np.abs(a - b).max() > 0.1 for a, b in itertools.combinations(differ, 2))
    assert model.get_config() == before[0], "the model is left as it was"
    np.testing.assert_array_equal(numpy(model(images)), before[1])


@tensorflow_only
def test_relu6_passes_between_its_ends_only():
    inputs = keras.Input((1, 1, 3))
    x = layers.ReLU(6.0)(inputs)
    model = keras.Model(inputs, layers.Flatten()(layers.Activation("relu6")(x)))
    image = np.array([[[[-1, 3, 7]]]], "float32")
    expected = {"gradient": [0, 1, 0], "deconvnet": [1, 1, 1], "guided": [0, 1, 0]}
    for rule, signal in expected.items():
        found = GuidedBackprop(rule).signal(model, image, lambda outputs: outputs[:, 0] + outputs[:, 1] + outputs[:, 2])
        np.testing.assert_array_equal(found.ravel(), signal)


@tensorflow_only
def test_a_model_s_relus_come_back_after_an_error():
    model, _ = two_layers("argument")
    with pytest.raises(ValueError, match="one number per image"):
        GuidedBackprop().signal(model, np.ones((2, 1, 1, 5), "float32"), lambda outputs: outputs)
    assert model.get_layer("dense0").activation is keras.activations.relu
    maps = GuidedBackprop()(model, np.zeros((2, 1, 1, 5), "float32"))
    assert maps.shape == (2, 1, 1) and not maps.any()


@tensorflow_only
def test_guided_backprop_refuses():
    inputs = keras.Input((4, 4, 1))
    straight = keras.Model(inputs, layers.Flatten()(layers.LeakyReLU()(inputs)))
    images = np.ones((1, 4, 4, 1), "float32")
    with pytest.raises(ValueError, match="no ReLU"):
        GuidedBackprop()(straight, images)
    assert GuidedBackprop("gradient")(straight, images).shape == (1, 4, 4)
    with pytest.raises(ValueError, match="Received: rule='grad'"):
        GuidedBackprop("grad")
    model, _ = two_layers("layer")
    with pytest.raises(ValueError, match="No signal"):
        GuidedBackprop()(model, np.ones((1, 1, 1, 5), "float32"), lambda outputs: keras.ops.zeros(1))

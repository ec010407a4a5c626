"""ResNet and wide ResNet against slow NumPy loops, and against the figures of their papers."""

import itertools

import keras
import numpy as np
import pytest

from hub import registry
from hub.models import resnet as residual
from hub.models.resnet import resnet
from hub.models.wide_resnet import wide_resnet


class Naive:
    """Layers by definition, one output position at a time, on the weights of a model's layers."""

    def __init__(self, model):
        self.of = {
            layer.name: [keras.ops.convert_to_numpy(w).astype("float64") for w in layer.weights]
            for layer in model.layers
        }

    def conv(self, name, x, strides=1):
        (kernel,) = self.of[name]
        size, half = kernel.shape[0], kernel.shape[0] // 2
        padded = np.pad(x, ((0, 0), (half, half), (half, half), (0, 0)))
        height, width = (-(-n // strides) for n in x.shape[1:3])
        out = np.zeros((len(x), height, width, kernel.shape[-1]))
        for i, j in itertools.product(range(height), range(width)):
            window = padded[:, i * strides : i * strides + size, j * strides : j * strides + size]
            out[:, i, j] = np.einsum("nhwc,hwcf->nf", window, kernel)
        return out

    def norm(self, name, x):
        gamma, beta, mean, variance = self.of[name]
        return gamma * (x - mean) / np.sqrt(variance + 1e-5) + beta

    def conv_norm(self, name, x, strides=1):
        return self.norm(f"{name}_bn", self.conv(f"{name}_conv", x, strides))

    def norm_relu(self, name, x):
        return relu(self.norm(f"{name}_bn", x))

    def head(self, x):
        kernel, bias = self.of["logits"]
        return x.mean((1, 2)) @ kernel + bias


def relu(x):
    return np.maximum(x, 0)


def pooled(x):
    """3x3 maximum at every second pixel; nothing lies outside the picture."""
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=-np.inf)
    rows, columns = (range(0, n, 2) for n in x.shape[1:3])
    return np.stack([np.stack([padded[:, i : i + 3, j : j + 3].max((1, 2)) for j in columns], 1) for i in rows], 1)


def naive_resnet(model, x, depths, convolutions, shortcut, stem):
    """Every stage's output and the logits; `convolutions` of a residual: 2 basic, 3 bottleneck (stride on the 3x3)."""
    net, outputs = Naive(model), {}
    x = relu(net.conv_norm("stem", x, 2 if stem == "imagenet" else 1))
    x = pooled(x) if stem == "imagenet" else x
    for stage, depth in enumerate(depths, 1):
        for i in range(depth):
            at, strides = f"stage{stage}_block{i}", 2 if stage > 1 and i == 0 else 1
            y = x
            for k in range(1, convolutions + 1):
                y = net.conv_norm(f"{at}_{k}", y, strides if k == convolutions - 1 else 1)
                y = relu(y) if k < convolutions else y
            if shortcut == "project":
                projects = f"{at}_shortcut_conv" in net.of
                assert projects == (y.shape != x.shape), "a projection only where the shape changes"
                y = y + (net.conv_norm(f"{at}_shortcut", x, strides) if projects else x)
            elif shortcut == "zero_pad":
                same = x[:, ::strides, ::strides]
                y = y + np.pad(same, ((0, 0), (0, 0), (0, 0), (0, y.shape[-1] - x.shape[-1])))
            x = relu(y)
        outputs[f"stage{stage}"] = x
    return {**outputs, "logits": net.head(x)}


def naive_wide(model, x, blocks, convolutions):
    net, outputs = Naive(model), {}
    x = net.conv("stem_conv", x)
    for stage in (1, 2, 3):
        for i in range(blocks):
            at, strides = f"stage{stage}_block{i}", 2 if stage > 1 and i == 0 else 1
            active = net.norm_relu(f"{at}_1", x)
            y = net.conv(f"{at}_1_conv", active, strides)
            for k in range(2, convolutions + 1):
                y = net.conv(f"{at}_{k}_conv", net.norm_relu(f"{at}_{k}", y))
            x = y + (x if y.shape == x.shape else net.conv(f"{at}_shortcut_conv", active, strides))
        outputs[f"stage{stage}"] = x
    return {**outputs, "logits": net.head(net.norm_relu("tail", x))}


def with_random_weights(model):
    """`model` with every weight random, variances positive."""
    rng = np.random.default_rng(3)
    for layer in model.layers:
        for w in layer.weights:
            scale = 1 / np.sqrt(np.prod(w.shape[:-1])) if "kernel" in w.name else 0.5
            w.assign(np.abs(rng.normal(1, 0.3, w.shape)) if "variance" in w.name else rng.normal(0, scale, w.shape))
    return model


def agree(model, expected, images):
    tapped = keras.Model(model.input, {at: model.get_layer(at).output for at in expected})
    for at, value in tapped(images, training=False).items():
        want = expected[at]
        np.testing.assert_allclose(keras.ops.convert_to_numpy(value), want, atol=1e-4 * np.abs(want).max(), err_msg=at)


@pytest.mark.parametrize("size", [(18, 23), (17, 16)], ids=str)
@pytest.mark.parametrize(
    ("block", "convolutions", "shortcut", "stem"),
    [
        ("basic", 2, "project", "imagenet"),
        ("bottleneck", 3, "project", "imagenet"),
        ("wide_bottleneck", 3, "project", "cifar"),
        ("basic", 2, "zero_pad", "cifar"),
        ("basic", 2, None, "cifar"),
    ],
)
def test_equals_slow_loops(block, convolutions, shortcut, stem, size):
    options = {"block": getattr(residual, block), "shortcut": shortcut and getattr(residual, shortcut), "stem": stem}
    model = resnet(depths=(2, 1, 2), width=4, input_shape=(*size, 3), num_classes=5, **options)
    images = np.random.default_rng(0).normal(size=(2, *size, 3)).astype("float32")
    expected = naive_resnet(with_random_weights(model), images, (2, 1, 2), convolutions, shortcut, stem)
    agree(model, expected, images)


@pytest.mark.parametrize("size", [(10, 13), (9, 8)], ids=str)
@pytest.mark.parametrize("kernel_sizes", [(3, 3), (3, 1), (1, 3, 1)], ids=str)
def test_wide_equals_slow_loops(kernel_sizes, size):
    depth = 3 * 2 * len(kernel_sizes) + 4
    model = wide_resnet(depth, 1, kernel_sizes=kernel_sizes, dropout=0.3, input_shape=(*size, 3), num_classes=5)
    images = np.random.default_rng(0).normal(size=(2, *size, 3)).astype("float32")
    agree(model, naive_wide(with_random_weights(model), images, 2, len(kernel_sizes)), images)


def test_zeroed_residuals_are_identities():
    """He et al. section 3.2: with F = 0, a block passes its input on; option A adds nothing of its own."""
    model = with_random_weights(registry.build("resnet20_cifar", input_shape=(8, 8, 3)))
    for layer in model.layers:
        if layer.name.endswith("_2_bn"):
            layer.gamma.assign(np.zeros(layer.gamma.shape))
            layer.beta.assign(np.zeros(layer.beta.shape))
    images = np.random.default_rng(0).normal(size=(2, 8, 8, 3)).astype("float32")
    tapped = keras.Model(
        model.input, [model.get_layer(at).output for at in ("stem_relu", "stage1", "stage2", "stage3")]
    )
    stem, one, two, three = (keras.ops.convert_to_numpy(x) for x in tapped(images, training=False))
    assert stem.max() > 0
    np.testing.assert_array_equal(one, stem)
    np.testing.assert_array_equal(two, np.pad(stem[:, ::2, ::2], ((0, 0), (0, 0), (0, 0), (0, 16))))
    np.testing.assert_array_equal(three, np.pad(stem[:, ::4, ::4], ((0, 0), (0, 0), (0, 0), (0, 48))))


@pytest.mark.parametrize(
    ("name", "options", "published"),
    [
        ("resnet18", {"stem": "cifar", "input_shape": (32, 32, 3), "num_classes": 10}, 11_173_962),
        ("wrn16_8", {"num_classes": 100}, 11_007_540),
        ("wrn28_10", {"num_classes": 100}, 36_536_884),
        ("wrn40_4", {"num_classes": 100}, 8_972_340),
    ],
)
def test_published_parameters_beside_the_rows(name, options, published):
    assert sum(np.size(w) for w in registry.build(name, **options).trainable_weights) == published


@pytest.mark.parametrize(
    ("name", "strides"), [("resnet_tiny", (4, 8, 16, 32)), ("plain20_cifar", (1, 2, 4)), ("wrn_tiny", (1, 2, 4))]
)
def test_any_size_and_channels(name, strides):
    """A model of free size takes odd pictures of five channels; stage s lies at its stride, rounded up."""
    model = registry.build(name, input_shape=(None, None, 5), num_classes=0)
    stages = {f"stage{s}": model.get_layer(f"stage{s}").output for s in range(1, len(strides) + 1)}
    out = keras.Model(model.input, {**stages, "features": model.output})(np.zeros((1, 37, 50, 5), "float32"))
    assert [tuple(out[at].shape[1:3]) for at in stages] == [(-(-37 // s), -(-50 // s)) for s in strides]
    assert tuple(out["features"].shape) == tuple(out[f"stage{len(strides)}"].shape)


def test_cifar_network_saves_without_custom_classes(tmp_path):
    model = with_random_weights(registry.build("resnet20_cifar", input_shape=(12, 12, 3)))
    model.save(tmp_path / "m.keras")
    images = np.random.default_rng(0).normal(size=(2, 12, 12, 3)).astype("float32")
    again = keras.saving.load_model(tmp_path / "m.keras")
    np.testing.assert_array_equal(again.predict(images, verbose=0), model.predict(images, verbose=0))
    assert all(type(layer).__module__.startswith("keras.") for layer in model.layers)


def test_dropout_acts_in_training_only():
    model = with_random_weights(wide_resnet(10, 1, dropout=0.5, input_shape=(8, 8, 3)))
    images = np.random.default_rng(0).normal(size=(2, 8, 8, 3)).astype("float32")
    calm = [keras.ops.convert_to_numpy(model(images, training=False)) for _ in range(2)]
    np.testing.assert_array_equal(*calm)
    assert sum("dropout" in layer.name for layer in model.layers) == 3, "one in each block"


def test_bad_arguments_are_named():
    with pytest.raises(ValueError, match=r"Received: stem='huge'"):
        registry.build("resnet_tiny", stem="huge")
    with pytest.raises(ValueError, match=r"6n \+ 4 .* Received: depth=18"):
        registry.build("wrn_tiny", depth=18)

"""ViT-ResNAS: published sizes, the reduction's way around, and a small network by slow NumPy loops."""

import math

import keras
import numpy as np
import pytest

from hub import registry
from hub.contract import multiply_adds
from hub.layers.residual_spatial_reduction import ResidualSpatialReduction


@pytest.mark.parametrize(
    ("name", "plain_patches", "billions"),
    [
        ("vit_res_tiny", 41_888_680, 1.8),
        ("vit_resnas_tiny", 40_678_904, 1.8),
        ("vit_resnas_small", 63_583_588, 2.8),
        ("vit_resnas_medium", 96_290_392, 4.5),
    ],
)
def test_published_sizes(name, plain_patches, billions):
    """Multiply-adds with attention's; parameters with a plain projection of 14 x 14 pixels instead of the stem."""
    with keras.StatelessScope(initialize_variables=False):  # shapes will do
        model = registry.build(name)
    stem = [layer for layer in model.layers if layer.name.startswith("stem") or layer.name == "patch_embed"]
    width = model.get_layer("patch_embed").filters
    trainable = sum(math.prod(w.shape) for w in model.trainable_weights)
    assert trainable - sum(math.prod(w.shape) for x in stem for w in x.trainable_weights) == (
        plain_patches - (3 * 14 * 14 + 1) * width
    )
    adds = multiply_adds(model)
    for layer in model.layers:
        if layer.name.endswith("_attention"):
            _, tokens, channels = layer.output.shape
            adds += 2 * tokens**2 * channels
        if layer.name.startswith("reduction"):  # counted once per token; one is the class token's, the others patches'
            adds -= math.prod(layer.conv.kernel.shape)
            adds -= math.prod(layer.dense.kernel.shape) * (layer.output.shape[1] - 1)
    assert round(adds / 1e9, 1) == billions


def randomised(layer_or_model):
    random = np.random.default_rng(1)
    for w in layer_or_model.weights:
        if w.name == "kernel":
            w.assign(random.normal(size=w.shape) / math.prod(w.shape[:-1]) ** 0.5)
        else:
            w.assign(random.uniform(0.5, 1.5, w.shape) if w.name in ("gamma", "moving_variance") else
                     random.normal(0, 0.3, w.shape))  # fmt: skip
    return layer_or_model


def weights_of(layer, prefix=""):
    """Weights by name, a composite layer's by the names of its parts."""
    return {f"{w.path.split('/')[-2]}/{w.name}": keras.ops.convert_to_numpy(w).astype("float64") for w in layer.weights}


def convolve(x, kernel, bias, strides, pad):
    size = len(kernel)
    x = np.pad(x, ((pad, pad), (pad, pad), (0, 0)))
    rows, columns = ((n - size) // strides + 1 for n in x.shape[:2])
    return np.array([[np.einsum("ijc,ijcf->f", x[i * strides : i * strides + size, j * strides : j * strides + size],
                                kernel) for j in range(columns)] for i in range(rows)]) + bias  # fmt: skip


def normalised(x, of, name):
    centred = x - x.mean(-1, keepdims=True)
    return centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-6) * of[f"{name}/gamma"] + of[f"{name}/beta"]


def reduced(x, of, grid):
    """One picture's tokens [1 + h * w, C], by definition."""
    height, width = grid
    filters = of["dense/bias"].size
    kept = np.zeros((1 + height * width // 4, filters))
    kept[0, : x.shape[1]] = x[0]
    patches = x[1:].reshape(height, width, -1)
    for i, j in np.ndindex(height // 2, width // 2):
        square = patches[2 * i : 2 * i + 2, 2 * j : 2 * j + 2]
        kept[1 + i * (width // 2) + j, : x.shape[1]] = square.mean((0, 1))
    y = normalised(x, of, "norm")
    new = convolve(y[1:].reshape(height, width, -1), of["conv/kernel"], of["conv/bias"], 2, 1).reshape(-1, filters)
    kept[0] += y[0] @ of["dense/kernel"] + of["dense/bias"]
    kept[1:] += new + of["positions/bias"]
    return kept


def test_reduction_equals_slow_loops():
    layer = ResidualSpatialReduction(7, (4, 6))
    x = np.random.default_rng(0).normal(size=(2, 25, 5)).astype("float32")
    layer.build(x.shape)
    of = weights_of(randomised(layer))
    np.testing.assert_allclose(layer(x), [reduced(image, of, (4, 6)) for image in x.astype("float64")], atol=1e-5)


def test_without_weights_the_pooled_tokens_are_left():
    layer = ResidualSpatialReduction(6, (2, 4))
    x = np.random.default_rng(0).normal(size=(1, 9, 4)).astype("float32")
    layer.build(x.shape)
    for w in (*layer.conv.weights, *layer.dense.weights, *layer.positions.weights):
        w.assign(np.zeros(w.shape))
    found = keras.ops.convert_to_numpy(layer(x))[0]
    np.testing.assert_allclose(found[0, :4], x[0, 0])
    np.testing.assert_allclose(found[1, :4], x[0, [1, 2, 5, 6]].mean(0), atol=1e-6)
    np.testing.assert_allclose(found[2, :4], x[0, [3, 4, 7, 8]].mean(0), atol=1e-6)
    assert (found[:, 4:] == 0).all()


def relu_bn(x, of, name):
    gamma, beta, mean, variance = (of[f"{name}/{w}"] for w in ("gamma", "beta", "moving_mean", "moving_variance"))
    return np.maximum(gamma * (x - mean) / np.sqrt(variance + 1e-5) + beta, 0)


def block(x, of, name, num_heads):
    y = normalised(x, of, f"{name}_norm1") @ of[f"{name}_qkv/kernel"] + of[f"{name}_qkv/bias"]
    size = y.shape[1] // 3 // num_heads
    mixed = []
    for head in range(num_heads):
        q, k, v = (y[:, (part * num_heads + head) * size :][:, :size] for part in range(3))
        scores = np.exp(q @ k.T / size**0.5)
        mixed.append(scores / scores.sum(1, keepdims=True) @ v)
    x = x + np.concatenate(mixed, axis=1) @ of[f"{name}_proj/kernel"] + of[f"{name}_proj/bias"]
    y = normalised(x, of, f"{name}_norm2") @ of[f"{name}_fc1/kernel"] + of[f"{name}_fc1/bias"]
    y = y / 2 * (1 + np.vectorize(math.erf)(y / 2**0.5))
    return x + y @ of[f"{name}_fc2/kernel"] + of[f"{name}_fc2/bias"]


def test_a_small_network_equals_slow_loops():
    model = randomised(registry.build("vit_res_tiny_tiny", input_shape=(56, 112, 3), num_classes=5))
    of = {}
    for layer in model.layers:
        if not layer.name.startswith("reduction"):
            of |= weights_of(layer)
    image = np.random.default_rng(0).normal(size=(56, 112, 3))
    x = relu_bn(convolve(image, of["stem1_conv/kernel"], 0, 2, 1), of, "stem1_bn")
    y = relu_bn(convolve(x, of["stem2_conv/kernel"], 0, 1, 1), of, "stem2_bn")
    x = x + relu_bn(convolve(y, of["stem3_conv/kernel"], 0, 1, 1), of, "stem3_bn")
    x = convolve(x, of["patch_embed/kernel"], of["patch_embed/bias"], 7, 0).reshape(32, -1)
    x = np.concatenate([of["class_token/bias"][None], x]) + of["position_embedding/bias"]
    expected, grid = {}, (4, 8)
    for stage, num_heads in [(1, 2), (2, 3), (3, 5)]:
        if stage > 1:
            x = reduced(x, weights_of(model.get_layer(f"reduction{stage}")), grid)
            grid = (grid[0] // 2, grid[1] // 2)
        x = block(x, of, f"stage{stage}_block0", num_heads)
        expected[f"stage{stage}"] = x[1:].reshape(*grid, -1)
    expected["logits"] = normalised(x[0], of, "norm") @ of["logits/kernel"] + of["logits/bias"]
    del expected["stage3"]  # leads to no logits, so it is no part of this model
    found = keras.Model(model.input, {at: model.get_layer(at).output for at in expected})(image[None])
    for at, value in expected.items():
        np.testing.assert_allclose(found[at][0], value, atol=1e-4 * np.abs(value).max(), err_msg=at)


@pytest.mark.parametrize(
    ("build", "told"),
    [
        (lambda: registry.build("vit_res_tiny_tiny", input_shape=(224, 196, 3)), "multiples of 56. Received"),
        (lambda: ResidualSpatialReduction(8, (3, 4)), r"even .* Received: grid=\(3, 4\)"),
        (lambda: ResidualSpatialReduction(8, (2, 2)).build((None, 5, 9)), r"Received: shape \(None, 5, 9\)"),
        (lambda: ResidualSpatialReduction(8, (2, 2)).build((None, 4, 8)), "take 5 tokens"),
    ],
)
def test_bad_arguments_are_named(build, told):
    with pytest.raises(ValueError, match=told):
        build()

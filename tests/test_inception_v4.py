"""Inception v4 and Inception-ResNet: blocks against slow NumPy loops, sizes down to the smallest image, the scales."""

import itertools

import keras
import numpy as np
import pytest

from hub import registry
from hub.layers.branches import branches


def array(x):
    return keras.ops.convert_to_numpy(x)


def pictures(*shape):
    return np.random.default_rng(0).normal(size=shape).astype("float32")


def with_random_weights(model):
    """`model` with every weight random, variances positive."""
    rng = np.random.default_rng(3)
    for w in model.weights:
        scale = 1 / np.sqrt(np.prod(w.shape[:-1])) if "kernel" in w.name else 0.5
        w.assign(np.abs(rng.normal(1, 0.3, w.shape)) if "variance" in w.name else rng.normal(0, scale, w.shape))
    return model


class Naive:
    """Branches by definition, one output position at a time."""

    def __init__(self, model):
        self.of = {f"{x.name}/{w.name}": array(w).astype("float64") for x in model.layers for w in x.weights}

    def conv(self, x, name, stride=1, padding=True):
        kernel = self.of[f"{name}_conv/kernel"]
        sides = kernel.shape[:2]
        if padding:
            x = np.pad(x, ((0, 0), *((side // 2, side // 2) for side in sides), (0, 0)))
        rows, columns = (range(0, n - side + 1, stride) for n, side in zip(x.shape[1:3], sides, strict=True))
        out = np.zeros((len(x), len(rows), len(columns), kernel.shape[-1]))
        for (i, row), (j, column) in itertools.product(enumerate(rows), enumerate(columns)):
            window = x[:, row : row + sides[0], column : column + sides[1]]
            out[:, i, j] = np.einsum("nhwc,hwcf->nf", window, kernel)
        gamma, beta, mean, variance = (
            self.of.get(f"{name}_bn/{w}", 1.0) for w in ("gamma", "beta", "moving_mean", "moving_variance")
        )
        return np.maximum(gamma * (out - mean) / np.sqrt(variance + 1e-3) + beta, 0)

    def mean(self, x):
        """Over the pixels of 3x3 that are on the map."""
        near = [
            [x[:, max(i - 1, 0) : i + 2, max(j - 1, 0) : j + 2].mean((1, 2)) for j in range(x.shape[2])]
            for i in range(x.shape[1])
        ]
        return np.moveaxis(np.array(near), 2, 0)

    def max(self, x):
        rows, columns = (range(0, n - 2, 2) for n in x.shape[1:3])
        return np.moveaxis(
            np.array([[x[:, i : i + 3, j : j + 3].max((1, 2)) for j in columns] for i in rows]), 2, 0
        )  # fmt: skip


@pytest.mark.parametrize("size", [(5, 8), (3, 4)], ids=str)
@pytest.mark.parametrize("scale", [True, False])
def test_branches_equal_slow_loops(size, scale):
    fork = {"a": (2, (1, 3)), "b": (4, (3, 1))}
    table = (((4,), (6, (1, 7)), (2, 3)), ((2,), fork), ("average", (4,)))
    halving = (("max",), ((2, 3, 2, "valid"),))
    inputs = keras.Input((*size, 3))
    middle = branches(inputs, table, width=0.5, scale=scale, name="one")
    model = with_random_weights(
        keras.Model(inputs, [middle, branches(middle, halving, scale=scale, name="two", out="last")])
    )
    assert [layer.name for layer in model.layers][-1] == "last"
    assert any("gamma" in w.path for w in model.weights) == scale
    images, naive = pictures(2, *size, 3), Naive(model)
    long = images
    for step in range(3):
        long = naive.conv(long, f"one_branch0_{step}")
    short = naive.conv(images, "one_branch1_0")
    tines = [naive.conv(short, f"one_branch1_1{letter}") for letter in "ab"]
    one = np.concatenate([long, *tines, naive.conv(naive.mean(images), "one_branch2_1")], -1)
    two = np.concatenate([naive.max(one), naive.conv(one, "two_branch1", 2, padding=False)], -1)
    assert one.shape[-1] == 1 + 3 + 2 and two.shape[1:3] == tuple((n - 1) // 2 for n in size)
    for found, expected in zip(model(images, training=False), (one, two), strict=True):
        np.testing.assert_allclose(array(found), expected, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize("name", ["inception_v4_tiny", "inception_resnet_tiny"])
def test_a_model_of_free_size_takes_any_down_to_the_least(name):
    model = registry.build(name, width=1 / 32 if "v4" in name else 1 / 16, input_shape=(None, None, 2), num_classes=0)
    outputs = [model.get_layer(f"stage{s}").output for s in range(1, 6)]
    tapped = keras.Model(model.input, outputs)
    for size, maps in (
        ((75, 75), [(35, 35), (15, 15), (7, 7), (3, 3), (1, 1)]),
        ((107, 90), [(51, 42), (23, 18), (11, 8), (5, 3), (2, 1)]),
    ):
        assert [x.shape[1:3] for x in tapped(pictures(1, *size, 2))] == maps
    with pytest.raises(ValueError, match=r"75 pixels .* Received: input_shape=\(74, 299, 3\)"):
        registry.build(name, input_shape=(74, 299, 3))


def test_residuals_are_scaled_by_what_the_grid_asks_and_the_last_by_one():
    """The addition sees x and 0.17, 0.1, 0.2 or 1 times the projection; the last sum is not activated."""
    model = with_random_weights(registry.build("inception_resnet_tiny", width=1 / 16, input_shape=(75, 75, 3)))
    scales = {"block35_0": 0.17, "block17_0": 0.1, "block8_0": 0.2, "block8_last": 1.0}
    taps = {}
    for name in scales:
        add = model.get_layer(f"{name}_add")
        taps[name] = (add.input[0], model.get_layer(f"{name}_up").output, add.output)
    found = keras.Model(model.input, taps)(pictures(1, 75, 75, 3), training=False)
    for name, scale in scales.items():
        x, up, total = map(array, found[name])
        np.testing.assert_allclose(total, x + scale * up, rtol=1e-4, atol=1e-5 * np.abs(total).max(), err_msg=name)
        assert x.min() >= 0 and np.abs(up).max() > 1e-3
    tail = model.get_layer("tail_conv")
    assert tail.input is model.get_layer("block8_last_add").output and array(found["block8_last"][2]).min() < 0

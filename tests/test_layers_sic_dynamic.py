"""SIC layers and dynamic convolutions: slow loops, references in Keras, the papers' cost formulas."""

import keras
import numpy as np
import pytest
from keras import layers, ops

from hub import contract
from hub.layers.dynamic_conv_attention import ACTIVATIONS, DynamicConvAttention, DynamicDepthwiseConv2D
from hub.layers.sic import SICUnit, SpatialBottleneck, TopologicalConv2D


def array(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def close(a, b, tolerance=1e-5):
    a, b = np.asarray(a), np.asarray(b)
    assert a.shape == b.shape
    np.testing.assert_allclose(a, b, atol=tolerance * max(np.abs(b).max(), 1), rtol=0)


def test_a_unit_is_a_separable_convolution_beside_its_input():
    x = array(2, 7, 6, 5)
    unit, conv = SICUnit(), layers.SeparableConv2D(5, 3, padding="same", use_bias=False)
    got = unit(x)
    conv.build(x.shape)
    conv.set_weights(unit.conv.get_weights())
    close(got, x + np.maximum(np.asarray(conv(x)) / np.sqrt(1 + 1e-5), 0))


@pytest.mark.parametrize(("dims", "window"), [((12,), (5,)), ((3, 4), (2, 3)), ((2, 3, 2), (2, 1, 2)), ((12,), (1,))])
def test_torus_equals_slow_loops(dims, window):
    x = array(2, 3, 2, 12)
    layer = TopologicalConv2D(dims, window)
    got = layer(x)
    kernel, slow = np.asarray(layer.kernel), np.zeros_like(x)
    for flat, position in enumerate(np.ndindex(dims)):
        for k, at in enumerate(np.ndindex(window)):
            offset = [a - w // 2 for a, w in zip(at, window, strict=True)]
            source = [(p + o) % d for p, o, d in zip(position, offset, dims, strict=True)]
            slow[..., flat] += kernel[k, flat] * x[..., np.ravel_multi_index(source, dims)]
    close(got, slow)
    assert np.count_nonzero(layer.dense_kernel()) == 12 * np.prod(window) == kernel.size


def test_a_window_of_the_whole_torus_is_dense():
    x = array(1, 2, 2, 6)
    layer = TopologicalConv2D((2, 3), (2, 3))
    got = layer(x)
    dense = layers.Conv2D(6, 1, use_bias=False)
    dense.build(x.shape)
    dense.set_weights([np.asarray(layer.dense_kernel())[None, None]])
    close(got, dense(x))
    assert (np.asarray(layer.dense_kernel()) != 0).all()


@pytest.mark.parametrize("wrong", [((2, 3), (3, 3)), ((6,), (1, 1)), ((6,), (0,))])
def test_torus_arguments(wrong):
    with pytest.raises(ValueError, match="`window` needs"):
        TopologicalConv2D(*wrong)
    with pytest.raises(ValueError, match="hold 6 channels"):
        TopologicalConv2D((6,), (2,))(array(1, 2, 2, 5))


@pytest.mark.parametrize(("height", "width", "k"), [(4, 6, 2), (5, 7, 2), (7, 8, 3), (3, 3, 1)])
def test_bottleneck_equals_slow_loops(height, width, k):
    x = array(2, height, width, 3)
    layer = SpatialBottleneck(k)
    got = layer(x)
    down, mix, up = (np.asarray(w) for w in (layer.shrink_kernel, layer.mix_kernel, layer.widen_kernel))
    slow = x.copy()
    for n, i, j in np.ndindex(2, -(-height // k), -(-width // k)):
        square = np.zeros((k, k, 3), "float32")
        part = x[n, i * k : i * k + k, j * k : j * k + k]
        square[: part.shape[0], : part.shape[1]] = part
        z = (square * down[..., 0]).sum((0, 1)) @ mix
        slow[n, i * k : i * k + k, j * k : j * k + k] += (z * up)[: part.shape[0], : part.shape[1]]
    close(got, slow)
    free = keras.Input((None, None, 3))
    close(keras.Model(free, layer(free))(x), slow)


def test_costs_are_the_paper_s_formulas():
    """Per pixel and n channels: k^2 n + n^2 for a unit, n times the window for a torus."""
    n, inputs = 12, keras.Input((8, 8, 12))
    assert contract.multiply_adds(keras.Model(inputs, TopologicalConv2D((3, 4), (2, 2))(inputs))) == 64 * n * 4
    unit = SICUnit()
    unit(inputs)
    assert sum(np.prod(w.shape) for w in unit.conv.weights) == 9 * n + n * n


def test_softmax_is_keras_attention():
    x = array(2, 7, 12)
    ours, theirs = DynamicConvAttention(3, "softmax"), layers.MultiHeadAttention(3, 4)
    got = ours(x)
    theirs.build(x.shape, x.shape)
    kernel, bias = ours.qkv.kernel, array(36, seed=3)
    ours.qkv.bias.assign(bias)
    got = ours(x)
    parts = []
    for i in range(3):
        of = slice(12 * i, 12 * i + 12)
        parts += [np.asarray(kernel)[:, of].reshape(12, 3, 4), bias[of].reshape(3, 4)]
    theirs.set_weights([*parts, np.asarray(ours.proj.kernel).reshape(3, 4, 12), np.asarray(ours.proj.bias)])
    close(got, theirs(x, x), 1e-4)


def standardise(v):
    return (v - v.mean(-1, keepdims=True)) / np.sqrt(v.var(-1, keepdims=True) + 1e-5)


SLOW = {
    "softmax": lambda v: np.exp(v) / np.exp(v).sum(-1, keepdims=True),
    "relu_ln": lambda v: standardise(np.maximum(v, 0)),
    "ln_relu": lambda v: np.maximum(standardise(v), 0),
    "gelu_ln": lambda v: standardise(np.asarray(keras.activations.gelu(v))),
    "relu_over_n": lambda v: np.maximum(v, 0) / v.shape[-1],
}


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_attention_is_two_convolutions_with_generated_kernels(activation):
    x = array(2, 6, 4)
    layer = DynamicConvAttention(2, activation)
    got = layer(x)
    split = np.asarray(layer.qkv(x)).reshape(2, 6, 3, 2, 2)
    slow = np.zeros((2, 6, 2, 2), "float32")
    for n, h in np.ndindex(2, 2):
        query, key, value = (split[n, :, i, h] for i in range(3))
        image = query.reshape(1, 2, 3, 2)  # six tokens as an image of 2 by 3 pixels
        first = np.asarray(ops.conv(image, (key.T[None, None] * 2**-0.5).astype("float32"), 1, "valid"))  # six kernels
        second = ops.conv(SLOW[activation](first), value[None, None], 1, "valid")
        slow[n, :, h] = np.asarray(second).reshape(6, 2)
    close(got, layer.proj(slow.reshape(2, 6, 4)), 1e-4)
    order = np.random.default_rng(1).permutation(6)
    close(layer(x[:, order]), np.asarray(got)[:, order], 1e-4)


def test_dynamic_depthwise_equals_slow_loops():
    x = array(2, 5, 4, 8)
    layer = DynamicDepthwiseConv2D()
    got = layer(x)
    padded, slow = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0))), np.zeros_like(x)
    for n in range(2):
        kernel = np.asarray(layer.generate(layer.squeeze(x[n : n + 1].mean((1, 2))))).reshape(3, 3, 8)
        for i, j in np.ndindex(5, 4):
            slow[n, i, j] = (padded[n, i : i + 3, j : j + 3] * kernel).sum((0, 1))
    close(got, slow, 1e-4)


def test_attention_arguments():
    with pytest.raises(ValueError, match="divide"):
        DynamicConvAttention(3)(array(1, 2, 4))
    with pytest.raises(ValueError, match="relu_ln"):
        DynamicConvAttention(2, "tanh")

"""Convolutions in groups: against slow loops and Keras's own, forward and backward; and all that counts layers."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

import hub
from hub.contract import multiply_adds
from hub.export import fold
from hub.layers.grouped_conv import GroupedConv2D


def slow(x, kernel, groups, stride, above):
    """Output, and the gradients of its sum weighted by `above` with respect to `x` and `kernel`."""
    height, width, inward, filters = kernel.shape
    outward = filters // groups
    y, dx, dkernel = np.zeros_like(above), np.zeros_like(x), np.zeros_like(kernel)
    for row in range(y.shape[1]):
        for column in range(y.shape[2]):
            top, left = row * stride, column * stride
            for out in range(filters):
                first = out // outward * inward
                window = np.s_[:, top : top + height, left : left + width, first : first + inward]
                y[:, row, column, out] = (x[window] * kernel[..., out]).sum((1, 2, 3))
                weight = above[:, row, column, out][:, None, None, None]
                dx[window] += weight * kernel[..., out]
                dkernel[..., out] += (weight * x[window]).sum(0)
    return y, dx, dkernel


def forward_and_back(layer, x, above):
    with tf.GradientTape() as tape:
        given = tf.constant(x)
        tape.watch(given)
        y = layer(given)
        kernel = layer.kernel.value
        total = tf.reduce_sum(y * above)
    return [np.asarray(each) for each in (y, *tape.gradient(total, [given, kernel]))]


@pytest.mark.parametrize(("channels", "filters", "groups", "stride"), [(6, 9, 3, 1), (8, 8, 8, 2), (4, 6, 1, 2)])
def test_equals_slow_loops_and_keras(channels, filters, groups, stride):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, 7, 6, channels)).astype("float32")
    kernel = rng.normal(size=(3, 3, channels // groups, filters)).astype("float32")
    above = rng.normal(size=(2, 5 // stride + 5 % stride, 4 // stride, filters)).astype("float32")
    want = slow(x, kernel, groups, stride, above)
    for kind in (GroupedConv2D, layers.Conv2D):
        layer = kind(filters, 3, stride, groups=groups, use_bias=False)
        layer.build(x.shape)
        layer.set_weights([kernel])
        for mine, slowly in zip(forward_and_back(layer, x, above), want, strict=True):
            np.testing.assert_allclose(mine, slowly, atol=1e-4, rtol=0)


@pytest.mark.parametrize("options", [{"dilation_rate": 2}, {"strides": 2}, {"activation": "relu"}])
def test_options_are_kerass(options):
    x = np.random.default_rng(0).normal(size=(2, 9, 8, 6)).astype("float32")
    plain = layers.Conv2D(4, 3, padding="same", groups=2, bias_initializer="normal", **options)
    want = plain(x)
    mine = GroupedConv2D.from_config(plain.get_config())
    mine.build(x.shape)
    mine.set_weights(plain.get_weights())
    np.testing.assert_allclose(mine(x), want, atol=1e-5, rtol=0)


def test_no_group_is_left_to_the_compiler_and_its_norm_folds():
    """One batch size after another would be compiled, and TensorFlow Serving may have no compiler at all."""
    model = hub.load("regnet_tiny", input_shape=(32, 32, 3), num_classes=5)
    grouped = [layer for layer in model.layers if isinstance(layer, GroupedConv2D) and layer.groups > 1]
    graph = tf.function(model).get_concrete_function(tf.TensorSpec((None, 32, 32, 3))).graph
    assert not any("_XlaMustCompile" in op.node_def.attr for op in graph.get_operations())
    folded, count = fold.batch_norm(model)
    assert len(grouped) == 5 and count == sum(isinstance(layer, layers.BatchNormalization) for layer in model.layers)
    x = np.random.default_rng(0).normal(size=(2, 32, 32, 3)).astype("float32")
    np.testing.assert_allclose(folded(x), model(x, training=False), atol=1e-4, rtol=1e-4)


def test_counted_and_saved(tmp_path):
    inputs = keras.Input((8, 8, 6))
    model = keras.Model(inputs, GroupedConv2D(9, 3, groups=3)(inputs))
    assert multiply_adds(model) == 6 * 6 * 9 * (3 * 3 * 2)
    model.save(tmp_path / "m.keras")
    x = np.random.default_rng(0).normal(size=(2, 8, 8, 6)).astype("float32")
    np.testing.assert_array_equal(hub.load(str(tmp_path / "m.keras"))(x), model(x))

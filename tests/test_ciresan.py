"""Ciresan's networks: slow loops, the sides of the maps, what the connection table leaves out."""

import keras
import numpy as np
import pytest
from scipy import ndimage

from hub.layers.contrast_filters import ContrastFilters, mexican_hat
from hub.layers.random_connect_conv import RandomConnectConv2D
from hub.layers.scaled_tanh import ScaledTanh
from hub.registry import build


def array(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def tanh(x):
    return 1.7159 * np.tanh(2 / 3 * x)


def valid_conv(x, kernel, bias, step):
    size = kernel.shape[0]
    out = np.zeros((*((side - size) // step + 1 for side in x.shape[:2]), kernel.shape[-1]))
    for i, j in np.ndindex(out.shape[:2]):
        window = x[i * step : i * step + size, j * step : j * step + size]
        out[i, j] = np.einsum("ijc,ijcf->f", window, kernel) + bias
    return out


def test_scaled_tanh():
    layer = ScaledTanh()
    np.testing.assert_allclose(layer(np.float32([1, -1, 0, 100, -100])), [1, -1, 0, 1.7159, -1.7159], atol=1e-4)
    slope = (layer(np.float32([1e-3])) - layer(np.float32([-1e-3]))) / 2e-3
    np.testing.assert_allclose(slope, 1.7159 * 2 / 3, rtol=1e-3)


def test_random_connections_equal_a_sum_over_the_table():
    layer = RandomConnectConv2D(5, 3, fan_in=2, seed=4, strides=2)
    x = array(1, 9, 8, 6)
    layer(x)
    layer.bias.assign(array(5, seed=1))
    table, kernel = np.asarray(layer.table), np.asarray(layer.kernel)
    assert table.shape == (6, 5) and (table.sum(0) == 2).all()
    for f in range(5):
        seen = np.flatnonzero(table[:, f])
        wanted = valid_conv(x[0][..., seen], kernel[:, :, seen, f : f + 1], np.asarray(layer.bias)[f], 2)
        np.testing.assert_allclose(np.asarray(layer(x))[0, ..., f : f + 1], wanted, atol=1e-5)


def test_only_connected_weights_train():
    layer = RandomConnectConv2D(4, 2, fan_in=3)
    model = keras.Sequential([keras.Input((5, 5, 7)), layer])
    before = np.asarray(layer.kernel)
    model.compile(keras.optimizers.Adam(0.1), "mse")
    model.fit(array(2, 5, 5, 7), array(2, 4, 4, 4), epochs=2, verbose=0)
    moved = (np.asarray(layer.kernel) != before).all((0, 1))
    np.testing.assert_array_equal(moved, np.asarray(layer.table) == 1)


def test_the_table_depends_on_the_seed_alone():
    def table(seed, fan_in=3):
        layer = RandomConnectConv2D(8, 3, fan_in=fan_in, seed=seed)
        layer.build((None, 9, 9, 10))
        return layer.table

    keras.utils.set_random_seed(1)
    first = table(0)
    keras.utils.set_random_seed(2)
    assert table(0) == first != table(1)
    assert np.asarray(table(0, fan_in=99)).all()
    with pytest.raises(ValueError, match="at least 1"):
        RandomConnectConv2D(8, 3, fan_in=0)


def test_contrast_filters_equal_scipy():
    x = array(2, 9, 8, 2)
    got = np.asarray(ContrastFilters((3, 5))(x))
    np.testing.assert_array_equal(got[..., :2], x)
    for at, size in ((2, 3), (6, 5)):
        hat = np.asarray(mexican_hat(size))
        np.testing.assert_allclose([hat.sum(), hat[hat > 0].sum()], [0, 1], atol=1e-9)
        assert hat[size // 2, size // 2] > 0 > hat[0, 0]
        wanted = ndimage.correlate(x, hat[None, :, :, None], mode="mirror")
        np.testing.assert_allclose(got[..., at : at + 2], wanted, atol=1e-5)
        np.testing.assert_array_equal(got[..., at + 2 : at + 4], -got[..., at : at + 2])
    flat = np.asarray(ContrastFilters((5,))(np.full((1, 6, 6, 1), 7.0, "float32")))
    np.testing.assert_allclose(flat[..., 1:], 0, atol=1e-5)
    with pytest.raises(ValueError, match="odd"):
        ContrastFilters((4,))


def test_forward_equals_slow_loops():
    model = build("ciresan_tiny")
    weights = [w.assign(array(*w.shape, seed=i) / 4) for i, w in enumerate(model.trainable_weights)]
    first, second, fc, head = (weights[i : i + 2] for i in range(0, 8, 2))
    x = array(1, 29, 29, 1)
    y = tanh(valid_conv(x[0], *map(np.asarray, first), 2))  # one input map: every filter sees it
    table = np.asarray(model.get_layer("stage2_conv").table)
    y = tanh(valid_conv(y, np.asarray(second[0]) * table, np.asarray(second[1]), 1))
    y = y.reshape(5, 2, 5, 2, 8).max((1, 3)).ravel()
    y = tanh(y @ np.asarray(fc[0]) + fc[1]) @ np.asarray(head[0]) + head[1]
    np.testing.assert_allclose(np.asarray(model(x))[0], y, atol=1e-4)


def test_sides_and_parameters():
    model = build("ciresan_mnist")
    assert [model.get_layer(f"stage{i}").output.shape[1] for i in range(1, 7)] == [13, 5, 4, 3, 2, 1]
    maps, sizes, total, before = (20, 40, 60, 80, 100, 120), (5, 5, 2, 2, 2, 2), 0, 1
    for filters, size in zip(maps, sizes, strict=True):
        total, before = total + filters * (size * size * before + 1), filters
    assert model.count_params() == total + 150 * (120 + 1) + 10 * (150 + 1)
    cifar = build("ciresan_cifar10")
    assert [cifar.get_layer(f"stage{i}").output.shape[1] for i in range(1, 5)] == [15, 7, 3, 1]
    assert cifar.get_layer("contrast").output.shape[-1] == 9


@pytest.mark.parametrize(("wrong", "said"), [({"skips": (0,)}, "equally long"), ({"input_shape": (9, 9, 1)}, "left")])
def test_errors(wrong, said):
    with pytest.raises(ValueError, match=said):
        build("ciresan_tiny", **wrong)

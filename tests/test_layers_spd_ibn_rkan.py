"""SPD-Conv, IBN and RKAN: against slow loops and the identities their papers state."""

import keras
import numpy as np
import pytest
from keras import ops

from hub.layers.ibn import IBN
from hub.layers.rkan import KANConv2D, RKANBlock, polynomials
from hub.layers.spd_conv import SpaceToDepth, SPDConv


def array(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def close(a, b, tolerance=1e-5):
    a, b = np.asarray(a), np.asarray(b)
    assert a.shape == b.shape
    np.testing.assert_allclose(a, b, atol=tolerance * max(np.abs(b).max(), 1), rtol=0)


def slow_squares(x, s):
    n, h, w, c = x.shape
    out = np.zeros((n, -(-h // s), -(-w // s), s * s * c), x.dtype)
    for i in range(h):
        for j in range(w):
            at = (j % s * s + i % s) * c
            out[:, i // s, j // s, at : at + c] = x[:, i, j]
    return out


@pytest.mark.parametrize(("height", "width", "scale"), [(4, 6, 2), (5, 7, 2), (1, 1, 2), (7, 6, 3), (4, 5, 1)])
def test_every_pixel_becomes_a_channel(height, width, scale):
    x = array(2, height, width, 3)
    close(SpaceToDepth(scale)(x), slow_squares(x, scale), 0)
    free = keras.Input((None, None, 3))
    close(keras.Model(free, SpaceToDepth(scale)(free))(x), slow_squares(x, scale), 0)


def test_spd_conv_is_a_convolution_of_twice_the_stride():
    """A 3x3 kernel over squares of 2 sees 6x6 pixels, in steps of 2, from 2 pixels outside on."""
    x = array(2, 8, 10, 3)
    layer = SPDConv(4)
    y = layer(x)
    kernel, bias = map(np.asarray, (layer.kernel, layer.bias))
    large = kernel.reshape(3, 3, 2, 2, 3, 4).transpose(0, 3, 1, 2, 4, 5).reshape(6, 6, 3, 4)  # [.., column, row, ..]
    padded = np.pad(x, ((0, 0), (2, 2), (2, 2), (0, 0)))
    close(y, ops.conv(padded, large, 2, "valid") + bias)


def test_spd_conv_refuses_strides():
    with pytest.raises(ValueError, match="no strides"):
        SPDConv(4, strides=2)


def slow_ibn(x, cut, statistics=None):
    """The first `cut` channels per picture, the others by the batch's moments or by `statistics`."""
    out = np.zeros_like(x)
    for c in range(x.shape[-1]):
        for n in range(len(x)):
            seen = x[n, ..., c] if c < cut else x[..., c]
            mean, variance = seen.mean(), seen.var()
            if c >= cut and statistics is not None:
                mean, variance = statistics[0][c - cut], statistics[1][c - cut]
            out[n, ..., c] = (x[n, ..., c] - mean) / np.sqrt(variance + 1e-5)
    return out


def test_ibn_equals_slow_loops():
    x = array(3, 5, 4, 7) * 3 + 2
    layer = IBN()
    layer.build(x.shape)
    gamma, beta = array(7, seed=1), array(7, seed=2)
    layer.gamma.assign(gamma)
    layer.beta.assign(beta)
    close(layer(x, training=True), slow_ibn(x, 3) * gamma + beta, 1e-4)
    mean, variance = x[..., 3:].mean((0, 1, 2)) * 0.1, 0.9 + x[..., 3:].var((0, 1, 2)) * 0.1
    close(layer.batch.moving_mean, mean)
    close(layer(x), slow_ibn(x, 3, (mean, variance)) * gamma + beta, 1e-4)
    mirrored = IBN(instance_first=False)
    close(mirrored(x[..., ::-1], training=True)[..., ::-1], slow_ibn(x, 3), 1e-4)


def test_half_of_ibn_ignores_brightness_and_contrast():
    x = array(2, 6, 6, 8)
    shifted = x * np.array([0.5, 3], "float32")[:, None, None, None] + np.array([5, -1], "float32")[:, None, None, None]
    plain, other = (np.asarray(IBN()(v)) for v in (x, shifted))
    close(plain[..., :4], other[..., :4], 1e-4)
    assert np.abs(plain[..., 4:] - other[..., 4:]).max() > 1
    assert np.abs(np.asarray(IBN()(np.full((2, 6, 6, 8), 9, "float32")))[..., :4]).max() < 1e-3  # a flat picture


@pytest.mark.parametrize("ratio", [0.0, 0.05, 1.0])
def test_ibn_needs_two_halves(ratio):
    with pytest.raises(ValueError, match="either side"):
        IBN(ratio)(array(1, 2, 2, 4))


def test_polynomials():
    angle = np.linspace(0, np.pi, 9)
    for n, p in enumerate(polynomials(ops.convert_to_tensor(np.cos(angle)), "chebyshev", 5)):
        np.testing.assert_allclose(p, np.cos(n * angle), atol=1e-6)
    t = np.linspace(-1, 1, 7)
    for basis, reference in (("legendre", np.polynomial.legendre.legval), ("hermite", np.polynomial.hermite.hermval)):
        for n, p in enumerate(polynomials(ops.convert_to_tensor(t), basis, 4)):
            np.testing.assert_allclose(p, reference(t, np.eye(5)[n]), atol=1e-5)
    assert len(polynomials(ops.convert_to_tensor(t), "chebyshev", 0)) == 1


@pytest.mark.parametrize(("basis", "strides", "degree"), [("chebyshev", 1, 3), ("legendre", 2, 2), ("hermite", 2, 0)])
def test_kan_conv_equals_slow_loops(basis, strides, degree):
    x = array(2, 5, 6, 2)
    layer = KANConv2D(strides=strides, degree=degree, basis=basis)
    got = np.asarray(layer(x))
    layer.scale.assign(array(3, 3, seed=4))
    got = np.asarray(layer(x))
    w, s, b = (np.asarray(v) for v in (layer.coefficients, layer.scale, layer.kernel))
    values = {
        "chebyshev": np.polynomial.chebyshev.chebval,
        "legendre": np.polynomial.legendre.legval,
        "hermite": np.polynomial.hermite.hermval,
    }[basis]
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    slow = np.zeros_like(got)
    for n, i, j, c in np.ndindex(slow.shape):
        for k, m in np.ndindex(3, 3):
            u = padded[n, i * strides + k, j * strides + m, c]
            slow[n, i, j, c] += b[k, m] * u + s[k, m] * values(np.tanh(u), w[k, m])
    close(got, slow, 1e-4)


def test_without_polynomial_it_is_one_depthwise_kernel_for_all():
    x = array(1, 6, 6, 3)
    layer = KANConv2D()
    layer.build(x.shape)
    layer.coefficients.assign(np.zeros((3, 3, 4)))
    kernel = np.repeat(np.asarray(layer.kernel)[:, :, None, None], 3, 2)
    close(layer(x), ops.depthwise_conv(x, kernel, 1, "same"))


@pytest.mark.parametrize(
    ("narrow", "wide", "parameters"), [(256, 512, 99_683), (1024, 2048, 1_578_083)], ids=["resnet18", "resnet50"]
)
def test_the_branch_adds_the_authors_parameters(narrow, wide, parameters):
    block = RKANBlock()
    block.build([(None, 14, 14, narrow), (None, 7, 7, wide)])
    assert sum(np.prod(w.shape) for w in block.trainable_weights) == parameters


@pytest.mark.parametrize("mechanism", ["addition", "gating", "se"])
def test_how_branch_meets_stage(mechanism):
    x, y = array(2, 8, 8, 6), array(2, 4, 4, 16, seed=1)
    block = RKANBlock(mechanism=mechanism)
    got = np.asarray(block([x, y]))
    assert np.abs(got - y).max() > 0.1
    if mechanism != "gating":  # the branch does not see the stage's output
        close(got - y, block([x, np.zeros_like(y)]), 1e-4)
    block.branch[-1].gamma.assign(np.zeros(16))  # no branch: the stage alone, through a gate of sigmoid(0)
    close(block([x, y]), y * (0.5 if mechanism == "gating" else 1))


def test_no_3x3_convolution_of_resnet_spd_has_a_stride():
    from hub.registry import build

    model = build("resnet_spd_tiny", input_shape=(27, 32, 3))
    strided = [layer for layer in model.layers if max(getattr(layer, "strides", (1,))) > 1]
    assert len(strided) == 3 and all(layer.kernel_size == (1, 1) for layer in strided)
    assert [model.get_layer(f"stage{s}").output.shape[1:3] for s in (1, 2, 3, 4)] == [(14, 16), (7, 8), (4, 4), (2, 2)]

"""Continuous kernels: generator, mask and convolution against slow loops; any size, the same function."""

import keras
import numpy as np
import pytest

from hub.layers.continuous_conv import FlexConv
from hub.layers.fft_conv import fft_conv
from hub.layers.magnet import MAGNet
from hub.registry import build


def array(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def close(a, b, tolerance=1e-5):
    a, b = np.asarray(a), np.asarray(b)
    assert a.shape == b.shape
    np.testing.assert_allclose(a, b, atol=tolerance * max(np.abs(b).max(), 1e-3), rtol=0)


def slow_magnet(x, net):
    """One point [D] at a time, one filter at a time, in double precision."""
    w = {v.name: np.asarray(v, "float64") for v in net.weights}

    def g(layer, x):
        found = []
        for unit in range(net.hidden):
            distance = sum((w["gamma"][layer, unit, d] * (x[d] - w["mu"][layer, unit, d])) ** 2 for d in range(len(x)))
            phase = sum(w["frequency"][layer, unit, d] * x[d] for d in range(len(x))) + w["phase"][layer, unit]
            found.append(np.exp(-distance / 2) * np.sin(phase))
        return np.array(found)

    h = g(0, x)
    for layer in range(net.depth):
        h = g(layer + 1, x) * (h @ w["linear"][layer] + w["linear_bias"][layer])
    return h @ w["output_kernel"] + w["output_bias"]


def slow_kernel(layer, points):
    """[..., channels, filters or 1], cut where the authors' code cuts it."""
    rank, sigma = layer.rank, np.asarray(layer.width, "float64")
    axis, step = np.linspace(-1, 1, points), 2 / (points - 1)
    outputs = layer.filters or 1
    kernel = np.zeros((*[points] * rank, layer.channels, outputs))
    root = sigma * np.sqrt(-2 * np.log(layer.threshold))
    for at in np.ndindex(*[points] * rank):
        x = np.array([axis[i] for i in at])
        if layer.causal:
            kept = at[0] >= np.floor((2 - root[0]) / step)
        else:
            kept = all(abs(i - points // 2) <= np.ceil(r / step + 1e-8) - 1 for i, r in zip(at, root, strict=True))
        if kept:
            mask = np.exp(-0.5 * sum((v - layer.causal) ** 2 / (s**2 + 1e-8) for v, s in zip(x, sigma, strict=True)))
            kernel[at] = mask * slow_magnet(x, layer.generator).reshape(outputs, layer.channels).T
    return kernel


def slow_conv(x, kernel, causal=False):
    rank = x.ndim - 2
    spans = kernel.shape[:rank]
    pads = [(span - 1, 0) if causal else (span // 2, span // 2) for span in spans]
    padded = np.pad(x, ((0, 0), *pads, (0, 0)))
    wide = kernel.shape[-1] if kernel.shape[-1] > 1 else x.shape[-1]
    y = np.zeros((*x.shape[:-1], wide))
    for at in np.ndindex(*x.shape[1:-1]):
        window = padded[(slice(None), *[slice(i, i + span) for i, span in zip(at, spans, strict=True)])]
        product = window[..., None] * kernel
        axes = tuple(range(1, rank + 1))
        y[(slice(None), *at)] = product.sum(axes)[..., 0] if kernel.shape[-1] == 1 else product.sum((*axes, rank + 1))
    return y


@pytest.mark.parametrize(("dimensions", "depth", "causal"), [(1, 3, True), (2, 2, False), (3, 0, False)])
def test_the_generator_equals_slow_loops(dimensions, depth, causal):
    x = np.random.default_rng(0).uniform(-1, 1, size=(6, dimensions)).astype("float32")
    net = MAGNet(4, hidden=5, depth=depth, omega=2.0, causal=causal)
    got = net(x)
    assert np.ptp(np.asarray(got), axis=0).min() > 1e-3
    close(got, [slow_magnet(point, net) for point in x.astype("float64")], 1e-4)


def test_filters_start_as_published():
    keras.utils.set_random_seed(0)
    net = MAGNet(6, hidden=2000, depth=2, omega=50.0, spread=0.25)
    net.build((None, 2))
    gamma = np.asarray(net.gamma)
    for layer in range(3):  # Gamma(a, 1) has mean and variance a
        np.testing.assert_allclose(gamma[layer].mean(), 6 / (layer + 1), rtol=0.1)
        np.testing.assert_allclose(gamma[layer].var(), 6 / (layer + 1), rtol=0.2)
    ratio = np.abs(np.asarray(net.frequency)) / gamma
    np.testing.assert_allclose(ratio.max(), 2 * np.pi * 50 / np.sqrt(2), rtol=0.01)
    assert 0.24 < np.abs(np.asarray(net.mu)).max() <= 0.25
    causal = MAGNet(6, hidden=200, spread=0.25, causal=True)
    causal.build((None, 1))
    assert 0.75 <= np.asarray(causal.mu).min() < 0.77 and np.asarray(causal.mu).max() <= 1


def test_the_kernels_variance_counts_the_points_that_are_left():
    """Of 33 x 33 points a Gaussian of 0.075 leaves 5 x 5; in full the channels count as well."""
    for filters, points in ((None, 25), (4, 25 * 6)):
        layer = FlexConv(filters, sigma=0.075)
        layer.build((None, 40, 40, 6))
        edge = np.sqrt(3 / 32 / points)
        assert 0.9 * edge < np.abs(np.asarray(layer.generator.output_kernel)).max() <= edge


@pytest.mark.parametrize(
    ("shape", "options"),
    [
        ((2, 9, 7, 3), {"kernel_size": 7, "sigma": 0.3}),
        ((2, 6, 9, 2), {"kernel_size": 5, "filters": 3, "sigma": 0.9}),
        ((2, 11, 3), {"kernel_size": 9, "filters": 2, "sigma": 0.3}),
        ((2, 12, 2), {"kernel_size": None, "causal": True, "sigma": 0.2}),
        ((2, 12, 2), {"kernel_size": None, "sigma": 0.5}),
        ((1, 9, 2), {"kernel_size": 53, "filters": 2, "sigma": 0.3}),
    ],
    ids=["images", "images, full", "full", "causal", "even length", "long"],
)
def test_convolution_equals_slow_loops(shape, options):
    x = array(*shape)
    layer = FlexConv(hidden=4, depth=1, omega=2.0, **options)
    layer.build(shape)
    layer.width.assign(np.linspace(1, 1.3, layer.rank) * options["sigma"])
    kernel = slow_kernel(layer, layer.points)
    close(layer.sample(), kernel, 1e-4)
    layer.bias.assign(array(layer.filters or shape[-1]))
    expected = slow_conv(x, kernel, layer.causal) + np.asarray(layer.bias)
    assert np.abs(expected - np.asarray(layer.bias)).max() > 1e-2
    close(layer(x), expected, 1e-4)


@pytest.mark.parametrize(
    ("shape", "kernel"),
    [((2, 20, 3), (9, 3, 1)), ((2, 7, 3), (15, 3, 4)), ((2, 6, 9, 3), (5, 7, 3, 1)), ((1, 5, 4, 3), (9, 3, 3, 2))],
    ids=str,
)
def test_frequencies_give_the_same_convolution(shape, kernel):
    x, kernel = array(*shape), array(*kernel, seed=1)
    close(fft_conv(x, kernel), slow_conv(x, kernel))
    if x.ndim == 3:
        close(fft_conv(x, kernel, causal=True), slow_conv(x, kernel, causal=True))
        close(fft_conv(x, kernel[1:], causal=True), slow_conv(x, kernel[1:], causal=True))  # even


def test_a_denser_kernel_passes_through_the_same_points():
    layer = FlexConv(kernel_size=9, hidden=8, omega=1.0, sigma=0.5)
    layer.build((None, 20, 20, 3))
    close(np.asarray(layer.sample(17))[::2, ::2], layer.sample(), 1e-4)


def test_twice_the_resolution_gives_the_same_response():
    """The same kernel on a signal sampled twice as densely sums twice as much."""
    keras.utils.set_random_seed(1)
    layer = FlexConv(kernel_size=33, hidden=8, omega=0.2, sigma=0.3)
    coarse, fine = np.linspace(0, 3, 65), np.linspace(0, 3, 129)

    def wave(t):
        return np.sin(5 * t)[None, :, None].astype("float32")

    y = np.asarray(layer(wave(coarse)))[:, 16:-16]
    dense = np.asarray(fft_conv(wave(fine), layer.sample(65)))[:, ::2][:, 16:-16] / 2
    assert np.abs(y).max() > 1e-3
    assert np.abs(y - dense).max() < 0.02 * np.abs(y).max()


def test_parameters_do_not_know_the_kernels_size():
    counts = {build("ccnn_tiny", kernel_size=size).count_params() for size in (3, 9, 51)}
    assert len(counts) == 1


@pytest.mark.parametrize("length", [12, 60], ids=["direct", "by frequencies"])
def test_a_causal_network_ignores_the_future(length):
    keras.utils.set_random_seed(0)
    options = {"width": 8, "hidden": 8, "depth": 2, "omega": 5.0, "sigma": 0.5}
    model = build("ccnn_4_140_sequence", input_shape=(length, 2), num_classes=0, **options)
    x = array(1, length, 2)
    changed = x.copy()
    changed[:, 8:] += 5
    difference = np.abs(np.asarray(model(x)) - np.asarray(model(changed)))
    assert difference[:, :8].max() < 1e-5 < 1e-2 < difference[:, 8].max()


def test_sixteen_bits_do_not_touch_the_kernel():
    whole = FlexConv(kernel_size=9, omega=4000.0, dtype="float32")
    half = FlexConv(kernel_size=9, omega=4000.0, dtype="mixed_bfloat16")
    x = array(1, 8, 8, 4)
    whole(x), half(x)
    half.set_weights(whole.get_weights())
    np.testing.assert_array_equal(half.sample(), whole.sample())
    assert keras.backend.standardize_dtype(half(x).dtype) == "bfloat16"
    close(np.asarray(half(x)).astype("float32"), whole(x), 0.03)


def test_one_architecture_for_two_dimensions():
    image = build("ccnn_tiny", input_shape=(10, 12, 3))
    sequence = build("ccnn_tiny", input_shape=(40, 3))
    assert {at.name for at in image.layers[1:]} == {at.name for at in sequence.layers[1:]}
    assert image.get_layer("stage1").output.shape[1:] == (10, 12, 8)
    assert sequence.get_layer("stage1").output.shape[1:] == (40, 8)


def test_what_flex_conv_refuses():
    with pytest.raises(ValueError, match="odd size"):
        FlexConv(kernel_size=8)
    for options, shape in (({"causal": True}, (1, 8, 8, 3)), ({"kernel_size": None}, (1, 8, 8, 3))):
        with pytest.raises(ValueError, match="FlexConv takes"):
            FlexConv(**options).build(shape)
    with pytest.raises(ValueError, match="FlexConv takes"):
        FlexConv(kernel_size=None).build((None, None, 3))

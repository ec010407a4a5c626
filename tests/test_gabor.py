"""Gabor filters against OpenCV's and their bounds, soft histograms against loops, and the two together."""

import cv2
import keras
import numpy as np
import pytest

from hub.layers.gabor import GaborConv2D
from hub.layers.gabor_texture import GaborTexture
from hub.layers.learnable_histogram import LearnableHistogram, soft_histogram


def array(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def gabor(filters, raw=None, kernel_size=11):
    layer = GaborConv2D(filters, kernel_size)
    layer.build((None, None, None, 1))
    layer.raw.assign(array(4, filters) if raw is None else raw)
    return layer


def raw_of(value, low, high):
    share = np.clip((np.asarray(value) - low) / (high - low), 1e-6, 1 - 1e-6)
    return np.log(share / (1 - share))


def test_kernels_equal_opencv():
    layer = gabor(6, kernel_size=13)
    real, imaginary = (np.asarray(k) for k in layer.kernels())
    for f, (theta, along, across, frequency) in enumerate(np.asarray(layer.parameters()).T):
        for ours, phase in ((real, 0.0), (imaginary, -np.pi / 2)):
            theirs = cv2.getGaborKernel((13, 13), along, theta, 1 / frequency, along / across, phase)
            theirs = theirs[::-1, ::-1] / (2 * np.pi * along * across)  # it writes from the last pixel to the first
            np.testing.assert_allclose(ours[..., f], theirs, atol=1e-6)


@pytest.mark.parametrize("scale", [1, 100])
def test_parameters_stay_within_their_bounds(scale):
    theta, along, across, frequency = np.asarray(gabor(64, array(4, 64) * scale).parameters()).astype(float)
    assert (theta >= 0).all() and (theta <= np.pi + 1e-6).all()
    highest = (22 * np.pi - 25) / (44 * np.pi)  # the paper's bound at 11 pixels
    low, high = frequency[:32], frequency[32:]
    assert low.min() >= 0 and low.max() <= highest / 2 + 1e-6 <= high.min() + 2e-6 and high.max() <= highest + 1e-6
    assert (across >= 5 / (2 * np.pi) - 1e-6).all() and max(along.max(), across.max()) <= 2.2 + 1e-6
    assert (along >= 5 / (2 * np.pi * (1 - 2 * frequency)) - 1e-5).all()


def test_responds_to_its_own_direction_and_frequency_at_every_phase():
    thetas, frequencies = np.linspace(0.1, 3.0, 12), [0.08, 0.24]
    raw = np.zeros((4, 24))
    highest = (22 * np.pi - 25) / (44 * np.pi)
    raw[0] = raw_of(np.tile(thetas, 2), 0, np.pi)
    raw[1:3] = 3.0
    raw[3, :12] = raw_of(frequencies[0], 0, highest / 2)
    raw[3, 12:] = raw_of(frequencies[1], highest / 2, highest)
    y, x = np.indices((32, 32))
    gratings = [
        np.cos(2 * np.pi * frequencies[k // 12] * (x * np.cos(thetas[k % 12]) + y * np.sin(thetas[k % 12])) + 0.4 * k)
        for k in range(24)
    ]
    response = np.asarray(gabor(24, raw)(np.stack(gratings)[..., None].astype("float32")))[:, 8:-8, 8:-8]
    assert (response.mean((1, 2)).argmax(1) == np.arange(24)).all()
    own = response[np.arange(24), :, :, np.arange(24)][12:]
    assert (own.std((1, 2)) < 0.02 * own.mean((1, 2))).all(), "the magnitude follows the phase"


def test_every_channel_by_itself():
    x, layer = array(2, 9, 8, 3), gabor(4)
    alone = [np.asarray(layer(x[..., c : c + 1])) for c in range(3)]
    np.testing.assert_allclose(layer(x), np.concatenate(alone, -1), atol=1e-5)


def test_histogram_equals_slow_loops():
    x = array(2, 5, 4, 3) * np.array([1, 30, 0.01], "float32")
    shares, levels = (np.asarray(v) for v in soft_histogram(x, 6))
    for n, c in np.ndindex(2, 3):
        expected = np.linspace(x[n, ..., c].min(), x[n, ..., c].max(), 6)
        np.testing.assert_allclose(levels[n, c], expected, rtol=1e-4, atol=1e-5)
        slow = np.zeros(6)
        for value in x[n, ..., c].ravel():
            slow += [np.interp(value, expected, unit) for unit in np.eye(6)]
        np.testing.assert_allclose(shares[n, c], slow / 20, atol=1e-4)
    moved = x.reshape(2, 20, 3)[:, np.random.default_rng(1).permutation(20)].reshape(2, 4, 5, 3)
    np.testing.assert_allclose(soft_histogram(moved, 6)[0], shares, atol=1e-5)


@pytest.mark.parametrize("value", [0.0, 7.0, -1e4])
def test_constant_maps_stay_finite(value):
    x = np.full((2, 4, 4, 2), value, "float32")
    shares, _ = soft_histogram(x, 8)
    np.testing.assert_allclose(np.sum(shares, -1), 1, atol=1e-5)
    assert np.isfinite(LearnableHistogram(units=4)(x)).all()
    assert np.isfinite(GaborTexture(4, units=4)(x)).all()


def test_texture_equals_its_parts():
    x = array(2, 12, 10, 2)
    layer = GaborTexture(4, levels=5, units=6)
    got = layer(x)
    told = (np.asarray(layer.gabor.parameters()) * np.array([[1 / np.pi], [5 / 11], [5 / 11], [2]])).T
    tokens = np.asarray(layer.histogram(layer.gabor(x))) + np.tile(told @ np.asarray(layer.tell.kernel), (2, 1))
    q, k, v = (tokens @ np.asarray(p.kernel) for p in layer.relate.projections)
    for n in range(2):
        weights = np.exp(q[n] @ k[n].T / 6**0.5)
        expected = (weights / weights.sum(1, keepdims=True) @ v[n]).mean(0)
        np.testing.assert_allclose(got[n], expected, atol=1e-4)


@pytest.mark.parametrize(
    ("layer", "wrong"),
    [(GaborConv2D, {"filters": 3}), (GaborConv2D, {"kernel_size": 4}), (LearnableHistogram, {"levels": 1})],
)
def test_arguments(layer, wrong):
    with pytest.raises(ValueError, match="Received"):
        layer(**wrong)


def gratings(n, seed):
    """Stripes of random direction and phase, of 0.12 or 0.16 cycles per pixel, in noise."""
    rng = np.random.default_rng(seed)
    labels, theta, phase = np.arange(n) % 2, *rng.uniform(0, 2 * np.pi, (2, n, 1, 1))
    y, x = np.indices((28, 28))
    frequency = np.array([0.12, 0.16])[labels][:, None, None]
    images = np.cos(2 * np.pi * frequency * (x * np.cos(theta) + y * np.sin(theta)) + phase)
    return (images + rng.normal(0, 0.2, images.shape))[..., None].astype("float32"), labels


def test_learns_the_width_of_stripes_from_few_images():
    keras.utils.set_random_seed(0)
    inputs = keras.Input((28, 28, 1))
    model = keras.Model(inputs, keras.layers.Dense(2)(GaborTexture(16, units=16)(inputs)))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(0.01), loss, jit_compile=False, metrics=["accuracy"])
    images, labels = gratings(16, 0)
    model.fit(np.tile(images, (60, 1, 1, 1)), np.tile(labels, 60), batch_size=16, shuffle=False, verbose=0)
    assert model.evaluate(*gratings(200, 1), verbose=0)[1] > 0.9

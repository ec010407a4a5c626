"""Distortions: scipy for the bending, images of coordinates to read the map back, seeds."""

import numpy as np
import pytest
import tensorflow as tf
from scipy import ndimage

from hub.data.distortions import distort, distorted, look_up, smooth

STILL = {"translation": 0.0, "scaling": 0.0, "rotation": 0.0, "alpha": 0.0}
HEIGHT, WIDTH = 41, 33


def coordinates(count):
    """Images whose two channels are row and column: distorted, they say where each pixel came from."""
    return np.broadcast_to(np.stack(np.mgrid[:HEIGHT, :WIDTH], -1).astype("float32"), (count, HEIGHT, WIDTH, 2))


def inverse_maps(count=40, **limits):
    """Per image a matrix and a shift, source = matrix (place - centre) + shift + centre, off the centre of the image,
    and the largest departure from them."""
    middle = np.s_[:, 12:-12, 10:-10]
    source = np.asarray(distort(coordinates(count), (3, 4), **{**STILL, **limits}))[middle].reshape(count, -1, 2)
    centre = np.array([(HEIGHT - 1) / 2, (WIDTH - 1) / 2])
    place = coordinates(1)[middle].reshape(-1, 2) - centre
    known = np.c_[place, np.ones(len(place))]
    found = np.stack([np.linalg.lstsq(known, s - centre, rcond=None)[0] for s in source])
    rest = np.abs(known @ found - (source - centre)).max()
    return found[:, :2].transpose(0, 2, 1), found[:, 2], rest


def spread(values, limit):
    """Draws in -limit..limit that use the whole range."""
    return np.abs(values).max() <= limit + 1e-4 and values.max() > 0.7 * limit and values.min() < -0.7 * limit


def test_shift():
    matrix, shift, rest = inverse_maps(translation=0.1)
    assert rest < 1e-4 and np.allclose(matrix, np.eye(2), atol=1e-5)
    assert spread(shift[:, 0], 0.1 * HEIGHT) and spread(shift[:, 1], 0.1 * WIDTH)
    assert abs(np.corrcoef(shift.T)[0, 1]) < 0.5


def test_scale():
    matrix, shift, rest = inverse_maps(scaling=0.3)
    assert rest < 1e-4 and np.allclose(shift, 0, atol=1e-4)
    assert np.allclose(matrix[:, [0, 1], [1, 0]], 0, atol=1e-5)
    assert spread(1 / matrix[:, 0, 0] - 1, 0.3) and spread(1 / matrix[:, 1, 1] - 1, 0.3)
    assert abs(np.corrcoef(matrix[:, 0, 0], matrix[:, 1, 1])[0, 1]) < 0.5


def test_turn():
    matrix, shift, rest = inverse_maps(rotation=20.0)
    assert rest < 1e-4 and np.allclose(shift, 0, atol=1e-4)
    assert np.allclose(matrix @ matrix.transpose(0, 2, 1), np.eye(2), atol=1e-5)
    assert np.allclose(np.linalg.det(matrix), 1, atol=1e-5)
    assert spread(np.degrees(np.arcsin(matrix[:, 1, 0])), 20)


def test_bending_equals_scipy():
    rng = np.random.default_rng(0)
    noise = rng.uniform(-1, 1, (2, 3, 29, 21)).astype("float32")
    for sigma in (0.8, 6.0):
        wanted = ndimage.gaussian_filter(noise, (0, 0, sigma, sigma), mode="constant")
        np.testing.assert_allclose(smooth(noise, sigma), wanted, atol=1e-5)
    images = rng.normal(size=(2, 29, 21, 2)).astype("float32")
    y, x = rng.uniform(-4, 33, (2, 29, 21)), rng.uniform(-4, 25, (2, 29, 21))
    got = np.asarray(look_up(images, y.astype("float32"), x.astype("float32")))
    for n, c in np.ndindex(2, 2):
        wanted = ndimage.map_coordinates(images[n, ..., c], [y[n], x[n]], order=1, mode="nearest")
        np.testing.assert_allclose(got[n, ..., c], wanted, atol=1e-4)


def test_bending_is_of_the_size_that_the_formula_gives():
    """A sum of independent noises with the Gaussian's weights: alpha sqrt(1/3) / (2 sqrt(pi) sigma) pixels."""
    source = np.asarray(distort(coordinates(60), (1, 2), **{**STILL, "alpha": 20.0}, sigma=3.0))
    moved = (source - coordinates(60))[:, 15:-15, 13:-13]
    assert np.std(moved) == pytest.approx(20 * (1 / 3) ** 0.5 / (2 * np.pi**0.5 * 3), rel=0.1)
    rows, columns = moved[..., 0].ravel(), moved[..., 1].ravel()
    assert abs(np.corrcoef(rows, columns)[0, 1]) < 0.2


def test_neutral_limits_change_nothing():
    images = np.random.default_rng(0).integers(0, 256, (3, 9, 7, 2), dtype=np.uint8)
    still = distort(images, (0, 0), **STILL)
    assert still.dtype == tf.float32
    np.testing.assert_allclose(still, images, atol=1e-3)


def passes(seed, count=2):
    images = np.random.default_rng(0).uniform(size=(10, 12, 12, 1)).astype("float32")
    batches = tf.data.Dataset.from_tensor_slices((images, np.arange(10))).batch(4)
    twisted = distorted(batches, seed, rotation=15.0)
    assert twisted.element_spec[0].shape.as_list() == [None, 12, 12, 1]
    found = []
    for _ in range(count):
        pictures, labels = zip(*twisted.as_numpy_iterator(), strict=True)
        np.testing.assert_array_equal(np.concatenate(labels), np.arange(10))
        found.append(np.concatenate(pictures))
    return images, found


def test_every_pass_differs_and_the_seed_repeats_them():
    images, (first, second) = passes(7)
    assert np.abs(first - second).mean() > 0.01 and np.abs(first - images).mean() > 0.01
    _, again = passes(7)
    np.testing.assert_array_equal([first, second], again)
    _, (other,) = passes(8, 1)
    assert np.abs(first - other).mean() > 0.01


def test_images_of_a_batch_differ():
    same = np.broadcast_to(np.random.default_rng(0).uniform(size=(12, 12, 1)), (3, 12, 12, 1))
    out = np.asarray(distort(same, (1, 1)))
    assert np.abs(out[0] - out[1]).mean() > 0.01


def test_errors():
    with pytest.raises(ValueError, match="below 1"):
        distort(np.zeros((1, 4, 4, 1)), (0, 0), scaling=1.0)
    unknown = tf.TensorSpec((None, None, 4, 1), tf.float32)
    with pytest.raises(ValueError, match="known height"):
        tf.function(lambda images: distort(images, (0, 0))).get_concrete_function(unknown)

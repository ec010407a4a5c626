"""Fixation maps against a loop over fixations and the retina's own gaze; a planted object is found."""

import keras
import numpy as np
import pytest

from hub.explain.fixation_map import FixationMap, localize_by_fixation, moves
from hub.layers.log_polar import LogPolar


def foveated(size, with_centers=False, seed=0):
    images, centers = keras.Input((*size, 2)), keras.Input((2,))
    retina = LogPolar(6, 8, 0.1, 0.7)
    x = retina((images, centers) if with_centers else images)
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(4, 3, activation="relu")(x))
    outputs = keras.layers.Dense(3)(x)
    model = keras.Model([images, centers] if with_centers else images, outputs)
    rng = np.random.default_rng(seed)
    model.set_weights([rng.normal(size=w.shape) for w in model.weights])
    return model


def stretched(maps):
    maps = maps - maps.min((1, 2), keepdims=True)
    return maps / maps.max((1, 2), keepdims=True)


def test_equals_a_loop_over_the_retinas_gaze():
    images = np.random.default_rng(1).uniform(size=(2, 12, 8, 2)).astype("float32")
    looking = foveated((12, 8), with_centers=True)
    grid = 4
    slow = np.zeros((2, grid, grid))
    for i, j in np.ndindex(grid, grid):
        at = np.array([moves(12, grid)[i], moves(8, grid)[j]], "float32") / 4  # in halves of the shorter side
        slow[:, i, j] = np.asarray(looking((images, np.stack([at, at]))))[:, 1]
    expected = keras.ops.image.resize(
        stretched(slow).astype("float32")[..., None], (12, 8), data_format="channels_last"
    )[..., 0]
    got = FixationMap(grid, batch_size=5)(foveated((12, 8)), images, lambda outputs: outputs[:, 1])
    np.testing.assert_allclose(got, expected, atol=1e-4)


@pytest.mark.parametrize(("size", "grid"), [(9, 3), (12, 4), (16, 5), (33, 9)])
def test_moves_are_within_half_a_pixel_of_the_tiles_middles(size, grid):
    middles = (np.arange(grid) + 0.5) * size / grid
    assert np.abs(moves(size, grid) + size / 2 - middles).max() <= 0.5
    assert (moves(size, grid) == -moves(size, grid)[::-1]).all()


def test_finds_a_planted_object():
    """A model that counts what is bright around its middle finds a bright square, and its box covers it."""
    size = 40
    inputs = keras.Input((size, size, 1))
    seen = LogPolar(12, 16, r_min=0.05, r_max=0.3)(inputs)
    model = keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(seen))
    images = np.zeros((3, size, size, 1), "float32")
    corners = np.array([[4, 6], [20, 25], [28, 3]])
    for image, (row, column) in zip(images, corners, strict=True):
        image[row : row + 8, column : column + 8] = 1
    maps = FixationMap(13)(model, images)
    peaks = np.stack(np.unravel_index(maps.reshape(3, -1).argmax(1), (size, size)), 1)
    assert np.abs(peaks - (corners + 3.5)).max() <= 3
    boxes = localize_by_fixation(maps)
    for (top, left, bottom, right), (row, column) in zip(boxes, corners, strict=True):
        both = max(min(bottom, row + 8) - max(top, row), 0) * max(min(right, column + 8) - max(left, column), 0)
        assert both / ((bottom - top) * (right - left) + 64 - both) > 0.5


def test_boxes():
    maps = np.zeros((2, 5, 7))
    maps[0, 1:3, 2:6] = [[0.6, 0.2, 0.5, 0.4], [0.1, 0.9, 0.2, 0.7]]
    assert localize_by_fixation(maps).tolist() == [[1, 2, 3, 6], [0, 0, 0, 0]]
    assert localize_by_fixation(maps, 0.8).tolist()[0] == [2, 3, 3, 4]


def test_a_model_that_sees_no_difference_gives_zeros():
    inputs = keras.Input((8, 8, 1))
    model = keras.Model(inputs, keras.layers.Flatten()(keras.layers.Cropping2D(((7, 0), (7, 0)))(inputs)))
    assert not FixationMap(3)(model, np.zeros((2, 8, 8, 1), "float32")).any()


def test_arguments():
    with pytest.raises(ValueError, match="Received"):
        FixationMap(1)
    with pytest.raises(ValueError, match=r"\[N, H, W, C\]"):
        FixationMap()(foveated((8, 8)), np.zeros((8, 8, 2)))

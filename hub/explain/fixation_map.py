"""Fixation map: how much the model believes in a class when it looks here, or here.

Paper: Jérémie, Daucé and Perrinet, "Foveated Retinotopy Improves Classification and Localization in CNNs", 2024,
  arXiv:2402.15480
Slug: foveated_retinotopy
Idea: a network that sees only its point of fixation sharply gives the object's class a high score where the object is;
  its scores over a grid of fixations are a map that locates it.
Differs: instead of the gaze the image moves, by whole pixels and followed by zeros, which is the same for a network
  that takes nothing from outside the image, and lets any model be asked. Each map is stretched to 0..1.
Checked: equals a loop over fixations, and the retina's own `centers`; a planted patch is found, its box too
  (tests/test_fixation_map.py).
"""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

from hub.explain.feature_maps import check_images, divided, resized, row_scores
from hub.registry import register


@register("fixation_map")
class FixationMap:
    """Explains a model's score by where it would have to look, on any backend; `grid**2` forward passes per image.

    Args:
        grid: fixations along the height and along the width; they lie in the middle of equal tiles.
        batch_size: moved images that pass through the model at once.

    Raises:
        ValueError: a count is too small.
    """

    def __init__(self, grid: int = 9, batch_size: int = 32):
        if grid < 2 or batch_size < 1:
            raise ValueError(
                f"`grid` must be at least 2 and `batch_size` at least 1. Received: {grid=}, {batch_size=}."
            )
        self.grid = grid
        self.batch_size = batch_size

    def __call__(self, model: keras.Model, images: Any, score: Callable[[Any], Any] | None = None) -> np.ndarray:
        """Maps [N, H, W], float32 in 0..1: 1 at the best fixation of the grid, 0 at the worst, or 0 if all are alike.

        Args:
            model: any Keras model; it runs in inference mode and is left as it was.
            images: [N, H, W, C] in the range that the model takes.
            score: the model's outputs for M moved images -> one number each, [M]; M varies, so each row must be scored
                alike. The paper's are probabilities. Default: the class whose output, of [N, classes], is largest for
                the image as it is.

        Raises:
            ValueError: images or the score do not fit.
        """
        images = ops.convert_to_numpy(images).astype("float32")
        check_images(images)
        scores = row_scores(score, model(images, training=False))
        n, height, width = images.shape[:3]
        down, right = moves(height, self.grid), moves(width, self.grid)
        around = np.pad(images, ((0, 0), (height, height), (width, width), (0, 0)))
        windows = np.lib.stride_tricks.sliding_window_view(around, (height, width), axis=(1, 2))
        rows, i, j = (index.ravel() for index in np.indices((n, self.grid, self.grid)))
        found = np.zeros(rows.shape, "float32")
        for start in range(0, len(rows), self.batch_size):
            now = slice(start, start + self.batch_size)
            moved = windows[rows[now], height + down[i[now]], width + right[j[now]]].transpose(0, 2, 3, 1)
            found[now] = ops.convert_to_numpy(scores(model(moved, training=False), rows[now]))
        maps = found.reshape(n, self.grid, self.grid)
        maps -= maps.min((1, 2), keepdims=True)
        return resized(divided(maps, maps.max((1, 2), keepdims=True)), (height, width))


def moves(size: int, grid: int) -> np.ndarray:
    """Whole pixels [grid] from the middle of a side of `size` pixels to the middles of `grid` equal tiles."""
    return np.rint((np.arange(grid) + 0.5) * size / grid - size / 2).astype(int)


def localize_by_fixation(maps: np.ndarray, threshold: float = 0.5) -> np.ndarray:
    """Boxes [N, 4] (top, left, bottom, right; the last two exclusive) of what exceeds `threshold` in maps [N, H, W].

    A map's box reaches from its first to its last such row and column; a map without any has the box 0, 0, 0, 0.
    """
    above = np.asarray(maps) > threshold
    sides = []
    for axis in (2, 1):  # rows, then columns
        shown = above.any(axis)
        first = shown.argmax(1)
        last = np.where(shown.any(1), shown.shape[1] - shown[:, ::-1].argmax(1), 0)
        sides.append((first, last))
    (top, bottom), (left, right) = sides
    return np.stack([top, left, bottom, right], axis=1)

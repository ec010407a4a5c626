"""Occlusion sensitivity: how much a score falls when a square covers a part of the picture.

Paper: Zeiler and Fergus, "Visualizing and Understanding Convolutional Networks", ECCV 2014, arXiv:1311.2901
Slug: zfnet_deconvnet
Idea: slide a gray square over the image and ask the network again each time; where the answer suffers, it looked.
Differs: every pixel gets the mean fall over the squares that cover it; the paper draws the score itself at each
  square's centre. Gray is the image's own mean colour unless a value is given. A row's last square ends at the border.
Checked: equals a loop over squares, finds the one spot a network looks at (tests/test_zfnet_deconvnet.py).
"""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

from hub.explain.feature_maps import check_images, divided, forward, row_scores
from hub.registry import register


@register("occlusion_sensitivity")
class OcclusionSensitivity:
    """Explains a score by covering parts of the image; forward passes only, on any backend.

    Args:
        size: side of the square in pixels, at most the image's. Default: 22 % of the shorter side, 50 pixels of 224.
        strides: pixels from one square to the next, at most `size`. Default: half of `size`.
        value: what the square is filled with, in the range of the images. Default: each image's mean of each channel.
        layer: measure, in place of a score, the sum of the feature map of this layer that is strongest (largest sum) in
            the whole image, as the paper's figure 7b does.
        batch_size: covered copies that pass through the model at once.

    Raises:
        ValueError: a size or count is not positive, or squares would leave pixels out.
    """

    def __init__(
        self,
        size: int | None = None,
        strides: int | None = None,
        value: float | None = None,
        layer: str | None = None,
        batch_size: int = 32,
    ):
        given = [count for count in (size, strides, batch_size) if count is not None]
        if min(given) < 1 or (size and strides and strides > size):
            raise ValueError(
                "`size`, `strides` and `batch_size` are at least 1 and `strides` at most `size`. "
                f"Received: {size=}, {strides=}, {batch_size=}."
            )
        self.size, self.strides, self.value, self.layer, self.batch_size = size, strides, value, layer, batch_size

    def __call__(self, model: keras.Model, images: Any, score: Callable[[Any], Any] | None = None) -> np.ndarray:
        """Maps [N, H, W], float32 in 0..1: the largest value of each is 1, or all are 0 where nothing is missed.

        Arguments and errors are those of `fall`.
        """
        maps = np.maximum(self.fall(model, images, score), 0)
        return divided(maps, maps.max((1, 2), keepdims=True))

    def fall(self, model: keras.Model, images: Any, score: Callable[[Any], Any] | None = None) -> np.ndarray:
        """What each pixel's cover costs, [N, H, W], float32, in the score's own unit; negative where it helps.

        Args:
            model: any Keras model; it runs in inference mode.
            images: [N, H, W, C] in the range that the model takes.
            score: used without a `layer` only: the model's outputs for M covered images -> one number each, [M]; M
                varies. Default: the class whose output, of [N, classes], is largest for the whole image.

        Raises:
            ValueError: images, square, layer or score do not fit.
        """
        images = ops.convert_to_numpy(images).astype("float32")
        check_images(images)
        n, height, width, _ = images.shape
        size = self.size or max(1, round(0.22 * min(height, width)))
        if size > min(height, width):
            raise ValueError(f"The square is larger than images of {height} x {width} pixels. Received: size={size}.")
        strides = min(self.strides or max(1, size // 2), size)
        down, across = _windows(height, size, strides), _windows(width, size, strides)
        gray = images.mean((1, 2)) if self.value is None else np.full((n, images.shape[-1]), self.value, "float32")
        whole, ask = self._measure(model, images, score)
        fallen = np.empty(n * len(down) * len(across), "float32")
        for start in range(0, len(fallen), self.batch_size):
            at = np.arange(start, min(start + self.batch_size, len(fallen)))
            rows, i, j = np.unravel_index(at, (n, len(down), len(across)))
            square = (down[i][:, :, None] & across[j][:, None])[..., None]
            covered = np.where(square, gray[rows][:, None, None], images[rows])
            fallen[at] = whole[rows] - ask(covered, rows)
        fallen = fallen.reshape(n, len(down), len(across))
        total = np.einsum("nij,ih,jw->nhw", fallen, down.astype("float32"), across.astype("float32"))
        return total / np.outer(down.sum(0), across.sum(0)).astype("float32")

    def _measure(self, model: keras.Model, images: np.ndarray, score: Callable | None) -> tuple[np.ndarray, Callable]:
        """The figure of each whole image, [N], and a function (covered [M, ...], rows [M]) -> theirs, [M]."""
        rows = np.arange(len(images))
        if self.layer is None:
            outputs = model(images, training=False)
            scores = row_scores(score, outputs)
            found = scores(outputs, rows)
            return _numpy(found), lambda covered, rows: _numpy(scores(model(covered, training=False), rows))
        sums = _numpy(ops.sum(forward(model, images, self.layer)[1], axis=(1, 2)))
        best = sums.argmax(1)

        def ask(covered: np.ndarray, rows: np.ndarray) -> np.ndarray:
            theirs = _numpy(ops.sum(forward(model, covered, self.layer)[1], axis=(1, 2)))
            return theirs[np.arange(len(rows)), best[rows]]

        return sums[rows, best], ask


def _windows(length: int, size: int, strides: int) -> np.ndarray:
    """Which of `length` pixels each window covers, [windows, length]; the last one ends at the border."""
    starts = np.unique(np.append(np.arange(0, length - size, strides), length - size))
    places = np.arange(length) - starts[:, None]
    return (places >= 0) & (places < size)


def _numpy(x: Any) -> np.ndarray:
    return ops.convert_to_numpy(x).astype("float32")

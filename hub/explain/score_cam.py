"""Score-CAM: feature maps weighed by what the model says of the image seen through them.

Paper: Wang et al., "Score-CAM: Score-Weighted Visual Explanations for Convolutional Neural Networks", CVPR Workshops
  2020, arXiv:1910.01279
Slug: score_cam
Idea: a feature map counts as much as the score rises above a blank image's when it alone uncovers the image.
Differs: weights are the positive rises; the paper's softmax (`weights="softmax"`) is nearly uniform where rises are
  small, and can be the sharper where they are large. Constant maps are left out. `max_maps` is the later shortcut known
  as Faster Score-CAM. Each map is divided by its own maximum.
Checked: equals loops over images and channels, finds planted patches (tests/test_explain.py).
"""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

from hub.explain.feature_maps import divided, forward, positive_maps, resized, row_scores
from hub.registry import register


@register("score_cam")
class ScoreCAM:
    """Explains a model's score by a map over each image, on any backend; costs one forward pass per image and channel.

    Args:
        layer: name of the layer whose output, [N, h, w, K], is weighed; layers of nested models are found too. Default:
            the last layer with a feature map of more than one position.
        weights: "relu", the positive rises of the score, or "softmax" over the rises, the paper's.
        max_maps: use only this many maps of each image, those of largest variance. Default: all.
        blank: value of a covered pixel, in the model's range; the paper's is the mean of normalised images.
        batch_size: masked images that pass through the model at once.

    Raises:
        ValueError: `weights` is neither, or a count is not positive.
    """

    def __init__(
        self,
        layer: str | None = None,
        weights: str = "relu",
        max_maps: int | None = None,
        blank: float = 0.0,
        batch_size: int = 32,
    ):
        if weights not in ("relu", "softmax"):
            raise ValueError(f'`weights` must be "relu" or "softmax". Received: weights={weights!r}.')
        if batch_size < 1 or (max_maps is not None and max_maps < 1):
            raise ValueError(f"`max_maps` and `batch_size` must be at least 1. Received: {max_maps=}, {batch_size=}.")
        self.layer = layer
        self.weights = weights
        self.max_maps = max_maps
        self.blank = blank
        self.batch_size = batch_size

    def __call__(self, model: keras.Model, images: Any, score: Callable[[Any], Any] | None = None) -> np.ndarray:
        """Maps [N, H, W], float32 in 0..1: the largest value of each is 1, or all are 0 where nothing speaks for it.

        Args:
            model: any Keras model; it runs in inference mode and is left as it was.
            images: [N, H, W, C] in the range that the model takes.
            score: the model's outputs for M masked images -> one number each, [M]; M varies, so each row must be scored
                alike. Give logits: probabilities hardly move. Default: the class whose output, of [N, classes], is
                largest for the whole image.

        Raises:
            ValueError: the layer, its output or the score does not fit.
        """
        images = ops.convert_to_numpy(images).astype("float32")
        outputs, features = forward(model, images, self.layer)
        scores = row_scores(score, outputs)
        features = ops.convert_to_numpy(ops.cast(features, "float32"))
        used = self._used(features)
        rows, channels = np.nonzero(used)
        rise = np.zeros(used.shape, "float32")
        for start in range(0, len(rows), self.batch_size):
            n, k = rows[start : start + self.batch_size], channels[start : start + self.batch_size]
            masks = resized(features[n, :, :, k], images.shape[1:3])
            masks -= masks.min((1, 2), keepdims=True)
            masks = divided(masks, masks.max((1, 2), keepdims=True))[..., None]
            masked = self.blank + (images[n] - self.blank) * masks
            rise[n, k] = ops.convert_to_numpy(scores(model(masked, training=False), n))
        rise[used] -= self._of_blank(model, images, scores)[rows]
        return positive_maps(np.einsum("nhwk,nk->nhw", features, self._weights(rise, used)), images.shape[1:3])

    def _used(self, features: np.ndarray) -> np.ndarray:
        """Which maps, [N, K], are not constant and, of those, vary enough to be among the `max_maps`."""
        largest = np.abs(features).max((1, 2, 3))[:, None]
        used = np.ptp(features, axis=(1, 2)) > 1e-6 * largest
        if self.max_maps is not None and self.max_maps < used.shape[1]:
            order = np.argsort(-features.var((1, 2)), axis=1, kind="stable")
            np.put_along_axis(used, order[:, self.max_maps :], False, axis=1)
        return used

    def _of_blank(self, model: keras.Model, images: np.ndarray, scores: Callable) -> np.ndarray:
        outputs = model(np.full_like(images[:1], self.blank), training=False)
        rows = np.arange(len(images))
        every = keras.tree.map_structure(lambda output: ops.repeat(output, len(rows), axis=0), outputs)
        return ops.convert_to_numpy(scores(every, rows))

    def _weights(self, rise: np.ndarray, used: np.ndarray) -> np.ndarray:
        """Weights [N, K] but for a factor per image, which leaves with the map's maximum."""
        if self.weights == "relu":
            return np.maximum(rise, 0)
        largest = np.max(rise, axis=1, keepdims=True, where=used, initial=-np.inf)
        return np.exp(rise - largest, out=np.zeros_like(rise), where=used)

"""SmoothGrad: the gradient by the pixels, averaged over noisy copies of the image.

Paper: Smilkov et al., "SmoothGrad: removing noise by adding noise", arXiv:1706.03825
Slug: smooth_grad
Idea: a score's gradient fluctuates from pixel to pixel; its mean over noisy copies shows what holds around the image.
Differs: every image of a batch gets the same noise, scaled by its own range, so that its map does not depend on its
  neighbours; the map is the mean gradient's magnitude summed over the channels, over its maximum, no outlier capped.
Checked: equals the plain gradient without noise and loops over samples with it, finds planted patches
  (tests/test_explain.py).
"""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

from hub.explain.feature_maps import check_images, divided, row_scores, tensorflow
from hub.registry import register


@register("smooth_grad")
class SmoothGrad:
    """Explains a model's score by its sensitivity to each pixel; needs `KERAS_BACKEND=tensorflow`.

    Args:
        noise: standard deviation of the noise as a share of each image's range; the paper advises 0.1 to 0.2.
        samples: noisy copies of each image; the paper sees little change beyond 50.
        seed: same seed, same maps.
        batch_size: copies that pass through the model at once.

    Raises:
        ValueError: `noise` is negative or a count is not positive.
    """

    def __init__(self, noise: float = 0.15, samples: int = 50, seed: int = 0, batch_size: int = 32):
        if noise < 0 or samples < 1 or batch_size < 1:
            raise ValueError(
                "`noise` must not be negative, `samples` and `batch_size` at least 1. "
                f"Received: {noise=}, {samples=}, {batch_size=}."
            )
        self.noise = noise
        self.samples = samples
        self.seed = seed
        self.batch_size = batch_size

    def __call__(self, model: keras.Model, images: Any, score: Callable[[Any], Any] | None = None) -> np.ndarray:
        """Maps [N, H, W], float32 in 0..1: the largest value of each is 1, or all are 0 where no pixel matters.

        Args:
            model: any Keras model; it runs in inference mode and is left as it was.
            images: [N, H, W, C] in the range that the model takes.
            score: the model's outputs for M noisy images -> one number each, [M]; M varies, so each row must be scored
                alike. Give logits. Default: the class whose output, of [N, classes], is largest without noise.

        Raises:
            ValueError: images or the score do not fit, or no gradient reaches the pixels.
            NotImplementedError: another backend than TensorFlow is running.
        """
        tf = tensorflow()
        images = ops.convert_to_numpy(images).astype("float32")
        check_images(images)
        scores = row_scores(score, model(images, training=False))
        sigma = self.noise * np.ptp(images, axis=(1, 2, 3))[:, None, None, None]
        noise = np.random.default_rng(self.seed).standard_normal((self.samples, *images.shape[1:]), "float32")
        total = np.zeros(images.shape, "float64")
        for start in range(0, len(images) * self.samples, self.batch_size):
            copies = np.arange(start, min(start + self.batch_size, len(images) * self.samples))
            rows, draws = np.divmod(copies, self.samples)
            noisy = tf.convert_to_tensor(images[rows] + sigma[rows] * noise[draws])
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(noisy)
                each = scores(model(noisy, training=False), rows)
            gradient = tape.gradient(each, noisy)
            if gradient is None:
                raise ValueError("No gradient reaches the pixels: the model must take float images and `score` use it.")
            np.add.at(total, rows, gradient.numpy())
        maps = np.abs(total).sum(axis=-1)
        return divided(maps, maps.max((1, 2), keepdims=True)).astype("float32")

"""Distortions: every image shifted, scaled, turned and bent anew in every epoch.

Paper: Ciresan et al., "High-Performance Neural Networks for Visual Object Classification", 2011, arXiv:1102.0183; the
  elastic part is Simard, Steinkraus and Platt, "Best Practices for Convolutional Neural Networks Applied to Visual
  Document Analysis", ICDAR 2003
Slug: ciresan_cnn
Idea: a network that never sees the same digit twice cannot learn it by heart.
Differs: the largest shift, scale and turn are the paper's for photographs and recalled, as are sigma and alpha; that
  digits 1 and 7 are turned less is left out. What comes in from outside repeats the border. All is one map and one
  bilinear look-up: three random layers in a row would blur a small image thrice, and the elastic one of Keras 3.15
  draws the same field for rows and columns, so that it bends along one diagonal only.
Checked: bending equals scipy.ndimage (Gaussian filter and map_coordinates), shift, scale and turn are read back from
  images of coordinates and keep their limits; neutral limits change nothing; a seed repeats itself, epochs differ,
  images of a batch too (tests/test_distortions.py).
"""

import math
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from hub.registry import register


@register("elastic_distortion")
def distort(
    images: tf.Tensor,
    seed: tf.Tensor,
    translation: float = 0.05,
    scaling: float = 0.15,
    rotation: float = 5.0,
    alpha: float = 36.0,
    sigma: float = 6.0,
) -> tf.Tensor:
    """Each image of [N, H, W, C] distorted by itself, float32; a function of its arguments, fit for `Dataset.map`.

    Args:
        images: H and W must be known.
        seed: two integers, as TensorFlow's stateless draws want them.
        translation: largest shift, as a share of the side.
        scaling: largest change of height and of width, each for itself, as a share.
        rotation: largest turn, in degrees.
        alpha: elastic strength: noise in -1..1, smoothed, times `alpha` is a displacement in pixels. 0 for none.
        sigma: deviation of the smoothing Gaussian, in pixels.

    Raises:
        ValueError: `scaling` is not in 0..1 (1 excluded), or height or width is unknown.
    """
    images = tf.cast(images, tf.float32)
    if not 0 <= scaling < 1 or None in images.shape[1:3]:
        raise ValueError(
            "`scaling` must be at least 0 and below 1, and images need a known height and width. "
            f"Received: scaling={scaling}, shape {tuple(images.shape)}."
        )
    height, width = images.shape[1:3]
    seeds = tf.random.split(tf.cast(seed, tf.int32), 2)
    limits = tf.constant([translation * height, translation * width, scaling, scaling, math.radians(rotation)])
    draw = tf.random.stateless_uniform((tf.shape(images)[0], 5, 1, 1), seeds[0], -1.0, 1.0)
    down, right, tall, wide, turn = tf.unstack(draw * limits[:, None, None], axis=1)
    rows = tf.range(height, dtype=tf.float32)[:, None] - (height - 1) / 2 - down
    columns = tf.range(width, dtype=tf.float32)[None] - (width - 1) / 2 - right
    # the output shows at each place what lies at the inverse map of it
    y = (tf.cos(turn) * rows - tf.sin(turn) * columns) / (1 + tall) + (height - 1) / 2
    x = (tf.sin(turn) * rows + tf.cos(turn) * columns) / (1 + wide) + (width - 1) / 2
    if alpha:
        noise = tf.random.stateless_uniform((tf.shape(images)[0], 2, height, width), seeds[1], -1.0, 1.0)
        bent_y, bent_x = tf.unstack(alpha * smooth(noise, sigma), axis=1)
        y, x = y + bent_y, x + bent_x
    return look_up(images, y, x)


def distorted(dataset: tf.data.Dataset, seed: int, **limits: float) -> tf.data.Dataset:
    """`dataset` of batches (images, labels, ...) with the images distorted anew on every pass, by `distort`'s `limits`.

    The whole sequence of passes is a function of `seed`, and maps in parallel.
    """
    draws = tf.data.Dataset.random(seed, rerandomize_each_iteration=True).batch(2)

    def apply(batch, draw):
        return distort(batch[0], tf.bitcast(tf.cast(draw, tf.uint32), tf.int32), **limits), *batch[1:]

    return tf.data.Dataset.zip(dataset, draws).map(apply, num_parallel_calls=tf.data.AUTOTUNE)


def smooth(fields: tf.Tensor, sigma: float) -> tf.Tensor:
    """Fields [..., H, W] under a Gaussian of `sigma` pixels, cut at four of them, with zeros outside."""

    def weights(size):
        apart = np.subtract.outer(np.arange(size), np.arange(size))
        reach = int(4 * sigma + 0.5)
        bell = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
        return np.where(abs(apart) <= reach, np.exp(-0.5 * (apart / sigma) ** 2) / bell.sum(), 0).astype(np.float32)

    return tf.einsum("yi,...ij,jx->...yx", weights(fields.shape[-2]), fields, weights(fields.shape[-1]))


def look_up(images: tf.Tensor, y: tf.Tensor, x: tf.Tensor) -> tf.Tensor:
    """Bilinear values of images [N, H, W, C] at rows y and columns x [N, H', W'], the border repeated outside."""
    height, width = images.shape[1:3]
    y, x = tf.clip_by_value(y, 0.0, height - 1.0), tf.clip_by_value(x, 0.0, width - 1.0)
    top, left = tf.floor(y), tf.floor(x)
    down, right = (y - top)[..., None], (x - left)[..., None]
    top, left = tf.cast(top, tf.int32), tf.cast(left, tf.int32)
    bottom, beside = tf.minimum(top + 1, height - 1), tf.minimum(left + 1, width - 1)

    def at(row, column):
        return tf.gather_nd(images, tf.stack([row, column], -1), batch_dims=1)

    upper = at(top, left) * (1 - right) + at(top, beside) * right
    return upper * (1 - down) + (at(bottom, left) * (1 - right) + at(bottom, beside) * right) * down


def contract_example(make: Callable) -> None:
    """Neutral limits return the image; a seed decides."""
    image = np.random.default_rng(0).uniform(size=(2, 9, 8, 1)).astype("float32")
    still = make(image, (1, 2), translation=0.0, scaling=0.0, rotation=0.0, alpha=0.0)
    np.testing.assert_allclose(still, image, atol=1e-5)
    np.testing.assert_array_equal(make(image, (1, 2)), make(image, (1, 2)))
    assert np.abs(make(image, (1, 2)) - make(image, (1, 3))).max() > 0.01

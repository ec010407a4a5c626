"""What a street-number network is trained on: the crop around all digits, and their labels as one target.

The crop is that of Goodfellow et al., "Multi-digit Number Recognition from Street View Imagery using Deep Convolutional
Neural Networks", ICLR 2014, arXiv:1312.6082, section 5.1. Graph operations only, for `tf.data`.
"""

import tensorflow as tf

from hub.export import image_bytes

SIDE = 64
GROWTH = 1.3  # of the box around all digits, in width and in height


def number_crop(image: tf.Tensor, boxes: tf.Tensor) -> tf.Tensor:
    """The whole number in `image` `[H, W, 3]`, 0..255, as uint8 `[64, 64, 3]`.

    The union of `boxes` `[n, 4]` (left, top, width, height) is made 1.3 times as wide and high about its centre, cut at
    the picture's edges and resized regardless of its shape. Without boxes, or with none in the picture, the crop is the
    nearest there is: all of the picture, or its nearest pixels.
    """
    height, width = tf.unstack(tf.cast(tf.shape(image)[:2], tf.float32))
    boxes = tf.cast(boxes, tf.float32)
    boxes = tf.cond(tf.shape(boxes)[0] > 0, lambda: boxes, lambda: tf.stack([[0.0, 0.0, width, height]]))
    low, high = tf.reduce_min(boxes[:, :2], axis=0), tf.reduce_max(boxes[:, :2] + boxes[:, 2:], axis=0)
    margin = (GROWTH - 1) / 2 * (high - low)
    edge = tf.stack([width, height])
    start = tf.clip_by_value(tf.floor(low - margin), 0.0, edge - 1)
    stop = tf.clip_by_value(tf.math.ceil(high + margin), start + 1, edge)
    (left, top), (right, bottom) = tf.unstack(tf.cast(start, tf.int32)), tf.unstack(tf.cast(stop, tf.int32))
    crop = image_bytes.resize(image[top:bottom, left:right], SIDE, SIDE)
    return tf.cast(tf.ensure_shape(crop, (SIDE, SIDE, 3)), tf.uint8)


def labels_to_target(labels: tf.Tensor, max_length: int = 5) -> tf.Tensor:
    """int32 `[1 + max_length]`: the length, then the digits, -1 where there is none.

    Of a number with more than `max_length` digits only that is kept: the length is `max_length + 1`, the digits are -1.
    """
    labels = tf.cast(labels, tf.int32)
    length = tf.minimum(tf.size(labels), max_length + 1)
    digits = tf.pad(labels[:max_length], [[0, max_length - tf.minimum(length, max_length)]], constant_values=-1)
    digits = tf.where(length > max_length, -1, digits)
    return tf.ensure_shape(tf.concat([length[None], digits], axis=0), (1 + max_length,))

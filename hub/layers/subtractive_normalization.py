"""Subtractive normalisation: each channel minus its local mean.

Paper: Goodfellow et al., "Multi-digit Number Recognition from Street View Imagery using Deep Convolutional Neural
    Networks", ICLR 2014, arXiv:1312.6082
Slug: multi_digit_recognition
Idea: a feature counts by how far it stands out from its neighbourhood; even illumination drops out.
Differs: the paper does not say whether its mean runs across channels; here each channel has its own.
Checked: equals scipy.ndimage.uniform_filter, borders included (tests/test_multi_digit.py).
"""

import keras
from keras import ops

from hub.registry import register


@register("subtractive_normalization")
@keras.saving.register_keras_serializable("hub")
class SubtractiveNormalization(keras.layers.Layer):
    """x minus the mean of its `size` x `size` neighbourhood, [N, H, W, C] to the same shape.

    At the border the mean runs over the part of the window that lies inside the map, so a constant map gives zero
    everywhere, borders included.

    Args:
        size: side of the square window, odd, in pixels.

    Raises:
        ValueError: `size` is not a positive odd number.
    """

    def __init__(self, size: int = 3, **kwargs):
        super().__init__(**kwargs)
        if size < 1 or size % 2 == 0:
            raise ValueError(f"`size` must be a positive odd number of pixels. Received: size={size}.")
        self.size = size

    def call(self, inputs):
        mean = ops.average_pool(inputs, self.size, strides=1, padding="same", data_format="channels_last")
        return inputs - mean

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "size": self.size}

"""Maxout: a unit that is the largest of several linear pieces.

Paper: Goodfellow et al., "Maxout Networks", ICML 2013, arXiv:1302.4389
Slug: maxout
Idea: the activation is learned: the maximum of k affine maps can take the form of any convex function.
Differs: the affine maps stay in the layer before (`Conv2D(k * units)`), so that one layer serves dense and convolution.
Checked: equals tensorflow_addons 0.23's Maxout bit for bit over several axes (tests/test_golden_tfa.py).
"""

import functools

import keras
from keras import ops

from hub.registry import register


@register("maxout")
@keras.saving.register_keras_serializable("hub")
class Maxout(keras.layers.Layer):
    """Maximum over the pieces of each unit; unit u owns the channels u, u + units, u + 2 units, ...

    Args:
        units: number of channels that remain; divides the number that comes in.
        axis: the axis that holds the channels.

    Raises:
        ValueError: `units` is not positive, or does not divide the channels.
    """

    def __init__(self, units: int = 1, axis: int = -1, **kwargs):
        super().__init__(**kwargs)
        if units < 1:
            raise ValueError(f"`units` must be at least 1. Received: units={units}.")
        self.units = units
        self.axis = axis

    def call(self, inputs):
        pieces = inputs.shape[self.axis] // self.units
        return functools.reduce(ops.maximum, ops.split(inputs, pieces, axis=self.axis))

    def compute_output_shape(self, input_shape):
        shape = list(input_shape)
        channels = shape[self.axis]
        if channels is None or channels % self.units:
            raise ValueError(
                f"Maxout needs a known number of channels that `units` divides. "
                f"Received: {channels} channels on axis {self.axis}, units={self.units}."
            )
        shape[self.axis] = self.units
        return tuple(shape)

    def build(self, input_shape):
        self.compute_output_shape(input_shape)

    def get_config(self):
        return {**super().get_config(), "units": self.units, "axis": self.axis}

"""Cosines of the strips of a body to the classes, each strip with class vectors of its own; GaitBase's classifier."""

import keras
from keras import layers

from hub.layers.cosine_dense import directions
from hub.layers.horizontal_pyramid import each_its_own


@keras.saving.register_keras_serializable("hub")
class SeparateCosine(layers.Layer):
    """Cosines [N, strips, units], in -1..1, of [N, strips, d] to the columns of the strip's own matrix.

    Args:
        units: number of directions of each strip, one per class.
    """

    def __init__(self, units: int, **kwargs):
        super().__init__(**kwargs)
        self.units = units

    def build(self, input_shape):
        limit = (6 / (input_shape[-1] + self.units)) ** 0.5  # Xavier's, of one matrix
        self.kernel = self.add_weight(
            (*input_shape[1:], self.units), keras.initializers.RandomUniform(-limit, limit), name="kernel"
        )

    def call(self, x):
        return each_its_own(directions(x, -1), directions(self.kernel, 1))

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.units)

    def get_config(self):
        return {**super().get_config(), "units": self.units}

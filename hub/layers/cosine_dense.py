"""Cosine classifier: how near a feature points to the direction of each class.

Paper: Sovrasov and Sidnev, "Building Computationally Efficient and Well-Generalizing Person Re-Identification Models
  with Metric Learning", ICPR 2020, arXiv:2003.07618
Slug: metric_reid
Idea: with features and class vectors at length 1, a classifier learns the angles that retrieval later compares.
Differs: nothing; the class vectors, which are also the centres of `hub/losses/center_push.py`, start in directions
  that are uniform.
Checked: equals NumPy; lengths of features and vectors do not matter (tests/test_metric_reid_losses.py).
"""

import keras
from keras import layers, ops

from hub.registry import register


@register("cosine_dense", units=5)
@keras.saving.register_keras_serializable("hub")
class CosineDense(layers.Layer):
    """Cosines [..., units], in -1..1, of features [..., d] to `units` learned directions, the columns of `kernel`.

    Args:
        units: number of directions, for a classifier one per class.
    """

    def __init__(self, units: int, **kwargs):
        super().__init__(**kwargs)
        self.units = units

    def build(self, input_shape):
        self.kernel = self.add_weight((input_shape[-1], self.units), "random_normal", name="kernel")

    def call(self, x):
        return ops.clip(ops.matmul(directions(x, -1), directions(self.kernel, 0)), -1.0, 1.0)

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.units)

    def get_config(self):
        return {**super().get_config(), "units": self.units}


def directions(x, axis: int):
    """`x` at length 1 along `axis`; what is shorter than 1e-6 has no direction and stays short."""
    return x * ops.rsqrt(ops.maximum(ops.sum(ops.square(x), axis=axis, keepdims=True), 1e-12))

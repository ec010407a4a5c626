"""Standardising a picture by the pixels of a region alone, and blanking the rest.

Paper: none; z-scores are the preprocessing of Rahman et al., IEEE Access 8, 2020, arXiv:2007.14895
Slug: masked_standardise
Idea: mean and deviation taken inside the mask, and zeros outside, let nothing outside reach the network, not even
  through the picture's overall brightness.
Differs: the paper standardises by the training set and multiplies by the mask afterwards.
Checked: equals slow NumPy loops; whatever lies outside the mask leaves the output unchanged
  (tests/test_masked_standardise.py).
"""

from typing import Any

import keras
from keras import ops

from hub.registry import register


@register("masked_standardise")
@keras.saving.register_keras_serializable("hub")
class MaskedStandardise(keras.layers.Layer):
    """(image [N, H, W, C], mask [N, H, W, 1] in 0..1) to (image - mean) / deviation * mask; an empty mask gives zeros.

    Args:
        epsilon: least deviation, in the image's units.
    """

    def __init__(self, epsilon: float = 1.0, **kwargs: Any):
        super().__init__(**kwargs)
        self.epsilon = epsilon

    def call(self, inputs: list) -> Any:
        image, mask = inputs
        total = ops.sum(mask, axis=(1, 2, 3), keepdims=True)
        share = mask / ops.maximum(total, 1.0)
        mean = ops.sum(image * share, axis=(1, 2), keepdims=True)
        centred = image - mean
        variance = ops.sum(ops.square(centred) * share, axis=(1, 2), keepdims=True)
        return centred / ops.sqrt(variance + self.epsilon**2) * mask

    def compute_output_shape(self, input_shape: list) -> tuple:
        return tuple(input_shape[0])

    def get_config(self) -> dict:
        return {**super().get_config(), "epsilon": self.epsilon}


def contract_example(make: Any) -> tuple:
    import numpy as np

    rng = np.random.default_rng(0)
    image = rng.uniform(0, 255, (2, 9, 8, 3)).astype("float32")
    return make(), [image, (rng.random((2, 9, 8, 1)) < 0.5).astype("float32")]

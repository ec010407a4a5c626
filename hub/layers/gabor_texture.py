"""Gabor texture: an image's Gabor responses as histograms, related to one another by what their filters look for.

Paper: Zhu et al., "Learning Gabor Texture Features for Fine-Grained Recognition", ICCV 2023
Slug: gabor_texture
Idea: filters of neighbouring direction and width answer alike, so each histogram is told its filter's parameters before
  attention relates the filters.
Differs: the texture branch alone. The paper's network feeds it regions that a gate selects by the other branch's
  scores; how that gate decides and trains is not known here, so that no such network is registered.
Checked: equals its parts put together by hand; two gratings of different width, which plain averages of pixels cannot
  tell apart, are learned from 16 images (tests/test_gabor.py). The paper's accuracies are not repeated.
"""

import math

import keras
from keras import layers, ops

from hub.layers.gabor import GaborConv2D
from hub.layers.learnable_histogram import AttentionMean, LearnableHistogram
from hub.registry import register


@register("gabor_texture", filters=4, units=8)
@keras.saving.register_keras_serializable("hub")
class GaborTexture(layers.Layer):
    """A vector of texture: images [N, H, W, C] to [N, units].

    Args:
        filters: of `GaborConv2D`.
        kernel_size: of `GaborConv2D`.
        levels: of `LearnableHistogram`.
        units: of `LearnableHistogram`, and of the result.
    """

    def __init__(self, filters: int = 32, kernel_size: int = 11, levels: int = 8, units: int = 64, **kwargs):
        super().__init__(**kwargs)
        self.filters = filters
        self.kernel_size = kernel_size
        self.levels = levels
        self.units = units
        own = {"dtype": self.dtype_policy}
        self.gabor = GaborConv2D(filters, kernel_size, **own, name="gabor")
        self.histogram = LearnableHistogram(levels, units, **own, name="histogram")
        self.tell = layers.Dense(units, use_bias=False, **own, name="tell")
        self.relate = AttentionMean(**own, name="relate")

    def build(self, input_shape):
        self.gabor.build(input_shape)
        self.histogram.build(self.gabor.compute_output_shape(input_shape))
        self.tell.build((None, 4))
        self.relate.build((None, input_shape[-1] * self.filters, self.units))

    def call(self, x):
        found = self.histogram(self.gabor(x))  # [N, C * filters, units]
        scale = [1 / math.pi, 5 / self.kernel_size, 5 / self.kernel_size, 2.0]  # the four parameters within 0..1
        told = self.tell(ops.transpose(self.gabor.parameters()) * ops.array(scale))
        return self.relate(found + ops.tile(told, (x.shape[-1], 1)))

    def compute_output_shape(self, input_shape):
        return (input_shape[0], self.units)

    def get_config(self):
        names = ("filters", "kernel_size", "levels", "units")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}

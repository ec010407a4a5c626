"""Learnable histogram: how often a map takes each of a few levels, as a vector that is trained.

Paper: Zhu et al., "Learning Gabor Texture Features for Fine-Grained Recognition", ICCV 2023
Slug: gabor_texture
Idea: a texture is known by the distribution of filter responses more than by their places; counts that rise and fall
  linearly around each level have a gradient, and attention relates the levels before they are averaged.
Differs: the paper's term for the levels' places is not known in detail and is left out. Attention has one head, no bias
  and no shortcut, which are choices made here.
Checked: counts equal slow loops and NumPy's interpolation, sum to one and ignore where pixels are; constant maps stay
  finite (tests/test_gabor.py).
"""

import keras
from keras import layers, ops

from hub.registry import register


@keras.saving.register_keras_serializable("hub")
class AttentionMean(layers.Layer):
    """The mean over T of softmax(q k / sqrt(D)) v, where q, k, v are dense in the input: [..., T, D] to [..., D]."""

    def build(self, input_shape):
        width = input_shape[-1]
        self.projections = [
            layers.Dense(width, use_bias=False, dtype=self.dtype_policy, name=name)
            for name in ("query", "key", "value")
        ]
        for projection in self.projections:
            projection.build(input_shape)

    def call(self, x):
        query, key, value = (projection(x) for projection in self.projections)
        scores = ops.matmul(query, ops.swapaxes(key, -1, -2)) * x.shape[-1] ** -0.5
        return ops.mean(ops.matmul(ops.softmax(scores, axis=-1), value), axis=-2)

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-2], input_shape[-1])


def soft_histogram(x, levels: int):
    """Shares of the pixels of [N, H, W, C] at `levels` values, evenly from least to greatest of each map, and these.

    A pixel between two levels counts for both, the more for the nearer. Returns shares and levels, each [N, C, levels];
    the shares of a map sum to 1.
    """
    least, greatest = (f(x, axis=(1, 2), keepdims=True) for f in (ops.min, ops.max))
    step = ops.maximum((greatest - least) / (levels - 1), 1e-6)
    values = [least + step * i for i in range(levels)]
    counts = [ops.mean(ops.relu(1 - ops.abs(x - value) / step), axis=(1, 2)) for value in values]
    counts, values = ops.stack(counts, axis=-1), ops.stack([value[:, 0, 0] for value in values], axis=-1)
    return counts / ops.sum(counts, axis=-1, keepdims=True), values


@register("learnable_histogram", units=8)
@keras.saving.register_keras_serializable("hub")
class LearnableHistogram(layers.Layer):
    """Maps [N, H, W, C] to [N, C, units]: share and value of each level, embedded, related, averaged.

    Args:
        levels: number of levels.
        units: width of the embedding.

    Raises:
        ValueError: fewer than 2 levels or no units.
    """

    def __init__(self, levels: int = 8, units: int = 64, **kwargs):
        super().__init__(**kwargs)
        if levels < 2 or units < 1:
            raise ValueError(
                f"LearnableHistogram takes 2 levels and 1 unit or more. Received: levels={levels}, units={units}."
            )
        self.levels = levels
        self.units = units

    def build(self, input_shape):
        self.embed = layers.Dense(self.units, dtype=self.dtype_policy, name="embed")
        self.embed.build((None, None, None, 2))
        self.relate = AttentionMean(dtype=self.dtype_policy, name="relate")
        self.relate.build((None, None, self.levels, self.units))

    def call(self, x):
        found = ops.stack(soft_histogram(ops.cast(x, "float32"), self.levels), axis=-1)
        return self.relate(self.embed(ops.cast(found, self.compute_dtype)))

    def compute_output_shape(self, input_shape):
        return (input_shape[0], input_shape[-1], self.units)

    def get_config(self):
        return {**super().get_config(), "levels": self.levels, "units": self.units}

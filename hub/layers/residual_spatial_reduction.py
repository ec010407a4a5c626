"""Residual spatial reduction: fewer, wider tokens, with a way around that needs no weights.

Paper: Liao, Karaman and Sze, "Searching for Efficient Multi-Stage Vision Transformers", 2021, arXiv:2109.00642
Slug: vit_resnas
Idea: a strided convolution between the stages of a transformer would end the identity path that its residuals rely on;
  here the tokens, averaged by fours and padded with zero channels, go around it.
Differs: nothing.
Checked: with zero weights only the pooled tokens are left; equals slow NumPy loops (tests/test_vit_resnas.py).
"""

import keras
from keras import layers, ops

from hub.layers.position_embedding import PositionEmbedding
from hub.registry import register


@register("residual_spatial_reduction", filters=12, grid=(4, 2))
@keras.saving.register_keras_serializable("hub")
class ResidualSpatialReduction(layers.Layer):
    """Tokens [N, 1 + h * w, C], the class token first, to [N, 1 + h * w / 4, filters].

    All are normalised; patches then pass a 3x3 convolution of stride 2 and get new positions, the class token a dense
    layer; what they were, patches averaged 2x2, is added to the first C channels.

    Args:
        filters: channels of the new tokens, at least C.
        grid: h and w, both even.

    Raises:
        ValueError: `grid` is not even, or `filters` are fewer than what comes in, or the tokens do not fill the grid.
    """

    def __init__(self, filters: int, grid: tuple[int, int], **kwargs):
        super().__init__(**kwargs)
        if any(size < 2 or size % 2 for size in grid):
            raise ValueError(f"`grid` needs an even number of rows and columns. Received: grid={tuple(grid)}.")
        self.filters = filters
        self.grid = tuple(grid)
        own = {"dtype": self.dtype_policy}
        self.norm = layers.LayerNormalization(epsilon=1e-6, name="norm", **own)
        self.pad = layers.ZeroPadding2D(1, name="pad", **own)
        self.conv = layers.Conv2D(filters, 3, 2, name="conv", **own)
        initializer = keras.initializers.TruncatedNormal(stddev=0.02)
        self.dense = layers.Dense(filters, kernel_initializer=initializer, name="dense", **own)
        self.positions = PositionEmbedding(name="positions", **own)
        self.pool = layers.AveragePooling2D(2, name="pool", **own)

    def build(self, input_shape):
        batch, tokens, channels = input_shape
        height, width = self.grid
        if tokens != 1 + height * width or channels > self.filters:
            raise ValueError(
                f"A grid of {self.grid} and {self.filters} filters take {1 + height * width} tokens of at most "
                f"{self.filters} channels. Received: shape {tuple(input_shape)}."
            )
        self.norm.build(input_shape)
        self.conv.build((batch, height + 2, width + 2, channels))
        self.dense.build((batch, 1, channels))
        self.positions.build((batch, height * width // 4, self.filters))

    def call(self, x):
        kept = self.join(x[:, :1], self.pool(self.as_map(x)))
        kept = ops.pad(kept, ((0, 0), (0, 0), (0, self.filters - x.shape[-1])))
        x = self.norm(x)
        patches = self.join(None, self.conv(self.pad(self.as_map(x))))
        return kept + ops.concatenate([self.dense(x[:, :1]), self.positions(patches)], axis=1)

    def as_map(self, x):
        """The patches among the tokens as [N, h, w, C]."""
        return ops.reshape(x[:, 1:], (-1, *self.grid, x.shape[-1]))

    def join(self, first, features):
        """A map as tokens, behind the token `first` if there is one."""
        tokens = ops.reshape(features, (-1, self.grid[0] * self.grid[1] // 4, features.shape[-1]))
        return tokens if first is None else ops.concatenate([first, tokens], axis=1)

    def compute_output_shape(self, input_shape):
        return input_shape[0], 1 + self.grid[0] * self.grid[1] // 4, self.filters

    def get_config(self):
        return {**super().get_config(), "filters": self.filters, "grid": self.grid}


def contract_example(make):
    """Two pictures of 4 x 2 patches."""
    import numpy as np

    return make(), np.random.default_rng(0).normal(size=(2, 9, 8)).astype("float32")

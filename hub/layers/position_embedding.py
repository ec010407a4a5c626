"""A learned vector for each position, and how a table of them learned for one image size serves another."""

import math
from typing import TYPE_CHECKING

import keras

if TYPE_CHECKING:
    import numpy as np


@keras.saving.register_keras_serializable("hub")
class PositionEmbedding(keras.layers.Layer):
    """Add a learned vector to each token: [N, T, C] to the same shape; T is fixed once the layer is built."""

    def build(self, input_shape):
        if None in input_shape[1:]:
            raise ValueError(f"Learned positions need a known number of tokens. Received: shape {tuple(input_shape)}.")
        initializer = keras.initializers.TruncatedNormal(stddev=0.02)
        self.bias = self.add_weight(tuple(input_shape[1:]), initializer, name="bias")

    def call(self, inputs):
        return inputs + self.bias

    def compute_output_shape(self, input_shape):
        return input_shape


def fit_timm_tokens(model: keras.Model, tensors: dict[str, "np.ndarray"]) -> None:
    """Bring what timm keeps as bare parameters into the form that `hub.weights` reads, replacing it in `tensors`.

    Class tokens become vectors. Positions are resampled from their own square grid to that of `model`, whose layers are
    called `patch_embed` and `position_embedding`; where they cannot belong to a square they stay as they are.
    """
    for token in ("cls_token", "dist_token"):
        if token in tensors:
            tensors[f"{token}.bias"] = tensors.pop(token).reshape(-1)
    if "pos_embed" in tensors:
        height, width = model.get_layer("patch_embed").output.shape[1:3]
        prefix = model.get_layer("position_embedding").bias.shape[0] - height * width
        table = tensors.pop("pos_embed")
        table = resampled(table.reshape(-1, table.shape[-1]), prefix, (height, width))
        tensors["pos_embed.bias"] = table.T  # matrices of a checkpoint are transposed when they are read


def resampled(table: "np.ndarray", prefix: int, grid: tuple[int, int]) -> "np.ndarray":
    """Positions [prefix + s * s, C] of a square image, as [prefix + h * w, C] for a `grid` of h x w patches.

    Bicubic over the grid, smoothed where it shrinks (PyTorch's `interpolate` with antialias); the first `prefix`
    positions, which belong to class tokens, stay. A table that is no square is returned as it is.
    """
    import numpy as np

    side = math.isqrt(max(len(table) - prefix, 0))
    if side * side != len(table) - prefix or grid == (side, side):
        return table
    down, across = (bicubic_matrix(side, size) for size in grid)
    patches = table[prefix:].reshape(side, side, -1)
    patches = np.einsum("hy,wx,yxc->hwc", down, across, patches, optimize=True)
    return np.concatenate([table[:prefix], patches.reshape(-1, table.shape[-1])]).astype(table.dtype)


def bicubic_matrix(old: int, new: int) -> "np.ndarray":
    """[new, old]: the weight of each old sample in each new one, by Keys's cubic kernel with a = -1/2."""
    import numpy as np

    scale = old / new
    centre = scale * (np.arange(new)[:, None] + 0.5)
    x = np.abs((np.arange(old) + 0.5 - centre) / max(scale, 1.0))
    near = (1.5 * x - 2.5) * x * x + 1
    far = ((-0.5 * x + 2.5) * x - 4) * x + 2
    weights = np.where(x < 1, near, np.where(x < 2, far, 0.0))
    return weights / weights.sum(axis=1, keepdims=True)

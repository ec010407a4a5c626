"""Contrast filters: a fixed bank of Mexican hats in front of a network.

Paper: Ciresan et al., "High-Performance Neural Networks for Visual Object Classification", 2011, arXiv:1102.0183
Slug: ciresan_cnn
Idea: on-centre and off-centre differences of Gaussians, as in the retina, hand the network local contrast that does
  not depend on the light, beside the picture itself.
Differs: the paper's shapes are not certain. Here a hat of `size` pixels is the difference of Gaussians of size / 6 and
  size / 3 pixels, it sums to 0 and its positive part to 1, and borders are mirrored.
Checked: equals scipy.ndimage.correlate, borders included; a constant picture gives 0 in every added channel; off is
  minus on (tests/test_ciresan.py).
"""

import math

import keras
from keras import ops

from hub.registry import register


def mexican_hat(size: int) -> list[list[float]]:
    """Rows of a centred difference of Gaussians that sums to 0 and whose positive values sum to 1."""
    steps = range(-(size // 2), size // 2 + 1)

    def bell(sigma):
        values = [[math.exp(-(i * i + j * j) / (2 * sigma**2)) for j in steps] for i in steps]
        total = math.fsum(map(math.fsum, values))
        return [[v / total for v in row] for row in values]

    hat = [[a - b for a, b in zip(*rows, strict=True)] for rows in zip(bell(size / 6), bell(size / 3), strict=True)]
    peak = math.fsum(v for row in hat for v in row if v > 0)
    return [[v / peak for v in row] for row in hat]


@register("contrast_filters")
@keras.saving.register_keras_serializable("hub")
class ContrastFilters(keras.layers.Layer):
    """[N, H, W, C] to [N, H, W, C (1 + 2 S)]: the picture, then per size of S its on-centre and off-centre contrast.

    Nothing here trains.

    Args:
        sizes: sides of the hats, odd, from 3 pixels on; H and W must be larger than half of each.

    Raises:
        ValueError: a size is even or below 3.
    """

    def __init__(self, sizes: tuple[int, ...] = (3,), **kwargs):
        super().__init__(**kwargs)
        if any(size < 3 or size % 2 == 0 for size in sizes):
            raise ValueError(f"`sizes` must be odd numbers of pixels from 3 on. Received: sizes={tuple(sizes)}.")
        self.sizes = tuple(sizes)

    def call(self, inputs):
        maps = [inputs]
        for size in self.sizes:
            rim = (size // 2, size // 2)
            hat = ops.reshape(ops.convert_to_tensor(mexican_hat(size), inputs.dtype), (size, size, 1, 1))
            padded = ops.pad(inputs, ((0, 0), rim, rim, (0, 0)), mode="reflect")
            on = ops.depthwise_conv(padded, ops.tile(hat, (1, 1, inputs.shape[-1], 1)), data_format="channels_last")
            maps += [on, -on]
        return ops.concatenate(maps, axis=-1)

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], input_shape[-1] * (1 + 2 * len(self.sizes)))

    def get_config(self):
        return {**super().get_config(), "sizes": self.sizes}

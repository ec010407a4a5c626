"""Horizontal pyramid mapping: a body cut into strips, coarse to fine, each with a linear map of its own.

Paper: Chao et al., "GaitSet: Regarding Gait as a Set for Cross-View Gait Recognition", AAAI 2019, arXiv:1811.06186,
  after Fu et al., "Horizontal Pyramid Matching for Person Re-identification", AAAI 2019, arXiv:1804.05275
Slug: gaitset
Idea: head, trunk and legs tell people apart in different ways; strips of several heights are described and compared
  each by itself.
Differs: strips are listed map by map and scale by scale, as OpenGait does; the authors' code alternates the two maps
  within a scale. Xavier's limit is that of one strip's matrix; both codes draw all matrices as one tensor, whose limit
  is eleven times smaller for 62 strips of 128 to 256.
Checked: equals slow NumPy loops over strips; strips split the height; parameters are the published ones
  (tests/test_gaitset.py); equals PyTorch (tests/parity/test_torch_gaitset.py).
"""

from collections.abc import Callable, Sequence

import keras
from keras import layers, ops

from hub.registry import register


@register("horizontal_pyramid_mapping")
@keras.saving.register_keras_serializable("hub")
class HorizontalPyramidMapping(layers.Layer):
    """One map [N, H, W, C] or several to [N, maps * sum(scales), units], without bias; H, W and C are known.

    The `kernel` is [strips, C, units]: map by map, and within one the scales as given, each from top to bottom.

    Args:
        units: numbers that describe a strip.
        scales: how many strips of equal height a map is cut into, each time; a strip is its mean plus its max.
        shared: one matrix [1, C, units] for every strip, which the paper compares with.

    Raises:
        ValueError: a scale does not divide the height, or maps differ in shape.
    """

    def __init__(self, units: int, scales: Sequence[int] = (1, 2, 4, 8, 16), shared: bool = False, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.scales = tuple(scales)
        self.shared = shared

    def build(self, input_shape):
        shapes = [tuple(shape) for shape in input_shape] if _several(input_shape) else [tuple(input_shape)]
        height, _width, channels = shapes[0][1:]
        if None in shapes[0][1:] or {shape[1:] for shape in shapes} != {shapes[0][1:]}:
            raise ValueError(f"Maps of one known shape can be cut into strips. Received: {shapes}.")
        if uneven := [scale for scale in self.scales if height % scale]:
            raise ValueError(f"A scale must divide the height of the map, {height}. Received: scales with {uneven}.")
        limit = (6 / (channels + self.units)) ** 0.5  # Xavier's, of one matrix
        self.kernel = self.add_weight(
            (1 if self.shared else len(shapes) * sum(self.scales), channels, self.units),
            keras.initializers.RandomUniform(-limit, limit),
            name="kernel",
        )

    def call(self, inputs):
        maps = inputs if isinstance(inputs, list | tuple) else [inputs]
        parts = [strips(x, scale) for x in maps for scale in self.scales]
        return each_its_own(ops.concatenate(parts, axis=1), self.kernel)

    def compute_output_shape(self, input_shape):
        maps = len(input_shape) if _several(input_shape) else 1
        first = input_shape[0] if _several(input_shape) else input_shape
        return (first[0], maps * sum(self.scales), self.units)

    def get_config(self):
        return {**super().get_config(), "units": self.units, "scales": self.scales, "shared": self.shared}


def _several(input_shape) -> bool:
    return isinstance(input_shape[0], list | tuple)


def strips(x, scale: int):
    """[N, H, W, C] to [N, scale, C]: mean plus max of each of `scale` strips of equal height."""
    height, width, channels = x.shape[1:]
    x = ops.reshape(x, (-1, scale, height // scale * width, channels))
    return ops.mean(x, axis=2) + ops.max(x, axis=2)


def each_its_own(x, kernel):
    """Strips [N, S, C] by their matrices [S, C, units], or by one [1, C, units], to [N, S, units]."""
    if kernel.shape[0] == 1:
        return ops.matmul(x, kernel[0])
    return ops.transpose(ops.matmul(ops.transpose(x, (1, 0, 2)), kernel), (1, 0, 2))


def contract_example(make: Callable) -> tuple:
    """Two maps of 8 rows, cut into 7 strips each."""
    import numpy as np

    maps = np.random.default_rng(0).normal(size=(2, 2, 8, 3, 6)).astype("float32")
    return make(units=5, scales=(1, 2, 4)), [maps[0], maps[1]]

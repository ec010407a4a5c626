"""Random connections: a convolution each of whose maps sees a few of the maps before it.

Paper: Ciresan et al., "High-Performance Neural Networks for Visual Object Classification", 2011, arXiv:1102.0183
Slug: ciresan_cnn
Idea: a connection table, drawn once, joins each map to a random subset of the maps before it, so that maps learn
  different features and most of the multiplications need not be done.
Differs: the paper does not say how many maps are joined. Masked weights are multiplied all the same: the table saves
  parameters that train, not time.
Checked: equals the sum of single-map convolutions that the table names; a masked weight neither counts nor trains;
  every map has the asked-for number of inputs (tests/test_ciresan.py).
"""

import random

import keras
from keras import layers, ops

from hub.registry import register


@register("random_connect_conv_2d", filters=8, kernel_size=3, fan_in=4)
@keras.saving.register_keras_serializable("hub")
class RandomConnectConv2D(layers.Conv2D):
    """A `keras.layers.Conv2D` whose filters see `fan_in` input maps each; the other weights stay as they were drawn.

    `table` is the connection table, [C, filters] of 0 and 1: a function of `seed`, C, `filters` and `fan_in` alone.

    Args:
        filters, kernel_size, **kwargs: of `keras.layers.Conv2D`.
        fan_in: input maps per filter; as many as there are, where there are fewer.
        seed: of the table. Layers of one network want different ones.

    Raises:
        ValueError: `fan_in` is below one, or `groups` is not one.
    """

    def __init__(self, filters: int, kernel_size: int | tuple[int, int], fan_in: int, seed: int = 0, **kwargs):
        super().__init__(filters, kernel_size, **kwargs)
        if fan_in < 1 or self.groups != 1:
            raise ValueError(
                f"`fan_in` must be at least 1 and `groups` 1. Received: fan_in={fan_in}, groups={self.groups}."
            )
        self.fan_in = fan_in
        self.seed = seed

    def build(self, input_shape):
        super().build(input_shape)
        maps, draw = input_shape[-1], random.Random(self.seed)  # of `random`, only random() is promised to stay
        chosen = [sorted(range(maps), key=lambda _: draw.random())[: self.fan_in] for _ in range(self.filters)]
        self.table = tuple(tuple(float(i in of) for of in chosen) for i in range(maps))

    def convolution_op(self, inputs, kernel):
        return super().convolution_op(inputs, kernel * ops.convert_to_tensor(self.table, kernel.dtype))

    def get_config(self):
        return {**super().get_config(), "fan_in": self.fan_in, "seed": self.seed}

"""SPD-Conv: a space-to-depth step and a convolution without stride, in place of strides and pooling.

Paper: Sunkara and Luo, "No More Strided Convolutions or Pooling: A New CNN Building Block for Low-Resolution Images and
  Small Objects", ECML PKDD 2022, arXiv:2208.03641
Slug: spd_conv
Idea: halving a map by a stride throws pixels away; moving every second row and column into channels keeps them all and
  lets the convolution choose.
Differs: maps that the scale does not divide get zeros below and to the right, where the paper's code fails. Its YOLOv5
  is not built; its ResNets are in hub/models/resnet_spd.py.
Checked: equals slow loops at even, odd and unknown sizes; with the kernel reordered the whole is a convolution of
  twice the window and stride (tests/test_layers_spd_ibn_rkan.py).
"""

import keras
from keras import layers, ops

from hub.registry import register


@register("space_to_depth", scale=2)
@keras.saving.register_keras_serializable("hub")
class SpaceToDepth(layers.Layer):
    """[N, H, W, C] to [N, ceil(H / scale), ceil(W / scale), scale**2 * C]; nothing is lost.

    The channels are those of the pixels (row, column) = (0, 0), (1, 0), ..., (0, 1), (1, 1), ... of each square, the
    order of the paper's fig. 3; TensorFlow's operation of this name goes through the columns first.

    Args:
        scale: side of the square that becomes one pixel.

    Raises:
        ValueError: `scale` is not positive.
    """

    def __init__(self, scale: int = 2, **kwargs):
        super().__init__(**kwargs)
        if scale < 1:
            raise ValueError(f"`scale` must be at least 1. Received: scale={scale}.")
        self.scale = scale

    def call(self, x):
        step, last = self.scale, self.scale - 1
        if all(size is not None and size % step == 0 for size in x.shape[1:3]):
            squares = [x[:, i::step, j::step] for j in range(step) for i in range(step)]
        else:  # with `last` zeros behind, each slice below has ceil(size / step) pixels whatever the size
            x = ops.pad(x, ((0, 0), (0, last), (0, last), (0, 0)))
            squares = [x[:, i : i - last or None : step, j : j - last or None : step]
                       for j in range(step) for i in range(step)]  # fmt: skip
        return ops.concatenate(squares, axis=-1)

    def compute_output_shape(self, input_shape):
        n, height, width, channels = input_shape
        return (n, height and -(-height // self.scale), width and -(-width // self.scale), channels * self.scale**2)

    def get_config(self):
        return {**super().get_config(), "scale": self.scale}


@register("spd_conv", filters=8)
@keras.saving.register_keras_serializable("hub")
class SPDConv(layers.Conv2D):
    """`SpaceToDepth`, then a convolution of stride 1: [N, H, W, C] to [N, ceil(H / scale), ceil(W / scale), filters].

    Args:
        filters: number of output channels.
        kernel_size: side of the window, in pixels of the smaller map.
        scale: by how much height and width shrink.
        **kwargs: of `keras.layers.Conv2D`, but for strides.
    """

    def __init__(self, filters: int, kernel_size: int = 3, scale: int = 2, padding: str = "same", **kwargs):
        super().__init__(filters, kernel_size, padding=padding, **kwargs)
        if self.strides != (1, 1) or self.data_format != "channels_last":
            raise ValueError(
                "SPDConv has no strides and takes channels last. "
                f"Received: strides={self.strides}, data_format={self.data_format!r}."
            )
        self.scale = scale
        self.to_depth = SpaceToDepth(scale, dtype=self.dtype_policy)

    def build(self, input_shape):
        super().build(self.to_depth.compute_output_shape(input_shape))
        self.input_spec = None

    def call(self, inputs):
        return super().call(self.to_depth(inputs))

    def compute_output_shape(self, input_shape):
        return super().compute_output_shape(self.to_depth.compute_output_shape(input_shape))

    def get_config(self):
        return {**super().get_config(), "scale": self.scale}

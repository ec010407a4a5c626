"""SIC layers: single intra-channel convolutions, sparse channel mixing on a torus, and a spatial bottleneck.

Paper: Wang, Liu and Foroosh, "Design of Efficient Convolutional Layers using Single Intra-channel Convolution,
  Topological Subdivisioning and Spatial "Bottleneck" Structure", 2016, arXiv:1608.04337
Slug: sic_layer
Idea: a convolution taken apart: one window per channel, then a mixing of channels; the mixing is made cheaper by giving
  each channel few neighbours, or by doing it on a smaller map.
Differs: where batch normalisation and ReLU stand within a unit, and how the torus' windows are centred, is not certain;
  maps that a bottleneck's window does not divide are padded by zeros and cropped. The paper's networks are not built,
  since their table of widths is not known here.
Checked: the unit equals Keras's SeparableConv2D plus its input; slow loops for torus and bottleneck; a window as large
  as the torus is a dense 1x1 convolution; weights and multiply-adds are the formulas'
  (tests/test_layers_sic_dynamic.py).
"""

import itertools
import math

import keras
from keras import layers, ops

from hub.registry import register


@register("sic_unit")
@keras.saving.register_keras_serializable("hub")
class SICUnit(layers.Layer):
    """x + ReLU(norm(P(D(x)))), [N, H, W, C] to the same shape: D one window per channel, P a 1x1 mixing, no bias.

    Args:
        kernel_size: side of the window.
    """

    def __init__(self, kernel_size: int = 3, **kwargs):
        super().__init__(**kwargs)
        self.kernel_size = kernel_size

    def build(self, input_shape):
        own = {"dtype": self.dtype_policy}
        self.conv = layers.SeparableConv2D(
            input_shape[-1], self.kernel_size, padding="same", use_bias=False, **own, name="conv"
        )
        self.norm = layers.BatchNormalization(momentum=0.9, epsilon=1e-5, **own, name="norm")
        self.conv.build(input_shape)
        self.norm.build(input_shape)

    def call(self, x, training=False):
        return x + ops.relu(self.norm(self.conv(x), training=training))

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "kernel_size": self.kernel_size}


@register("topological_conv_2d", dims=(2, 3), window=(1, 2))
@keras.saving.register_keras_serializable("hub")
class TopologicalConv2D(layers.Layer):
    """A 1x1 convolution, [N, H, W, C] to the same shape, that connects neighbours on a torus of channels only.

    Channel c lies at the position of c in an array of the shape `dims`; output p reads the inputs p + o, each axis
    modulo its size, for the offsets o = -(w // 2) ... w - 1 - w // 2 of each axis with window w.

    Args:
        dims: sides of the torus; their product is C.
        window: how many neighbours along each side, itself included.

    Raises:
        ValueError: `window` does not fit `dims`, or `dims` not the channels.
    """

    def __init__(self, dims: tuple[int, ...], window: tuple[int, ...], **kwargs):
        super().__init__(**kwargs)
        if len(dims) != len(window) or not all(1 <= w <= d for w, d in zip(window, dims, strict=True)):
            raise ValueError(
                "`window` needs a size between 1 and the side for each side of `dims`. "
                f"Received: dims={tuple(dims)}, window={tuple(window)}."
            )
        self.dims = tuple(dims)
        self.window = tuple(window)

    def build(self, input_shape):
        if math.prod(self.dims) != input_shape[-1]:
            raise ValueError(f"`dims` {self.dims} hold {math.prod(self.dims)} channels. Received: {input_shape[-1]}.")
        shape = (math.prod(self.window), input_shape[-1])
        normal = keras.initializers.RandomNormal(stddev=(2 / shape[0]) ** 0.5)
        self.kernel = self.add_weight(shape=shape, initializer=normal, name="kernel")
        self.edges = tuple((self._channel(p, o), flat) for o in self._offsets() for flat, p in self._positions())

    def _offsets(self):
        return itertools.product(*(range(-(w // 2), w - w // 2) for w in self.window))

    def _positions(self):
        return enumerate(itertools.product(*map(range, self.dims)))

    def _channel(self, position, offset):
        flat = 0
        for p, o, side in zip(position, offset, self.dims, strict=True):
            flat = flat * side + (p + o) % side
        return flat

    def dense_kernel(self):
        """The same map as the [C, C] kernel of a dense 1x1 convolution, zero where nothing is connected."""
        channels = self.kernel.shape[-1]
        edges = ops.convert_to_tensor(self.edges, dtype="int32")
        return ops.scatter(edges, ops.reshape(self.kernel, (-1,)), (channels, channels))

    def call(self, x):
        return ops.matmul(x, ops.cast(self.dense_kernel(), x.dtype))

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "dims": self.dims, "window": self.window}

    @classmethod
    def from_config(cls, config):
        return cls(**{**config, "dims": tuple(config["dims"]), "window": tuple(config["window"])})


@register("spatial_bottleneck", kernel_size=2)
@keras.saving.register_keras_serializable("hub")
class SpatialBottleneck(layers.Layer):
    """Shrink by k with one k x k window per channel, mix channels there, widen by k the same way, add the input.

    [N, H, W, C] to the same shape; the mixing costs 1 / k**2 of a 1x1 convolution on the full map.

    Args:
        kernel_size: k.
    """

    def __init__(self, kernel_size: int = 2, **kwargs):
        super().__init__(**kwargs)
        self.kernel_size = kernel_size

    def build(self, input_shape):
        k, channels = self.kernel_size, input_shape[-1]

        def add(shape, variance, name):
            start = keras.initializers.RandomNormal(stddev=variance**0.5)
            return self.add_weight(shape=shape, initializer=start, name=name)

        self.shrink_kernel = add((k, k, channels, 1), 1 / k**2, "shrink_kernel")
        self.mix_kernel = add((channels, channels), 1 / channels, "mix_kernel")
        self.widen_kernel = add((k, k, channels), 1.0, "widen_kernel")

    def call(self, x):
        k = self.kernel_size
        height, width = ops.shape(x)[1:3]
        y = x
        if any(size is None or size % k for size in x.shape[1:3]):
            y = ops.pad(x, ((0, 0), (0, k - 1), (0, k - 1), (0, 0)))  # what is too much falls with "valid"
        y = ops.depthwise_conv(y, ops.cast(self.shrink_kernel, x.dtype), k, "valid", "channels_last")
        y = ops.matmul(y, ops.cast(self.mix_kernel, x.dtype))
        rows, columns = ops.shape(y)[1:3]
        y = ops.repeat(ops.repeat(y, k, axis=1), k, axis=2)
        y = y * ops.tile(ops.cast(self.widen_kernel, x.dtype), (rows, columns, 1))
        return x + y[:, :height, :width]

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "kernel_size": self.kernel_size}

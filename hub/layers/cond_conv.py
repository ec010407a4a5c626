"""CondConv: a convolution whose kernel is mixed anew for every example.

Paper: Yang et al., "CondConv: Conditionally Parameterized Convolutions for Efficient Inference", NeurIPS 2019,
  arXiv:1904.04971
Slug: condconv
Idea: a gate read from the block's input mixes several learned kernels into one, which is applied once: capacity grows
  with the experts, the convolution's cost does not.
Differs: the gate is an input of the layer, since the convolutions of a block share one; there is no bias, for a
  normalisation follows. The paper's MobileNets and its accuracies (EfficientNet-B0 with 8 experts: 78.3 %) are not
  repeated here.
Checked: equals the mixture of the experts' outputs, and with a gate that is one-hot the plain convolution, for dense
  and depthwise kernels, strides, paddings and odd sizes (tests/test_cond_conv.py); the EfficientNets made of it equal
  timm's to 1e-4 on the same weights (tests/parity/test_timm_efficientnet.py).
"""

import math

import keras
from keras import layers, ops

from hub.registry import register


def expert_routing(x: keras.KerasTensor, experts: int, name: str) -> keras.KerasTensor:
    """The gate of section 3: the sigmoid of an affine map of the channels' means, [N, H, W, C] to [N, experts]."""
    pooled = layers.GlobalAveragePooling2D(name=f"{name}_pool")(x)
    return layers.Dense(experts, "sigmoid", name=name)(pooled)


@register("cond_conv_2d", filters=4, kernel_size=3, experts=3, strides=2)
@keras.saving.register_keras_serializable("hub")
class CondConv2D(layers.Layer):
    """Convolve features [N, H, W, C], each with kernels mixed by its gate [N, experts], to [N, H', W', filters].

    It is called on the pair of both.

    The kernel is `[kernel_size, kernel_size, C, filters, experts]`, without `filters` where there is one per channel.

    Args:
        filters: number of output channels; None filters each channel by itself.
        kernel_size: side of the square window, in pixels; odd.
        experts: number of kernels to mix.
        strides: step between windows, in pixels.
        padding: "same" as in `keras.layers.Conv2D`, "valid", or "symmetric" with `kernel_size // 2` zeros on each side.
        kernel_initializer: drawn for each expert with the fan-in of one kernel.

    Raises:
        ValueError: another `padding`; a shape that does not fit; "same" with strides over an unknown size.
    """

    def __init__(
        self,
        filters: int | None,
        kernel_size: int,
        experts: int = 4,
        strides: int = 1,
        padding: str = "same",
        kernel_initializer="he_normal",
        **kwargs,
    ):
        super().__init__(**kwargs)
        if padding not in ("same", "valid", "symmetric"):
            raise ValueError(f'`padding` must be "same", "valid" or "symmetric". Received: padding={padding!r}.')
        self.filters = filters
        self.kernel_size = kernel_size
        self.experts = experts
        self.strides = strides
        self.padding = padding
        self.kernel_initializer = keras.initializers.get(kernel_initializer)

    def build(self, input_shape):
        (*_, channels), gate = input_shape
        if channels is None or tuple(gate[1:]) != (self.experts,):
            raise ValueError(
                f"CondConv2D needs features [N, H, W, C], C known, and a gate [N, {self.experts}]. "
                f"Received: shapes {tuple(input_shape[0])} and {tuple(gate)}."
            )
        window = (self.kernel_size, self.kernel_size)
        seen, rest = ((*window, channels), (self.filters,)) if self.filters else (window, (channels,))

        def independent(shape, dtype=None):
            flat = (
                math.prod(seen),
                rest[0] * self.experts,
            )  # one draw: an initializer repeats itself when called twice
            return ops.reshape(self.kernel_initializer(flat, dtype=dtype), shape)

        self.kernel = self.add_weight(shape=(*seen, *rest, self.experts), initializer=independent, name="kernel")

    def call(self, inputs):
        features, gate = inputs
        experts = ops.reshape(self.kernel, (-1, self.experts))
        kernel = ops.matmul(gate, ops.transpose(experts))  # sum_i a_i W_i
        kernel = ops.reshape(kernel, (-1, *self.kernel.shape[:-1]))
        taps = [(i, j) for i in range(self.kernel_size) for j in range(self.kernel_size)]
        windows = self._windows(features, taps)
        if self.filters is None:
            return sum(x * kernel[:, i, j][:, None, None] for x, (i, j) in zip(windows, taps, strict=True))
        x = ops.concatenate(windows, axis=-1) if len(windows) > 1 else windows[0]
        n, height, width, seen = ops.shape(x)
        x = ops.matmul(ops.reshape(x, (n, -1, seen)), ops.reshape(kernel, (n, seen, self.filters)))
        return ops.reshape(x, (n, height, width, self.filters))

    def _windows(self, x, taps):
        """What each tap of the kernel sees, [N, H', W', C]."""
        borders = [self._border(size) for size in x.shape[1:3]]
        if any(map(any, borders)):
            x = ops.pad(x, ((0, 0), *borders, (0, 0)))
        step, last = self.strides, self.kernel_size - 1
        return [x[:, i : i - last or None : step, j : j - last or None : step] for i, j in taps]

    def _border(self, size):
        """Zeros before and after an axis of `size` pixels."""
        if self.padding == "valid":
            return 0, 0
        if self.padding == "symmetric":
            return self.kernel_size // 2, self.kernel_size // 2
        if self.strides == 1:
            zeros = self.kernel_size - 1
        elif size is not None:
            zeros = max(self.kernel_size - 1 - (size - 1) % self.strides, 0)
        else:
            raise ValueError('CondConv2D pads "same" with strides only where height and width are known.')
        return zeros // 2, zeros - zeros // 2

    def compute_output_shape(self, input_shape):
        n, *sides, channels = input_shape[0]
        zeros = [sum(self._border(size)) for size in sides]
        sides = [
            size and (size + z - self.kernel_size) // self.strides + 1 for size, z in zip(sides, zeros, strict=True)
        ]
        return (n, *sides, self.filters or channels)

    def get_config(self):
        return {
            **super().get_config(),
            "filters": self.filters,
            "kernel_size": self.kernel_size,
            "experts": self.experts,
            "strides": self.strides,
            "padding": self.padding,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
        }


def contract_example(make):
    import numpy as np

    rng = np.random.default_rng(0)
    return make(), [rng.normal(size=(2, 9, 8, 6)).astype("float32"), rng.uniform(size=(2, 3)).astype("float32")]

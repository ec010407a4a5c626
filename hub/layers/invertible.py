"""Invertible parts of an i-RevNet: pixels into channels, and a residual block of two halves, each with its inverse.

Paper: Jacobsen, Smeulders and Oyallon, "i-RevNet: Deep Invertible Networks", ICLR 2018, arXiv:1802.07088
Slug: irevnet
Idea: with the channels in two halves, adding a function of one half to the other can be undone, whatever the function;
  where a network must shrink its map, it moves pixels into channels instead of dropping them.
Differs: the halves travel as one map, the untouched half first. Where channels were appended, the inverse knows that
  they were zero, without which BN's of constant channels spoil it, and returns those that came in (the authors' code
  returns as many as were added, which is another number).
Checked: equals slow NumPy loops, with the channels in the order of the authors' code; inverses to 1e-5; odd channels,
  odd sizes and shrinking channels (tests/test_irevnet.py).
"""

import keras
from keras import layers, ops

from hub.registry import register


@register("invertible_downsampling")
@keras.saving.register_keras_serializable("hub")
class Psi(layers.Layer):
    """[N, H, W, C] to [N, H / b, W / b, b**2 C]: each square's pixels, row by row, one behind the other (section 2.1).

    Args:
        block_size: b, the side of the square that becomes one pixel; divides height and width.

    Raises:
        ValueError: `block_size` does not divide a size.
    """

    def __init__(self, block_size: int = 2, **kwargs):
        super().__init__(**kwargs)
        self.block_size = block_size

    def build(self, input_shape):
        if any(size and size % self.block_size for size in input_shape[1:3]):
            raise ValueError(
                f"Only sides that are multiples of {self.block_size} can be halved without loss. "
                f"Received: input_shape={tuple(input_shape)}."
            )

    def call(self, x):
        step = self.block_size
        return ops.concatenate([x[:, i::step, j::step] for i in range(step) for j in range(step)], axis=-1)

    def inverse(self, y):
        """The map whose image is `y`: [N, h, w, b**2 C] to [N, b h, b w, C]."""
        step, (n, height, width, channels) = self.block_size, ops.shape(y)
        x = ops.reshape(y, (n, height, width, step, step, channels // step**2))
        x = ops.transpose(x, (0, 1, 3, 2, 4, 5))
        return ops.reshape(x, (n, height * step, width * step, channels // step**2))

    def compute_output_shape(self, input_shape):
        n, height, width, channels = input_shape
        step = self.block_size
        return (n, height and height // step, width and width // step, channels * step**2)

    def get_config(self):
        return {**super().get_config(), "block_size": self.block_size}


@register("irev_block", filters=12, strides=2)
@keras.saving.register_keras_serializable("hub")
class IRevBlock(layers.Layer):
    """(x1, x2) to (x2, x1 + F(x2)), both of them behind `Psi` where the stride is 2; F is a bottleneck (eq. 2, fig. 2).

    The halves are those of the channels: [N, H, W, C] to [N, H / s, W / s, 2 filters]. The inverse is exact where BN
    uses its moving statistics, up to rounding: in float32, not in 16 bits.

    Args:
        filters: channels of a half of the output: 2 C where the stride is 2; otherwise at least C / 2, and zeros are
            appended to the input where it is more.
        strides: 1 or 2.
        first: leaves out the BN and ReLU with which F begins, for the block that sees pixels.
        reduction: F's inner convolutions have `filters // reduction` channels.
        dropout: rate behind F's second convolution.

    Raises:
        ValueError: another stride; channels that the block cannot keep.
    """

    def __init__(
        self,
        filters: int,
        strides: int = 1,
        first: bool = False,
        reduction: int = 4,
        dropout: float = 0.0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if strides not in (1, 2):
            raise ValueError(f"`strides` is 1 or 2. Received: strides={strides}.")
        self.filters = filters
        self.strides = strides
        self.first = first
        self.reduction = reduction
        self.dropout = dropout
        self.psi = Psi(strides, dtype=self.dtype_policy) if strides > 1 else None
        inner, policy = max(filters // reduction, 1), {"dtype": self.dtype_policy}

        def norm_relu(i):
            norm = layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name=f"bn{i}", **policy)
            return [norm, layers.ReLU(**policy)]

        def conv(filters, i, strides=1):
            # a third of LeCun's variance: He's would let dozens of sums outgrow the precision of the inverse
            start = keras.initializers.VarianceScaling(1 / 3, "fan_in", "uniform")
            options = {"use_bias": False, "kernel_initializer": start, "name": f"conv{i}", **policy}
            pad = [layers.ZeroPadding2D(1, **policy)] if strides > 1 else []
            return [*pad, layers.Conv2D(filters, 3, strides, "valid" if pad else "same", **options)]

        self.residual = [
            *([] if first else norm_relu(0)),
            *conv(inner, 1, strides),
            *norm_relu(1),
            *conv(inner, 2),
            *([layers.Dropout(dropout, **policy)] if dropout else []),
            *norm_relu(2),
            *conv(filters, 3),
        ]

    def build(self, input_shape):
        channels = input_shape[-1]
        kept = 4 * channels if self.strides == 2 else channels
        self.padding = 2 * self.filters - kept
        if self.padding < 0 or (self.strides == 2 and (self.padding or channels % 2)):
            raise ValueError(
                f"A block of stride {self.strides} that loses nothing has "
                f"{'twice' if self.strides == 2 else 'at least half'} the input's channels as `filters`"
                f"{', and these are even' if self.strides == 2 else ''}. "
                f"Received: filters={self.filters}, input_shape={tuple(input_shape)}."
            )
        self.channels = channels
        shape = (*input_shape[:3], (channels + self.padding) // 2)
        if self.psi:
            self.psi.build(shape)
        for layer in self.residual:
            layer.build(shape)
            shape = layer.compute_output_shape(shape)

    def _f(self, x, training=False):
        for layer in self.residual:
            drawn = isinstance(layer, (layers.BatchNormalization, layers.Dropout))
            x = layer(x, training=training) if drawn else layer(x)
        return x

    def call(self, x, training=False):
        if self.padding:
            x = ops.pad(x, ((0, 0), (0, 0), (0, 0), (0, self.padding)))
        first, second = ops.split(x, 2, axis=-1)
        residual = self._f(second, training)
        if self.psi:
            first, second = self.psi(first), self.psi(second)
        return ops.concatenate([second, first + residual], axis=-1)

    def inverse(self, y):
        """The input whose output without training is `y`: [N, h, w, 2 filters] to [N, s h, s w, C]."""
        second, total = ops.split(y, 2, axis=-1)
        if self.psi:
            second = self.psi.inverse(second)
        if self.padding:  # what was appended was zero: BN over constant zeros would blow rounding up 316-fold
            given = ops.arange(self.filters) < self.channels - self.filters
            second = second * ops.cast(given, second.dtype)
        first = total - self._f(second)
        if self.psi:
            first = self.psi.inverse(first)
        return ops.concatenate([first, second], axis=-1)[..., : self.channels]

    def compute_output_shape(self, input_shape):
        n, height, width, _ = input_shape
        return (n, height and height // self.strides, width and width // self.strides, 2 * self.filters)

    def get_config(self):
        names = ("filters", "strides", "first", "reduction", "dropout")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}


def contract_example(make):
    import numpy as np

    return make(), np.random.default_rng(0).normal(size=(2, 8, 6, 6)).astype("float32")

"""Max pooling that remembers where its maxima were, and the unpooling that puts values back there.

Paper: Zeiler and Fergus, "Visualizing and Understanding Convolutional Networks", ECCV 2014, arXiv:1311.2901
Slug: zfnet_deconvnet
Idea: pooling cannot be undone, but with the place of each window's maximum, its switch, the values return to where they
  came from and the rest stays zero.
Differs: a switch is the maximum's place in its window, not in the whole map, so that it does not depend on the map's
  size. Where overlapping windows share a maximum their values add up, as in the gradient of max pooling.
Checked: against loops, PyTorch's order of ties and the gradient of max pooling (tests/test_zfnet_deconvnet.py).
"""

import keras
import numpy as np
from keras import layers, ops

from hub.registry import register


@register("max_pool_with_switches")
@keras.saving.register_keras_serializable("hub")
class MaxPoolWithSwitches(layers.Layer):
    """[N, H, W, C] -> the maxima [N, h, w, C] and their switches, int32 of the same shape: row * pool_size + column
    within the window, the first one where several are largest.

    Args:
        pool_size: side of the windows.
        strides: from one window to the next; None is `pool_size`.
        padding: "valid", or "same" as Keras pools: ceil(H / strides) windows, the odd one of the border at the end.
    """

    def __init__(self, pool_size: int = 2, strides: int | None = None, padding: str = "valid", **kwargs):
        super().__init__(**kwargs)
        self.pool_size, self.strides, self.padding = pool_size, strides, _known(padding)

    def call(self, x: keras.KerasTensor) -> tuple[keras.KerasTensor, keras.KerasTensor]:
        size, strides = self.pool_size, self.strides or self.pool_size
        if self.padding == "same":
            beside = [_border(length, size, strides) for length in x.shape[1:3]]
            x = ops.pad(x, [(0, 0), *beside, (0, 0)], constant_values=-np.inf)
        ends = [i + 1 - size or None for i in range(size)]
        windows = ops.stack(
            [x[:, i : ends[i] : strides, j : ends[j] : strides] for i in range(size) for j in range(size)], axis=-1
        )
        return ops.max(windows, axis=-1), ops.cast(ops.argmax(windows, axis=-1), "int32")

    def get_config(self) -> dict:
        own = {"pool_size": self.pool_size, "strides": self.strides, "padding": self.padding}
        return {**super().get_config(), **own}


@register("unpool_2d")
@keras.saving.register_keras_serializable("hub")
class Unpool2D(layers.Layer):
    """(values [N, h, w, C], their switches) -> [N, H, W, C], zero but for the places that the switches name.

    Args:
        pool_size, strides, padding: those of the `MaxPoolWithSwitches` that made the switches.
        output_size: (H, W) of the map that was pooled. Default: the smallest that "valid" windows fill, or
            (h * strides, w * strides) for "same".
    """

    def __init__(
        self,
        pool_size: int = 2,
        strides: int | None = None,
        padding: str = "valid",
        output_size: tuple[int, int] | None = None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.pool_size, self.strides, self.padding = pool_size, strides, _known(padding)
        self.output_size = output_size

    def call(self, inputs: tuple[keras.KerasTensor, keras.KerasTensor]) -> keras.KerasTensor:
        values, switches = inputs
        size, strides = self.pool_size, self.strides or self.pool_size
        _, height, width, channels = values.shape
        marked = ops.one_hot(switches, size**2, dtype=values.dtype) * values[..., None]
        # a channel at a time, each place of the window is carried to its pixel by a transposed convolution
        marked = ops.reshape(ops.transpose(marked, (0, 3, 1, 2, 4)), (-1, height, width, size**2))
        carry = ops.cast(np.eye(size**2).reshape(size, size, 1, size**2), values.dtype)
        full = ops.conv_transpose(marked, carry, strides, "valid", data_format="channels_last")
        full = ops.transpose(ops.reshape(full, (-1, channels, *full.shape[1:3])), (0, 2, 3, 1))
        for axis, count in ((1, height), (2, width)):
            span = (count - 1) * strides + size
            if self.padding == "same":
                length = self.output_size[axis - 1] if self.output_size else count * strides
                first = _border(length, size, strides)[0]
            else:
                length, first = self.output_size[axis - 1] if self.output_size else span, 0
            kept = min(length, full.shape[axis] - first)
            full = full[:, first : first + kept] if axis == 1 else full[:, :, first : first + kept]
            full = ops.pad(full, [(0, length - kept if axis == a else 0) for a in range(4)])
        return full

    def get_config(self) -> dict:
        own = {"pool_size": self.pool_size, "strides": self.strides, "padding": self.padding}
        return {**super().get_config(), **own, "output_size": self.output_size}


def _known(padding: str) -> str:
    if padding not in ("valid", "same"):
        raise ValueError(f'`padding` is "valid" or "same". Received: padding={padding!r}.')
    return padding


def _border(length: int, size: int, strides: int) -> tuple[int, int]:
    """Pixels that "same" adds before and after."""
    total = max((-(-length // strides) - 1) * strides + size - length, 0)
    return total // 2, total - total // 2


def contract_example(make):
    layer = make(pool_size=3, strides=2)
    rng = np.random.default_rng(0)
    if isinstance(layer, MaxPoolWithSwitches):
        return layer, rng.normal(size=(2, 9, 8, 6)).astype("float32")
    return layer, [rng.normal(size=(2, 4, 3, 6)).astype("float32"), rng.integers(9, size=(2, 4, 3, 6)).astype("int32")]

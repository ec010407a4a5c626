"""Locally connected layer: a convolution whose kernel is different at every position.

Paper: Goodfellow et al., "Multi-digit Number Recognition from Street View Imagery using Deep Convolutional Neural
    Networks", ICLR 2014, arXiv:1312.6082
Slug: multi_digit_recognition
Idea: where an image is cropped and centred, the same feature need not be sought everywhere.
Differs: nothing. Keras 3 dropped this layer of Keras 2; "same" pads as `keras.layers.Conv2D` does, where Keras 2 put an
    odd zero before the map.
Checked: equals Keras 2.15's layer (tests/test_golden_tfa.py) and naive loops (tests/test_multi_digit.py).
"""

import keras
from keras import ops

from hub.registry import register


@register("locally_connected_2d", filters=4, kernel_size=3)
@keras.saving.register_keras_serializable("hub")
class LocallyConnected2D(keras.layers.Layer):
    """Unshared convolution, [N, H, W, C] to [N, H', W', filters]; height and width must be known.

    The kernel is `[H' * W', kernel_size * kernel_size * C, filters]`, its second axis in the order (row, column,
    channel); the bias is `[H', W', filters]`.

    Args:
        filters: number of output channels.
        kernel_size: side of the square window, in pixels.
        strides: step between windows, in pixels.
        padding: "valid", or "same" with zeros outside the map.
        activation: as in `keras.layers.Activation`.
        kernel_initializer: drawn with the fan-in of one position; a fan-out would count all positions.

    Raises:
        ValueError: `padding` is neither "valid" nor "same"; height, width or channels are unknown; no window fits.
    """

    def __init__(
        self,
        filters: int,
        kernel_size: int,
        strides: int = 1,
        padding: str = "valid",
        activation: str | None = None,
        kernel_initializer: str = "he_normal",
        **kwargs,
    ):
        super().__init__(**kwargs)
        if padding not in ("valid", "same"):
            raise ValueError(f'`padding` must be "valid" or "same". Received: padding={padding!r}.')
        self.filters = filters
        self.kernel_size = kernel_size
        self.strides = strides
        self.padding = padding
        self.activation = keras.activations.get(activation)
        self.kernel_initializer = keras.initializers.get(kernel_initializer)

    def build(self, input_shape):
        _, height, width, filters = self.compute_output_shape(input_shape)
        window = self.kernel_size**2 * input_shape[-1]

        def unshared(shape, dtype=None):
            flat = self.kernel_initializer((window, height * width * filters), dtype=dtype)
            return ops.transpose(ops.reshape(flat, (window, height * width, filters)), (1, 0, 2))

        self.kernel = self.add_weight(shape=(height * width, window, filters), initializer=unshared, name="kernel")
        self.bias = self.add_weight(shape=(height, width, filters), initializer="zeros", name="bias")

    def call(self, inputs):
        height, width, filters = self.bias.shape
        (top, bottom), (left, right) = (self._border(size) for size in inputs.shape[1:3])
        x = ops.pad(inputs, ((0, 0), (top, bottom), (left, right), (0, 0)))
        step, last_row, last_column = self.strides, (height - 1) * self.strides + 1, (width - 1) * self.strides + 1
        windows = [
            x[:, row : row + last_row : step, column : column + last_column : step]
            for row in range(self.kernel_size)
            for column in range(self.kernel_size)
        ]
        x = ops.reshape(ops.concatenate(windows, axis=-1), (-1, height * width, self.kernel.shape[1]))
        x = ops.matmul(ops.transpose(x, (1, 0, 2)), self.kernel)  # [H' W', N, filters]
        x = ops.reshape(ops.transpose(x, (1, 0, 2)), (-1, height, width, filters))
        return self.activation(x + self.bias)

    def compute_output_shape(self, input_shape):
        if None in input_shape[1:] or len(input_shape) != 4:
            raise ValueError(f"LocallyConnected2D needs a known [N, H, W, C]. Received: input shape {input_shape}.")
        sides = [(size + sum(self._border(size)) - self.kernel_size) // self.strides + 1 for size in input_shape[1:3]]
        if min(sides) < 1:
            raise ValueError(
                f"A window of {self.kernel_size} does not fit into the map. Received: input shape {input_shape}."
            )
        return (input_shape[0], *sides, self.filters)

    def _border(self, size):
        """Zeros before and after an axis of `size` pixels; an odd one goes after, as in `keras.layers.Conv2D`."""
        if self.padding == "valid":
            return 0, 0
        zeros = max((-(-size // self.strides) - 1) * self.strides + self.kernel_size - size, 0)
        return zeros // 2, zeros - zeros // 2

    def get_config(self):
        return {
            **super().get_config(),
            "filters": self.filters,
            "kernel_size": self.kernel_size,
            "strides": self.strides,
            "padding": self.padding,
            "activation": keras.activations.serialize(self.activation),
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
        }

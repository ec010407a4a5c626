"""Gabor convolution: filters for stripes of every direction and width, of which only the four parameters are learned.

Paper: Zhu et al., "Learning Gabor Texture Features for Fine-Grained Recognition", ICCV 2023
Slug: gabor_texture
Idea: a filter that must be a Gabor function cannot but see texture, and bounds on its parameters keep it inside its
  window and below the highest frequency that pixels hold; half of the filters take the lower half of the frequencies.
Differs: the bounds follow from one rule that fits the figures known of the paper: 2.5 deviations on each side lie in
  the window, and in the band below 1/2. Every channel of the input is filtered by itself.
Checked: kernels equal OpenCV's; parameters stay within the bounds for any weights; the response peaks at a grating's
  direction and frequency and does not follow its phase (tests/test_gabor.py).
"""

import math

import keras
from keras import layers, ops

from hub.registry import register


@register("gabor_conv_2d", filters=4)
@keras.saving.register_keras_serializable("hub")
class GaborConv2D(layers.Layer):
    """Magnitude of complex Gabor responses: [N, H, W, C] to [N, H, W, C * filters], at least 1e-4, channel by channel.

    Args:
        filters: number of filters, even; the first half has the lower frequencies.
        kernel_size: side of the window, odd, at least 5.

    Raises:
        ValueError: `filters` is odd or not positive, or `kernel_size` even or too small.
    """

    def __init__(self, filters: int = 32, kernel_size: int = 11, **kwargs):
        super().__init__(**kwargs)
        if filters < 2 or filters % 2 or kernel_size < 5 or kernel_size % 2 == 0:
            raise ValueError(
                "GaborConv2D takes an even number of filters and an odd `kernel_size` of 5 or more. "
                f"Received: filters={filters}, kernel_size={kernel_size}."
            )
        self.filters = filters
        self.kernel_size = kernel_size

    def build(self, input_shape):
        self.raw = self.add_weight(
            shape=(4, self.filters), initializer=keras.initializers.RandomUniform(-2, 2), name="raw"
        )

    def parameters(self):
        """Direction (radians), deviation along and across it (pixels) and frequency (cycles per pixel): [4, filters].

        With s the deviation of a Gaussian in pixels, 1 / (2 pi s) is that of its spectrum. 5 s <= kernel_size bounds s
        from above; W + 2.5 / (2 pi s) <= 1/2 bounds it from below along the wave of frequency W, and W = 0 across.
        """
        theta, along, across, frequency = ops.unstack(ops.sigmoid(ops.cast(self.raw, "float32")), num=4)
        widest = self.kernel_size / 5
        highest = 0.5 - 2.5 / (2 * math.pi * widest)
        upper_half = ops.cast(ops.arange(self.filters) >= self.filters // 2, "float32")
        frequency = highest / 2 * (frequency + upper_half)
        narrowest = 2.5 / (2 * math.pi * (0.5 - frequency))
        along = narrowest + (widest - narrowest) * along
        narrowest = 2.5 / math.pi
        across = narrowest + (widest - narrowest) * across
        return ops.stack([math.pi * theta, along, across, frequency])

    def kernels(self):
        """Real and imaginary part of the filters, each [kernel_size, kernel_size, filters], float32."""
        theta, along, across, frequency = ops.unstack(self.parameters(), num=4)
        side = ops.arange(self.kernel_size, dtype="float32") - self.kernel_size // 2
        x, y = side[None, :, None], side[:, None, None]
        forward = x * ops.cos(theta) + y * ops.sin(theta)
        sideways = -x * ops.sin(theta) + y * ops.cos(theta)
        bell = ops.exp(-0.5 * (ops.square(forward / along) + ops.square(sideways / across)))
        bell = bell / (2 * math.pi * along * across)
        wave = 2 * math.pi * frequency * forward
        return bell * ops.cos(wave), bell * ops.sin(wave)

    def call(self, x):
        energy = 1e-8  # keeps the root's slope finite where there is no response
        for part in self.kernels():
            kernel = ops.repeat(ops.cast(part, x.dtype)[:, :, None], x.shape[-1], axis=2)
            energy = energy + ops.square(ops.depthwise_conv(x, kernel, 1, "same", "channels_last"))
        return ops.sqrt(energy)

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], input_shape[-1] * self.filters)

    def get_config(self):
        return {**super().get_config(), "filters": self.filters, "kernel_size": self.kernel_size}

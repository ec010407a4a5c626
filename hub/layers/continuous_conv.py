"""Continuous convolution: kernels of any size are samples of a small network over coordinates.

Paper: Knigge et al., "Modelling Long Range Dependencies in ND: From Task-Specific to a General Purpose CNN", ICLR 2023,
  arXiv:2301.10540
Slug: ccnn
Idea: a kernel that is a function of the relative position is as long as the input at no cost in parameters, fits any
  resolution and any number of dimensions, and learns how far it reaches.
Differs: where the authors' code cuts off what lies under less than a tenth of the mask's height, here it is zero, so
  that shapes stay. Sequences and images, on regular grids; volumes and point clouds are not built.
Checked: kernel, mask and convolution equal slow NumPy loops; by way of frequencies or not, the same result; a denser
  kernel passes through the same points; no output of a causal one sees the future (tests/test_ccnn.py).
"""

import math

import keras
import numpy as np
from keras import layers, ops

from hub.layers.fft_conv import fft_conv
from hub.layers.magnet import MAGNet
from hub.registry import register


@register("depthwise_flex_conv")
@register("flex_conv", filters=8)
@keras.saving.register_keras_serializable("hub")
class FlexConv(layers.Layer):
    """Convolve [N, L, C] or [N, H, W, C] with a generated kernel under a Gaussian of learned width; sizes stay.

    Kernels of more than 50 points each way are applied by way of their frequencies.

    Args:
        filters: number of output channels; None: each channel has one kernel of its own.
        kernel_size: odd number of points each way, at which -1..1 is sampled; None: the length of the sequence, which
            must be known then (one more where an even length is not causal).
        hidden, depth, omega: of the generator, see `MAGNet`.
        sigma: width of the Gaussian at first, where the kernel reaches from -1 to 1.
        threshold: the kernel is zero where the Gaussian is below, along either axis.
        causal: the kernel's last point is at the output's place; for sequences.

    Raises:
        ValueError: an even kernel that needs a centre, a causal image, or a kernel of unknown length.
    """

    def __init__(
        self,
        filters: int | None = None,
        kernel_size: int | None = 33,
        hidden: int = 32,
        depth: int = 3,
        omega: float = 1000.0,
        sigma: float = 0.075,
        threshold: float = 0.1,
        causal: bool = False,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if kernel_size is not None and not causal and kernel_size % 2 == 0:
            raise ValueError(f"A kernel that is not causal has an odd size. Received: kernel_size={kernel_size}.")
        self.filters = filters
        self.kernel_size = kernel_size
        self.hidden = hidden
        self.depth = depth
        self.omega = omega
        self.sigma = sigma
        self.threshold = threshold
        self.causal = causal

    def build(self, input_shape):
        self.rank, self.channels = len(input_shape) - 2, input_shape[-1]
        self.points = self.kernel_size or input_shape[1]
        if self.rank not in (1, 2) or not self.points or (self.rank == 2 and (self.causal or not self.kernel_size)):
            raise ValueError(
                "FlexConv takes sequences [N, L, C], and images [N, H, W, C] if it has a kernel_size and is not "
                f"causal. Received: input_shape={tuple(input_shape)}, kernel_size={self.kernel_size}, "
                f"causal={self.causal}."
            )
        if not self.causal:
            self.points |= 1
        self.width = self.add_weight(
            (self.rank,), keras.initializers.Constant(self.sigma), autocast=False, name="sigma"
        )
        self.bias = self.add_weight((self.filters or self.channels,), "zeros", name="bias")
        reach = self.sigma * math.sqrt(-2 * math.log(self.threshold)) + self._slack(self.points)
        elements = np.sum(self._distance(self.points) <= reach) ** self.rank
        if self.filters:
            elements *= self.channels
        self.generator = MAGNet(
            self.channels * (self.filters or 1), self.hidden, self.depth, self.omega, self.sigma * 1.667,
            1 / elements, self.causal, dtype="float32", name="generator",
        )  # fmt: skip
        self.generator.build((None, self.rank))

    def _distance(self, points):
        return np.abs(np.linspace(-1, 1, points) - self.causal).astype("float32")

    def _slack(self, points):
        return 2 / (points - 1) if self.causal and points > 1 else 1e-6  # a causal kernel keeps one point more

    def sample(self, points: int | None = None):
        """The kernel at `points` places each way: [L, C, filters or 1] or [H, W, C, filters or 1], float32."""
        points = points or self.points
        axes = np.meshgrid(*[np.linspace(-1, 1, points, dtype="float32")] * self.rank, indexing="ij")
        kernel = self.generator(ops.convert_to_tensor(np.stack(axes, -1).reshape(-1, self.rank)))
        distance = ops.convert_to_tensor(self._distance(points)[:, None])
        sigma = ops.convert_to_tensor(self.width)
        mask = ops.exp(-0.5 * ops.square(distance) / (ops.square(sigma) + 1e-8))
        reach = ops.abs(sigma) * math.sqrt(-2 * math.log(self.threshold)) + self._slack(points)
        mask = mask * ops.cast(distance <= reach, "float32")
        if self.rank == 2:
            mask = ops.reshape(mask[:, :1] * ops.transpose(mask[:, 1:]), (-1, 1))
        kernel = kernel * mask
        # the authors' generator lists kernels output by output
        kernel = ops.reshape(kernel, (*[points] * self.rank, self.filters or 1, self.channels))
        return ops.swapaxes(kernel, -1, -2)

    def call(self, x):
        kernel = self.sample()
        if self.points > 50:
            y = ops.cast(fft_conv(x, kernel, self.causal), self.compute_dtype)
        else:
            padding = "same"
            if self.causal:
                x, padding = ops.pad(x, ((0, 0), (self.points - 1, 0), (0, 0))), "valid"
            convolve = ops.conv if self.filters else ops.depthwise_conv
            y = convolve(x, ops.cast(kernel, x.dtype), 1, padding, "channels_last")
        return y + self.bias

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.filters or input_shape[-1])

    def get_config(self):
        names = ("filters", "kernel_size", "hidden", "depth", "omega", "sigma", "threshold", "causal")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}

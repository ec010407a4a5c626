"""A 3x3 convolution in groups, normalised: what ResNeXt's and RegNet's blocks have in their middle."""

import keras
from keras import layers, ops

from hub.layers.mobile_conv import norm


@keras.saving.register_keras_serializable("hub")
class GroupedConv2D(layers.Conv2D):
    """A `keras.layers.Conv2D` that trains in groups on the CPU about as fast as PyTorch's does.

    TensorFlow and JAX leave grouped convolutions there to XLA, whose gradient takes a hundred times as long, and each
    batch size is compiled anew; one ordinary convolution per group, on a slice of the channels, computes the same.
    """

    def convolution_op(self, inputs, kernel):
        single = super().convolution_op
        by_xla = keras.backend.backend() in ("tensorflow", "jax") and keras.distribution.list_devices()[0] == "cpu:0"
        if self.groups == 1 or not by_xla:
            return single(inputs, kernel)
        channels = -1 if self.data_format == "channels_last" else 1
        slices = zip(ops.split(inputs, self.groups, channels), ops.split(kernel, self.groups, -1), strict=True)
        return ops.concatenate([single(x, k) for x, k in slices], channels)


def grouped_norm(x: keras.KerasTensor, filters: int, strides: int, groups: int, *, name: str) -> keras.KerasTensor:
    """3x3 convolution without bias, batch normalisation, ReLU: [N, H, W, C] to [N, ceil(H / strides), ..., filters].

    Each of `groups` runs of channels is convolved by itself. One row of zeros lies on every side. The layers are
    `{name}_conv`, `{name}_bn` and `{name}_relu`.
    """
    padding = "same"
    if strides > 1:
        x = layers.ZeroPadding2D(1, name=f"{name}_pad")(x)
        padding = "valid"
    options = {"use_bias": False, "kernel_initializer": "he_normal", "name": f"{name}_conv"}
    x = GroupedConv2D(filters, 3, strides, padding, groups=groups, **options)(x)
    return norm(x, "relu", 0.9, 1e-5, name)

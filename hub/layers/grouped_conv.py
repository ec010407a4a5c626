"""A 3x3 convolution in groups, normalised: what ResNeXt's and RegNet's blocks have in their middle."""

import keras
from keras import layers

from hub.layers.mobile_conv import norm


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
    x = layers.Conv2D(filters, 3, strides, padding, groups=groups, **options)(x)
    return norm(x, "relu", 0.9, 1e-5, name)

"""A convolution padded alike on every side, the way PyTorch pads; blocks of several networks are made of it."""

import keras
from keras import layers


def symmetric_conv(
    x: keras.KerasTensor, filters: int, kernel_size: int, strides: int = 1, name: str | None = None
) -> keras.KerasTensor:
    """Convolve [N, H, W, C] to [N, ceil(H / strides), ceil(W / strides), filters], without bias, He-normal at first.

    Keras's "same" pads strided convolutions of even inputs more at the bottom and right, so that published weights
    would see pictures shifted by a pixel; here `kernel_size // 2` zeros lie on each side (odd kernels).
    """
    padding = "same"  # symmetric where the stride is 1; a 1x1 kernel needs none
    if strides > 1 and kernel_size > 1:
        x = layers.ZeroPadding2D(kernel_size // 2, name=name and f"{name}_pad")(x)
        padding = "valid"
    return layers.Conv2D(
        filters, kernel_size, strides, padding, use_bias=False, kernel_initializer="he_normal", name=name
    )(x)

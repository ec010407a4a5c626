"""What the mobile networks are made of: normalised (depthwise) convolutions, squeeze-and-excitation, rounded widths."""

import keras
from keras import layers

from hub.layers.symmetric_conv import symmetric_conv


def make_divisible(filters: float, divisor: int = 8) -> int:
    """The multiple of `divisor` nearest to `filters`, at least `divisor` and never below 0.9 of `filters`."""
    rounded = max(divisor, int(filters + divisor / 2) // divisor * divisor)
    return rounded if rounded >= 0.9 * filters else rounded + divisor


def conv_norm(
    x: keras.KerasTensor,
    filters: int,
    kernel_size: int = 1,
    strides: int = 1,
    activation: str | None = None,
    momentum: float = 0.9,
    epsilon: float = 1e-5,
    *,
    name: str,
) -> keras.KerasTensor:
    """Convolution without bias, batch normalisation, activation: [N, H, W, C] to [N, ceil(H / strides), ..., filters].

    The layers are `{name}_conv`, `{name}_bn` and, with an activation, `{name}_{activation}`.
    """
    x = symmetric_conv(x, filters, kernel_size, strides, name=f"{name}_conv")
    return norm(x, activation, momentum, epsilon, name)


def depthwise_norm(
    x: keras.KerasTensor,
    kernel_size: int = 3,
    strides: int = 1,
    activation: str | None = None,
    momentum: float = 0.9,
    epsilon: float = 1e-5,
    *,
    name: str,
) -> keras.KerasTensor:
    """`conv_norm` with one filter per channel, padded alike on every side (odd kernels)."""
    padding = "same"
    if strides > 1:
        x = layers.ZeroPadding2D(kernel_size // 2, name=f"{name}_pad")(x)
        padding = "valid"
    # Keras counts all channels into a depthwise fan; He's variance asks for the one that a filter sees.
    initializer = keras.initializers.RandomNormal(stddev=(2 / kernel_size**2) ** 0.5)
    x = layers.DepthwiseConv2D(
        kernel_size,
        strides,
        padding,
        use_bias=False,
        depthwise_initializer=initializer,
        name=f"{name}_conv",
    )(x)
    return norm(x, activation, momentum, epsilon, name)


def norm(x: keras.KerasTensor, activation: str | None, momentum: float, epsilon: float, name: str) -> keras.KerasTensor:
    """Batch normalisation, then "relu6" or any activation that Keras knows by name."""
    x = layers.BatchNormalization(momentum=momentum, epsilon=epsilon, name=f"{name}_bn")(x)
    if activation is None:
        return x
    return layers.Activation(activation, name=f"{name}_{activation}")(x)


def squeeze_excite(
    x: keras.KerasTensor, squeezed: int, activation: str = "relu", gate: str = "sigmoid", *, name: str
) -> keras.KerasTensor:
    """Scale each channel by a gate computed from all channels' means (Hu et al. 2018, arXiv:1709.01507, eq. 2-4).

    `squeezed` is the width between the two layers `{name}_fc1` and `{name}_fc2`, 1x1 convolutions with bias.
    """
    y = layers.GlobalAveragePooling2D(keepdims=True, name=f"{name}_pool")(x)
    y = layers.Conv2D(squeezed, 1, activation=activation, kernel_initializer="he_normal", name=f"{name}_fc1")(y)
    y = layers.Conv2D(x.shape[-1], 1, activation=gate, name=f"{name}_fc2")(y)
    return layers.Multiply(name=f"{name}_scale")([x, y])

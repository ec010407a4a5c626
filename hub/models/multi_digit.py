"""Multi-digit: one network that reads a whole number from a picture.

Paper: Goodfellow et al., "Multi-digit Number Recognition from Street View Imagery using Deep Convolutional Neural
    Networks", ICLR 2014, arXiv:1312.6082
Slug: multi_digit_recognition
Idea: a deep convolutional network over the whole number, with one softmax for its length and one for each digit.
Differs: the paper leaves open the dropout rates (here 0.2 before convolutions, 0.5 before dense layers) and what the
    normalisation averages over (here each channel by itself); the weights start as He et al. 2015 draw them.
Checked: map and parameters of every layer as worked out from the paper's description, 38,142,809 parameters in all
    (tests/test_multi_digit.py); the paper prints no such count.
"""

import keras
from keras import layers

from hub.layers.locally_connected import LocallyConnected2D
from hub.layers.maxout import Maxout
from hub.layers.subtractive_normalization import SubtractiveNormalization
from hub.registry import register

CONTRACT_SIZE = {"input_shape": (54, 54, 3)}
PIECES = 3  # linear pieces of the first layer's maxout units


def convolution(x, filters: int, kernel_size: int, first: bool):
    """Convolution, its non-linearity included: maxout in the first layer, rectifier in the others."""
    pieces = PIECES if first else 1
    x = layers.Conv2D(pieces * filters, kernel_size, padding="same", kernel_initializer="he_normal")(x)
    return Maxout(filters)(x) if first else layers.ReLU()(x)


def stage(x, index: int, filters: int, kernel_size: int):
    """Convolution, 2x2 pooling that halves the map at every other stage, subtractive normalisation."""
    x = convolution(x, filters, kernel_size, first=index == 1)
    x = layers.MaxPooling2D(2, strides=2 if index % 2 else 1, padding="same")(x)
    return SubtractiveNormalization(3, name=f"stage{index}")(x)


@register("multi_digit_tiny", filters=(8, 8, 12, 12), kernel_size=3, local_filters=8, units=(16,))
@register("multi_digit", params=38_142_809)
def multi_digit(
    filters: tuple[int, ...] = (48, 64, 128, 160, 192, 192, 192, 192),
    depth: int | None = None,
    kernel_size: int = 5,
    local_filters: int = 192,
    units: tuple[int, ...] = (3072, 3072),
    conv_dropout: float = 0.2,
    dropout: float = 0.5,
    max_length: int = 5,
    num_symbols: int = 10,
    input_shape: tuple[int, int, int] = (54, 54, 3),
    num_classes: int | None = None,
    name: str = "multi_digit",
) -> keras.Model:
    """The paper's network for street numbers, from pixels to packed logits.

    Its input is scaled already, to about -1 ... 1 with the mean removed: that, and the crop, are the application's.
    Its output is what `hub.layers.sequence_decoder` reads: the logits of the lengths 0 ... L and "more than L", then
    those of the symbols, position by position: [N, (L + 2) + L * C], float32.

    Args:
        filters: channels of the convolutions.
        depth: number of convolutions, the first of `filters`; all by default.
        kernel_size: side of every window, in pixels.
        local_filters: channels of the locally connected layer that follows; 0 leaves it out.
        units: widths of the dense layers.
        conv_dropout: rate between convolutions, in 0 ... 1.
        dropout: rate around the dense layers, in 0 ... 1.
        max_length: L, the longest number that is read.
        num_symbols: C, the size of the alphabet.
        input_shape: height, width, channels.
        num_classes: None for the packed logits, 0 for the last feature map, else the width of a plain head.

    Raises:
        ValueError: `depth` is not between 1 and the number of `filters`.
    """
    depth = len(filters) if depth is None else depth
    if not 1 <= depth <= len(filters):
        raise ValueError(f"`depth` must be in 1 ... {len(filters)}, the number of `filters`. Received: depth={depth}.")
    inputs = x = keras.Input(input_shape, name="image")
    for index, width in enumerate(filters[:depth], start=1):
        x = layers.Dropout(conv_dropout)(x) if index > 1 else x
        x = stage(x, index, width, kernel_size)
    if local_filters:
        x = layers.Dropout(conv_dropout)(x)
        x = LocallyConnected2D(local_filters, kernel_size, padding="same", activation="relu", name=f"stage{depth + 1}")(
            x
        )
    if num_classes == 0:
        return keras.Model(inputs, x, name=name)
    x = layers.Dropout(dropout)(layers.Flatten()(x))
    for width in units:
        x = layers.Dropout(dropout)(layers.Dense(width, activation="relu", kernel_initializer="he_normal")(x))
    packed = (max_length + 2) + max_length * num_symbols
    logits = layers.Dense(packed if num_classes is None else num_classes, dtype="float32", name="logits")(x)
    return keras.Model(inputs, logits, name=name)

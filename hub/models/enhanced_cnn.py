"""Enhanced CNN: three double convolutions with batch normalisation and dropout, for CIFAR-10.

Paper: Yang, Yu and Xu, "Enhanced Convolutional Neural Networks for Improved Image Classification", 2025,
  arXiv:2502.00663
Slug: enhanced_cnn
Idea: depth, normalisation and dropout each lift a small network of convolutions and pools above LeNet-5.
Differs: certain are three blocks of two 3x3 convolutions, each with batch normalisation, a max pool and 25 % dropout;
  the filters, the dense layer and the second dropout are reconstructed, as are the widths of `plain_cnn`, the paper's
  baseline of two convolutions. The published test accuracy of CIFAR-10, 84.95 %, is not repeated.
Checked: parameters by formula, the switches take out what they name, logits equal loops over positions
  (tests/test_enhanced_cnn.py).
"""

import keras
from keras import layers

from hub.registry import register

CONTRACT_SIZE = {"input_shape": (32, 32, 3), "num_classes": 10}


def conv_relu(x: keras.KerasTensor, filters: int, batch_norm: bool, name: str) -> keras.KerasTensor:
    """3x3 convolution, batch normalisation if wanted, ReLU. The bias, which normalisation makes idle, stays."""
    x = layers.Conv2D(filters, 3, padding="same", kernel_initializer="he_normal", name=f"{name}_conv")(x)
    if batch_norm:
        x = layers.BatchNormalization(momentum=0.9, epsilon=1e-3, name=f"{name}_bn")(x)
    return layers.ReLU(name=f"{name}_relu")(x)


@register("enhanced_cnn_tiny", filters=(8, 16, 32), units=32)
@register("enhanced_cnn")
@register("plain_cnn", filters=(64, 128), depth=1, batch_norm=False, dropout=0.0, head_dropout=0.0)
def enhanced_cnn(
    filters: tuple[int, ...] = (64, 128, 256),
    depth: int = 2,
    units: int = 512,
    batch_norm: bool = True,
    dropout: float = 0.25,
    head_dropout: float = 0.5,
    input_shape: tuple[int, int, int] = (32, 32, 3),
    num_classes: int = 10,
    name: str = "enhanced_cnn",
) -> keras.Model:
    """Build the network over images [N, H, W, C] of one size, normalised, H and W at least `2 ** len(filters)`.

    Args:
        filters: of each block; block s ends in a max pool by 2, the layer `stage{s}`.
        depth: convolutions per block.
        units: width of the hidden dense layer.
        batch_norm: normalise after every convolution.
        dropout: share of a block's outputs that a training step leaves out; 0 for none.
        head_dropout: the same of the hidden dense layer.
        num_classes: units of the float32 layer `logits`; 0 leaves out the dense layers and returns the feature map, and
            the images may then have any size.

    Raises:
        ValueError: images are too small, or have no fixed size and the network a head.
    """
    least = 2 ** len(filters)
    if (num_classes and None in input_shape) or min(size or least for size in input_shape[:2]) < least:
        raise ValueError(
            f"The network takes images of one size, at least {least} pixels each way. Received: {input_shape=}."
        )
    x = inputs = keras.Input(input_shape)
    for stage, width in enumerate(filters, 1):
        for i in range(1, depth + 1):
            x = conv_relu(x, width, batch_norm, f"stage{stage}_{i}")
        x = layers.MaxPooling2D(2, name=f"stage{stage}")(x)
        if dropout:
            x = layers.Dropout(dropout, name=f"stage{stage}_dropout")(x)
    if num_classes:
        x = layers.Flatten(name="flatten")(x)
        x = layers.Dense(units, kernel_initializer="he_normal", name="hidden")(x)
        x = layers.ReLU(name="hidden_relu")(x)
        if head_dropout:
            x = layers.Dropout(head_dropout, name="hidden_dropout")(x)
        x = layers.Dense(num_classes, dtype="float32", name="logits")(x)
    return keras.Model(inputs, x, name=name)

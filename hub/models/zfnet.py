"""ZFNet: AlexNet with a finer first layer, found by looking at what its layers see.

Paper: Zeiler and Fergus, "Visualizing and Understanding Convolutional Networks", ECCV 2014, arXiv:1311.2901
Slug: zfnet_deconvnet
Idea: pictures of the first layers showed dead filters and aliasing; a 7x7 kernel of stride 2 in place of 11x11 of
  stride 4 keeps more of the image and lowers the error.
Differs: kernels start He-normal, the paper gives one figure, 1e-2, for all, which narrow variants would not survive;
  the constants of the contrast normalisation, between channels, are AlexNet's. The published top-5 error of ImageNet's
  validation set, about 16.5 %, is not repeated.
Checked: parameters and the sizes of the paper's figure 3; layers against loops, first-layer filters held to an RMS of
  0.1 (tests/test_zfnet_deconvnet.py).
"""

import keras
from keras import layers

from hub.layers.local_response_normalization import LocalResponseNormalization
from hub.registry import register


def conv_relu(
    x: keras.KerasTensor, filters: int, kernel_size: int, name: str, strides: int = 1, padding: str = "same", out=None
) -> keras.KerasTensor:
    """A convolution whose filters are held to a root mean square of 0.1 (section 3), and a ReLU."""
    radius = 0.1 * kernel_size * x.shape[-1] ** 0.5
    x = layers.Conv2D(
        filters, kernel_size, strides, padding, kernel_initializer="he_normal", name=f"{name}_conv",
        kernel_constraint=keras.constraints.MaxNorm(radius, axis=[0, 1, 2]),
    )(x)  # fmt: skip
    return layers.ReLU(name=out or f"{name}_relu")(x)


def rounded_up_pool(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
    """3x3 maxima by 2 with a last window over the border, 110 -> 55; a zero changes none after a ReLU."""
    return layers.MaxPooling2D(3, 2, name=name)(layers.ZeroPadding2D(((0, 1), (0, 1)), name=f"{name}_pad")(x))


@register("zfnet_tiny", width=8, units=32)
@register("zfnet", params=62_357_608)
def zfnet(
    width: int = 96,
    units: int = 4096,
    dropout: float = 0.5,
    input_shape: tuple[int | None, int | None, int] = (224, 224, 3),
    num_classes: int = 1000,
    name: str = "zfnet",
) -> keras.Model:
    """Build a ZFNet over images [N, H, W, C] of one size, of at least 63 pixels each way; the paper subtracts the mean
    of each pixel from RGB in 0..255.

    Args:
        width: filters of the first convolution; the others have 8/3, 4, 4 and 8/3 times as many, rounded.
        units: width of the hidden layers `fc6` and `fc7`.
        dropout: share of the hidden units that a training step leaves out.
        num_classes: units of the float32 layer `logits`; 0 leaves out the dense layers and returns the map `stage5`,
            and the images may then have any size. `stage1` to `stage5` are the last layers of 110, 55, 26, 13 and 6
            pixels each way.

    Raises:
        ValueError: images are too small, or have no fixed size and the network a head.
    """
    if num_classes and None in input_shape:
        raise ValueError(f"The dense layers need images of a fixed size. Received: input_shape={input_shape}.")
    if min(size or 63 for size in input_shape[:2]) < 63:
        raise ValueError(f"Images need at least 63 pixels each way. Received: input_shape={input_shape}.")
    x = inputs = keras.Input(input_shape)
    x = layers.ZeroPadding2D(1, name="stage1_pad")(x)
    x = conv_relu(x, width, 7, "stage1", 2, "valid", out="stage1")
    x = rounded_up_pool(x, "stage2_pool")
    x = LocalResponseNormalization(name="stage2")(x)
    x = conv_relu(x, round(width * 8 / 3), 5, "stage3", 2, "valid", out="stage3")
    x = rounded_up_pool(x, "stage4_pool")
    x = LocalResponseNormalization(name="stage4_norm")(x)
    x = conv_relu(x, 4 * width, 3, "stage4_1")
    x = conv_relu(x, 4 * width, 3, "stage4_2")
    x = conv_relu(x, round(width * 8 / 3), 3, "stage4_3", out="stage4")
    x = layers.MaxPooling2D(3, 2, name="stage5")(x)
    if num_classes:
        x = layers.Flatten(name="flatten")(x)
        for at in ("fc6", "fc7"):
            x = layers.Dense(units, kernel_initializer="he_normal", name=at)(x)
            x = layers.ReLU(name=f"{at}_relu")(x)
            x = layers.Dropout(dropout, name=f"{at}_dropout")(x)
        x = layers.Dense(num_classes, dtype="float32", name="logits")(x)
    return keras.Model(inputs, x, name=name)

"""ResNet-B, C and D: the stem and the strides of residual networks, moved so that fewer pixels go unseen.

Paper: He et al., "Bag of Tricks for Image Classification with Convolutional Neural Networks", CVPR 2019,
  arXiv:1812.01187
Slug: bag_of_tricks
Idea: a 1x1 convolution of stride 2 ignores three quarters of its input, so B moves the stride to the 3x3, D averages
  2 x 2 pixels before the shortcut's 1x1, and C makes of the 7x7 stem three 3x3 convolutions.
Differs: the architectures only: the paper's training tricks (warm-up, zero gamma, cosine, smoothing, mixup,
  distillation) are not here. Its accuracies (ResNet-50: 76.21 to 77.16 % by B, C and D) are not repeated. B is what
  every public ResNet-50 is, here `resnet50` too; 18 and 34 layers are timm's, the paper has 50.
Checked: on the same weights, logits and stage features of seven networks, and of odd sizes, equal timm's to 1e-4 of
  their scale, and timm's modules spend the multiply-adds of the rows (tests/parity/test_timm_resnet_d.py); no 1x1
  convolution of D has a stride and every pixel has a part in its shortcut (tests/test_resnet_tricks.py).
"""

from collections.abc import Callable

import keras
from keras import layers

from hub.layers.symmetric_conv import symmetric_conv
from hub.registry import register

TORCH_NAMES = (  # layer -> module of timm's ResNet; hub.weights reads it
    (r"stem_(conv|bn)", r"\g<1>1"),
    (r"stem_1_conv", "conv1.0"),
    (r"stem_1_bn", "conv1.1"),
    (r"stem_2_conv", "conv1.3"),
    (r"stem_2_bn", "conv1.4"),
    (r"stem_3_conv", "conv1.6"),
    (r"stem_3_bn", "bn1"),
    (r"stage(\d+)_block(\d+)_(\d)_(conv|bn)", r"layer\1.\2.\4\3"),
    (r"stage(\d+)_block(\d+)_shortcut_conv", r"layer\1.\2.downsample.0"),
    (r"stage(\d+)_block(\d+)_shortcut_bn", r"layer\1.\2.downsample.1"),
    (r"stage(\d+)_block(\d+)_average_conv", r"layer\1.\2.downsample.1"),
    (r"stage(\d+)_block(\d+)_average_bn", r"layer\1.\2.downsample.2"),
    (r"logits", "fc"),
)


def conv_bn(
    x: keras.KerasTensor, filters: int, kernel_size: int, strides: int, name: str, activate: bool = False
) -> keras.KerasTensor:
    x = symmetric_conv(x, filters, kernel_size, strides, name=f"{name}_conv")
    x = layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name=f"{name}_bn")(x)
    return layers.ReLU(name=f"{name}_relu")(x) if activate else x


def plain_stem(x: keras.KerasTensor, width: int) -> keras.KerasTensor:
    return conv_bn(x, width, 7, 2, "stem", activate=True)


def deep_stem(x: keras.KerasTensor, width: int) -> keras.KerasTensor:
    """Three 3x3 convolutions (fig. 2b); the first two have half the filters."""
    x = conv_bn(x, width // 2, 3, 2, "stem_1", activate=True)
    x = conv_bn(x, width // 2, 3, 1, "stem_2", activate=True)
    return conv_bn(x, width, 3, 1, "stem_3", activate=True)


def strided(x: keras.KerasTensor, filters: int, strides: int, name: str) -> keras.KerasTensor:
    return conv_bn(x, filters, 1, strides, f"{name}_shortcut")


def averaged(x: keras.KerasTensor, filters: int, strides: int, name: str) -> keras.KerasTensor:
    """Average, then 1x1 (fig. 2c); at an odd border the mean is of the pixels that are there."""
    if strides > 1:
        x = layers.AveragePooling2D(strides, padding="same", name=f"{name}_average_pool")(x)
    return conv_bn(x, filters, 1, 1, f"{name}_average")


def basic(x: keras.KerasTensor, filters: int, strides: int, name: str) -> keras.KerasTensor:
    y = conv_bn(x, filters, 3, strides, f"{name}_1", activate=True)
    return conv_bn(y, filters, 3, 1, f"{name}_2")


def bottleneck(x: keras.KerasTensor, filters: int, strides: int, name: str) -> keras.KerasTensor:
    """1x1, 3x3 with the stride (fig. 2a), 1x1 to four times the filters."""
    y = conv_bn(x, filters, 1, 1, f"{name}_1", activate=True)
    y = conv_bn(y, filters, 3, strides, f"{name}_2", activate=True)
    return conv_bn(y, 4 * filters, 1, 1, f"{name}_3")


b = {"stem": plain_stem, "shortcut": strided}


@register("resnet_d_tiny", block=basic, depths=(1, 1, 1, 1), width=8)
@register("resnet50b", **b, block=bottleneck, depths=(3, 4, 6, 3), params=25_557_032, gmacs=4.089,
    weights={"imagenet": {"repo": "timm/resnet50.gluon_in1k", "file": "model.safetensors",
        "license": "apache-2.0"}})  # fmt: skip
@register("resnet50c", shortcut=strided, block=bottleneck, depths=(3, 4, 6, 3), params=25_576_264, gmacs=4.329,
    weights={"imagenet": {"repo": "timm/resnet50c.gluon_in1k", "file": "model.safetensors",
        "license": "apache-2.0"}})  # fmt: skip
@register("resnet18d", block=basic, depths=(2, 2, 2, 2), params=11_708_744, gmacs=2.054,
    weights={"imagenet": {"repo": "timm/resnet18d.ra2_in1k", "file": "model.safetensors",
        "license": "apache-2.0"}})  # fmt: skip
@register("resnet34d", block=basic, depths=(3, 4, 6, 3), params=21_816_904, gmacs=3.903,
    weights={"imagenet": {"repo": "timm/resnet34d.ra2_in1k", "file": "model.safetensors",
        "license": "apache-2.0"}})  # fmt: skip
@register("resnet50d", block=bottleneck, depths=(3, 4, 6, 3), params=25_576_264, gmacs=4.329,
    weights={"imagenet": {"repo": "timm/resnet50d.ra2_in1k", "file": "model.safetensors",
        "license": "apache-2.0"}})  # fmt: skip
@register("resnet101d", block=bottleneck, depths=(3, 4, 23, 3), params=44_568_392, gmacs=8.041,
    weights={"imagenet": {"repo": "timm/resnet101d.ra2_in1k", "file": "model.safetensors",
        "license": "apache-2.0"}})  # fmt: skip
@register("resnet152d", block=bottleneck, depths=(3, 8, 36, 3), params=60_212_040, gmacs=11.753,
    weights={"imagenet": {"repo": "timm/resnet152d.ra2_in1k", "file": "model.safetensors",
        "license": "apache-2.0"}})  # fmt: skip
def resnet_tricks(
    block: Callable,
    depths: tuple[int, ...],
    width: int = 64,
    stem: Callable = deep_stem,
    shortcut: Callable = averaged,
    input_shape: tuple[int | None, int | None, int] = (224, 224, 3),
    num_classes: int = 1000,
    name: str = "resnet_tricks",
) -> keras.Model:
    """Build a ResNet-D, or B or C, over images [N, H, W, C] of any size; published weights expect RGB in 0..1, less
    ImageNet's mean (0.485, 0.456, 0.406), over its deviation (0.229, 0.224, 0.225).

    Args:
        block: the residual, `basic` or `bottleneck`.
        depths: blocks per stage; stage s has `width * 2**(s - 1)` filters, its output is the layer `stage{s}`.
        width: filters of the stem's end and of the first stage.
        stem: `deep_stem` (C and D) or `plain_stem`.
        shortcut: `averaged` (D) or `strided`, where the shape changes.
        num_classes: units of the float32 layer `logits`; 0 leaves out pooling and head and returns the feature map.
    """
    inputs = keras.Input(input_shape)
    x = layers.ZeroPadding2D(1, name="stem_pool_pad")(stem(inputs, width))
    x = layers.MaxPooling2D(3, 2, name="stem_pool")(x)
    for stage, depth in enumerate(depths, 1):
        for i in range(depth):
            at = f"stage{stage}_block{i}"
            strides = 2 if stage > 1 and i == 0 else 1
            y = block(x, width * 2 ** (stage - 1), strides, at)
            if strides > 1 or x.shape[-1] != y.shape[-1]:
                x = shortcut(x, y.shape[-1], strides, at)
            x = layers.Add(name=f"{at}_add")([y, x])
            x = layers.ReLU(name=f"stage{stage}" if i == depth - 1 else f"{at}_out")(x)
    if num_classes:
        x = layers.GlobalAveragePooling2D(name="pool")(x)
        x = layers.Dense(num_classes, dtype="float32", name="logits")(x)
    return keras.Model(inputs, x, name=name)

"""ResNet-SPD: residual networks for small pictures, without stride or pooling on the way in.

Paper: Sunkara and Luo, "No More Strided Convolutions or Pooling: A New CNN Building Block for Low-Resolution Images and
  Small Objects", ECML PKDD 2022, arXiv:2208.03641
Slug: spd_conv
Idea: where a ResNet halves its map by a stride, the pixels move into channels instead and the next convolution chooses
  among them.
Differs: nothing from the authors' code, whose shortcuts keep their strided 1x1 convolutions. Its accuracies (CIFAR-10,
  50 layers: 95.0 % against 93.9 %) are not repeated.
Checked: parameters are those of the authors' code; no 3x3 convolution has a stride (tests/test_layers_spd_ibn_rkan.py).
"""

from collections.abc import Callable

import keras
from keras import layers

from hub.layers.spd_conv import SpaceToDepth
from hub.layers.symmetric_conv import symmetric_conv
from hub.registry import register

CONTRACT_SIZE = {"input_shape": (32, 32, 3), "num_classes": 10}


def norm_relu(x: keras.KerasTensor, name: str, activation: str = "relu") -> keras.KerasTensor:
    x = layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name=f"{name}_bn")(x)
    return layers.Activation(activation, name=f"{name}_{activation}")(x) if activation else x


def shrink(x: keras.KerasTensor, strides: int, name: str) -> keras.KerasTensor:
    return SpaceToDepth(strides, name=f"{name}_spd")(x) if strides > 1 else x


def basic(x: keras.KerasTensor, filters: int, strides: int, name: str) -> keras.KerasTensor:
    """Two 3x3 convolutions, space to depth between them."""
    y = shrink(symmetric_conv(x, filters, 3, name=f"{name}_1_conv"), strides, f"{name}_1")
    y = symmetric_conv(norm_relu(y, f"{name}_1"), filters, 3, name=f"{name}_2_conv")
    return norm_relu(y, f"{name}_2", "")


def bottleneck(x: keras.KerasTensor, filters: int, strides: int, name: str) -> keras.KerasTensor:
    """1x1, 3x3, space to depth, and 1x1 to four times the filters."""
    y = norm_relu(symmetric_conv(x, filters, 1, name=f"{name}_1_conv"), f"{name}_1")
    y = shrink(symmetric_conv(y, filters, 3, name=f"{name}_2_conv"), strides, f"{name}_2")
    y = symmetric_conv(norm_relu(y, f"{name}_2"), 4 * filters, 1, name=f"{name}_3_conv")
    return norm_relu(y, f"{name}_3", "")


@register("resnet_spd_tiny", block=basic, depths=(1, 1, 1, 1), width=8)
@register("resnet18_spd", block=basic, depths=(2, 2, 2, 2), params=20_565_576,
    input_shape=(64, 64, 3), num_classes=200)  # fmt: skip
@register("resnet50_spd", block=bottleneck, depths=(3, 4, 6, 3), params=27_654_026)
def resnet_spd(
    block: Callable,
    depths: tuple[int, ...],
    width: int = 64,
    input_shape: tuple[int | None, int | None, int] = (32, 32, 3),
    num_classes: int = 10,
    name: str = "resnet_spd",
) -> keras.Model:
    """Build a ResNet-SPD over images [N, H, W, C]; sized for CIFAR-10, `resnet18_spd` for Tiny ImageNet.

    Args:
        block: the residual, `basic` or `bottleneck`.
        depths: blocks per stage; stage s has `width * 2**(s - 1)` filters and 1 / 2**s of the input's height and width,
            rounded up; its output is the layer `stage{s}`.
        width: filters of stem and first stage.
        num_classes: units of the float32 layer `logits`; 0 leaves out pooling and head and returns the feature map.
    """
    inputs = keras.Input(input_shape)
    x = symmetric_conv(SpaceToDepth(name="stem_spd")(inputs), width, 1, name="stem_conv")
    x = norm_relu(x, "stem", "silu")
    for stage, depth in enumerate(depths, 1):
        for i in range(depth):
            at = f"stage{stage}_block{i}"
            strides = 2 if stage > 1 and i == 0 else 1
            y = block(x, width * 2 ** (stage - 1), strides, at)
            if strides > 1 or x.shape[-1] != y.shape[-1]:
                x = symmetric_conv(x, y.shape[-1], 1, strides, name=f"{at}_shortcut_conv")
                x = norm_relu(x, f"{at}_shortcut", "")
            x = layers.Add(name=f"{at}_add")([y, x])
            x = layers.ReLU(name=f"stage{stage}" if i == depth - 1 else f"{at}_out")(x)
    if num_classes:
        x = layers.GlobalAveragePooling2D(name="pool")(x)
        x = layers.Dense(num_classes, dtype="float32", name="logits")(x)
    return keras.Model(inputs, x, name=name)

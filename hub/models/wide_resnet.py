"""Wide ResNet: fewer, wider pre-activation residual blocks for small images.

Paper: Zagoruyko and Komodakis, "Wide Residual Networks", BMVC 2016, arXiv:1605.07146
Slug: wrn
Idea: width, not depth, is what residual networks gain from: 16 layers of 8 times the filters beat a thousand thin ones.
Differs: nothing; the ImageNet networks wide_resnet50_2 and wide_resnet101_2 are rows of resnet.py.
Checked: outputs equal slow NumPy loops with the pre-activation shared by branch and projecting shortcut; parameters are
  those that the paper's architecture implies for 10 and 100 classes (tests/test_resnet.py).
"""

import keras
from keras import layers

from hub.layers.symmetric_conv import symmetric_conv
from hub.registry import register

CONTRACT_SIZE = {"input_shape": (32, 32, 3), "num_classes": 10}


def bn_relu(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
    x = layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name=f"{name}_bn")(x)
    return layers.ReLU(name=f"{name}_relu")(x)


def block(
    x: keras.KerasTensor, filters: int, strides: int, kernel_sizes: tuple[int, ...], dropout: float, name: str, out: str
) -> keras.KerasTensor:
    """B(k1, k2, ...) of section 3: BN, ReLU, convolution for each kernel, added to the shortcut; dropout lies between.

    Where the shape changes the shortcut is a 1x1 convolution of the *activated* input, else the raw input.
    """
    y = bn_relu(x, f"{name}_1")
    same_shape = strides == 1 and x.shape[-1] == filters
    shortcut = x if same_shape else symmetric_conv(y, filters, 1, strides, f"{name}_shortcut_conv")
    y = symmetric_conv(y, filters, kernel_sizes[0], strides, f"{name}_1_conv")
    for i, kernel_size in enumerate(kernel_sizes[1:], 2):
        y = bn_relu(y, f"{name}_{i}")
        if dropout:
            y = layers.Dropout(dropout, name=f"{name}_{i}_dropout")(y)
        y = symmetric_conv(y, filters, kernel_size, 1, f"{name}_{i}_conv")
    return layers.Add(name=out)([shortcut, y])


@register("wrn_tiny", depth=10, width=1)
@register("wrn16_8", depth=16, width=8, params=10_961_370)
@register("wrn16_10", depth=16, width=10, params=17_116_634, gmacs=2.414)
@register("wrn22_8", depth=22, width=8, params=17_158_106)
@register("wrn28_2", depth=28, width=2, params=1_467_610)
@register("wrn28_10", depth=28, width=10, params=36_479_194, gmacs=5.247)
@register("wrn28_12", depth=28, width=12, params=52_517_850)
@register("wrn40_1", depth=40, width=1, params=563_930)
@register("wrn40_2", depth=40, width=2, params=2_243_546)
@register("wrn40_4", depth=40, width=4, params=8_949_210)
@register("wrn40_8", depth=40, width=8, params=35_748_314, gmacs=5.177)
def wide_resnet(
    depth: int,
    width: int,
    dropout: float = 0.0,
    kernel_sizes: tuple[int, ...] = (3, 3),
    input_shape: tuple[int | None, int | None, int] = (32, 32, 3),
    num_classes: int = 10,
    name: str = "wide_resnet",
) -> keras.Model:
    """Build WRN-depth-width over images [N, H, W, C] of any size (the paper: 32x32, less mean, over deviation).

    Args:
        depth: convolutions on the longest path; 4 more than a multiple of three times the convolutions of a block.
        width: k, the filters of the three stages being 16k, 32k and 64k; their outputs are layers `stage1` to `stage3`.
        dropout: rate inside each block (the paper: 0.3 on CIFAR, 0.4 on SVHN).
        kernel_sizes: kernels of a block's convolutions, B(3, 3) by default.
        num_classes: units of the float32 layer `logits`; 0 leaves out pooling and head and returns the feature map.
    """
    blocks, rest = divmod(depth - 4, 3 * len(kernel_sizes))
    if rest or blocks < 1:
        raise ValueError(
            f"`depth` is {3 * len(kernel_sizes)}n + 4 for blocks of {len(kernel_sizes)} convolutions. "
            f"Received: depth={depth}."
        )
    inputs = keras.Input(input_shape)
    x = symmetric_conv(inputs, 16, 3, name="stem_conv")
    for stage in (1, 2, 3):
        for i in range(blocks):
            at = f"stage{stage}_block{i}"
            strides = 2 if stage > 1 and i == 0 else 1
            out = f"stage{stage}" if i == blocks - 1 else f"{at}_add"
            x = block(x, 8 * 2**stage * width, strides, kernel_sizes, dropout, at, out)
    x = bn_relu(x, "tail")
    if num_classes:
        x = layers.GlobalAveragePooling2D(name="pool")(x)
        x = layers.Dense(num_classes, dtype="float32", name="logits")(x)
    return keras.Model(inputs, x, name=name)

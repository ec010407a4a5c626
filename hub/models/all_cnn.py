"""All-CNN: networks of nothing but convolutions, whose strides do the work of pooling.

Paper: Springenberg et al., "Striving for Simplicity: The All Convolutional Net", ICLR 2015 workshop, arXiv:1412.6806
Slug: all_cnn
Idea: a max-pooling layer is replaced by a convolution of stride 2, and dense layers by 1x1 convolutions averaged over
  the map; nothing else is needed for CIFAR's best accuracy of its day.
Differs: kernels start He-normal; maps of even size are padded at the bottom and right before a stride of 2; the network
  for ImageNet is left out, since its table could not be confirmed. The paper's figures for CIFAR-10 (All-CNN-C: 9.08 %
  error, 7.25 % with augmentation) are recalled, not repeated.
Checked: parameters are the sums of the paper's tables, the variants differ where its table 2 says, and logits of all
  four equal loops over positions (tests/test_all_cnn.py).
"""

import keras
from keras import layers

from hub.registry import register

CONTRACT_SIZE = {"input_shape": (32, 32, 3), "num_classes": 10}
A, B, C = (5,), (5, 1), (3, 3)  # kernel sizes of a stage's convolutions (table 1)
SHRINKING = ("pool", "strided", "convpool", "all")


def conv_relu(
    x: keras.KerasTensor, filters: int, kernel_size: int, name: str, strides: int = 1, padding: str = "same"
) -> keras.KerasTensor:
    x = layers.Conv2D(filters, kernel_size, strides, padding, kernel_initializer="he_normal", name=f"{name}_conv")(x)
    return layers.ReLU(name=f"{name}_relu")(x)


def shrunk(x: keras.KerasTensor, filters: int, kernels: tuple[int, ...], how: str, name: str) -> keras.KerasTensor:
    """One stage: its convolutions, then half the height and width (table 2); the last layer is `name`."""
    for i, size in enumerate(kernels, 1):
        x = conv_relu(x, filters, size, f"{name}_{i}", 2 if how == "strided" and i == len(kernels) else 1)
    if how in ("all", "convpool"):
        x = conv_relu(x, filters, 3, f"{name}_extra", 2 if how == "all" else 1)
    if how in ("pool", "convpool"):
        return layers.MaxPooling2D(3, 2, "same", name=name)(x)
    return layers.Identity(name=name)(x)


@register("all_cnn_tiny", kernels=C, width=16)
@register("all_cnn_a", kernels=A, params=1_254_250)
@register("all_cnn_b", kernels=B, params=1_300_618)
@register("all_cnn_c", kernels=C, params=1_369_738)
@register("base_cnn_c", kernels=C, shrink="pool")
@register("strided_cnn_c", kernels=C, shrink="strided")
@register("convpool_cnn_c", kernels=C, shrink="convpool")
def all_cnn(
    kernels: tuple[int, ...],
    shrink: str = "all",
    width: int = 96,
    padding: str = "valid",
    input_dropout: float = 0.2,
    dropout: float = 0.5,
    input_shape: tuple[int | None, int | None, int] = (32, 32, 3),
    num_classes: int = 10,
    name: str = "all_cnn",
) -> keras.Model:
    """Build an All-CNN or one of the networks the paper compares it with, over images [N, H, W, C]; the paper whitens
    and contrast-normalises them.

    Args:
        kernels: kernel sizes of the convolutions of stages 1 and 2, of `width` and `2 * width` filters. The last layers
            before a change of size are `stage1`, `stage2` and, after the head's 3x3 and 1x1 convolutions, `stage3`.
        shrink: what halves the map at the end of both stages. "pool" is 3x3 max pooling by 2; "strided" gives the last
            convolution its stride instead; "all" puts a 3x3 convolution of stride 2 in its place; "convpool" keeps the
            pool after such a convolution of stride 1, which makes it as deep as "all".
        padding: "valid" for the third 3x3 convolution of the paper (a map of 8x8 becomes 6x6) or "same".
        input_dropout: share of the input values that a training step leaves out.
        dropout: the same, after each of the two stages.
        num_classes: maps of the float32 1x1 convolution `logits`, which are rectified and averaged to the outputs, so
            that these are never negative; 0 leaves all of this out and returns the feature map.

    Raises:
        ValueError: `shrink` is none of the four.
    """
    if shrink not in SHRINKING:
        raise ValueError(f"`shrink` is one of {', '.join(SHRINKING)}. Received: shrink={shrink!r}.")
    x = inputs = keras.Input(input_shape)
    x = layers.Dropout(input_dropout, name="input_dropout")(x)
    for stage in (1, 2):
        x = shrunk(x, stage * width, kernels, shrink, f"stage{stage}")
        x = layers.Dropout(dropout, name=f"stage{stage}_dropout")(x)
    x = conv_relu(x, 2 * width, 3, "stage3_1", padding=padding)
    x = layers.Conv2D(2 * width, 1, kernel_initializer="he_normal", name="stage3_2_conv")(x)
    x = layers.ReLU(name="stage3")(x)
    if num_classes:
        x = layers.Conv2D(num_classes, 1, kernel_initializer="he_normal", dtype="float32", name="logits")(x)
        x = layers.ReLU(dtype="float32", name="logits_relu")(x)
        x = layers.GlobalAveragePooling2D(dtype="float32", name="pool")(x)
    return keras.Model(inputs, x, name=name)

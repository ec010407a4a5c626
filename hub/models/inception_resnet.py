"""Inception-ResNet: parallel branches whose concatenation is projected, scaled down and added to their input.

Paper: Szegedy et al., "Inception-v4, Inception-ResNet and the Impact of Residual Connections on Learning", AAAI 2017,
  arXiv:1602.07261
Slug: inception_v4
Idea: residual connections make Inception train faster; wide residuals are multiplied by 0.1 to 0.3 before the addition,
  without which training turns unstable.
Differs: the network is the authors' released Inception-ResNet-v2, as in every public checkpoint; the paper's figures 15
  to 19 have Inception-v4's stem, other widths and 5, 10 and 5 blocks. Inception-ResNet-v1 is not built.
Checked: on the same weights, logits and stages equal timm's and, with `bn_scale=False`, keras.applications' to 1e-4 of
  their scale (tests/parity/test_inception_v4_resnet.py); a block against slow loops and the sizes of the stages down to
  the smallest image (tests/test_inception_v4.py).
"""

import functools

import keras
from keras import layers

from hub.layers.branches import branches, conv_bn
from hub.registry import register

CONTRACT_SIZE = {"input_shape": (75, 80, 3), "num_classes": 10}
TORCH_NAMES = (  # layer -> module of timm's Inception-ResNet-v2
    (r"stem_(\w+)_(conv|bn)", r"conv2d_\1.\2"),
    (r"mixed_(\d\w)_(branch\d)_(\d)_(conv|bn)", r"mixed_\1.\2.\3.\4"),
    (r"mixed_(\d\w)_(branch\d)_(conv|bn)", r"mixed_\1.\2.\3"),
    *(
        pair
        for ours, theirs in (
            (r"block35_(\d+)", r"repeat.\1"),
            (r"block17_(\d+)", r"repeat_1.\1"),
            (r"block8_(\d+)", r"repeat_2.\1"),
            (r"block8(_last)", "block8"),
        )
        for pair in (
            (rf"{ours}_(branch\d)_(\d)_(conv|bn)", rf"{theirs}.\2.\3.\4"),
            (rf"{ours}_(branch\d)_(conv|bn)", rf"{theirs}.\2.\3"),
            (rf"{ours}_up", rf"{theirs}.conv2d"),
        )
    ),
    (r"tail_(conv|bn)", r"conv2d_7b.\1"),
    (r"logits", "classif"),
)

# The branches of each block; hub.layers.branches reads them.
MIXED_5B = (((96,),), ((48,), (64, 5)), ((64,), (96, 3), (96, 3)), ("average", (64,)))
BLOCK_35 = (((32,),), ((32,), (32, 3)), ((32,), (48, 3), (64, 3)))
MIXED_6A = (((384, 3, 2, "valid"),), ((256,), (256, 3), (384, 3, 2, "valid")), ("max",))
BLOCK_17 = (((192,),), ((128,), (160, (1, 7)), (192, (7, 1))))
MIXED_7A = (
    ((256,), (384, 3, 2, "valid")),
    ((256,), (288, 3, 2, "valid")),
    ((256,), (288, 3), (320, 3, 2, "valid")),
    ("max",),
)
BLOCK_8 = (((192,),), ((192,), (224, (1, 3)), (256, (3, 1))))


def residual(x: keras.KerasTensor, y: keras.KerasTensor, scale: float, name: str) -> keras.KerasTensor:
    """x + scale * (1x1 convolution of the branches y, with a bias and without activation); section 3.3."""
    y = layers.Conv2D(x.shape[-1], 1, kernel_initializer="he_normal", name=f"{name}_up")(y)
    if scale != 1:
        y = layers.Rescaling(scale, name=f"{name}_scale")(y)
    return layers.Add(name=f"{name}_add")([x, y])


@register("inception_resnet_tiny", depths=(1, 1, 1), width=0.125)
@register("inception_resnet_v2", params=55_843_464, gmacs=13.18,
    weights={"imagenet": {"repo": "timm/inception_resnet_v2.tf_in1k", "file": "model.safetensors",
        "license": "apache-2.0"},
        "imagenet_ens_adv": {"repo": "timm/inception_resnet_v2.tf_ens_adv_in1k", "file": "model.safetensors",
        "license": "apache-2.0"}})  # fmt: skip
def inception_resnet(
    depths: tuple[int, int, int] = (10, 20, 9),
    width: float = 1.0,
    bn_scale: bool = True,
    dropout: float = 0.2,
    input_shape: tuple[int | None, int | None, int] = (299, 299, 3),
    num_classes: int = 1000,
    name: str = "inception_resnet",
) -> keras.Model:
    """Build an Inception-ResNet-v2 over images [N, H, W, C] of at least 75 pixels each way; published weights expect
    RGB in -1..1.

    Layers `stage1` to `stage5` are the last outputs at strides 2, 4, 8, 16 and 32, those that timm gives as features.

    Args:
        depths: numbers of residual blocks at strides 8, 16 and 32, before the last, which is neither scaled nor
            activated.
        width: factor of all numbers of filters but the head's; a multiple of 1 / 16.
        bn_scale: whether BatchNorm has a learned scale; keras.applications goes without.
        dropout: rate before the head.
        num_classes: units of the float32 layer `logits`; 0 leaves out pooling and head and returns the feature map.

    Raises:
        ValueError: the images are too small for the five halvings.
    """
    if min(size or 75 for size in input_shape[:2]) < 75:
        raise ValueError(f"Images need at least 75 pixels each way. Received: input_shape={input_shape}.")
    conv = functools.partial(conv_bn, width=width, scale=bn_scale)
    split = functools.partial(branches, width=width, scale=bn_scale)

    inputs = keras.Input(input_shape)
    x = conv(inputs, 32, 3, 2, "valid", name="stem_1a")
    x = conv(x, 32, 3, 1, "valid", name="stem_2a")
    x = conv(x, 64, 3, name="stem_2b", out="stage1")
    x = layers.MaxPooling2D(3, 2, name="stem_pool1")(x)
    x = conv(x, 80, name="stem_3b")
    x = conv(x, 192, 3, 1, "valid", name="stem_4a", out="stage2")
    x = layers.MaxPooling2D(3, 2, name="stem_pool2")(x)
    for entry, first, block, table, depth, scale, stage in (
        ("mixed_5b", MIXED_5B, "block35", BLOCK_35, depths[0], 0.17, "stage3"),
        ("mixed_6a", MIXED_6A, "block17", BLOCK_17, depths[1], 0.1, "stage4"),
        ("mixed_7a", MIXED_7A, "block8", BLOCK_8, depths[2], 0.2, None),
    ):
        x = split(x, first, name=entry)
        for i in range(depth):
            at = f"{block}_{i}"
            x = residual(x, split(x, table, name=at), scale, at)
            x = layers.ReLU(name=stage if stage and i == depth - 1 else f"{at}_relu")(x)
    x = residual(x, split(x, BLOCK_8, name="block8_last"), 1, "block8_last")
    x = conv(x, 1536, name="tail", out="stage5")
    if num_classes:
        x = layers.GlobalAveragePooling2D(name="pool")(x)
        x = layers.Dropout(dropout, name="dropout")(x)
        x = layers.Dense(num_classes, dtype="float32", name="logits")(x)
    return keras.Model(inputs, x, name=name)

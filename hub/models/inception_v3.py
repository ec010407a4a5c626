"""Inception v3: parallel branches of small and factorised convolutions for image classification.

Paper: Szegedy et al., "Rethinking the Inception Architecture for Computer Vision", CVPR 2016, arXiv:1512.00567
Slug: inception_v3
Idea: a large convolution is factorised, 5x5 into two 3x3, 7x7 into 1x7 and 7x1, and grids shrink in parallel branches,
  so that more filters fit into the same work.
Differs: the network is the authors' released one, as in every public checkpoint; the paper's table 1 has other numbers
  of channels. Average pooling counts the zeros of the border, as torchvision does; `inception_v3_keras` counts pixels
  only and has no BatchNorm scale, as keras.applications. The auxiliary classifier, which acts in training only, is left
  out; its tensors in a checkpoint are passed over.
Checked: on the same weights, logits and stage features equal torchvision's and timm's to 1e-4 of their scale, and the
  `_keras` row's keras.applications' (tests/parity/test_densenet_inception.py); stage sizes down to the smallest image
  (tests/test_densenet.py).
"""

import functools
from collections.abc import Callable

import keras
from keras import layers

from hub.registry import register

CONTRACT_SIZE = {"input_shape": (75, 80, 3), "num_classes": 10}
TORCH_NAMES = (  # layer -> module of torchvision's and timm's InceptionV3; hub.weights reads it
    (r"stem_(\w+)_(conv|bn)", r"Conv2d_\1.\2"),
    (r"mixed_(..)_average_(conv|bn)", r"Mixed_\1.branch_pool.\2"),
    (r"mixed_(..)_(\w+)_(conv|bn)", r"Mixed_\1.branch\2.\3"),
    (r"logits", "fc"),
)
TORCH_IGNORED = (r"AuxLogits\..*",)  # tensors of a checkpoint that this network does without

# Branches of a block, in the order of the checkpoints' channels: the steps (filters, kernel size[, strides, padding])
# that follow one another; the branches `average` and `max` pool first. A dictionary of steps is a fork.


def block_a(pool: int) -> dict[str, tuple]:
    """Figure 5: two 3x3 beside a 5x5."""
    return {
        "1x1": ((64, 1),),
        "5x5": ((48, 1), (64, 5)),
        "3x3dbl": ((64, 1), (96, 3), (96, 3)),
        "average": ((pool, 1),),
    }


def block_b(c: int) -> dict[str, tuple]:
    """Figure 6: 7x7 as 1x7 and 7x1, of `c` filters."""
    row, column = (1, 7), (7, 1)
    return {
        "1x1": ((192, 1),),
        "7x7": ((c, 1), (c, row), (192, column)),
        "7x7dbl": ((c, 1), (c, column), (c, row), (c, column), (192, row)),
        "average": ((192, 1),),
    }


fork = {"a": (384, (1, 3)), "b": (384, (3, 1))}
block_c = {  # figure 7
    "1x1": ((320, 1),),
    "3x3": ((384, 1), fork),
    "3x3dbl": ((448, 1), (384, 3), fork),
    "average": ((192, 1),),
}
halve_a = {  # figure 10: convolutions and a pooling, side by side
    "3x3": ((384, 3, 2, "valid"),),
    "3x3dbl": ((64, 1), (96, 3), (96, 3, 2, "valid")),
    "max": (),
}
halve_b = {
    "3x3": ((192, 1), (320, 3, 2, "valid")),
    "7x7x3": ((192, 1), (192, (1, 7)), (192, (7, 1)), (192, 3, 2, "valid")),
    "max": (),
}
MIXED = {
    "5b": block_a(32), "5c": block_a(64), "5d": block_a(64),
    "6a": halve_a, "6b": block_b(128), "6c": block_b(160), "6d": block_b(160), "6e": block_b(192),
    "7a": halve_b, "7b": block_c, "7c": block_c,
}  # fmt: skip
STAGES = {"5d": "stage3", "6e": "stage4", "7c": "stage5"}  # the last of each grid


def conv_bn(
    x: keras.KerasTensor,
    filters: int,
    kernel_size: int | tuple[int, int],
    strides: int = 1,
    padding: str = "same",
    *,
    width: float,
    scale: bool,
    name: str,
    out: str | None = None,
) -> keras.KerasTensor:
    x = layers.Conv2D(
        int(width * filters),
        kernel_size,
        strides,
        padding,
        use_bias=False,
        kernel_initializer="he_normal",
        name=f"{name}_conv",
    )(x)
    x = layers.BatchNormalization(momentum=0.9, epsilon=1e-3, scale=scale, name=f"{name}_bn")(x)
    return layers.ReLU(name=out or f"{name}_relu")(x)


def average(x: keras.KerasTensor, count_border: bool, name: str) -> keras.KerasTensor:
    """3x3 mean at every pixel; the zeros around the map count, or only pixels do."""
    if not count_border:
        return layers.AveragePooling2D(3, 1, "same", name=f"{name}_pool")(x)
    x = layers.ZeroPadding2D(1, name=f"{name}_pad")(x)
    return layers.AveragePooling2D(3, 1, name=f"{name}_pool")(x)


def mixed(
    x: keras.KerasTensor, branches: dict[str, tuple], conv: Callable, count_border: bool, name: str, out: str
) -> keras.KerasTensor:
    """The branches of a block, concatenated."""
    ends = []
    for branch, steps in branches.items():
        at, y = f"{name}_{branch}", x
        if branch == "average":
            y = average(x, count_border, at)
        elif branch == "max":
            y = layers.MaxPooling2D(3, 2, name=f"{at}_pool")(x)
        for i, step in enumerate(steps, 1):
            place = f"{at}_{i}" if len(steps) > 1 else at
            if isinstance(step, dict):
                tines = [conv(y, *tine, name=f"{place}{letter}") for letter, tine in step.items()]
                y = layers.Concatenate(name=f"{place}_concat")(tines)
            else:
                y = conv(y, *step, name=place)
        ends.append(y)
    return layers.Concatenate(name=out)(ends)


@register("inception_v3_tiny", width=0.125)
@register("inception_v3", params=23_834_568, gmacs=5.713,
    weights={"imagenet": {"repo": "timm/inception_v3.gluon_in1k", "file": "model.safetensors",
        "license": "apache-2.0"},
        "imagenet_tv": {"repo": "timm/inception_v3.tv_in1k", "file": "model.safetensors",
        "license": "apache-2.0", "mean": 0.5, "std": 0.5}})  # fmt: skip
@register("inception_v3_keras", bn_scale=False, count_border=False, params=23_817_352, gmacs=5.713)
def inception_v3(
    width: float = 1.0,
    bn_scale: bool = True,
    count_border: bool = True,
    dropout: float = 0.2,
    input_shape: tuple[int | None, int | None, int] = (299, 299, 3),
    num_classes: int = 1000,
    name: str = "inception_v3",
) -> keras.Model:
    """Build an Inception v3 over images [N, H, W, C] of any size from 75 pixels. Published weights expect RGB in 0..1:
    "imagenet" less the mean (0.485, 0.456, 0.406), over the deviation (0.229, 0.224, 0.225); "imagenet_tv" less 0.5,
    over 0.5.

    Layers `stage1` to `stage5` are the last outputs at strides 2, 4, 8, 16 and 32, those that timm gives as features.

    Args:
        width: factor of all numbers of filters but the head's; a multiple of 1 / 16.
        bn_scale: whether BatchNorm has a learned scale.
        count_border: whether average pooling counts the zeros around the map, as in PyTorch, or pixels only.
        dropout: rate before the head (the authors: 0.2, torchvision: 0.5).
        num_classes: units of the float32 layer `logits`; 0 leaves out pooling and head and returns the feature map.

    Raises:
        ValueError: the images are too small for the five halvings.
    """
    if min(size or 75 for size in input_shape[:2]) < 75:
        raise ValueError(f"Images need at least 75 pixels each way. Received: input_shape={input_shape}.")
    conv = functools.partial(conv_bn, width=width, scale=bn_scale)
    inputs = keras.Input(input_shape)
    x = conv(inputs, 32, 3, 2, "valid", name="stem_1a_3x3")
    x = conv(x, 32, 3, 1, "valid", name="stem_2a_3x3")
    x = conv(x, 64, 3, name="stem_2b_3x3", out="stage1")
    x = layers.MaxPooling2D(3, 2, name="stem_pool1")(x)
    x = conv(x, 80, 1, name="stem_3b_1x1")
    x = conv(x, 192, 3, 1, "valid", name="stem_4a_3x3", out="stage2")
    x = layers.MaxPooling2D(3, 2, name="stem_pool2")(x)
    for key, branches in MIXED.items():
        x = mixed(x, branches, conv, count_border, f"mixed_{key}", STAGES.get(key, f"mixed_{key}"))
    if num_classes:
        x = layers.GlobalAveragePooling2D(name="pool")(x)
        x = layers.Dropout(dropout, name="dropout")(x)
        x = layers.Dense(num_classes, dtype="float32", name="logits")(x)
    return keras.Model(inputs, x, name=name)

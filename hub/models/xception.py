"""Xception: a tower of residual blocks made of depthwise separable convolutions.

Paper: Chollet, "Xception: Deep Learning with Depthwise Separable Convolutions", CVPR 2017, arXiv:1610.02357
Slug: xception
Idea: what is found in space and what is found across channels is learned apart: every 3x3 sees one channel, every 1x1
  one pixel; no activation lies between the two.
Differs: the channel multiplier is 1 and the optional dense layers before the head are left out, as in the released
  network. `legacy_xception` is its port to PyTorch, which pads the poolings alike on every side and whose normalisation
  adds 1e-5 instead of 1e-3.
Checked: on the same weights, logits and stages equal keras.applications', and `legacy_xception`'s timm's, to 1e-4 of
  their scale (tests/parity/test_timm_modern.py).
"""

import keras
from keras import layers

from hub.registry import register

CONTRACT_SIZE = {"input_shape": (71, 71, 3), "num_classes": 10}


def torch_names(model: keras.Model, _tensors: object) -> tuple[tuple[str, str], ...]:
    """Layer -> module of timm's legacy Xception: there a block's parts are counted with its activations, and the first
    block begins without one."""
    blocks = [layer.name for layer in model.layers if layer.name.endswith("_add")]
    return (
        (r"stem(\d)_(conv|bn)", r"\2\1"),
        (r"block(\d+)_shortcut_conv", r"block\1.skip"),
        (r"block(\d+)_shortcut_bn", r"block\1.skipbn"),
        *(
            (rf"block{block}_{part}_{ours}", f"block{block}.rep.{3 * part - (block == 1) - 3 + place}{theirs}")
            for block in range(1, len(blocks) + 1)
            for part in (1, 2, 3)
            for ours, place, theirs in (("depthwise", 1, ".conv1"), ("pointwise", 1, ".pointwise"), ("bn", 2, ""))
        ),
        (r"exit(\d)_depthwise", r"conv\1.conv1"),
        (r"exit(\d)_pointwise", r"conv\1.pointwise"),
        (r"exit(\d)_bn", r"bn\1"),
        (r"logits", "fc"),
    )


TORCH_NAMES = torch_names


def norm(x: keras.KerasTensor, epsilon: float, name: str) -> keras.KerasTensor:
    return layers.BatchNormalization(momentum=0.99, epsilon=epsilon, name=f"{name}_bn")(x)


def conv(x: keras.KerasTensor, filters: int, kernel_size: int, strides: int, name: str) -> keras.KerasTensor:
    return layers.Conv2D(
        filters, kernel_size, strides, use_bias=False, kernel_initializer="he_normal", name=f"{name}_conv"
    )(x)


def separable(x: keras.KerasTensor, filters: int, epsilon: float, name: str) -> keras.KerasTensor:
    """3x3 per channel, 1x1 across channels, normalisation; no activation (section 4.7)."""
    # Keras counts all channels into a depthwise fan; what a filter sees is nine values of one channel.
    once = keras.initializers.RandomNormal(stddev=1 / 3)
    options = {"use_bias": False, "padding": "same"}
    x = layers.DepthwiseConv2D(3, depthwise_initializer=once, name=f"{name}_depthwise", **options)(x)
    x = layers.Conv2D(filters, 1, kernel_initializer="he_normal", name=f"{name}_pointwise", **options)(x)
    return norm(x, epsilon, name)


def pool(x: keras.KerasTensor, padding: str, name: str) -> keras.KerasTensor:
    """The largest of 3x3, by 2; padding is never the largest."""
    if padding == "same":
        return layers.MaxPooling2D(3, 2, "same", name=f"{name}_pool")(x)
    x = layers.MaxPooling2D(3, 1, "same", name=f"{name}_pool")(x)
    return layers.MaxPooling2D(1, 2, name=f"{name}_subsample")(x)


def block(
    x: keras.KerasTensor,
    filters: tuple[int, ...],
    strides: int,
    padding: str,
    epsilon: float,
    activate: bool,
    name: str,
) -> keras.KerasTensor:
    """Separable convolutions, each after a ReLU (the first where `activate`), beside a shortcut (fig. 5)."""
    y = x
    for part, width in enumerate(filters, 1):
        if activate or part > 1:
            y = layers.ReLU(name=f"{name}_{part}_relu")(y)
        y = separable(y, width, epsilon, f"{name}_{part}")
    if strides > 1:
        y = pool(y, padding, name)
        x = norm(conv(x, filters[-1], 1, strides, f"{name}_shortcut"), epsilon, f"{name}_shortcut")
    return layers.Add(name=f"{name}_add")([x, y])


@register("xception_tiny", stem=(8, 8), entry=(8, 12, 16), middle=1, last=(24, 32, 40))
@register("xception", params=22_855_952, gmacs=8.357)
@register("legacy_xception", padding="symmetric", epsilon=1e-5, params=22_855_952, gmacs=8.357)
def xception(
    stem: tuple[int, int] = (32, 64),
    entry: tuple[int, int, int] = (128, 256, 728),
    middle: int = 8,
    last: tuple[int, int, int] = (1024, 1536, 2048),
    padding: str = "same",
    epsilon: float = 1e-3,
    dropout: float = 0.5,
    input_shape: tuple[int | None, int | None, int] = (299, 299, 3),
    num_classes: int = 1000,
    name: str = "xception",
) -> keras.Model:
    """Build an Xception over images [N, H, W, C] of at least 71 by 71 pixels; published weights expect RGB in -1..1.

    The layer `stage{s}` is the last of stride `2**s`.

    Args:
        stem: filters of the two convolutions at the start.
        entry: filters of the entry flow's blocks.
        middle: number of blocks of the middle flow, as wide as the entry flow's last.
        last: filters of the exit flow's block and of the two separable convolutions after it.
        padding: of the poolings: "same" as TensorFlow pads, "symmetric" as PyTorch does.
        epsilon: what the normalisation adds to the variance.
        dropout: rate before `logits`.
        num_classes: units of the float32 layer `logits`; 0 leaves out pooling and head and returns the feature map.
    """
    if padding not in ("same", "symmetric"):
        raise ValueError(f'`padding` is "same" or "symmetric". Received: padding={padding!r}.')
    inputs = x = keras.Input(input_shape)
    for i, (filters, strides) in enumerate(zip(stem, (2, 1), strict=True), 1):
        x = norm(conv(x, filters, 3, strides, f"stem{i}"), epsilon, f"stem{i}")
        x = layers.ReLU(name="stage1" if i == 2 else f"stem{i}_relu")(x)
    wide = entry[-1]
    rows = [*(((w, w), 2) for w in entry), *[((wide, wide, wide), 1)] * middle, ((wide, last[0]), 2)]
    ends = {2: "stage2", 3: "stage3", len(rows): "stage4"}  # the block that leaves a stride begins with its pooling
    for i, (filters, strides) in enumerate(rows, 1):
        if i in ends:
            x = layers.Identity(name=ends[i])(x)
        x = block(x, filters, strides, padding, epsilon, i > 1, f"block{i}")
    for i, filters in enumerate(last[1:], 3):
        x = separable(x, filters, epsilon, f"exit{i}")
        x = layers.ReLU(name="stage5" if i == 4 else f"exit{i}_relu")(x)
    if num_classes:
        x = layers.GlobalAveragePooling2D(name="pool")(x)
        x = layers.Dropout(dropout, name="dropout")(x)
        x = layers.Dense(num_classes, dtype="float32", name="logits")(x)
    return keras.Model(inputs, x, name=name)

"""DenseNet: convolutional networks in which every layer sees all layers before it; CheXNet is one of them.

Paper: Huang et al., "Densely Connected Convolutional Networks", CVPR 2017, arXiv:1608.06993; `chexnet` is Rajpurkar et
  al., "CheXNet: Radiologist-Level Pneumonia Detection on Chest X-Rays with Deep Learning", 2017, arXiv:1711.05225
Slug: densenet
Idea: layers are joined by concatenation instead of addition, so that a block of L layers has L(L + 1) / 2 connections,
  each layer adds only a few new channels, and every gradient has a short way.
Differs: BatchNorm's epsilon is 1e-5, as in every public checkpoint. Where a map is odd, the average pooling of a
  transition drops the last row or column, as in torchvision. `chexnet` has logits for the paper's 14 findings (sigmoid
  outside), and no weights: none by its authors are known.
Checked: on the same weights, logits and stage features of all four sizes equal timm's or torchvision's to 1e-4 of their
  scale, and densenet121's keras.applications' (tests/parity/test_densenet_inception.py); L layers have L(L + 1) / 2
  connections, outputs equal slow NumPy loops, 100 classes have the published parameters (tests/test_densenet.py).
"""

from collections.abc import Callable, Iterable

import keras
from keras import layers

from hub.layers.symmetric_conv import symmetric_conv
from hub.registry import register


def torch_names(model: keras.Model, tensors: Iterable[str]) -> tuple[tuple[str, str], ...]:
    """Layer -> module of torchvision's and timm's DenseNet; torchvision's first files have `norm.1` for `norm1`."""
    dot = "." if any(".norm.1." in name for name in tensors) else ""
    return (
        (r"stem_conv", "features.conv0"),
        (r"stem_bn", "features.norm0"),
        (r"stage(\d+)_layer(\d+)_(\d)_conv", rf"features.denseblock\1.denselayer\2.conv{dot}\3"),
        (r"stage(\d+)_layer(\d+)_(\d)_bn", rf"features.denseblock\1.denselayer\2.norm{dot}\3"),
        (r"transition(\d+)_conv", r"features.transition\1.conv"),
        (r"transition(\d+)_bn", r"features.transition\1.norm"),
        (r"tail_bn", "features.norm5"),
        (r"logits", "classifier"),
    )


TORCH_NAMES = torch_names


def bn_relu(x: keras.KerasTensor, name: str, out: str | None = None) -> keras.KerasTensor:
    x = layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name=f"{name}_bn")(x)
    return layers.ReLU(name=out or f"{name}_relu")(x)


def bn_relu_conv(x: keras.KerasTensor, filters: int, kernel_size: int, dropout: float, name: str) -> keras.KerasTensor:
    x = symmetric_conv(bn_relu(x, name), filters, kernel_size, name=f"{name}_conv")
    return layers.Dropout(dropout, name=f"{name}_dropout")(x) if dropout else x


def basic(x: keras.KerasTensor, growth: int, dropout: float, name: str) -> keras.KerasTensor:
    """H of section 3: BN, ReLU, 3x3 convolution to `growth` channels."""
    return bn_relu_conv(x, growth, 3, dropout, f"{name}_1")


def bottleneck(x: keras.KerasTensor, growth: int, dropout: float, name: str) -> keras.KerasTensor:
    """DenseNet-B: a 1x1 convolution to 4 `growth` channels comes before the 3x3."""
    return bn_relu_conv(bn_relu_conv(x, 4 * growth, 1, dropout, f"{name}_1"), growth, 3, dropout, f"{name}_2")


cifar = {"stem": "cifar", "input_shape": (32, 32, 3), "num_classes": 10}
plain = {**cifar, "block": basic, "compression": 1.0, "width": 16}


@register("densenet_tiny", depths=(2, 2, 2, 2), growth=8, width=16)
@register("densenet121", depths=(6, 12, 24, 16), params=7_978_856, gmacs=2.834,
    weights={"imagenet": {"repo": "timm/densenet121.tv_in1k", "file": "model.safetensors",
        "license": "apache-2.0"}})  # fmt: skip
@register("densenet161", depths=(6, 12, 36, 24), growth=48, width=96, params=28_681_000, gmacs=7.728,
    weights={"imagenet": {"repo": "timm/densenet161.tv_in1k", "file": "model.safetensors",
        "license": "apache-2.0"}})  # fmt: skip
@register("densenet169", depths=(6, 12, 32, 32), params=14_149_480, gmacs=3.360,
    weights={"imagenet": {"repo": "timm/densenet169.tv_in1k", "file": "model.safetensors",
        "license": "apache-2.0"}})  # fmt: skip
@register("densenet201", depths=(6, 12, 48, 32), params=20_013_928, gmacs=4.291,
    weights={"imagenet": {"repo": "timm/densenet201.tv_in1k", "file": "model.safetensors",
        "license": "apache-2.0"}})  # fmt: skip
@register("chexnet", depths=(6, 12, 24, 16), num_classes=14, params=6_968_206, gmacs=2.833)
@register("densenet40_k12", **plain, depths=(12, 12, 12), growth=12, params=1_019_722)
@register("densenet100_k12", **plain, depths=(32, 32, 32), growth=12, params=6_979_642)
@register("densenet100_k24", **plain, depths=(32, 32, 32), growth=24, params=27_249_082)
@register("densenet_bc100_k12", **cifar, depths=(16, 16, 16), growth=12, width=24, params=769_162)
@register("densenet_bc250_k24", **cifar, depths=(41, 41, 41), growth=24, width=48, params=15_324_406)
@register("densenet_bc190_k40", **cifar, depths=(31, 31, 31), growth=40, width=80, params=25_624_430)
def densenet(
    depths: tuple[int, ...],
    growth: int = 32,
    width: int = 64,
    block: Callable = bottleneck,
    compression: float = 0.5,
    dropout: float = 0.0,
    stem: str = "imagenet",
    input_shape: tuple[int | None, int | None, int] = (224, 224, 3),
    num_classes: int = 1000,
    name: str = "densenet",
) -> keras.Model:
    """Build a DenseNet over images [N, H, W, C] of any size from 29 pixels ("cifar": 4); published weights expect RGB
    in 0..1, less ImageNet's mean (0.485, 0.456, 0.406), over its deviation (0.229, 0.224, 0.225).

    Args:
        depths: layers per dense block; `stage{s}` is the concatenated output of block s, for the last block after the
            closing BN and ReLU, which is what timm gives as features.
        growth: k, the channels that each layer adds.
        width: filters of the stem.
        block: the layer H, `basic` or `bottleneck`.
        compression: theta, the share of channels that a transition keeps.
        dropout: rate after each convolution of the blocks and transitions (the paper: 0.2 where it does not augment).
        stem: "imagenet" (7x7 by 2, pooled by 2) or "cifar" (3x3, full size).
        num_classes: units of the float32 layer `logits`; 0 leaves out pooling and head and returns the feature map.

    Raises:
        ValueError: `stem` is neither of the two; the images are too small to be halved before each block.
    """
    if stem not in ("imagenet", "cifar"):
        raise ValueError(f'`stem` is "imagenet" or "cifar". Received: stem={stem!r}.')
    least = 2 ** (len(depths) - 1) if stem == "cifar" else 4 * 2 ** (len(depths) - 1) - 3
    if min(size or least for size in input_shape[:2]) < least:
        raise ValueError(f"Images need at least {least} pixels each way. Received: input_shape={input_shape}.")
    inputs = keras.Input(input_shape)
    if stem == "cifar":
        x = symmetric_conv(inputs, width, 3, name="stem_conv")
    else:
        x = bn_relu(symmetric_conv(inputs, width, 7, 2, name="stem_conv"), "stem")
        x = layers.ZeroPadding2D(1, name="stem_pool_pad")(x)
        x = layers.MaxPooling2D(3, 2, name="stem_pool")(x)
    for stage, depth in enumerate(depths, 1):
        if stage > 1:
            at = f"transition{stage - 1}"
            x = bn_relu_conv(x, int(compression * x.shape[-1]), 1, dropout, at)
            x = layers.AveragePooling2D(2, name=f"{at}_pool")(x)
        for i in range(1, depth + 1):
            at = f"stage{stage}_layer{i}"
            out = f"stage{stage}" if i == depth and stage < len(depths) else f"{at}_concat"
            x = layers.Concatenate(name=out)([x, block(x, growth, dropout, at)])
    x = bn_relu(x, "tail", f"stage{len(depths)}")
    if num_classes:
        x = layers.GlobalAveragePooling2D(name="pool")(x)
        x = layers.Dense(num_classes, dtype="float32", name="logits")(x)
    return keras.Model(inputs, x, name=name)

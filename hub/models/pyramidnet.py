"""PyramidNet: residual networks that grow a little wider with every block instead of doubling at a few of them.

Paper: Han, Kim and Kim, "Deep Pyramidal Residual Networks", CVPR 2017, arXiv:1610.02915
Slug: pyramidnet
Idea: the blocks that shrink the map and double its channels matter more than others; spreading the growth over all
  blocks makes the network generalise better, and a shortcut then needs no weights, only zeros for the new channels.
Differs: widths are sums rounded at the end, as in the authors' code; the paper's eq. 2 rounds down at every block,
  where growth below one channel would never add up. Parameters are those of that code; the millions that the paper
  prints for its six large bottleneck networks are up to 1 % less, for they count no batch normalisation.
  `pyramidnet101_a360` is from the authors' PyTorch release. The multiplicative networks have no names:
  `widening=multiplicative`. Error rates are not repeated.
Checked: output widths and parameters are the published ones, multiply-adds those of pytorchcv less normalisation, a
  block without residual is its pooled and padded input (tests/test_pyramidnet.py); on the same weights, logits and
  stages of both blocks and stems equal a PyTorch network written from the authors' description to 1e-4 of their scale
  (tests/parity/test_pyramid_sparse_simple.py).
"""

import math
from collections.abc import Callable

import keras
from keras import layers

from hub.layers.symmetric_conv import symmetric_conv
from hub.registry import register

CONTRACT_SIZE = {"input_shape": (32, 32, 3), "num_classes": 10}
TORCH_NAMES = (  # layer -> module of the authors' PyTorch network
    (r"stem_(conv|bn)", r"\g<1>1"),
    (r"stage(\d)_block(\d+)_(\d)_(conv|bn)", r"layer\1.\2.\4\3"),
    (r"tail_bn", "bn_final"),
    (r"logits", "fc"),
)


def additive(width: int, alpha: float, blocks: int) -> list[int]:
    """Filters of each block, `alpha` more at the last than `width` (eq. 2)."""
    return [math.floor(width + alpha * k / blocks + 0.5) for k in range(1, blocks + 1)]


def multiplicative(width: int, alpha: float, blocks: int) -> list[int]:
    """Filters of each block, `alpha` times `width` at the last (eq. 3)."""
    return [math.floor(width * alpha ** (k / blocks) + 0.5) for k in range(1, blocks + 1)]


def bn(x: keras.KerasTensor, name: str, activate: bool = True) -> keras.KerasTensor:
    x = layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name=f"{name}_bn")(x)
    return layers.ReLU(name=f"{name}_relu")(x) if activate else x


def basic(x: keras.KerasTensor, filters: int, strides: int, name: str) -> keras.KerasTensor:
    """Two 3x3 convolutions; no ReLU before the first, BN after the last (fig. 6d)."""
    x = symmetric_conv(bn(x, f"{name}_1", activate=False), filters, 3, strides, name=f"{name}_1_conv")
    x = symmetric_conv(bn(x, f"{name}_2"), filters, 3, name=f"{name}_2_conv")
    return bn(x, f"{name}_3", activate=False)


def bottleneck(x: keras.KerasTensor, filters: int, strides: int, name: str) -> keras.KerasTensor:
    """1x1, 3x3 and 1x1 to four times `filters`."""
    x = symmetric_conv(bn(x, f"{name}_1", activate=False), filters, 1, name=f"{name}_1_conv")
    x = symmetric_conv(bn(x, f"{name}_2"), filters, 3, strides, name=f"{name}_2_conv")
    x = symmetric_conv(bn(x, f"{name}_3"), 4 * filters, 1, name=f"{name}_3_conv")
    return bn(x, f"{name}_4", activate=False)


def shortcut(x: keras.KerasTensor, channels: int, strides: int, name: str) -> keras.KerasTensor:
    """The mean of each square where the map shrinks; zeros for the channels that `x` lacks (fig. 5)."""
    if strides > 1:
        x = layers.AveragePooling2D(2, padding="same", name=f"{name}_shortcut_pool")(x)
    if lacking := channels - x.shape[-1]:
        # told that channels come first, the layer takes the last axis for the columns and pads that
        zeros = ((0, 0), (0, lacking))
        x = layers.ZeroPadding2D(zeros, data_format="channels_first", name=f"{name}_shortcut_pad")(x)
    return x


imagenet = {"block": bottleneck, "stem": "imagenet", "width": 64, "input_shape": (224, 224, 3), "num_classes": 1000}


@register("pyramidnet_tiny", depths=(1, 1, 1), alpha=13)
@register("pyramidnet110_a48", depths=(18, 18, 18), alpha=48, params=1_772_706)
@register("pyramidnet110_a84", depths=(18, 18, 18), alpha=84, params=3_904_446)
@register("pyramidnet110_a270", depths=(18, 18, 18), alpha=270, params=28_485_477)
@register("pyramidnet164_a48", block=bottleneck, depths=(18, 18, 18), alpha=48, params=1_715_442)
@register("pyramidnet164_a84", block=bottleneck, depths=(18, 18, 18), alpha=84, params=3_757_494)
@register("pyramidnet164_a270", block=bottleneck, depths=(18, 18, 18), alpha=270, params=27_216_021)
@register("pyramidnet200_a240", block=bottleneck, depths=(22, 22, 22), alpha=240, params=26_752_702)
@register("pyramidnet236_a220", block=bottleneck, depths=(26, 26, 26), alpha=220, params=26_969_046)
@register("pyramidnet272_a200", block=bottleneck, depths=(30, 30, 30), alpha=200, params=26_210_842)
@register("pyramidnet101_a360", **imagenet, depths=(3, 4, 23, 3), alpha=360, params=42_455_070)
@register("pyramidnet200_a300", **imagenet, depths=(3, 24, 36, 3), alpha=300, params=62_368_168)
@register("pyramidnet200_a450", **imagenet, depths=(3, 24, 36, 3), alpha=450, dropout=0.5, params=116_775_213)
def pyramidnet(
    depths: tuple[int, ...],
    alpha: float,
    block: Callable = basic,
    widening: Callable = additive,
    width: int = 16,
    stem: str = "cifar",
    dropout: float = 0.0,
    input_shape: tuple[int | None, int | None, int] = (32, 32, 3),
    num_classes: int = 10,
    name: str = "pyramidnet",
) -> keras.Model:
    """Build a PyramidNet over images [N, H, W, C] of any size (the paper: less the mean, over the deviation).

    Args:
        depths: blocks per stage; each stage but the first halves the map, rounded up. Stage s ends in `stage{s}`.
        alpha: how much wider the last block is than the stem: by so many channels, or so many times.
        block: the residual, `basic` or `bottleneck`; the latter's output has four times its filters.
        widening: the filters of all blocks from `width`, `alpha` and their number, `additive` or `multiplicative`.
        width: filters of the stem.
        stem: "cifar" (3x3, full size) or "imagenet" (7x7 by 2, pooled by 2).
        dropout: share of the pooled features that a training step leaves out.
        num_classes: units of the float32 layer `logits`; 0 leaves out pooling and head and returns the feature map.

    Raises:
        ValueError: `stem` is neither of the two.
    """
    if stem not in ("cifar", "imagenet"):
        raise ValueError(f'`stem` is "cifar" or "imagenet". Received: stem={stem!r}.')
    inputs = keras.Input(input_shape)
    if stem == "cifar":
        x = bn(symmetric_conv(inputs, width, 3, name="stem_conv"), "stem", activate=False)
    else:
        x = bn(symmetric_conv(inputs, width, 7, 2, name="stem_conv"), "stem")
        x = layers.ZeroPadding2D(1, name="stem_pool_pad")(x)
        x = layers.MaxPooling2D(3, 2, name="stem_pool")(x)
    filters = iter(widening(width, alpha, sum(depths)))
    for stage, depth in enumerate(depths, 1):
        for i in range(depth):
            at = f"stage{stage}_block{i}"
            strides = 2 if stage > 1 and i == 0 else 1
            y = block(x, next(filters), strides, at)
            x = shortcut(x, y.shape[-1], strides, at)
            x = layers.Add(name=f"stage{stage}" if i == depth - 1 else f"{at}_add")([y, x])
    x = bn(x, "tail")
    if num_classes:
        x = layers.GlobalAveragePooling2D(name="pool")(x)
        if dropout:
            x = layers.Dropout(dropout, name="dropout")(x)
        x = layers.Dense(num_classes, dtype="float32", name="logits")(x)
    return keras.Model(inputs, x, name=name)

"""SparseNet: DenseNets in which a layer sees the layers 1, 2, 4, 8, ... before it instead of all of them.

Paper: Zhu et al., "Sparsely Aggregated Convolutional Networks", ECCV 2018, arXiv:1801.05895
Slug: sparsenet
Idea: with offsets that grow by powers of two, each of n layers has log n inputs and each pair of layers is log n steps
  apart: parameters go into width instead of connections, and hundreds of layers still train.
Differs: nothing from the authors' PyTorch code, whose parameters these are. Their README prints 0.76, 5.65, 7.22 and
  1.46 million for 40-24, 100-36, 100-{16,32,64} and BC-100-24: what a first convolution of twice the growth would give.
  For BC-100-{32,64,128} it prints 16.72, which no width of that convolution gives. `merge=Add` is the paper's summing
  network on this skeleton, a reconstruction. Error rates and the ImageNet networks are not repeated.
Checked: layer l has floor(log2 l) + 1 inputs, gradients reach the first of 64 layers, concatenating and summing
  networks equal slow NumPy loops (tests/test_sparsenet.py); on the same weights, logits and stages equal a PyTorch
  network written from the authors' description to 1e-4 of their scale (tests/parity/test_pyramid_sparse_simple.py).
"""

from collections.abc import Callable
from typing import Any

import keras
from keras import layers

from hub.layers.symmetric_conv import symmetric_conv
from hub.registry import register

CONTRACT_SIZE = {"input_shape": (32, 32, 3), "num_classes": 10}
TORCH_NAMES = (  # layer -> module of the authors' PyTorch network, which counts stages from 0
    (r"stem_conv", "features.conv0"),
    *((rf"stage{s}_layer(\d+)_(\d)_(conv|bn)", rf"features.dense-stage-{s - 1}.block-\1.\3\2") for s in range(1, 10)),
    *((rf"transition{s}_(conv|bn)", rf"features.transition-{s - 1}.\g<1>1") for s in range(1, 10)),
    (r"tail_bn", "features.norm_last"),
    (r"logits", "classifier.linear"),
)


def sparse_aggregate(outs: list[Any], base: int = 2) -> list[Any]:
    """Of n outputs, oldest first, those at offsets 1, `base`, `base**2`, ... <= n from the end, newest first.

    Raises:
        ValueError: `base` is below 2; there is nothing to choose from.
    """
    if base < 2 or not outs:
        raise ValueError(f"`sparse_aggregate` needs outputs and base >= 2. Received: {len(outs)} outputs, base={base}.")
    chosen, offset = [], 1
    while offset <= len(outs):
        chosen.append(outs[-offset])
        offset *= base
    return chosen


def bn_relu(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
    x = layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name=f"{name}_bn")(x)
    return layers.ReLU(name=f"{name}_relu")(x)


def bn_relu_conv(x: keras.KerasTensor, filters: int, kernel_size: int, dropout: float, name: str) -> keras.KerasTensor:
    x = symmetric_conv(bn_relu(x, name), filters, kernel_size, name=f"{name}_conv")
    return layers.SpatialDropout2D(dropout, name=f"{name}_dropout")(x) if dropout else x


def basic(x: keras.KerasTensor, growth: int, dropout: float, name: str) -> keras.KerasTensor:
    return bn_relu_conv(x, growth, 3, dropout, f"{name}_1")


def bottleneck(x: keras.KerasTensor, growth: int, dropout: float, name: str) -> keras.KerasTensor:
    return bn_relu_conv(bn_relu_conv(x, 4 * growth, 1, dropout, f"{name}_1"), growth, 3, dropout, f"{name}_2")


compressed = {"block": bottleneck, "compression": 0.5, "depth": 16}


@register("sparsenet_tiny", depth=3, growth=(4, 8, 8))
@register("sparsenet_40_12", depth=12, growth=(12, 12, 12), params=188_320)
@register("sparsenet_40_24", depth=12, growth=(24, 24, 24), params=735_676)
@register("sparsenet_100_36", depth=32, growth=(36, 36, 36), params=5_574_520)
@register("sparsenet_100_16_32_64", depth=32, growth=(16, 32, 64), params=7_203_700)
@register("sparsenet_bc_100_24", **compressed, growth=(24, 24, 24), params=1_448_716)
@register("sparsenet_bc_100_16_32_64", **compressed, growth=(16, 32, 64), params=4_359_716)
@register("sparsenet_bc_100_32_64_128", **compressed, growth=(32, 64, 128))
def sparsenet(
    depth: int,
    growth: tuple[int, ...],
    block: Callable = basic,
    compression: float = 1.0,
    merge: type = layers.Concatenate,
    base: int = 2,
    dropout: float = 0.0,
    input_shape: tuple[int | None, int | None, int] = (32, 32, 3),
    num_classes: int = 100,
    name: str = "sparsenet",
) -> keras.Model:
    """Build a SparseNet over images [N, H, W, C] of any size from 4 pixels (three stages).

    Args:
        depth: layers per stage; `stage{s}` is what the layer after the last one of stage s would receive.
        growth: channels of each layer, for every stage; the first also of the stem. The map halves between stages.
        block: a layer, `basic` (3x3) or `bottleneck` (1x1 to four times the growth, 3x3).
        compression: theta, the share of channels that a transition keeps.
        merge: how a layer's inputs are joined, `keras.layers.Concatenate` or `keras.layers.Add`; with the latter all
            maps of a stage have its growth for channels, which its transition sees to.
        base: offsets are its powers.
        dropout: share of channels left out after each convolution of a block while training.
        num_classes: units of the float32 layer `logits`; 0 leaves out pooling and head and returns the feature map.

    Raises:
        ValueError: the images are too small to be halved before each stage but the first.
    """
    least = 2 ** (len(growth) - 1)
    if min(size or least for size in input_shape[:2]) < least:
        raise ValueError(f"Images need at least {least} pixels each way. Received: input_shape={input_shape}.")
    inputs = keras.Input(input_shape)
    x = symmetric_conv(inputs, growth[0], 3, name="stem_conv")
    for stage, filters in enumerate(growth, 1):
        if stage > 1:
            at = f"transition{stage - 1}"
            kept = filters if merge is layers.Add else int(compression * x.shape[-1])
            x = layers.AveragePooling2D(2, name=f"{at}_pool")(bn_relu_conv(x, kept, 1, 0, at))
        outs = [x]
        for i in range(1, depth + 1):
            at = f"stage{stage}_layer{i}"
            outs.append(block(x, filters, dropout, at))
            x = merge(name=f"stage{stage}" if i == depth else f"{at}_merge")(sparse_aggregate(outs, base))
    x = bn_relu(x, "tail")
    if num_classes:
        x = layers.GlobalAveragePooling2D(name="pool")(x)
        x = layers.Dense(num_classes, dtype="float32", name="logits")(x)
    return keras.Model(inputs, x, name=name)

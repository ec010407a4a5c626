"""SimpleNet: thirteen plain convolutions, well proportioned, in place of deeper and more intricate networks.

Paper: Hasanpour et al., "Lets keep it simple, Using simple architectures to outperform deeper and more complex
  architectures", 2016, arXiv:1608.06037
Slug: simplenet
Idea: widths that grow gradually, few poolings and those late, 3x3 kernels but for two 1x1 near the end, BN and dropout
  everywhere: nothing else is needed.
Differs: the networks are those of the authors' PyTorch release; its ImageNet networks are later than the paper, and its
  "460k" network has 385,790 parameters. One dropout rate serves all of its dropout layers, each of which takes a rate
  there, 0 by default; as in its CIFAR networks, none lies right before a pool. Error rates are not repeated.
Checked: on the same weights, logits and stages of both kinds equal a PyTorch network written from the authors' tables
  to 1e-4 of their scale (tests/parity/test_pyramid_sparse_simple.py); maps shrink where the tables say, maxima reach
  the head, kernels start as in the release, least image sizes, dropout (tests/test_simplenet.py).
"""

import re
from collections.abc import Mapping
from typing import Any

import keras
from keras import layers

from hub.registry import register

CONTRACT_SIZE = {"input_shape": (32, 32, 3), "num_classes": 10}
POINTWISE = (11, 12)  # the convolutions whose kernels are 1x1


def torch_names(model: keras.Model, tensors: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """Layer -> module of the authors' networks, which are one sequence with uncounted dropout layers in between."""
    kernels = sorted(int(re.findall(r"\d+", key)[0]) for key, value in tensors.items() if value.ndim == 4)
    return (
        *((f"conv{i}", f"features.{place}") for i, place in enumerate(kernels, 1)),
        *((f"bn{i}", f"features.{place + 1}") for i, place in enumerate(kernels, 1)),
        (r"logits", "classifier"),
    )


TORCH_NAMES = torch_names


def drop(x: keras.KerasTensor, rate: float, name: str) -> keras.KerasTensor:
    return layers.SpatialDropout2D(rate, name=name)(x) if rate else x


def conv_bn_relu(x: keras.KerasTensor, filters: int, strides: int, number: int, out: str) -> keras.KerasTensor:
    padding, kernel_size = "same", 1 if number in POINTWISE else 3
    if strides > 1:
        x, padding = layers.ZeroPadding2D(1, name=f"pad{number}")(x), "valid"
    initializer = keras.initializers.VarianceScaling(2, "fan_avg", "uniform")  # Xavier's, times ReLU's gain
    x = layers.Conv2D(filters, kernel_size, strides, padding, kernel_initializer=initializer, name=f"conv{number}")(x)
    x = layers.BatchNormalization(momentum=0.95, epsilon=1e-5, name=f"bn{number}")(x)
    return layers.ReLU(name=out)(x)


cifar_310k = {"groups": ((64, 32, 32, 32), (32, 32, 64), (64, 64), (128, 256, 64), (64,))}
cifar_460k = {"groups": ((32, 32, 32, 64), (64, 64, 64), (64, 64), (96, 96, 96), (100,))}
cifar_5m = {"groups": ((64, 128, 128, 128), (128, 128, 256), (256, 256), (512, 2048, 256), (256,))}
imagenet = {"input_shape": (224, 224, 3), "num_classes": 1000}
v1_5m = {**imagenet, "groups": ((64, 128, 128, 128, 128, 128), (256, 256, 256, 512), (2048, 256, 256))}
v1_9m = {**imagenet, "groups": ((128, 192, 192, 192, 192, 192), (320, 320, 320, 640), (2560, 320, 320))}


@register("simplenet_tiny", **cifar_310k, scale=0.25)
@register("simplenet_cifar_310k", **cifar_310k, params=312_362)
@register("simplenet_cifar_460k", **cifar_460k, params=385_790)
@register("simplenet_cifar_5m", **cifar_5m, params=5_498_378)
@register("simplenetv1_small_m1_05", **v1_5m, scale=0.5, halving=(1, 2, 3), params=1_506_792)
@register("simplenetv1_small_m2_05", **v1_5m, scale=0.5, halving=(1, 2, 4), params=1_506_792)
@register("simplenetv1_small_m1_075", **v1_5m, scale=0.75, halving=(1, 2, 3), params=3_287_272)
@register("simplenetv1_small_m2_075", **v1_5m, scale=0.75, halving=(1, 2, 4), params=3_287_272)
@register("simplenetv1_5m_m1", **v1_5m, halving=(1, 2, 3), params=5_752_808)
@register("simplenetv1_5m_m2", **v1_5m, halving=(1, 2, 4), params=5_752_808)
@register("simplenetv1_9m_m1", **v1_9m, halving=(1, 2, 3), params=9_508_968)
@register("simplenetv1_9m_m2", **v1_9m, halving=(1, 2, 4), params=9_508_968)
def simplenet(
    groups: tuple[tuple[int, ...], ...],
    halving: tuple[int, ...] = (),
    scale: float = 1.0,
    dropout: float = 0.0,
    input_shape: tuple[int | None, int | None, int] = (32, 32, 3),
    num_classes: int = 10,
    name: str = "simplenet",
) -> keras.Model:
    """Build a SimpleNet over images [N, H, W, C], in the paper less the mean, over the deviation.

    Args:
        groups: filters of the convolutions `conv1`, `conv2`, ... between the poolings by 2.
        halving: numbers of the convolutions with stride 2; the authors' modes are (1, 2, 3), (1, 2, 4), (1, 2, 5) and
            (1, 3, 5). `stage1`, `stage2`, ... are the last maps of each size.
        scale: factor of all filters.
        dropout: share of channels that a training step leaves out, after pools, before `logits`, and after each
            convolution that no pool follows; the release trained its best CIFAR networks at 0.1 (after pools only).
        num_classes: units of the float32 layer `logits`, which sees the maximum of each channel; 0 leaves out pooling
            and head and returns the feature map.

    Raises:
        ValueError: the images are too small for the poolings.
    """
    least = (2 ** (len(groups) - 1) - 1) * 2 ** len(halving) + 1
    if min(size or least for size in input_shape[:2]) < least:
        raise ValueError(f"Images need at least {least} pixels each way. Received: input_shape={input_shape}.")
    x = inputs = keras.Input(input_shape)
    number = stage = 0
    for group, widths in enumerate(groups, 1):
        if group > 1:
            x = layers.MaxPooling2D(2, name=f"pool{group - 1}")(x)
            x = drop(x, dropout, f"pool{group - 1}_dropout")
        for place, width in enumerate(widths, 1):
            number += 1
            last = place == len(widths)
            ends = last or number + 1 in halving
            stage += ends
            strides = 2 if number in halving else 1
            x = conv_bn_relu(x, round(scale * width), strides, number, f"stage{stage}" if ends else f"relu{number}")
            x = x if last else drop(x, dropout, f"conv{number}_dropout")
    if num_classes:
        x = layers.GlobalMaxPooling2D(name="pool")(x)
        x = layers.Dropout(dropout, name="dropout")(x) if dropout else x
        x = layers.Dense(num_classes, dtype="float32", name="logits")(x)
    return keras.Model(inputs, x, name=name)

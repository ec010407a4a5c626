"""Ciresan's networks: deep convolutional networks trained by plain gradient descent alone.

Paper: Ciresan et al., "High-Performance Neural Networks for Visual Object Classification", 2011, arXiv:1102.0183
Slug: ciresan_cnn
Idea: many small convolutions with skipping factors, randomly connected maps and no unsupervised start; with enough
  distorted images, deeper nets of this kind err less than shallow ones (MNIST: 1.02 % with two layers, 0.35 % with six
  and a dense one).
Differs: the paper gives the number of maps (20M-40M-60M-80M-100M-120M-150N) but neither kernel sizes, nor skipping
  factors, nor how many maps are joined. Here kernels 5, 5, 2, 2, 2, 2 with skipping factors 1, 1, 0, 0, 0, 0 take 29
  pixels to 1, and ten maps are joined. The CIFAR-10 network has eight hidden layers as the paper's, but 300 maps each,
  kernels 3, 2, 2, 3 and pools are a reconstruction, and so is its contrast filter.
Checked: side of every map by the paper's formula, forward pass against NumPy loops, parameters by arithmetic
  (tests/test_ciresan.py); the paper prints no counts.
"""

import keras
from keras import layers

from hub.layers.contrast_filters import ContrastFilters
from hub.layers.random_connect_conv import RandomConnectConv2D
from hub.layers.scaled_tanh import ScaledTanh
from hub.registry import register

CONTRACT_SIZE = {"input_shape": (29, 29, 1), "num_classes": 10}


@register("ciresan_tiny", maps=(6, 8), kernel_sizes=(5, 4), skips=(1, 0), pools=(1, 2), units=(16,), fan_in=3)
@register("ciresan_mnist", maps=(20, 40, 60, 80, 100, 120), kernel_sizes=(5, 5, 2, 2, 2, 2), skips=(1, 1, 0, 0, 0, 0),
    pools=(1, 1, 1, 1, 1, 1), units=(150,), fan_in=10)  # fmt: skip
@register("ciresan_cifar10", maps=(300, 300, 300, 300), kernel_sizes=(3, 2, 2, 3), skips=(0, 0, 0, 0),
    pools=(2, 2, 2, 1), units=(300,), contrast=(3,), input_shape=(32, 32, 3))  # fmt: skip
def ciresan(
    maps: tuple[int, ...],
    kernel_sizes: tuple[int, ...],
    skips: tuple[int, ...],
    pools: tuple[int, ...],
    units: tuple[int, ...] = (),
    fan_in: int | None = None,
    contrast: tuple[int, ...] = (),
    input_shape: tuple[int, int, int] = (29, 29, 1),
    num_classes: int = 10,
    name: str = "ciresan",
) -> keras.Model:
    """Build a network over images [N, H, W, C] in -1..1. The paper trains image by image, without momentum, at a rate
    that falls by a constant factor per epoch from 1e-3 to 3e-5, on images distorted anew (`hub.data.distortions`).

    Args:
        maps: filters of each convolution, which is valid and ends in the layer `stage{i}`.
        kernel_sizes: their sides K, in pixels.
        skips: skipping factors S: a map of M pixels becomes (M - K) / (S + 1) + 1.
        pools: sides of the maxima that follow, 1 for none; what no window fills is dropped.
        units: widths of the dense layers before the head.
        fan_in: input maps that each map is joined to, drawn once; None for all.
        contrast: sizes of the Mexican hats in front, none by default.
        num_classes: units of the float32 layer `logits`; 0 leaves out the dense layers and returns the last maps.

    Raises:
        ValueError: `maps`, `kernel_sizes`, `skips` and `pools` are not equally long; a map gets smaller than a pixel.
    """
    if len({len(maps), len(kernel_sizes), len(skips), len(pools)}) != 1:
        lengths = f"{len(maps)}, {len(kernel_sizes)}, {len(skips)} and {len(pools)}"
        raise ValueError(f"`maps`, `kernel_sizes`, `skips`, `pools` must be equally long. Received: {lengths} values.")
    start = keras.initializers.RandomUniform(-0.05, 0.05)
    inputs = x = keras.Input(input_shape)
    if contrast:
        x = ContrastFilters(contrast, name="contrast")(x)
    for i, (filters, size, skip, pool) in enumerate(zip(maps, kernel_sizes, skips, pools, strict=True), 1):
        if min(((side - size) // (skip + 1) + 1) // pool for side in x.shape[1:3]) < 1:
            raise ValueError(f"Nothing is left of the maps after convolution {i}. Received: input_shape={input_shape}.")
        options = {"strides": skip + 1, "kernel_initializer": start, "name": f"stage{i}_conv"}
        if fan_in:
            x = RandomConnectConv2D(filters, size, fan_in, seed=i, **options)(x)
        else:
            x = layers.Conv2D(filters, size, **options)(x)
        x = ScaledTanh(name=f"stage{i}_tanh" if pool > 1 else f"stage{i}")(x)
        if pool > 1:
            x = layers.MaxPooling2D(pool, name=f"stage{i}")(x)
    if num_classes:
        x = layers.Flatten(name="flatten")(x)
        for i, width in enumerate(units, 1):
            x = ScaledTanh(name=f"fc{i}_tanh")(layers.Dense(width, kernel_initializer=start, name=f"fc{i}")(x))
        x = layers.Dense(num_classes, kernel_initializer=start, dtype="float32", name="logits")(x)
    return keras.Model(inputs, x, name=name)

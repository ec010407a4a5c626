"""ResNet: residual networks for image classification.

Paper: He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, arXiv:1512.03385
Slug: resnet resnet18
Idea: each block learns a residual F(x) that is added to an identity shortcut.
Differs: the stride sits on the 3x3 convolution of the bottleneck, as in every public checkpoint ("v1.5"); the paper
  puts it on the first 1x1. The wide bottleneck is Zagoruyko and Komodakis's (BMVC 2016).
Checked: on the same weights, logits and stage features of six sizes equal timm's to 1e-4 of their scale
  (tests/parity/test_timm_resnet.py); outputs equal slow NumPy loops, zeroed residuals are identities, parameters and
  multiply-adds are the published ones (tests/test_resnet.py).
"""

import functools
import sys
from collections.abc import Callable

import keras
from keras import layers

from hub.layers.stochastic_depth import StochasticDepth, linear_decay
from hub.layers.symmetric_conv import symmetric_conv
from hub.registry import register

TORCH_NAMES = (  # layer -> module of torchvision's and timm's ResNet; hub.weights reads it
    (r"stem_(conv|bn)", r"\g<1>1"),
    (r"stage(\d+)_block(\d+)_(\d)_(conv|bn)", r"layer\1.\2.\4\3"),
    (r"stage(\d+)_block(\d+)_shortcut_conv", r"layer\1.\2.downsample.0"),
    (r"stage(\d+)_block(\d+)_shortcut_bn", r"layer\1.\2.downsample.1"),
    (r"logits", "fc"),
)


def conv_bn(
    x: keras.KerasTensor, filters: int, kernel_size: int, strides: int, name: str, activate: bool = False
) -> keras.KerasTensor:
    x = symmetric_conv(x, filters, kernel_size, strides, name=f"{name}_conv")
    x = layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name=f"{name}_bn")(x)
    return layers.ReLU(name=f"{name}_relu")(x) if activate else x


def project(x: keras.KerasTensor, filters: int, strides: int, name: str) -> keras.KerasTensor:
    """Option B: the identity, or a 1x1 convolution where the shape changes (eq. 2)."""
    if strides == 1 and x.shape[-1] == filters:
        return x
    return conv_bn(x, filters, 1, strides, f"{name}_shortcut")


def zero_pad(x: keras.KerasTensor, filters: int, strides: int, name: str) -> keras.KerasTensor:
    """Option A: every `strides`-th pixel, new channels zero. No parameters; channels double or stay."""
    if strides > 1:
        x = layers.MaxPooling2D(1, strides, name=f"{name}_shortcut_subsample")(x)
    if x.shape[-1] == filters:
        return x
    zeros = layers.Rescaling(0.0, name=f"{name}_shortcut_zeros")(x)
    return layers.Concatenate(name=f"{name}_shortcut_pad")([x, zeros])


def basic(x: keras.KerasTensor, filters: int, strides: int, name: str) -> keras.KerasTensor:
    """Two 3x3 convolutions (fig. 5 left)."""
    y = conv_bn(x, filters, 3, strides, f"{name}_1", activate=True)
    return conv_bn(y, filters, 3, 1, f"{name}_2")


def bottleneck(x: keras.KerasTensor, filters: int, strides: int, name: str, widen: int = 1) -> keras.KerasTensor:
    """1x1 reduce, 3x3, 1x1 expand by 4 (fig. 5 right); `widen` multiplies the 3x3's channels only."""
    y = conv_bn(x, widen * filters, 1, 1, f"{name}_1", activate=True)
    y = conv_bn(y, widen * filters, 3, strides, f"{name}_2", activate=True)
    return conv_bn(y, 4 * filters, 1, 1, f"{name}_3")


wide_bottleneck = functools.partial(bottleneck, widen=2)
cifar = {"block": basic, "width": 16, "shortcut": zero_pad, "stem": "cifar"}
cifar |= {"input_shape": (32, 32, 3), "num_classes": 10}
plain = {**cifar, "shortcut": None}
small = {
    "block": basic,
    "depths": (2, 2, 1),
    "width": 24,
    "stem": "small",
    "input_shape": (54, 54, 3),
    "num_classes": 10,
}


@register("resnet_tiny", block=basic, depths=(1, 1, 1, 1), width=8)
@register("resnet18", block=basic, depths=(2, 2, 2, 2), params=11_689_512, gmacs=1.814,
    weights={"imagenet": {"repo": "timm/resnet18.a1_in1k", "file": "model.safetensors",
        "revision": "491b427b45c94c7fb0e78b5474cc919aff584bbf",
        "sha256": "80c49dee3da4822c009c5a7fe591e9223c5a2cfcf95a4067ca4dfb5a7b89c612",
        "license": "apache-2.0"}})  # fmt: skip
@register("resnet34", block=basic, depths=(3, 4, 6, 3), params=21_797_672, gmacs=3.664,
    weights={"imagenet": {"repo": "timm/resnet34.a1_in1k", "file": "model.safetensors",
        "sha256": "829a220f9529d2b1ffdc8719d3273463001e0daf411eaf1916865d9db62c0ed2",
        "license": "apache-2.0"}})  # fmt: skip
@register("resnet50", block=bottleneck, depths=(3, 4, 6, 3), params=25_557_032, gmacs=4.089,
    weights={"imagenet": {"repo": "timm/resnet50.a1_in1k", "file": "model.safetensors",
        "revision": "767268603ca0cb0bfe326fa87277f19c419566ef",
        "sha256": "773525d5821de224f8f30c33377b7a795d7863e08522698200d3217d3f2a41bb",
        "license": "apache-2.0"}})  # fmt: skip
@register("resnet101", block=bottleneck, depths=(3, 4, 23, 3), params=44_549_160, gmacs=7.801,
    weights={"imagenet": {"repo": "timm/resnet101.a1_in1k", "file": "model.safetensors",
        "license": "apache-2.0"}})  # fmt: skip
@register("resnet152", block=bottleneck, depths=(3, 8, 36, 3), params=60_192_808, gmacs=11.514,
    weights={"imagenet": {"repo": "timm/resnet152.a1_in1k", "file": "model.safetensors",
        "license": "apache-2.0"}})  # fmt: skip
@register("wide_resnet50_2", block=wide_bottleneck, depths=(3, 4, 6, 3), params=68_883_240, gmacs=11.40,
    weights={"imagenet": {"repo": "timm/wide_resnet50_2.racm_in1k", "file": "model.safetensors",
        "revision": "30f73aceaaa1911830a9795b83ab1908dba18719",
        "sha256": "03b71d65fb2c73bb0de079a1781009f27a782ec481d2f64ab3bde9b1cdec3000",
        "license": "apache-2.0"}})  # fmt: skip
@register("wide_resnet101_2", block=wide_bottleneck, depths=(3, 4, 23, 3), params=126_886_696, gmacs=22.75,
    weights={"imagenet": {"repo": "timm/wide_resnet101_2.tv_in1k", "file": "model.safetensors",
        "license": "bsd-3-clause"}})  # fmt: skip
@register("resnet20_cifar", **cifar, depths=(3, 3, 3), params=269_722, gmacs=0.0406)
@register("resnet32_cifar", **cifar, depths=(5, 5, 5), params=464_154, gmacs=0.0689)
@register("resnet44_cifar", **cifar, depths=(7, 7, 7), params=658_586)
@register("resnet56_cifar", **cifar, depths=(9, 9, 9), params=853_018, gmacs=0.1255)
@register("resnet110_cifar", **cifar, depths=(18, 18, 18), params=1_727_962, gmacs=0.2529)
@register("resnet110_sd", **cifar, depths=(18, 18, 18), drop_path=0.5, params=1_727_962, gmacs=0.2529)
@register("resnet1202_cifar", **cifar, depths=(200, 200, 200), params=19_421_274)
@register("plain20_cifar", **plain, depths=(3, 3, 3), params=269_722, gmacs=0.0406)
@register("plain32_cifar", **plain, depths=(5, 5, 5), params=464_154, gmacs=0.0689)
@register("plain44_cifar", **plain, depths=(7, 7, 7), params=658_586)
@register("plain56_cifar", **plain, depths=(9, 9, 9), params=853_018, gmacs=0.1255)
@register("resnet12_small", **small)
@register("plain12_small", **small, shortcut=None)
@register("resnet14_slim", **{**small, "depths": (2, 2, 2), "width": 14})
def resnet(
    block: Callable,
    depths: tuple[int, ...],
    width: int = 64,
    shortcut: Callable | None = project,
    stem: str = "imagenet",
    drop_path: float = 0.0,
    input_shape: tuple[int | None, int | None, int] = (224, 224, 3),
    num_classes: int = 1000,
    name: str = "resnet",
) -> keras.Model:
    """Build a ResNet over images [N, H, W, C] of any size; published weights expect RGB in 0..1, less ImageNet's mean
    (0.485, 0.456, 0.406), over its deviation (0.229, 0.224, 0.225).

    Args:
        block: the residual F(x), `basic` or `bottleneck`.
        depths: blocks per stage; stage s has `width * 2**(s - 1)` filters, its output is the layer `stage{s}`.
        width: filters of the first stage.
        shortcut: `project` (option B), `zero_pad` (option A), or None for the paper's plain networks.
        stem: "imagenet" (7x7 by 2, pooled by 2), "cifar" (3x3, full size), or, for images of about 64 pixels, "small"
            (5x5 by 2; not the paper's).
        drop_path: probability of leaving out the last block's residual while training; the blocks' rise to it linearly.
        num_classes: units of the float32 layer `logits`; 0 leaves out pooling and head and returns the feature map.
    """
    # Keras walks a graph by recursion, and resnet1202 is deeper than Python's default limit.
    sys.setrecursionlimit(max(sys.getrecursionlimit(), 1000 + 12 * sum(depths)))
    if stem not in ("imagenet", "cifar", "small"):
        raise ValueError(f'`stem` is "imagenet", "cifar" or "small". Received: stem={stem!r}.')
    inputs = keras.Input(input_shape)
    if stem == "cifar":
        x = conv_bn(inputs, width, 3, 1, "stem", activate=True)
    elif stem == "small":
        x = conv_bn(inputs, width, 5, 2, "stem", activate=True)
    else:
        x = conv_bn(inputs, width, 7, 2, "stem", activate=True)
        x = layers.ZeroPadding2D(1, name="stem_pool_pad")(x)
        x = layers.MaxPooling2D(3, 2, name="stem_pool")(x)
    rates = iter(linear_decay(sum(depths), drop_path))
    for stage, depth in enumerate(depths, 1):
        for i in range(depth):
            at = f"stage{stage}_block{i}"
            strides = 2 if stage > 1 and i == 0 else 1
            y = block(x, width * 2 ** (stage - 1), strides, at)
            rate = next(rates)
            if shortcut:
                y = StochasticDepth(rate, name=f"{at}_drop")(y) if rate else y
                y = layers.Add(name=f"{at}_add")([y, shortcut(x, y.shape[-1], strides, at)])
            x = layers.ReLU(name=f"stage{stage}" if i == depth - 1 else f"{at}_out")(y)
    if num_classes:
        x = layers.GlobalAveragePooling2D(name="pool")(x)
        x = layers.Dense(num_classes, dtype="float32", name="logits")(x)
    return keras.Model(inputs, x, name=name)

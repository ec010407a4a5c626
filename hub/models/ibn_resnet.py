"""IBN-ResNet: residual networks that ignore a picture's style in their shallow stages.

Paper: Pan et al., "Two at Once: Enhancing Learning and Generalization Capacities via IBN-Net", ECCV 2018,
  arXiv:1807.09441
Slug: ibn_net
Idea: IBN-a normalises half of the channels behind a block's first convolution per picture, in all stages but the last;
  IBN-b normalises whole blocks' sums per picture at the ends of the first two stages: less content, less style.
Differs: otherwise torchvision's ResNet, strides on the 3x3 convolutions, as in the authors' checkpoints. Their
  DenseNet, ResNeXt and squeeze-and-excitation networks are not built.
Checked: on the same weights, logits and stages equal a PyTorch ResNet with these normalisations put in, to 1e-4
  (tests/parity/test_ibn_resnet.py); parameters are those of the authors' code.
"""

from collections.abc import Callable

import keras
from keras import layers

from hub.layers.ibn import IBN
from hub.layers.symmetric_conv import symmetric_conv
from hub.registry import register

CONTRACT_SIZE = {"input_shape": (64, 64, 3), "num_classes": 10}


def torch_names(model: keras.Model, tensors: dict) -> tuple[tuple[str, str], ...]:
    """Layer -> module of the authors' network; the two halves of each of its IBNs become one in `tensors`."""
    import numpy as np

    for key in [key for key in tensors if ".IN." in key and key.replace(".IN.", ".BN.") in tensors]:
        both = tensors.pop(key), tensors.pop(key.replace(".IN.", ".BN."))
        tensors[key.replace(".IN.", ".")] = np.concatenate(both)
    for key in [key for key in tensors if ".BN." in key]:
        tensors[key.replace(".BN.", ".")] = tensors.pop(key)
    return (
        (r"stem_conv", "conv1"),
        (r"stem_norm", "bn1"),
        (r"stage(\d+)_block(\d+)_(\d)_conv", r"layer\1.\2.conv\3"),
        (r"stage(\d+)_block(\d+)_(\d)_norm", r"layer\1.\2.bn\3"),
        (r"stage(\d+)_block(\d+)_style", r"layer\1.\2.IN"),
        (r"stage(\d+)_block(\d+)_shortcut_conv", r"layer\1.\2.downsample.0"),
        (r"stage(\d+)_block(\d+)_shortcut_norm", r"layer\1.\2.downsample.1"),
        (r"logits", "fc"),
    )


TORCH_NAMES = torch_names


def batch(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
    return layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name=name)(x)


def instance(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
    return layers.GroupNormalization(-1, epsilon=1e-5, name=name)(x)


def half(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
    return IBN(name=name)(x)


def conv_norm(
    x: keras.KerasTensor, filters: int, kernel_size: int, strides: int, name: str, norm: Callable = batch
) -> keras.KerasTensor:
    return norm(symmetric_conv(x, filters, kernel_size, strides, name=f"{name}_conv"), f"{name}_norm")


def basic(x: keras.KerasTensor, filters: int, strides: int, norm: Callable, name: str) -> keras.KerasTensor:
    """Two 3x3 convolutions; `norm` stands behind the first."""
    y = layers.ReLU(name=f"{name}_1_relu")(conv_norm(x, filters, 3, strides, f"{name}_1", norm))
    return conv_norm(y, filters, 3, 1, f"{name}_2")


def bottleneck(x: keras.KerasTensor, filters: int, strides: int, norm: Callable, name: str) -> keras.KerasTensor:
    """1x1, 3x3 and 1x1 that expands by 4; `norm` stands behind the first."""
    y = layers.ReLU(name=f"{name}_1_relu")(conv_norm(x, filters, 1, 1, f"{name}_1", norm))
    y = layers.ReLU(name=f"{name}_2_relu")(conv_norm(y, filters, 3, strides, f"{name}_2"))
    return conv_norm(y, 4 * filters, 1, 1, f"{name}_3")


@register("resnet_ibn_tiny", block=basic, depths=(1, 1, 1, 1), variant="a", width=8)
@register("resnet18_ibn_a", block=basic, depths=(2, 2, 2, 2), variant="a", params=11_689_512, gmacs=1.814,
    weights={"imagenet": {"sha256": "2f571257",
        "url": "https://github.com/XingangPan/IBN-Net/releases/download/v1.0/resnet18_ibn_a-2f571257.pth",
        "license": "mit"}})  # fmt: skip
@register("resnet34_ibn_a", block=basic, depths=(3, 4, 6, 3), variant="a", params=21_797_672,
    weights={"imagenet": {"sha256": "94bc1577",
        "url": "https://github.com/XingangPan/IBN-Net/releases/download/v1.0/resnet34_ibn_a-94bc1577.pth",
        "license": "mit"}})  # fmt: skip
@register("resnet50_ibn_a", block=bottleneck, depths=(3, 4, 6, 3), variant="a", params=25_557_032, gmacs=4.089,
    weights={"imagenet": {"sha256": "d9d0bb7b",
        "url": "https://github.com/XingangPan/IBN-Net/releases/download/v1.0/resnet50_ibn_a-d9d0bb7b.pth",
        "license": "mit"}})  # fmt: skip
@register("resnet101_ibn_a", block=bottleneck, depths=(3, 4, 23, 3), variant="a", params=44_549_160,
    weights={"imagenet": {"sha256": "59ea0ac6",
        "url": "https://github.com/XingangPan/IBN-Net/releases/download/v1.0/resnet101_ibn_a-59ea0ac6.pth",
        "license": "mit"}})  # fmt: skip
@register("resnet18_ibn_b", block=basic, depths=(2, 2, 2, 2), variant="b", params=11_689_896,
    weights={"imagenet": {"sha256": "bc2f3c11",
        "url": "https://github.com/XingangPan/IBN-Net/releases/download/v1.0/resnet18_ibn_b-bc2f3c11.pth",
        "license": "mit"}})  # fmt: skip
@register("resnet50_ibn_b", block=bottleneck, depths=(3, 4, 6, 3), variant="b", params=25_558_568,
    weights={"imagenet": {"sha256": "9ca61e85",
        "url": "https://github.com/XingangPan/IBN-Net/releases/download/v1.0/resnet50_ibn_b-9ca61e85.pth",
        "license": "mit"}})  # fmt: skip
def ibn_resnet(
    block: Callable,
    depths: tuple[int, ...],
    variant: str,
    width: int = 64,
    input_shape: tuple[int | None, int | None, int] = (224, 224, 3),
    num_classes: int = 1000,
    name: str = "ibn_resnet",
) -> keras.Model:
    """Build an IBN-ResNet over images [N, H, W, C] of any size; published weights expect RGB in 0..1, less ImageNet's
    mean (0.485, 0.456, 0.406), over its deviation (0.229, 0.224, 0.225).

    Args:
        block: the residual, `basic` or `bottleneck`.
        depths: blocks per stage; stage s has `width * 2**(s - 1)` filters, its output is the layer `stage{s}`.
        variant: "a" or "b".
        width: filters of the first stage.
        num_classes: units of the float32 layer `logits`; 0 leaves out pooling and head and returns the feature map.

    Raises:
        ValueError: another `variant`.
    """
    if variant not in ("a", "b"):
        raise ValueError(f'`variant` is "a" or "b". Received: variant={variant!r}.')
    inputs = keras.Input(input_shape)
    x = conv_norm(inputs, width, 7, 2, "stem", instance if variant == "b" else batch)
    x = layers.ZeroPadding2D(1, name="stem_pool_pad")(layers.ReLU(name="stem_relu")(x))
    x = layers.MaxPooling2D(3, 2, name="stem_pool")(x)
    for stage, depth in enumerate(depths, 1):
        for i in range(depth):
            at, filters = f"stage{stage}_block{i}", width * 2 ** (stage - 1)
            strides = 2 if stage > 1 and i == 0 else 1
            y = block(x, filters, strides, half if variant == "a" and stage < len(depths) else batch, at)
            if strides > 1 or x.shape[-1] != y.shape[-1]:
                x = conv_norm(x, y.shape[-1], 1, strides, f"{at}_shortcut")
            x = layers.Add(name=f"{at}_add")([y, x])
            if variant == "b" and stage <= 2 and i == depth - 1:
                x = instance(x, f"{at}_style")
            x = layers.ReLU(name=f"stage{stage}" if i == depth - 1 else f"{at}_out")(x)
    if num_classes:
        x = layers.GlobalAveragePooling2D(name="pool")(x)
        x = layers.Dense(num_classes, dtype="float32", name="logits")(x)
    return keras.Model(inputs, x, name=name)

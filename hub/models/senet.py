"""SENet: residual networks whose blocks weigh their channels.

Paper: Hu et al., "Squeeze-and-Excitation Networks", CVPR 2018, arXiv:1709.01507
Slug: senet
Idea: a block's residual is scaled channel by channel with gates that two small dense layers compute from all channels'
  means.
Differs: the gates' middle layer is a sixteenth of the channels rounded to eights, at least 8, and the stride sits on
  the 3x3 convolution, as in timm's checkpoints; the paper puts it on the first 1x1 of SE-ResNet. SENet-154 is not here.
Checked: on the same weights, logits and stages of basic, bottleneck and grouped blocks equal timm's to 1e-4 of their
  scale (tests/parity/test_timm_modern.py); parameters and multiply-adds are timm's.
"""

from collections.abc import Callable

import keras
from keras import layers

from hub.layers.grouped_conv import grouped_norm
from hub.layers.mobile_conv import conv_norm, make_divisible, squeeze_excite
from hub.registry import register

TORCH_NAMES = (  # layer -> module of timm's SE-ResNet; hub.weights reads it
    (r"stem_(conv|bn)", r"\g<1>1"),
    (r"stage(\d+)_block(\d+)_(\d)_(conv|bn)", r"layer\1.\2.\4\3"),
    (r"stage(\d+)_block(\d+)_squeeze_(fc\d)", r"layer\1.\2.se.\3"),
    (r"stage(\d+)_block(\d+)_shortcut_conv", r"layer\1.\2.downsample.0"),
    (r"stage(\d+)_block(\d+)_shortcut_bn", r"layer\1.\2.downsample.1"),
    (r"logits", "fc"),
)


def basic(x: keras.KerasTensor, filters: int, strides: int, name: str) -> keras.KerasTensor:
    """Two 3x3 convolutions."""
    y = conv_norm(x, filters, 3, strides, "relu", name=f"{name}_1")
    return conv_norm(y, filters, 3, name=f"{name}_2")


def bottleneck(x: keras.KerasTensor, filters: int, strides: int, name: str) -> keras.KerasTensor:
    """1x1 reduce, 3x3, 1x1 expand by 4."""
    y = conv_norm(x, filters, activation="relu", name=f"{name}_1")
    y = conv_norm(y, filters, 3, strides, "relu", name=f"{name}_2")
    return conv_norm(y, 4 * filters, name=f"{name}_3")


def grouped(x: keras.KerasTensor, filters: int, strides: int, name: str) -> keras.KerasTensor:
    """ResNeXt's bottleneck 32x4d: twice as wide inside, where the 3x3 works in 32 groups."""
    y = conv_norm(x, 2 * filters, activation="relu", name=f"{name}_1")
    y = grouped_norm(y, 2 * filters, strides, 32, name=f"{name}_2")
    return conv_norm(y, 4 * filters, name=f"{name}_3")


@register("senet_tiny", block=bottleneck, depths=(1, 1, 1, 1), width=8)
@register("seresnet18", block=basic, depths=(2, 2, 2, 2), params=11_779_624, gmacs=1.814)
@register("seresnet34", block=basic, depths=(3, 4, 6, 3), params=21_960_416, gmacs=3.664)
@register("seresnet50", block=bottleneck, depths=(3, 4, 6, 3), params=28_088_024, gmacs=4.092,
    weights={"imagenet": {"repo": "timm/seresnet50.a1_in1k", "file": "model.safetensors",
        "license": "apache-2.0"}})  # fmt: skip
@register("seresnet101", block=bottleneck, depths=(3, 4, 23, 3), params=49_326_872, gmacs=7.806)
@register("seresnet152", block=bottleneck, depths=(3, 8, 36, 3), params=66_821_848, gmacs=11.52)
@register("seresnext50_32x4d", block=grouped, depths=(3, 4, 6, 3), params=27_559_896, gmacs=4.233,
    weights={"imagenet": {"repo": "timm/seresnext50_32x4d.racm_in1k", "file": "model.safetensors",
        "license": "apache-2.0"}})  # fmt: skip
@register("seresnext101_32x4d", block=grouped, depths=(3, 4, 23, 3), params=48_955_416, gmacs=7.975,
    weights={"imagenet": {"repo": "timm/seresnext101_32x4d.gluon_in1k", "file": "model.safetensors",
        "license": "apache-2.0"}})  # fmt: skip
def senet(
    block: Callable,
    depths: tuple[int, ...],
    width: int = 64,
    input_shape: tuple[int | None, int | None, int] = (224, 224, 3),
    num_classes: int = 1000,
    name: str = "senet",
) -> keras.Model:
    """Build an SE-ResNet or SE-ResNeXt over images [N, H, W, C] of any size; published weights expect RGB in 0..1, less
    ImageNet's mean (0.485, 0.456, 0.406), over its deviation (0.229, 0.224, 0.225).

    Args:
        block: what the gates scale: `basic`, `bottleneck` or `grouped`.
        depths: blocks per stage; stage s has `width * 2**(s - 1)` filters, its output is the layer `stage{s}`.
        width: filters of the first stage.
        num_classes: units of the float32 layer `logits`; 0 leaves out pooling and head and returns the feature map.
    """
    inputs = keras.Input(input_shape)
    x = conv_norm(inputs, width, 7, 2, "relu", name="stem")
    x = layers.ZeroPadding2D(1, name="stem_pool_pad")(x)
    x = layers.MaxPooling2D(3, 2, name="stem_pool")(x)
    for stage, depth in enumerate(depths, 1):
        for i in range(depth):
            at = f"stage{stage}_block{i}"
            strides = 2 if stage > 1 and i == 0 else 1
            y = block(x, width * 2 ** (stage - 1), strides, at)
            y = squeeze_excite(y, make_divisible(y.shape[-1] / 16), name=f"{at}_squeeze")
            if strides > 1 or x.shape[-1] != y.shape[-1]:
                x = conv_norm(x, y.shape[-1], 1, strides, name=f"{at}_shortcut")
            x = layers.Add(name=f"{at}_add")([y, x])
            x = layers.ReLU(name=f"stage{stage}" if i == depth - 1 else f"{at}_out")(x)
    if num_classes:
        x = layers.GlobalAveragePooling2D(name="pool")(x)
        x = layers.Dense(num_classes, dtype="float32", name="logits")(x)
    return keras.Model(inputs, x, name=name)

"""MobileNet: depthwise separable convolutions for phones.

Paper: Howard et al., "MobileNets: Efficient Convolutional Neural Networks for Mobile Vision Applications", 2017,
  arXiv:1704.04861
Slug: mobilenet
Idea: a convolution factors into one filter per channel and a 1x1 mixture of channels, at a ninth of the cost; one
  multiplier thins all layers.
Differs: ReLU6 for ReLU, as in every public checkpoint; strided convolutions pad alike on every side and the
  normalisation adds 1e-5, as in the published PyTorch weights. The paper's own code pads at the bottom and right only.
Checked: on the same weights, logits and stages equal timm's to 1e-4 of their scale, and keras.applications' on mirrored
  kernels, which turns one padding into the other (tests/parity/test_mobilenets.py).
"""

import keras
from keras import layers

from hub.layers.mobile_conv import conv_norm, depthwise_norm, make_divisible
from hub.registry import register

TORCH_NAMES = (  # layer -> module of timm's mobilenetv1; hub.weights reads it
    (r"stem_conv", "conv_stem"),
    (r"stem_bn", "bn1"),
    (r"block(\d+)_(\d+)_depthwise_conv", r"blocks.\1.\2.conv_dw"),
    (r"block(\d+)_(\d+)_depthwise_bn", r"blocks.\1.\2.bn1"),
    (r"block(\d+)_(\d+)_pointwise_conv", r"blocks.\1.\2.conv_pw"),
    (r"block(\d+)_(\d+)_pointwise_bn", r"blocks.\1.\2.bn2"),
    (r"logits", "classifier"),
)


@register("mobilenet_tiny", width=0.25, depths=(1, 1, 1, 1, 1))
@register("mobilenet", params=4_231_976, gmacs=0.569,
    weights={"imagenet": {"repo": "timm/mobilenetv1_100.ra4_e3600_r224_in1k", "file": "model.safetensors",
        "license": "apache-2.0", "mean": 0.5, "std": 0.5}})  # fmt: skip
@register("mobilenet_075", width=0.75, params=2_585_560, gmacs=0.325)
@register("mobilenet_050", width=0.5, params=1_331_592, gmacs=0.149)
@register("mobilenet_025", width=0.25, params=470_072, gmacs=0.041)
def mobilenet(
    width: float = 1.0,
    depths: tuple[int, ...] = (1, 2, 2, 6, 2),
    input_shape: tuple[int | None, int | None, int] = (224, 224, 3),
    num_classes: int = 1000,
    name: str = "mobilenet",
) -> keras.Model:
    """Build a MobileNet over images [N, H, W, C] of any size; published weights expect RGB scaled to -1..1.

    Args:
        width: the paper's alpha; stage s has `64 * 2**(s - 1) * width` filters, rounded to eights.
        depths: separable convolutions per stage; stage s works at stride `2**s`, its output is the layer `stage{s}`.
        num_classes: units of the float32 layer `logits`; 0 leaves out pooling and head and returns the feature map.
    """
    inputs = keras.Input(input_shape)
    x = conv_norm(inputs, make_divisible(32 * width), 3, 2, "relu6", name="stem")
    for stage, depth in enumerate(depths, 1):
        for i in range(depth):
            at = f"block{stage - 1}_{i}"  # counted from 0, as the checkpoints do
            strides = 2 if stage > 1 and i == 0 else 1
            x = depthwise_norm(x, 3, strides, "relu6", name=f"{at}_depthwise")
            x = conv_norm(x, make_divisible(32 * 2**stage * width), activation="relu6", name=f"{at}_pointwise")
        x = layers.Identity(name=f"stage{stage}")(x)
    if num_classes:
        x = layers.GlobalAveragePooling2D(name="pool")(x)
        x = layers.Dense(num_classes, dtype="float32", name="logits")(x)
    return keras.Model(inputs, x, name=name)

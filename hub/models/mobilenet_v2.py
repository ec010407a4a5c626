"""MobileNetV2: inverted residuals with linear bottlenecks.

Paper: Sandler et al., "MobileNetV2: Inverted Residuals and Linear Bottlenecks", CVPR 2018, arXiv:1801.04381
Slug: mobilenet_v2
Idea: shortcuts join thin layers, a block widens its input, filters each channel and narrows it again without a
  nonlinearity, which would lose what few channels hold.
Differs: strided convolutions pad alike on every side and the normalisation adds 1e-5, as in the published PyTorch
  weights; the paper's own code pads at the bottom and right only.
Checked: on the same weights, logits and stages equal timm's and torchvision's to 1e-4 of their scale, and
  keras.applications' on mirrored kernels, which turns one padding into the other (tests/parity/test_mobilenets.py).
"""

import keras
from keras import layers

from hub.layers.mobile_conv import conv_norm, depthwise_norm, make_divisible
from hub.registry import register

TORCH_NAMES = (  # layer -> module of timm's mobilenetv2; hub.weights reads it
    (r"stem_conv", "conv_stem"),
    (r"stem_bn", "bn1"),
    (r"block0_(\d+)_depthwise_conv", r"blocks.0.\1.conv_dw"),  # row 0 does not widen
    (r"block0_(\d+)_depthwise_bn", r"blocks.0.\1.bn1"),
    (r"block0_(\d+)_project_conv", r"blocks.0.\1.conv_pw"),
    (r"block0_(\d+)_project_bn", r"blocks.0.\1.bn2"),
    (r"block(\d+)_(\d+)_expand_conv", r"blocks.\1.\2.conv_pw"),
    (r"block(\d+)_(\d+)_expand_bn", r"blocks.\1.\2.bn1"),
    (r"block(\d+)_(\d+)_depthwise_conv", r"blocks.\1.\2.conv_dw"),
    (r"block(\d+)_(\d+)_depthwise_bn", r"blocks.\1.\2.bn2"),
    (r"block(\d+)_(\d+)_project_conv", r"blocks.\1.\2.conv_pwl"),
    (r"block(\d+)_(\d+)_project_bn", r"blocks.\1.\2.bn3"),
    (r"head_conv", "conv_head"),
    (r"head_bn", "bn2"),
    (r"logits", "classifier"),
)
ROWS = (  # table 2: expansion, filters, strides of a row's first block, stage that the row ends
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 2, 3),
    (6, 64, 2, None),
    (6, 96, 1, 4),
    (6, 160, 2, None),
    (6, 320, 1, None),
)


def inverted_residual(x: keras.KerasTensor, expansion: int, filters: int, strides: int, name: str) -> keras.KerasTensor:
    """1x1 widen, 3x3 per channel, 1x1 narrow without activation; a shortcut where the shape stays (fig. 4d)."""
    y = x
    if expansion > 1:
        y = conv_norm(y, expansion * x.shape[-1], activation="relu6", name=f"{name}_expand")
    y = depthwise_norm(y, 3, strides, "relu6", name=f"{name}_depthwise")
    y = conv_norm(y, filters, name=f"{name}_project")
    if strides == 1 and x.shape[-1] == filters:
        y = layers.Add(name=f"{name}_add")([x, y])
    return y


@register("mobilenet_v2_tiny", width=0.25, depths=(1, 1, 1, 1, 2, 1, 1))
@register("mobilenet_v2", params=3_504_872, gmacs=0.3008,
    weights={"imagenet": {"repo": "timm/mobilenetv2_100.ra_in1k", "file": "model.safetensors",
        "license": "apache-2.0"}})  # fmt: skip
@register("mobilenet_v2_075", width=0.75, params=2_636_424, gmacs=0.209)
@register("mobilenet_v2_050", width=0.5, params=1_968_680, gmacs=0.097,
    weights={"imagenet": {"repo": "timm/mobilenetv2_050.lamb_in1k", "file": "model.safetensors",
        "license": "apache-2.0"}})  # fmt: skip
@register("mobilenet_v2_035", width=0.35, params=1_677_128, gmacs=0.059)
@register("mobilenet_v2_140", width=1.4, params=6_108_776, gmacs=0.582,
    weights={"imagenet": {"repo": "timm/mobilenetv2_140.ra_in1k", "file": "model.safetensors",
        "license": "apache-2.0"}})  # fmt: skip
def mobilenet_v2(
    width: float = 1.0,
    depths: tuple[int, ...] = (1, 2, 3, 4, 3, 3, 1),
    dropout: float = 0.2,
    input_shape: tuple[int | None, int | None, int] = (224, 224, 3),
    num_classes: int = 1000,
    name: str = "mobilenet_v2",
) -> keras.Model:
    """Build a MobileNetV2 over images [N, H, W, C] of any size; published weights expect RGB in 0..1, less ImageNet's
    mean (0.485, 0.456, 0.406), over its deviation (0.229, 0.224, 0.225).

    The last layer of stride `2**s` is called `stage{s}`: the linear bottlenecks for s < 5, then the head's 1x1.

    Args:
        width: multiplier of all filters, rounded to eights; the last 1x1 convolution never has fewer than 1280.
        depths: blocks per row of table 2.
        dropout: rate before `logits`.
        num_classes: units of the float32 layer `logits`; 0 leaves out pooling and head and returns the feature map.
    """
    inputs = keras.Input(input_shape)
    x = conv_norm(inputs, make_divisible(32 * width), 3, 2, "relu6", name="stem")
    for row, ((expansion, filters, strides, stage), depth) in enumerate(zip(ROWS, depths, strict=True)):
        for i in range(depth):
            at = f"block{row}_{i}"
            x = inverted_residual(x, expansion, make_divisible(filters * width), 1 if i else strides, at)
        if stage:
            x = layers.Identity(name=f"stage{stage}")(x)
    x = conv_norm(x, make_divisible(1280 * max(1.0, width)), activation="relu6", name="head")
    x = layers.Identity(name="stage5")(x)
    if num_classes:
        x = layers.GlobalAveragePooling2D(name="pool")(x)
        x = layers.Dropout(dropout, name="dropout")(x)
        x = layers.Dense(num_classes, dtype="float32", name="logits")(x)
    return keras.Model(inputs, x, name=name)

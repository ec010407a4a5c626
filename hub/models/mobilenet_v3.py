"""MobileNetV3: searched inverted residuals with channel attention and hard swish.

Paper: Howard et al., "Searching for MobileNetV3", ICCV 2019, arXiv:1905.02244
Slug: mobilenet_v3
Idea: an architecture search picks kernel, width, attention and activation of each inverted residual; the costly last
  layers move behind the pooling, and piecewise-linear gates replace sigmoids.
Differs: strided convolutions pad alike on every side, the widths between the attention's layers round to eights, and
  the small network has no attention after its last 1x1 convolution (table 2 has), as in the published PyTorch weights.
Checked: on the same weights, logits and stages of both sizes equal torchvision's to 1e-4 of their scale, and
  keras.applications' on mirrored kernels, which turns one padding into the other (tests/parity/test_mobilenets.py).
"""

import functools

import keras
from keras import layers

from hub.layers import mobile_conv
from hub.layers.mobile_conv import make_divisible, squeeze_excite
from hub.registry import register

TORCH_NAMES = (  # layer -> module of torchvision's MobileNetV3; hub.weights reads it
    (r"(?:stem|head)(\d+)_conv", r"features.\1.0"),
    (r"(?:stem|head)(\d+)_bn", r"features.\1.1"),
    (r"block(\d+)_[a-z]+(\d)_conv", r"features.\1.block.\2.0"),
    (r"block(\d+)_[a-z]+(\d)_bn", r"features.\1.block.\2.1"),
    (r"block(\d+)_squeeze(\d)_(fc\d)", r"features.\1.block.\2.\3"),
    (r"hidden", "classifier.0"),
    (r"logits", "classifier.3"),
)
conv_norm = functools.partial(mobile_conv.conv_norm, momentum=0.99, epsilon=1e-3)
depthwise_norm = functools.partial(mobile_conv.depthwise_norm, momentum=0.99, epsilon=1e-3)

LARGE = (  # table 1: kernel size, expanded filters, filters, attention, activation, strides
    (3, 16, 16, False, "relu", 1),
    (3, 64, 24, False, "relu", 2),
    (3, 72, 24, False, "relu", 1),
    (5, 72, 40, True, "relu", 2),
    (5, 120, 40, True, "relu", 1),
    (5, 120, 40, True, "relu", 1),
    (3, 240, 80, False, "hard_silu", 2),
    (3, 200, 80, False, "hard_silu", 1),
    (3, 184, 80, False, "hard_silu", 1),
    (3, 184, 80, False, "hard_silu", 1),
    (3, 480, 112, True, "hard_silu", 1),
    (3, 672, 112, True, "hard_silu", 1),
    (5, 672, 160, True, "hard_silu", 2),
    (5, 960, 160, True, "hard_silu", 1),
    (5, 960, 160, True, "hard_silu", 1),
)
SMALL = (  # table 2
    (3, 16, 16, True, "relu", 2),
    (3, 72, 24, False, "relu", 2),
    (3, 88, 24, False, "relu", 1),
    (5, 96, 40, True, "hard_silu", 2),
    (5, 240, 40, True, "hard_silu", 1),
    (5, 240, 40, True, "hard_silu", 1),
    (5, 120, 48, True, "hard_silu", 1),
    (5, 144, 48, True, "hard_silu", 1),
    (5, 288, 96, True, "hard_silu", 2),
    (5, 576, 96, True, "hard_silu", 1),
    (5, 576, 96, True, "hard_silu", 1),
)
TINY = (
    (3, 16, 16, True, "relu", 2),
    (3, 24, 16, False, "relu", 2),
    (5, 32, 24, True, "hard_silu", 2),
    (5, 48, 24, True, "hard_silu", 1),
    (5, 48, 32, True, "hard_silu", 2),
)


def bneck(
    x: keras.KerasTensor,
    kernel_size: int,
    expanded: int,
    filters: int,
    attention: bool,
    activation: str,
    strides: int,
    name: str,
) -> keras.KerasTensor:
    """Widen, filter per channel, weigh the channels, narrow without activation (fig. 4); parts are counted from 0."""
    y, part = x, 0
    if expanded != x.shape[-1]:
        y = conv_norm(y, expanded, activation=activation, name=f"{name}_expand0")
        part = 1
    y = depthwise_norm(y, kernel_size, strides, activation, name=f"{name}_depthwise{part}")
    if attention:
        part += 1
        y = squeeze_excite(y, make_divisible(expanded / 4), gate="hard_sigmoid", name=f"{name}_squeeze{part}")
    y = conv_norm(y, filters, name=f"{name}_project{part + 1}")
    if strides == 1 and x.shape[-1] == filters:
        y = layers.Add(name=f"{name}_add")([x, y])
    return y


@register("mobilenet_v3_tiny", rows=TINY, units=64)
@register("mobilenet_v3_large", rows=LARGE, units=1280, params=5_483_032, gmacs=0.217,
    weights={"imagenet": {"url": "https://download.pytorch.org/models/mobilenet_v3_large-5c1a4163.pth",
        "sha256": "5c1a4163", "license": "bsd-3-clause"}})  # fmt: skip
@register("mobilenet_v3_small", rows=SMALL, units=1024, params=2_542_856, gmacs=0.0565,
    weights={"imagenet": {"url": "https://download.pytorch.org/models/mobilenet_v3_small-047dcff4.pth",
        "sha256": "047dcff4", "license": "bsd-3-clause"}})  # fmt: skip
def mobilenet_v3(
    rows: tuple[tuple, ...] = LARGE,
    units: int = 1280,
    dropout: float = 0.2,
    input_shape: tuple[int | None, int | None, int] = (224, 224, 3),
    num_classes: int = 1000,
    name: str = "mobilenet_v3",
) -> keras.Model:
    """Build a MobileNetV3 over images [N, H, W, C] of any size; published weights expect RGB in 0..1, less ImageNet's
    mean (0.485, 0.456, 0.406), over its deviation (0.229, 0.224, 0.225).

    The last layer of stride `2**s` is called `stage{s}`; the fifth is the 1x1 convolution before the pooling.

    Args:
        rows: one block each: kernel size, expanded filters, filters, attention, activation, strides.
        units: width of the dense layer between pooling and `logits`.
        dropout: rate before `logits`.
        num_classes: units of the float32 layer `logits`; 0 leaves out pooling and head and returns the feature map.
    """
    inputs = keras.Input(input_shape)
    x = conv_norm(inputs, 16, 3, 2, "hard_silu", name="stem0")
    stage = 1
    for i, row in enumerate(rows, 1):
        if row[-1] == 2:
            x = layers.Identity(name=f"stage{stage}")(x)
            stage += 1
        x = bneck(x, *row, name=f"block{i}")
    x = conv_norm(x, 6 * x.shape[-1], activation="hard_silu", name=f"head{len(rows) + 1}")
    x = layers.Identity(name=f"stage{stage}")(x)
    if num_classes:
        x = layers.GlobalAveragePooling2D(name="pool")(x)
        x = layers.Dense(units, "hard_silu", name="hidden")(x)
        x = layers.Dropout(dropout, name="dropout")(x)
        x = layers.Dense(num_classes, dtype="float32", name="logits")(x)
    return keras.Model(inputs, x, name=name)

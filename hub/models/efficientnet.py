"""EfficientNet: one searched network, scaled in width, depth and resolution together; Lite and CondConv variants.

Paper: Tan and Le, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks", ICML 2019,
  arXiv:1905.11946
Slug: efficientnet
Idea: inverted residuals with channel attention; a fixed ratio between width, depth and resolution makes a small
  network large at the least cost.
Differs: rows without `tf_` pad strided convolutions alike on every side and their normalisation adds 1e-5, as in
  timm's checkpoints; `tf_` rows, and `padding="same", epsilon=1e-3` with any other, are the paper's own network. Lite
  (code of 2020, without a paper) has ReLU6, no attention, and an unscaled stem, head, first and last row. `cc` mixes
  the kernels of the last three rows (Yang et al., arXiv:1904.04971). Kernels start with He's variance of the fan-in,
  the paper's with that of the fan-out; residuals are only dropped where `drop_path` asks for it (the paper: 0.2).
Checked: on the same weights, logits and stages equal timm's, and tf_efficientnet_b0's keras.applications', to 1e-4 of
  their scale (tests/parity/test_timm_efficientnet.py); a published Lite0 reads 20 ImageNet pictures
  (tests/test_efficientnet.py).
"""

import math
import re
from collections.abc import Iterable

import keras
from keras import layers

from hub.layers.cond_conv import CondConv2D, expert_routing
from hub.layers.mobile_conv import make_divisible, norm, squeeze_excite
from hub.layers.stochastic_depth import StochasticDepth, linear_decay
from hub.registry import register


def torch_names(model: keras.Model, tensors: Iterable[str]) -> tuple[tuple[str, str], ...]:
    """Layer -> module of EfficientNet-PyTorch, which counts its blocks through, or of timm."""
    if "_fc.weight" in tensors:
        blocks = dict.fromkeys(found[0] for layer in model.layers if (found := re.match(r"block\d+_\d+", layer.name)))
        names = [(r"(stem|head)_conv", r"_conv_\1"), (r"stem_bn", "_bn0"), (r"head_bn", "_bn1"), (r"logits", "_fc")]
        for i, block in enumerate(blocks):
            names += [
                (rf"{block}_(expand|depthwise|project)_conv", rf"_blocks.{i}._\1_conv"),
                *((f"{block}_{part}_bn", f"_blocks.{i}._bn{k}") for k, part in enumerate(PARTS)),
                (f"{block}_squeeze_fc1", f"_blocks.{i}._se_reduce"),
                (f"{block}_squeeze_fc2", f"_blocks.{i}._se_expand"),
            ]
        return tuple(names)
    return (
        (r"(stem|head)_conv", r"conv_\1"),
        (r"stem_bn", "bn1"),
        (r"head_bn", "bn2"),
        (r"block0_(\d+)_depthwise_bn", r"blocks.0.\1.bn1"),  # row 0 does not widen
        (r"block0_(\d+)_project_conv", r"blocks.0.\1.conv_pw"),
        (r"block0_(\d+)_project_bn", r"blocks.0.\1.bn2"),
        (r"block(\d+)_(\d+)_expand_conv", r"blocks.\1.\2.conv_pw"),
        (r"block(\d+)_(\d+)_depthwise_conv", r"blocks.\1.\2.conv_dw"),
        (r"block(\d+)_(\d+)_project_conv", r"blocks.\1.\2.conv_pwl"),
        *((rf"block(\d+)_(\d+)_{part}_bn", rf"blocks.\1.\2.bn{k}") for k, part in enumerate(PARTS, 1)),
        (r"block(\d+)_(\d+)_squeeze_fc1", r"blocks.\1.\2.se.conv_reduce"),
        (r"block(\d+)_(\d+)_squeeze_fc2", r"blocks.\1.\2.se.conv_expand"),
        (r"block(\d+)_(\d+)_routing", r"blocks.\1.\2.routing_fn"),
        (r"logits", "classifier"),
    )


TORCH_NAMES = torch_names
PARTS = ("expand", "depthwise", "project")
ROWS = (  # table 1: expansion, kernel size, filters, blocks, strides of the first, stage that the row ends
    (1, 3, 16, 1, 1, 1),
    (6, 3, 24, 2, 2, 2),
    (6, 5, 40, 2, 2, 3),
    (6, 3, 80, 3, 2, None),
    (6, 5, 112, 3, 1, 4),
    (6, 5, 192, 4, 2, None),
    (6, 3, 320, 1, 1, None),
)


def conv_norm(
    x: keras.KerasTensor,
    filters: int | None,
    kernel_size: int,
    strides: int,
    activation: str | None,
    padding: str,
    epsilon: float,
    gate: keras.KerasTensor | None = None,
    *,
    name: str,
) -> keras.KerasTensor:
    """Convolution (one filter per channel where `filters` is None), batch normalisation, activation.

    With a gate [N, experts] the convolution mixes as many kernels.
    """
    if gate is not None:
        conv = CondConv2D(filters, kernel_size, gate.shape[-1], strides, padding, name=f"{name}_conv")
        return norm(conv([x, gate]), activation, 0.99, epsilon, name)
    pads = "same"
    if strides > 1 and padding == "symmetric":
        x, pads = layers.ZeroPadding2D(kernel_size // 2, name=f"{name}_pad")(x), "valid"
    options = {"padding": pads, "use_bias": False, "name": f"{name}_conv"}
    if filters:
        x = layers.Conv2D(filters, kernel_size, strides, kernel_initializer="he_normal", **options)(x)
    else:  # Keras counts all channels into a depthwise fan; He's variance asks for the one that a filter sees
        he = keras.initializers.RandomNormal(stddev=(2 / kernel_size**2) ** 0.5)
        x = layers.DepthwiseConv2D(kernel_size, strides, depthwise_initializer=he, **options)(x)
    return norm(x, activation, 0.99, epsilon, name)


def mb_conv(
    x: keras.KerasTensor,
    expansion: int,
    kernel_size: int,
    filters: int,
    strides: int,
    lite: bool,
    experts: int,
    rate: float,
    same: dict,
    name: str,
) -> keras.KerasTensor:
    """Widen, filter per channel, weigh the channels, narrow without activation; a shortcut where the shape stays.

    `same` is what all convolutions of a network share: padding and epsilon.
    """
    activation = "relu6" if lite else "silu"
    same = {**same, "gate": expert_routing(x, experts, name=f"{name}_routing") if experts else None}
    y = x
    if expansion > 1:
        y = conv_norm(y, expansion * x.shape[-1], 1, 1, activation, **same, name=f"{name}_expand")
    y = conv_norm(y, None, kernel_size, strides, activation, **same, name=f"{name}_depthwise")
    if not lite:
        y = squeeze_excite(y, max(1, x.shape[-1] // 4), activation, name=f"{name}_squeeze")
    y = conv_norm(y, filters, 1, 1, None, **same, name=f"{name}_project")
    if strides == 1 and x.shape[-1] == filters:
        if rate:
            y = StochasticDepth(rate, name=f"{name}_drop")(y)
        y = layers.Add(name=f"{name}_add")([x, y])
    return y


def scaled(width: float, depth: float, size: int, dropout: float) -> dict:
    return {"width": width, "depth": depth, "input_shape": (size, size, 3), "dropout": dropout}


# section 4 and the authors' code: width, depth, resolution, dropout
B = [scaled(*row) for row in (
    (1.0, 1.0, 224, 0.2), (1.0, 1.1, 240, 0.2), (1.1, 1.2, 260, 0.3), (1.2, 1.4, 300, 0.3),
    (1.4, 1.8, 380, 0.4), (1.6, 2.2, 456, 0.4), (1.8, 2.6, 528, 0.5), (2.0, 3.1, 600, 0.5),
)]  # fmt: skip
LITE = [{**b, "lite": True, "input_shape": (size, size, 3)}
        for b, size in zip(B, (224, 240, 260, 280, 300), strict=False)]  # fmt: skip
TF = {"padding": "same", "epsilon": 1e-3}


@register("efficientnet_tiny", width=0.25, depth=0.3, long="27 variants, 17 of them with published weights")
@register("efficientnet_b0", **B[0], params=5_288_548, gmacs=0.3858, weights={"imagenet": {
    "repo": "timm/efficientnet_b0.ra_in1k", "file": "model.safetensors", "license": "apache-2.0"}})  # fmt: skip
@register("efficientnet_b1", **B[1], params=7_794_184, gmacs=0.6868, weights={"imagenet": {
    "repo": "timm/efficientnet_b1.ft_in1k", "file": "model.safetensors", "license": "apache-2.0"}})  # fmt: skip
@register("efficientnet_b2", **B[2], params=9_109_994, gmacs=0.9936, weights={"imagenet": {
    "repo": "timm/efficientnet_b2.ra_in1k", "file": "model.safetensors", "license": "apache-2.0"}})  # fmt: skip
@register("efficientnet_b3", **B[3], params=12_233_232, gmacs=1.827, weights={"imagenet": {
    "repo": "timm/efficientnet_b3.ra2_in1k", "file": "model.safetensors", "license": "apache-2.0"}})  # fmt: skip
@register("efficientnet_b4", **B[4], params=19_341_616, gmacs=4.394, weights={"imagenet": {
    "repo": "timm/efficientnet_b4.ra2_in1k", "file": "model.safetensors", "license": "apache-2.0"}})  # fmt: skip
@register("efficientnet_b5", **B[5], params=30_389_784, gmacs=10.27, weights={"imagenet": {"file": "model.safetensors",
    "repo": "timm/efficientnet_b5.sw_in12k_ft_in1k", "license": "apache-2.0"}})  # fmt: skip
@register("efficientnet_b6", **B[6], params=43_040_704, gmacs=19.07)
@register("efficientnet_b7", **B[7], params=66_347_960, gmacs=37.75)
@register("efficientnet_lite0", **LITE[0], params=4_652_008, gmacs=0.3852, weights={"imagenet": {
    "repo": "timm/efficientnet_lite0.ra_in1k", "file": "model.safetensors", "license": "apache-2.0"}})  # fmt: skip
@register("efficientnet_lite1", **LITE[1], params=5_416_680, gmacs=0.6002)
@register("efficientnet_lite2", **LITE[2], params=6_092_072, gmacs=0.8597)
@register("efficientnet_lite3", **LITE[3], params=8_197_096, gmacs=1.383)
@register("efficientnet_lite4", **LITE[4], params=13_006_568, gmacs=2.553)
@register("tf_efficientnet_b6", **B[6], **TF, params=43_040_704, weights={"imagenet": {
    "repo": "timm/tf_efficientnet_b6.aa_in1k", "file": "model.safetensors", "license": "apache-2.0"}})  # fmt: skip
@register("tf_efficientnet_b7", **B[7], **TF, params=66_347_960, weights={"imagenet": {
    "repo": "timm/tf_efficientnet_b7.aa_in1k", "file": "model.safetensors", "license": "apache-2.0"}})  # fmt: skip
@register("tf_efficientnet_lite0", **LITE[0], **TF, params=4_652_008, weights={"imagenet": {
    "repo": "timm/tf_efficientnet_lite0.in1k", "file": "model.safetensors",
    "license": "apache-2.0", "mean": 0.5, "std": 0.5}})  # fmt: skip
@register("tf_efficientnet_lite1", **LITE[1], **TF, params=5_416_680, weights={"imagenet": {
    "repo": "timm/tf_efficientnet_lite1.in1k", "file": "model.safetensors",
    "license": "apache-2.0", "mean": 0.5, "std": 0.5}})  # fmt: skip
@register("tf_efficientnet_lite2", **LITE[2], **TF, params=6_092_072, weights={"imagenet": {
    "repo": "timm/tf_efficientnet_lite2.in1k", "file": "model.safetensors",
    "license": "apache-2.0", "mean": 0.5, "std": 0.5}})  # fmt: skip
@register("tf_efficientnet_lite3", **LITE[3], **TF, params=8_197_096, weights={"imagenet": {
    "repo": "timm/tf_efficientnet_lite3.in1k", "file": "model.safetensors",
    "license": "apache-2.0", "mean": 0.5, "std": 0.5}})  # fmt: skip
@register("tf_efficientnet_lite4", **LITE[4], **TF, params=13_006_568, weights={"imagenet": {
    "repo": "timm/tf_efficientnet_lite4.in1k", "file": "model.safetensors",
    "license": "apache-2.0", "mean": 0.5, "std": 0.5}})  # fmt: skip
@register("efficientnet_cc_b0_4e", **B[0], experts=4, params=13_314_116)
@register("efficientnet_cc_b0_8e", **B[0], experts=8, params=24_013_284)
@register("efficientnet_cc_b1_8e", **B[1], experts=8, params=39_715_968)
@register("tf_efficientnet_cc_b0_4e", **B[0], experts=4, **TF, params=13_314_116, weights={"imagenet": {
    "repo": "timm/tf_efficientnet_cc_b0_4e.in1k", "file": "model.safetensors",
    "license": "apache-2.0", "mean": 0.5, "std": 0.5}})  # fmt: skip
@register("tf_efficientnet_cc_b0_8e", **B[0], experts=8, **TF, params=24_013_284, weights={"imagenet": {
    "repo": "timm/tf_efficientnet_cc_b0_8e.in1k", "file": "model.safetensors",
    "license": "apache-2.0", "mean": 0.5, "std": 0.5}})  # fmt: skip
@register("tf_efficientnet_cc_b1_8e", **B[1], experts=8, **TF, params=39_715_968, weights={"imagenet": {
    "repo": "timm/tf_efficientnet_cc_b1_8e.in1k", "file": "model.safetensors",
    "license": "apache-2.0", "mean": 0.5, "std": 0.5}})  # fmt: skip
def efficientnet(
    width: float = 1.0,
    depth: float = 1.0,
    lite: bool = False,
    experts: int = 0,
    padding: str = "symmetric",
    epsilon: float = 1e-5,
    dropout: float = 0.2,
    drop_path: float = 0.0,
    input_shape: tuple[int | None, int | None, int] = (224, 224, 3),
    num_classes: int = 1000,
    name: str = "efficientnet",
) -> keras.Model:
    """Build an EfficientNet over images [N, H, W, C] of any size; published weights expect RGB in 0..1, less ImageNet's
    mean (0.485, 0.456, 0.406), over its deviation (0.229, 0.224, 0.225), but those of `tf_` rows with `lite` or `cc`
    RGB in -1..1.

    The last layer of stride `2**s` is called `stage{s}`; the fifth is the 1x1 convolution before the pooling.

    Args:
        width: multiplier of all filters, rounded to eights.
        depth: multiplier of the blocks per row of table 1, rounded up.
        lite: ReLU6, no channel attention, and neither stem, head nor the first and last row scaled.
        experts: kernels that each convolution of the last three rows mixes; 0 for plain convolutions.
        padding: of strided convolutions, "symmetric" or "same" (more at the bottom and right).
        epsilon: what the normalisations add to the variance.
        dropout: rate before `logits`.
        drop_path: rate at which residuals are dropped while training, rising linearly from 0 with the depth.
        num_classes: units of the float32 layer `logits`; 0 leaves out pooling and head and returns the feature map.

    Raises:
        ValueError: `padding` is neither of the two.
    """
    if padding not in ("symmetric", "same"):
        raise ValueError(f'`padding` is "symmetric" or "same". Received: padding={padding!r}.')
    same = {"padding": padding, "epsilon": epsilon}
    activation = "relu6" if lite else "silu"
    ends = 1.0 if lite else width
    inputs = keras.Input(input_shape)
    x = conv_norm(inputs, make_divisible(32 * ends), 3, 2, activation, **same, name="stem")
    depths = [n if lite and row in (0, 6) else math.ceil(n * depth) for row, (*_, n, _, _) in enumerate(ROWS)]
    rates = iter(linear_decay(sum(depths) + 1, drop_path, first=0.0))  # the block after the last would have it whole
    for row, (expansion, kernel_size, filters, _, strides, stage) in enumerate(ROWS):
        for i in range(depths[row]):
            shape = (expansion, kernel_size, make_divisible(filters * width), 1 if i else strides)
            x = mb_conv(x, *shape, lite, experts if row > 3 else 0, next(rates), same, f"block{row}_{i}")
        if stage:
            x = layers.Identity(name=f"stage{stage}")(x)
    x = conv_norm(x, make_divisible(1280 * ends), 1, 1, activation, **same, name="head")
    x = layers.Identity(name="stage5")(x)
    if num_classes:
        x = layers.GlobalAveragePooling2D(name="pool")(x)
        x = layers.Dropout(dropout, name="dropout")(x)
        x = layers.Dense(num_classes, dtype="float32", name="logits")(x)
    return keras.Model(inputs, x, name=name)

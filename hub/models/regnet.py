"""RegNet: networks whose widths lie on a quantised line.

Paper: Radosavovic et al., "Designing Network Design Spaces", CVPR 2020, arXiv:2003.13678
Slug: regnet
Idea: the good networks of a large population share a simple rule: the width of block j grows linearly,
  u_j = w0 + wa j, and is rounded to a power of wm times w0; five numbers describe a network. Y adds channel attention.
Differs: nothing; sizes are named by their multiply-adds, 002 for 200 million. Rows with `_tv` round widths to whole
  groups as torchvision does, which gives another width in some stages.
Checked: on the same weights, logits and stages equal timm's and torchvision's to 1e-4 of their scale
  (tests/parity/test_timm_modern.py); parameters and multiply-adds are theirs; the rule gives the published
  networks' stages (tests/test_regnet.py).
"""

import itertools
import math
from collections.abc import Callable

import keras
from keras import layers

from hub.layers.grouped_conv import grouped_norm
from hub.layers.mobile_conv import conv_norm, make_divisible, squeeze_excite
from hub.registry import register

TORCH_NAMES = (  # layer -> module of timm's RegNet; hub.weights reads it
    (r"stem_(conv|bn)", r"stem.\1"),
    (r"stage(\d)_block(\d+)_(\d)_(conv|bn)", r"s\1.b\2.conv\3.\4"),
    (r"stage(\d)_block(\d+)_squeeze_(fc\d)", r"s\1.b\2.se.\3"),
    (r"stage(\d)_block(\d+)_shortcut_(conv|bn)", r"s\1.b\2.downsample.\3"),
    (r"logits", "head.fc"),
)


def nearest(width: float, group_width: int) -> int:
    """The number of whole groups nearest to `width`."""
    return round(width / group_width) * group_width


def stages(
    w0: int, wa: float, wm: float, depth: int, group_width: int, fit: Callable[[float, int], int] = nearest
) -> tuple[tuple[int, int, int], ...]:
    """(width, depth, group width) of each stage: the runs of equal width among the blocks (eq. 2 to 4)."""
    exponents = [round(math.log((w0 + wa * j) / w0) / math.log(wm)) for j in range(depth)]
    runs = itertools.groupby(nearest(w0 * wm**s, 8) for s in exponents)
    sizes = [(width, len(list(blocks)), min(group_width, width)) for width, blocks in runs]
    return tuple((fit(width, group), blocks, group) for width, blocks, group in sizes)


def block(
    x: keras.KerasTensor, width: int, strides: int, group_width: int, squeeze: float, name: str
) -> keras.KerasTensor:
    """Residual of 1x1, grouped 3x3, attention, 1x1, all of one width (fig. 4); `squeeze` is a share of the input."""
    y = conv_norm(x, width, activation="relu", name=f"{name}_1")
    y = grouped_norm(y, width, strides, width // group_width, name=f"{name}_2")
    if squeeze:
        y = squeeze_excite(y, round(squeeze * x.shape[-1]), name=f"{name}_squeeze")
    y = conv_norm(y, width, name=f"{name}_3")
    if strides > 1 or x.shape[-1] != width:
        x = conv_norm(x, width, 1, strides, name=f"{name}_shortcut")
    return layers.Add(name=f"{name}_add")([y, x])


@register("regnet_tiny", w0=16, wa=24.0, wm=2.0, depth=5, group_width=8, squeeze=0.5)
@register("regnetx_002", w0=24, wa=36.44, wm=2.49, depth=13, group_width=8, params=2_684_792, gmacs=0.1990,
    weights={"imagenet": {"repo": "timm/regnetx_002.pycls_in1k", "file": "model.safetensors",
        "license": "mit"}})  # fmt: skip
@register("regnetx_004", w0=24, wa=24.48, wm=2.54, depth=22, group_width=16, params=5_157_512, gmacs=0.3977,
    weights={"imagenet": {"repo": "timm/regnetx_004.pycls_in1k", "file": "model.safetensors",
        "license": "mit"}})  # fmt: skip
@register("regnetx_004_tv", w0=24, wa=24.48, wm=2.54, depth=22, group_width=16, fit=make_divisible,
    params=5_495_976, gmacs=0.414,
    weights={"imagenet": {"repo": "timm/regnetx_004_tv.tv2_in1k", "file": "model.safetensors",
        "license": "bsd-3-clause"}})  # fmt: skip
@register("regnetx_006", w0=48, wa=36.97, wm=2.24, depth=16, group_width=24, params=6_196_040, gmacs=0.6009,
    weights={"imagenet": {"repo": "timm/regnetx_006.pycls_in1k", "file": "model.safetensors",
        "license": "mit"}})  # fmt: skip
@register("regnetx_008", w0=56, wa=35.73, wm=2.28, depth=16, group_width=16, params=7_259_656, gmacs=0.800,
    weights={"imagenet": {"repo": "timm/regnetx_008.tv2_in1k", "file": "model.safetensors",
        "license": "bsd-3-clause"}})  # fmt: skip
@register("regnetx_016", w0=80, wa=34.01, wm=2.25, depth=18, group_width=24, params=9_190_136, gmacs=1.603,
    weights={"imagenet": {"repo": "timm/regnetx_016.tv2_in1k", "file": "model.safetensors",
        "license": "bsd-3-clause"}})  # fmt: skip
@register("regnetx_032", w0=88, wa=26.31, wm=2.25, depth=25, group_width=48, params=15_296_552, gmacs=3.177,
    weights={"imagenet": {"repo": "timm/regnetx_032.tv2_in1k", "file": "model.safetensors",
        "license": "bsd-3-clause"}})  # fmt: skip
@register("regnetx_040", w0=96, wa=38.65, wm=2.43, depth=23, group_width=40, params=22_118_248, gmacs=3.965,
    weights={"imagenet": {"repo": "timm/regnetx_040.pycls_in1k", "file": "model.safetensors",
        "license": "mit"}})  # fmt: skip
@register("regnetx_064", w0=184, wa=60.83, wm=2.07, depth=17, group_width=56, params=26_209_256, gmacs=6.460,
    weights={"imagenet": {"repo": "timm/regnetx_064.pycls_in1k", "file": "model.safetensors",
        "license": "mit"}})  # fmt: skip
@register("regnetx_080", w0=80, wa=49.56, wm=2.88, depth=23, group_width=120, params=39_572_648, gmacs=7.995,
    weights={"imagenet": {"repo": "timm/regnetx_080.tv2_in1k", "file": "model.safetensors",
        "license": "bsd-3-clause"}})  # fmt: skip
@register("regnetx_120", w0=168, wa=73.36, wm=2.37, depth=19, group_width=112, params=46_106_056, gmacs=12.09,
    weights={"imagenet": {"repo": "timm/regnetx_120.pycls_in1k", "file": "model.safetensors",
        "license": "mit"}})  # fmt: skip
@register("regnetx_160", w0=216, wa=55.59, wm=2.1, depth=22, group_width=128, params=54_278_536, gmacs=15.94,
    weights={"imagenet": {"repo": "timm/regnetx_160.tv2_in1k", "file": "model.safetensors",
        "license": "bsd-3-clause"}})  # fmt: skip
@register("regnety_002", w0=24, wa=36.44, wm=2.49, depth=13, group_width=8, squeeze=0.25,
    params=3_162_996, gmacs=0.1995,
    weights={"imagenet": {"repo": "timm/regnety_002.pycls_in1k", "file": "model.safetensors",
        "license": "mit"}})  # fmt: skip
@register("regnety_004", w0=48, wa=27.89, wm=2.09, depth=16, group_width=8, squeeze=0.25,
    params=4_344_144, gmacs=0.402,
    weights={"imagenet": {"repo": "timm/regnety_004.tv2_in1k", "file": "model.safetensors",
        "license": "bsd-3-clause"}})  # fmt: skip
@register("regnety_006", w0=48, wa=32.54, wm=2.32, depth=15, group_width=16, squeeze=0.25,
    params=6_055_160, gmacs=0.6012,
    weights={"imagenet": {"repo": "timm/regnety_006.pycls_in1k", "file": "model.safetensors",
        "license": "mit"}})  # fmt: skip
@register("regnety_008", w0=56, wa=38.84, wm=2.4, depth=14, group_width=16, squeeze=0.25,
    params=6_263_168, gmacs=0.7972,
    weights={"imagenet": {"repo": "timm/regnety_008.pycls_in1k", "file": "model.safetensors",
        "license": "mit"}})  # fmt: skip
@register("regnety_008_tv", w0=56, wa=38.84, wm=2.4, depth=14, group_width=16, squeeze=0.25, fit=make_divisible,
    params=6_432_512, gmacs=0.834,
    weights={"imagenet": {"repo": "timm/regnety_008_tv.tv2_in1k", "file": "model.safetensors",
        "license": "bsd-3-clause"}})  # fmt: skip
@register("regnety_016", w0=48, wa=20.71, wm=2.65, depth=27, group_width=24, squeeze=0.25,
    params=11_202_430, gmacs=1.612,
    weights={"imagenet": {"repo": "timm/regnety_016.tv2_in1k", "file": "model.safetensors",
        "license": "bsd-3-clause"}})  # fmt: skip
@register("regnety_032", w0=80, wa=42.63, wm=2.66, depth=21, group_width=24, squeeze=0.25,
    params=19_436_338, gmacs=3.176,
    weights={"imagenet": {"repo": "timm/regnety_032.ra_in1k", "file": "model.safetensors",
        "license": "apache-2.0"}})  # fmt: skip
@register("regnety_040", w0=96, wa=31.41, wm=2.24, depth=22, group_width=64, squeeze=0.25,
    params=20_646_656, gmacs=3.973,
    weights={"imagenet": {"repo": "timm/regnety_040.ra3_in1k", "file": "model.safetensors",
        "license": "apache-2.0"}})  # fmt: skip
@register("regnety_064", w0=112, wa=33.22, wm=2.27, depth=25, group_width=72, squeeze=0.25,
    params=30_583_252, gmacs=6.355,
    weights={"imagenet": {"repo": "timm/regnety_064.ra3_in1k", "file": "model.safetensors",
        "license": "apache-2.0"}})  # fmt: skip
@register("regnety_080", w0=192, wa=76.82, wm=2.19, depth=17, group_width=56, squeeze=0.25,
    params=39_180_068, gmacs=7.963,
    weights={"imagenet": {"repo": "timm/regnety_080.ra3_in1k", "file": "model.safetensors",
        "license": "apache-2.0"}})  # fmt: skip
@register("regnety_080_tv", w0=192, wa=76.82, wm=2.19, depth=17, group_width=56, squeeze=0.25, fit=make_divisible,
    params=39_381_472, gmacs=8.473,
    weights={"imagenet": {"repo": "timm/regnety_080_tv.tv2_in1k", "file": "model.safetensors",
        "license": "bsd-3-clause"}})  # fmt: skip
@register("regnety_120", w0=168, wa=73.36, wm=2.37, depth=19, group_width=112, squeeze=0.25,
    params=51_822_544, gmacs=12.09,
    weights={"imagenet": {"repo": "timm/regnety_120.pycls_in1k", "file": "model.safetensors",
        "license": "mit"}})  # fmt: skip
@register("regnety_160", w0=200, wa=106.23, wm=2.48, depth=18, group_width=112, squeeze=0.25,
    params=83_590_140, gmacs=15.91,
    weights={"imagenet": {"repo": "timm/regnety_160.tv2_in1k", "file": "model.safetensors",
        "license": "bsd-3-clause"}})  # fmt: skip
def regnet(
    w0: int,
    wa: float,
    wm: float,
    depth: int,
    group_width: int,
    squeeze: float = 0.0,
    fit: Callable[[float, int], int] = nearest,
    input_shape: tuple[int | None, int | None, int] = (224, 224, 3),
    num_classes: int = 1000,
    name: str = "regnet",
) -> keras.Model:
    """Build a RegNet over images [N, H, W, C] of any size; published weights expect RGB in 0..1, less ImageNet's mean
    (0.485, 0.456, 0.406), over its deviation (0.229, 0.224, 0.225).

    Each stage halves the map; its output is the layer `stage{s}`.

    Args:
        w0: width of the first block by the rule.
        wa: what each block adds to it.
        wm: ratio of a stage's width to that of the stage before, about.
        depth: number of blocks.
        group_width: channels of a group of the 3x3 convolutions.
        squeeze: width of the attention's middle as a share of the block's input; 0 leaves attention out (X).
        fit: rounds a width to whole groups, `nearest` or, never below 0.9 of it, `make_divisible`.
        num_classes: units of the float32 layer `logits`; 0 leaves out pooling and head and returns the feature map.
    """
    inputs = keras.Input(input_shape)
    x = conv_norm(inputs, 32, 3, 2, "relu", name="stem")
    for stage, (width, blocks, group) in enumerate(stages(w0, wa, wm, depth, group_width, fit), 1):
        for i in range(1, blocks + 1):
            at = f"stage{stage}_block{i}"
            x = block(x, width, 2 if i == 1 else 1, group, squeeze, at)
            x = layers.ReLU(name=f"stage{stage}" if i == blocks else f"{at}_out")(x)
    if num_classes:
        x = layers.GlobalAveragePooling2D(name="pool")(x)
        x = layers.Dense(num_classes, dtype="float32", name="logits")(x)
    return keras.Model(inputs, x, name=name)

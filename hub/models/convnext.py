"""ConvNeXt: a plain convolutional network with the habits of a vision transformer.

Paper: Liu et al., "A ConvNet for the 2020s", CVPR 2022, arXiv:2201.03545
Slug: convnext
Idea: a ResNet modernised step by step: patches for a stem, 7x7 depthwise convolutions, an inverted bottleneck, one
  layer normalisation and one GELU per block, and residuals that LayerScale starts near zero.
Differs: nothing in the paper's five sizes; `atto` to `nano` are smaller ones that timm's author added, on the same
  blocks. The paper trains with stochastic depth of 0.1 (tiny) to 0.5; here `drop_path` is 0 unless asked for.
Checked: on the same weights, logits and stages equal timm's and torchvision's to 1e-4 of their scale
  (tests/parity/test_timm_modern.py); parameters and multiply-adds are theirs; what `drop_path` drops
  (tests/test_convnext.py).
"""

import keras
from keras import layers

from hub.layers.layer_scale import LayerScale
from hub.layers.stochastic_depth import StochasticDepth, linear_decay
from hub.registry import register


def torch_names(_model: keras.Model, tensors: dict) -> tuple[tuple[str, str], ...]:
    """Layer -> module of timm's ConvNeXt, which counts stages from 0; its bare factors get a leaf's name."""
    for name in [name for name in tensors if name.endswith(".gamma")]:
        tensors[f"{name}.weight"] = tensors.pop(name)
    return (
        (r"stem_conv", "stem.0"),
        (r"stem_norm", "stem.1"),
        *(
            (rf"stage{stage}_{ours}", rf"stages.{stage - 1}.{theirs}")
            for stage in (1, 2, 3, 4)
            for ours, theirs in (
                (r"downsample_norm", r"downsample.0"),
                (r"downsample_conv", r"downsample.1"),
                (r"block(\d+)_depthwise", r"blocks.\1.conv_dw"),
                (r"block(\d+)_norm", r"blocks.\1.norm"),
                (r"block(\d+)_(fc\d)", r"blocks.\1.mlp.\2"),
                (r"block(\d+)_scale", r"blocks.\1.gamma"),
            )
        ),
        (r"head_norm", "head.norm"),
        (r"logits", "head.fc"),
    )


TORCH_NAMES = torch_names
TORCH_IGNORED = (r"head\.norm\..*",)  # a model without head has no use for it


def normal() -> keras.initializers.Initializer:
    return keras.initializers.TruncatedNormal(stddev=0.02)  # one each: an instance draws the same again


def norm(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
    return layers.LayerNormalization(epsilon=1e-6, name=name)(x)


def patches(x: keras.KerasTensor, filters: int, size: int, name: str) -> keras.KerasTensor:
    """Convolution of patches that do not overlap; an incomplete last row or column is left out."""
    return layers.Conv2D(filters, size, size, kernel_initializer=normal(), name=name)(x)


def block(x: keras.KerasTensor, layer_scale: float, drop_path: float, name: str) -> keras.KerasTensor:
    """The residual of figure 4: 7x7 per channel, normalise, widen by 4, GELU, narrow."""
    filters = x.shape[-1]
    x = layers.DepthwiseConv2D(7, padding="same", depthwise_initializer=normal(), name=f"{name}_depthwise")(x)
    x = norm(x, f"{name}_norm")
    x = layers.Dense(4 * filters, "gelu", kernel_initializer=normal(), name=f"{name}_fc1")(x)
    x = layers.Dense(filters, kernel_initializer=normal(), name=f"{name}_fc2")(x)
    x = LayerScale(layer_scale, name=f"{name}_scale")(x)
    return StochasticDepth(drop_path, name=f"{name}_drop")(x) if drop_path else x


@register("convnext_mini", depths=(1, 1, 2, 1), width=8, layer_scale=0.5)
@register("convnext_atto", depths=(2, 2, 6, 2), width=40, params=3_695_520, gmacs=0.5473,
    weights={"imagenet": {"repo": "timm/convnext_atto.d2_in1k", "file": "model.safetensors",
        "license": "apache-2.0"}})  # fmt: skip
@register("convnext_femto", depths=(2, 2, 6, 2), width=48, params=5_217_784, gmacs=0.7796,
    weights={"imagenet": {"repo": "timm/convnext_femto.d1_in1k", "file": "model.safetensors",
        "license": "apache-2.0"}})  # fmt: skip
@register("convnext_pico", depths=(2, 2, 6, 2), width=64, params=9_045_672, gmacs=1.367,
    weights={"imagenet": {"repo": "timm/convnext_pico.d1_in1k", "file": "model.safetensors",
        "license": "apache-2.0"}})  # fmt: skip
@register("convnext_nano", depths=(2, 2, 8, 2), width=80, params=15_593_560, gmacs=2.446,
    weights={"imagenet": {"repo": "timm/convnext_nano.d1h_in1k", "file": "model.safetensors",
        "license": "apache-2.0"}})  # fmt: skip
@register("convnext_tiny", depths=(3, 3, 9, 3), width=96, params=28_589_128, gmacs=4.456,
    weights={"imagenet": {"repo": "timm/convnext_tiny.fb_in1k", "file": "model.safetensors",
        "license": "apache-2.0"}})  # fmt: skip
@register("convnext_small", depths=(3, 3, 27, 3), width=96, params=50_223_688, gmacs=8.684,
    weights={"imagenet": {"repo": "timm/convnext_small.fb_in1k", "file": "model.safetensors",
        "license": "apache-2.0"}})  # fmt: skip
@register("convnext_base", depths=(3, 3, 27, 3), width=128, params=88_591_464, gmacs=15.355,
    weights={"imagenet": {"repo": "timm/convnext_base.fb_in1k", "file": "model.safetensors",
        "license": "apache-2.0"}})  # fmt: skip
@register("convnext_large", depths=(3, 3, 27, 3), width=192, params=197_767_336, gmacs=34.361,
    weights={"imagenet": {"repo": "timm/convnext_large.fb_in1k", "file": "model.safetensors",
        "license": "apache-2.0"}})  # fmt: skip
@register("convnext_xlarge", depths=(3, 3, 27, 3), width=256, params=350_196_968, gmacs=60.92,
    weights={"imagenet": {"repo": "timm/convnext_xlarge.fb_in22k_ft_in1k", "file": "model.safetensors",
        "license": "apache-2.0"}})  # fmt: skip
def convnext(
    depths: tuple[int, int, int, int] = (3, 3, 9, 3),
    width: int = 96,
    layer_scale: float = 1e-6,
    drop_path: float = 0.0,
    input_shape: tuple[int | None, int | None, int] = (224, 224, 3),
    num_classes: int = 1000,
    name: str = "convnext",
) -> keras.Model:
    """Build a ConvNeXt over images [N, H, W, C] of at least 32 by 32 pixels; published weights expect RGB in 0..1, less
    ImageNet's mean (0.485, 0.456, 0.406), over its deviation (0.229, 0.224, 0.225).

    Args:
        depths: blocks per stage; stage s has `width * 2**(s - 1)` channels, its output is the layer `stage{s}`.
        width: channels of the first stage.
        layer_scale: every residual's factor at first.
        drop_path: rate of the last block's stochastic depth, 0..1; it rises linearly from 0 at the first.
        num_classes: units of the float32 layer `logits`; 0 leaves out pooling and head and returns the feature map.
    """
    inputs = keras.Input(input_shape)
    x = norm(patches(inputs, width, 4, "stem_conv"), "stem_norm")
    rates = iter(linear_decay(sum(depths), drop_path, first=0))
    for stage, depth in enumerate(depths, 1):
        if stage > 1:
            x = norm(x, f"stage{stage}_downsample_norm")
            x = patches(x, 2 * x.shape[-1], 2, f"stage{stage}_downsample_conv")
        for i in range(depth):
            at = f"stage{stage}_block{i}"
            y = block(x, layer_scale, next(rates), at)
            x = layers.Add(name=f"stage{stage}" if i == depth - 1 else f"{at}_add")([x, y])
    if num_classes:
        x = norm(layers.GlobalAveragePooling2D(name="pool")(x), "head_norm")
        x = layers.Dense(num_classes, dtype="float32", kernel_initializer=normal(), name="logits")(x)
    return keras.Model(inputs, x, name=name)

"""NFNet: residual networks without any normalisation.

Paper: Brock et al., "High-Performance Large-Scale Image Recognition Without Normalization", ICML 2021,
  arXiv:2102.06171; trained at scale by Smith et al., "ConvNets Match Vision Transformers at Scale", 2023,
  arXiv:2310.16764
Slug: nfnet_scaling
Idea: what normalisation did is written down instead: standardised weights keep the variance, each block divides by
  the deviation that its place in the network implies and adds little, and gradients are clipped by the size of the
  weights (hub/training/adaptive_gradient_clipping.py).
Differs: `nfnet_f0` to `nfnet_f3` are timm's form: the activation's constant sits in the convolutions, strided ones
  are padded alike on all sides, and a last gain of zero stands in for each block's learned scalar; `dm_nfnet_*` are
  the authors'. Their GELU is exact as in timm, where the authors' code has the tanh approximation; for epsilon see
  hub/layers/scaled_ws_conv.py. F4 to F7 are calls with `depths` of 5 to 8 times (1, 2, 6, 3); the second paper's F7+
  is a call with wider `widths` that are not certain; its runs (JFT-4B, ImageNet 90.4 %) are not repeated.
Checked: on the same weights, logits and stages of both F0 equal timm's to 1e-4 of their scale, and parameters and
  multiply-adds are theirs (tests/parity/test_timm_rdnet_nfnet.py); variances at every block are those the network
  assumes, blocks start as nothing, stochastic depth (tests/test_nfnet.py).
"""

import keras
from keras import layers

from hub.layers.mobile_conv import make_divisible, squeeze_excite
from hub.layers.scaled_ws_conv import GAMMA, ScaledWSConv2D, with_channels
from hub.layers.skip_gain import SkipGain
from hub.layers.stochastic_depth import StochasticDepth, linear_decay
from hub.registry import register

ALPHA = 0.2  # what a block adds, relative to a residual of variance 1


def torch_names(model: keras.Model, tensors: dict) -> tuple[tuple[str, str], ...]:
    """Layer -> module of timm's NFNet, which counts stages from 0; gains become vectors, bare scalars get a leaf."""
    for name in list(tensors):
        if name.endswith(".gain"):
            tensors[name] = tensors[name].reshape(-1)
        elif name.endswith(".skipinit_gain"):
            tensors[f"{name}.weight"] = tensors.pop(name)
    stem = ("stem.conv1.weight", "stem.conv1.gain")
    if stem[0] in tensors:
        tensors |= zip(stem, with_channels(*(tensors[key] for key in stem), model.input_shape[-1]), strict=True)
    places = (
        ("shortcut", "downsample.conv"), ("conv1", "conv1"), ("conv2", "conv2"), ("conv2b", "conv2b"),
        ("conv3", "conv3"), ("se_(fc.)", r"attn_last.\2"), ("skip", "skipinit_gain"),
    )  # fmt: skip
    return (
        (r"stem_(conv\d)", r"stem.\1"),
        *(
            (rf"stage{s}_block(\d+)_{ours}", rf"stages.{s - 1}.\1.{theirs}")
            for s in (1, 2, 3, 4)
            for ours, theirs in places
        ),
        (r"final_conv", "final_conv"),
        (r"logits", "head.fc"),
    )


TORCH_NAMES = torch_names


@register("nfnet_tiny", depths=(1, 1, 2, 1), widths=(16, 32, 32, 32), group_width=8, features=48, skip_gain=0.5)
@register("nfnet_f0", original=False, depths=(1, 2, 6, 3),
    params=71_489_272, gmacs=12.38)  # fmt: skip
@register("nfnet_f1", original=False, depths=(2, 4, 12, 6), input_shape=(320, 320, 3),
    params=132_634_232, gmacs=35.54)  # fmt: skip
@register("nfnet_f2", original=False, depths=(3, 6, 18, 9), input_shape=(352, 352, 3),
    params=193_779_192, gmacs=62.59)  # fmt: skip
@register("nfnet_f3", original=False, depths=(4, 8, 24, 12), input_shape=(416, 416, 3),
    params=254_924_152, gmacs=114.76)  # fmt: skip
@register("dm_nfnet_f0", depths=(1, 2, 6, 3), params=71_489_284, gmacs=12.38,
    weights={"imagenet": {"repo": "timm/dm_nfnet_f0.dm_in1k", "file": "model.safetensors",
        "license": "apache-2.0"}})  # fmt: skip
@register("dm_nfnet_f1", depths=(2, 4, 12, 6), input_shape=(320, 320, 3), params=132_634_256, gmacs=35.54,
    weights={"imagenet": {"repo": "timm/dm_nfnet_f1.dm_in1k", "file": "model.safetensors",
        "license": "apache-2.0"}})  # fmt: skip
@register("dm_nfnet_f2", depths=(3, 6, 18, 9), input_shape=(352, 352, 3), params=193_779_228, gmacs=62.59,
    weights={"imagenet": {"repo": "timm/dm_nfnet_f2.dm_in1k", "file": "model.safetensors",
        "license": "apache-2.0"}})  # fmt: skip
@register("dm_nfnet_f3", depths=(4, 8, 24, 12), input_shape=(416, 416, 3), params=254_924_200, gmacs=114.76,
    weights={"imagenet": {"repo": "timm/dm_nfnet_f3.dm_in1k", "file": "model.safetensors",
        "license": "apache-2.0"}})  # fmt: skip
def nfnet(
    depths: tuple[int, int, int, int],
    widths: tuple[int, int, int, int] = (256, 512, 1536, 1536),
    group_width: int = 128,
    features: int = 3072,
    activation: str = "gelu",
    original: bool = True,
    skip_gain: float = 0.0,
    dropout: float = 0.0,
    drop_path: float = 0.0,
    input_shape: tuple[int | None, int | None, int] = (256, 256, 3),
    num_classes: int = 1000,
    name: str = "nfnet",
) -> keras.Model:
    """Build an NFNet over images [N, H, W, C]; published weights expect RGB in 0..1, less ImageNet's mean
    (0.485, 0.456, 0.406), over its deviation (0.229, 0.224, 0.225), at the sizes that the rows give.

    Args:
        depths: blocks per stage; stage s ends in the layer `stage{s}`, the last with the final convolution and
            activation behind it. F0 to F3 train at 192, 224, 256 and 320 pixels.
        widths: channels of each stage; the 3x3 convolutions see half of them.
        group_width: channels of a group of the 3x3 convolutions.
        features: channels of the last map.
        activation: "gelu", "relu" or "silu".
        original: the authors' network; False gives timm's lighter form of it (see above).
        skip_gain: what every residual is multiplied by at first.
        dropout: rate before the logits (the paper: 0.2 for F0 to 0.5 from F4 on).
        drop_path: rate of the last block's stochastic depth, 0..1, rising linearly from 0 (the paper: 0.25).
        num_classes: units of the float32 layer `logits`; 0 leaves out pooling and head and returns the feature map.

    Raises:
        ValueError: an activation whose constant is not known.
    """
    if activation not in GAMMA:
        raise ValueError(f"`activation` is one of {', '.join(GAMMA)}. Received: activation={activation!r}.")

    def act(x, at, factor=1.0):
        factor *= GAMMA[activation] if original else 1.0
        inner = at if factor == 1 else f"{at}_{activation}"
        x = layers.Activation(activation, name=inner)(x)
        return x if factor == 1 else layers.Rescaling(factor, name=at)(x)

    def conv(x, filters, size, at, strides=1, **options):
        padding = "same"
        if strides > 1 and not original:
            x = layers.ZeroPadding2D(1, name=f"{at}_pad")(x)
            padding = "valid"
        scale = 1.0 if original else GAMMA[activation]
        return ScaledWSConv2D(filters, size, strides, padding, scale=scale, name=at, **options)(x)

    def block(x, filters, strides, deviation, rate, at):
        """x + alpha * residual(x / deviation); where shapes change, the shortcut starts behind the division."""
        middle = max(filters // 2 // group_width, 1) * group_width
        groups = middle // group_width
        y = act(x, f"{at}_act1", 1 / deviation)
        if strides > 1 or x.shape[-1] != filters:
            x = layers.AveragePooling2D(2, padding="same", name=f"{at}_shortcut_pool")(y) if strides > 1 else y
            x = conv(x, filters, 1, f"{at}_shortcut")
        y = act(conv(y, middle, 1, f"{at}_conv1"), f"{at}_act2")
        y = act(conv(y, middle, 3, f"{at}_conv2", strides, groups=groups), f"{at}_act2b")
        y = act(conv(y, middle, 3, f"{at}_conv2b", groups=groups), f"{at}_act3")
        gain = keras.initializers.Constant(1.0 if original else skip_gain)
        y = conv(y, filters, 1, f"{at}_conv3", gain_initializer=gain)
        y = squeeze_excite(y, make_divisible(filters / 2), name=f"{at}_se")
        y = StochasticDepth(rate, name=f"{at}_drop")(y) if rate else y
        if original:  # alpha; 2 makes up for a gate that starts about 1/2
            return x, SkipGain(2 * ALPHA, skip_gain, name=f"{at}_skip")(y)
        return x, layers.Rescaling(2 * ALPHA, name=f"{at}_alpha")(y)

    inputs = keras.Input(input_shape)
    x = inputs
    stem = widths[0] // 2
    for i, (filters, strides) in enumerate(((stem // 8, 2), (stem // 4, 1), (stem // 2, 1), (stem, 2)), 1):
        x = conv(act(x, f"stem_act{i}") if i > 1 else x, filters, 3, f"stem_conv{i}", strides)
    rates = iter(linear_decay(sum(depths), drop_path, first=0))
    variance = 1.0
    for stage, (depth, width) in enumerate(zip(depths, widths, strict=True), 1):
        for i in range(depth):
            at = f"stage{stage}_block{i}"
            x, y = block(x, width, 2 if stage > 1 and i == 0 else 1, variance**0.5, next(rates), at)
            ends = i == depth - 1 and stage < len(depths)
            x = layers.Add(name=f"stage{stage}" if ends else f"{at}_add")([x, y])
            variance = (1.0 if i == 0 else variance) + ALPHA**2  # a stage's first shortcut starts at variance 1
    x = act(conv(x, features, 1, "final_conv"), f"stage{len(depths)}")
    if num_classes:
        x = layers.GlobalAveragePooling2D(name="pool")(x)
        x = layers.Dropout(dropout, name="dropout")(x) if dropout else x
        initializer = keras.initializers.RandomNormal(stddev=0.01)
        x = layers.Dense(num_classes, dtype="float32", kernel_initializer=initializer, name="logits")(x)
    return keras.Model(inputs, x, name=name)

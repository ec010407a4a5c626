"""RDNet: a DenseNet with the blocks and the training of its successors.

Paper: Kim, Heo and Han, "DenseNets Reloaded: Paradigm Shift Beyond ResNets and ViTs", ECCV 2024, arXiv:2403.19588
Slug: rdnet
Idea: concatenation kept, all else modernised: few but wide layers, each a 7x7 depthwise convolution, a normalisation
  and an inverted bottleneck, and a transition that halves the channels after every third of them, so that the memory of
  long concatenations stays small.
Differs: nothing from the authors' code in timm, whose epsilon is 1e-6 everywhere; the authors' own repository leaves
  that of the head's normalisation at 1e-5. The paper trains with stochastic depth of 0.15 (tiny) to 0.5 (large); here
  `drop_path` is 0 unless asked for. ImageNet's top-1 (82.8 to 84.8 %) is not measured here.
Checked: on the same weights, logits and stages of tiny equal timm's to 1e-4 of their scale, of small, base and large
  every tensor fits, and all four spend timm's multiply-adds (tests/parity/test_timm_rdnet_nfnet.py); a layer equals
  slow NumPy loops, widths and strides, layers that start as nothing, what `drop_path` drops (tests/test_rdnet.py).
"""

import keras
from keras import layers

from hub.layers.layer_scale import LayerScale
from hub.layers.stochastic_depth import StochasticDepth, linear_decay
from hub.registry import register


def torch_names(_model: keras.Model, tensors: dict) -> tuple[tuple[str, str], ...]:
    """Layer -> module of timm's RDNet; its bare factors get a leaf's name. The first mix has no transition before."""
    for name in list(tensors):
        if name.endswith(".gamma"):
            tensors[f"{name}.weight"] = tensors.pop(name)
        elif name.startswith("stem.stem."):  # the authors' own files
            tensors[name.removeprefix("stem.")] = tensors.pop(name)
    places = (("depthwise", "layers.layers.0"), ("norm", "layers.layers.1"), ("fc1", "layers.layers.2"),
              ("fc2", "layers.layers.4"), ("ese", "layers.layers.5.fc"), ("scale", "gamma"))  # fmt: skip
    return (
        (r"stem_conv", "stem.0"),
        (r"stem_norm", "stem.1"),
        (r"mix(\d+)_transition_norm", r"dense_stages.\1.0"),
        (r"mix(\d+)_transition_conv", r"dense_stages.\1.1"),
        *((rf"mix0_layer(\d+)_{ours}", rf"dense_stages.0.0.dense_block\1.{theirs}") for ours, theirs in places),
        *((rf"mix(\d+)_layer(\d+)_{ours}", rf"dense_stages.\1.2.dense_block\2.{theirs}") for ours, theirs in places),
        (r"head_norm", "head.norm"),
        (r"logits", "head.fc"),
    )


TORCH_NAMES = torch_names
TORCH_IGNORED = (r"head\.norm\..*",)  # a model without head has no use for it


def norm(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
    return layers.LayerNormalization(epsilon=1e-6, name=name)(x)


def conv(x: keras.KerasTensor, filters: int, size: int, name: str, activation: str | None = None) -> keras.KerasTensor:
    """Convolution of patches that do not overlap; an incomplete last row or column is left out."""
    return layers.Conv2D(filters, size, size, activation=activation, kernel_initializer="he_normal", name=name)(x)


def eights(channels: float) -> int:
    return int(channels / 8) * 8


def effective_se(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
    """Squeeze-and-excitation in one layer: the gate is relu6(W mean(x) + b + 3) / 6."""
    gate = layers.GlobalAveragePooling2D(keepdims=True, name=f"{name}_pool")(x)
    gate = conv(gate, x.shape[-1], 1, name, "hard_sigmoid")
    return layers.Multiply(name=f"{name}_scale")([x, gate])


def dense_layer(
    x: keras.KerasTensor, growth: int, gated: bool, layer_scale: float, drop_path: float, name: str
) -> keras.KerasTensor:
    """The `growth` new channels that one layer makes of all before it: 7x7 per channel, widen by 4, GELU, narrow."""
    filters = eights(4 * x.shape[-1])
    # Keras counts all channels into a depthwise fan; He's variance asks for the one that a filter sees.
    initializer = keras.initializers.RandomNormal(stddev=(2 / 49) ** 0.5)
    x = layers.DepthwiseConv2D(7, padding="same", depthwise_initializer=initializer, name=f"{name}_depthwise")(x)
    x = conv(norm(x, f"{name}_norm"), filters, 1, f"{name}_fc1", "gelu")
    x = conv(x, growth, 1, f"{name}_fc2")
    x = effective_se(x, f"{name}_ese") if gated else x
    x = LayerScale(layer_scale, name=f"{name}_scale")(x)
    return StochasticDepth(drop_path, name=f"{name}_drop")(x) if drop_path else x


@register("rdnet_mini", width=8, growth=(8, 8, 8, 16), halved_before=(1, 2, 3), layers_per_mix=1, layer_scale=0.5)
@register("rdnet_tiny", width=64, growth=(64, 104, 128, 128, 128, 128, 224), halved_before=(1, 2, 6),
    params=23_863_008, gmacs=5.033,
    weights={"imagenet": {"repo": "naver-ai/rdnet_tiny.nv_in1k", "file": "model.safetensors",
        "license": "apache-2.0"}})  # fmt: skip
@register("rdnet_small", width=72, growth=(64, *8 * (128,), 240, 240), halved_before=(1, 2, 9),
    params=50_436_448, gmacs=8.706,
    weights={"imagenet": {"repo": "naver-ai/rdnet_small.nv_in1k", "file": "model.safetensors",
        "license": "apache-2.0"}})  # fmt: skip
@register("rdnet_base", width=120, growth=(96, 128, *7 * (168,), 336, 336), halved_before=(1, 2, 9),
    params=87_451_096, gmacs=15.358,
    weights={"imagenet": {"repo": "naver-ai/rdnet_base.nv_in1k", "file": "model.safetensors",
        "license": "apache-2.0"}})  # fmt: skip
@register("rdnet_large", width=144, growth=(128, 192, *8 * (256,), 360, 360), halved_before=(1, 2, 10),
    params=186_269_632, gmacs=34.675,
    weights={"imagenet": {"repo": "naver-ai/rdnet_large.nv_in1k", "file": "model.safetensors",
        "license": "apache-2.0"}})  # fmt: skip
def rdnet(
    width: int,
    growth: tuple[int, ...],
    halved_before: tuple[int, ...],
    layers_per_mix: int = 3,
    layer_scale: float = 1e-6,
    drop_path: float = 0.0,
    input_shape: tuple[int | None, int | None, int] = (224, 224, 3),
    num_classes: int = 1000,
    name: str = "rdnet",
) -> keras.Model:
    """Build an RDNet over images [N, H, W, C] of at least 32 by 32 pixels; published weights expect RGB in 0..1, less
    ImageNet's mean (0.485, 0.456, 0.406), over its deviation (0.229, 0.224, 0.225).

    Args:
        width: channels of the stem, which reads patches of 4 by 4 pixels.
        growth: channels that each layer of a mix adds; one number per mix. Between two mixes half of the channels go
            on, rounded down to eights.
        halved_before: the mixes, counted from 0, before which height and width are halved; what such a mix receives is
            a layer `stage{s}`, and so is the last one's output.
        layers_per_mix: layers of a mix, which see the mix's input and each other's outputs.
        layer_scale: every layer's factor at first.
        drop_path: rate of the last layer's stochastic depth, 0..1; it rises linearly from 0 at the first.
        num_classes: units of the float32 layer `logits`; 0 leaves out pooling and head and returns the feature map.
    """
    inputs = keras.Input(input_shape)
    x = norm(conv(inputs, width, 4, "stem_conv"), "stem_norm")
    rates = iter(linear_decay(layers_per_mix * len(growth), drop_path, first=0))
    stages = iter(range(1, len(halved_before) + 2))
    gated_from = halved_before[1]  # the third stage, 1/16 of the image
    for mix, channels in enumerate(growth):
        if mix > 0:
            size = 2 if mix in halved_before else 1
            at = f"mix{mix}_transition"
            x = conv(norm(x, f"{at}_norm"), eights(0.5 * x.shape[-1]), size, f"{at}_conv")
        for i in range(layers_per_mix):
            at = f"mix{mix}_layer{i}"
            new = dense_layer(x, channels, mix >= gated_from, layer_scale, next(rates), at)
            ends = i == layers_per_mix - 1 and (mix + 1 in halved_before or mix + 1 == len(growth))
            x = layers.Concatenate(name=f"stage{next(stages)}" if ends else f"{at}_concat")([x, new])
    if num_classes:
        x = norm(layers.GlobalAveragePooling2D(name="pool")(x), "head_norm")
        x = layers.Dense(num_classes, dtype="float32", name="logits")(x)
    return keras.Model(inputs, x, name=name)

"""OSNet: a small network that sees people at all scales at once, for re-identification.

Paper: Sovrasov and Sidnev, "Building Computationally Efficient and Well-Generalizing Person Re-Identification Models
  with Metric Learning", ICPR 2020, arXiv:2003.07618; the network is Zhou et al., "Omni-Scale Feature Learning for
  Person Re-Identification", ICCV 2019, arXiv:1905.00953
Slug: metric_reid
Idea: each residual has four streams that see 3, 5, 7 and 9 pixels, and one gate, the same for all four, tells from the
  picture which channel listens to which. Trained to tell identities by angles, its features then compare people that
  were never seen.
Differs: nothing in OSNet. `head="cosine"` with its PReLU is what this paper puts on it, as far as its authors' code
  tells; their features are 256 wide there, OSNet's are 512. Instance normalisation sits where OSNet's authors have it,
  in the stem and the first stage. The application and its results across cities (MSMT17 to Market-1501) are not built.
Checked: on the same weights, logits and every stage equal a plain PyTorch network written from the paper, with the
  names of torchreid, to 1e-4 of their scale (tests/parity/test_osnet.py); multiply-adds are the published ones.
"""

import keras
from keras import layers

from hub.layers.cosine_dense import CosineDense
from hub.layers.mobile_conv import depthwise_norm
from hub.layers.symmetric_conv import symmetric_conv
from hub.registry import register

CONTRACT_SIZE = {"input_shape": (64, 32, 3), "num_classes": 10}


def torch_stage(stage: int) -> tuple[tuple[str, str], ...]:
    """Layer -> module of torchreid's OSNet in one stage, which it counts with the stem."""
    ours, theirs = rf"stage{stage}_block(\d)", rf"conv{stage + 1}.\1"
    return (
        (rf"{ours}_reduce_(\w+)", rf"{theirs}.conv1.\2"),
        (rf"{ours}_a0_point", rf"{theirs}.conv2a.conv1"),
        (rf"{ours}_a0_conv", rf"{theirs}.conv2a.conv2"),
        (rf"{ours}_a0_bn", rf"{theirs}.conv2a.bn"),
        (rf"{ours}_([b-d])(\d)_point", rf"{theirs}.conv2\2.\3.conv1"),
        (rf"{ours}_([b-d])(\d)_conv", rf"{theirs}.conv2\2.\3.conv2"),
        (rf"{ours}_([b-d])(\d)_bn", rf"{theirs}.conv2\2.\3.bn"),
        (rf"{ours}_gate_(\w+)", rf"{theirs}.gate.\2"),
        (rf"{ours}_expand_(\w+)", rf"{theirs}.conv3.\2"),
        (rf"{ours}_shortcut_(\w+)", rf"{theirs}.downsample.\2"),
        (rf"{ours}_instance", rf"{theirs}.IN"),
        (rf"stage{stage}_transition_(\w+)", rf"conv{stage + 1}.2.0.\1"),
    )


TORCH_NAMES = (
    (r"stem_(\w+)", r"conv1.\1"),
    *torch_stage(1), *torch_stage(2), *torch_stage(3),
    (r"tail_(\w+)", r"conv5.\1"),
    (r"embedding_fc", "fc.0"),
    (r"embedding_bn", "fc.1"),
    (r"logits", "classifier"),
)  # fmt: skip


def conv_bn(x: keras.KerasTensor, filters: int, name: str, relu: str | None = None) -> keras.KerasTensor:
    """1x1 convolution and batch normalisation, with a ReLU called `relu` if it has a name."""
    x = symmetric_conv(x, filters, 1, name=f"{name}_conv")
    x = layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name=f"{name}_bn")(x)
    return layers.ReLU(name=relu)(x) if relu else x


def instance_norm(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
    return layers.GroupNormalization(-1, epsilon=1e-5, name=name)(x)


def streams(x: keras.KerasTensor, scales: int, name: str) -> keras.KerasTensor:
    """Streams of 1 to `scales` light 3x3 convolutions (1x1, then depthwise), weighed by one gate and added."""
    filters = x.shape[-1]
    squeeze = layers.Conv2D(max(filters // 16, 1), 1, activation="relu", name=f"{name}_gate_fc1")
    excite = layers.Conv2D(filters, 1, activation="sigmoid", name=f"{name}_gate_fc2")
    found = []
    for depth, letter in enumerate("abcd"[:scales], 1):
        y = x
        for i in range(depth):
            y = symmetric_conv(y, filters, 1, name=f"{name}_{letter}{i}_point")
            y = depthwise_norm(y, activation="relu", name=f"{name}_{letter}{i}")
        gate = layers.GlobalAveragePooling2D(keepdims=True, name=f"{name}_{letter}_pool")(y)
        found.append(layers.Multiply(name=f"{name}_{letter}_scale")([y, excite(squeeze(gate))]))
    return layers.Add(name=f"{name}_streams")(found)


def block(
    x: keras.KerasTensor, filters: int, scales: int, dropout: float, instance: bool, name: str
) -> keras.KerasTensor:
    """Omni-scale residual: 1x1 to a quarter of `filters`, the streams, 1x1 back."""
    y = streams(conv_bn(x, filters // 4, f"{name}_reduce", f"{name}_reduce_relu"), scales, name)
    y = conv_bn(y, filters, f"{name}_expand")
    if dropout:
        y = layers.Dropout(dropout, name=f"{name}_dropout")(y)
    if x.shape[-1] != filters:
        x = conv_bn(x, filters, f"{name}_shortcut")
    y = layers.Add(name=f"{name}_add")([y, x])
    return layers.ReLU(name=f"{name}_out")(instance_norm(y, f"{name}_instance") if instance else y)


@register("osnet_tiny", depth=1, scales=2, instance=True, head="cosine")
@register("osnet_x1_0", params=2_682_508, gmacs=0.9789)
@register("osnet_x0_75", width=0.75, params=1_798_754, gmacs=0.5718)
@register("osnet_x0_5", width=0.5, params=1_143_034, gmacs=0.2729)
@register("osnet_x0_25", width=0.25, params=714_864)
@register("osnet_ibn_x1_0", instance=True, params=2_683_532, gmacs=0.9789)
def osnet(
    width: float = 1.0,
    depth: int = 2,
    scales: int = 4,
    instance: bool = False,
    head: str = "linear",
    dropout: float = 0.0,
    input_shape: tuple[int | None, int | None, int] = (256, 128, 3),
    num_classes: int = 1000,
    name: str = "osnet",
) -> keras.Model:
    """Build an OSNet over images [N, H, W, C] of any size from 16 pixels. Pictures are compared by the angle of the
    layer `embedding` [N, 512]; the paper expects RGB in 0..1, less ImageNet's mean (0.485, 0.456, 0.406), over its
    deviation (0.229, 0.224, 0.225).

    Args:
        width: share of the 64 filters of the stem and the 256, 384 and 512 of the stages.
        depth: blocks per stage; `stage1` to `stage3` are the last layers of 1/4, 1/8 and 1/16 of height and width.
        scales: T, the streams of a block, 1 to 4.
        instance: normalise the stem and the sums of the first stage per picture, against differences of cameras.
        head: "linear", or "cosine" for `num_classes` cosines in -1..1 of a PReLU's features, made for `am_softmax`.
        dropout: rate behind each residual and the embedding.
        num_classes: units of the float32 layer `logits`; 0 leaves out pooling and head and returns `stage3`.

    Raises:
        ValueError: `head` is neither of the two.
    """
    if head not in ("linear", "cosine"):
        raise ValueError(f'`head` is "linear" or "cosine". Received: head={head!r}.')
    inputs = keras.Input(input_shape)
    x = symmetric_conv(inputs, int(64 * width), 7, 2, name="stem_conv")
    if instance:
        x = instance_norm(x, "stem_bn")
    else:
        x = layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name="stem_bn")(x)
    x = layers.ZeroPadding2D(1, name="stem_pool_pad")(layers.ReLU(name="stem_relu")(x))
    x = layers.MaxPooling2D(3, 2, name="stem_pool")(x)
    for stage, filters in enumerate((256, 384, 512), 1):
        filters = int(filters * width)
        for i in range(depth):
            x = block(x, filters, scales, dropout, instance and stage == 1, f"stage{stage}_block{i}")
        if stage < 3:
            x = conv_bn(x, filters, f"stage{stage}_transition", f"stage{stage}")
            x = layers.AveragePooling2D(2, name=f"stage{stage}_pool")(x)
    x = conv_bn(x, filters, "tail", "stage3")
    if num_classes:
        x = layers.GlobalAveragePooling2D(name="pool")(x)
        x = layers.Dense(512, name="embedding_fc")(x)
        x = layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name="embedding_bn")(x)
        if head == "linear":
            x, classifier = layers.ReLU(name="embedding")(x), layers.Dense
        else:
            slope = keras.initializers.Constant(0.25)
            x, classifier = layers.PReLU(slope, shared_axes=[1], name="embedding")(x), CosineDense
        if dropout:
            x = layers.Dropout(dropout, name="embedding_dropout")(x)
        x = classifier(num_classes, dtype="float32", name="logits")(x)
    return keras.Model(inputs, x, name=name)

"""NASNet-A: a network of two kinds of cells that were searched for on small images and stacked for large ones.

Paper: Zoph et al., "Learning Transferable Architectures for Scalable Image Recognition", CVPR 2018, arXiv:1707.07012
Slug: nasnet_a
Idea: not a network is searched for but a cell, which sees the two cells before it; how many are stacked and how wide
  is chosen by hand, so that what was found on CIFAR-10 serves ImageNet.
Differs: the authors' released code decides what the paper leaves open: which maps the cell after a reduction sees, the
  1x1 convolutions where widths differ. The auxiliary classifier, which acts in training only, is left out, and moving
  averages keep 0.9 per step, not 0.9997. At the border of a map the strided poolings of keras.applications count zeros
  and timm's means do, the authors' and ours do not unless `zeros` says so.
Checked: on the same weights, logits and stages equal keras.applications' NASNetMobile and timm's nasnetalarge, both
  with their zeros, to 1e-4 of their scale (tests/parity/test_keras_nasnet.py); cells against slow loops, poolings at
  the border, the rates of the paths (tests/test_nasnet.py); parameters of both ImageNet networks are
  keras.applications', multiply-adds the paper's.
"""

import keras
from keras import layers

from hub.layers.border_pooling import border_pooling
from hub.layers.scheduled_drop_path import ScheduledDropPath
from hub.layers.stochastic_depth import linear_decay
from hub.registry import register

CONTRACT_SIZE = {"input_shape": (16, 16, 3), "num_classes": 10}
TORCH_NAMES = (  # layer -> module of timm's nasnetalarge
    (r"stem_(conv|bn)", r"conv0.\1"),
    (r"(\w+)_input_(conv|bn)", r"\1.conv_1x1.\2"),
    (r"(\w+)_previous_(conv|bn)", r"\1.conv_prev_1x1.\2"),
    (r"(\w+)_previous_path(\d)_conv", r"\1.path_\2.conv"),
    (r"(\w+)_previous_paths_bn", r"\1.final_path_bn"),
    (r"(\w+)_(\d_(?:left|right))_(\d)_(depthwise|pointwise)", r"\1.comb_iter_\2.separable_\3.\4_conv2d"),
    (r"(\w+)_(\d_(?:left|right))_(\d)_bn", r"\1.comb_iter_\2.bn_sep_\3"),
    (r"logits", "last_linear"),
)
# Figure 4: pairs of operations (kind, size, state), whose sum is the next state. State 0 is the last cell's output, 1
# that of the cell before it, 2 to 6 are the sums. Behind the pairs, the states that a cell returns.
NORMAL = (
    (("separable", 5, 0), ("separable", 3, 1)),
    (("separable", 5, 1), ("separable", 3, 1)),
    (("mean", 3, 0), ("identity", 1, 1)),
    (("mean", 3, 1), ("mean", 3, 1)),
    (("separable", 3, 0), ("identity", 1, 0)),
), (1, 2, 3, 4, 5, 6)  # fmt: skip
REDUCTION = (
    (("separable", 5, 0), ("separable", 7, 1)),
    (("max", 3, 0), ("separable", 7, 1)),
    (("mean", 3, 0), ("separable", 5, 1)),
    (("identity", 1, 3), ("mean", 3, 2)),
    (("separable", 3, 2), ("max", 3, 0)),
), (3, 4, 5, 6)  # fmt: skip


def conv(x: keras.KerasTensor, filters: int, name: str, *geometry: object) -> keras.KerasTensor:
    """Convolution without bias; `geometry` is kernel size, strides and padding, 1x1 without."""
    geometry = geometry or (1,)
    return layers.Conv2D(filters, *geometry, use_bias=False, kernel_initializer="he_normal", name=name)(x)


def norm(x: keras.KerasTensor, epsilon: float, name: str) -> keras.KerasTensor:
    return layers.BatchNormalization(momentum=0.9, epsilon=epsilon, name=f"{name}_bn")(x)


def project(x: keras.KerasTensor, filters: int, epsilon: float, name: str, *geometry: object) -> keras.KerasTensor:
    return norm(conv(x, filters, f"{name}_conv", *geometry), epsilon, name)


def separable(
    x: keras.KerasTensor, size: int, filters: int, strides: int, epsilon: float, name: str
) -> keras.KerasTensor:
    """ReLU, depthwise and 1x1 convolution, normalisation, all twice; the first time with the stride (appendix A)."""
    # Keras counts all channels into a depthwise fan; a filter sees one.
    once = keras.initializers.RandomNormal(stddev=1 / size)
    for at, step in ((f"{name}_1", strides), (f"{name}_2", 1)):
        x = layers.ReLU(name=f"{at}_relu")(x)
        options = {"use_bias": False, "depthwise_initializer": once, "name": f"{at}_depthwise"}
        x = layers.DepthwiseConv2D(size, step, "same", **options)(x)
        x = norm(conv(x, filters, f"{at}_pointwise"), epsilon, at)
    return x


def halve(x: keras.KerasTensor, filters: int, epsilon: float, name: str) -> keras.KerasTensor:
    """Every second pixel from the first on, and from the second of each axis on; a 1x1 convolution of each."""
    moved = layers.ZeroPadding2D(((0, 1), (0, 1)), name=f"{name}_pad")(x)
    moved = layers.Cropping2D(((1, 0), (1, 0)), name=f"{name}_crop")(moved)
    ends = [conv(y, filters // 2, f"{name}_path{i}_conv", 1, 2) for i, y in ((1, x), (2, moved))]
    return norm(layers.Concatenate(name=f"{name}_concat")(ends), epsilon, f"{name}_paths")


def cell(
    x: keras.KerasTensor, previous: keras.KerasTensor, plan: tuple, filters: int, drop: dict, zeros: tuple[str, ...],
    epsilon: float, name: str
) -> keras.KerasTensor:  # fmt: skip
    """A cell of `plan` over the activated `x` and over `previous`, of the same size; `drop` are the paths' options."""
    states = [project(x, filters, epsilon, f"{name}_input"), previous]
    pairs, kept = plan
    for i, pair in enumerate(pairs):
        ends = []
        for side, (kind, size, state) in zip(("left", "right"), pair, strict=True):
            at, y = f"{name}_{i}_{side}", states[state]
            strides = 2 if plan is REDUCTION and state < 2 else 1
            narrow = y.shape[-1] != filters  # only where `previous` is the stem
            if kind == "separable":
                y = separable(y, size, filters, strides, epsilon, at)
            elif kind != "identity":
                y = border_pooling(y, kind, size, strides, kind in zeros, name=at)
            elif narrow:
                y = layers.ReLU(name=f"{at}_relu")(y)
            if narrow and kind != "separable":
                y = project(y, filters, epsilon, at)
            if drop["rate"] and kind != "identity":
                y = ScheduledDropPath(**drop, name=f"{at}_drop")(y)
            ends.append(y)
        states.append(layers.Add(name=f"{name}_{i}_add")(ends))
    ends = [states[i] for i in kept]
    if ends[0].shape[-1] != filters:
        ends[0] = project(ends[0], filters, epsilon, f"{name}_kept")
    return layers.Concatenate(name=f"{name}_concat")(ends)


@register("nasnet_a_tiny", depths=(1, 1), width=4, stem=12, stem_cells=0, input_shape=(16, 16, 3), num_classes=10)
@register("nasnet_a_mobile", depths=(4, 4, 4), width=44, stem=32, params=5_289_978, gmacs=0.564)
@register("nasnet_a_large", depths=(6, 6, 6), width=168, stem=96, skip_reduction=True, input_shape=(331, 331, 3),
    params=88_753_150, gmacs=23.8,
    weights={"imagenet": {"repo": "timm/nasnetalarge.tf_in1k", "file": "model.safetensors",
        "license": "apache-2.0"}})  # fmt: skip
@register("nasnet_a_cifar", depths=(6, 6, 6), width=32, stem=96, stem_cells=0, epsilon=1e-5, dropout=0.0,
    input_shape=(32, 32, 3), num_classes=10)  # fmt: skip
def nasnet_a(
    depths: tuple[int, ...],
    width: int,
    stem: int,
    stem_cells: int = 2,
    skip_reduction: bool = False,
    zeros: tuple[str, ...] = (),
    epsilon: float = 1e-3,
    dropout: float = 0.5,
    drop_path: float = 0.0,
    drop_path_steps: int = 250_000,
    input_shape: tuple[int | None, int | None, int] = (224, 224, 3),
    num_classes: int = 1000,
    name: str = "nasnet_a",
) -> keras.Model:
    """Build a NASNet-A over images [N, H, W, C], in the paper's notation N @ P with N = `depths` and P = `24 * width`.

    Layers `stage1`, `stage2` ... are the last outputs of each size, activated. Published weights expect RGB in -1..1.

    Args:
        depths: normal cells per size, reduction cells between them.
        width: filters of an operation at the first size, doubled at each following one.
        stem: filters of the first convolution.
        stem_cells: reduction cells at the start, each half as wide as the next; without any, as for CIFAR, the first
            convolution has no stride.
        skip_reduction: the cell behind a reduction sees the reduction's previous map, not the map that was reduced.
        zeros: the strided poolings that count the zeros around the map: none by the authors, ("mean",) in timm,
            ("mean", "max") in keras.applications.
        epsilon: what the normalisation adds to the variance.
        dropout: rate before `logits`.
        drop_path: rate of the last cell's paths, the others in proportion (the authors: large 0.3, CIFAR 0.4).
        drop_path_steps: training steps over which the rates rise (the authors: 250,000; CIFAR 937,500).
        num_classes: units of the float32 layer `logits`; 0 leaves out pooling and head and returns the feature map.

    Raises:
        ValueError: with `zeros`, the images' size is not known.
    """
    if zeros and None in input_shape[:2]:
        raise ValueError(f"Strided poolings that count zeros need a fixed size. Received: input_shape={input_shape}.")
    plans = [(f"cell_stem_{i}", REDUCTION, width // 2 ** (stem_cells - i)) for i in range(stem_cells)]
    for s, depth in enumerate(depths):
        plans += [(f"reduction_cell_{s - 1}", REDUCTION, width * 2**s)] if s else []
        plans += [(f"cell_{sum(depths[:s]) + i}", NORMAL, width * 2**s) for i in range(depth)]
    inputs = keras.Input(input_shape)
    stage, *geometry = (1, 3, 2, "valid") if stem_cells else (0, 3, 1, "same")
    fitted = project(inputs, stem, epsilon, "stem", *geometry)  # the first cell's `previous` is as it is
    x = previous = layers.ReLU(name="stage1" if stage else "stem_relu")(fitted)
    for i, (rate, (place, plan, filters)) in enumerate(zip(linear_decay(len(plans), drop_path), plans, strict=True)):
        if i:  # `previous` is twice as large as x behind a reduction
            fit = halve if plans[i - 1][1] is REDUCTION else project
            fitted = fit(previous, filters, epsilon, f"{place}_previous")
        y = cell(x, fitted, plan, filters, {"rate": rate, "steps": drop_path_steps}, zeros, epsilon, place)
        last = i + 1 == len(plans) or plans[i + 1][1] is REDUCTION
        stage += last
        if not (skip_reduction and plan is REDUCTION and i >= stem_cells):
            previous = x
        x = layers.ReLU(name=f"stage{stage}" if last else f"{place}_relu")(y)
    if num_classes:
        x = layers.GlobalAveragePooling2D(name="pool")(x)
        x = layers.Dropout(dropout, name="dropout")(x)
        x = layers.Dense(num_classes, dtype="float32", name="logits")(x)
    return keras.Model(inputs, x, name=name)

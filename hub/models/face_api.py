"""face-api's networks: a face's 68 landmarks and its expression from one small densely connected extractor.

Paper: none; Muehler, face-api.js, 2018, continued as @vladmandic/face-api (MIT), whose release 1.7.15 is meant here
Slug: face_api
Idea: a block adds up what all of its separable convolutions gave, so that each sees the sum of those before it; four
  blocks of 356,840 numbers with the head place 68 points within milliseconds.
Differs: everything is averaged before the head at every size; the published code averages windows of 7 x 7 (tiny: 14 x
  14), which is the same for its 112 pixels. Expressions come in the order angry, disgust, fear, happy, sad, surprise,
  neutral: the published order, neutral, happy, sad, angry, fearful, disgusted, surprised, is turned into it when
  weights are loaded. First weights are ours, small where sums would grow. `landmark68_small` is half as wide, and
  weighs the places of its last map instead of averaging them (as MobileFaceNets do, Chen et al. 2018,
  arXiv:1804.07573), so that it learns from scratch in a fraction of the steps. What the published weights were trained
  on is not documented.
Checked: the published weights give what the structure, written down once more in plain TensorFlow, gives, to 1e-5, on
  real faces; so do random weights in quantised shards; equal places give the average (tests/test_face_nets.py).
"""

import re
from typing import Any

import keras
from keras import layers

from hub.registry import register

CONTRACT_SIZE = {"input_shape": (64, 64, 3), "num_classes": 7}
MEAN = (122.782, 117.001, 104.298)  # of red, green and blue
OURS = (3, 5, 4, 1, 2, 6, 0)  # places in the published order of angry, disgust, fear, happy, sad, surprise, neutral
LEAVES = {"filters": "kernel", "depthwise_filter": "depthwise_kernel", "pointwise_filter": "pointwise_kernel"}


def keras_tensors(tensors: dict[str, Any]) -> dict[str, Any]:
    """The tensors of a published manifest under this module's names, `layer.variable`; seven outputs are expressions,
    whose order becomes ours."""
    renamed = {}
    for name, tensor in tensors.items():
        if found := re.fullmatch(r"dense(\d)/conv(\d)/(\w+)", name):
            block, i, leaf = found.groups()
            renamed[f"stage{int(block) + 1}_conv{int(i) + 1}.{LEAVES.get(leaf, leaf)}"] = tensor
        elif found := re.fullmatch(r"fc/(weights|bias)", name):
            expression = tensor.shape[-1:] == (len(OURS),)
            leaf = "kernel" if found[1] == "weights" else "bias"
            renamed[f"{'logits' if expression else 'landmarks'}.{leaf}"] = tensor[..., OURS] if expression else tensor
        else:
            renamed[name] = tensor
    return renamed


KERAS_TENSORS = keras_tensors


def separable(x: keras.KerasTensor, filters: int, strides: int, scale: float, name: str) -> keras.KerasTensor:
    """The first weights multiply the mean square of x by `scale`; nothing is rectified between the two kernels."""
    ninth = keras.initializers.RandomNormal(stddev=1 / 3)  # a channel of the depthwise kernel sees nine numbers
    start = keras.initializers.VarianceScaling(scale)
    return layers.SeparableConv2D(
        filters, 3, strides, "same", depthwise_initializer=ninth, pointwise_initializer=start, name=name
    )(x)


def block(x: keras.KerasTensor, filters: int, depth: int, first: bool, name: str) -> keras.KerasTensor:
    """`depth` convolutions, the first by 2; what they give is added up, rectified, and goes into the next one."""
    if first:
        x = layers.Conv2D(filters, 3, 2, "same", kernel_initializer="he_normal", name=f"{name}_conv1")(x)
    else:
        x = separable(x, filters, 2, 2.0, f"{name}_conv1")
    x = layers.ReLU(name=f"{name}_relu1")(x)
    given = [x]
    for i in range(2, depth + 1):
        given.append(separable(x, filters, 1, 0.2, f"{name}_conv{i}"))
        x = layers.Add(name=f"{name}_sum{i}")(given)
        x = layers.ReLU(name=name if i == depth else f"{name}_relu{i}")(x)
    return x


points = {"head": "landmarks", "num_classes": 136}


@register("face_expression_tiny", widths=(8, 8, 16), depth=3)
@register("face_expression", params=323_687)
@register("landmark68", **points, params=356_840)
@register("landmark68_tiny", **points, widths=(32, 64, 128), depth=3, params=77_224)
@register("landmark68_small", **points, widths=(16, 32, 64, 128), weighted=True)
def face_api(
    widths: tuple[int, ...] = (32, 64, 128, 256),
    depth: int = 4,
    head: str = "logits",
    weighted: bool = False,
    input_shape: tuple[int | None, int | None, int] = (112, 112, 3),
    num_classes: int = 7,
    name: str = "face_api",
) -> keras.Model:
    """Build one of face-api's networks over faces [N, H, W, C] in 0..255, of any size; published weights expect RGB of
    112 x 112.

    Args:
        widths: filters of each block; block s halves the map and ends in the layer `stage{s}`.
        depth: convolutions per block, 3 or 4 in the published networks.
        head: "logits", of `num_classes` expressions; or "landmarks", x and y of each point in turn, where 0..1 is the
            face's picture from edge to edge. A point that lies outside it is below 0 or above 1.
        weighted: each place of the last map has its own weight in each channel's sum, which needs pictures of one size;
            otherwise all count alike.
        num_classes: numbers of the float32 layer called `head`; 0 leaves out pooling and head and returns the last map.

    Raises:
        ValueError: `head` is neither of the two; `weighted` without a size.
    """
    if head not in ("logits", "landmarks"):
        raise ValueError(f'`head` is "logits" or "landmarks". Received: head={head!r}.')
    if weighted and None in input_shape[:2]:
        raise ValueError(f"`weighted` needs a height and a width. Received: input_shape={input_shape}.")
    inputs = keras.Input(input_shape)
    mean = MEAN if input_shape[-1] == 3 else (sum(MEAN) / 3,) * input_shape[-1]
    x = layers.Rescaling(1 / 255, [-level / 255 for level in mean], name="scale")(inputs)
    for stage, filters in enumerate(widths, 1):
        x = block(x, filters, depth, stage == 1, f"stage{stage}")
    if num_classes:
        if weighted:
            size = x.shape[1:3]
            start = keras.initializers.RandomNormal(stddev=(size[0] * size[1]) ** -0.5)
            x = layers.DepthwiseConv2D(size, depthwise_initializer=start, use_bias=False, name="places")(x)
            x = layers.Flatten(name="pool")(x)
        else:
            x = layers.GlobalAveragePooling2D(name="pool")(x)
        middle = keras.initializers.Constant(0.5 if head == "landmarks" else 0.0)
        small = keras.initializers.RandomNormal(stddev=0.01)
        x = layers.Dense(num_classes, kernel_initializer=small, bias_initializer=middle, dtype="float32", name=head)(x)
    return keras.Model(inputs, x, name=name)

"""MCDNN: a committee of deep convolutional columns whose answers are averaged.

Paper: Ciresan, Meier and Schmidhuber, "Multi-column Deep Neural Networks for Image Classification", CVPR 2012,
  arXiv:1202.2745
Slug: mcdnn
Idea: columns of one architecture, trained apart on differently preprocessed images, err differently, so the plain mean
  of their outputs beats each (MNIST 0.23 %, GTSRB 0.54 %, CIFAR-10 11.21 % error).
Differs: a pool whose last window is cut short keeps it (the CIFAR-10 column needs that; the paper is silent). The
  committee returns the logarithm of the mean of the softmaxes: logits, whose softmax is the paper's mean.
Checked: side of every map, parameters by arithmetic (76,040 and 1,543,443 per column of MNIST and GTSRB), forward pass
  against NumPy loops; the mean against NumPy, at extreme logits too, whatever the order of columns
  (tests/test_mcdnn.py).
"""

import math
import re
from collections.abc import Sequence

import keras
from keras import layers, ops

from hub.layers.scaled_tanh import ScaledTanh
from hub.registry import register

CONTRACT_SIZE = {"input_shape": (13, 13, 1), "num_classes": 10}
PIECE = r"\d+C\d+|MP\d+|\d+N"  # convolution, pool, dense layer


def parse(spec: str) -> tuple[tuple[int, int, int], list[tuple[str, int, int]]]:
    """The input (H, W, C) and the layers of a column in the paper's notation, `1x29x29-20C4-MP2-40C5-MP3-150N-10N`.

    A layer is ("C", maps, kernel size), ("MP", 0, side) or ("N", units, 0); input is written channels, width, height.

    Raises:
        ValueError: a piece is none of these, or they do not end in dense layers only.
    """
    image, *pieces = spec.split("-")
    wrong = [p for p in pieces if not re.fullmatch(PIECE, p)]
    if wrong or not re.fullmatch(r"\d+x\d+x\d+", image) or not re.fullmatch(r"[^N]*(\d+N )*\d+N", " ".join(pieces)):
        raise ValueError(
            "A column reads like 1x29x29-20C4-MP2-40C5-MP3-150N-10N: convolutions and pools, then dense layers. "
            f"Received: {spec!r}."
        )
    channels, width, height = map(int, image.split("x"))
    found = [re.match(r"(\d*)([A-Z]+)(\d*)", p).groups() for p in pieces]
    return (height, width, channels), [(kind, int(count or 0), int(size or 0)) for count, kind, size in found]


@register("mcdnn_tiny", spec="1x13x13-4C4-MP2-6C3-MP2-8N-10N")
@register("mcdnn_mnist", spec="1x29x29-20C4-MP2-40C5-MP3-150N-10N", params=76_040)
@register("mcdnn_gtsrb", spec="3x48x48-100C7-MP2-150C4-MP2-250C4-MP2-300N-43N", params=1_543_443)
@register("mcdnn_cifar10", spec="3x32x32-300C3-MP2-300C2-MP2-300C3-MP2-300C2-MP2-300N-100N-10N")
def mcdnn(
    spec: str,
    input_shape: tuple[int, int, int] | None = None,
    num_classes: int | None = None,
    name: str = "mcdnn",
) -> keras.Model:
    """Build one column over images [N, H, W, C] in -1..1; `multi_column` joins trained ones.

    The paper trains a column for 800 epochs image by image, without momentum, at a rate of 1e-3 that falls by 0.993 per
    epoch to 3e-5, on images distorted anew every epoch (`hub.data.distortions`), on one of the versions that
    `hub.data.column_inputs` makes: 7 widths for MNIST, 5 contrasts for GTSRB, 5 columns each.

    Args:
        spec: the column in the paper's notation, see `parse`; convolutions are valid, pools do not overlap and keep a
            last window that is cut short, `stage{i}` is the last layer of each size.
        input_shape: in place of the notation's.
        num_classes: units of the float32 layer `logits` in place of the notation's last number; 0 leaves out the dense
            layers and returns the last maps.

    Raises:
        ValueError: `spec` is not in the notation; a kernel is larger than the map below it.
    """
    shape, pieces = parse(spec)
    *body, (_, classes, _) = pieces
    start = keras.initializers.RandomUniform(-0.05, 0.05)
    inputs = x = keras.Input(input_shape or shape)
    stage = dense = 0
    for (kind, count, size), (after, _, _) in zip(body, pieces[1:], strict=True):
        if kind == "C":
            stage += 1
            if min(x.shape[1:3]) < size:
                raise ValueError(f"A {size}x{size} kernel does not fit into convolution {stage} of {x.shape[1:3]}.")
            x = layers.Conv2D(count, size, kernel_initializer=start, name=f"stage{stage}_conv")(x)
            x = ScaledTanh(name=f"stage{stage}_tanh" if after == "MP" else f"stage{stage}")(x)
        elif kind == "MP":
            x = layers.MaxPooling2D(size, padding="same", name=f"stage{stage}")(x)
        elif num_classes != 0:
            dense += 1
            x = layers.Flatten(name="flatten")(x) if dense == 1 else x
            x = layers.Dense(count, kernel_initializer=start, name=f"fc{dense}")(x)
            x = ScaledTanh(name=f"fc{dense}_tanh")(x)
    if num_classes != 0:
        x = x if dense else layers.Flatten(name="flatten")(x)
        x = layers.Dense(num_classes or classes, kernel_initializer=start, dtype="float32", name="logits")(x)
    return keras.Model(inputs, x, name=name)


@keras.saving.register_keras_serializable("hub")
class ColumnAverage(layers.Layer):
    """log of the mean of softmax(x) over a list of logits x [N, K], which is [N, K] and never below float32's reach."""

    def call(self, columns):
        return ops.logsumexp(ops.log_softmax(ops.stack(columns), axis=-1), axis=0) - math.log(len(columns))

    def compute_output_shape(self, input_shape):
        return input_shape[0]


def multi_column(*versions: Sequence[keras.Model], name: str = "multi_column") -> keras.Model:
    """The committee of trained columns: one argument per version of the image, each a list of its columns.

    The model has one input per version (a single one is not in a list) and returns log of the mean probability [N, K].
    Columns are shared, not copied; each needs its own name, `hub.load("mcdnn_mnist", name="column7")`.

    Raises:
        ValueError: there are fewer than two columns, or they do not agree on the classes.
    """
    classes = {column.output_shape[1:] for group in versions for column in group}
    if sum(map(len, versions)) < 2 or len(classes) > 1:
        shapes = [column.output_shape for group in versions for column in group]
        raise ValueError(f"A committee needs two columns or more over the same classes. Received: outputs {shapes}.")
    inputs = [keras.Input(group[0].input_shape[1:], name=f"version{i}") for i, group in enumerate(versions, 1)]
    votes = [column(x) for x, group in zip(inputs, versions, strict=True) for column in group]
    x = ColumnAverage(dtype="float32", name="logits")(votes)
    return keras.Model(inputs if len(inputs) > 1 else inputs[0], x, name=name)

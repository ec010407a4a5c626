"""GaitBase: a plain residual network over a set of silhouettes, stronger than what came before it outdoors.

Paper: Fan et al., "OpenGait: Revisiting Gait Recognition Toward Better Practicality", CVPR 2023, arXiv:2211.06597
Slug: gaitset
Idea: a ResNet for each frame, the maximum over the set, 16 strips with a linear map each; while training, classifying
  the normalised strips helps the triplets.
Differs: nothing in the network as the authors' code, OpenGait, builds it for CASIA-B; the logits are cosines, its
  factor 16 is the loss's. Kernels start as He's normal ones and the strips' matrices with Xavier's limit of one strip
  (OpenGait: Xavier for all, the strips' as one tensor). While training, BatchNorm sees padded frames too: pad none. The
  published results (rank-1 on CASIA-B 97.6 / 94.0 / 77.4 for NM / BG / CL) are not repeated.
Checked: on the same weights, embeddings, logits and stages equal a plain PyTorch network, fed each clip without
  padding, to 1e-4 of their scale (tests/parity/test_torch_gaitset.py); order, repetition and padding of frames change
  nothing (tests/test_gaitset.py). OpenGait publishes no number of parameters.
"""

import keras
from keras import layers

from hub.layers.frames import FoldFrames, UnfoldFrames, clip_inputs, contract_inputs  # noqa: F401
from hub.layers.horizontal_pyramid import HorizontalPyramidMapping
from hub.layers.separate_cosine import SeparateCosine
from hub.layers.set_pooling import SetPooling
from hub.layers.symmetric_conv import symmetric_conv
from hub.registry import register

CONTRACT_SIZE = {"input_shape": (None, 32, 20, 1), "num_classes": 7}


def conv_bn(x: keras.KerasTensor, filters: int, kernel_size: int, strides: int, name: str) -> keras.KerasTensor:
    x = symmetric_conv(x, filters, kernel_size, strides, name=f"{name}_conv")
    return layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name=f"{name}_bn")(x)


def block(x: keras.KerasTensor, filters: int, strides: int, name: str, out: str) -> keras.KerasTensor:
    """ResNet's basic block; the layer `out` ends it."""
    y = layers.ReLU(name=f"{name}_1_relu")(conv_bn(x, filters, 3, strides, f"{name}_1"))
    y = conv_bn(y, filters, 3, 1, f"{name}_2")
    if strides > 1 or x.shape[-1] != filters:
        x = conv_bn(x, filters, 1, strides, f"{name}_shortcut")
    return layers.ReLU(name=out)(layers.Add(name=f"{name}_add")([y, x]))


@register("gaitbase_tiny", channels=(4, 6, 8, 10), units=5, strips=4, skip={
        "headless": "its features are strips of a set, not a map of an image",
        "viewed": "its stages are maps of frames, folded into the batch, not of the examples",
    })  # fmt: skip
@register("gaitbase")
def gaitbase(
    channels: tuple[int, int, int, int] = (64, 128, 256, 512),
    units: int = 256,
    strips: int = 16,
    pooling: str = "max",
    input_shape: tuple[int | None, int, int, int] = (None, 64, 44, 1),
    num_classes: int = 0,
    name: str = "gaitbase",
) -> keras.Model:
    """Build a GaitBase: {"silhouettes": [N, T, H, W, 1] in 0..1, "length": [N] from 1 up} to the float32 layer
    `embedding` [N, strips, units], whose Euclidean distances, all strips in one row, compare clips.

    N and T are free. Frames from `length` on are padding, whatever is in them.

    Args:
        channels: filters of the four residual blocks; `stage1` to `stage3` are the last layers of each size of the map,
            frames folded into the batch.
        units: numbers that describe a strip.
        strips: parts of equal height, dividing a quarter of the image's.
        pooling: how frames become a set, a `mode` of `SetPooling`.
        input_shape: frames, None for any number, height, width and channels.
        num_classes: people in training. With any, the outputs are a dict of `embedding` and the float32 `logits`
            [N, strips, num_classes], cosines in -1..1 of the normalised strips, for a cross entropy of 16 times them.

    Raises:
        ValueError: another `pooling`, strips that do not divide the height, or an `input_shape` of another kind.
    """
    inputs = clip_inputs(input_shape)
    x = conv_bn(FoldFrames(name="fold")(inputs["silhouettes"]), channels[0], 3, 1, "stem")
    x = layers.ReLU(name="stem_relu")(x)
    ends = ("stage1", "stage2", "block3_out", "stage3")
    for i, (filters, strides, end) in enumerate(zip(channels, (1, 2, 2, 1), ends, strict=True), 1):
        x = block(x, filters, strides, f"block{i}", end)
    x = UnfoldFrames(name="unfold")([x, inputs["silhouettes"]])
    x = SetPooling(pooling, name="set_pool")([x, inputs["length"]])
    x = HorizontalPyramidMapping(units, (strips,), dtype="float32", name="embedding")(x)
    if not num_classes:
        return keras.Model(inputs, x, name=name)
    y = layers.Reshape((strips * units,), name="neck_fold")(x)
    y = layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name="neck_bn")(y)
    y = layers.Reshape((strips, units), name="neck_unfold")(y)
    logits = SeparateCosine(num_classes, dtype="float32", name="logits")(y)
    return keras.Model(inputs, {"embedding": x, "logits": logits}, name=name)

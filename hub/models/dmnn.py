"""DMNN: a residual network of which every image uses its own part.

Paper: Su et al., "Dynamic Multi-Path Neural Network", ICPR 2020, arXiv:1902.10949
Slug: dmnn
Idea: each block's residual is split into narrow branches; with some off a block is thinner, with all off it is skipped.
Differs: a reconstruction; see hub/layers/dynamic_paths.py. Everything is computed and then multiplied by 0 or 1, so the
  saving is counted and no time is saved. The paper's 45.1 % fewer operations of ResNet-101 at equal accuracy are not
  repeated.
Checked: blocks equal the sum of their branches, with all on a block of grouped convolutions, with all off the shortcut;
  counted costs are the layers' multiply-adds; a trained network comes near its target (tests/test_dmnn.py).
"""

from collections.abc import Callable
from typing import Any

import keras
from keras import layers

from hub.layers.dynamic_paths import GatedSum, PathBudget, PathController
from hub.layers.symmetric_conv import symmetric_conv
from hub.registry import register

CONTRACT_SIZE = {"input_shape": (32, 32, 3), "num_classes": 10}


def conv_bn(
    x: keras.KerasTensor, filters: int, kernel_size: int, strides: int, name: str, activate: bool = False
) -> keras.KerasTensor:
    x = symmetric_conv(x, filters, kernel_size, strides, name=f"{name}_conv")
    x = layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name=f"{name}_bn")(x)
    return layers.ReLU(name=f"{name}_relu")(x) if activate else x


def basic(x: keras.KerasTensor, filters: int, paths: int, strides: int, name: str) -> keras.KerasTensor:
    y = conv_bn(x, filters // paths, 3, strides, f"{name}_1", activate=True)
    return conv_bn(y, filters, 3, 1, f"{name}_2")


def bottleneck(x: keras.KerasTensor, filters: int, paths: int, strides: int, name: str) -> keras.KerasTensor:
    y = conv_bn(x, filters // paths, 1, 1, f"{name}_1", activate=True)
    y = conv_bn(y, filters // paths, 3, strides, f"{name}_2", activate=True)
    return conv_bn(y, 4 * filters, 1, 1, f"{name}_3")


def cost(block: Callable, channels: int, filters: int, paths: int, strides: int) -> float:
    """Multiply-adds of one branch per pixel of its output (a 1x1 in front of a stride sees strides**2 as many)."""
    narrow = filters // paths
    if block is basic:
        return float(9 * channels * narrow + 9 * narrow * filters)
    return float(strides**2 * channels * narrow + 9 * narrow**2 + 4 * narrow * filters)


@register("dmnn_tiny", block=basic, depths=(1, 1, 1), width=8, bias=6.0)
@register("dmnn_resnet101", block=bottleneck, depths=(3, 4, 23, 3))
def dmnn(
    block: Callable,
    depths: tuple[int, ...],
    width: int = 64,
    paths: int = 2,
    target: float = 0.6,
    weight: float = 1.0,
    bias: float = 1.0,
    auxiliary: bool = False,
    input_shape: tuple[int | None, int | None, int] = (224, 224, 3),
    num_classes: int = 1000,
    name: str = "dmnn",
) -> keras.Model:
    """Build a DMNN over images [N, H, W, C]; layers `stage{s}_block{i}_gates` give each block's gates.

    Args:
        block: one branch, `basic` or `bottleneck`.
        depths: blocks per stage; stage s has `width * 2**(s - 1)` filters, its output is the layer `stage{s}`.
        width: filters of stem and first stage, over all branches.
        paths: branches of each block.
        target: share of the branches' multiply-adds to spend, 0..1; `sample_paths` gives each image's.
        weight: of the penalty for another share.
        bias: how much likelier, in logits, a branch is on than off at first.
        auxiliary: the outputs are [logits, auxiliary_logits], of which the second, read from the controller's last
            state, is to be trained on the labels too, at a tenth of the weight.
        num_classes: units of the float32 layer `logits`; 0 leaves out pooling and head and returns the feature map.

    Raises:
        ValueError: `paths` does not divide `width`.
    """
    if width % paths:
        raise ValueError(f"`paths` must divide `width`. Received: paths={paths}, width={width}.")
    inputs = keras.Input(input_shape)
    x = conv_bn(inputs, width, 7, 2, "stem", activate=True)
    x = layers.MaxPooling2D(3, 2, name="stem_pool")(layers.ZeroPadding2D(1, name="stem_pool_pad")(x))
    controller = PathController(paths, bias=bias, name="controller")
    state, gates, costs = None, [], []
    for stage, depth in enumerate(depths, 1):
        for i in range(depth):
            at = f"stage{stage}_block{i}"
            strides, filters = 2 if stage > 1 and i == 0 else 1, width * 2 ** (stage - 1)
            summary = layers.GlobalAveragePooling2D(name=f"{at}_pool")(x)
            summary = layers.Dense(16, activation="relu", name=f"{at}_summary")(summary)
            gate, state = controller(summary if state is None else [summary, state])
            gates.append(layers.Identity(name=f"{at}_gates")(gate))
            share = cost(block, x.shape[-1], filters, paths, strides) / 4 ** (stage - 1)  # maps shrink by 4
            costs.append([share] * paths)
            branches = [block(x, filters, paths, strides, f"{at}_path{path}") for path in range(paths)]
            if strides > 1 or x.shape[-1] != branches[0].shape[-1]:
                x = conv_bn(x, branches[0].shape[-1], 1, strides, f"{at}_shortcut")
            x = layers.Add(name=f"{at}_add")([x, GatedSum(name=f"{at}_sum")([gates[-1], *branches])])
            if len(gates) == sum(depths):
                x = PathBudget(costs, target, weight, name="budget")([x, *gates])
            x = layers.ReLU(name=f"stage{stage}" if i == depth - 1 else f"{at}_out")(x)
    if num_classes:
        x = layers.GlobalAveragePooling2D(name="pool")(x)
        x = layers.Dense(num_classes, dtype="float32", name="logits")(x)
    if auxiliary:
        x = [x, layers.Dense(num_classes, dtype="float32", name="auxiliary_logits")(state)]
    return keras.Model(inputs, x, name=name)


def sample_paths(model: keras.Model, images: Any) -> tuple[Any, Any]:
    """The gates of each block, [N, blocks, paths], and the share of the branches' cost, [N], that `images` spend."""
    gates = [layer.output for layer in model.layers if layer.name.endswith("_gates")]
    found = keras.Model(model.input, gates)(images, training=False)
    return keras.ops.stack(found, axis=1), model.get_layer("budget").share(found)

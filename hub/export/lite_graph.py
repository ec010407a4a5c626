"""A SavedModel rewritten for LiteRT: what TensorFlow must have one way and LiteRT's kernels are fast at in another.

Kernels of TensorFlow on the CPU know no groups, so that `hub.layers.grouped_conv` writes a convolution per group; those
of LiteRT do, and in int8 take a tenth of the time that slicing, convolving and joining takes. Its averages of windows
are slow in int8, where XNNPACK has none; a convolution of each channel by a constant takes a third off Inception.
"""

import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

_LAST = (-1, 3)  # the channels' axis of [N, H, W, C], the filters' of [H, W, C, filters]
_WEIGHTED = ("Conv", "MatMul")  # parts of the names of operations with weights


def rewritten(saved_model: pathlib.Path, scratch: pathlib.Path, integer: bool) -> pathlib.Path:
    """A SavedModel that computes the same, written into `scratch`, an empty folder; its weights are links.

    Where there is nothing to rewrite, `saved_model` itself.

    Args:
        integer: whether for int8; averages are rewritten for it only.
    """
    content = saved_model_pb2.SavedModel.FromString((saved_model / "saved_model.pb").read_bytes())
    steps: list[Callable[[Any], int]] = [_merge_groups, _convolve_averages] if integer else [_merge_groups]
    functions = content.meta_graphs[0].graph_def.library.function
    if not sum([step(function) for function in functions for step in steps]):
        return saved_model
    for entry in saved_model.resolve().iterdir():
        if entry.name != "saved_model.pb":
            (scratch / entry.name).symlink_to(entry)
    (scratch / "saved_model.pb").write_bytes(content.SerializeToString())
    return scratch


def _merge_groups(function: Any) -> int:
    """Turn each concatenation of one split's convolutions into one convolution; how many there were."""
    nodes = {node.name: node for node in function.node_def}
    count = 0
    for node in function.node_def:
        if node.op == "ConcatV2" and (parts := _parts(node, nodes)):
            shapes = node.attr["_output_shapes"]
            wholes = [nodes[_origin(part)].input[1] for part in parts[0].input]
            node.op = "Conv2D"
            node.input[:] = wholes
            node.attr.clear()
            for key, value in _options(parts[0]).items():
                node.attr[key].CopyFrom(value)
            node.attr["_output_shapes"].CopyFrom(shapes)
            count += 1
    return count


def _parts(concat: Any, nodes: dict[str, Any]) -> list[Any] | None:
    """The convolutions that `concat` joins, if each takes its own part of the same channels and the same kernel."""
    *joined, axis = concat.input
    parts = [nodes.get(_origin(each)) for each in joined]
    if not all(part is not None and part.op == "Conv2D" and _options(part) == _options(parts[0]) for part in parts):
        return None
    splits = [nodes.get(_origin(each)) for each in parts[0].input]
    if not all(each is not None and each.op == "Split" and each.attr["num_split"].i == len(parts) for each in splits):
        return None
    if not all(_is_last(each, nodes) for each in (axis, *(split.input[0] for split in splits))):
        return None
    in_order = [[f"{split.name}:output:{i}" for split in splits] for i in range(len(parts))]
    return parts if [list(part.input) for part in parts] == in_order else None


def _convolve_averages(function: Any) -> int:
    """Turn averages of whole windows that lead to weights into convolutions by a constant; how many there were."""
    count = 0
    leading: set[str] = set()  # operations from which one with weights is reached
    for node in reversed(list(function.node_def)):
        if node.name in leading or any(part in node.op for part in _WEIGHTED):
            leading.update(_origin(each) for each in node.input)
        channels = node.attr["_output_shapes"].list.shape[0].dim[-1].size if node.op == "AvgPool" else 0
        if channels > 0 and node.name in leading and node.attr["padding"].s == b"VALID":
            _, height, width, _ = node.attr["ksize"].list.i
            kernel = function.node_def.add(name=f"{node.name}/mean", op="Const")
            kernel.attr["dtype"].type = tf.float32.as_datatype_enum
            mean = np.full((height, width, channels, 1), 1 / (height * width), "float32")
            kernel.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(mean))
            node.op = "DepthwiseConv2dNative"
            node.input.append(f"{kernel.name}:output:0")
            del node.attr["ksize"]
            count += 1
    return count


def _origin(tensor: str) -> str:
    """The node in whose output, or whose control edge, `tensor` is."""
    return tensor.removeprefix("^").partition(":")[0]


def _options(node: Any) -> dict[str, Any]:
    return {key: value for key, value in node.attr.items() if key != "_output_shapes"}


def _is_last(axis: str, nodes: dict[str, Any]) -> bool:
    node = nodes.get(_origin(axis))
    return node is not None and node.op == "Const" and int(tf.make_ndarray(node.attr["value"].tensor)) in _LAST

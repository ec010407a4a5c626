"""TFLite files from a SavedModel: float32, float16 weights, or full-integer int8.

Always by way of a SavedModel: `TFLiteConverter.from_concrete_functions` converts Keras 3 models without complaint
into files that compute garbage.
"""

import pathlib
import tempfile
from collections.abc import Iterator

import numpy as np
import tensorflow as tf

from hub.export import flatbuffer, lite_graph
from hub.export.inputs import Arrays

FORMATS = ("float32", "float16", "int8")
_STATISTICS = {"MEAN", "SQUARED_DIFFERENCE", "RSQRT"}  # what normalisation over an input's own values is made of
# XNNPACK has these in float32 only: with LiteRT's own in int8, MobileNetV3 takes four times as long and DeiT three.
_FLOAT = {"GELU", "HARD_SWISH", "SOFTMAX"}  # and BATCH_MATMUL of two activations
_WEIGHTED = ("CONV", "FULLY_CONNECTED", "MATMUL", "LSTM")  # parts of the names of operations with trained weights


def convert(saved_model: pathlib.Path, kind: str, samples: Arrays, allow_flex: bool) -> bytes:
    """The `.tflite` file of the signature `serving_default`, its input and outputs named as there.

    Args:
        saved_model: folder of the SavedModel.
        kind: one of `FORMATS`. `int8` has int8 weights and activations up to the last layer with weights; what
            decodes its outputs stays float32, as do softmax, products of activations, GELU and hard swish. It takes
            uint8 pixels as they are and returns float32.
        samples: input name -> examples, pixels in 0..255 where they are float, on which int8 measures its ranges.
        allow_flex: whether operations may come that only TensorFlow has.
    """
    with tempfile.TemporaryDirectory() as scratch:
        graph = lite_graph.rewritten(saved_model, pathlib.Path(scratch), kind == "int8")
        return _convert(graph, kind, samples, allow_flex)


def _convert(saved_model: pathlib.Path, kind: str, samples: Arrays, allow_flex: bool) -> bytes:
    converter = tf.lite.TFLiteConverter.from_saved_model(str(saved_model), signature_keys=["serving_default"])
    if allow_flex:
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS, tf.lite.OpsSet.SELECT_TF_OPS]
        converter._experimental_lower_tensor_list_ops = False  # or loops over time fail although Flex has them
    if kind == "int8":
        return _integer(converter, samples)
    if kind == "float16":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.target_spec.supported_types = [tf.float16]
    return converter.convert()


def _integer(converter: tf.lite.TFLiteConverter, samples: Arrays) -> bytes:
    """Calibrate, then quantise all but the tail: what `tf.lite.experimental.QuantizationDebugger` does, with uint8 in.

    In int8 a log-probability moves in steps of 1/16, and a decoder's confidence takes some ten values. Variances stay
    float32 too: next to a large one, a small one would round to zero, at whose root LiteRT ends the process.
    """
    from tensorflow.lite.python.convert import mlir_quantize

    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: _calibration(samples)
    converter._experimental_calibrate_only = True
    calibrated = converter.convert()
    nodes, ops = _tail(calibrated)
    nodes |= _products(calibrated)
    ops |= _FLOAT
    if any(op.name == "RSQRT" for op in flatbuffer.operations(calibrated)):
        ops |= _STATISTICS
    return mlir_quantize(calibrated, input_data_type=tf.uint8, denylisted_nodes=nodes, denylisted_ops=ops)


def _tail(content: bytes) -> tuple[set[str], set[str]]:
    """The operations from which no operation with trained weights is reached.

    Returns:
        The outputs of those that have one; the kinds of those that have several, which the quantiser cannot find by
        name, unless the body has that kind too.
    """
    leading: set[str] = set()  # tensors from which an operation with weights is reached
    body, tail = [], []
    for op in reversed([each for each in flatbuffer.operations(content) if each.subgraph == 0]):
        leads = any(part in op.name for part in _WEIGHTED) or leading.intersection(op.outputs)
        (body if leads else tail).append(op)
        leading.update(op.inputs if leads else ())
    several = {op.name for op in tail if len(op.outputs) > 1} - {op.name for op in body}
    return {op.outputs[0] for op in tail if len(op.outputs) == 1}, several


def _products(content: bytes) -> set[str]:
    """The outputs of matrix products of which both sides are computed, as in attention."""
    operations = [op for op in flatbuffer.operations(content) if op.subgraph == 0]
    computed = {output for op in operations for output in op.outputs}
    return {op.outputs[0] for op in operations if op.name == "BATCH_MATMUL" and computed.issuperset(op.inputs)}


def _calibration(samples: Arrays) -> Iterator[Arrays]:
    """One example at a time; a black and a white value pin each range of pixels to 0..255, that is its scale to 1."""
    for i in range(len(next(iter(samples.values())))):
        example = {name: array[i : i + 1].copy() for name, array in samples.items()}
        for array in example.values():
            if array.dtype == np.float32:
                array.flat[0], array.flat[-1] = 0, 255
        yield example

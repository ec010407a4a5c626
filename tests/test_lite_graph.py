"""What is rewritten for LiteRT computes the same; what only looks alike is left alone."""

import collections
import pathlib

import keras
import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter
from keras import layers, ops

from hub.export import flatbuffer, saved_model, tflite
from hub.layers.grouped_conv import GroupedConv2D

SHAPE = (12, 10, 4)


@keras.saving.register_keras_serializable("test_lite_graph")
class Swapped(layers.Conv2D):
    """Groups joined in another order than they were split in."""

    def convolution_op(self, inputs, kernel):
        parts = zip(ops.split(inputs, 2, -1), ops.split(kernel, 2, -1), strict=True)
        return ops.concatenate([super(Swapped, self).convolution_op(*part) for part in parts][::-1], -1)


@keras.saving.register_keras_serializable("test_lite_graph")
class Stacked(layers.Conv2D):
    """Halves of the map, each convolved with its half of the filters, one above the other."""

    def convolution_op(self, inputs, kernel):
        parts = zip(ops.split(inputs, 2, 1), ops.split(kernel, 2, -1), strict=True)
        return ops.concatenate([super(Stacked, self).convolution_op(*part) for part in parts], 1)

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.filters // 2)


def converted(outputs, folder):
    """Operations and output of the TFLite files float32 and int8 of `outputs(inputs)`, and the Keras model's output."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input(SHAPE, name="image")
    model = keras.Model(inputs, {"out": outputs(layers.Rescaling(1 / 127.5, -1)(inputs))})
    saved_model.write(model, folder / "m", False)
    images = np.random.default_rng(0).integers(0, 256, (3, *SHAPE)).astype("float32")
    before = {path: path.stat().st_mtime_ns for path in pathlib.Path(folder).rglob("*")}
    found = {}
    for kind in ("float32", "int8"):
        content = tflite.convert(folder / "m", kind, {"image": images}, False)
        operations = collections.Counter(op.name for op in flatbuffer.operations(content))
        interpreter = Interpreter(model_content=content)
        (given,), (got,) = interpreter.get_input_details(), interpreter.get_output_details()
        interpreter.resize_tensor_input(given["index"], images.shape)
        interpreter.allocate_tensors()
        interpreter.set_tensor(given["index"], images.astype(given["dtype"]))
        interpreter.invoke()
        found[kind] = operations, interpreter.get_tensor(got["index"])
    assert before == {path: path.stat().st_mtime_ns for path in pathlib.Path(folder).rglob("*")}
    return found, ops.convert_to_numpy(model(images)["out"])


def check(found, want):
    scale = np.abs(want).max()
    assert np.abs(found["float32"][1] - want).max() <= 1e-5 * scale
    assert np.abs(found["int8"][1] - want).max() <= 0.05 * scale


def test_groups_become_one_convolution(tmp_path):
    def outputs(x):
        x = GroupedConv2D(8, 3, padding="same", groups=2, activation="relu")(x)
        return GroupedConv2D(6, 3, strides=2, groups=2)(x)

    found, want = converted(outputs, tmp_path)
    check(found, want)
    for operations, _ in found.values():
        assert operations["CONV_2D"] == 2 and not operations["SPLIT"] and not operations["CONCATENATION"]


@pytest.mark.parametrize("kind", [Swapped, Stacked])
def test_what_only_looks_like_groups_is_left_alone(kind, tmp_path):
    groups = 2 if kind is Swapped else 1
    found, want = converted(kind(8, 3, padding="same", groups=groups, use_bias=False), tmp_path)
    check(found, want)
    assert all(operations["CONV_2D"] == 2 and operations["CONCATENATION"] == 1 for operations, _ in found.values())


def test_averages_become_convolutions_in_int8_where_weights_follow(tmp_path):
    def outputs(x):
        x = layers.AveragePooling2D(3, 1)(x)
        x = layers.AveragePooling2D((1, 2))(x)
        x = layers.AveragePooling2D(3, 1, "same")(x)  # windows at the border have fewer pixels
        return layers.AveragePooling2D(2)(layers.Conv2D(5, 3)(x))

    found, want = converted(outputs, tmp_path)
    check(found, want)
    averages, convolutions = "AVERAGE_POOL_2D", "DEPTHWISE_CONV_2D"
    assert [(ops_[averages], ops_[convolutions]) for ops_, _ in found.values()] == [(4, 0), (2, 2)]


def test_hard_swish_stays_float_in_int8(tmp_path):
    def outputs(x):
        return layers.Conv2D(5, 3)(layers.Activation("hard_silu")(layers.Conv2D(8, 3)(x)))

    found, want = converted(outputs, tmp_path)
    check(found, want)
    operations, _ = found["int8"]
    assert operations["HARD_SWISH"] == 1 and operations["QUANTIZE"] == operations["DEQUANTIZE"] == 2

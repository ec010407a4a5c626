"""A SavedModel for TensorFlow Serving: signatures with inputs and outputs by name, any batch size."""

import pathlib
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from hub.export import inputs, lint


def write(model: keras.Model, folder: pathlib.Path, image_bytes: bool) -> None:
    """Write `model` with signatures that return named outputs.

    `serving_default` takes every input by its name, pixels as floats. A network of one image also gets
    `serving_uint8`, a byte per value, and with `image_bytes` `serving_bytes`, which takes encoded images (a string
    each), decodes them and resizes them to the model's input.

    Args:
        model: functional, one image input `[N, height, width, channels]` or inputs in a dict, outputs in a dict.
        folder: where to write; must not exist.
        image_bytes: whether to add `serving_bytes`; height, width and 1 or 3 channels must then be fixed.
    """
    archive = keras.export.ExportArchive()  # finds the variables itself; `track(model)` would store them twice
    names = inputs.names(model)
    specs = {name: tf.TensorSpec(each.shape, each.dtype, name) for name, each in zip(names, model.inputs, strict=True)}
    first = model.inputs[0]

    def predict(tensors: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        return model(inputs.feed(model, tensors), training=False)

    def predict_pixels(pixels: tf.Tensor) -> dict[str, tf.Tensor]:
        return predict({names[0]: tf.cast(pixels, first.dtype)})

    def predict_bytes(strings: tf.Tensor) -> dict[str, tf.Tensor]:
        from hub.export.image_bytes import decode_batch

        _, height, width, channels = first.shape
        pixels = decode_batch(strings, height, width)
        return predict_pixels(tf.round(tf.image.rgb_to_grayscale(pixels)) if channels == 1 else pixels)

    def endpoint(name: str, call: Callable[[Any], Any], *spec: Any) -> None:
        archive.add_endpoint(name, call, [tf.TensorSpec(*spec)])

    with lint.layer_names(model):
        if inputs.is_image(model):
            endpoint("serving_default", predict_pixels, first.shape, tf.float32, names[0])
            endpoint("serving_uint8", predict_pixels, first.shape, tf.uint8, names[0])
        else:
            archive.add_endpoint("serving_default", predict, [specs])
        if image_bytes:
            endpoint("serving_bytes", predict_bytes, (None,), tf.string, "image_bytes")
        archive.write_out(str(folder), verbose=False)

"""A SavedModel for TensorFlow Serving: three signatures, inputs and outputs by name, any batch size."""

import pathlib
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from hub.export import lint


def write(model: keras.Model, input_name: str, folder: pathlib.Path, image_bytes: bool) -> None:
    """Write `model` with signatures that take pixels 0..255 and return named outputs.

    `serving_default` takes float pixels, `serving_uint8` bytes per pixel, and with `image_bytes`
    `serving_bytes` takes encoded images (a string each), decodes them and resizes them to the model's input.

    Args:
        model: functional, one image input `[N, height, width, channels]`, outputs in a dict.
        input_name: what the pixels are called.
        folder: where to write; must not exist.
        image_bytes: whether to add `serving_bytes`; height, width and 1 or 3 channels must then be fixed.
    """
    image = model.inputs[0]

    def predict(pixels: tf.Tensor) -> dict[str, tf.Tensor]:
        return model(tf.cast(pixels, image.dtype), training=False)

    def predict_bytes(strings: tf.Tensor) -> dict[str, tf.Tensor]:
        from hub.export.image_bytes import decode_batch

        _, height, width, channels = image.shape
        pixels = decode_batch(strings, height, width)
        return predict(tf.round(tf.image.rgb_to_grayscale(pixels)) if channels == 1 else pixels)

    archive = keras.export.ExportArchive()  # finds the variables itself; `track(model)` would store them twice

    def endpoint(name: str, call: Callable[[Any], Any], *spec: Any) -> None:
        archive.add_endpoint(name, call, [tf.TensorSpec(*spec)])

    with lint.layer_names(model):
        endpoint("serving_default", predict, image.shape, tf.float32, input_name)
        endpoint("serving_uint8", predict, image.shape, tf.uint8, input_name)
        if image_bytes:
            endpoint("serving_bytes", predict_bytes, (None,), tf.string, "image_bytes")
        archive.write_out(str(folder), verbose=False)

"""What explanations share: a layer's recorded output, its gradient, scores of rows, maps the size of the image."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
from keras import ops

Score = Callable[[Any], Any]


def forward(model: keras.Model, images: Any, layer: str | None, watch: Callable = lambda _: None) -> tuple[Any, Any]:
    """The model's outputs and the output [N, h, w, K] of `layer`, in inference mode.

    Args:
        model: any Keras model.
        images: [N, H, W, C].
        layer: a layer's name, at any depth; None is the last with a feature map of more than one position.
        watch: called with the layer's output before the model goes on.

    Raises:
        ValueError: images, the layer or its output do not fit.
    """
    check_images(images)
    layer = _find(model, layer)
    with recorded(layer, watch) as seen:
        outputs = model(images, training=False)
    features = seen[-1] if seen else None
    if getattr(features, "shape", None) is None or len(features.shape) != 4:
        got = f"shape {tuple(features.shape)}" if hasattr(features, "shape") else type(features).__name__
        raise ValueError(f"Layer {layer.name!r} gives no feature map [N, h, w, K]. Received: {got}.")
    return outputs, features


def feature_gradient(model: keras.Model, images: Any, layer: str | None, score: Score | None) -> tuple[Any, Any]:
    """Features [N, h, w, K] of `layer` and the gradient of each image's score by them, as TensorFlow's float32.

    Raises:
        ValueError: images, the layer, its output or the score do not fit.
        NotImplementedError: another backend than TensorFlow is running.
    """
    tf = tensorflow()
    tape = tf.GradientTape(watch_accessed_variables=False)
    with tape:
        outputs, features = forward(model, images, layer, tape.watch)
        scores = row_scores(score, outputs)(outputs, np.arange(len(images)))
    # The sum's gradient is each image's own, because in inference no example sees its neighbour.
    gradient = tape.gradient(scores, features)
    if gradient is None:
        name = _find(model, layer).name
        raise ValueError(f"The score does not depend on layer {name!r}; name one between image and score.")
    return tf.cast(features, "float32"), tf.cast(gradient, "float32")


def tensorflow() -> Any:
    """TensorFlow, for its gradient tape.

    Raises:
        NotImplementedError: Keras runs on another backend.
    """
    if keras.backend.backend() != "tensorflow":
        raise NotImplementedError(
            "This explanation takes its gradient from TensorFlow: set KERAS_BACKEND=tensorflow. "
            f"Received: {keras.backend.backend()!r}."
        )
    import tensorflow as tf

    return tf


def check_images(images: Any) -> None:
    """Raises ValueError unless images are [N, H, W, C]."""
    if len(images.shape) != 4:
        raise ValueError(f"A map explains images [N, H, W, C]. Received: shape {tuple(images.shape)}.")


def row_scores(score: Score | None, outputs: Any) -> Callable[[Any, np.ndarray], Any]:
    """A function (outputs [M, ...], rows [M]) -> scores [M], for altered copies of the images `rows`.

    Without a `score` it is the output of the class that is largest in `outputs` [N, classes], those of whole images.
    """
    top = None
    if score is None:
        if len(getattr(outputs, "shape", ())) != 2:
            raise ValueError("The model has no single output [N, classes]: pass `score`, a function of its outputs.")
        top = ops.convert_to_numpy(ops.argmax(outputs, axis=-1))

    def scores(outputs: Any, rows: np.ndarray) -> Any:
        if top is not None:
            return ops.take_along_axis(outputs, top[rows][:, None], axis=-1)[:, 0]
        values = score(outputs)
        if tuple(values.shape) != (len(rows),):
            raise ValueError(f"`score` must give one number per image. Received: {tuple(values.shape)}.")
        return values

    return scores


def resized(maps: Any, size: tuple[int, int]) -> np.ndarray:
    """Maps [N, h, w] as [N, *size], bilinear, float32."""
    maps = ops.expand_dims(ops.cast(maps, "float32"), -1)
    return ops.convert_to_numpy(
        ops.image.resize(maps, size, interpolation="bilinear", data_format="channels_last"),
    )[..., 0]


def positive_maps(maps: Any, size: tuple[int, int]) -> np.ndarray:
    """The positive part of maps [N, h, w], as [N, *size] in 0..1: divided by its maximum, or 0 where there is none."""
    maps = resized(ops.relu(maps), size)
    return divided(maps, maps.max((1, 2), keepdims=True))


def divided(values: np.ndarray, by: np.ndarray) -> np.ndarray:
    """`values / by`, and 0 where `by` is 0."""
    return np.divide(values, by, out=np.zeros_like(values), where=by != 0)


def _find(model: keras.Model, name: str | None) -> keras.Layer:
    layers = list(walk(model))
    if name is None:
        layers = [layer for layer in layers if _is_map(layer)]
        if not layers:
            raise ValueError(f"Model {model.name!r} shows no feature map [N, h, w, K]: give `layer=` a layer's name.")
        return layers[-1]
    for layer in layers:
        if layer.name == name:
            return layer
    known = ", ".join(layer.name for layer in layers if _is_map(layer))
    raise ValueError(f"Model {model.name!r} has no layer {name!r}. Its feature maps: {known or 'none'}.")


def walk(model: keras.Model) -> Iterator[keras.Layer]:
    """Every layer in the order of the graph; a nested model is followed by its own layers."""
    for layer in model.layers:
        yield layer
        if isinstance(layer, keras.Model):
            yield from walk(layer)


def _is_map(layer: keras.Layer) -> bool:
    if isinstance(layer, keras.layers.InputLayer | keras.Model):
        return False
    try:
        shape = layer.output.shape
    except AttributeError:  # a subclassed model's layer has no symbolic output, a several-output layer no single shape
        return False
    return len(shape) == 4 and tuple(shape[1:3]) != (1, 1)


@contextlib.contextmanager
def recorded(layer: keras.Layer, watch: Callable = lambda _: None) -> Iterator[list]:
    """Collects what `layer` returns while the model runs; works at any depth of nesting, which a sub-model does not."""
    call, outputs = layer.call, []

    def noted(*args, **kwargs):
        output = call(*args, **kwargs)
        watch(output)
        outputs.append(output)
        return output

    vars(layer)["call"] = noted  # past Keras's attribute tracking: nothing of this must be saved with the layer
    try:
        yield outputs
    finally:
        del vars(layer)["call"]

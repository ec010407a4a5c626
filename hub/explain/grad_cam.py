"""Grad-CAM: where in the picture the evidence for a score lies.

Paper: Selvaraju et al., "Grad-CAM: Visual Explanations from Deep Networks via Gradient-based Localization", ICCV 2017,
  arXiv:1610.02391
Slug: grad_cam
Idea: weigh each feature map by the mean gradient of the score with respect to it, add them up, keep the positive part.
Differs: each map is divided by its own maximum after bilinear resizing; the paper leaves the scale to the figure.
Checked: equals the closed form of a pooled linear head, finds planted patches (tests/test_grad_cam.py).
"""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np

from hub.registry import register


@register("grad_cam")
class GradCAM:
    """Explains a model's score by a map over each image.

    The gradient is TensorFlow's (`tf.GradientTape`), so this needs `KERAS_BACKEND=tensorflow`; the model itself may use
    any layer. Feature maps are channels-last.

    Args:
        layer: name of the layer whose output, [N, h, w, K], is weighed; layers of nested models are found too. Default:
            the last layer with a feature map of more than one position.
    """

    def __init__(self, layer: str | None = None):
        self.layer = layer

    def __call__(self, model: keras.Model, images: Any, score: Callable[[Any], Any] | None = None) -> np.ndarray:
        """Maps [N, H, W], float32 in 0..1: the largest value of each is 1, or all are 0 where nothing speaks for it.

        Args:
            model: any Keras model; it runs in inference mode and is left as it was.
            images: [N, H, W, C] in the range that the model takes.
            score: the model's outputs -> one number per image, [N]; give logits, not probabilities, whose gradient
                fades as they saturate. Default: the largest of outputs [N, classes].

        Raises:
            ValueError: the layer, its output or the score does not fit.
            NotImplementedError: another backend than TensorFlow is running.
        """
        if keras.backend.backend() != "tensorflow":
            raise NotImplementedError(
                "Grad-CAM takes its gradient from TensorFlow: set KERAS_BACKEND=tensorflow. "
                f"Received: {keras.backend.backend()!r}."
            )
        import tensorflow as tf

        images = tf.convert_to_tensor(images)
        if images.shape.rank != 4:
            raise ValueError(f"Grad-CAM explains images [N, H, W, C]. Received: shape {tuple(images.shape)}.")
        layer = self._find(model)
        tape = tf.GradientTape(watch_accessed_variables=False)
        with tape, _recorded(layer, tape.watch) as outputs:
            scores = (score or _largest)(model(images, training=False))
        features = outputs[-1] if outputs else None
        if getattr(features, "shape", None) is None or len(features.shape) != 4:
            got = f"shape {tuple(features.shape)}" if hasattr(features, "shape") else type(features).__name__
            raise ValueError(f"Layer {layer.name!r} gives no feature map [N, h, w, K]. Received: {got}.")
        if tuple(scores.shape) != (len(images),):
            raise ValueError(f"`score` must give one number per image. Received: {tuple(scores.shape)}.")
        # The sum's gradient is each image's own, because in inference no example sees its neighbour.
        gradient = tape.gradient(scores, features)
        if gradient is None:
            raise ValueError(f"The score does not depend on layer {layer.name!r}; name one between image and score.")
        weights = tf.reduce_mean(tf.cast(gradient, "float32"), axis=(1, 2))  # eq. 1
        maps = tf.nn.relu(tf.einsum("nhwk,nk->nhw", tf.cast(features, "float32"), weights))  # eq. 2
        maps = tf.image.resize(maps[..., None], images.shape[1:3], method="bilinear")[..., 0]
        return tf.math.divide_no_nan(maps, tf.reduce_max(maps, axis=(1, 2), keepdims=True)).numpy()

    def _find(self, model: keras.Model) -> keras.Layer:
        layers = list(_walk(model))
        if self.layer is None:
            layers = [layer for layer in layers if _is_map(layer)]
            if not layers:
                raise ValueError(
                    f"Model {model.name!r} shows no feature map [N, h, w, K]: give `layer=` a layer's name."
                )
            return layers[-1]
        for layer in layers:
            if layer.name == self.layer:
                return layer
        known = ", ".join(layer.name for layer in layers if _is_map(layer))
        raise ValueError(f"Model {model.name!r} has no layer {self.layer!r}. Its feature maps: {known or 'none'}.")


def _walk(model: keras.Model) -> Iterator[keras.Layer]:
    """Every layer in the order of the graph; a nested model is followed by its own layers."""
    for layer in model.layers:
        yield layer
        if isinstance(layer, keras.Model):
            yield from _walk(layer)


def _is_map(layer: keras.Layer) -> bool:
    if isinstance(layer, keras.layers.InputLayer | keras.Model):
        return False
    try:
        shape = layer.output.shape
    except AttributeError:  # a subclassed model's layer has no symbolic output, a several-output layer no single shape
        return False
    return len(shape) == 4 and tuple(shape[1:3]) != (1, 1)


@contextlib.contextmanager
def _recorded(layer: keras.Layer, watch: Callable[[Any], None]) -> Iterator[list]:
    """Collects what `layer` returns while the model runs; works at any depth of nesting, which a sub-model does not."""
    call, outputs = layer.call, []

    def recorded(*args, **kwargs):
        output = call(*args, **kwargs)
        watch(output)
        outputs.append(output)
        return output

    vars(layer)["call"] = recorded  # past Keras's attribute tracking: nothing of this must be saved with the layer
    try:
        yield outputs
    finally:
        del vars(layer)["call"]


def _largest(outputs: Any) -> Any:
    if len(getattr(outputs, "shape", ())) != 2:
        raise ValueError("The model has no single output [N, classes]: pass `score`, a function of its outputs.")
    return keras.ops.max(outputs, axis=-1)

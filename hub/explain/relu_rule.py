"""What guided backpropagation and the deconvnet share: another way back through a model's ReLUs, down to the pixels."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np

from hub.explain.feature_maps import divided, tensorflow, walk

RULES = ("gradient", "deconvnet", "guided")


@contextlib.contextmanager
def relu_rule(model: keras.Model, rule: str) -> Iterator[None]:
    """While it is open, the ReLUs of `model` send the signal R that comes from above down by `rule`.

    "gradient" sends [f > 0] R, f being the ReLU's output; "deconvnet" [R > 0] R; "guided" [f > 0] [R > 0] R. A ReLU
    with a ceiling (ReLU6) counts as one, and f > 0 as "between its ends"; a leaky one does not. ReLUs are found as
    layers and as other layers' activations, at any depth of nested models, but not inside a custom layer.

    Raises:
        ValueError: no ReLU is found, so that all rules would be the gradient.
        NotImplementedError: another backend than TensorFlow is running.
    """
    found = [(layer, *at) for layer in walk(model) if (at := _relu(layer))]
    if rule != "gradient" and not found:
        raise ValueError(f"Model {model.name!r} has no ReLU layer or activation, so rule={rule!r} would do nothing.")
    own = [(layer, at, vars(layer).get(at)) for layer, at, _ in found]
    try:
        for layer, at, ceiling in found:
            if rule != "gradient":
                vars(layer)[at] = _ruled(getattr(layer, at), ceiling, rule)  # past Keras's attribute tracking
        yield
    finally:
        for layer, at, before in own:
            if before is None:
                vars(layer).pop(at, None)
            else:
                vars(layer)[at] = before


def magnitude_maps(signal: np.ndarray) -> np.ndarray:
    """The size of signals [N, H, W, C], summed over the channels and divided by its maximum: [N, H, W] in 0..1."""
    maps = np.abs(signal).sum(axis=-1)
    return divided(maps, maps.max((1, 2), keepdims=True))


def _relu(layer: keras.Layer) -> tuple[str, float | None] | None:
    """(the attribute that rectifies, its ceiling), or None."""
    if isinstance(layer, keras.layers.ReLU):
        return None if layer.negative_slope or layer.threshold else ("call", layer.max_value)
    activation = getattr(layer, "activation", None)
    if activation is keras.activations.relu6:
        return "activation", 6.0
    return ("activation", None) if activation is keras.activations.relu else None


def _ruled(relu: Callable, ceiling: float | None, rule: str) -> Callable:
    tf = tensorflow()

    @tf.custom_gradient
    def ruled(x: Any) -> Any:
        y = relu(x)

        def back(signal: Any) -> Any:
            signal = tf.nn.relu(signal)
            if rule == "deconvnet":
                return signal
            live = y > 0 if ceiling is None else (y > 0) & (y < ceiling)
            return tf.where(live, signal, tf.zeros_like(signal))

        return y, back

    return ruled

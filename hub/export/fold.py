"""Exact simplifications of a network for inference: BatchNormalization folded into the layer before it."""

import collections
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
from keras import layers

from hub.layers.grouped_conv import GroupedConv2D

# Layer -> the scale per output channel, shaped to multiply its last kernel.
_SCALE = {
    **dict.fromkeys(
        (
            layers.Dense,
            layers.Conv1D,
            layers.Conv2D,
            layers.Conv3D,
            layers.SeparableConv1D,
            layers.SeparableConv2D,
            GroupedConv2D,
        ),
        lambda scale, kernel: scale,
    ),
    **dict.fromkeys(
        (layers.DepthwiseConv1D, layers.DepthwiseConv2D), lambda scale, kernel: scale.reshape(kernel.shape[-2:])
    ),
    **dict.fromkeys(
        (layers.Conv1DTranspose, layers.Conv2DTranspose, layers.Conv3DTranspose),
        lambda scale, kernel: scale[:, np.newaxis],
    ),
}


def batch_norm(model: keras.Model) -> tuple[keras.Model, int]:
    """A copy of `model` for inference, and how many BatchNormalization layers went into the layer before them.

    Folded is what is exact: a linear Dense or convolution, called once, whose only consumer is a
    BatchNormalization over its channel axis. Nested functional and sequential models are folded too; subclassed
    models, and what is inside a wrapper such as TimeDistributed, are left as they are.
    """
    if isinstance(model, keras.Sequential):
        model = keras.Model(model.inputs, model.outputs[0], name=model.name)
    if not hasattr(model, "operations"):
        return model, 0
    pairs = dict(_pairs(model))  # BatchNormalization -> the layer before it
    heads = {head: norm for norm, head in pairs.items()}
    folded = len(pairs)

    def clone(layer: keras.layers.Layer) -> keras.layers.Layer:
        nonlocal folded
        if isinstance(layer, keras.Model):
            inner, count = batch_norm(layer)
            folded += count
            return inner
        config = layer.get_config() | ({"use_bias": True} if layer.name in heads else {})
        return type(layer).from_config(config)

    def call(layer: keras.layers.Layer, *args: Any, **kwargs: Any) -> Any:
        return [*args, *kwargs.values()][0] if layer.name in pairs else layer(*args, **kwargs)

    copy = keras.models.clone_model(model, clone_function=clone, call_function=call)
    for layer in model.layers:
        if layer.name in heads:
            copy.get_layer(layer.name).set_weights(_folded(layer, model.get_layer(heads[layer.name])))
        elif layer.weights and layer.name not in pairs and not isinstance(layer, keras.Model):
            copy.get_layer(layer.name).set_weights(layer.get_weights())
    return copy, folded


def _pairs(model: keras.Model) -> Iterator[tuple[str, str]]:
    """(BatchNormalization, the layer it can be folded into), by name."""
    config = model.get_config()
    sources = {each["name"]: list(_sources(each["inbound_nodes"])) for each in config["layers"]}
    uses = collections.Counter(name for names in sources.values() for name in names)
    uses.update(item for item in keras.tree.flatten(config["output_layers"]) if isinstance(item, str))
    calls = {each["name"]: len(each["inbound_nodes"]) for each in config["layers"]}
    found = {layer.name: layer for layer in model.layers}
    for norm in model.layers:
        if type(norm) is layers.BatchNormalization and calls[norm.name] == 1 and len(sources[norm.name]) == 1:
            head = found.get(sources[norm.name][0])
            if type(head) in _SCALE and uses[head.name] == 1 and calls[head.name] == 1 and _exact(head, norm):
                yield norm.name, head.name


def _sources(value: Any) -> Iterator[str]:
    """Names of the operations whose tensors a serialised call takes."""
    if isinstance(value, dict):
        if "keras_history" in value:
            yield value["keras_history"][0]
        for each in value.values():
            yield from _sources(each)
    elif isinstance(value, (list, tuple)):
        for each in value:
            yield from _sources(each)


def _exact(head: keras.layers.Layer, norm: keras.layers.Layer) -> bool:
    rank = len(head.output.shape)
    channels = 1 if getattr(head, "data_format", "") == "channels_first" else rank - 1
    linear = head.activation is keras.activations.linear and head.quantization_mode is None
    return linear and norm.axis % rank == channels


def _folded(head: keras.layers.Layer, norm: keras.layers.Layer) -> list[np.ndarray]:
    """Weights of `head` after which `norm` is the identity, computed in float64."""
    wide = {name: np.asarray(value, "float64") for name, value in _statistics(norm).items()}
    scale = wide["gamma"] / np.sqrt(wide["moving_variance"] + norm.epsilon)
    weights = [np.asarray(weight, "float64") for weight in head.get_weights()]
    bias = weights.pop() if head.use_bias else 0.0
    weights[-1] = weights[-1] * _SCALE[type(head)](scale, weights[-1])
    weights.append((bias - wide["moving_mean"]) * scale + wide["beta"])
    return [weight.astype("float32") for weight in weights]


def _statistics(norm: keras.layers.Layer) -> dict[str, np.ndarray]:
    values = {weight.name: keras.ops.convert_to_numpy(weight) for weight in norm.weights}
    zeros = np.zeros_like(values["moving_mean"])
    return {"gamma": zeros + 1, "beta": zeros} | values

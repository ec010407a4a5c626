"""Views of an image model: the pyramid of its stages, its pooled features, and the part that does not train."""

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import keras

POOLING = ("avg", "max")


def stages(model: "keras.Model") -> list[str]:
    """The names of the layers `stage1`, `stage2`, ... that end the model's resolutions, in order.

    Raises:
        ValueError: it has none.
    """
    found = [layer.name for layer in model.layers if re.fullmatch(r"stage\d+", layer.name)]
    if not found:
        raise ValueError(f"{model.name} has no layers called stage1, stage2, ... to take features from.")
    return sorted(found, key=lambda name: int(name.removeprefix("stage")))


def pyramid(model: "keras.Model") -> "keras.Model":
    """`model` up to its stages: images to a dictionary from `stage1`, `stage2`, ... to maps [N, h, w, C]."""
    import keras

    return keras.Model(model.input, {at: model.get_layer(at).output for at in stages(model)}, name=model.name)


def pooled(model: "keras.Model", pooling: str) -> "keras.Model":
    """`model`, whose output is a map [N, h, w, C], followed by its mean ("avg") or maximum ("max") [N, C]."""
    import keras

    if pooling not in POOLING:
        raise ValueError(f'`pooling` is "avg" or "max". Received: pooling={pooling!r}.')
    layer = keras.layers.GlobalAveragePooling2D if pooling == "avg" else keras.layers.GlobalMaxPooling2D
    return keras.Model(model.input, layer(name="pooled")(model.output), name=model.name)


def strides(model: "keras.Model") -> dict[str, int]:
    """Input pixels per position of each stage, `{"stage1": 4, "stage2": 8, ...}`: the layers' strides multiplied."""
    return {at: _stride(model.get_layer(at)) for at in stages(model)}


def _stride(layer: Any) -> int:
    """The strides from the input to `layer`, along the widest map at every step."""
    product = 1
    while layer._inbound_nodes[0].input_tensors:
        wide = max(layer._inbound_nodes[0].input_tensors, key=lambda t: (len(t.shape) == 4, t.shape[1] or 0))
        if hasattr(layer, "strides"):
            own = layer.strides
            product *= own if isinstance(own, int) else own[0]
        elif len(wide.shape) == len(layer.output.shape) == 4 and wide.shape[1]:
            product *= max(1, round(wide.shape[1] / layer.output.shape[1]))  # pixels folded into channels
        layer = wide._keras_history.operation
    return product


def freeze(model: "keras.Model", until: str | bool = True) -> None:
    """Stop layers from training: all but `logits`, or those that the layer called `until` depends on, itself included.

    Frozen BatchNorm layers keep their statistics too (they run in inference mode), as Keras defines it.

    Raises:
        ValueError: there is no such layer.
    """
    if until is True:
        frozen = [layer for layer in model.layers if layer.name != "logits"]
    else:
        layers = {layer.name: layer for layer in model.layers}
        if until not in layers:
            known = ", ".join(name for name in layers if re.fullmatch(r"stage\d+", name)) or "none called stage1, ..."
            raise ValueError(
                f"`freeze` is True or the name of a layer of {model.name} ({known}). Received: freeze={until!r}."
            )
        frozen = _below(layers[until])
    for layer in frozen:
        layer.trainable = False


def _below(layer: Any) -> list[Any]:
    """`layer` and every layer that its output depends on."""
    found, waiting = {}, [layer]
    while waiting:
        now = waiting.pop()
        if id(now) not in found:
            found[id(now)] = now
            waiting += [parent.operation for node in now._inbound_nodes for parent in node.parent_nodes]
    return list(found.values())

"""What goes into a network that is exported: one image, or several tensors by name."""

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import keras
    import numpy as np

Arrays = dict[str, "np.ndarray"]  # input name -> examples along the first axis


def names(model: "keras.Model") -> list[str]:
    """The inputs' names, in order; one that was given none is called `image`."""
    return [re.sub(r"^(input_layer|keras_tensor)(_\d+)?$", "image", tensor.name) for tensor in model.inputs]


def is_image(model: "keras.Model") -> bool:
    """Whether `model` takes one batch of images `[N, height, width, channels]`."""
    return len(model.inputs) == 1 and len(model.inputs[0].shape) == 4


def feed(model: "keras.Model", tensors: dict[str, Any]) -> Any:
    """`tensors` by name as `model` is called with them."""
    ordered = [tensors[name] for name in names(model)]
    return ordered[0] if len(ordered) == 1 else _like(model, ordered)


def _like(model: "keras.Model", ordered: list[Any]) -> Any:
    import keras

    return keras.tree.pack_sequence_as(model.input, ordered)


def checked(what: str, given: Any, model: "keras.Model") -> Arrays:
    """`given`, an array for one input or a dict by name, as arrays that fit `model`, pixels rounded to whole ones.

    Raises:
        ValueError: a name is missing or unknown, a shape or a kind of number does not fit, the inputs differ in
            length, or a float input holds other values than pixels in 0..255.
    """
    import numpy as np

    wanted = dict(zip(names(model), model.inputs, strict=True))
    given = given if isinstance(given, dict) else dict.fromkeys(list(wanted)[:1], given)
    if set(given) != set(wanted):
        raise ValueError(f"{what} must hold the inputs {', '.join(wanted)}. Received: {', '.join(given)}.")
    arrays = {name: _checked(what, name, np.asarray(given[name]), tensor) for name, tensor in wanted.items()}
    if len(counts := {len(array) for array in arrays.values()}) > 1:
        raise ValueError(f"{what} must hold as many examples for each input. Received: {sorted(counts)}.")
    return arrays


def _checked(what: str, name: str, array: "np.ndarray", tensor: Any) -> "np.ndarray":
    import numpy as np

    shape = tuple(tensor.shape)
    kind = "images" if name == "image" else f"{name!r}"
    fits = array.ndim == len(shape) and all(want in (None, have) for want, have in zip(shape, array.shape, strict=True))
    if not fits or not len(array) or not np.issubdtype(array.dtype, np.number):
        raise ValueError(f"{what} must be {kind} of shape {shape}. Received: {array.dtype} {array.shape}.")
    if not str(tensor.dtype).startswith("float"):
        return array.astype(str(tensor.dtype))
    low, high = float(array.min()), float(array.max())
    if not (low >= 0 and 1 < high <= 255):
        raise ValueError(f"{what} must hold pixels in 0..255, unscaled. Received: values from {low:g} to {high:g}.")
    return np.rint(array).astype("float32")

"""Why a JSON value is no tensor: TensorFlow Serving's error for the first place, in reading order, that is at fault.

Only input that the fast way of `hub.serving.tensors` has refused is walked here value by value.
Source of order and messages: tensorflow_serving/util/json_tensor.cc.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from hub.serving.errors import ServingError, invalid
from hub.serving.values import (
    JSON_TYPES,
    MAX_RANK,
    is_named,
    shape_of,
    show,
    to_bytes,
    to_vector,
    type_error,
    type_name,
)


def walk_rows(instances: list, dtypes: Mapping[str, Any]) -> None:
    """Raise the error of the first instance at fault."""
    named, shapes = is_named(instances[0]), {}
    for number, item in enumerate(instances):
        if is_named(item) != named:
            kinds = ("object", "list") if named else ("value/list", "object")
            raise invalid(f"Expecting {kinds[0]} but got {kinds[1]} at item {number} of input list")
        for name, value in item.items() if named else [(next(iter(dtypes)), item)]:
            try:
                _walk_instance(name, value, dtypes, shapes)
            except ServingError as error:
                key = f" key: {name}" if named else ""
                raise invalid(
                    f"Failed to process element: {number}{key} of 'instances' list. "
                    f"Error: {error.code}: {error.message}"
                ) from error
        if named and item.keys() != dtypes.keys():
            raise invalid(
                f"Failed to process element: {number} of 'instances' list. JSON object: {show(item)} "
                f"keys must be equal to: {','.join(sorted(dtypes))}"
            )


def _walk_instance(name: str, value: Any, dtypes: Mapping[str, Any], shapes: dict[str, list[int]]) -> None:
    if name not in dtypes:
        raise invalid(f"JSON object: does not have named input: {name}")
    shape = shape_of(value)
    walk(value, dtypes[name], shape)
    first = shapes.setdefault(name, shape)
    if np.prod(first) != np.prod(shape):
        raise invalid(f"Expecting tensor size: {int(np.prod(first))} but got: {int(np.prod(shape))}")
    if first != shape:
        raise invalid(f"Expecting shape {_brackets(first)} but got: {_brackets(shape)}")


def walk(value: Any, dtype: Any, shape: list[int], level: int = 0) -> None:
    """Raise the error of the first place, in reading order, where `value` is no tensor of `dtype` and `shape`."""
    if len(shape) > MAX_RANK:
        raise too_deep(value)
    if isinstance(value, list):
        if level >= len(shape):
            raise invalid(f"Encountered list at unexpected level: {level} expected < {len(shape)}")
        if len(value) != shape[level]:
            raise invalid(
                f"Encountered list at unexpected size: {len(value)} at level: {level} expected size: {shape[level]}"
            )
        for item in value:
            walk(item, dtype, shape, level + 1)
    elif level != len(shape):
        raise invalid(
            f"JSON Value: {show(value)} found at incorrect level: {level + 1} in the JSON DOM. "
            f"Expected at level: {len(shape)}"
        )
    elif dtype.name not in JSON_TYPES:
        raise ServingError("UNIMPLEMENTED", f"Conversion of JSON Value: {show(value)} to type: {type_name(dtype)}")
    elif dtype.name == "string":
        to_bytes(value)
    elif to_vector([value], dtype) is None:
        raise type_error(value, dtype)


def too_deep(value: Any) -> ServingError:
    """The error of a value of more dimensions than an array may have."""
    return invalid(f"JSON Value: {show(value)} is nested deeper than {MAX_RANK} levels")


def _brackets(shape: Iterable[int]) -> str:
    return f"[{','.join(map(str, shape))}]"

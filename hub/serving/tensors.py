"""Arrays of a predict request and its JSON response, by TensorFlow Serving's rules. Whole lists at a time.

Source of rules and messages: tensorflow_serving/util/json_tensor.cc.
"""

import base64
import itertools
import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from hub.serving.complaints import too_deep, walk, walk_rows
from hub.serving.errors import invalid
from hub.serving.values import JSON_TYPES, MAX_RANK, is_named, shape_of, shortest, show, to_vector, type_name


def inputs(document: Mapping[str, Any], dtypes: Mapping[str, Any]) -> tuple[dict[str, np.ndarray], bool]:
    """Arrays of a predict request by input name, and whether it is in row format (`instances`).

    Args:
        document: the request, with `instances` or `inputs`.
        dtypes: input name -> `tf.DType` of the signature; not empty.

    Raises:
        ServingError: the values do not make dense tensors of these types.
    """
    rows, columns = "instances" in document, "inputs" in document
    if rows and columns:
        raise invalid(
            f"JSON Value: {show(document)} Not formatted correctly expecting only one of 'inputs' or 'instances' "
            "keys to exist "
        )
    if columns:
        return _from_columns(document["inputs"], dtypes), False
    if not rows:
        raise invalid("Missing 'inputs' or 'instances' key")
    instances = document["instances"]
    if not isinstance(instances, list):
        raise invalid(f"JSON Value: {show(document)} Expecting 'instances' to be an list/array")
    if not instances:
        raise invalid(f"JSON Value: {show(document)} No values in 'instances' array")
    return _from_rows(instances, dtypes), True


def _from_columns(value: Any, dtypes: Mapping[str, Any]) -> dict[str, np.ndarray]:
    if not is_named(value):
        if len(dtypes) > 1:
            raise invalid(
                "inputs is a plain value/list, but expecting an object as multiple input tensors required as per "
                "tensorinfo_map"
            )
        value = {next(iter(dtypes)): value}
    for name in dtypes:
        if name not in value:
            raise invalid(f"Missing named input: {name} in 'inputs' object.")
    arrays = {}
    for name, dtype in dtypes.items():
        arrays[name] = _dense(value[name], dtype)
        if arrays[name] is None:
            walk(value[name], dtype, shape_of(value[name]))
            raise too_deep(value[name])
    return arrays


def _from_rows(instances: list, dtypes: Mapping[str, Any]) -> dict[str, np.ndarray]:
    if len(dtypes) > 1 and not isinstance(instances[0], dict):
        raise invalid(
            "instances is a plain list, but expecting list of objects as multiple input tensors required as per "
            "tensorinfo_map"
        )
    named = list(map(is_named, instances))
    if not any(named):
        columns = {next(iter(dtypes)): instances}
    elif all(named) and all(item.keys() == dtypes.keys() for item in instances):
        columns = {name: [item[name] for item in instances] for name in dtypes}
    else:
        columns = {}
    arrays = {name: _dense(column, dtypes[name]) for name, column in columns.items()}
    if not arrays or any(array is None for array in arrays.values()):
        walk_rows(instances, dtypes)
        raise too_deep(instances)
    return arrays


def _dense(value: Any, dtype: Any) -> np.ndarray | None:
    """`value` as an array, or None where it is not a regular nest of values that `dtype` takes."""
    shape = shape_of(value)
    leaves = [value]
    if len(shape) > MAX_RANK:
        return None
    for size in shape:
        if set(map(type, leaves)) != {list} or set(map(len, leaves)) != {size}:
            return None
        leaves = list(itertools.chain.from_iterable(leaves))
    vector = to_vector(leaves, dtype)
    return None if vector is None else vector.reshape(shape)


def dump(outputs: Mapping[str, np.ndarray], rows: bool) -> bytes:
    """The response to a predict request in row format (`predictions`) or column format (`outputs`).

    Args:
        outputs: output name -> array; strings as objects. A name that ends in `_bytes` is written in base64.
        rows: one element per instance; every output then has the same first dimension.
    """
    lists = {}
    for name, array in sorted(outputs.items()):
        if rows and not array.ndim:
            raise invalid(f"Tensor name: {name} has no shape information ")
        sizes = {len(outputs[other]) for other in lists} if rows else set()
        if sizes and sizes != {len(array)}:
            raise invalid(f"Tensor name: {name} has inconsistent batch size: {len(array)} expecting: {min(sizes)}")
        lists[name] = _nested(name, array)
    if len(lists) == 1:
        (values,) = lists.values()
    else:
        values = [dict(zip(lists, row, strict=True)) for row in zip(*lists.values(), strict=True)] if rows else lists
    text = json.dumps({"predictions" if rows else "outputs": values}, ensure_ascii=False)
    return text.encode("utf-8", "surrogateescape")


def _nested(name: str, array: np.ndarray) -> Any:
    if array.dtype.kind == "O":
        texts = np.empty(array.size, object)
        if name.endswith("_bytes"):
            texts[:] = [{"b64": base64.b64encode(text).decode()} for text in array.flat]
        else:
            texts[:] = [text.decode("utf-8", "surrogateescape") for text in array.flat]
        return texts.reshape(array.shape).tolist()
    if array.dtype.name not in JSON_TYPES:
        raise invalid(f"Failed to write JSON value for tensor type: {type_name(array.dtype)}")
    return shortest(array)

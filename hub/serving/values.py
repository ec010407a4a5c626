"""JSON values of the REST API as Python holds them: parsing, shapes, leaves to arrays, their text in error messages.

Source of rules and messages: tensorflow_serving/util/json_tensor.cc. Two differences, both refusals: an integer outside
the range of an 8- or 16-bit input (TensorFlow Serving wraps it) and nesting deeper than Python's parser or NumPy allow.
A third is in `hub.serving.servable`: a shape that the signature does not declare (there the graph runs on it).
"""

import base64
import binascii
import json
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from hub.serving.errors import ServingError, invalid

JSON_TYPES = ("float32", "float64", "int8", "int16", "int32", "int64", "uint8", "uint32", "uint64", "bool", "string")
MAX_RANK = 32  # NumPy 1; NumPy 2 has 64, TensorFlow 254
_SHOWN = 256  # characters of a value that an error message repeats
_REASONS = {  # what Python's parser says -> what TensorFlow Serving's says
    "Expecting value": "Invalid value.",
    "Expecting property name enclosed in double quotes": "Missing a name for object member.",
    "Expecting ':' delimiter": "Missing a colon after a name of object member.",
    "Expecting ',' delimiter": "Missing a comma or closing bracket after a member or element.",
    "Unterminated string starting at": "Missing a closing quotation mark in string.",
    "Invalid \\escape": "Invalid escape character in string.",
}


def type_name(dtype: Any) -> str:
    """TensorFlow's name of a `tf.DType` or NumPy type in messages: float, double, half, int32, string ..."""
    name = "string" if dtype.name == "object" else dtype.name
    return {"float16": "half", "float32": "float", "float64": "double"}.get(name, name)


def parse(body: bytes) -> dict[str, Any]:
    """The JSON object at the start of `body`; what follows it is not read, as TensorFlow Serving does not either."""
    if not body.strip():
        raise invalid("JSON Parse error: The document is empty")
    try:
        text = body.decode("utf-8-sig")
        document, _ = json.JSONDecoder().raw_decode(text, len(text) - len(text.lstrip(" \t\r\n")))
    except json.JSONDecodeError as error:
        raise invalid(f"JSON Parse error: {_REASONS.get(error.msg, error.msg)} at offset: {error.pos}") from error
    except UnicodeDecodeError as error:
        raise invalid(f"JSON Parse error: Invalid encoding in string. at offset: {error.start}") from error
    except RecursionError as error:
        raise invalid("JSON Parse error: The document is nested too deeply.") from error
    except ValueError as error:  # an integer of thousands of digits
        raise invalid("JSON Parse error: Number too big to be stored in double.") from error
    if not isinstance(document, dict):
        raise invalid(f"JSON Value: {show(document)} Is not object")
    return document


def signature_name(document: Mapping[str, Any]) -> str:
    """The signature that a request names, "" where it names none."""
    name = document.get("signature_name", "")
    if not isinstance(name, str):
        raise invalid(
            f"JSON Value: {show(document)} not formatted correctly. 'signature_name' key must be a string value."
        )
    return name


def shape_of(value: Any) -> list[int]:
    """Lengths of `value` and of its first items inward."""
    shape = []
    while isinstance(value, list):
        shape.append(len(value))
        value = value[0] if value else None
    return shape


def is_base64(value: Any) -> bool:
    """Whether `value` is `{"b64": TEXT}`."""
    return isinstance(value, dict) and len(value) == 1 and isinstance(value.get("b64"), str)


def is_named(value: Any) -> bool:
    """Whether `value` maps input names to values."""
    return isinstance(value, dict) and not is_base64(value)


def to_vector(leaves: list, dtype: Any) -> np.ndarray | None:
    """`leaves` as an array of rank 1, or None where `dtype` does not take one of them."""
    if dtype.name not in JSON_TYPES:
        return None
    if dtype.name == "string":
        try:
            texts = np.empty(len(leaves), object)
            texts[:] = [to_bytes(leaf) for leaf in leaves]
            return texts
        except ServingError:
            return None
    target, kinds = np.dtype(dtype.name), set(map(type, leaves))
    if target.kind == "b":
        return np.array(leaves, target) if kinds <= {bool} else None
    if target.kind == "f":
        try:
            with np.errstate(over="ignore"):  # beyond float32 is infinity, as there
                return np.array(leaves, np.float64).astype(target) if kinds <= {int, float} else None
        except OverflowError:
            return None
    limits = np.iinfo(target)
    if not kinds <= {int} or (leaves and not limits.min <= min(leaves) <= max(leaves) <= limits.max):
        return None
    return np.array(leaves, target)


def to_bytes(leaf: Any) -> bytes:
    """A string's UTF-8, or what a `{"b64": ...}` object encodes (padding may be missing, as there)."""
    if isinstance(leaf, str):
        try:
            return leaf.encode()
        except UnicodeEncodeError as error:
            raise invalid("JSON Parse error: The surrogate pair in string is invalid.") from error
    if not isinstance(leaf, dict):
        raise type_error(leaf, np.dtype(object))
    if not is_base64(leaf):
        raise invalid(f"JSON Value: {show(leaf)} not formatted correctly for base64 data")
    text = "".join(leaf["b64"].split())
    try:
        return base64.b64decode(text.rstrip("=") + "=" * (-len(text.rstrip("=")) % 4), validate=True)
    except (binascii.Error, ValueError) as error:
        raise invalid("Unable to base64 decode") from error


def type_error(value: Any, dtype: Any) -> ServingError:
    """The error of a leaf that `dtype` does not take."""
    message = f"JSON Value: {show(value)} Type: {json_type(value)} is not of expected type: {type_name(dtype)}"
    return invalid(message)


def json_type(value: Any) -> str:
    """The name of a JSON value's type in messages."""
    if isinstance(value, bool):
        return str(value)
    return {str: "String", dict: "Object", list: "Array", type(None): "Null"}.get(type(value), "Number")


def shortest(array: np.ndarray) -> Any:
    """`array` as nested lists; float32 by its own shortest digits (0.2, not 0.20000000298023224)."""
    return (array.astype("U").astype(np.float64) if array.dtype == np.float32 else array).tolist()


def show(value: Any) -> str:
    """The start of `value` as indented JSON with lists on one line."""
    text = ""
    for token in _tokens(value, "\n"):
        text += token
        if len(text) >= _SHOWN:
            break
    return text[:_SHOWN]


def _tokens(value: Any, newline: str) -> Iterator[str]:
    if isinstance(value, dict) and value:
        inner = newline + "    "
        for number, (key, item) in enumerate(value.items()):
            yield f"{',' if number else '{'}{inner}{json.dumps(key, ensure_ascii=False)}: "
            yield from _tokens(item, inner)
        yield newline + "}"
    elif isinstance(value, list) and value:
        for number, item in enumerate(value):
            yield ", " if number else "["
            yield from _tokens(item, newline)
        yield "]"
    else:
        yield json.dumps(value, ensure_ascii=False)

"""Weights of TensorFlow.js: a manifest in JSON that describes tensors, and shards of their bytes beside it."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np

PLAIN = {"float32": "<f4", "float16": "<f2", "int32": "<i4", "bool": "?"}
QUANTISED = {"uint8": "u1", "uint16": "<u2", "float16": "<f2"}  # the integers mean `stored * scale + min`


def read(path: str | Path) -> dict[str, np.ndarray]:
    """Every tensor that the manifest at `path` describes, by name; what is stored as float16 or quantised is float32.

    The bytes of a group are its shards' in the order of `paths`; its tensors follow one another without gaps.

    Raises:
        ValueError: one sentence: no manifest, a shard that is missing or lies elsewhere, a type that is not known,
            too few bytes or bytes left over.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"There is no weight manifest {path}.")
    try:
        groups = [(list(group["paths"]), list(group["weights"])) for group in json.loads(path.read_bytes())]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise ValueError(
            f"{path} is no weight manifest, which is a JSON list of groups with `paths` and `weights`."
        ) from error
    try:
        return _tensors(path.parent, groups)
    except (_RefusedError, OSError) as error:
        raise ValueError(f"{path} was not read: {error}.") from error


class _RefusedError(Exception):
    """What is wrong, without the file's name."""


def _tensors(folder: Path, groups: list[tuple[list, list]]) -> dict[str, np.ndarray]:
    tensors: dict[str, np.ndarray] = {}
    seen: set[Path] = set()
    for names, weights in groups:
        shards = [_shard(folder, name) for name in names]
        if len({*shards, *seen}) < len(shards) + len(seen):
            raise _RefusedError("it names a shard twice")
        seen |= set(shards)
        layout = [_described(weight) for weight in weights]
        needed = sum(math.prod(shape) * stored.itemsize for _, shape, stored, *_ in layout)
        there = sum(shard.stat().st_size for shard in shards)
        if there != needed:
            fault = "too short" if there < needed else "too long"
            raise _RefusedError(f"{', '.join(map(str, names))} is {fault}: {there:,} bytes for {needed:,}")
        data, at = b"".join(shard.read_bytes() for shard in shards), 0
        for name, shape, stored, scale, least in layout:
            if name in tensors:
                raise _RefusedError(f"it describes {name} twice")
            count = math.prod(shape)
            values = np.frombuffer(data, stored, count, at).reshape(shape)
            at += count * stored.itemsize
            if scale is not None:
                values = values * np.float64(scale) + least
            kept = values.dtype if stored.kind in "ib" else np.dtype("float32")
            tensors[name] = values.astype(kept)
    if not tensors:
        raise _RefusedError("it describes no tensors")
    return tensors


def _shard(folder: Path, name: Any) -> Path:
    if not isinstance(name, str) or not name or "\0" in name:
        raise _RefusedError(f"{name!r} is no name of a shard")
    path = (folder / name).resolve()
    if not path.is_relative_to(folder.resolve()):
        raise _RefusedError(f"its shard {name!r} lies outside the folder")
    if not path.is_file():
        raise _RefusedError(f"its shard {name!r} is missing beside it")
    return path


def _described(weight: Any) -> tuple[str, list[int], np.dtype, float | None, float]:
    """Name, shape, type of the stored numbers, and for quantised ones scale and least value."""
    match weight:
        case {"name": str(name), "shape": list(shape), "dtype": str(dtype)}:
            quantised = weight.get("quantization")
        case _:
            raise _RefusedError(f"a tensor needs `name`, `shape` and `dtype`, and one is {str(weight)[:80]!r}")
    if not all(type(size) is int and size >= 0 for size in shape):
        raise _RefusedError(f"{name} has the shape {str(shape)[:80]}")
    if quantised is None:
        if dtype not in PLAIN:
            raise _RefusedError(f"{name} has type {dtype!r}, which is not among {', '.join(PLAIN)}")
        return name, shape, np.dtype(PLAIN[dtype]), None, 0.0
    kind = quantised.get("dtype") if isinstance(quantised, dict) else None
    if dtype != "float32" or kind not in QUANTISED:
        raise _RefusedError(
            f"{name} is {dtype!r} quantised to {kind!r}; float32 quantised to {', '.join(QUANTISED)} is known"
        )
    if kind == "float16":
        return name, shape, np.dtype(QUANTISED[kind]), None, 0.0
    scale, least = quantised.get("scale"), quantised.get("min")
    if not all(isinstance(number, int | float) and math.isfinite(number) for number in (scale, least)):
        raise _RefusedError(f"{name} has the scale {scale!r} and the least value {least!r}, which are no numbers")
    return name, shape, np.dtype(QUANTISED[kind]), scale, least

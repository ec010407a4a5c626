"""Tensors out of published checkpoint files, by reading alone: nothing that a file holds is ever executed."""

import collections
import io
import math
import pickle
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

BFLOAT16 = np.dtype([("bfloat16", "<u2")])  # NumPy has none: carried as its bits, handed out as float32
TORCH_DTYPES = {
    "DoubleStorage": "<f8", "FloatStorage": "<f4", "HalfStorage": "<f2", "BFloat16Storage": BFLOAT16,
    "LongStorage": "<i8", "IntStorage": "<i4", "ShortStorage": "<i2", "CharStorage": "i1", "ByteStorage": "u1",
    "BoolStorage": "?",
}  # fmt: skip
SAFETENSORS_DTYPES = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": BFLOAT16,
    "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "i1", "U8": "u1", "BOOL": "?",
}  # fmt: skip


def read(path: str | Path) -> dict[str, np.ndarray]:
    """Every tensor in `path` by name, as the file lays it out; bfloat16 becomes float32, without loss.

    Reads .safetensors, .npz, .h5 or .hdf5, and without PyTorch its .pth, .pt and .bin (zip and legacy; a state dict,
    bare or under `state_dict` or `model`).

    Raises:
        ValueError: another kind of file, a truncated or corrupted one, or one that holds more than tensors.
    """
    path = Path(path)
    reader = READERS.get(path.suffix.lower())
    if not reader:
        raise ValueError(f"Checkpoints are {', '.join(READERS)} files. Received: {path}.")
    if not path.is_file():
        raise ValueError(f"There is no checkpoint {path}.")
    try:
        tensors = {name: _widened(array) for name, array in reader(path).items()}
    except _Refused as refusal:
        raise ValueError(f"{path} was not read: {refusal}.") from None
    except Exception as error:  # a broken or crafted file fails anywhere inside the readers, with any type
        reason = (str(error).splitlines() or [""])[0].rstrip(".") or type(error).__name__
        raise ValueError(f"{path} is not a whole {path.suffix} checkpoint ({reason}).") from error
    if not tensors:
        raise ValueError(f"{path} holds no tensors.")
    return tensors


class _Refused(Exception):  # noqa: N818 (a decision, not an error)
    """The file is readable but holds what this module will not touch."""


def _widened(array: np.ndarray) -> np.ndarray:
    """float32 whose upper half is the bfloat16; other types as they are."""
    if array.dtype != BFLOAT16:
        return array
    return (array["bfloat16"].astype("<u4") << 16).view("<f4")


def _safetensors(path: Path) -> dict[str, np.ndarray]:
    import safetensors

    tensors = {}
    for name, tensor in safetensors.deserialize(path.read_bytes()):
        if tensor["dtype"] not in SAFETENSORS_DTYPES:
            raise _Refused(f"{name} has type {tensor['dtype']}, which is not among {', '.join(SAFETENSORS_DTYPES)}")
        tensors[name] = np.frombuffer(tensor["data"], SAFETENSORS_DTYPES[tensor["dtype"]]).reshape(tensor["shape"])
    return tensors


def _npz(path: Path) -> dict[str, np.ndarray]:
    with np.load(path, allow_pickle=False) as arrays:
        return dict(arrays)


def _h5(path: Path) -> dict[str, np.ndarray]:
    import h5py

    tensors = {}

    def take(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset) and item.dtype.kind in "fiub":
            if item.external or item.is_virtual:
                raise _Refused(f"{name} keeps its numbers in another file")
            tensors[name] = item[()]

    with h5py.File(path, "r") as file:
        file.visititems(take)  # soft and external links are not followed
    return tensors


class _Storage(NamedTuple):
    key: str
    dtype: Any
    count: int


class _View(NamedTuple):
    """A tensor: `size` elements of a storage from `offset` on, `stride` elements apart."""

    storage: _Storage
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]


class _Unpickler(pickle.Unpickler):
    """Rebuilds dictionaries and views of storages; whatever else a pickle names is refused before it is imported."""

    def find_class(self, module: str, name: str) -> Any:
        # What is handed out is made afresh or immutable, so that no pickle can alter this module.
        if (module, name) == ("collections", "OrderedDict"):
            return collections.OrderedDict
        if module == "torch._utils" and name in ("_rebuild_tensor", "_rebuild_tensor_v2"):
            return lambda storage, offset, size, stride, *_: _View(storage, offset, size, stride)
        if (module, name) == ("torch._utils", "_rebuild_parameter"):
            return lambda view, *_: view
        if module == "torch" and name in TORCH_DTYPES:
            return name
        raise _Refused(
            f"it wants {module}.{name}, and only tensors are read; save the state dict alone, as .safetensors"
        )

    def persistent_load(self, pid: tuple) -> _Storage:
        kind, name, key, _, count, *view = pid
        if kind != "storage" or any(view):
            raise _Refused(f"it refers to {pid!r}, which is no plain storage")
        return _Storage(str(key), TORCH_DTYPES[name], count)


def _torch(path: Path) -> dict[str, np.ndarray]:
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            return _torch_zip(archive)
    with open(path, "rb") as file:
        return _torch_legacy(file)


def _torch_zip(archive: zipfile.ZipFile) -> dict[str, np.ndarray]:
    """PyTorch 1.6 and later: `NAME/data.pkl`, and one uncompressed member `NAME/data/KEY` for each storage."""
    if any(member.compress_type != zipfile.ZIP_STORED for member in archive.infolist()):
        raise _Refused("its members are compressed, which PyTorch's never are")
    names = archive.namelist()
    root = next(name for name in names if name.endswith("/data.pkl")).removesuffix("data.pkl")
    if f"{root}byteorder" in names and archive.read(f"{root}byteorder") != b"little":
        raise _Refused("it was written big-endian")
    views = _views(_Unpickler(io.BytesIO(archive.read(f"{root}data.pkl"))).load())
    return _arrays(views, lambda storage: archive.read(f"{root}data/{storage.key}"))


def _torch_legacy(file: BinaryIO) -> dict[str, np.ndarray]:
    """Before PyTorch 1.6: four pickles, the object last; a pickled list of keys; then each storage with its length."""
    magic, _, system = (_Unpickler(file).load() for _ in range(3))
    if magic != 0x1950A86A20F9469CFC6C or not system["little_endian"]:
        raise _Refused("it is no little-endian PyTorch file")
    views = _views(_Unpickler(file).load())
    storages = {view.storage.key: view.storage for view in views.values()}
    contents = {}
    for key in _Unpickler(file).load():
        (count,) = struct.unpack("<q", file.read(8))
        if key not in storages or count != storages[key].count:
            raise _Refused(f"storage {key!r} belongs to no tensor")
        contents[key] = file.read(count * np.dtype(storages[key].dtype).itemsize)
    return _arrays(views, lambda storage: contents[storage.key])


def _views(checkpoint: Any) -> dict[str, _View]:
    """The tensors of a state dict, bare or wrapped in a training checkpoint, `DataParallel`'s prefix removed."""
    for key in ("state_dict", "model"):
        if isinstance(checkpoint, dict) and isinstance(checkpoint.get(key), dict):
            checkpoint = checkpoint[key]
    if not isinstance(checkpoint, dict):
        raise _Refused(f"it holds a {type(checkpoint).__name__}, not a state dict")
    views = {name: value for name, value in checkpoint.items() if isinstance(value, _View)}
    wrapped = all(name.startswith("module.") for name in views)
    return {name.removeprefix("module.") if wrapped else name: view for name, view in views.items()}


def _arrays(views: dict[str, _View], content: Callable[[_Storage], bytes]) -> dict[str, np.ndarray]:
    """Each view as an array of its own, after a check that it lies within its storage."""
    flat: dict[str, np.ndarray] = {}
    arrays = {}
    for name, (storage, offset, size, stride) in views.items():
        if storage.key not in flat:
            flat[storage.key] = np.frombuffer(content(storage), storage.dtype)
        numbers = flat[storage.key]
        end = offset + 1 + sum((n - 1) * step for n, step in zip(size, stride, strict=True)) if all(size) else 0
        if min(offset, *size, *stride, 0) < 0 or max(end, math.prod(size)) > len(numbers):
            raise _Refused(f"{name} reaches beyond its storage of {len(numbers)} numbers")
        steps = [step * numbers.itemsize for step in stride]
        arrays[name] = np.lib.stride_tricks.as_strided(numbers[offset:], size, steps).copy()
    return arrays


READERS: dict[str, Callable[[Path], dict[str, np.ndarray]]] = {
    ".safetensors": _safetensors,
    ".pth": _torch,
    ".pt": _torch,
    ".bin": _torch,
    ".npz": _npz,
    ".h5": _h5,
    ".hdf5": _h5,
}

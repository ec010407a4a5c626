"""The files of a clip: a folder of PNG frames, or one array in an .npy or .npz file. Nothing is unpickled."""

import os
import pathlib

import cv2
import numpy as np

_PICKLES = (".pkl", ".pickle")


def has_frames(path: pathlib.Path) -> bool:
    """Whether there is any frame. Raises ValueError, in one sentence, for what is no clip or a pickled one."""
    return bool(_pngs(path)) if path.is_dir() else _array_file(path).stat().st_size > 0


def read_frames(path: pathlib.Path) -> list[np.ndarray]:
    """The frames as they are stored, in the order of their names; pictures are uint8 [H, W], arrays what they are.

    Raises:
        ValueError: one sentence: no clip, a pickled one, a damaged file, not one array [T, H, W].
    """
    if path.is_dir():
        return [_png(path / name) for name in _pngs(path)]
    _array_file(path)
    try:
        content = np.load(path, allow_pickle=False)
        if path.suffix.lower() == ".npz":
            with content:
                arrays = [content[name] for name in content.files]
        else:
            arrays = [content]
    except Exception as error:  # NumPy's reader raises whatever the damaged bytes lead to
        raise ValueError(f"{path} is damaged, cut short or pickled; a clip is one plain array [T, H, W].") from error
    if len(arrays) != 1 or arrays[0].ndim != 3:
        raise ValueError(f"{path} must hold one array [T, H, W]. Received: {[array.shape for array in arrays]}.")
    return list(arrays[0])


def state(path: pathlib.Path) -> list[tuple[str, int, int]]:
    """Name, size and time of change of every file of the clip."""
    if not path.is_dir():
        found = _array_file(path).stat()
        return [(path.name, found.st_size, found.st_mtime_ns)]
    with os.scandir(path) as entries:
        stats = ((entry.name, entry.stat()) for entry in entries)
        return sorted((name, found.st_size, found.st_mtime_ns) for name, found in stats)


def _pngs(folder: pathlib.Path) -> list[str]:
    """The names of a folder's frames."""
    names = sorted(os.listdir(folder))
    found = [name for name in names if name.lower().endswith(".png") and name[0] != "."]
    if not found and (pickled := [name for name in names if name.lower().endswith(_PICKLES)]):
        _array_file(folder / pickled[0])
    return found


def _array_file(path: pathlib.Path) -> pathlib.Path:
    """`path`, if it is a file of an array."""
    if path.suffix.lower() in _PICKLES:
        raise ValueError(
            f"{path} is pickled, and unpickling a file can run a program; name the PNG frames or save the clip as .npy."
        )
    if path.suffix.lower() not in (".npy", ".npz") or not path.is_file():
        raise ValueError(f"{path} is no clip; a clip is a folder of PNG frames, or an .npy or .npz file [T, H, W].")
    return path


def _png(path: pathlib.Path) -> np.ndarray:
    data = np.frombuffer(path.read_bytes(), np.uint8)
    try:
        frame = cv2.imdecode(data, cv2.IMREAD_GRAYSCALE) if data.size else None
    except cv2.error:  # more pixels than OpenCV takes
        frame = None
    if frame is None:
        raise ValueError(f"{path} is cut short, damaged or no PNG file ({data.size:,} bytes).")
    return frame

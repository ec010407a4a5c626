"""Images and labels in the idx format, as MNIST, Fashion-MNIST, KMNIST and EMNIST are published."""

import gzip
import math
import os
import pathlib
import zlib

import numpy as np

NAMES = {"train": "train", "test": "t10k"}  # split -> prefix of its two files


def read(path: str | os.PathLike) -> np.ndarray:
    """The array of bytes in an idx file, gzipped or not: images [N, height, width] or labels [N], uint8.

    Raises:
        ValueError: not an idx file of bytes, or its data are shorter or longer than its header says.
    """
    path = pathlib.Path(path)
    content = path.read_bytes()
    if content[:2] == b"\x1f\x8b":
        try:
            content = gzip.decompress(content)
        except (OSError, EOFError, zlib.error) as error:
            raise ValueError(f"{path} is a damaged gzip file ({error}).") from error
    kind, rank = (content[2], content[3]) if len(content) >= 4 and content[:2] == b"\0\0" else (0, 0)
    if kind != 8 or not 1 <= rank <= 4 or len(content) < 4 + 4 * rank:
        raise ValueError(f"{path} is no idx file of bytes: it begins with {content[:4].hex() or 'nothing'}.")
    shape = tuple(int(n) for n in np.frombuffer(content, ">u4", rank, 4))
    data = np.frombuffer(content, "uint8", offset=4 + 4 * rank)
    if data.size != math.prod(shape):
        raise ValueError(f"{path} should hold {shape} bytes, {math.prod(shape):,}. Received: {data.size:,}.")
    return data.reshape(shape)


def split(folder: str | os.PathLike, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Images [N, height, width] and labels [N], uint8, of the split "train" or "test" in `folder`.

    Raises:
        ValueError: a file is missing or damaged, or there are not as many labels as images.
    """
    folder = pathlib.Path(folder)
    if name not in NAMES:
        raise ValueError(f"The splits are {' and '.join(NAMES)}. Received: {name!r}.")
    images, labels = (read(_one_of(folder, f"{NAMES[name]}-{kind}-ubyte")) for kind in ("images-idx3", "labels-idx1"))
    if images.ndim != 3 or labels.ndim != 1 or len(images) != len(labels):
        raise ValueError(f"{folder} has {name} images of shape {images.shape} and labels of shape {labels.shape}.")
    return images, labels


def _one_of(folder: pathlib.Path, name: str) -> pathlib.Path:
    for path in (folder / f"{name}.gz", folder / name):
        if path.is_file():
            return path
    raise ValueError(f"{folder} holds neither {name}.gz nor {name}, as MNIST and its relatives are published.")

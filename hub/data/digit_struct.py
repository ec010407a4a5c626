"""SVHN's format 1 on disk: pictures, and `digitStruct.mat`, a MATLAB v7.3 file, that is HDF5.

`/digitStruct/name` and `/digitStruct/bbox` are `[N, 1]` references to characters and to groups with the fields `left`,
`top`, `width`, `height` and `label`. A field is a `[1, 1]` number where the picture has one digit, and `[n, 1]`
references to numbers where it has more. Label 10 is the digit 0. Coordinates are taken as they stand, as every reader
takes them.
"""

import os
import pathlib
import shutil
import uuid
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import h5py
import numpy as np
from h5py import h5a, h5d, h5g, h5p, h5r, h5s, h5t

MAT = "digitStruct.mat"
_FIELDS = ("left", "top", "width", "height", "label")


class Box(NamedTuple):
    """One digit: pixels from the picture's left and top edge (negative outside), and its value 0..9."""

    left: float
    top: float
    width: float
    height: float
    label: int


def write_format1(folder: str | os.PathLike, scenes: Iterable[Any]) -> int:
    """Write `scenes` as `1.png, 2.png, ...` and `digitStruct.mat` into a new `folder`; return how many.

    A scene has `image` uint8 `[H, W, 3]`, `boxes` `[n, 4]` (left, top, width, height) and `labels`, n digits 0..9.
    The folder appears when it is whole: it is written beside its place and renamed.

    Raises:
        ValueError: `folder` holds something already, or there is no scene.
    """
    import cv2

    folder = pathlib.Path(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(f"{folder} exists already; remove it or name another folder.")
    folder.parent.mkdir(parents=True, exist_ok=True)
    aside = folder.with_name(f".{folder.name}.{uuid.uuid4().hex[:8]}")
    aside.mkdir()
    try:
        rows = []
        for number, scene in enumerate(scenes, 1):
            name = f"{number}.png"
            if not cv2.imwrite(str(aside / name), scene.image[..., ::-1]):
                raise OSError(f"{aside / name} could not be written.")
            pairs = zip(scene.boxes, scene.labels, strict=True)
            rows.append((name, [Box(*map(float, box), int(label)) for box, label in pairs]))
        if not rows:
            raise ValueError(f"No scene was given for {folder}; at least one is needed.")
        write(aside / MAT, rows)
        aside.replace(folder)
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)
        raise
    return len(rows)


def count(path: str | os.PathLike) -> int:
    """Number of pictures that the file describes. Errors as `read`."""
    with _opened(path) as file:
        return file["digitStruct/name"].shape[0]


def read(path: str | os.PathLike) -> Iterator[tuple[str, list[Box]]]:
    """Yield the file name and the boxes of each picture, in the file's order.

    HDF5's own calls are used because each of a file's millions of numbers is a data set, which h5py's objects open
    five times slower.

    Raises:
        ValueError: the file is missing, cut short, no MATLAB v7.3 file, of another structure, or has a label that is
            not 1..10.
    """
    with _opened(path) as file:
        names, boxes = (file["digitStruct"][key][:, 0] for key in ("name", "bbox"))
        for name, box in zip(names, boxes, strict=True):
            try:
                text = _text(file.id, name)
                columns = _columns(file.id, box)
            except (KeyError, OSError, RuntimeError, TypeError, ValueError, AttributeError) as error:
                raise ValueError(f"{path} is damaged: a picture's entry in it cannot be read ({error}).") from error
            yield text, [_box(path, text, row) for row in zip(*columns, strict=True)]


def _opened(path: str | os.PathLike) -> h5py.File:
    path = pathlib.Path(path)
    if not path.is_file():
        raise ValueError(f"{path} does not exist; SVHN's format 1 has a {MAT} beside the pictures.")
    try:
        file = h5py.File(path)
    except OSError as error:
        raise ValueError(f"{path} is cut short or is no MATLAB v7.3 file ({path.stat().st_size:,} bytes).") from error
    try:
        shapes = [file["digitStruct"][key].shape for key in ("name", "bbox")]
        if shapes[0] != shapes[1] or len(shapes[0]) != 2:
            raise KeyError("shape")
    except (KeyError, AttributeError, OSError, RuntimeError) as error:
        file.close()
        raise ValueError(f"{path} has no digitStruct with a name and a bbox for each picture.") from error
    return file


def _text(file: h5py.h5f.FileID, reference: h5r.Reference) -> str:
    data = h5r.dereference(reference, file)
    characters = np.empty(data.shape, np.uint16)
    data.read(h5s.ALL, h5s.ALL, characters)
    return "".join(map(chr, characters.ravel()))


def _columns(file: h5py.h5f.FileID, reference: h5r.Reference) -> list[list[float]]:
    """The five fields, one value per box each."""
    group = h5r.dereference(reference, file)
    if isinstance(group, h5d.DatasetID):  # an empty structure has no fields
        return [[] for _ in _FIELDS]
    number, columns = np.empty((1, 1)), []
    for field in _FIELDS:
        data = h5d.open(group, field.encode())
        if data.get_type().get_class() == h5t.REFERENCE:
            references = np.empty(data.shape, h5py.ref_dtype)
            data.read(h5s.ALL, h5s.ALL, references)
            column = []
            for each in references.ravel():
                h5r.dereference(each, file).read(h5s.ALL, h5s.ALL, number)
                column.append(number[0, 0])
        else:
            data.read(h5s.ALL, h5s.ALL, number)
            column = [number[0, 0]]
        columns.append(column)
    return columns


def _box(path: str | os.PathLike, name: str, row: tuple[float, ...]) -> Box:
    *place, label = row
    if label not in range(1, 11):
        raise ValueError(f"{path} gives {name} the label {label:g}; labels are 1..10, where 10 is the digit 0.")
    return Box(*map(float, place), int(label) % 10)


def write(path: str | os.PathLike, rows: Iterable[tuple[str, list[Box]]]) -> None:
    """Write what `read` reads, in the structure that MATLAB gives it; the file appears when it is whole.

    Equal numbers share one data set, which references allow and which makes the file several times smaller.
    """
    path = pathlib.Path(path)
    aside = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
    try:
        with h5py.File(aside, "w", userblock_size=512) as file:
            _Writer(file).write(list(rows))
        with open(aside, "r+b") as raw:  # the header by which MATLAB's readers know the version
            raw.write(b"MATLAB 7.3 MAT-file, HDF5 schema 1.00 .".ljust(124) + b"\x00\x02IM")
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)


class _Writer:
    def __init__(self, file: h5py.File) -> None:
        self.top = file.create_group("digitStruct").id
        self.heap = file.create_group("#refs#").id
        self.numbers: dict[float, h5r.Reference] = {}
        self.plain = h5p.create(h5p.DATASET_CREATE)
        self.plain.set_obj_track_times(False)  # the same rows give the same bytes

    def write(self, rows: list[tuple[str, list[Box]]]) -> None:
        self._mark(self.top, b"struct")
        names = [self._name(b"n%d" % at, name) for at, (name, _) in enumerate(rows)]
        boxes = [self._boxes(b"b%d" % at, boxes) for at, (_, boxes) in enumerate(rows)]
        self._references(self.top, b"name", names)
        self._references(self.top, b"bbox", boxes)

    def _name(self, key: bytes, name: str) -> h5r.Reference:
        characters = np.array([[ord(character)] for character in name], np.uint16)
        self._mark(self._data(self.heap, key, characters), b"char")
        return h5r.create(self.heap, key, h5r.OBJECT)

    def _boxes(self, key: bytes, boxes: list[Box]) -> h5r.Reference:
        if boxes:
            group = h5g.create(self.heap, key)
            stored = [(*box[:4], box.label or 10) for box in boxes]
            for field, values in zip(_FIELDS, zip(*stored, strict=True), strict=True):
                if len(values) == 1:
                    self._mark(self._data(group, field.encode(), np.array([values], float)), b"double")
                else:
                    self._references(group, field.encode(), [self._number(value) for value in values])
        else:
            group = self._data(self.heap, key, np.zeros(2, np.uint64))
        self._mark(group, b"struct")
        return h5r.create(self.heap, key, h5r.OBJECT)

    def _number(self, value: float) -> h5r.Reference:
        if value not in self.numbers:
            key = b"v%d" % len(self.numbers)
            self._mark(self._data(self.heap, key, np.array([[value]], float)), b"double")
            self.numbers[value] = h5r.create(self.heap, key, h5r.OBJECT)
        return self.numbers[value]

    def _references(self, parent: h5g.GroupID, key: bytes, references: list[h5r.Reference]) -> None:
        column = np.empty((len(references), 1), h5py.ref_dtype)
        column[:, 0] = references
        self._data(parent, key, column)

    def _data(self, parent: h5g.GroupID, key: bytes, values: np.ndarray) -> h5d.DatasetID:
        space, kind = h5s.create_simple(values.shape), h5t.py_create(values.dtype, logical=True)
        data = h5d.create(parent, key, kind, space, self.plain)
        data.write(h5s.ALL, h5s.ALL, values)
        return data

    @staticmethod
    def _mark(item: h5g.GroupID | h5d.DatasetID, name: bytes) -> None:
        kind = h5t.C_S1.copy()
        kind.set_size(len(name))
        h5a.create(item, b"MATLAB_class", kind, h5s.create(h5s.SCALAR)).write(np.array(name))

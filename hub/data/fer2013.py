"""FER2013: 35,887 grey faces of 48 x 48 pixels from the web with one of seven expressions, and FER+'s votes on them.

Paper: Goodfellow et al., "Challenges in Representation Learning: A report on three machine learning contests", ICONIP
  2013, arXiv:1307.0414
Slug: fer_landmarks
Idea: faces as a search engine found them by 184 words for emotions; a public and a private test set of 3,589 each.
Differs: three forms are read: fer2013.csv, icml_face_data.csv (blanks before the columns' names) and folders of
  classes, which do not tell the two test sets apart. FER+ (Barsoum et al., ICMI 2016, arXiv:1608.01041) gives votes.
Checked: every form, pixel by pixel; rows that are short, long, out of range; votes that do not fit; 5,000 rows in time
  (tests/test_face_data.py).
"""

import csv
import os
import pathlib
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from hub.data.face_builder import FaceBuilder
from hub.data.face_images import EXPRESSIONS, Face, Faces
from hub.registry import register

SIDE = 48
USAGES = ("Training", "PublicTest", "PrivateTest")
TABLES = ("fer2013.csv", "icml_face_data.csv")
FOLDERS = {"train": "Training", "validation": "PublicTest", "val": "PublicTest", "test": "PrivateTest"}
LAYOUT = f"{' or '.join(TABLES)} with the columns emotion, pixels and Usage, or train/happy/1.jpg and test/"
CLASSES = {**{name: name for name in EXPRESSIONS}, "anger": "angry", "disgusted": "disgust", "fearful": "fear",
           "happiness": "happy", "sadness": "sad", "surprised": "surprise"}  # fmt: skip
PLUS = ("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt", "unknown", "NF")


class Votes(NamedTuple):
    """What ten people saw in each of N faces."""

    expressions: np.ndarray  # int64 [N, 7], in the order of EXPRESSIONS
    others: np.ndarray  # int64 [N, 3]: contempt, unknown, no face

    @property
    def label(self) -> np.ndarray:
        """int64 [N]: the expression with more than half of the votes, else -1."""
        top = self.expressions.argmax(1)
        total = self.expressions.sum(1) + self.others.sum(1)
        return np.where(2 * self.expressions.max(1) > total, top, -1)


def faces(path: str | os.PathLike) -> Faces:
    """The faces in the order of the table, or of the files' names.

    Args:
        path: the table, the folder with it, or the folder with train/ and test/.

    Raises:
        ValueError: one sentence: nothing there, a missing column, or the row that is wrong.
    """
    base = pathlib.Path(path).expanduser()
    if base.is_file():
        return _table(base)
    if not base.is_dir():
        raise ValueError(f"{path} does not exist; name {LAYOUT}.")
    for name in TABLES:
        if (base / name).is_file():
            return _table(base / name)
    return _folders(base)


def votes(faces: Faces, path: str | os.PathLike) -> Votes:
    """FER+'s votes on all of `faces`, joined by the order of the rows.

    Args:
        faces: as a table of FER2013 gave them, none left out.
        path: fer2013new.csv, or the folder with it.

    Raises:
        ValueError: one sentence: no such table, a missing column, a row that is no votes or of another face.
    """
    table = pathlib.Path(path).expanduser()
    table = table / "fer2013new.csv" if table.is_dir() else table
    found = []
    for row, usage, *counts in _rows(table, ("Usage", *PLUS)):
        try:
            found.append([int(count) for count in counts])
        except ValueError as error:
            raise ValueError(f"{table}, row {row}: votes are whole numbers. Received: {counts}.") from error
        if row <= len(faces) and usage != faces[row - 1].usage:
            other = faces[row - 1].usage
            raise ValueError(f"{table}, row {row} is of {usage!r}, but the face of that row of {other!r}; the rows of "
                             "both tables belong together.")  # fmt: skip
    if len(found) != len(faces):
        raise ValueError(f"{table} has {len(found):,} rows for {len(faces):,} faces; the rows of both belong together.")
    counts = np.array(found, np.int64).reshape(-1, len(PLUS))
    order = [CLASSES.get(name) for name in PLUS]
    return Votes(counts[:, [order.index(name) for name in EXPRESSIONS]], counts[:, 7:])


@register("fer2013")
class Fer2013(FaceBuilder):
    """FER2013: splits train, validation (PublicTest) and test (PrivateTest), as far as there are faces."""

    HOMEPAGE = "https://arxiv.org/abs/1307.0414"
    LAYOUT = LAYOUT

    @classmethod
    def parts(cls, folder: pathlib.Path) -> dict[str, Faces]:
        found = faces(folder)
        usage = found.usage
        splits = zip(("train", "validation", "test"), USAGES, strict=True)
        return {split: found.take(usage == name) for split, name in splits if (usage == name).any()}


def _table(path: pathlib.Path) -> Faces:
    found = []
    for row, code, pixels, usage in _rows(path, ("emotion", "pixels", "Usage")):
        if (code := code.strip()) not in ("0", "1", "2", "3", "4", "5", "6"):
            raise ValueError(f"{path}, row {row}: an emotion is a number from 0 to 6. Received: {code[:40]!r}.")
        if (usage := usage.strip()) not in USAGES:
            raise ValueError(f"{path}, row {row}: a usage is {', '.join(USAGES)}. Received: {usage[:40]!r}.")
        found.append(Face(f"{row - 1:05d}", int(code), None, _pixels(pixels, path, row), "", usage))
    if not found:
        raise ValueError(f"{path} has no rows; a table of FER2013 is needed.")
    return Faces(tuple(found))


def _pixels(text: str, path: pathlib.Path, row: int) -> np.ndarray:
    """uint8 [48, 48]."""
    try:
        values = np.fromstring(text, np.int32, sep=" ")
    except ValueError:
        values = np.zeros(0, np.int32)
    if values.size != SIDE * SIDE:
        count = len(text.split())
        what = f"{count:,} pixels" if count != SIDE * SIDE else "pixels that are no whole numbers"
        raise ValueError(f"{path}, row {row} has {what}; {SIDE * SIDE:,} numbers from 0 to 255 are needed.")
    if values.min() < 0 or values.max() > 255:
        worst = values[(values < 0) | (values > 255)][0]
        raise ValueError(f"{path}, row {row} has a pixel of {worst}; {SIDE * SIDE:,} numbers from 0 to 255 are needed.")
    return values.astype(np.uint8).reshape(SIDE, SIDE)


def _rows(path: pathlib.Path, columns: tuple[str, ...]) -> Iterator[tuple]:
    """(row, counted from 1 below the header, then the text of each of `columns`); blanks around names do not matter."""
    if not path.is_file():
        raise ValueError(f"{path} does not exist; a table with the columns {', '.join(columns)} is needed.")
    with open(path, newline="", encoding="utf-8-sig", errors="replace") as file:
        reader = csv.reader(file)
        try:
            header = [name.strip().lower() for name in next(reader, [])]
            if lacking := [name for name in columns if name.lower() not in header]:
                raise ValueError(f"{path} has no column {lacking[0]}; it needs {', '.join(columns)}.")
            at = [header.index(name.lower()) for name in columns]
            for row, fields in enumerate((fields for fields in reader if fields), 1):
                if len(fields) <= max(at):
                    raise ValueError(f"{path}, row {row}: {len(fields)} of {len(header)} fields.")
                yield row, *(fields[place] for place in at)
        except csv.Error as error:
            raise ValueError(f"{path} is damaged or no table of comma-separated values.") from error


def _folders(base: pathlib.Path) -> Faces:
    found, empty, other = [], 0, []
    for part in sorted(path for path in base.iterdir() if path.name.lower() in FOLDERS and path.is_dir()):
        for place in sorted(path for path in part.iterdir() if path.is_dir() and path.name[0] != "."):
            if (name := CLASSES.get(place.name.lower())) is None:
                other.append(f"{part.name}/{place.name}")
                continue
            with os.scandir(place) as entries:
                files = sorted((e.name, e.stat().st_size) for e in entries if e.name[0] != "." and e.is_file())
            files = [file for file in files if file[0].lower().endswith((".jpg", ".jpeg", ".png"))]
            empty += sum(not size for _, size in files)
            found += [Face(f"{part.name}/{place.name}/{file}", EXPRESSIONS.index(name), place / file, None, "",
                           FOLDERS[part.name.lower()]) for file, size in files if size]  # fmt: skip
    if not found:
        raise ValueError(f"{base} has no faces of FER2013; it must hold {LAYOUT}.")
    notes = ["Folders do not tell the public from the private test set; test/ is read as PrivateTest."]
    if empty:
        notes.append(f"{empty} pictures are empty files and are skipped.")
    if other:
        notes.append(f"{len(other)} folders are called like no expression and are skipped, {other[0]} for one.")
    return Faces(tuple(found), empty, tuple(notes))


def contract_example(make: Callable) -> None:
    """Rows written come back pixel by pixel, in their splits."""
    import tempfile

    pixels = np.random.default_rng(0).integers(0, 256, (3, SIDE, SIDE), np.uint8)
    with tempfile.TemporaryDirectory() as base:
        with open(pathlib.Path(base, TABLES[0]), "w") as file:
            file.write("emotion,pixels,Usage\n")
            for code, image, usage in zip((3, 0, 6), pixels, USAGES, strict=True):
                file.write(f"{code},{' '.join(map(str, image.ravel()))},{usage}\n")
        builder = make(manual_dir=base, data_dir=pathlib.Path(base, "prepared"))
        builder.download_and_prepare()
        for split, code, image in zip(("train", "validation", "test"), (3, 0, 6), pixels, strict=True):
            (example,) = builder.as_dataset(split=split).as_numpy_iterator()
            assert example["label"] == code and np.array_equal(example["image"][..., 0], image)

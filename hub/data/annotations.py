"""Labels of several annotators, by a table: a CSV file with the columns image, annotator and label.

One line per label, in any order. A label is the name of a class or its number; an empty one or -1 says that there is
none, as does a line that is missing.
"""

import csv
import os
import pathlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

COLUMNS = ("image", "annotator", "label")
NONE = {"", "-1"}


class Annotations(NamedTuple):
    """Images and annotators in the order in which the table names them first."""

    images: tuple[str, ...]
    labels: np.ndarray  # int64 [N, A], -1 where there is none
    annotators: tuple[str, ...]
    classes: tuple[str, ...]


def read(table: str | os.PathLike, classes: Sequence[str] | None = None) -> Annotations:
    """The labels that a table holds; further columns are not looked at.

    Args:
        table: a CSV file.
        classes: names of the classes, found in the table regardless of case, or by number from 0 on. By default the
            numbers up to the greatest where all labels are numbers, else the labels there are, small letters, sorted.

    Raises:
        ValueError: one sentence: no such table, a missing column, no label, or the line with an empty cell, an unknown
            label, or another label than before of the same image by the same annotator.
    """
    table = pathlib.Path(table).expanduser()
    if not table.is_file():
        raise ValueError(f"{table} is no file; annotations are a CSV file with the columns {', '.join(COLUMNS)}.")
    rows = list(_rows(table))
    if not (there := {label for *_, label in rows} - NONE):
        raise ValueError(f"{table} holds no label.")
    names = tuple(classes) if classes is not None else _classes(there)
    numbers = {str(k): k for k in range(len(names))} | {name.lower(): k for k, name in enumerate(names)}
    images = {image: n for n, image in enumerate(dict.fromkeys(row[1] for row in rows))}
    annotators = {annotator: j for j, annotator in enumerate(dict.fromkeys(row[2] for row in rows))}
    labels = np.full((len(images), len(annotators)), -1, "int64")
    lines: dict[tuple[str, str], int] = {}
    for line, image, annotator, label in rows:
        if label in NONE:
            continue
        if (number := numbers.get(label.lower())) is None:
            raise ValueError(f"{table}, line {line}: {label!r} is none of {', '.join(names)} or 0 to {len(names) - 1}.")
        place = images[image], annotators[annotator]
        if labels[place] not in (-1, number):
            before = f"{names[labels[place]]!r} in line {lines[image, annotator]}"
            raise ValueError(f"{table}, line {line}: {annotator} says {label!r} of {image}, and {before}.")
        labels[place], lines[image, annotator] = number, line
    return Annotations(tuple(images), labels, tuple(annotators), names)


def _rows(table: pathlib.Path):
    """(line, image, annotator, label) of every line, stripped."""
    with open(table, newline="", encoding="utf-8-sig", errors="replace") as file:
        reader = csv.DictReader(file)
        try:
            if missing := [column for column in COLUMNS if column not in (reader.fieldnames or ())]:
                raise ValueError(f"{table} has no column {missing[0]} in line 1; it needs {', '.join(COLUMNS)}.")
            for row in reader:
                image, annotator, label = ((row[column] or "").strip() for column in COLUMNS)
                if not image or not annotator:
                    empty = "annotator" if image else "image"
                    raise ValueError(f"{table}, line {reader.line_num}: {empty} is empty.")
                yield reader.line_num, image, annotator, label
        except csv.Error as error:
            raise ValueError(f"{table}, line {reader.line_num}: {error}; a CSV file is needed.") from error


def _classes(labels: set[str]) -> tuple[str, ...]:
    if all(label.isascii() and label.isdecimal() and len(label) < 5 for label in labels):
        return tuple(map(str, range(max(map(int, labels)) + 1)))
    return tuple(sorted({label.lower() for label in labels}))

"""Clips of any folder structure, by a table: a CSV file with the columns subject, condition, view and path."""

import csv
import itertools
import os
import pathlib

from hub.data import clip_files
from hub.data.gait_clips import Clip, Clips

COLUMNS = ("subject", "condition", "view", "path")


def clips(table: str | os.PathLike) -> Clips:
    """The clips that a table names, in its order; further columns are not looked at.

    Args:
        table: a CSV file. `path` is a folder of PNG frames, or an .npy or .npz file, from the table's folder on;
            `view` is whole degrees, 0 to 359; `subject` and `condition` are words of one's own.

    Raises:
        ValueError: one sentence: no such table, a missing column, or the line with an empty cell, a view that is none,
            a path that is not there or was there before.
    """
    table = pathlib.Path(table).expanduser()
    if not table.is_file():
        raise ValueError(f"{table} is no file; a table of clips is a CSV file with the columns {', '.join(COLUMNS)}.")
    with open(table, newline="", encoding="utf-8-sig", errors="replace") as file:
        reader = csv.DictReader(file)
        try:
            if missing := [column for column in COLUMNS if column not in (reader.fieldnames or ())]:
                raise ValueError(f"{table} has no column {missing[0]} in line 1; it needs {', '.join(COLUMNS)}.")
            found, full, lines = [], [], {}
            for row in reader:
                line = f"{table}, line {reader.line_num}"
                clip = _clip(row, table.parent, line)
                if clip.path in lines:
                    raise ValueError(f"{line}: {clip.path} is that of line {lines[clip.path]}.")
                lines[clip.path] = reader.line_num
                found.append(clip)
                full.append(_has_frames(clip, line))
        except csv.Error as error:
            raise ValueError(f"{table}, line {reader.line_num}: {error}; a CSV file is needed.") from error
    if not found:
        raise ValueError(f"{table} names no clip.")
    kept, notes = tuple(itertools.compress(found, full)), ()
    if empty := full.count(False):
        one = found[full.index(False)].path
        notes = (f"{empty} of {len(found)} clips are empty and are skipped, {one} for one.",)
    return Clips(kept, empty, notes)


def _clip(row: dict[str, str | None], base: pathlib.Path, line: str) -> Clip:
    cells = {column: (row[column] or "").strip() for column in COLUMNS}
    if empty := [column for column, cell in cells.items() if not cell]:
        raise ValueError(f"{line}: {empty[0]} is empty.")
    view = cells["view"]
    if not (view.isascii() and view.isdecimal() and len(view) < 5 and int(view) < 360):
        raise ValueError(f"{line}: the view is whole degrees, 0 to 359. Received: {view!r}.")
    path = base / pathlib.Path(cells["path"]).expanduser()
    if not path.exists():
        raise ValueError(f"{line}: {path} does not exist.")
    return Clip(cells["subject"], cells["condition"], int(view), path)


def _has_frames(clip: Clip, line: str) -> bool:
    try:
        return clip_files.has_frames(clip.path)
    except ValueError as error:
        raise ValueError(f"{line}: {error}") from error

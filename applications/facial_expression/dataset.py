"""CK+, FER2013, RAF-DB, or drawn faces in CK+'s layout: faces found, cut out and split by people."""

import pathlib
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from applications.facial_expression.config import Config
from applications.facial_expression.cropped import Cropped, cropped
from applications.runs import read_json
from applications.training import write_json
from hub import cache

SAMPLE_VERSION = 1  # of the generator: a new one gets a new folder
SAMPLE_FRAMES = (7, 7)  # of a drawn sequence, from neutral to the peak; CK+ has 10 to 60
SAMPLE_SIZE = (320, 420)  # of its pictures
VALIDATION = 0.1  # of the people, or of the faces, where the data set has no such part
FOLDS = 10


@dataclass(frozen=True)
class Source:
    """The faces that train, choose the epoch and test, and what a reader must know of them."""

    kind: str  # CK+, FER2013, RAF-DB
    train: Cropped
    validation: Cropped
    test: Cropped
    undetected: int  # pictures without a face: in none of the three
    notes: list[str]


def prepare(data: str | None, config: Config, report: Callable[[str], None] = print) -> pathlib.Path:
    """The folder or file to read: `data` itself, or a sample in the user's cache, drawn when it is not there yet.

    Raises:
        ValueError: `data` is neither.
    """
    if data is None:
        return sample(config, report)
    path = pathlib.Path(data).expanduser()
    if not data or not (path.is_dir() or (path.is_file() and path.suffix.lower() == ".csv")):
        raise ValueError(f"--data must be the folder of CK+, RAF-DB or FER2013, or FER2013's CSV. Received: {data!r}.")
    return path


def sample(config: Config, report: Callable[[str], None] = print) -> pathlib.Path:
    """Drawn people, six expressions each, in CK+'s layout."""
    from hub.data import face_sequences

    folder = cache.folder("facial_expression", f"sample-{SAMPLE_VERSION}-{config.sample_people}")
    if not (folder / "sample.json").exists():
        report(f"Drawing {config.sample_people} synthetic people, six expressions each, in CK+'s layout in {folder}")
        shutil.rmtree(folder / "ck", ignore_errors=True)  # left by a run that was interrupted
        face_sequences.write(
            folder / "ck", range(config.sample_people), frames=SAMPLE_FRAMES, size=SAMPLE_SIZE, report=report
        )
        write_json(folder / "sample.json", {"synthetic": True})
    return folder


def about(path: pathlib.Path) -> dict:
    """What is known of the data: `synthetic`."""
    known = path / "sample.json"
    return read_json(known) if known.exists() else {"synthetic": False}


def load(path: pathlib.Path, config: Config, report: Callable[[str], None] = print) -> Source:
    """Read, find the faces and split.

    Raises:
        ValueError: no known layout, or a part without faces.
    """
    from hub.data import ck_plus, fer2013, raf_db

    if about(path)["synthetic"] or (path / "cohn-kanade-images").is_dir():
        kind, faces, whole = "CK+", ck_plus.faces(path / "ck" if about(path)["synthetic"] else path), False
        fold = ck_plus.folds(faces, FOLDS)
        used = [fold == (config.fold + 1) % FOLDS, fold == config.fold]
        if about(path)["synthetic"]:  # two folds test: a narrower interval
            used = [fold == (config.fold + 2) % FOLDS, (fold == config.fold) | (fold == (config.fold + 1) % FOLDS)]
        parts = [~(used[0] | used[1]), *used]
    elif _is_raf_db(path):
        kind, faces, whole = "RAF-DB", raf_db.faces(path), True
        parts = _three(faces, faces.usage == "test", config.seed)
    else:
        kind, faces, whole = "FER2013", fer2013.faces(path), True
        public = faces.usage == "PublicTest"
        if public.any():
            parts = [faces.usage == "Training", public, faces.usage == "PrivateTest"]
        else:
            parts = _three(faces, faces.usage != "Training", config.seed)
    found, seen = cropped(faces, whole, report)
    train, validation, test = (found.take(part[seen] & (found.label >= 0)) for part in parts)
    if config.limit:
        train = train.take(slice(config.limit))
    for part, what in ((train, "training"), (validation, "validation"), (test, "testing")):
        if not len(part):
            raise ValueError(f"{path} leaves no faces for {what}; {len(faces)} pictures, {len(found)} with a face.")
    undetected = len(faces) - len(found)
    notes = list(faces.notes)
    if undetected:
        notes.append(f"In {undetected} of {len(faces):,} pictures no face was found; they are left out.")
    return Source(kind, train, validation, test, undetected, notes)


def _is_raf_db(path: pathlib.Path) -> bool:
    return path.is_dir() and any((path / part).is_dir() for part in ("basic", "EmoLabel"))


def _three(faces: Any, test: Any, seed: int) -> list[Any]:
    """bool [N] each: training, validation and test, where the data set names the last alone."""
    import numpy as np

    held = ~test & (np.random.default_rng(seed).random(len(faces)) < VALIDATION)
    return [~test & ~held, held, test]

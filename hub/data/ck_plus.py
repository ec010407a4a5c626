"""CK+: 593 sequences of 123 people from a neutral face to the peak of an expression, 327 with an emotion.

Paper: Lucey et al., "The Extended Cohn-Kanade Dataset (CK+): A complete dataset for action unit and emotion-specified
  expression", CVPR Workshops 2010
Slug: fer_landmarks
Idea: posed sequences with 68 tracked landmarks a frame; the last frames show the emotion, the first is neutral.
Differs: contempt, which the seven expressions lack, is left out unless asked. The folds are ours: whole people, classes
  as even as a greedy choice makes them; publications split differently and seldom say how.
Checked: folders in the published layout with absent labels, empty sequences, labels without pictures and damaged
  files; folds that share nobody and hold every face once (tests/test_face_data.py).
"""

import os
import pathlib
import re
from collections import Counter
from collections.abc import Callable

import numpy as np

from hub.data.face_builder import FaceBuilder
from hub.data.face_images import EXPRESSIONS, POINTS, Face, Faces
from hub.registry import register

IMAGES, EMOTION, LANDMARKS = "cohn-kanade-images", "Emotion", "Landmarks"
LAYOUT = (f"{IMAGES}/S005/001/S005_001_00000011.png, {EMOTION}/S005/001/S005_001_00000011_emotion.txt and, if wanted, "
          f"{LANDMARKS}/")  # fmt: skip
CODES = ("neutral", "angry", "contempt", "disgust", "fear", "happy", "sad", "surprise")  # 0 to 7 in an emotion file
PEAKS = 3  # last frames that show the emotion
NEUTRAL = EXPRESSIONS.index("neutral")


def faces(folder: str | os.PathLike, *, contempt: bool = False) -> Faces:
    """Of each sequence with an emotion the last three frames and, as neutral, the first; in the order of their names.

    What is absent, empty or damaged is skipped and counted in `notes`.

    Args:
        folder: what the archives of images, emotion labels and landmarks unpack to.
        contempt: whether those sequences are kept, their last frames with the label -1.

    Raises:
        ValueError: one sentence: no folder, another layout, or no sequence with an emotion.
    """
    base = pathlib.Path(folder).expanduser()
    if not base.is_dir():
        raise ValueError(f"{folder} is no folder; it must hold {LAYOUT}.")
    images, emotion, points = (_part(base, name) for name in (IMAGES, EMOTION, LANDMARKS))
    if images is None or emotion is None:
        raise ValueError(f"{base} has no folder {IMAGES if images is None else EMOTION}; it must hold {LAYOUT}.")
    found, skipped, damaged, missing = [], Counter(), 0, 0
    places = {f"{take.parent.name}/{take.name}" for part in (images, emotion) for take in part.glob("[!.]*/[!.]*")
              if take.is_dir()}  # fmt: skip
    for place in sorted(places):
        names = _frames(images / place)
        code, broken = _code(emotion / place)
        if not names:
            skipped["have no pictures"] += 1
            missing += code is not None
        elif broken:
            skipped["have an emotion that cannot be read"] += 1
            missing += 1
        elif code is None:
            skipped["have no emotion"] += 1
        elif CODES[code] == "contempt" and not contempt:
            skipped["show contempt, which is none of the seven expressions,"] += 1
        else:
            label = EXPRESSIONS.index(CODES[code]) if CODES[code] in EXPRESSIONS else -1
            first = max(len(names) - PEAKS, 1 if len(names) > 1 else 0)
            chosen = [(0, NEUTRAL)] * bool(first) + [(n, label) for n in range(first, len(names))]
            for n, shown in chosen:
                stem = names[n].removesuffix(".png")
                at, bad = _points(points and points / place / f"{stem}_landmarks.txt")
                damaged += bad
                found.append(Face(stem, shown, images / place / names[n], None, place.split("/")[0], "", at))
    if not found:
        raise ValueError(f"{base} has no sequence with pictures and an emotion; it must hold {LAYOUT}.")
    notes = [f"{count} of {len(places)} sequences {what} and are left out." for what, count in skipped.items()]
    if damaged:
        notes.append(f"{damaged} of {len(found)} pictures have landmarks that cannot be read and go without.")
    return Faces(tuple(found), missing, tuple(notes))


def folds(faces: Faces, count: int = 10) -> np.ndarray:
    """Which fold each of N faces is in, int64 [N], 0 to count - 1: whole people, each class spread as evenly as may be.

    The same faces get the same folds, whatever their order.

    Raises:
        ValueError: faces without a subject, or fewer subjects than folds.
    """
    people, of = np.unique(faces.subject, return_inverse=True)
    if "" in people:
        raise ValueError(f"{(faces.subject == '').sum()} of {len(faces)} faces have no subject; folds need one each.")
    if not 2 <= count <= len(people):
        raise ValueError(f"{len(people)} subjects do not fill {count} folds; from 2 to {len(people)} will do.")
    counts = np.zeros((len(people), len(EXPRESSIONS) + 1))
    np.add.at(counts, (of, faces.label), 1)
    share = counts / np.maximum(counts.sum(0), 1)  # of each class that a person holds
    held, fold = np.zeros((count, share.shape[1])), np.zeros(len(people), np.int64)
    for who in np.lexsort((np.arange(len(people)), -share.sum(1))):
        fold[who] = np.lexsort((held.sum(1), held @ share[who]))[0]  # where the classes of this person are rarest
        held[fold[who]] += share[who]
    return fold[of]


@register("ck_plus")
class CkPlus(FaceBuilder):
    """CK+: last three frames and the first as neutral; subject and landmarks. One split, `faces`; `folds` parts it."""

    HOMEPAGE = "https://ieeexplore.ieee.org/document/5543262"
    LAYOUT = LAYOUT

    @classmethod
    def parts(cls, folder: pathlib.Path) -> dict[str, Faces]:
        return {"faces": faces(folder)}


def _part(base: pathlib.Path, name: str) -> pathlib.Path | None:
    """The folder called so, here or one folder deeper."""
    return next((path for path in (base / name, *sorted(base.glob(f"[!.]*/{name}"))) if path.is_dir()), None)


def _frames(folder: pathlib.Path) -> list[str]:
    """Names of the pictures that are not empty, in the order of their numbers."""
    if not folder.is_dir():
        return []
    with os.scandir(folder) as entries:
        found = [(entry.name, entry.stat().st_size) for entry in entries]
    names = [name for name, size in found if size and re.fullmatch(r"[^.].*_\d+\.png", name)]
    return sorted(names, key=lambda name: int(name[:-4].rsplit("_", 1)[1]))


def _code(folder: pathlib.Path) -> tuple[int | None, bool]:
    """(what the emotion file of a sequence says, None where there is no file; whether it cannot be read)."""
    files = sorted(folder.glob("[!.]*_emotion.txt"))
    if not files:
        return None, False
    try:
        code = float(files[-1].read_text())
    except (OSError, ValueError):
        return None, True
    return (int(code), False) if code in range(len(CODES)) else (None, True)


def _points(path: pathlib.Path | None) -> tuple[np.ndarray | None, bool]:
    """(landmarks float32 [68, 2], None where there is no file; whether it cannot be read)."""
    if path is None or not path.is_file():
        return None, False
    try:
        at = np.array(path.read_text().split(), np.float32)
    except ValueError:
        return None, True
    return (at.reshape(POINTS, 2), False) if at.size == 2 * POINTS and np.isfinite(at).all() else (None, True)


def contract_example(make: Callable) -> None:
    """Three peaks and a neutral face of a sequence of five frames, with landmarks."""
    import tempfile

    import cv2

    with tempfile.TemporaryDirectory() as base:
        for part in (IMAGES, EMOTION, LANDMARKS):
            pathlib.Path(base, part, "S005/001").mkdir(parents=True)
        for n in range(1, 6):
            stem = f"S005/001/S005_001_{n:08d}"
            cv2.imwrite(f"{base}/{IMAGES}/{stem}.png", np.full((49, 64), 40 * n, np.uint8))
            pathlib.Path(base, LANDMARKS, f"{stem}_landmarks.txt").write_text("   1.0e+01   2.0e+01\n" * POINTS)
        pathlib.Path(base, EMOTION, f"{stem}_emotion.txt").write_text("   3.0000000e+00\n")
        builder = make(manual_dir=base, data_dir=pathlib.Path(base, "prepared"))
        builder.download_and_prepare()
        examples = list(builder.as_dataset(split="faces").as_numpy_iterator())
    assert [EXPRESSIONS[example["label"]] for example in examples] == ["neutral", "disgust", "disgust", "disgust"]
    assert [example["image"][0, 0, 0] for example in examples] == [40, 120, 160, 200]
    assert all((example["landmarks"] == [10, 20]).all() and example["subject"] == b"S005" for example in examples)

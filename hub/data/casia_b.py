"""CASIA-B silhouettes: 124 people, 11 views, normal walking, with a bag, in a coat.

Paper: Yu, Tan, Tan, "A Framework for Evaluating the Effect of View Angle, Clothing and Carrying Condition on Gait
    Recognition", ICPR 2006
Slug: gaitset
Idea: six normal walks (nm), two with a bag (bg) and two in a coat (cl) of each person, each seen from 0, 18, ... 180
    degrees: what changes a silhouette besides the walker is changed one thing at a time.
Differs: the protocol is GaitSet's (arXiv:1811.06186): the first 24, 62 or 74 people train, without 005,
    who is incomplete.
Checked: folders in the published layout with absent and empty sequences, packed ones, damaged frames; splits, gallery
    and probes counted against the paper's (tests/test_gait_clips.py).
"""

import os
import pathlib
import re
from collections.abc import Callable

import numpy as np

from hub.data import gait_clips
from hub.data.gait_builder import GaitBuilder
from hub.data.gait_clips import Clip, Clips
from hub.registry import register

SPLITS = {"LT": 74, "MT": 62, "ST": 24}  # the last id that trains: large-, medium-, small-sample training
VIEWS = tuple(range(0, 181, 18))
INCOMPLETE = "005"  # GaitSet and OpenGait never train on it
LAYOUT = "what the archive GaitDatasetB-silh unpacks to: 001/nm-01/000/001-nm-01-000-001.png"


def clips(folder: str | os.PathLike) -> Clips:
    """The sequences under `folder`, or under GaitDatasetB-silh in it, in the order of their names.

    Raises:
        ValueError: one sentence: no folder, still packed, or another layout.
    """
    base = pathlib.Path(folder).expanduser()
    if not base.is_dir():
        raise ValueError(f"{folder} is no folder; it must hold {LAYOUT}.")
    base = base / "GaitDatasetB-silh" if (base / "GaitDatasetB-silh").is_dir() else base
    people = sorted(path for path in base.iterdir() if path.is_dir() and re.fullmatch(r"\d{3}", path.name))
    names = {path.name for path in people}
    packed = sorted(path.name for path in base.glob("*.tar.gz") if path.name[:3] not in names)
    if not people or packed:
        what = f"still has packed people, {packed[0]} among them; unpack them" if packed else "has no people"
        raise ValueError(f"{base} {what}; it must hold {LAYOUT}.")
    found, strange = [], []
    for path in (view for person in people for view in sorted(person.glob("*/*")) if view.is_dir()):
        known = re.fullmatch(r"(nm|bg|cl)-\d\d", path.parent.name) and re.fullmatch(r"\d{3}", path.name)
        if known and int(path.name) in VIEWS:
            found.append(Clip(path.parent.parent.name, path.parent.name, int(path.name), path))
        else:
            strange.append(path)
    if not found:
        raise ValueError(f"{base} has people but no sequences; it must hold {LAYOUT}.")
    notes = (
        [f"{len(strange)} folders are not named like nm-01/090 and are left out, {strange[0]} for one."]
        if strange
        else []
    )
    return gait_clips.gather(found, names, notes)


def split(clips: Clips, train_ids: str | int = "LT") -> tuple[Clips, Clips]:
    """(train, test): no person is in both; 005 is in neither where its id is among the training ids.

    Args:
        clips: of the whole data set, or of a sample with fewer people.
        train_ids: LT, MT or ST: people up to 074, 062 or 024 train; a number: so many people train, the first ones.

    Raises:
        ValueError: another word, or a part that would be empty.
    """
    people = sorted(set(clips.subject.tolist()))
    if isinstance(train_ids, str):
        if train_ids not in SPLITS:
            raise ValueError(f"The splits are {', '.join(SPLITS)}, or a number of people. Received: {train_ids!r}.")
        first = {person for person in people if person.isdecimal() and int(person) <= SPLITS[train_ids]}
    else:
        first = set(people[: max(train_ids, 0)])
    train = np.array([clip.subject in first and clip.subject != INCOMPLETE for clip in clips], bool)
    test = np.array([clip.subject not in first for clip in clips], bool)
    if not train.any() or not test.any():
        what = "training" if not train.any() else "test"
        raise ValueError(f"{len(people)} people leave none for {what} in the split {train_ids!r}; give another number.")
    return clips.take(train), clips.take(test)


@register("casia_b")
class CasiaB(GaitBuilder):
    """CASIA-B: silhouettes, subject, condition, view. One tfds split, `clips`; `split` knows the published ones."""

    HOMEPAGE = "http://www.cbsr.ia.ac.cn/english/Gait%20Databases.asp"
    LAYOUT = LAYOUT

    @classmethod
    def parts(cls, folder: pathlib.Path) -> dict[str, Clips]:
        return {"clips": clips(folder)}


def contract_example(make: Callable) -> None:
    """A clip comes back pretreated, with its names; an empty sequence does not."""
    import tempfile

    import cv2

    frame = np.zeros((240, 320), np.uint8)
    frame[40:200, 100:164] = 255  # 160 high, 64 wide: 26 columns of 64 rows
    with tempfile.TemporaryDirectory() as base:
        folder = pathlib.Path(base, "GaitDatasetB-silh", "007", "bg-02")
        for view in ("018", "036"):
            (folder / view).mkdir(parents=True)
        for at in (1, 2):
            cv2.imwrite(str(folder / "018" / f"007-bg-02-018-{at:03d}.png"), frame)
        builder = make(manual_dir=base, data_dir=pathlib.Path(base, "prepared"))
        builder.download_and_prepare()
        (example,) = builder.as_dataset(split="clips").as_numpy_iterator()
    assert example["silhouettes"].shape == (2, 64, 64) and (example["silhouettes"].any(1).sum(1) <= 27).all()
    assert (example["subject"], example["condition"], example["view"]) == (b"007", b"bg-02", 18)

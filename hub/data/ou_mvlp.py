"""OU-MVLP silhouettes: 10,307 people, 14 views, two walks each.

Paper: Takemura et al., "Multi-view large population gait dataset and its performance evaluation for cross-view gait
    recognition", IPSJ Transactions on Computer Vision and Applications 10:4, 2018
Slug: gaitset
Idea: 0 to 90 and 180 to 270 degrees in steps of 15, seen of so many people that rank-1 figures have two digits.
Differs: nothing; folders as published and as GaitSet's followers rearrange them give the same clips.
Checked: folders in both layouts with absent sequences; the rule of training ids against the published counts
    (tests/test_gait_clips.py).
"""

import os
import pathlib
import re
from collections.abc import Callable, Iterator

import numpy as np

from hub.data import gait_clips
from hub.data.gait_builder import GaitBuilder
from hub.data.gait_clips import Clip, Clips
from hub.registry import register

VIEWS = (*range(0, 91, 15), *range(180, 271, 15))
LAYOUT = "Silhouette_000-00/00001/0001.png as published, or 00001/00/000/0001.png as rearranged"
_LAST = 10305  # the last id that trains


def clips(folder: str | os.PathLike) -> Clips:
    """The sequences under `folder`, of either layout, in the order of their names in the rearranged one.

    Raises:
        ValueError: one sentence: no folder, still packed, or another layout.
    """
    base = pathlib.Path(folder).expanduser()
    if not base.is_dir():
        raise ValueError(f"{folder} is no folder; it must hold {LAYOUT}.")
    published = any(base.glob("Silhouette_*-*/"))
    found = list(_published(base) if published else _rearranged(base))
    if not found:
        packed = next(base.glob("Silhouette_*.zip"), None)
        what = f"is still packed, {packed.name} for one; unpack it" if packed else "has no sequences of OU-MVLP"
        raise ValueError(f"{base} {what}; it must hold {LAYOUT}.")
    return gait_clips.gather(found, {clip.subject for clip in found})


def is_training(subject: str) -> bool:
    """Whether a person trains in the published split: the odd ids 00001 to 10305 do, the other 5,154 test."""
    return int(subject) % 2 == 1 and int(subject) <= _LAST


def split(clips: Clips) -> tuple[Clips, Clips]:
    """(train, test) of the published split; either may be empty where `clips` are few."""
    train = np.array([is_training(clip.subject) for clip in clips], bool)
    return clips.take(train), clips.take(~train)


def _published(base: pathlib.Path) -> Iterator[Clip]:
    for path in base.glob("Silhouette_*-*/"):
        named = re.fullmatch(r"Silhouette_(\d{3})-(\d\d)", path.name)
        if named and int(named[1]) in VIEWS:
            for person in os.listdir(path):
                if re.fullmatch(r"\d{5}", person):
                    yield Clip(person, named[2], int(named[1]), path / person)


def _rearranged(base: pathlib.Path) -> Iterator[Clip]:
    for person in os.listdir(base):
        if re.fullmatch(r"\d{5}", person):
            for path in (base / person).glob("[0-9][0-9]/[0-9][0-9][0-9]/"):
                if int(path.name) in VIEWS:
                    yield Clip(person, path.parent.name, int(path.name), path)


@register("ou_mvlp")
class OuMvlp(GaitBuilder):
    """OU-MVLP: silhouettes, subject, condition (the sequence, 00 or 01), view. Splits `train` and `test`."""

    HOMEPAGE = "http://www.am.sanken.osaka-u.ac.jp/BiometricDB/GaitMVLP.html"
    LAYOUT = LAYOUT

    @classmethod
    def parts(cls, folder: pathlib.Path) -> dict[str, Clips]:
        return {name: part for name, part in zip(("train", "test"), split(clips(folder)), strict=True) if len(part)}


def contract_example(make: Callable) -> None:
    """A training and a test clip come back with their names, each in its split."""
    import tempfile

    import cv2

    frame = np.zeros((120, 90), np.uint8)
    frame[10:110, 30:60] = 255
    with tempfile.TemporaryDirectory() as base:
        for person in ("00001", "00002"):
            folder = pathlib.Path(base, "Silhouette_180-01", person)
            folder.mkdir(parents=True)
            cv2.imwrite(str(folder / "0001.png"), frame)
        builder = make(manual_dir=base, data_dir=pathlib.Path(base, "prepared"))
        builder.download_and_prepare()
        train, test = (list(builder.as_dataset(split=name).as_numpy_iterator()) for name in ("train", "test"))
    assert [(e["subject"], e["condition"], e["view"]) for e in train + test] == [
        (b"00001", b"01", 180),
        (b"00002", b"01", 180),
    ]
    assert train[0]["silhouettes"].shape == (1, 64, 64) and train[0]["silhouettes"].max() == 255

"""RAF-DB basic: 15,339 real-world faces, each labelled by about forty people with one of seven expressions.

Paper: Li, Deng, Du, "Reliable Crowdsourcing and Deep Locality-Preserving Learning for Expression Recognition in the
  Wild", CVPR 2017
Slug: ltnet
Idea: photographs from the web in colour, aligned to 100 x 100 pixels; 12,271 train and 3,068 test.
Differs: labels 1 to 7 become the seven expressions in FER2013's order; the aligned pictures are read, or the original
  ones where there are no aligned ones.
Checked: folders in the published layout, codes, absent pictures, wrong lines (tests/test_face_data.py).
"""

import os
import pathlib
import re
from collections.abc import Callable

import numpy as np

from hub.data.face_builder import FaceBuilder
from hub.data.face_images import EXPRESSIONS, Face, Faces
from hub.registry import register

LISTS = ("list_patition_label.txt", "list_partition_label.txt")  # the first is how it is published
LAYOUT = f"EmoLabel/{LISTS[0]} and Image/aligned/train_00001_aligned.jpg"
CODES = ("surprise", "fear", "disgust", "happy", "sad", "angry", "neutral")  # 1 to 7


def faces(folder: str | os.PathLike) -> Faces:
    """The faces in the order of the list; `usage` is train or test. Pictures that are absent are counted in `notes`.

    Args:
        folder: `basic`, or the folder with it.

    Raises:
        ValueError: one sentence: no folder, no list, the line that is wrong, or no picture at all.
    """
    base = pathlib.Path(folder).expanduser()
    if not base.is_dir():
        raise ValueError(f"{folder} is no folder; it must hold {LAYOUT}.")
    base = base / "basic" if (base / "basic").is_dir() else base
    table = next((path for name in LISTS if (path := base / "EmoLabel" / name).is_file()), None)
    if table is None:
        raise ValueError(f"{base} has no EmoLabel/{LISTS[0]}; it must hold {LAYOUT}.")
    aligned = base / "Image" / "aligned"
    there = _pictures(aligned) or _pictures(aligned.parent / "original")
    found, lost = [], []
    for at, row in enumerate(table.read_text(encoding="utf-8-sig", errors="replace").splitlines(), 1):
        if not row.strip():
            continue
        fields = re.fullmatch(r"((train|test)_\w+)\.jpg\s+([1-7])", row.strip())
        if not fields:
            raise ValueError(f"{table}, line {at}: a picture and a number from 1 to 7 are needed, train_00001.jpg 5. "
                             f"Received: {row[:80]!r}.")  # fmt: skip
        name, usage, code = fields.groups()
        if name in there:
            label = EXPRESSIONS.index(CODES[int(code) - 1])
            found.append(Face(name, label, there[name], None, "", usage))
        else:
            lost.append(name)
    if not found:
        raise ValueError(f"{table} names no picture that is there; {base} must hold {LAYOUT}.")
    if not lost:
        return Faces(tuple(found))
    of = len(lost) + len(found)
    note = f"{len(lost)} of {of} pictures are absent or empty and are skipped, {lost[0]} for one."
    return Faces(tuple(found), len(lost), (note,))


@register("raf_db")
class RafDb(FaceBuilder):
    """RAF-DB basic, RGB: splits train and test."""

    HOMEPAGE = "http://www.whdeld.cn/raf/model1.html"
    LAYOUT = LAYOUT
    CHANNELS = 3

    @classmethod
    def parts(cls, folder: pathlib.Path) -> dict[str, Faces]:
        found = faces(folder)
        usage = found.usage
        return {split: found.take(usage == split) for split in ("train", "test") if (usage == split).any()}


def _pictures(folder: pathlib.Path) -> dict[str, pathlib.Path]:
    """train_00001 -> its file, of those that are not empty."""
    if not folder.is_dir():
        return {}
    with os.scandir(folder) as entries:
        found = [(entry.name, entry.stat().st_size) for entry in entries]
    names = [name for name, size in found if size and name.lower().endswith((".jpg", ".png"))]
    return {pathlib.PurePath(name).stem.removesuffix("_aligned"): folder / name for name in names if name[0] != "."}


def contract_example(make: Callable) -> None:
    """A training and a test face come back with their expressions."""
    import tempfile

    from PIL import Image

    with tempfile.TemporaryDirectory() as base:
        pathlib.Path(base, "basic/Image/aligned").mkdir(parents=True)
        pathlib.Path(base, "basic/EmoLabel").mkdir()
        for name, tone in (("train_00001", 90), ("test_0001", 180)):
            picture = Image.fromarray(np.full((100, 100, 3), (tone, 60, 30), np.uint8))
            picture.save(pathlib.Path(base, f"basic/Image/aligned/{name}_aligned.jpg"))
        pathlib.Path(base, f"basic/EmoLabel/{LISTS[0]}").write_text("train_00001.jpg 5\ntest_0001.jpg 1\n")
        builder = make(manual_dir=base, data_dir=pathlib.Path(base, "prepared"))
        builder.download_and_prepare()
        for split, label, tone in (("train", "sad", 90), ("test", "surprise", 180)):
            (example,) = builder.as_dataset(split=split).as_numpy_iterator()
            assert EXPRESSIONS[example["label"]] == label
            assert np.allclose(example["image"].astype(int), (tone, 60, 30), atol=4)

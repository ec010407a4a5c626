"""CVL words: 310 writers, 27 with seven texts and 283 with five, one of the texts German.

Paper: Kleber, Fiel, Diem, Sablatnig, "CVL-DataBase: An Off-Line Database for Writer Retrieval, Writer Identification
    and Word Spotting", ICDAR 2013
Slug: siamese_writer_id
Idea: everyone copies the same texts, so that what is written says nothing of who wrote it.
Differs: nothing; the transcription is all of a file's name behind the fourth hyphen, hyphens and umlauts included.
    Which part holds the 27 writers is recalled, not looked up, and nothing here depends on it.
Checked: folders in the published layout with hyphens, umlauts in both encodings, gaps and strange names
    (tests/test_iam_cvl.py).
"""

import os
import pathlib
import re
import unicodedata
from collections.abc import Callable

from hub.data import writer_splits
from hub.data.word_builder import WordBuilder
from hub.data.word_images import Word, Words
from hub.registry import register

PARTS = ("trainset", "testset")
LAYOUT = "cvl-database-1-1/{trainset,testset}/words/0052/0052-1-0-0-Imagine.tif"
_SUFFIXES = (".tif", ".tiff", ".png")


def parts(folder: str | os.PathLike) -> dict[str, Words]:
    """trainset and testset -> their words, in the order of writer, text, line and word; no writer is in both.

    Raises:
        ValueError: one sentence: no folder, still packed, another layout, or no words.
    """
    base = _base(folder)
    found = {part: _words(base / part / "words") for part in PARTS if (base / part / "words").is_dir()}
    found = {part: words for part, words in found.items() if len(words)}
    if not found:
        raise ValueError(f"{base} has no words; it must hold {LAYOUT}.")
    return found


def words(folder: str | os.PathLike) -> Words:
    """The words of both parts. Raises ValueError as `parts`; an absent part is noted."""
    found = parts(folder)
    absent = [f"{part} has no words and is left out." for part in PARTS if part not in found]
    each = tuple(word for some in found.values() for word in some)
    notes = [note for some in found.values() for note in some.notes]
    return Words(each, sum(some.missing for some in found.values()), (*notes, *absent))


def pages(folder: str | os.PathLike) -> Words:
    """The scanned pages, each as one long word without text: pages/0052-1.tif of either part, in order.

    Raises:
        ValueError: one sentence: as `parts`, about pages.
    """
    base, found = _base(folder), []
    for path in (path for part in PARTS for path in sorted((base / part / "pages").glob("*"))):
        if path.suffix.lower() in _SUFFIXES and (name := re.fullmatch(r"(\d{4})-\d+", path.stem)):
            found.append(Word(name[1], path.stem, "", path))
    if not found:
        raise ValueError(f"{base} has no pages; it must hold {LAYOUT.replace('words/0052', 'pages').split('-1-0')[0]}"
                         "-1.tif.")  # fmt: skip
    return Words(tuple(found))


def line(word: Word) -> str:
    """The line of a word on its page, four digits."""
    return word.path.stem.split("-", 4)[2].zfill(4)


def word_split(words: Words, seed: int = 0) -> tuple[Words, Words]:
    """(train, test) of word-level identification: one page of each writer tests, the others train."""
    return writer_splits.by_page(words, line, seed)


@register("cvl")
class Cvl(WordBuilder):
    """CVL words: picture, writer, page, transcription; the tfds splits are its parts, trainset and testset.

    Leave-one-out retrieval, the published protocol, takes the pages of `hub.data.writer_splits.documents`.
    """

    HOMEPAGE = "https://cvl.tuwien.ac.at/research/cvl-databases/an-off-line-database-for-writer-retrieval-writer-identification-and-word-spotting/"
    LAYOUT = LAYOUT

    @classmethod
    def parts(cls, folder: pathlib.Path) -> dict[str, Words]:
        return parts(folder)


def _base(folder: str | os.PathLike) -> pathlib.Path:
    base = pathlib.Path(folder).expanduser()
    if not base.is_dir():
        raise ValueError(f"{folder} is no folder; it must hold {LAYOUT}.")
    base = base / "cvl-database-1-1" if (base / "cvl-database-1-1").is_dir() else base
    if not any((base / part).is_dir() for part in PARTS):
        packed = sorted(path.name for path in base.glob("*.zip"))
        what = f"still is packed, {packed[0]}; unpack it" if packed else "has neither trainset nor testset"
        raise ValueError(f"{base} {what}; it must hold {LAYOUT}.")
    return base


def _words(folder: pathlib.Path) -> Words:
    found, strange, empty = [], [], []
    for path in folder.glob("*/*"):
        if path.suffix.lower() not in _SUFFIXES or path.name[0] == ".":
            continue
        fields = path.stem.split("-", 4)
        if len(fields) < 5 or not all(re.fullmatch("[0-9]+", field) for field in fields[:4]):
            strange.append(path)
        elif not path.stat().st_size:
            empty.append(path)
        else:
            word = Word(fields[0], f"{fields[0]}-{fields[1]}", _text(fields[4]), path)
            found.append(((fields[0], *map(int, fields[1:4])), word))
    found.sort(key=lambda each: (each[0], each[1].path.name))
    notes = [
        f"{len(paths)} pictures {what} and are left out, {min(paths)} for one."
        for paths, what in ((strange, "are not named like 0052-1-0-0-Imagine.tif"), (empty, "are empty files"))
        if paths
    ]
    return Words(tuple(word for _, word in found), len(empty), tuple(notes))


def _text(name: str) -> str:
    """What a name says: unpacked on a Mac it has its umlauts in two characters, by an old unzip in one byte."""
    data = os.fsencode(name)
    try:
        return unicodedata.normalize("NFC", data.decode("utf-8"))
    except UnicodeDecodeError:
        return data.decode("latin-1")


def contract_example(make: Callable) -> None:
    """A word comes back with what its name says of it."""
    import tempfile

    import cv2
    import numpy as np

    with tempfile.TemporaryDirectory() as base:
        folder = pathlib.Path(base, "cvl-database-1-1/testset/words/0052")
        folder.mkdir(parents=True)
        cv2.imwrite(str(folder / "0052-6-0-3-Auf-Geräte.tif"), np.full((30, 50, 3), 200, np.uint8))
        builder = make(manual_dir=base, data_dir=pathlib.Path(base, "prepared"))
        builder.download_and_prepare()
        (example,) = builder.as_dataset(split="testset").as_numpy_iterator()
    assert example["image"].shape == (30, 50, 1) and (example["image"] == 200).all()
    assert (example["writer"], example["page"]) == (b"0052", b"0052-6")
    assert example["text"].decode() == "Auf-Geräte"

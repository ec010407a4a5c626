"""IAM words: 115,320 English words by 657 hands on 1,539 scanned forms, with transcriptions.

Paper: Marti, Bunke, "The IAM-database: an English sentence database for offline handwriting recognition", IJDAR 5(1),
    2002
Slug: siamese_writer_id
Idea: forms that many people copied in their own hand, parted into lines and words, so that a word tells the writer.
Differs: the header of words.txt announces a number of components that its lines do not have: nine fields are read.
    Words whose line says `err`, a doubtful segmentation, are kept unless told otherwise, as writer identification does.
Checked: folders in the published layout with comments, `err` lines, broken and absent pictures; writers from forms.txt
    and from XML; lines with missing fields; splits against plain loops (tests/test_iam_cvl.py).
"""

import os
import pathlib
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterator

from hub.data import writer_splits
from hub.data.word_builder import WordBuilder
from hub.data.word_images import Word, Words
from hub.registry import register

BROKEN = ("a01-117-05-02", "r06-022-03-05")  # the published archive holds no pictures under these two names
LAYOUT = "words.txt, forms.txt or xml/, and words/a01/a01-000u/a01-000u-00-00.png"
FIELDS = ("id", "ok or err", "grey level", "x", "y", "width", "height", "tag", "transcription")


def words(folder: str | os.PathLike, *, keep_err: bool = True) -> Words:
    """The words under `folder` in the order of words.txt, or of ascii/words.txt.

    Args:
        folder: what the archives words.tgz, ascii.tgz and xml.tgz unpack to.
        keep_err: whether words whose line says `err`, that its segmentation may be wrong, are among them.

    Raises:
        ValueError: one sentence: no folder, still packed, another layout, or the file and the line that is wrong.
    """
    base = pathlib.Path(folder).expanduser()
    if not base.is_dir():
        raise ValueError(f"{folder} is no folder; it must hold {LAYOUT}.")
    table = _text_file(base, "words.txt")
    if table is None:
        packed = sorted(path.name for path in base.glob("*.tgz"))
        what = f"still has packed files, {packed[0]} among them; unpack them" if packed else "has no words.txt"
        raise ValueError(f"{base} {what}; it must hold {LAYOUT}.")
    pictures = base / "words" if (base / "words").is_dir() else base
    writers, there = _Writers(base), {}
    found, lost, broken, unknown, doubtful = [], [], 0, [], 0
    for name, good, text in _lines(table):
        form = name.rsplit("-", 2)[0]
        if not (good or keep_err):
            doubtful += 1
        elif name in BROKEN:
            broken += 1
        elif (writer := writers.of(form)) is None:
            unknown.append(form)
        else:
            place = pictures / form.split("-")[0] / form
            if form not in there:
                there[form] = _pictures(place)
            if f"{name}.png" in there[form]:
                found.append(Word(writer, form, text, place / f"{name}.png"))
            else:
                lost.append(name)
    notes = []
    if broken:
        notes.append(f"{broken} words whose published pictures are broken are skipped.")
    if lost:
        of = len(lost) + len(found)
        notes.append(f"{len(lost)} of {of} words have no picture or an empty one and are skipped, {lost[0]} for one.")
    if unknown:
        notes.append(f"{len(unknown)} words are on forms without a writer and are skipped, {unknown[0]} for one.")
    if doubtful:
        notes.append(f"{doubtful} words of doubtful segmentation are left out.")
    if not found:
        raise ValueError(f"{table} names no word with a picture and a writer; {base} must hold {LAYOUT}.")
    return Words(tuple(found), broken + len(lost) + len(unknown), tuple(notes))


def line(word: Word) -> str:
    """The line of a word on its form, two digits."""
    return word.path.stem.split("-")[-2]


def word_split(words: Words, seed: int = 0) -> tuple[Words, Words]:
    """(train, test) of word-level identification: one page of each writer tests, half of the page of who has one."""
    return writer_splits.by_page(words, line, seed)


def page_split(words: Words, seed: int = 0) -> Words:
    """Words of two documents of each writer, for leave-one-out retrieval of pages."""
    return writer_splits.two_documents(words, line, seed)


@register("iam")
class Iam(WordBuilder):
    """IAM words: picture, writer, form, transcription. One tfds split, `words`; `word_split` knows the protocol."""

    HOMEPAGE = "https://fki.tic.heia-fr.ch/databases/iam-handwriting-database"
    LAYOUT = LAYOUT

    @classmethod
    def parts(cls, folder: pathlib.Path) -> dict[str, Words]:
        return {"words": words(folder)}


class _Writers:
    """Form -> writer, from forms.txt and, for forms that it lacks, from the form's XML file."""

    def __init__(self, base: pathlib.Path) -> None:
        self.xml = base / "xml"
        table = _text_file(base, "forms.txt")
        if table is None and not self.xml.is_dir():
            raise ValueError(f"{base} has neither forms.txt nor xml/, so nothing tells the writers; it must hold "
                             f"{LAYOUT}.")  # fmt: skip
        self.known: dict[str, str | None] = {}
        for at, row in _rows(table) if table else ():
            if len(fields := row.split()) < 2:
                raise ValueError(f"{table}, line {at}: a form and its writer are needed. Received: {row!r}.")
            self.known[fields[0]] = fields[1]

    def of(self, form: str) -> str | None:
        if form not in self.known:
            path = self.xml / f"{form}.xml"
            self.known[form] = _xml_writer(path) if path.is_file() else None
        return self.known[form]


def _xml_writer(path: pathlib.Path) -> str | None:
    """The writer that the first element of a form's file names; the rest is not read."""
    try:
        _, root = next(ElementTree.iterparse(path, ["start"]))
    except (ElementTree.ParseError, StopIteration) as error:
        raise ValueError(f"{path} is damaged or cut short; a form of IAM is an XML file.") from error
    return root.get("writer-id")


def _lines(table: pathlib.Path) -> Iterator[tuple[str, bool, str]]:
    """(name, whether the segmentation is good, transcription) of each word."""
    seen: dict[str, int] = {}
    for at, row in _rows(table):
        fields = row.split(" ", 8)
        if len(fields) < 9:
            raise ValueError(
                f"{table}, line {at}: {len(fields)} of 9 fields, the {FIELDS[len(fields)]} is missing. "
                f"Received: {row[:80]!r}."
            )
        if not re.fullmatch(r"\w+-\w+-\d+-\d+", fields[0]):
            raise ValueError(f"{table}, line {at}: a word is called like a01-000u-00-00. Received: {fields[0][:80]!r}.")
        if fields[1] not in ("ok", "err"):
            raise ValueError(f"{table}, line {at}: the second field is ok or err. Received: {fields[1][:80]!r}.")
        if fields[0] in seen:
            raise ValueError(f"{table}, line {at}: the word {fields[0]} is that of line {seen[fields[0]]}.")
        seen[fields[0]] = at
        yield fields[0], fields[1] == "ok", fields[8]


def _rows(table: pathlib.Path) -> Iterator[tuple[int, str]]:
    """Line number and text of what is no comment."""
    with open(table, encoding="utf-8-sig", errors="replace") as file:
        for at, row in enumerate(file, 1):
            if (row := row.strip()) and row[0] != "#":
                yield at, row


def _text_file(base: pathlib.Path, name: str) -> pathlib.Path | None:
    return next((path for path in (base / name, base / "ascii" / name) if path.is_file()), None)


def _pictures(folder: pathlib.Path) -> set[str]:
    """Names of the files that are not empty."""
    if not folder.is_dir():
        return set()
    with os.scandir(folder) as entries:
        return {entry.name for entry in entries if entry.stat().st_size}


def contract_example(make: Callable) -> None:
    """A word comes back with what the tables say of it."""
    import tempfile

    import cv2
    import numpy as np

    with tempfile.TemporaryDirectory() as base:
        folder = pathlib.Path(base, "words/a01/a01-000u")
        folder.mkdir(parents=True)
        cv2.imwrite(str(folder / "a01-000u-00-00.png"), np.full((30, 50), 200, np.uint8))
        pathlib.Path(base, "words.txt").write_text("#--- header\na01-000u-00-00 ok 154 408 768 50 30 AT A\n")
        pathlib.Path(base, "forms.txt").write_text("a01-000u 000 2 prt 7 5 52 36\n")
        builder = make(manual_dir=base, data_dir=pathlib.Path(base, "prepared"))
        builder.download_and_prepare()
        (example,) = builder.as_dataset(split="words").as_numpy_iterator()
    assert example["image"].shape == (30, 50, 1) and (example["image"] == 200).all()
    assert (example["writer"], example["page"], example["text"]) == (b"000", b"a01-000u", b"A")

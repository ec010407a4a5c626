"""What tfds builders of chest-film archives share: the features, the lung masks, the text of a clinical reading."""

import concurrent.futures
import hashlib
import os
import pathlib
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds
from PIL import Image

from hub.data import chest_film
from hub.data.local_builder import LocalBuilder

ASPECT = 0.02  # by which a mask's width : height may differ from its film's
READ_AHEAD = 64  # films that are read together, by all cores
_UNIT = r"(?P<unit>y(?:ears?|rs?)?|m(?:onths?|os?)?|w(?:eeks?|ks?)?|d(?:ays?)?)\b\.?(?:[ -]*old\b)?"
_SEX = re.compile(
    r"(?:patient'?s?\s+)?\b(?:sex|gender)\b[ \t]*(?:[:=]|(?=(?:fe)?male\b|[mf]\b))[ \t]*(?P<label>[a-z]*)"
    r"|\b(?P<word>(?:fe?)?male?)\b",
    re.I,
)
_LABELLED_AGE = re.compile(
    r"(?:patient'?s?\s+)?\bage\b[ \t]*(?:[:=]|(?=\d))[ \t]*"
    rf"(?:(?P<number>\d{{1,4}}(?:\.\d+)?)[ \t]*(?:{_UNIT})?|unknown\b|n/?a\b|-)?",
    re.I,
)
_AGE = re.compile(rf"\b(?P<number>\d{{1,3}}(?:\.\d+)?)[ \t-]*{_UNIT}", re.I)
_YEARS = {"y": 1.0, "m": 1 / 12, "w": 7 / 365.25, "d": 1 / 365.25}
SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".dcm", ".dicom")


class Film(NamedTuple):
    """One file of an archive and what the archive says of it."""

    path: pathlib.Path
    name: str  # as the archive names it
    label: int  # 1 tuberculosis, 0 other, -1 unknown
    patient: str  # unique across archives
    masks: tuple[pathlib.Path, ...] = ()  # their union is the lungs
    sex: str = ""  # M, F
    age: int = -1  # full years
    finding: str = ""
    split: str = ""  # train, val, test, where the archive says


class Reading(NamedTuple):
    """The text beside a film."""

    sex: str
    age: int
    finding: str


class FilmBuilder(LocalBuilder, skip_registration=True):
    """Gray square films of one archive, with lung masks where it has them.

    The tfds splits are the archive's own, or one called `films`.

    Args:
        size: height and width of the films and masks.
        manual_dir, data_dir: as `LocalBuilder`.

    Raises:
        ValueError: the folder is missing or does not hold the layout; one sentence.
    """

    HOMEPAGE = ""
    LAYOUT = "films of one archive"

    def __init__(self, *, size: int = 256, manual_dir: str | os.PathLike | None = None, **kwargs: Any) -> None:
        self.size = size
        super().__init__(manual_dir=manual_dir, **kwargs)

    @classmethod
    def holds(cls, folder: pathlib.Path) -> bool:
        """Whether `folder` looks like this archive, complete or not."""
        raise NotImplementedError

    @classmethod
    def films(cls, folder: pathlib.Path) -> list[Film]:
        """Every film under `folder`, in the order of the names. Raises ValueError where the layout is incomplete."""
        raise NotImplementedError

    @classmethod
    def source(cls, folder: pathlib.Path) -> str:
        """What the archive is called among others."""
        return cls.name

    @classmethod
    def sources(cls, folder: pathlib.Path) -> dict[str, pathlib.Path]:
        return dict.fromkeys(_by_split(cls._complete(folder)), folder)

    @classmethod
    def _complete(cls, folder: pathlib.Path) -> list[Film]:
        if not folder.is_dir():
            raise ValueError(f"{folder} is no folder; it must hold {cls.LAYOUT}.")
        found = cls.films(folder)
        if not found:
            raise ValueError(f"{folder} has no films; it must hold {cls.LAYOUT}.")
        return found

    def features(self) -> dict[str, Any]:
        text = tfds.features.Text
        return {
            "image": tfds.features.Image(shape=(self.size, self.size, 1), encoding_format="png"),
            "mask": tfds.features.Image(shape=(self.size, self.size, 1), encoding_format="png"),  # 0 and 1
            "has_mask": np.bool_,
            "label": np.int64,
            "patient": text(),
            "source": text(),
            "sex": text(),
            "age": np.int64,
            "finding": text(),
            "split": text(),
            "name": text(),
            "sha256": text(),
        }

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Iterator]:
        folder = pathlib.Path(dl_manager.manual_dir)
        source = self.source(folder)
        splits = _by_split(self._complete(folder))
        return {split: self._generate_examples(films, source) for split, films in splits.items()}

    def _generate_examples(self, films: list[Film], source: str) -> Iterator[tuple[int, dict]]:
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as readers:
            for start in range(0, len(films), READ_AHEAD):
                some = films[start : start + READ_AHEAD]
                yield from enumerate(readers.map(lambda film: self._example(film, source), some), start)

    def _example(self, film: Film, source: str) -> dict[str, Any]:
        image = chest_film.read_film(film.path, self.size).astype(np.uint8)[..., None]
        return {
            "image": image,
            "mask": lungs(film, self.size) if film.masks else np.zeros_like(image),
            "has_mask": bool(film.masks),
            "label": film.label,
            "patient": film.patient,
            "source": source,
            "sex": film.sex,
            "age": film.age,
            "finding": film.finding,
            "split": film.split,
            "name": film.name,
            "sha256": hashlib.sha256(film.path.read_bytes()).hexdigest(),
        }

    def _state(self) -> str:
        """A short name for everything that an example is made of, so that any change is prepared anew."""
        known: list[Any] = [self.size, self.source(self.manual_dir)]
        for film in self._complete(self.manual_dir):
            stats = [path.stat() for path in (film.path, *film.masks)]
            known.append((film, [(stat.st_size, stat.st_mtime_ns) for stat in stats]))
        return hashlib.sha256(repr(known).encode()).hexdigest()[:16]


def _by_split(films: list[Film]) -> dict[str, list[Film]]:
    splits: dict[str, list[Film]] = {}
    for film in films:
        splits.setdefault(film.split or "films", []).append(film)
    return splits


def lungs(film: Film, size: int) -> np.ndarray:
    """The union of a film's masks, uint8 [size, size, 1] of 0 and 1.

    The union is taken at full size and shrunk with antialiasing; a pixel is lung where half of it is or more, so that
    the area survives, which taking the nearest pixel does not promise.
    """
    parts = [_mask(path) for path in film.masks]
    if len({part.shape for part in parts}) > 1:
        raise ValueError(f"{film.masks[0]} and {film.masks[1]} differ in size; masks of one film must be alike.")
    whole = np.logical_or.reduce(parts)
    if not whole.any():
        raise ValueError(f"{film.masks[0]} is empty; a lung mask is bright where the lungs are.")
    high, wide = _shape(film.path)
    if abs(whole.shape[1] * high / (whole.shape[0] * wide) - 1) > ASPECT:
        raise ValueError(
            f"{film.masks[0]} has {whole.shape[1]} x {whole.shape[0]} pixels, its film {wide} x {high}; "
            "a mask must have its film's proportions."
        )
    shares = tf.image.resize(whole[..., None].astype(np.float32), (size, size), antialias=True).numpy()
    return (shares >= 0.5).astype(np.uint8)


def read_reading(path: pathlib.Path) -> Reading:
    """Sex, age and finding from the text beside a film, in any of the spellings of the public archives.

    Montgomery writes `Patient's Sex: F`, `Patient's Age: 026Y`; Shenzhen `male 35yrs`. What is left is the finding.
    Without a file nothing is known.
    """
    if not path.is_file():
        return Reading("", -1, "")
    data = path.read_bytes()
    wide = data[:2] in (b"\xff\xfe", b"\xfe\xff")
    text = data.decode("utf-16" if wide else "utf-8-sig", errors="replace").replace("\0", "")
    sex = _SEX.search(text)
    if sex:
        text = text[: sex.start()] + "\n" + text[sex.end() :]
    age = _LABELLED_AGE.search(text) or _AGE.search(text)
    years = -1
    if age:
        text = text[: age.start()] + "\n" + text[age.end() :]
        if age["number"]:
            years = int(float(age["number"]) * _YEARS[(age["unit"] or "y")[0].lower()] + 1e-9)
    letter = (sex["label"] or sex["word"] or "")[:1].upper() if sex else ""
    finding = " ".join(re.sub(r"^[\s,;:.]+|[\s,;:.]+$", "", line) for line in text.splitlines())
    return Reading(letter if letter in ("M", "F") else "", years if years <= 130 else -1, " ".join(finding.split()))


def _mask(path: pathlib.Path) -> np.ndarray:
    """Boolean [H, W]: brighter than half of the brightest, so that 0/1, 0/255 and 16-bit files are alike."""
    try:
        with Image.open(path) as picture:
            pixels = np.asarray(picture if picture.mode in ("1", "L", "I;16", "I") else picture.convert("L"))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ValueError(f"{path} is no picture that can be read; a lung mask is a PNG file.") from error
    return pixels > pixels.max() / 2


def _shape(path: pathlib.Path) -> tuple[int, int]:
    """Height and width of a film as it is seen, from its header."""
    with open(path, "rb") as file:
        head = file.read(132)
    if chest_film.is_dicom(path, head):
        return chest_film.read_film(path).shape
    with Image.open(path) as picture:
        wide, high = picture.size
        turned = picture.getexif().get(0x0112, 1) >= 5
    return (wide, high) if turned else (high, wide)

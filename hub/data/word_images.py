"""Pictures of handwritten words, whichever data set they come from: read, trimmed to their ink, batched in order."""

import concurrent.futures
import hashlib
import os
import pathlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageOps

MAX_PIXELS = 100_000_000  # a larger picture is refused before it is decoded
CONTRAST = 24  # grey levels between paper and ink; fainter marks are paper
_READ_AHEAD = 256  # words that are read together, by all cores
_KINDS = "a PNG, TIFF, JPEG or BMP file"


@dataclass(frozen=True)
class Word:
    """One word by one hand."""

    writer: str  # "000"
    page: str  # "a01-000u"; no two writers share one
    text: str
    path: pathlib.Path
    box: tuple[int, int, int, int] | None = None  # x, y, width, height in the picture at `path`; None: all of it

    @property
    def name(self) -> str:
        """What the picture is called: a01-000u-00-00."""
        return self.path.stem


@dataclass(frozen=True)
class Words(Sequence[Word]):
    """N words in order; a slice, or `take`, is a smaller `Words` about which nothing is missing."""

    words: tuple[Word, ...]
    missing: int = 0  # words of the layout that are absent or broken, and so are not among the words
    notes: tuple[str, ...] = ()  # sentences for the user

    def __len__(self) -> int:
        return len(self.words)

    def __getitem__(self, index: int | slice) -> "Word | Words":
        return Words(self.words[index]) if isinstance(index, slice) else self.words[index]

    def take(self, indices: np.ndarray | Iterable[int]) -> "Words":
        """The words at `indices` (integers, or N booleans), in their order."""
        indices = np.asarray(indices)
        indices = np.flatnonzero(indices) if indices.dtype == bool else indices.astype(np.int64)
        return Words(tuple(self.words[index] for index in indices))

    @property
    def writer(self) -> np.ndarray:
        """str [N]."""
        return np.array([word.writer for word in self.words], np.str_)

    @property
    def page(self) -> np.ndarray:
        """str [N]."""
        return np.array([word.page for word in self.words], np.str_)

    @property
    def text(self) -> np.ndarray:
        """str [N]."""
        return np.array([word.text for word in self.words], np.str_)

    @property
    def label(self) -> np.ndarray:
        """int32 [N]: the writers of these words, numbered 0, 1, ... in the order of their names."""
        return np.unique(self.writer, return_inverse=True)[1].astype(np.int32)


class Levels(NamedTuple):
    """Grey levels, 0 to 255, of what is written on and with."""

    paper: float
    ink: float  # equal to `paper` where nothing is written


def read(word: Word) -> np.ndarray:
    """The picture of a word: uint8 [H, W], dark ink on light paper, as large as it was scanned.

    Raises:
        ValueError: one sentence: what `read_picture` raises, or a box that does not lie in the picture.
    """
    picture = read_picture(word.path)
    if word.box is None:
        return picture
    x, y, width, height = word.box
    if min(x, y) < 0 or min(width, height) < 1 or y + height > picture.shape[0] or x + width > picture.shape[1]:
        high, wide = picture.shape
        raise ValueError(f"{word.path} has {wide} x {high} pixels; the box {word.box} does not lie in it.")
    return picture[y : y + height, x : x + width].copy()


def read_picture(path: str | os.PathLike) -> np.ndarray:
    """Any grey or colour picture, of 1 to 16 bits, as uint8 [H, W]; what is transparent is white.

    Raises:
        ValueError: one sentence: no such file, damaged, cut short, of another kind, over 100 megapixels.
    """
    try:
        with Image.open(path) as picture:
            if picture.width * picture.height > MAX_PIXELS:
                limit = MAX_PIXELS // 1_000_000
                raise _RefusedError(f"{path} has more than {limit} megapixels; make the picture smaller.")
            picture.load()
            return _grey(ImageOps.exif_transpose(picture), path)
    except _RefusedError:
        raise
    except FileNotFoundError as error:
        raise ValueError(f"{path} does not exist; name {_KINDS}.") from error
    except IsADirectoryError as error:
        raise ValueError(f"{path} is a folder; name a picture in it.") from error
    except Image.DecompressionBombError as error:
        raise ValueError(f"{path} has more than {MAX_PIXELS // 1_000_000} megapixels; make it smaller.") from error
    except Exception as error:  # Pillow's readers raise whatever the damaged bytes lead to
        raise ValueError(f"{path} is cut short, damaged or not {_KINDS}; save the picture again.") from error


def levels(image: np.ndarray) -> Levels:
    """Paper and ink of a word or a page, uint8 [H, W].

    Otsu's threshold parts the pixels; paper is the median of the light ones and ink that of the dark ones, so that
    edges, which are neither, count little. Where the two are closer than `CONTRAST` nothing is written.
    """
    _check(image)
    counts = np.bincount(image.ravel(), minlength=256).astype(np.float64)
    grades = np.arange(256)
    below, mass = np.cumsum(counts), np.cumsum(counts * grades)
    with np.errstate(divide="ignore", invalid="ignore"):
        between = (mass[-1] * below / below[-1] - mass) ** 2 / (below * (below[-1] - below))
    at = int(np.nanargmax(np.where(np.isfinite(between), between, -1)))
    dark, light = image[image <= at], image[image > at]
    if dark.size and light.size:
        paper, ink = float(np.median(light)), float(np.median(dark))
        if paper - ink >= CONTRAST:
            return Levels(paper, ink)
    return Levels(float(np.median(image)), float(np.median(image)))


def ink_mask(image: np.ndarray) -> np.ndarray:
    """bool [H, W]: nearer to ink than to paper; all False where nothing is written."""
    paper, ink = levels(image)
    return image < (paper + ink) / 2 if paper > ink else np.zeros(image.shape, bool)


def trim(image: np.ndarray, margin: int = 2) -> np.ndarray:
    """The part of a word that its ink fills, with `margin` pixels of paper around it where the picture has them.

    Args:
        image: uint8 [H, W].
        margin: pixels.

    Returns:
        uint8 [h, w], h <= H and w <= W.

    Raises:
        ValueError: no grey bytes, or nothing is written.
    """
    mask = ink_mask(image)
    if not mask.any():
        raise ValueError(f"The word of {image.shape[1]} x {image.shape[0]} pixels is blank; dark ink on light paper is "
                         "needed.")  # fmt: skip
    rows, columns = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
    top, left = max(rows[0] - margin, 0), max(columns[0] - margin, 0)
    return image[top : rows[-1] + 1 + margin, left : columns[-1] + 1 + margin].copy()


def read_many(words: Sequence[Word], reader: Callable[[Word], np.ndarray] = read) -> Iterator[np.ndarray]:
    """`reader` of each word in turn, by all cores."""
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as readers:  # decoding lets other threads run
        for start in range(0, len(words), _READ_AHEAD):
            yield from readers.map(reader, words[start : start + _READ_AHEAD])


def state(words: Iterable[Word]) -> str:
    """A short name for the words, what is known of them and their files: a file that changes gives another name."""
    digest = hashlib.sha256()
    for word in words:
        found = word.path.stat()
        known = (word.writer, word.page, word.text, word.box, os.path.abspath(word.path))
        digest.update(repr((*known, found.st_size, found.st_mtime_ns)).encode())
    return digest.hexdigest()[:16]


class _RefusedError(ValueError):
    """A picture that could be read and is not taken."""


def _grey(picture: Image.Image, path: str | os.PathLike) -> np.ndarray:
    if picture.mode.startswith("I"):  # 16 bits
        pixels = np.asarray(picture).astype(np.int64)
        if pixels.min(initial=0) < 0 or pixels.max(initial=0) > 65535:
            raise _RefusedError(f"{path} has more than 16 bits a pixel; save it with 8 or 16.")
        return ((pixels + 128) // 257).astype(np.uint8)
    if picture.mode == "F":
        raise _RefusedError(f"{path} holds fractions; save it with 8 or 16 bits a pixel.")
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
    return np.array(picture.convert("L"))


def _check(image: np.ndarray) -> None:
    if getattr(image, "ndim", None) != 2 or image.dtype != np.uint8 or not image.size:
        got = f"{image.dtype} {image.shape}" if hasattr(image, "dtype") else type(image).__name__
        raise ValueError(f"A word is a grey picture, uint8 [height, width], dark on light. Received: {got}.")

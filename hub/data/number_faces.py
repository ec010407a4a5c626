"""Digits and letters as coverage masks: TrueType faces that ship with Python packages, Hershey faces, handwriting.

No system font is used, so a seed gives the same number on every machine that has the same package versions.
"""

import functools
import importlib.util
import pathlib
from collections.abc import Callable, Sequence
from typing import NamedTuple

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from hub.data import stroke_digits

PRINTED = {  # package -> file patterns of faces that are met on houses
    "matplotlib": (
        *("DejaVuSans", "DejaVuSans-*", "DejaVuSansMono*", "DejaVuSerif", "DejaVuSerif-*"),
        *("STIXGeneral*", "cmr10", "cmb10", "cmss10", "cmtt10", "cmti10"),
    ),
    "font_roboto": ("Roboto-[!T]*",),  # not Thin
    "font_source_serif_pro": ("SourceSerifPro-*",),
    "font_fredoka_one": ("*",),
}
HANDWRITTEN = {"font_amatic_sc": ("*",), "font_intuitive": ("*",)}
HERSHEY = (cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_DUPLEX, cv2.FONT_HERSHEY_COMPLEX, cv2.FONT_HERSHEY_TRIPLEX)
_MASTER = 96  # height in pixels at which a printed glyph is drawn once and kept


class Glyph(NamedTuple):
    """One drawn character."""

    mask: np.ndarray  # uint8 [h, w] coverage 0..255, cropped to the ink
    drop: float  # pixels of ink below the baseline, negative above it


Ink = Callable[[np.random.Generator, Sequence[int], int], list[Glyph]]  # (rng, digits, height in pixels) -> glyphs


def written(rng: np.random.Generator, digits: Sequence[int], height: int) -> list[Glyph]:
    """Digits about `height` pixels high in one face or one hand: 35 % of the numbers are handwritten."""
    kind = rng.random()
    if kind < 0.3:
        return _by_hand(rng, digits, height)
    if kind < 0.35:
        face, stretch = _pick(rng, faces(True)), float(rng.uniform(1, 1.7))  # one of the two faces is condensed
        return [_warped(draw(face, str(digit), height, stretch), rng) for digit in digits]
    hershey = ("hershey", int(rng.choice(HERSHEY)), int(rng.integers(4, 17)))
    face = hershey if kind < 0.45 else _pick(rng, faces(False))
    stretch = float(np.exp(rng.normal(0, 0.1)))
    return [draw(face, str(digit), height, stretch) for digit in digits]


def lettering(rng: np.random.Generator, text: str, height: int) -> list[Glyph]:
    """Letters and digits of a sign in one printed face."""
    face = _pick(rng, faces(False))
    return [draw(face, character, height) for character in text]


@functools.cache
def faces(handwritten: bool) -> tuple[str, ...]:
    """Paths of the TrueType files, in an order that does not depend on the machine.

    Raises:
        ModuleNotFoundError: a package that ships faces is not installed.
    """
    found = []
    for package, patterns in (HANDWRITTEN if handwritten else PRINTED).items():
        spec = importlib.util.find_spec(package)
        if spec is None:
            raise ModuleNotFoundError(f"The digit faces of {package!r} are missing: pip install {package}.")
        files = {path for pattern in patterns for path in pathlib.Path(spec.origin).parent.rglob(f"{pattern}.ttf")}
        found += sorted(str(path) for path in files)
    return tuple(found)


def draw(face: str | tuple, character: str, height: int, stretch: float = 1.0) -> Glyph:
    """A character of a face whose digit 8 is `height` pixels high, `stretch` times as wide as designed."""
    mask, drop = _master(face, character)
    scale = height / _master(face, "8")[0].shape[0]
    size = max(2, round(mask.shape[1] * scale * stretch)), max(2, round(mask.shape[0] * scale))
    return Glyph(cv2.resize(mask, size, interpolation=cv2.INTER_AREA), drop * scale)


@functools.lru_cache(maxsize=4096)
def _master(face: str | tuple, character: str) -> tuple[np.ndarray, float]:
    """Mask and drop of a character drawn once, large."""
    side = 3 * _MASTER
    if isinstance(face, tuple):
        canvas = np.zeros((side, side), np.uint8)
        zoom = _MASTER / 22  # a Hershey digit is 21 to 22 units high
        cv2.putText(canvas, character, (_MASTER, 2 * _MASTER), face[1], zoom, 255, face[2], cv2.LINE_AA)
    else:
        image = Image.new("L", (side, side))
        ImageDraw.Draw(image).text((_MASTER, 2 * _MASTER), character, 255, _font(face), anchor="ls")
        canvas = np.asarray(image)
    left, top, width, height = cv2.boundingRect(canvas)
    return canvas[top : top + height, left : left + width].copy(), top + height - 2.0 * _MASTER


@functools.lru_cache(maxsize=256)
def _font(path: str) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(path, round(1.3 * _MASTER))


def _by_hand(rng: np.random.Generator, digits: Sequence[int], height: int) -> list[Glyph]:
    """One writer's digits, of uneven size on an uneven baseline."""
    writer = stroke_digits.writer(rng)
    glyphs = []
    for digit in digits:
        size = height * np.clip(rng.normal(1, 0.08), 0.75, 1.2)
        glyphs.append(Glyph(stroke_digits.write(writer, digit, round(size), rng), rng.normal(0, 0.06) * height))
    return glyphs


def _warped(glyph: Glyph, rng: np.random.Generator) -> Glyph:
    """A smooth elastic warp, so that a handwriting face does not repeat itself."""
    height, width = glyph.mask.shape
    pad = height // 8
    mask = np.pad(glyph.mask, pad)
    shift = rng.normal(0, 0.025 * height, (3, 3, 2)).astype(np.float32)
    shift = cv2.resize(shift, mask.shape[::-1], interpolation=cv2.INTER_CUBIC)
    y, x = np.indices(mask.shape, np.float32)
    mask = cv2.remap(mask, x + shift[..., 0], y + shift[..., 1], cv2.INTER_LINEAR)
    left, top, width, height = cv2.boundingRect(mask)
    return Glyph(mask[top : top + height, left : left + width], glyph.drop + rng.normal(0, 0.03) * height)


def _pick(rng: np.random.Generator, options: Sequence) -> str:
    return options[int(rng.integers(len(options)))]

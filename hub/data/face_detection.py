"""Faces in a picture by a cascade of Haar-like features, and the square crops that networks see of them.

Paper: Viola and Jones, "Rapid Object Detection using a Boosted Cascade of Simple Features", CVPR 2001
Slug: viola_jones
Idea: sums over rectangles cost four look-ups in an integral image, and a cascade of boosted stages drops nearly all
  windows after a few of them.
Differs: the cascade is the one for frontal faces that OpenCV ships, of 25 stages over 24 x 24 pixels. Pictures of more
  than 1,600 pixels a side are searched at reduced size. The score of a face, which the paper does not have, adds up by
  how much its windows pass the last stage; where two faces cover each other by half, the higher one stays.
Checked: boxes equal those of OpenCV's own search where none cover each other; one face on scikit-image's astronaut, 500
  in one picture, none on noise, photos of 100 megapixels; crops against loops over pixels
  (tests/test_face_detection.py).
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np

from hub.registry import register

SEARCHED = 1600  # pixels of the longer side in which faces are looked for
WINDOW = 24  # pixels; the cascade sees nothing smaller
STEP, NEIGHBOURS, LIKE = 1.1, 5, 0.2  # between sizes; windows that a face needs more than; how alike they are
OVERLAP = 0.5  # of the smaller box, from which on two are one face
_own = threading.local()  # a cascade keeps state while it searches


@dataclass(frozen=True)
class Face:
    """A face in a picture."""

    box: tuple[int, int, int, int]  # x, y, width, height in pixels
    score: float  # 0 and up; only the order means something


class Square(NamedTuple):
    """A part of a picture, or beyond it."""

    x: int
    y: int
    side: int


@register("haar_faces")
def detect(picture: np.ndarray, smallest: int = WINDOW, most: int = 1000) -> list[Face]:
    """The frontal faces in a picture, largest first; an empty list where there are none.

    Args:
        picture: uint8, grey [H, W] or RGB [H, W, 3].
        smallest: side of the smallest face to look for, in pixels; time falls with its square.
        most: faces returned; of more, those with the highest scores.

    Raises:
        ValueError: the picture is of another kind or empty; `smallest` or `most` is not positive.
    """
    _check(picture)
    if min(smallest, most) < 1:
        raise ValueError(f"`smallest` and `most` are at least 1. Received: smallest={smallest}, most={most}.")
    high, wide = picture.shape[:2]
    factor = max(1.0, max(high, wide) / SEARCHED)
    if factor > 1:  # before the colours go: that copy would be a large one
        size = (max(1, round(wide / factor)), max(1, round(high / factor)))
        picture = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    grey = picture if picture.ndim == 2 else cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    if min(grey.shape) < WINDOW:
        return []
    boxes, scores = _grouped(*_windows(grey, max(WINDOW, round(smallest / factor))))
    kept = _apart(boxes, scores)[:most]
    kept = kept[np.argsort(-boxes[kept, 2], kind="stable")]
    if factor > 1:
        boxes = np.round(boxes * factor).astype(np.int64)
        boxes[:, 2:] = np.minimum(boxes[:, 2:], (wide, high) - boxes[:, :2])
    return [Face(tuple(map(int, boxes[i])), float(scores[i])) for i in kept]


def square(box: tuple[int, int, int, int], margin: float = 0.0) -> Square:
    """The square around the middle of `box` (x, y, width, height) whose side is the longer one's `1 + margin` times.

    Raises:
        ValueError: the box is empty, or nothing is left with that margin.
    """
    x, y, width, height = box
    side = round(max(width, height) * (1 + margin))
    if min(width, height) < 1 or side < 1:
        raise ValueError(f"A face needs a box of at least one pixel. Received: box={tuple(box)}, margin={margin}.")
    return Square(x + (width - side) // 2, y + (height - side) // 2, side)


def crop(picture: np.ndarray, box: tuple[int, int, int, int], size: int, margin: float = 0.0) -> np.ndarray:
    """What `square(box, margin)` shows, as uint8 [size, size] or [size, size, 3]; outside of the picture its edge goes
    on.

    Raises:
        ValueError: the picture is of another kind or empty, or what `square` raises.
    """
    _check(picture)
    left, top, side = square(box, margin)
    columns, rows = (
        np.clip(np.arange(start, start + side), 0, end - 1)
        for start, end in ((left, picture.shape[1]), (top, picture.shape[0]))
    )
    part = picture[np.ix_(rows, columns)]
    return cv2.resize(part, (size, size), interpolation=cv2.INTER_AREA if side > size else cv2.INTER_LINEAR)


def to_picture(points: np.ndarray, box: tuple[int, int, int, int], margin: float = 0.0) -> np.ndarray:
    """Points [..., 2] in 0..1 of a crop, as x and y in pixels of the picture: float32, 0 at the edge of the first."""
    x, y, side = square(box, margin)
    return (np.asarray(points, np.float64) * side + (x, y)).astype(np.float32)


def to_crop(points: np.ndarray, box: tuple[int, int, int, int], margin: float = 0.0) -> np.ndarray:
    """Points [..., 2] in pixels of the picture, as `to_picture` takes them: float32, 0..1 inside of the crop."""
    x, y, side = square(box, margin)
    return ((np.asarray(points, np.float64) - (x, y)) / side).astype(np.float32)


def _windows(grey: np.ndarray, smallest: int) -> tuple[np.ndarray, np.ndarray]:
    """Every window that passes all stages: boxes int64 [N, 4], and by how much it passes the last, float64 [N]."""
    if not hasattr(_own, "cascade"):
        _own.cascade = cv2.CascadeClassifier(cv2.data.haarcascades + "haarcascade_frontalface_default.xml")
    boxes, _, passed = _own.cascade.detectMultiScale3(
        grey, STEP, 0, minSize=(smallest, smallest), outputRejectLevels=True
    )
    return np.asarray(boxes, np.int64).reshape(-1, 4), np.asarray(passed, np.float64).reshape(-1)


def _grouped(windows: np.ndarray, passed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Windows that are alike as one box, where there are enough of them: int64 [M, 4] and scores float64 [M]."""
    boxes, _ = cv2.groupRectangles(windows.tolist(), NEIGHBOURS, LIKE)
    boxes = np.asarray(boxes, np.int64).reshape(-1, 4)
    passed = np.maximum(passed, 0)
    scores = [passed[np.abs(windows - box).max(axis=1) <= LIKE * box[2]].sum() for box in boxes]
    return boxes, np.array(scores, np.float64)


def _apart(boxes: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Places of the boxes, highest score first, of which none covers a higher one, or is covered, by `OVERLAP`."""
    order = np.argsort(-scores, kind="stable")
    first, last = boxes[:, :2], boxes[:, :2] + boxes[:, 2:]
    kept = []
    while len(order):
        best, order = order[0], order[1:]
        kept.append(best)
        shared = np.minimum(last[best], last[order]) - np.maximum(first[best], first[order])
        smaller = np.minimum(boxes[best, 2:].prod(), boxes[order, 2:].prod(axis=1))
        order = order[np.maximum(shared, 0).prod(axis=1) < OVERLAP * smaller]
    return np.array(kept, np.int64)


def contract_example(make: Callable[..., list[Face]]) -> None:
    """A face drawn from ellipses is found around its middle, and none on bare paper."""
    picture = np.full((200, 240), 200, np.uint8)
    assert make(picture) == []
    parts = [(120, 100, 52, 68, 150), (120, 100, 7, 20, 175), (120, 118, 12, 4, 100), (120, 138, 22, 6, 80)]
    for x in (98, 142):  # eyes and brows; before them head, nose, nostrils, mouth
        parts += [(x, 84, 15, 9, 95), (x, 86, 9, 5, 60), (x, 72, 16, 4, 50)]
    for x, y, width, height, grey in parts:
        cv2.ellipse(picture, (x, y), (width, height), 0, 0, 360, grey, -1)
    (face,) = make(cv2.GaussianBlur(picture, (0, 0), 2))
    x, y, width, height = face.box
    assert abs(x + width / 2 - 120) < 8 and abs(y + height / 2 - 100) < 8 and face.score > 10


def _check(picture: np.ndarray) -> None:
    shape = getattr(picture, "shape", ())
    if len(shape) not in (2, 3) or shape[2:] not in ((), (3,)) or picture.dtype != np.uint8 or not picture.size:
        got = f"{picture.dtype} {shape}" if hasattr(picture, "dtype") else type(picture).__name__
        raise ValueError(f"A picture is uint8, grey [height, width] or RGB [height, width, 3]. Received: {got}.")

"""Faces drawn onto their picture: box, landmarks, and a card with the expression and all seven probabilities."""

import functools
import math
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np

from applications.facial_expression.card_places import FIGURES, HEADLINE, NAMES, ROW, Card, Kept, places
from applications.facial_expression.recognize import Seen
from hub.data.face_images import EXPRESSIONS

LARGEST, SMALLEST = 4000, 640  # pixels of the longer side of what is drawn on; between them a picture keeps its size
COLOURS = (  # red, green, blue of each expression, light enough for the cards
    (240, 100, 75), (160, 195, 70), (185, 145, 240), (250, 205, 60), (95, 165, 245), (80, 215, 205), (205, 205, 205),
)  # fmt: skip
DARK, PAPER, EMPTY = (18, 20, 24), (245, 245, 245), (70, 74, 80)
CLEAR = 0.22  # of the picture that shines through a card


def scale_of(height: int, width: int) -> float:
    """By how much a picture is enlarged before it is drawn on."""
    longer = max(height, width)
    return LARGEST / longer if longer > LARGEST else max(1.0, SMALLEST / longer)


def annotate(
    picture: np.ndarray,
    faces: Sequence[Seen],
    numbers: Sequence[int] | None = None,
    kept: dict[int, Kept] | None = None,
) -> np.ndarray:
    """A copy of uint8 [H, W] or RGB [H, W, 3] as RGB [h, w, 3] with all faces drawn, the longer side 640 to 4,000.

    Args:
        numbers: of the faces as the cards give them; None: 1, 2, ..., and none on a single face.
        kept: where the cards of the frame before lay, by number, so that they do not jump; afterwards of this one.
    """
    scale = scale_of(*picture.shape[:2])
    size = tuple(max(1, round(side * scale)) for side in picture.shape[1::-1])
    canvas = cv2.cvtColor(picture, cv2.COLOR_GRAY2RGB) if picture.ndim == 2 else picture
    if size != picture.shape[1::-1]:
        canvas = cv2.resize(canvas, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    else:
        canvas = canvas.copy()
    if numbers is None:
        numbers = range(1, len(faces) + 1) if len(faces) > 1 else [0] * len(faces)
    heads = [_heads(face, number) for face, number in zip(faces, numbers, strict=True)]
    boxes = np.array([face.box for face in faces], np.float64).reshape(-1, 4) * scale
    for face, box in zip(faces, boxes, strict=True):
        _outline(canvas, face, box, scale)
    kept = {} if kept is None else kept
    widths = [[1.15 * _ink(text, 40).shape[1] / 40 for text in texts] for texts in heads]
    cards, stay = places(boxes, widths, *canvas.shape[:2], [kept.get(number) for number in numbers])
    kept.update(zip(numbers, stay, strict=True))
    for face, card, texts in zip(faces, cards, heads, strict=True):
        _card(canvas, face, card, texts[card.head])
    return canvas


def _heads(face: Seen, number: int) -> list[str]:
    """What a card's first line may say, the most first."""
    share = math.floor(100 * float(face.probabilities.max()) + 0.5)
    said = face.expression + ("" if face.certain else "?")
    return [f"{number}  {said} {share} %", f"{number} {said}", f"{number}"] if number else [f"{said} {share} %", said]


def _outline(canvas: np.ndarray, face: Seen, box: np.ndarray, scale: float) -> None:
    """The box, dark and then in the expression's colour, and the landmarks."""
    colour = COLOURS[EXPRESSIONS.index(face.expression)]
    x, y, right, low = (round(edge) for edge in (*box[:2], *(box[:2] + box[2:])))
    thick = max(2, round(box[2] / 110), round(max(canvas.shape) / 900))
    cv2.rectangle(canvas, (x, y), (right, low), DARK, thick + 2)
    cv2.rectangle(canvas, (x, y), (right, low), colour, thick)
    if face.landmarks is None:
        return
    radius = min(max(box[2] / 110, 0.7), 0.0035 * max(canvas.shape) + 1)
    points = np.round(np.asarray(face.landmarks, np.float64) * (16 * scale)).astype(int)  # in sixteenths of a pixel
    for ink, wide in ((DARK, radius + max(0.5, 0.4 * radius)), (PAPER, radius)):
        if ink == PAPER or radius > 1:
            for point in points.tolist():
                cv2.circle(canvas, point, round(16 * wide), ink, -1, cv2.LINE_AA, 4)


def _card(canvas: np.ndarray, face: Seen, card: Card, head: str) -> None:
    """The expression, and below it a bar for each of the seven."""
    x, y, width, height, letters, _, whole = card
    best = EXPRESSIONS.index(face.expression)
    part = canvas[y : y + height, x : x + width]
    cv2.addWeighted(part, CLEAR, np.full_like(part, DARK), 1 - CLEAR, 0, dst=part)
    edge = max(2, round(letters / 6))
    part[:, :edge] = COLOURS[best]
    left = edge + round(0.45 * letters)
    _write(part, head, left, round(0.92 * letters), round(1.15 * letters), PAPER)
    if not whole:
        return
    row, bar = round(ROW * letters), max(2, round(0.62 * letters))
    start = left + round(NAMES * letters)
    full = width - start - round((FIGURES + 0.3) * letters)
    for i, (name, share) in enumerate(zip(EXPRESSIONS, np.asarray(face.probabilities).tolist(), strict=True)):
        middle = round(HEADLINE * letters) + i * row + row // 2
        ink = PAPER if i == best else (190, 194, 200)
        _write(part, name, left, middle, letters, ink)
        top = middle - bar // 2
        part[top : top + bar, start : start + full] = EMPTY
        part[top : top + bar, start : start + round(full * share)] = COLOURS[i]
        figure = f"{math.floor(100 * share + 0.5)}"
        _write(part, figure, width - round(0.45 * letters) - _ink(figure, letters).shape[1], middle, letters, ink)


def _write(part: np.ndarray, text: str, x: int, middle: int, letters: int, colour: tuple[int, int, int]) -> None:
    """`text` from `x` on, its line's middle at `middle`; what lies outside of `part` is cut off."""
    ink = _ink(text, letters)
    top = middle - ink.shape[0] // 2
    ink = ink[max(0, -top) :, : max(0, part.shape[1] - x)]
    under = part[max(0, top) : max(0, top) + ink.shape[0], x : x + ink.shape[1]]
    ink = ink[: under.shape[0]]
    if ink.size:
        under[:] = np.round(under + (np.array(colour, np.float32) - under) * ink)


@functools.lru_cache(4096)
def _ink(text: str, letters: int) -> np.ndarray:
    """Coverage of a line of text, float32 [height, width, 1] in 0..1, as high for every text."""
    from PIL import Image, ImageDraw

    font = _font(letters)
    ascent, descent = font.getmetrics()
    image = Image.new("L", (max(1, math.ceil(font.getlength(text))), ascent + descent))
    ImageDraw.Draw(image).text((0, 0), text, 255, font)
    return (np.asarray(image, np.float32) / 255)[..., None]


@functools.lru_cache(256)
def _font(letters: int) -> Any:
    from font_roboto import RobotoMedium
    from PIL import ImageFont

    return ImageFont.truetype(RobotoMedium, letters)

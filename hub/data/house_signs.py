"""A house number in its plane: digits laid out, coloured and mounted on a wall, with what hangs around it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from hub.data import house_textures, number_faces
from hub.data.number_faces import Glyph, Ink

STYLES = {"paint": 0.32, "plate": 0.24, "tile": 0.16, "embossed": 0.16, "outlined": 0.12}
LAYOUTS = {"row": 0.86, "column": 0.08, "stairs": 0.06}
CONTRAST = (0.08, 0.8)  # difference of luma between ink and what is behind it, either polarity
HEIGHT = (48, 72)  # of a digit, in pixels of the plane
LETTERING = (
    *("No", "No.", "Nr", "ST", "AVE", "ROAD", "LANE", "rue", "Weg", "PARK", "HILL", "MAIN", "OAK", "via"),
    *("ELM", "CHURCH", "Garden", "Flat", "Apt", "SUITE", "BELL", "MAIL", "Exit", "Open", "STATION", "Calle"),
)


@dataclass(frozen=True)
class Placed:
    """A glyph at a place of the plane."""

    mask: np.ndarray  # uint8 [h, w]
    left: int
    top: int

    @property
    def right(self) -> int:
        return self.left + self.mask.shape[1]

    @property
    def bottom(self) -> int:
        return self.top + self.mask.shape[0]


@dataclass(frozen=True)
class Sign:
    """What hangs on the wall. The labelled number is centred on (0, 0) of the plane; y points down."""

    digits: tuple[Placed, ...]
    strangers: tuple[Placed, ...]  # digits and letters that are no part of the number
    style: str
    height: int
    contrast: float


def extent(placed: Sequence[Placed]) -> tuple[int, int, int, int]:
    """left, top, right, bottom of the union of the glyphs' boxes."""
    return (
        min(p.left for p in placed),
        min(p.top for p in placed),
        max(p.right for p in placed),
        max(p.bottom for p in placed),
    )


def sign(rng: np.random.Generator, labels: Sequence[int], ink: Ink) -> Sign:
    """A random sign with this number."""
    height = int(rng.integers(HEIGHT[0], HEIGHT[1] + 1))
    style = _draw_from(rng, STYLES)
    glyphs = ink(rng, labels, height)
    if style == "outlined":
        glyphs = [_widened(glyph, 2) for glyph in glyphs]
    layout = _draw_from(rng, LAYOUTS) if len(labels) > 1 else "row"
    spacing = height * (rng.uniform(0.2, 0.4) if style == "tile" else rng.uniform(0.03, 0.3))
    digits = _lay(glyphs, spacing, layout, rng)
    left, top, right, bottom = extent(digits)
    dx, dy = -(left + right) // 2, -(top + bottom) // 2
    digits = tuple(replace(p, left=p.left + dx, top=p.top + dy) for p in digits)
    gap = spacing + height * rng.uniform(0.25, 0.8)
    strangers = tuple(_strangers(rng, digits, height, gap, spacing, ink))
    return Sign(digits, strangers, style, height, float(rng.uniform(*CONTRAST)))


def _lay(glyphs: Sequence[Glyph], spacing: float, layout: str, rng: np.random.Generator) -> tuple[Placed, ...]:
    """Glyphs one after another: on a line, under one another, or in falling or rising steps."""
    x = y = 0.0
    step = rng.choice((-1, 1)) * rng.uniform(0.1, 0.35) if layout == "stairs" else 0.0
    placed = []
    for glyph in glyphs:
        high, wide = glyph.mask.shape
        if layout == "column":
            placed.append(Placed(glyph.mask, round(-wide / 2), round(y)))
            y += high + spacing
        else:
            placed.append(Placed(glyph.mask, round(x), round(y + glyph.drop - high)))
            x += wide + spacing
            y += step * high
    return tuple(placed)


def _strangers(
    rng: np.random.Generator, digits: tuple[Placed, ...], height: int, gap: float, spacing: float, ink: Ink
) -> list[Placed]:
    """Neighbouring digits beside the number and lettering above or below it, at least `gap` away."""
    found: list[Placed] = []
    left, top, right, bottom = extent(digits)
    for side in (-1, 1):
        if rng.random() < 0.3:  # one to three digits that do not belong
            size = round(height * rng.choice((1.0, rng.uniform(0.5, 1.2))))
            glyphs = ink(rng, rng.integers(10, size=rng.integers(1, 4)).tolist(), size)
            row = _lay(glyphs, spacing, "row", rng)
            low, _, high, _ = extent(row)
            dx = right + gap - low if side > 0 else left - gap - high
            dy = bottom if rng.random() < 0.6 else rng.uniform(top, bottom + 0.6 * height)
            found += [replace(p, left=round(p.left + dx), top=round(p.top + dy)) for p in row]
    if rng.random() < 0.3:
        text = rng.choice(LETTERING)
        size = round(height * rng.uniform(0.3, 0.7))
        row = _lay(number_faces.lettering(rng, str(text), size), size * 0.12, "row", rng)
        low, upper, high, lower = extent(row)
        dy = top - gap - lower if rng.random() < 0.5 else bottom + gap - upper
        dx = rng.uniform(left - 0.5 * (high - low), right - 0.5 * (high - low)) - low
        found += [replace(p, left=round(p.left + dx), top=round(p.top + dy)) for p in row]
    return found


def paint(rng: np.random.Generator, sign: Sign, window: tuple[int, int, int, int]) -> np.ndarray:
    """The plane inside `window` (left, top, right, bottom): uint8 [h, w, 3] RGB."""
    left, top, right, bottom = window
    size = bottom - top, right - left
    low = rng.uniform(0.04, 0.96 - sign.contrast)
    lumas = [low, low + sign.contrast]
    if rng.random() < 0.5:
        lumas.reverse()
    ground, colour = _colour(rng, lumas[0]), _colour(rng, lumas[1])
    relief = rng.uniform(0.1, 0.4) * min(sign.contrast, 0.3)
    mounted = sign.style in ("plate", "tile")
    wall_colour = _colour(rng, rng.uniform(0.08, 0.92)) if mounted else ground
    wall_relief = rng.uniform(0.02, 0.12) if mounted else relief
    canvas = house_textures.wall(rng, *size, wall_colour, wall_relief)
    if mounted:
        _mount(rng, canvas, sign, ground, (left, top))
    mask = np.zeros(size, np.uint8)
    for placed in (*sign.digits, *sign.strangers):
        _stamp(mask, placed, left, top)
    _ink(rng, canvas, mask, sign, colour, ground)
    return np.clip(canvas * 255, 0, 255).astype(np.uint8)


def _ink(
    rng: np.random.Generator, canvas: np.ndarray, mask: np.ndarray, sign: Sign, colour: np.ndarray, ground: np.ndarray
) -> None:
    """Lay the digits' colour on the canvas, with the bevel or the outline of the style."""
    if sign.style == "outlined":
        inner = cv2.erode(mask, np.ones((3, 3), np.uint8), iterations=2)
        _blend(canvas, mask, colour)
        _blend(canvas, inner, ground if rng.random() < 0.5 else _colour(rng, float(house_textures.LUMA @ colour)))
        return
    if sign.style == "embossed":
        angle, depth = rng.uniform(0, 2 * np.pi), rng.uniform(1.5, 4)
        dx, dy = depth * np.cos(angle), depth * np.sin(angle)
        _blend(canvas, _moved(mask, dx, dy), 0.4 * ground, rng.uniform(0.5, 0.9))  # cast shadow
        _blend(canvas, mask, colour)
        lit = cv2.subtract(mask, _moved(mask, dx / 2, dy / 2))
        dark = cv2.subtract(mask, _moved(mask, -dx / 2, -dy / 2))
        _blend(canvas, lit, 0.4 * colour + 0.6, 0.7)
        _blend(canvas, dark, 0.55 * colour, 0.7)
        return
    _blend(canvas, mask, colour, rng.uniform(0.85, 1))


def _mount(
    rng: np.random.Generator, canvas: np.ndarray, sign: Sign, ground: np.ndarray, origin: tuple[int, int]
) -> None:
    """A plate behind the number, or a tile behind each digit, with rim, shadow and screws."""
    left, top, right, bottom = extent(sign.digits)
    margin = rng.uniform(0.12, 0.28) * sign.height
    if sign.style == "tile":
        rim = 0.09 * sign.height
        boards = [(p.left - rim, top - rim, p.right + rim, bottom + rim) for p in sign.digits]
        upright = all(a.bottom <= b.top for a, b in zip(sign.digits, sign.digits[1:], strict=False))
        if upright and len(boards) > 1:
            boards = [(left - rim, p.top - rim, right + rim, p.bottom + rim) for p in sign.digits]
    else:
        boards = [(left - margin, top - margin, right + margin, bottom + margin)]
    rim_colour, screw = _colour(rng, rng.uniform(0.05, 0.95)), _colour(rng, rng.uniform(0.1, 0.9))
    rim_width, radius = int(rng.integers(0, 4)), float(rng.uniform(0.02, 0.05)) * sign.height
    screws = sign.style == "plate" and rng.random() < 0.5
    for board in boards:
        x0, y0, x1, y1 = np.rint(np.subtract(board, (*origin, *origin))).astype(int).tolist()
        plate = np.zeros(canvas.shape[:2], np.uint8)
        cv2.rectangle(plate, (x0, y0), (x1, y1), 255, -1, cv2.LINE_AA)
        _blend(canvas, _moved(plate, 2, 3), np.zeros(3), 0.4)
        _blend(canvas, plate, ground, 0.97)
        if rim_width:
            cv2.rectangle(canvas, (x0, y0), (x1, y1), rim_colour.tolist(), rim_width, cv2.LINE_AA)
        if screws:
            inset = round(margin / 2)
            for x in (x0 + inset, x1 - inset):
                cv2.circle(canvas, (x, (y0 + y1) // 2), max(1, round(radius)), screw.tolist(), -1, cv2.LINE_AA)


def _blend(canvas: np.ndarray, mask: np.ndarray, colour: np.ndarray, strength: float = 1.0) -> None:
    """canvas += strength mask (colour - canvas), inside the mask's bounding box."""
    x, y, w, h = cv2.boundingRect(mask)
    if not w:
        return
    part = canvas[y : y + h, x : x + w]
    weight = mask[y : y + h, x : x + w, None].astype(np.float32) * np.float32(strength / 255)
    part += weight * (colour.astype(np.float32) - part)


def _stamp(mask: np.ndarray, placed: Placed, left: int, top: int) -> None:
    """The glyph's coverage added to the mask, clipped to it."""
    x0, y0 = max(placed.left - left, 0), max(placed.top - top, 0)
    x1, y1 = min(placed.right - left, mask.shape[1]), min(placed.bottom - top, mask.shape[0])
    if x0 < x1 and y0 < y1:
        dx, dy = left - placed.left, top - placed.top
        part = mask[y0:y1, x0:x1]
        np.maximum(part, placed.mask[y0 + dy : y1 + dy, x0 + dx : x1 + dx], out=part)


def _moved(mask: np.ndarray, dx: float, dy: float) -> np.ndarray:
    return cv2.warpAffine(mask, np.array([[1, 0, dx], [0, 1, dy]], np.float32), mask.shape[::-1])


def _widened(glyph: Glyph, pixels: int) -> Glyph:
    """Room for an outline around the glyph."""
    mask = cv2.dilate(np.pad(glyph.mask, pixels), np.ones((3, 3), np.uint8), iterations=pixels)
    return Glyph(mask, glyph.drop + pixels)


def _colour(rng: np.random.Generator, luma: float) -> np.ndarray:
    """A random RGB colour of this luma, more often dull than bright."""
    chroma = rng.normal(size=3)
    chroma -= house_textures.LUMA @ chroma
    room = np.where(chroma > 0, 1 - luma, luma) / np.maximum(np.abs(chroma), 1e-6)
    return luma + chroma * room.min() * rng.uniform(0, 1) ** 2.5


def _draw_from(rng: np.random.Generator, odds: dict[str, float]) -> str:
    return str(rng.choice(tuple(odds), p=tuple(odds.values())))

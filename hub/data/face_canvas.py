"""What drawn faces are painted on: soft, antialiased shapes, and curves through points.

Lengths are in pixels except in a `Sketch`, whose `length` turns distances between the pupils into pixels.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from hub.data.face_shape import Person

LUMA = np.array([0.299, 0.587, 0.114], np.float32)
FINE = 4  # bits of a pixel's fraction
_STEPS = np.arange(6)[:, None, None] / 6.0


class Canvas:
    """Pixels float32 [H, W, C] in 0..255: red, green and blue, or grey alone."""

    def __init__(self, height: int, width: int, colour: bool) -> None:
        self.pixels = np.empty((height, width, 3 if colour else 1), np.float32)

    def tone(self, rgb: np.ndarray) -> np.ndarray:
        """A colour as this canvas has it: float32 [C]."""
        rgb = np.asarray(rgb, np.float32)
        return rgb if self.pixels.shape[2] == 3 else (rgb @ LUMA)[None]

    def cover(self, shapes: list[np.ndarray], soft: float = 0.0, thick: float = 0.0) -> tuple[tuple, np.ndarray]:
        """Where polygons [n, 2] are, or where lines are if `thick`: (rows and columns, float32 [h, w, 1] in 0..1)."""
        margin = 2 + int(3 * soft + thick)
        every = np.concatenate(shapes)
        high, wide = self.pixels.shape[:2]
        left, top = np.clip(np.floor(every.min(0)) - margin, 0, (wide, high)).astype(int)
        right, bottom = np.clip(np.ceil(every.max(0)) + margin + 1, 0, (wide, high)).astype(int)
        mask = np.zeros((max(bottom - top, 0), max(right - left, 0)), np.uint8)
        where = slice(top, bottom), slice(left, right)
        if mask.size:
            whole = [np.rint((shape - (left, top)) * 2**FINE).astype(np.int32) for shape in shapes]
            if thick:
                cv2.polylines(mask, whole, False, 255, max(round(thick), 1), cv2.LINE_AA, FINE)
            else:
                cv2.fillPoly(mask, whole, 255, cv2.LINE_AA, FINE)
            if soft:
                mask = blurred(mask, soft)
        return where, mask[..., None] * np.float32(1 / 255)

    def blend(self, where: tuple, alpha: np.ndarray, tone: np.ndarray) -> None:
        """Mix in `tone`, [C] or [h, w, C], by alpha [h, w, 1]."""
        part = self.pixels[where]
        part += alpha * (tone - part)

    def fill(self, shape: np.ndarray, rgb: np.ndarray, opacity: float = 1.0, soft: float = 0.0) -> None:
        """A polygon [n, 2] of one colour."""
        where, alpha = self.cover([shape], soft)
        self.blend(where, alpha * np.float32(opacity), self.tone(rgb))

    def lines(self, shapes: list[np.ndarray], rgb: np.ndarray, thick: float, opacity: float, soft: float = 0.0) -> None:
        """Open lines [n, 2]; thinner than a pixel is fainter."""
        where, alpha = self.cover(shapes, soft, max(thick, 1.0))
        self.blend(where, alpha * np.float32(opacity * min(thick, 1.0)), self.tone(rgb))

    def shade(self, where: tuple, alpha: np.ndarray, factor: float) -> None:
        """Darken (factor below 1) or lighten by alpha [h, w, 1]."""
        self.pixels[where] *= 1 + alpha * np.float32(factor - 1)


@dataclass
class Sketch:
    """A face about to be painted."""

    canvas: Canvas
    person: Person
    at: np.ndarray  # float64 [68, 2], landmarks in pixels
    skull: np.ndarray  # float64 [13, 2]
    units: dict[int, float]  # strength of the action units, mean of both sides
    light: np.ndarray  # towards the light, unit vector: x, y, z
    ambient: float  # 0..1
    length: float  # pixels between the pupils
    turn: tuple[float, float]  # yaw and pitch in radians
    rng: np.random.Generator  # of the occasion
    shadow: np.ndarray | None = None  # float32 [h, w, 1], the light on the skin
    where: tuple = ()  # rows and columns of `shadow`

    def unit(self, number: int) -> float:
        """Strength of an action unit."""
        return self.units.get(number, 0.0)

    def by(self, points: np.ndarray, x: float, y: float) -> np.ndarray:
        """Points [..., 2], shifted by pupils' distances."""
        return points + self.length * np.array([x, y])


def blurred(image: np.ndarray, sigma: float) -> np.ndarray:
    """Gaussian; wide ones on a smaller copy."""
    if sigma > 6 and min(image.shape[:2]) > 16:
        small = cv2.resize(image, None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA)
        small = cv2.GaussianBlur(small, (0, 0), sigma / 4)
        return cv2.resize(small, image.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    return cv2.GaussianBlur(image, (0, 0), sigma)


def curve(points: np.ndarray, closed: bool = False) -> np.ndarray:
    """Catmull-Rom through points [n, 2], six steps between two: [m, 2]."""
    if closed:
        before, here, after, last = (np.roll(points, shift, 0) for shift in (1, 0, -1, -2))
    else:
        padded = np.concatenate([points[:1], points, points[-1:]])
        before, here, after, last = padded[:-3], padded[1:-2], padded[2:-1], padded[3:]
    t = _STEPS
    found = here + 0.5 * t * (after - before + t * (2 * before - 5 * here + 4 * after - last
                              + t * (3 * (here - after) + last - before)))  # fmt: skip
    found = found.transpose(1, 0, 2).reshape(-1, 2)
    return found if closed else np.concatenate([found, points[-1:]])


def oval(centre: np.ndarray, wide: float, high: float, lean: float = 0.0) -> np.ndarray:
    """An ellipse [24, 2] with half axes in pixels, leaning by radians."""
    angles = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    x, y = wide * np.cos(angles), high * np.sin(angles)
    return centre + np.stack([x * np.cos(lean) - y * np.sin(lean), x * np.sin(lean) + y * np.cos(lean)], -1)

"""Path lengths through a volume for a turned, stretched and bent body, seen from a point source.

Slice after slice of equal depth is shifted, magnified and bent in its plane, and added up: a turn of a few degrees is a
shear along the rays and a stretch of the film (shear-warp factorisation).
"""

from dataclasses import dataclass, field

import cv2
import numpy as np

from hub.data.ct_volume import Volume

_KNOTS = 4  # per axis, of the bend


@dataclass(frozen=True)
class Pose:
    """How a body stands before the film, and what distinguishes it from the body that was scanned."""

    yaw: float = 0.0  # radians; positive turns the patient's left away from the film
    pitch: float = 0.0
    source: float = np.inf  # mm from the source to the middle of the body
    depth: float = 1.0  # stretch along the rays
    bend: np.ndarray = field(default_factory=lambda: np.zeros((_KNOTS,) * 3 + (2,)))  # mm (across, down) at the knots
    breath: float = 1.0  # stretch of the lungs along the body; the bones stay
    heart: float = 1.0  # stretch of the heart
    shrink: tuple[float, float] = (0.0, 0.0)  # share of its height by which the (right, left) lung's root is drawn up


@dataclass(frozen=True)
class Maps:
    """Grid index (across, level) that each ray meets, at a few depths; float32 [Z, X, 2] each, linear in between."""

    soft: list[np.ndarray]
    bone: list[np.ndarray]
    slant: float  # length of a ray in a slice over the slice's thickness

    def at(self, which: str, share: float) -> np.ndarray:
        """The map of depth `share` in 0..1."""
        maps = getattr(self, which)
        low = min(int(share * (len(maps) - 1)), len(maps) - 2)
        part = share * (len(maps) - 1) - low
        return cv2.addWeighted(maps[low], 1 - part, maps[low + 1], part, 0)


def maps(volume: Volume, pose: Pose) -> Maps:
    """Where rays on the grid [level, across] of the volume's middle plane meet its slices."""
    (count, tall, wide), (thick, high, broad) = volume.shape, volume.step
    across, level = np.meshgrid(
        (np.arange(wide, dtype=np.float32) - (wide - 1) / 2) * np.float32(broad),
        (np.arange(tall, dtype=np.float32) - (tall - 1) / 2) * np.float32(high),
    )
    found: dict[str, list[np.ndarray]] = {"soft": [], "bone": []}
    for knot in range(_KNOTS):
        depth = (knot / (_KNOTS - 1) - 0.5) * (count - 1) * thick * pose.depth
        closer = np.float32(1 + depth / pose.source)  # a place nearer to the film is magnified less
        bend = cv2.resize(pose.bend[knot].astype(np.float32), (wide, tall), interpolation=cv2.INTER_CUBIC)
        x = across * closer - np.float32(depth * np.tan(pose.yaw)) + bend[..., 0]
        z = level * closer - np.float32(depth * np.tan(pose.pitch)) + bend[..., 1]
        for name, place in (("bone", (x, z)), ("soft", _organs(volume, pose, x, z))):
            index = [v / np.float32(s) + np.float32((n - 1) / 2)
                     for v, s, n in zip(place, (broad, high), (wide, tall), strict=True)]  # fmt: skip
            found[name].append(np.stack(index, -1).astype(np.float32))
    slant = float(np.sqrt(1 + np.tan(pose.yaw) ** 2 + np.tan(pose.pitch) ** 2))
    return Maps(found["soft"], found["bone"], slant)


def _organs(volume: Volume, pose: Pose, x: np.ndarray, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Places (across, down) in mm of the scan, after breath, a large heart and a shrunken lung."""
    middle = [(n - 1) / 2 for n in volume.shape]
    if pose.heart != 1:
        cx, cz = ((volume.heart[i] - middle[i]) * volume.step[i] for i in (2, 1))
        far = np.sqrt(np.square(x - cx) + np.square(z - cz)) / 75
        pull = (1 - 1 / pose.heart) * np.exp(-np.power(far, 4) * 0.35)
        x, z = x - (x - cx) * pull, z - (z - cz) * pull
    rows = np.flatnonzero(volume.seen[0].any(1) | volume.seen[1].any(1))
    top, bottom = ((row - middle[1]) * volume.step[1] for row in ((rows[0], rows[-1]) if len(rows) else (0, 1)))
    for side, share in enumerate(pose.shrink):
        if share:
            cx, cz = ((volume.hila[side][i] - middle[i]) * volume.step[i] for i in (2, 1))
            pull = np.exp(-np.square((x - cx + 40 * (1 - 2 * side)) / 70) - np.square((z - cz) / 80))
            x, z = x + (2 * side - 1) * -30 * share * pull, z + share * (bottom - top) * pull
    return x, z - np.clip(z - top, 0, bottom - top) * np.float32(1 - 1 / pose.breath)


def project(volume: Volume, pose: Pose, found: Maps, which: str, part: np.ndarray | None = None) -> np.ndarray:
    """Path lengths in mm, float32 [Z, X] or [Z, X, C], of `part` [Y, Z, X] or [Y, Z, X, C] of the volume.

    Args:
        which: `soft` or `bone`: how it moves.
        part: by default the volume's own.
    """
    own = volume.tissue if which == "soft" else volume.bone
    part = own if part is None else part
    total = np.zeros(part.shape[1:], np.float32)
    for depth in np.flatnonzero([layer.any() for layer in part]) if part is not own else range(len(part)):
        place = found.at(which, depth / (len(part) - 1))
        total += cv2.remap(part[depth], place, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return total * np.float32(volume.step[0] * pose.depth * found.slant)


def visible(paths: np.ndarray, volume: Volume, found: Maps) -> tuple[np.ndarray, np.ndarray]:
    """Bool [Z', X] for the (right, left) lung: the lung field that a reader outlines, on square pixels.

    Lung of more than 25 mm, and less than 45 mm of heart, vessels, spine and abdomen before or behind it. What appears
    again beneath the heart is left out.

    Args:
        paths: float32 [Z, X, 4], as projected from `Volume.tissue`.
    """
    _, high, broad = volume.step
    tall = round(paths.shape[0] * high / broad)
    left, right, opaque = cv2.split(cv2.resize(paths[..., 1:], (paths.shape[1], tall), interpolation=cv2.INTER_CUBIC))
    middle = found.soft[len(found.soft) // 2][:, paths.shape[1] // 2, 1]
    beneath = round(int(np.argmin(np.abs(middle - volume.heart[1]))) * high / broad)
    masks = []
    for lung, other in ((right, left), (left, right)):
        open_field = ((lung > 25) & (lung >= other) & (opaque < 45)).astype(np.uint8)
        gap = np.maximum.accumulate(open_field, axis=0) & (1 - open_field)
        gap[:beneath] = 0
        again = np.maximum.accumulate(cv2.erode(gap, np.ones((5, 1), np.uint8)), axis=0)
        open_field &= 1 - again
        masks.append(_tidy(open_field, broad))
    return masks[0], masks[1]


def _tidy(field: np.ndarray, pixel: float) -> np.ndarray:
    """Opened, its largest part, closed and filled."""

    def disc(mm: float) -> np.ndarray:
        return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * round(mm / pixel) + 1,) * 2)

    count, labels, stats, _ = cv2.connectedComponentsWithStats(cv2.morphologyEx(field, cv2.MORPH_OPEN, disc(3)))
    if count < 2:
        return np.zeros(field.shape, bool)
    largest = (labels == 1 + stats[1:, cv2.CC_STAT_AREA].argmax()).astype(np.uint8)
    edge = round(12 / pixel)
    padded = cv2.copyMakeBorder(largest, *(edge,) * 4, cv2.BORDER_CONSTANT, value=0)
    closed = cv2.morphologyEx(padded, cv2.MORPH_CLOSE, disc(6))[edge:-edge, edge:-edge]
    outlines, _ = cv2.findContours(closed, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    return cv2.drawContours(np.zeros(field.shape, np.uint8), outlines, -1, 1, cv2.FILLED) > 0

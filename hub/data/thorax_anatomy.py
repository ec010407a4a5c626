"""Path lengths of a thorax on the plane of a film: trunk, arms, lungs, heart, great vessels, diaphragm, stomach.

Solids are ellipsoids, superellipsoids and columns in parallel projection; what has a centre line is in `thorax_bones`.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from hub.data.thorax_frame import Frame, Patient, widest

LUNG_AIR = 0.72  # share of air in a lung's path


@dataclass(frozen=True)
class Solids:
    """Path lengths in mm of water, and what is visible."""

    soft: np.ndarray  # float32 [S, S] tissue along the ray, air deducted
    air: np.ndarray  # float32 [S, S] thickness of the lungs in front of and behind everything else
    right: np.ndarray  # bool [S, S] visible right lung, on the image's left
    left: np.ndarray


def solids(body: Patient, view: Frame) -> Solids:
    """Body, lungs, heart, great vessels and diaphragm."""
    rng = np.random.default_rng(body.seed)
    u, v, high = view.u, view.v, body.height
    is_left = u > 0

    def pick(pair: np.ndarray) -> np.ndarray:
        return np.where(is_left, np.float32(pair[1]), np.float32(pair[0]))

    out, width = np.abs(u), pick(body.width)
    centre = 0.42 * width
    beside = np.where(out > centre, (out - centre) / (width - centre), (centre - out) / (centre - 2))
    apex, broad = pick(body.apex), widest(body)
    above = np.clip((broad - v) / (broad - apex), 0, None) + np.clip(v - broad, 0, None) / (1.9 * high)
    inside = 1 - cv2.pow(beside, body.roundness) - cv2.pow(above, body.roundness)
    top = rng.uniform(0.34, 0.52) * width
    outward = pick(body.sulcus) * cv2.pow(np.clip((out - top) / (width - top), 0, 1.3), rng.uniform(1.8, 2.6))
    inward = np.float32(rng.uniform(4, 26)) * np.square((top - out) / top)
    fall = np.where(out > top, outward, inward)
    below = v - pick(body.dome) - fall
    heart, vessels = _mediastinum(rng, body, u, v)
    fine = view.scale * 5 + 0.5
    cover = cv2.GaussianBlur((vessels > 0).astype(np.float32), (0, 0), fine)  # rounds the corners between vessels
    open_field = (inside > 0.03) & (below < 0) & (heart <= 0) & (cover < 0.5)
    right, left = _largest(open_field & ~is_left), _largest(open_field & is_left)

    lungs = body.depth * np.sqrt(np.clip(inside, 0, 1))
    lungs *= np.where(below < 0, 1.0, rng.uniform(0.05, 0.35) * np.exp(-np.clip(below, 0, 200) / 18))
    lungs *= 1 - rng.uniform(0.85, 1.0) * np.clip((cover - 0.5) * fine + 0.5, 0, 1)
    lungs = np.clip(lungs - np.sqrt(np.clip(heart, 0, 1)) * rng.uniform(105, 150), 0.0, None).astype(np.float32)
    soft = _trunk(rng, body, u, v, out) - LUNG_AIR * lungs
    if rng.random() < 0.6:  # gas of the stomach under the left dome
        wide, tall = rng.uniform(20, 48), rng.uniform(10, 24)
        across = (u - rng.uniform(0.35, 0.6) * body.width[1]) / wide
        gas = 1 - across**2 - ((v - body.dome[1] - tall - rng.uniform(5, 16)) / tall) ** 2
        soft -= np.sqrt(np.clip(gas, 0, 1)) * rng.uniform(25, 80) * (below > 4)
    return Solids(np.clip(soft, 0, None).astype(np.float32), lungs, right, left)


def _mediastinum(rng: np.random.Generator, body: Patient, u: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, ...]:
    """Heart and great vessels: positive inside their shadows, 1 at the centre."""
    x, high, big = u - body.shift, body.height, body.heart
    aged = np.clip((body.age - 40) / 40, 0, 1)
    angle = rng.uniform(0.45, 0.85)
    dx, dy = x - 16 * big - rng.normal(0, 3), v - (0.80 * high - 14 * (big - 1))
    along, across = dx * np.cos(angle) + dy * np.sin(angle), dy * np.cos(angle) - dx * np.sin(angle)
    ventricle = 1 - (along / (72 * big)) ** 2 - (across / (rng.uniform(46, 56) * big)) ** 2
    atrium = _oval(x, v, -16, 0.76 * high, rng.uniform(23, 32) * big, 50)
    t = np.array([-0.5, -0.1, 0.05, 0.2, 0.36, 0.6, 1.4]) * high
    half = np.array([28, 25, 24, 26, 27, 21, 17]) * rng.uniform(0.85, 1.15)
    core = 1 - np.abs(x - 2) / np.interp(v, t, half * rng.uniform(0.94, 1.06, 7)).astype(np.float32)
    knob = _oval(x, v, 22 + 6 * aged, 0.29 * high, rng.uniform(12, 17) + 5 * aged, rng.uniform(14, 19) + 4 * aged)
    trunk = _oval(x, v, 18, 0.43 * high, rng.uniform(17, 25), rng.uniform(18, 26))
    cava = _oval(x, v, -16, 0.38 * high, rng.uniform(14, 22), rng.uniform(40, 60))
    return np.maximum(ventricle, atrium), np.maximum.reduce([core, knob, trunk, cava])


def _oval(u: np.ndarray, v: np.ndarray, x: float, y: float, wide: float, tall: float) -> np.ndarray:
    return 1 - np.square((u - x) / np.float32(wide)) - np.square((v - y) / np.float32(tall))


def _trunk(rng: np.random.Generator, body: Patient, u: np.ndarray, v: np.ndarray, out: np.ndarray) -> np.ndarray:
    """Trunk, neck, arms and breasts."""
    high, edge = body.height, body.width.mean() + body.wall
    levels = np.array([-0.7, -0.36, -0.26, -0.18, -0.1, 0.0, 0.12, 0.25, 0.42, 0.6, 1.0, 1.5]) * high
    slope, girdle = rng.uniform(0.9, 1.15), rng.uniform(180, 215)
    half = [54, 57, 70, 94 * slope, 132 * slope, 0.9 * girdle, girdle, edge + 34, edge + 12, edge, edge - 3, edge]
    half = np.interp(v, levels, half).astype(np.float32)
    deep = (
        np.array([115, 115, 118, 124, 134, 148, 165, 185, 207, 215, 215, 225])
        / 215
        * (body.depth + 38 + 0.5 * body.wall)
    )
    path = np.interp(v, levels, deep).astype(np.float32) * np.sqrt(np.clip(1 - cv2.pow(out / half, 3.2), 0, 1))
    if rng.random() < 0.6:  # arms beside the trunk
        thick = rng.uniform(36, 50)
        axis = girdle - 0.6 * thick + np.clip(v - 30, -20, None) * rng.uniform(0.02, 0.3)
        begin = 1 - np.square(np.clip(40 - v, 0, None) / 45)
        arm = np.sqrt(np.clip(begin - np.square((out - axis) / thick), 0, 1)) * 1.8 * thick
        humerus = np.sqrt(np.clip(begin - np.square((out - axis) / 12), 0, 1)) * 25
        path = np.maximum(path, arm + humerus)
    x, y = rng.uniform(0.5, 0.68) * edge, rng.uniform(0.66, 0.92) * high
    wide, tall = rng.uniform(50, 78), rng.uniform(45, 75)
    dy = (v - y) / np.where(v > y, tall * rng.uniform(0.45, 0.8), tall)
    breast = np.clip(1 - np.square((out - x) / wide) - np.square(dy), 0, 1)
    return path + (body.breast or rng.uniform(0, 6)) * np.sqrt(breast)


def _largest(region: np.ndarray) -> np.ndarray:
    """The largest connected part."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(region.astype(np.uint8), connectivity=4)
    return labels == 1 + stats[1:, cv2.CC_STAT_AREA].argmax() if count > 1 else region

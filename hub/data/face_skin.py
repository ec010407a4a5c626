"""The skin of a drawn head under a light: an ellipsoid with bumps and hollows where the landmarks are."""

import cv2
import numpy as np

from hub.data.face_canvas import Sketch, curve


def skin(sketch: Sketch) -> None:
    """Paint it, and keep in the sketch how light it is where."""
    s, at, size = sketch, sketch.at, sketch.length
    outline = np.concatenate([curve(at[:17]), curve(s.skull[::-1])[1:-1]])
    where, alpha = s.canvas.cover([outline])
    s.where = where
    shape = alpha.shape[:2]
    rows, columns = (np.arange(part.start, part.stop, 2, np.float32) for part in where)
    axis = np.linalg.norm(at[8] - at[27]) / 1.74 / size  # shortened by pitch
    centre = (at[0] + at[16]) / 2 + size * np.array([0.20 * np.sin(s.turn[0]), -0.05 - 0.2 * np.sin(s.turn[1])])
    u = (columns - centre[0]) / (1.27 * size)
    v = (rows - centre[1]) / (2.02 * size * max(axis, 0.85))
    depth = np.sqrt(np.maximum(1 - u**2 - (v**2)[:, None], 0.03))
    places, heights, hollows = _relief(s)
    gx = np.exp(-0.5 * ((columns - places[:, :1]) / (places[:, 2:3] * size)) ** 2)
    gy = np.exp(-0.5 * ((rows - places[:, 1:2]) / (places[:, 3:4] * size)) ** 2)
    slope_x = gy.T @ (heights[:, None] * gx * (columns - places[:, :1]) / (places[:, 2:3] ** 2 * size))
    slope_y = (gy * (rows - places[:, 1:2]) / (places[:, 3:4] ** 2 * size)).T @ (heights[:, None] * gx)
    nx = u / 1.2 + slope_x * 0.9
    ny = (v / 2.0)[:, None] + slope_y * 0.9
    nz = depth
    norm = 1 / np.sqrt(nx**2 + ny**2 + nz**2)
    facing = np.maximum((nx * s.light[0] + ny * s.light[1] + nz * s.light[2]) * norm, 0)
    shine = np.maximum((nx * s.light[0] + ny * s.light[1] + nz * (1 + s.light[2])) * norm, 0)
    shine = np.maximum(shine / np.sqrt(2 + 2 * s.light[2]), 0) ** 24
    lit = (s.ambient + (1 - s.ambient) * facing) * (1 + gy.T @ (hollows[:, None] * gx))
    lit = cv2.resize(np.stack([lit, shine], -1).astype(np.float32), shape[::-1], interpolation=cv2.INTER_LINEAR)
    s.shadow = np.clip(0.96 * lit[..., :1], 0.12, 1.12)
    spots = _spots(s, shape)
    s.canvas.blend(where, alpha, s.canvas.tone(s.person.skin) * (s.shadow * (1 + spots)) + 22 * lit[..., 1:])


def _relief(s: Sketch) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Bumps: place and spread (x, y in pixels; x, y in pupils' distances), height, and how much lighter they are."""
    at, size = s.at, s.length
    down = (at[8] - at[27]) / np.linalg.norm(at[8] - at[27])
    mouth = (at[48] + at[54]) / 2
    cheek, smile = s.unit(6), s.unit(12)
    found = []

    def bump(where, wide, high, height, light=0.0):
        found.append((*where, wide, high, height, light))

    for t, wide, height in ((0.15, 0.12, 0.05), (0.4, 0.12, 0.08), (0.65, 0.13, 0.12), (0.9, 0.14, 0.15)):
        bump(at[27] + t * (at[30] - at[27]), wide, 0.17, height, 0.04)  # bridge of the nose
    bump(at[30] + 0.02 * size * down, 0.13, 0.11, 0.10, 0.04)  # its tip
    for wing in (31, 35):
        bump(at[wing] * 0.8 + at[30] * 0.2, 0.08, 0.08, 0.05)
    bump(at[33] + 0.07 * size * down, 0.24, 0.07, -0.01, -0.14)  # below it
    for outer, inner, brow, ends in ((36, 39, 19, (17, 21)), (45, 42, 24, (26, 22))):
        eye = (at[outer] + at[inner]) / 2
        bump(eye * 0.72 + at[brow] * 0.28, 0.30, 0.17, -0.05, -0.17)  # socket
        bump(at[inner] * 0.8 + at[27] * 0.2, 0.10, 0.13, -0.045, -0.22)
        bump(eye, 0.20, 0.12, 0.035)  # ball
        bump(eye + 0.21 * size * down, 0.20, 0.05, -0.008 - 0.012 * cheek, -0.05 - 0.08 * cheek)  # below it
        bump((at[ends[0]] + at[ends[1]]) / 2 - 0.04 * size * down, 0.32, 0.10, 0.035)
        side = at[outer] - at[inner]
        apple = eye + (0.62 - 0.1 * smile) * size * down + 0.12 * side
        bump(apple, 0.28, 0.24, 0.05 + 0.06 * smile + 0.03 * cheek, 0.10 + 0.04 * smile)
    for corner, jaw in ((48, 4), (54, 12)):
        bump(at[corner] * 0.94 + at[jaw] * 0.06, 0.07, 0.10, -0.015 - 0.02 * smile, -0.06 - 0.10 * smile)
        bump(at[corner] * 0.45 + at[jaw] * 0.55, 0.22, 0.26, -0.02, -0.05)  # below the cheekbone
    bump((at[51] + at[33]) / 2, 0.05, 0.10, -0.02, -0.02)
    bump(at[57] + 0.10 * size * down, 0.24, 0.065, -0.03, -0.14)  # between lip and chin
    bump(at[8] * 0.8 + at[57] * 0.2, 0.25, 0.16, 0.07, 0.06)
    bump(mouth, 0.40, 0.30, 0.05)
    table = np.array(found)
    return table[:, :4].astype(np.float32), table[:, 4].astype(np.float32), table[:, 5].astype(np.float32)


def _spots(s: Sketch, shape: tuple[int, int]) -> np.ndarray:
    """Unevenness of the skin that stays with its owner: float32 [h, w, 1]."""
    rng = np.random.default_rng([42, *s.person.key])
    coarse = rng.standard_normal((14, 10)).astype(np.float32) * 0.018
    fine = rng.standard_normal((110, 80)).astype(np.float32) * (0.012 + 0.012 * s.person.freckles)
    return sum(cv2.resize(each, shape[::-1], interpolation=cv2.INTER_LINEAR) for each in (coarse, fine))[..., None]


def local(s: Sketch, point: np.ndarray) -> float:
    """How light the skin is at a point."""
    row = int(np.clip(point[1] - s.where[0].start, 0, s.shadow.shape[0] - 1))
    column = int(np.clip(point[0] - s.where[1].start, 0, s.shadow.shape[1] - 1))
    return float(s.shadow[row, column, 0])

"""What has a centre line: ribs, clavicles, shoulder blades, spine, airways and the vessels of the lungs.

Points along a centre line are dropped on the film with the mass of their piece of tube, then spread by the projection
of a sphere, so that a tube's brightness at a grazing ray comes out by itself.
"""

import cv2
import numpy as np

from hub.data.thorax_frame import Frame, Patient, wall

FOCUS = 1800.0  # mm from source to film


def deposit(view: Frame, points: np.ndarray, mass: np.ndarray) -> np.ndarray:
    """Float32 [S, S]: `mass` (mm^3) at points [N, 2 or 3] in mm, as a path in mm; no spread but a pixel's."""
    if points.shape[1] == 3:
        middle = view.centre
        points = middle + (points[:, :2] - middle) * (1 + points[:, 2:] / FOCUS)
    place = view.place(points)
    size = view.size
    base = np.floor(place).astype(np.int64)
    keep = ((base >= 0) & (base < size - 1)).all(1)
    base, place, mass = base[keep], place[keep], mass[keep]
    first = base[:, 1] * size + base[:, 0]
    x, y = (place - base).T
    index = np.concatenate([first, first + 1, first + size, first + size + 1])
    weight = np.concatenate([(1 - x) * (1 - y), x * (1 - y), (1 - x) * y, x * y]) * np.tile(mass, 4)
    grid = np.bincount(index, weight, size * size).reshape(size, size)
    return (grid * view.scale**2).astype(np.float32)


def spread(view: Frame, grid: np.ndarray, radius: float, shell: float = 0.0) -> np.ndarray:
    """Spread masses over spheres of `radius` mm; `shell` 0 is solid, 1 hollow (its tube has an even band), 2 rimmed."""
    r = radius * view.scale
    if r < 0.7:
        return cv2.GaussianBlur(grid, (0, 0), max(0.55 * r, 0.3))
    reach = int(np.ceil(r)) + 1
    fine = (np.arange(4 * (2 * reach + 1)) + 0.5) / 4 - reach - 0.5
    inside = np.clip(r * r - fine[:, None] ** 2 - fine**2, 0, None)
    ball = np.sqrt(inside)
    hollow = (inside > 0) / np.sqrt(inside + 0.15 * r)
    rim = (inside > 0) & (inside < 0.45 * r * r)
    parts = [k / k.sum() for k in (ball, hollow, rim)]
    kernel = sum(max(0.0, 1 - abs(shell - i)) * k for i, k in enumerate(parts))
    kernel = kernel.reshape(2 * reach + 1, 4, 2 * reach + 1, 4).sum((1, 3))
    return cv2.filter2D(grid, -1, kernel.astype(np.float32), borderType=cv2.BORDER_REPLICATE)


def tube(points: np.ndarray, step: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Points about `step` mm apart along a polyline [n, d], and the length that each stands for."""
    lengths = np.linalg.norm(np.diff(points, axis=0), axis=1)
    along = np.concatenate([[0], np.cumsum(lengths)])
    at = np.linspace(0, along[-1], max(int(along[-1] / step), 2))
    return np.stack([np.interp(at, along, c) for c in points.T], 1), np.full(len(at), along[-1] / len(at))


def bones(rng: np.random.Generator, body: Patient, view: Frame) -> np.ndarray:
    """Float32 [S, S]: path through bone, in mm of water at equal attenuation."""
    strength = rng.uniform(0.55, 1.5)
    path = spread(view, _ribs(rng, body, view), rng.uniform(4.8, 6.6), rng.uniform(0.9, 1.8)) * strength
    path += spread(view, _clavicles(rng, body, view), rng.uniform(5.0, 7.0), rng.uniform(0.8, 1.6)) * strength
    return path + _spine(rng, body, view) + _shoulders(rng, body, view) * strength


def _ribs(rng: np.random.Generator, body: Patient, view: Frame) -> np.ndarray:
    """Twelve pairs of helical tubes from the spine around the side to the cartilage."""
    pitch = body.height / rng.uniform(9.0, 10.6)
    steep = rng.uniform(0.75, 1.25)
    sag = body.depth / 2 + 8
    points, masses = [], []
    for side, sign in ((0, -1), (1, 1)):
        for rib in range(12):
            end = np.deg2rad((118, 132, 140, 143, 145, 145, 143, 138, 130, 122, 98, 78)[rib] + rng.normal(0, 4))
            phi = np.linspace(0.06, end, 70)
            drop = steep * (26, 44, 58, 70, 80, 88, 95, 98, 96, 88, 80, 60)[rib] * body.height / 232
            level = -6 + pitch * rib - 4 + drop * (1 - np.cos(phi)) / 2 + rng.normal(0, 1.2)
            level -= 5 * np.exp(-((phi - 0.35) ** 2) / 0.08)  # the neck of a rib rises before it falls
            reach = wall(body, side, level) + 3
            across = 14 + (reach - 14) * np.sin(phi)
            line, length = tube(np.stack([sign * across, level, sag * np.cos(phi)], 1))
            fade = np.clip((len(line) - np.arange(len(line))) / 18, 0, 1) * np.linspace(1.1, 0.75, len(line))
            points.append(line)
            masses.append(length * fade)
    thick = rng.uniform(7.5, 11.5)  # of one band, in mm of water
    return deposit(view, np.concatenate(points), np.concatenate(masses) * thick * 11)


def _clavicles(rng: np.random.Generator, body: Patient, view: Frame) -> np.ndarray:
    """S-shaped tubes from the breastbone to the shoulder."""
    points, masses = [], []
    level, lift, yaw = rng.uniform(22, 58), rng.uniform(10, 45), rng.normal(0, 5)
    for sign in (-1, 1):
        t = np.linspace(0, 1, 30)
        x = sign * (14 + (body.width.mean() + 14) * t) + yaw
        y = level - lift * np.sin(t * 1.9) / 0.95 + 7 * np.sin(t * 6.3) + rng.normal(0, 2)
        line, length = tube(np.stack([x, y, np.full(30, -70.0)], 1))
        points.append(line)
        masses.append(length * (1 + 0.5 * np.exp(-np.arange(len(line)) / 14)))
    return deposit(view, np.concatenate(points), np.concatenate(masses) * rng.uniform(10, 15) * 12)


def _spine(rng: np.random.Generator, body: Patient, view: Frame) -> np.ndarray:
    """Boxes of vertebrae with gaps of discs, transverse processes and pedicles."""
    high = body.height / rng.uniform(9.0, 10.6)
    bow = rng.normal(0, 4) * np.sin(view.v / body.height * 3 + rng.uniform(0, 3))
    x, turn = np.abs(view.u - bow - 0.2 * body.shift), np.cos(view.v * np.float32(2 * np.pi / high))
    half = rng.uniform(15, 20) + 0.012 * view.v - 1.2 * turn
    block = np.clip((half - x) / 2, 0, 1) * (0.72 + 0.28 * np.clip(2.5 * turn + 1.6, -1, 1))
    pedicle = np.exp(-np.square((x - 0.62 * half) / 3)) * np.clip(turn, 0, 1) ** 2
    process = np.exp(-np.square(x / 3)) * np.clip(-turn, 0, 1) + 0.5 * (x < half + 14) * np.clip(turn - 0.55, 0, 1)
    return (rng.uniform(9, 20) * (block + 0.35 * pedicle + 0.35 * process)).astype(np.float32)


def _shoulders(rng: np.random.Generator, body: Patient, view: Frame) -> np.ndarray:
    """Shoulder blades, turned out of the lungs more or less, and the heads of the arms."""
    flat = np.zeros((view.size, view.size), np.uint8)
    edge, outward = body.width.mean(), rng.uniform(-22, 22)
    corners = np.array([(-40, 12), (-12, -12), (30, 8), (24, 40), (6, 80), (-12, 135), (-22, 130), (-30, 70)], float)
    rims, lengths = [], []
    for sign in (-1, 1):
        shape = corners * rng.uniform(0.9, 1.1, 2) + rng.normal(0, 2, corners.shape)
        shape = (shape + np.array([edge + outward, 12])) * [sign, 1]
        cv2.fillPoly(flat, [np.round(view.place(shape) * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
        line, length = tube(np.concatenate([shape, shape[:1]]))
        rims.append(line)
        lengths.append(length)
    rim = spread(view, deposit(view, np.concatenate(rims), np.concatenate(lengths)), 2.2) * 22
    heads = 1 - np.square((np.abs(view.u) - edge - outward - 44) / 24) - np.square((view.v - 38) / 27)
    path = rng.uniform(4, 10) * (cv2.GaussianBlur(flat, (0, 0), 0.6 + view.scale) / np.float32(255)) + rim
    return path + 22 * np.sqrt(np.clip(heads, 0, 1))


def airways(rng: np.random.Generator, body: Patient, view: Frame) -> np.ndarray:
    """Float32 [S, S]: air of the windpipe and the main bronchi, in mm."""
    fork = np.array([body.shift - 2, 0.40 * body.height])
    top = np.array([rng.normal(0, 3), -0.5 * body.height])
    ends = fork + np.array([[-38, 34], [46, 40]])
    lines = [tube(np.stack(ends)) for ends in ((top, fork), (fork, ends[0]), (fork, ends[1]))]
    points = np.concatenate([line for line, _ in lines])
    mass = np.concatenate([length * area for (_, length), area in zip(lines, (200, 110, 90), strict=True)])
    return spread(view, deposit(view, points, mass), rng.uniform(6, 8.5))


def vessels(rng: np.random.Generator, body: Patient, view: Frame) -> np.ndarray:
    """Float32 [S, S]: blood of the branching vessels, five orders from 4 to 0.5 mm; outside the lungs too."""
    total = np.zeros((view.size, view.size), np.float32)
    start, way, radius = [], [], []
    for sign in (-1, 1):
        count = int(rng.integers(7, 10))
        start.append(hilum(body, int(sign > 0)) + rng.normal(0, 5, (count, 2)))
        angle = np.linspace(-1.45, 1.5, count) + rng.normal(0, 0.12, count)
        way.append(np.stack([sign * np.cos(angle), np.sin(angle)], 1))
        radius.append(rng.uniform(3.4, 5.6, count))
    start, way, radius = map(np.concatenate, (start, way, radius))
    length, along = np.float64(0.15 * body.height), np.linspace(0, 1, 24)[:, None, None]
    for _order in range(5):
        bow = rng.normal(0, 0.12, (len(way), 1)) * way[:, ::-1] * [1, -1]
        step = way * (length * rng.uniform(0.7, 1.3, (len(way), 1)))
        line = start + along * step + (along * (1 - along)) * bow * length * 2
        mass = np.pi * radius**2 * np.linalg.norm(step, axis=1) / 24
        grid = deposit(view, line.reshape(-1, 2), np.tile(mass, 24))
        total += spread(view, grid, float(radius.mean()))
        turn = np.repeat(rng.uniform(0.15, 0.5, len(way)), 2) * np.tile([1, -1], len(way)) + rng.normal(0, 0.1)
        start, way, radius = np.repeat(line[-1], 2, 0), np.repeat(way, 2, 0), np.repeat(radius, 2) * 0.68
        cos, sin = np.cos(turn), np.sin(turn)
        way = np.stack([way[:, 0] * cos - way[:, 1] * sin, way[:, 0] * sin + way[:, 1] * cos], 1)
        length = length * 0.86
    return rng.uniform(0.8, 1.5) * total


def hilum(body: Patient, side: int) -> np.ndarray:
    """Where vessels enter a lung: (u, v) in mm; `side` 0 is the patient's right."""
    return np.array([body.shift + (-34, 34)[side], (0.49, 0.46)[side] * body.height])

"""Signs of tuberculosis and what is mistaken for them, as path lengths added to the lungs of a phantom.

Every function takes (rng, Site) and returns a float32 path [S, S] in mm of water. Where a sign lies is weighted:
tuberculosis 70 % in the upper third of a lung, 20 % in the middle, 10 % in the lower.
"""

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from hub.data.thorax_anatomy import LUNG_AIR, Solids
from hub.data.thorax_bones import deposit, hilum, spread, tube
from hub.data.thorax_frame import Frame, Patient

UPPER, ANY, LOWER = (0.7, 0.2, 0.1), (1 / 3, 1 / 3, 1 / 3), (0.0, 0.15, 0.85)  # upper, middle, lower third


@dataclass(frozen=True)
class Site:
    """Where signs are put."""

    view: Frame
    body: Patient
    solids: Solids
    side: int  # with the larger share of the signs; 0 is the patient's right

    def lung(self, side: int) -> np.ndarray:
        return (self.solids.right, self.solids.left)[side]

    def spot(self, rng: np.random.Generator, zones: tuple[float, ...], side: int | None = None) -> np.ndarray:
        """(u, v) in mm of a random place in a lung."""
        lung = self.lung(self.side if side is None else side)
        rows = np.flatnonzero(lung.any(1))
        if not len(rows):
            return np.array([0.0, 0.5 * self.body.height])
        third = (rows[-1] + 1 - rows[0]) / 3
        zone, chosen, at = rng.choice(3, p=zones), rng.random(), rng.random()
        y = min(int(rows[0] + third * (zone + 0.12 + 0.8 * chosen)), int(rows[-1]))
        x = np.flatnonzero(lung[y])
        x = int(x[int(at * len(x))]) if len(x) else self.view.size // 2
        return np.array([self.view.u[y, x], self.view.v[y, x]], float)


def _window(site: Site, at: np.ndarray, reach: float) -> tuple[tuple[slice, slice], np.ndarray, np.ndarray]:
    where = site.view.near(at, reach)
    return where, site.view.u[where] - np.float32(at[0]), site.view.v[where] - np.float32(at[1])


def _clouds(rng: np.random.Generator, site: Site, centres: np.ndarray, sd: np.ndarray, peak: np.ndarray) -> np.ndarray:
    """A sum of elongated Gaussians."""
    path = np.zeros_like(site.view.u)
    for at, s, p in zip(centres, sd, peak, strict=True):
        where, x, y = _window(site, at, 3.2 * s)
        turn, ratio = rng.uniform(0, np.pi), rng.uniform(0.7, 1.4)
        a = (x * np.float32(np.cos(turn)) + y * np.float32(np.sin(turn))) / np.float32(s * ratio)
        b = (y * np.float32(np.cos(turn)) - x * np.float32(np.sin(turn))) / np.float32(s / ratio)
        path[where] += np.float32(p) * np.exp(-0.5 * (a * a + b * b))
    return path


def _ball(site: Site, at: np.ndarray, radius: float, ragged: tuple[float, ...] = (0, 0, 0, 0)) -> np.ndarray:
    """The path through a ball whose outline is ragged by two harmonics (amplitude, phase)."""
    path = np.zeros_like(site.view.u)
    where, x, y = _window(site, at, 1.4 * radius)
    angle = np.arctan2(y, x)
    outline = 1 + ragged[0] * np.sin(2 * angle + ragged[1]) + ragged[2] * np.sin(3 * angle + ragged[3])
    path[where] = 2 * radius * np.sqrt(np.clip(outline**2 - (x * x + y * y) / np.float32(radius**2), 0, None))
    return path


def cavity(rng: np.random.Generator, site: Site) -> np.ndarray:
    """A ring of wall around air, in a faint cloud."""
    at, outer, thick = site.spot(rng, UPPER), rng.uniform(12, 25), rng.uniform(3, 7)
    ragged = (rng.uniform(0, 0.09), rng.uniform(0, 6), rng.uniform(0, 0.07), rng.uniform(0, 6))
    ring = _ball(site, at, outer, ragged) - _ball(site, at, max(outer - thick, 4), ragged)
    count = int(rng.integers(3, 8))
    around = at + rng.normal(0, outer, (count, 2))
    halo = _clouds(rng, site, around, rng.uniform(6, 14, count), rng.uniform(3, 12, count))
    return 0.9 * ring + halo


def infiltrate(rng: np.random.Generator, site: Site) -> np.ndarray:
    """Patches that run into each other."""
    path = np.zeros_like(site.view.u)
    for side in (site.side, 1 - site.side)[: 1 + (rng.random() < 0.35)]:
        count = int(rng.integers(5, 21))
        centres = site.spot(rng, UPPER, side) + rng.normal(0, 1, (count, 2)) * rng.uniform(12, 24) * [0.9, 1.1]
        path += _clouds(rng, site, centres, rng.uniform(4, 12, count), rng.uniform(5, 17, count))
    return np.minimum(path, 60)


def miliary(rng: np.random.Generator, site: Site) -> np.ndarray:
    """Hundreds of nodules of 1 to 2 mm in both lungs."""
    count, solids = int(rng.integers(350, 900)), site.solids
    y, x = np.nonzero(solids.left | solids.right)
    if not len(y):
        return np.zeros_like(site.view.u)
    pick = (rng.random(count) * len(y)).astype(int)
    points = np.stack([site.view.u[y[pick], x[pick]], site.view.v[y[pick], x[pick]]], 1) + rng.normal(0, 1, (count, 2))
    mass = rng.uniform(0.6, 1.1) * rng.uniform(50, 180, count)
    return spread(site.view, deposit(site.view, points, mass), rng.uniform(1.5, 2.3))


def effusion(rng: np.random.Generator, site: Site) -> np.ndarray:
    """Fluid below a level that climbs along the chest wall."""
    side = site.side
    v, out = site.view.v, np.abs(site.view.u) / np.float32(site.body.width[side])
    level = site.body.dome[side] - rng.uniform(0, 75) - rng.uniform(15, 60) * np.clip(out - 0.35, 0, 1) ** 2
    return (
        site.solids.air
        * (rng.uniform(0.5, 1.0) * site.lung(side))
        * np.clip((v - level) / np.float32(rng.uniform(10, 30)), 0, 1)
    )


def hilar_nodes(rng: np.random.Generator, site: Site) -> np.ndarray:
    """One to four swollen nodes at the root of a lung."""
    path = np.zeros_like(site.view.u)
    sign = (-1, 1)[site.side]
    for _ in range(rng.integers(1, 5)):
        at = hilum(site.body, site.side) + np.array([sign * rng.uniform(4, 26), rng.normal(-4, 14)])
        path = np.maximum(path, _ball(site, at, rng.uniform(10, 19), (rng.uniform(0, 0.15), rng.uniform(0, 6), 0, 0)))
    return 0.9 * cv2.GaussianBlur(path, (0, 0), 0.3 + 1.2 * site.view.scale)


def fibrosis(rng: np.random.Generator, site: Site) -> np.ndarray:
    """Streaks from the root of the lung to a shrunken apex, and a thickened cap."""
    root, side = hilum(site.body, site.side), site.side
    points, masses = [], []
    aim = site.spot(rng, (0.9, 0.1, 0.0))
    for _ in range(rng.integers(8, 20)):
        begin, end = root + rng.normal(0, 12, 2) * [1, 2], aim + rng.normal(0, 20, 2)
        middle = (begin + end) / 2 + rng.normal(0, 9, 2)
        line, length = tube(np.stack([begin, middle, end]))
        points.append(line)
        masses.append(length * rng.uniform(8, 34))
    streaks = spread(site.view, deposit(site.view, np.concatenate(points), np.concatenate(masses)), 1.3)
    depth = site.view.v - np.float32(site.body.apex[side])
    cap = rng.uniform(0, 30) * np.exp(-np.square(np.clip(depth, 0, None) / np.float32(rng.uniform(10, 28))))
    patch = _clouds(rng, site, aim + rng.normal(0, 15, (5, 2)), rng.uniform(6, 13, 5), rng.uniform(2, 9, 5))
    return 1.3 * streaks + cap * site.lung(side) + patch


def granuloma(rng: np.random.Generator, site: Site) -> np.ndarray:
    """One to three healed, calcified spots of 2 to 4 mm."""
    path = np.zeros_like(site.view.u)
    for _ in range(rng.integers(1, 4)):
        path += 2.2 * _ball(site, site.spot(rng, ANY, int(rng.integers(2))), rng.uniform(2, 4))
    return path


def pneumonia(rng: np.random.Generator, site: Site) -> np.ndarray:
    """A smooth, larger cloud low in one lung."""
    count = int(rng.integers(3, 8))
    centres = site.spot(rng, LOWER) + rng.normal(0, 13, (count, 2))
    return np.minimum(_clouds(rng, site, centres, rng.uniform(12, 24, count), rng.uniform(6, 20, count)), 60)


def mass(rng: np.random.Generator, site: Site) -> np.ndarray:
    """One solid ball with a fairly sharp edge."""
    ragged = (rng.uniform(0, 0.1), rng.uniform(0, 6), rng.uniform(0, 0.05), rng.uniform(0, 6))
    return rng.uniform(0.7, 1) * _ball(site, site.spot(rng, ANY), rng.uniform(9, 24), ragged)


def ecg_leads(rng: np.random.Generator, site: Site) -> np.ndarray:
    """Electrodes and their wires on the skin, across lungs and everything else."""
    path, body = np.zeros_like(site.view.u), site.body
    points, exit_at = [], np.array([rng.uniform(-1, 1) * 120, body.height * rng.choice([-0.2, 1.3])])
    for _ in range(rng.integers(3, 6)):
        at = np.array([rng.uniform(-0.9, 0.9) * body.width[0], rng.uniform(0.05, 1.05) * body.height])
        path += 6.0 * (_ball(site, at, rng.uniform(4.5, 7)) > 0) + 40.0 * (_ball(site, at, 2.2) > 0)
        middle = (at + exit_at) / 2 + rng.normal(0, 25, 2)
        t = np.linspace(0, 1, 30)[:, None]
        points.append(tube((1 - t) ** 2 * at + 2 * t * (1 - t) * middle + t**2 * exit_at)[0])
    points = np.concatenate(points)
    return path + spread(site.view, deposit(site.view, points, np.full(len(points), 40.0)), 1.0)


TB: dict[str, Callable[[np.random.Generator, Site], np.ndarray]] = {
    "infiltrate": infiltrate,
    "cavity": cavity,
    "fibrosis": fibrosis,
    "effusion": effusion,
    "miliary": miliary,
    "hilar_nodes": hilar_nodes,
}
TB_SHARE = (0.3, 0.25, 0.15, 0.1, 0.1, 0.1)  # of the first sign
SIGNS = {**TB, "granuloma": granuloma, "pneumonia": pneumonia, "mass": mass}  # within the lungs
NOT_TB = ("granuloma", "pneumonia", "mass", "ecg_leads", "large_heart")  # the last is drawn with the body


def bounded(path: np.ndarray, site: Site) -> np.ndarray:
    """Tissue inside the lungs only, and no more than there was air."""
    return np.minimum(path, 0.95 * LUNG_AIR * site.solids.air) * (site.solids.left | site.solids.right)

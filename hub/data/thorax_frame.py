"""A random body in millimetres, and how its places fall on the pixels of a film.

u grows to the image's right, which is the patient's left; v grows downwards from the apex of the lungs, at v = 0;
z grows towards the back.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Frame:
    """Where millimetres fall on the pixels of a square film. `u`, `v` float32 [S, S]: the place that a pixel shows."""

    u: np.ndarray
    v: np.ndarray
    matrix: np.ndarray  # [2, 2] mm -> pixels
    centre: np.ndarray  # [2] mm at the middle of the film
    waves: np.ndarray  # [k, 5] amplitude u, amplitude v, frequency u, frequency v, phase: bends the body a little

    @property
    def size(self) -> int:
        return self.u.shape[0]

    @property
    def scale(self) -> float:
        """Pixels per millimetre (geometric mean of both axes)."""
        return float(np.sqrt(abs(np.linalg.det(self.matrix))))

    def place(self, points: np.ndarray) -> np.ndarray:
        """Pixel coordinates (x, y) of points [N, 2] in mm."""
        bent = points - _bend(self.waves, points[:, 0], points[:, 1])  # the inverse of the grid's bend, to first order
        return (bent - self.centre) @ self.matrix.T + (self.size - 1) / 2

    def near(self, point: np.ndarray, reach: float) -> tuple[slice, slice]:
        """The window of pixels within `reach` mm of a point; it may be empty."""
        x, y = self.place(np.asarray(point, float)[None])[0]
        r = reach * np.abs(np.linalg.eigvals(self.matrix)).max() + 1
        return tuple(slice(int(np.clip(c - r, 0, self.size)), int(np.clip(c + r + 1, 0, self.size))) for c in (y, x))


@dataclass(frozen=True)
class Patient:
    """One body. Lengths in mm; pairs are (patient's right, patient's left)."""

    sex: str
    age: int
    width: np.ndarray  # [2] half width of the cage
    height: float  # apex to the right dome
    apex: np.ndarray  # [2] where each lung begins: 0, or more after a loss of volume
    dome: np.ndarray  # [2] level of the diaphragm
    sulcus: np.ndarray  # [2] how much deeper the costophrenic angle lies
    depth: float  # of the lungs
    wall: float  # lateral soft tissue outside the cage
    shift: float  # of the mediastinum to the left
    heart: float  # 1 is normal
    roundness: float  # exponent of the cage's superellipse
    breast: float  # thickness; 0 for none
    seed: int  # of the small variations


def patient(rng: np.random.Generator, *, heart: float = 1.0, loss: tuple[float, float] = (0.0, 0.0)) -> Patient:
    """A body. `loss` is the share of volume that the (right, left) upper lobe lost."""
    sex = "F" if rng.random() < 0.47 else "M"
    build = (0.93 if sex == "F" else 1.0) * rng.uniform(0.9, 1.1)
    height = 232 * build * rng.uniform(0.84, 1.14)  # inspiration
    dome = np.array([height, height + rng.uniform(-4, 18)]) - 0.35 * np.array(loss) * height
    return Patient(
        sex=sex,
        age=int(np.clip(rng.normal(42, 16), 15, 89)),
        width=138 * build * rng.uniform(0.9, 1.1) * rng.uniform(0.97, 1.03, 2),
        height=height,
        apex=np.array(loss) * height * 0.6 + rng.uniform(0, 5, 2),
        dome=dome,
        sulcus=rng.uniform(28, 62) * rng.uniform(0.85, 1.15, 2),
        depth=175 * build * rng.uniform(0.88, 1.15),
        wall=float(np.clip(rng.gamma(4, 7), 10, 60)),
        shift=rng.normal(0, 3) + 60 * (loss[1] - loss[0]),
        heart=heart * rng.uniform(0.88, 1.1),
        roundness=rng.uniform(1.8, 2.5),
        breast=rng.uniform(8, 55) if sex == "F" and rng.random() < 0.85 else 0.0,
        seed=int(rng.integers(2**31)),
    )


def frame(rng: np.random.Generator, body: Patient, size: int) -> Frame:
    """A view: field, aspect ratio, rotation, centring and a gentle bend."""
    share = rng.uniform(0.66, 0.96)
    tall = body.dome.max() + body.sulcus.max() * 0.7
    pixel = np.array([share / (2 * body.width.mean()), 0.0]) * size
    pixel[1] = min(pixel[0] * rng.uniform(0.84, 1.19), 1.02 * size / tall)
    angle = np.deg2rad(rng.normal(0, 2.2))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    matrix = np.diag(pixel) @ turn @ np.array([[1, rng.normal(0, 0.015)], [0, 1]])
    free = (1 - tall * pixel[1] / size) / 2, (1 - share) / 2
    centre = np.array([0, tall / 2 - 4]) + rng.uniform(-0.8, 0.8, 2) * np.array([free[1], free[0]]) * size / pixel
    length = rng.uniform(140, 320, 4)
    way = rng.uniform(0, 2 * np.pi, 4)
    waves = np.stack(
        [*rng.normal(0, 1.6, (2, 4)), np.cos(way) * 2 * np.pi / length, np.sin(way) * 2 * np.pi / length,
         rng.uniform(0, 6.3, 4)], axis=1)  # fmt: skip
    x, y = np.meshgrid(*[np.arange(size) - (size - 1) / 2] * 2)
    u, v = (np.linalg.inv(matrix) @ np.stack([x.ravel(), y.ravel()]) + centre[:, None]).astype(np.float32)
    bent = np.stack([u, v]) + _bend(waves, u, v).T
    u, v = bent.reshape(2, size, size)
    return Frame(u, v, matrix, centre, waves)


def _bend(waves: np.ndarray, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Displacement [N, 2] in mm."""
    bend_u, bend_v, of_u, of_v, phase = waves.T.astype(np.float32)[..., None]
    sine = np.sin(of_u * u.astype(np.float32) + of_v * v.astype(np.float32) + phase)
    return np.stack([bend_u.T @ sine, bend_v.T @ sine])[:, 0].T


def wall(body: Patient, side: int, v: np.ndarray) -> np.ndarray:
    """Half width of the cage at level v; `side` 0 is the patient's right."""
    centre = 0.42 * body.width[side]
    rise = np.clip((widest(body) - v) / widest(body), 0, 0.995)
    return centre + (body.width[side] - centre) * (1 - rise**body.roundness) ** (1 / body.roundness)


def widest(body: Patient) -> float:
    return 0.74 * body.height

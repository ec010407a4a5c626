"""Places in the lungs of a volume, and clouds, balls and tubes drawn on its grid. Lengths in mm."""

from dataclasses import dataclass

import numpy as np

from hub.data.ct_volume import Volume


@dataclass(frozen=True, eq=False)
class Site:
    """Where signs are put."""

    volume: Volume
    side: int  # with the larger share of the signs; 0 is the patient's right

    def spot(self, rng: np.random.Generator, zones: tuple[float, ...], side: int | None = None) -> np.ndarray:
        """A random place (depth, level, across) in mm, within lung that a film shows."""
        side = self.side if side is None else side
        seen = self.volume.seen[side]
        rows = np.flatnonzero(seen.any(1))
        third = (rows[-1] + 1 - rows[0]) / 3
        zone, chosen = rng.choice(3, p=zones), rng.random(3)
        level = min(int(rows[0] + third * (zone + 0.12 + 0.8 * chosen[0])), int(rows[-1]))
        across = np.flatnonzero(seen[level])
        across = across[int(chosen[1] * len(across))]
        depths = np.flatnonzero(self.volume.lung(side)[:, level, across] > 0.5)
        depth = depths[int(chosen[2] * len(depths))] if len(depths) else self.volume.shape[0] // 2
        return np.array([depth, level, across]) * self.volume.step

    def root(self, side: int) -> np.ndarray:
        """Where vessels enter a lung, in mm: its veins' middle and a little outwards."""
        return np.array(self.volume.hila[side]) * self.volume.step + [0, 0, (-15, 15)[side]]

    def near(self, at: np.ndarray, reach: float) -> tuple[tuple[slice, ...], list[np.ndarray]]:
        """The window within `reach` of a place, and the distances along the axes from it, float32."""
        window, away = [], []
        for axis, (n, step) in enumerate(zip(self.volume.shape, self.volume.step, strict=True)):
            low, high = (int(np.clip(v, 0, n)) for v in ((at[axis] - reach) / step, (at[axis] + reach) / step + 2))
            window.append(slice(low, high))
            shape = [-1 if i == axis else 1 for i in range(3)]
            away.append(np.reshape(np.arange(low, high) * step - at[axis], shape).astype(np.float32))
        return tuple(window), away

    def empty(self) -> np.ndarray:
        return np.zeros(self.volume.shape, np.float32)


def clouds(rng: np.random.Generator, site: Site, centres: np.ndarray, sd: np.ndarray, peak: np.ndarray) -> np.ndarray:
    """A sum of Gaussians, longer along one axis."""
    total = site.empty()
    for at, s, p in zip(centres, sd, peak, strict=True):
        window, away = site.near(at, 3 * s)
        ratio = np.exp(rng.normal(0, 0.2, 3)).astype(np.float32)
        parts = [np.exp(-0.5 * np.square(a / np.float32(s * r))) for a, r in zip(away, ratio, strict=True)]
        total[window] += np.float32(p) * parts[0] * parts[1] * parts[2]
    return total


def ball(site: Site, at: np.ndarray, radius: float, wave: np.ndarray | None = None) -> np.ndarray:
    """The share of each voxel that a ball fills; `wave` [3] makes it ragged."""
    total = site.empty()
    window, (y, z, x) = site.near(at, 1.4 * radius + 4)
    distance = np.sqrt(x * x + y * y + z * z)
    if wave is not None:
        distance = distance * (1 + (wave[0] * x * z + wave[1] * y * z + wave[2] * x * y) / (distance**2 + 1))
    soft = np.mean(site.volume.step)
    total[window] = np.clip((radius - distance) / soft + 0.5, 0, 1)
    return total


def tubes(site: Site, lines: list[np.ndarray], areas: list[float]) -> np.ndarray:
    """Thin tubes along polylines [n, 3], by their volume."""
    total, shape = site.empty(), np.array(site.volume.shape)
    for line, area in zip(lines, areas, strict=True):
        along = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(line, axis=0), axis=1))])
        steps = np.linspace(0, along[-1], max(int(along[-1]), 2))
        points = np.stack([np.interp(steps, along, c) for c in line.T], 1)
        drop(total, points / site.volume.step, np.full(len(points), area * along[-1] / len(points)), shape)
    return total / np.float32(np.prod(site.volume.step))


def drop(total: np.ndarray, places: np.ndarray, mass: np.ndarray, shape: np.ndarray) -> None:
    """Add masses at fractional indices, shared among the eight voxels around each."""
    base = np.floor(places).astype(int)
    part = places - base
    for corner in np.ndindex(2, 2, 2):
        index = base + corner
        inside = ((index >= 0) & (index < shape)).all(1)
        weight = np.prod(np.where(corner, part, 1 - part), axis=1) * mass
        np.add.at(total, tuple(index[inside].T), weight[inside].astype(np.float32))

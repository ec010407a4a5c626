"""Signs of tuberculosis and of other things as density put into the lungs of a volume, before any ray is drawn.

Each sign returns float32 [depth, level, across]: the water equivalent that it adds per voxel, negative where air takes
the place of tissue. `bounded` keeps it in the lungs and below the density of flesh. Lengths in mm.
"""

from collections.abc import Callable

import numpy as np

from hub.data.ct_shapes import Site, ball, clouds, drop, tubes

UPPER, ANY, LOWER = (0.7, 0.2, 0.1), (1 / 3, 1 / 3, 1 / 3), (0.0, 0.15, 0.85)  # upper, middle, lower third
FLESH = 1.04  # water equivalent of +40 HU


def cavity(rng: np.random.Generator, site: Site) -> np.ndarray:
    """A shell of 2 to 5 mm around air, in a faint cloud."""
    at, outer, thick = site.spot(rng, UPPER), rng.uniform(10, 25), rng.uniform(2, 5)
    wave = rng.normal(0, 0.09, 3)
    whole, hollow = ball(site, at, outer, wave), ball(site, at, max(outer - thick, 5), wave)
    count = int(rng.integers(4, 9))
    around = at + rng.normal(0, outer, (count, 3))
    halo = clouds(rng, site, around, rng.uniform(5, 12, count), rng.uniform(0.1, 0.35, count))
    air = site.volume.tissue[..., 0]
    return (whole - hollow) * (rng.uniform(1.02, 1.06) - air) + halo * (1 - hollow) - hollow * air


def infiltrate(rng: np.random.Generator, site: Site) -> np.ndarray:
    """Patches that run into each other, 300 to 700 HU above the lung."""
    total = site.empty()
    for side in (site.side, 1 - site.side)[: 1 + (rng.random() < 0.35)]:
        count = int(rng.integers(5, 21))
        centres = site.spot(rng, UPPER, side) + rng.normal(0, 1, (count, 3)) * rng.uniform(12, 24)
        total += clouds(rng, site, centres, rng.uniform(5, 15, count), rng.uniform(0.3, 0.7, count))
    return total


def miliary(rng: np.random.Generator, site: Site) -> np.ndarray:
    """400 to 800 nodules of 1.5 to 2 mm radius in both lungs."""
    count, total = int(rng.integers(400, 801)), site.empty()
    lungs = np.flatnonzero((site.volume.lung(0) + site.volume.lung(1)).ravel() > 0.5)
    chosen = lungs[(rng.random(count) * len(lungs)).astype(int)]
    places = np.stack(np.unravel_index(chosen, total.shape), 1) + rng.uniform(-0.5, 0.5, (count, 3))
    mass = 4 / 3 * np.pi * rng.uniform(1.5, 2, count) ** 3
    drop(total, places, mass / np.prod(site.volume.step), np.array(total.shape))
    return total


def effusion(rng: np.random.Generator, site: Site) -> np.ndarray:
    """Fluid of 0 to 30 HU below a level that climbs along the chest wall."""
    lung, step = site.volume.lung(site.side), site.volume.step
    rows = np.flatnonzero(site.volume.seen[site.side].any(1))
    flat = np.argwhere(lung[:, rows[0] : rows[-1]].max(1) > 0.5)
    middle, half = flat.mean(0), (np.ptp(flat, 0) + 1) / 2
    y, z, x = np.ogrid[tuple(slice(n) for n in lung.shape)]
    out = np.sqrt(((y - middle[0]) / half[0]) ** 2 + ((x - middle[1]) / half[1]) ** 2).astype(np.float32)
    level = rows[-1] * step[1] - rng.uniform(40, 110) - rng.uniform(15, 60) * np.clip(out - 0.35, 0, 1) ** 2
    below = np.clip((z * np.float32(step[1]) - level) / np.float32(rng.uniform(3, 10)), 0, 1)
    return below * lung * (rng.uniform(1.0, 1.03) - site.volume.tissue[..., 0])


def hilar_nodes(rng: np.random.Generator, site: Site) -> np.ndarray:
    """One to four nodes of 10 to 20 mm and a little more at the root of a lung."""
    total = site.empty()
    for _ in range(rng.integers(1, 5)):
        at = site.root(site.side) + rng.normal(0, 1, 3) * [10, 14, 5] + [0, -4, (-1, 1)[site.side] * rng.uniform(0, 14)]
        total = np.maximum(total, ball(site, at, rng.uniform(8, 14), rng.normal(0, 0.12, 3)))
    return total * FLESH


def fibrosis(rng: np.random.Generator, site: Site) -> np.ndarray:
    """Streaks from the root to the apex, a thickened cap and patches; the loss of volume is the pose's."""
    root, aim = site.root(site.side), site.spot(rng, (0.9, 0.1, 0.0))
    lines = []
    for _ in range(rng.integers(10, 24)):
        begin, end = root + rng.normal(0, 12, 3), aim + rng.normal(0, 20, 3)
        lines.append(np.stack([begin, (begin + end) / 2 + rng.normal(0, 9, 3), end]))
    streaks = tubes(site, lines, list(np.pi * rng.uniform(1.0, 2.4, len(lines)) ** 2))
    lung = site.volume.lung(site.side)
    depth = np.cumsum(lung > 0.5, axis=1) * np.float32(site.volume.step[1])  # of lung above
    below = (np.arange(lung.shape[1]) - np.flatnonzero(site.volume.seen[site.side].any(1))[0]) * site.volume.step[1]
    far = np.square(depth / rng.uniform(6, 20)) + np.square(np.clip(below, 0, None) / rng.uniform(20, 50))[:, None]
    cap = (rng.uniform(0, 0.7) * np.exp(-far)).astype(np.float32)
    patch = clouds(rng, site, aim + rng.normal(0, 14, (5, 3)), rng.uniform(5, 12, 5), rng.uniform(0.1, 0.5, 5))
    return streaks + cap * lung + patch


def granuloma(rng: np.random.Generator, site: Site) -> np.ndarray:
    """One to three calcified spots of 2 to 4 mm radius and 500 HU."""
    return sum(1.5 * ball(site, site.spot(rng, ANY, int(rng.integers(2))), rng.uniform(2, 4))
               for _ in range(rng.integers(1, 4)))  # fmt: skip


def pneumonia(rng: np.random.Generator, site: Site) -> np.ndarray:
    """A smooth, larger cloud low in one lung."""
    count = int(rng.integers(3, 8))
    centres = site.spot(rng, LOWER) + rng.normal(0, 13, (count, 3))
    return clouds(rng, site, centres, rng.uniform(12, 24, count), rng.uniform(0.15, 0.5, count))


def mass(rng: np.random.Generator, site: Site) -> np.ndarray:
    """One solid ball with a fairly sharp edge."""
    return FLESH * ball(site, site.spot(rng, ANY), rng.uniform(9, 24), rng.normal(0, 0.09, 3))


TB: dict[str, Callable[[np.random.Generator, Site], np.ndarray]] = {
    "infiltrate": infiltrate,
    "cavity": cavity,
    "fibrosis": fibrosis,
    "effusion": effusion,
    "miliary": miliary,
    "hilar_nodes": hilar_nodes,
}
OTHER = {"granuloma": granuloma, "pneumonia": pneumonia, "mass": mass}


def bounded(added: np.ndarray, site: Site, calcified: bool = False) -> np.ndarray:
    """In the lungs only, no denser than flesh unless calcified, and no emptier than air."""
    own = site.volume.tissue[..., 0]
    room = 1.5 if calcified else np.clip(FLESH - own, 0, None)
    lungs = np.clip(site.volume.lung(0) + site.volume.lung(1), 0, 1)
    return (np.clip(added, -own, room) * lungs).astype(np.float32)

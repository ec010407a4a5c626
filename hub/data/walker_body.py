"""Who walks and what they wear: the traits of a drawn subject, and how they vary from one walk to the next.

Lengths that grow with a person are shares of the stature (Drillis and Contini's segment lengths) times a trait.
"""

import functools
from dataclasses import dataclass

import numpy as np

JITTER = 0.25  # a walk's own deviation, in standard deviations between subjects
CURVES = ("hip", "knee", "ankle", "shoulder", "elbow")
WAVE = 3.0  # degrees: root mean square of a subject's own curve around the textbook's
CONDITIONS = (*(f"nm-{n:02d}" for n in range(1, 7)), "bg-01", "bg-02", "cl-01", "cl-02")
BAGS = ("backpack", "shoulder", "hand")

TRAITS = {  # mean and standard deviation between subjects; without a unit: a factor
    "stature": (1.725, 0.1299),  # m, uniform in 1.50..1.95
    "cadence": (0.95, 0.0866),  # cycles of two steps per second, uniform in 0.8..1.1
    **dict.fromkeys(("thigh", "shank", "upper_arm", "forearm", "trunk", "neck", "foot"), (1.0, 0.04)),
    **dict.fromkeys(("shoulders", "hips"), (1.0, 0.07)),
    "girth": (1.0, 0.08),  # of everything; with the next line 12 %
    **dict.fromkeys(("chest", "belly", "seat", "thigh_girth", "calf", "arm_girth"), (1.0, 0.09)),
    "head": (1.0, 0.05),
    "hair": (0.012, 0.007),  # m
    "lean": (4.0, 2.5),  # degrees forward
    "stoop": (14.0, 6.0),  # degrees that the neck is further forward than the trunk
    "stride": (1.0, 0.10),
    "swing": (1.0, 0.20),
    "knee_bend": (1.0, 0.08),
    **dict.fromkeys(("leg_asymmetry", "knee_asymmetry", "arm_asymmetry"), (0.0, 0.04)),
    "sway": (0.018, 0.007),  # m that the pelvis moves over the standing foot
    "drop": (4.0, 1.5),  # degrees that the pelvis sinks on the swinging side
    "turn": (5.0, 2.0),  # degrees that the pelvis turns forward with the swinging leg
    "step_width": (0.13, 0.03),  # m between the ankles
    "toe_out": (7.0, 5.0),  # degrees
    "arm_out": (9.0, 3.0),  # degrees that the arms hang from the trunk
    "elbow_bend": (20.0, 8.0),  # degrees
}
UNIFORM = ("stature", "cadence")


@dataclass(frozen=True)
class Body:
    """One subject in one walk. Indexing gives a trait; pairs are (right, left)."""

    traits: dict[str, float]
    waves: np.ndarray  # complex [curves, 4]: degrees of harmonics 1..4 added to the textbook's curve
    phase: float  # where in the cycle the walk begins
    heading: float  # degrees that the walk deviates from the straight line

    def __getitem__(self, trait: str) -> float:
        return self.traits[trait]

    def length(self, share: float, trait: str) -> float:
        """Metres of a segment that is `share` of the stature on average."""
        return share * self["stature"] * self[trait]

    def radius(self, share: float, trait: str) -> float:
        """Metres of a half breadth that is `share` of the stature on average."""
        return self.length(share, trait) * self["girth"]


@dataclass(frozen=True)
class Dress:
    """What a condition adds to a body."""

    bag: str = ""  # one of BAGS
    side: int = 1  # 1 right, -1 left: where the bag hangs
    size: tuple[float, float, float] = (0.0, 0.0, 0.0)  # m, half depth, half breadth, half height of the bag
    coat: float = 1.0  # factor on the radii of trunk and arms
    hem: float = 0.0  # share of the thigh that the coat covers
    flare: float = 1.0  # breadth of the hem
    hood: bool = False


def body(subject: int, condition: str, seed: int = 0) -> Body:
    """The subject of `condition`'s walk: the same person as in every other, a quarter as different as another one."""
    who, walk = _subject(subject, seed), np.random.default_rng([2, seed, subject, CONDITIONS.index(condition)])
    z = who[0] + JITTER * walk.normal(size=len(TRAITS))
    waves = who[1] + JITTER * _waves(walk)
    low = np.where([name in UNIFORM for name in TRAITS], -np.sqrt(3), -2.2)
    values = {n: m + sd * float(v) for (n, (m, sd)), v in zip(TRAITS.items(), np.clip(z, low, -low), strict=True)}
    return Body(values, waves, walk.random(), walk.normal(0, 3))


def dress(subject: int, condition: str, seed: int = 0) -> Dress:
    """The bag or the coat of a subject: the same things in both walks, worn a little differently."""
    own, walk = (np.random.default_rng([3, seed, subject, n]) for n in (0, 1 + CONDITIONS.index(condition)))
    worn = 1 + JITTER * 0.15 * walk.normal(size=3)
    if condition.startswith("bg"):
        bag = BAGS[own.integers(3)]
        side = int(own.choice([-1, 1]))
        mean = {"backpack": (0.08, 0.13, 0.19), "shoulder": (0.13, 0.05, 0.11), "hand": (0.12, 0.04, 0.11)}[bag]
        return Dress(bag, side, tuple((np.array(mean) * own.uniform(0.8, 1.25, 3) * worn).tolist()))
    if condition.startswith("cl"):
        coat, flare, hem = own.uniform((1.15, 0.9, 0.4), (1.35, 1.25, 0.7)) * worn
        return Dress(coat=max(coat, 1.12), hem=hem, flare=flare, hood=bool(own.random() < 0.3))
    return Dress()


@functools.lru_cache(256)
def _subject(subject: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng([1, seed, subject])
    z, flat = rng.normal(size=len(TRAITS)), rng.uniform(-np.sqrt(3), np.sqrt(3), len(TRAITS))
    return np.where([name in UNIFORM for name in TRAITS], flat, z), _waves(rng)


def _waves(rng: np.random.Generator) -> np.ndarray:
    """Harmonic h shrinks as 1 / h; `sum of Re(w_h exp(2 pi i h phase))` has the root mean square `WAVE` on average."""
    share = 1 / np.arange(1, 5)
    return rng.normal(0, WAVE, (len(CURVES), 4, 2)) @ np.array([1, 1j]) * share / np.linalg.norm(share)

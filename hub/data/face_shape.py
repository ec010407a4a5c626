"""Heads that do not exist: 68 landmarks in space with a person's own proportions, hair and tones, and their projection.

Lengths are in distances between the pupils, about 63 mm; x to the right of the picture, y down, z towards the camera.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from hub.data import face_actions

TURN = 25.0, 15.0, 8.0  # most degrees of yaw, pitch and roll
PIVOT = np.array([0.0, 0.35, -0.45])  # what the head turns about
SPREAD = 0.06  # standard deviation of a proportion
RESTING = 0.09  # standard deviation of the action units that a neutral face shows
SHORT, PARTED, FRINGE, LONG, TIED, BALD = range(6)  # ways to wear hair

_HALF = {  # the left half of the picture and the middle: x, y, z of an average adult
    0: (-1.10, 0.00, -0.45), 1: (-1.09, 0.27, -0.44), 2: (-1.06, 0.53, -0.42), 3: (-1.00, 0.80, -0.37),
    4: (-0.90, 1.06, -0.30), 5: (-0.74, 1.30, -0.20), 6: (-0.53, 1.51, -0.10), 7: (-0.28, 1.67, -0.01),
    8: (0.00, 1.72, 0.03),
    17: (-0.94, -0.25, -0.12), 18: (-0.80, -0.37, 0.03), 19: (-0.61, -0.41, 0.12), 20: (-0.41, -0.385, 0.17),
    21: (-0.22, -0.325, 0.19),
    27: (0.00, -0.02, 0.18), 28: (0.00, 0.20, 0.30), 29: (0.00, 0.41, 0.43), 30: (0.00, 0.60, 0.53),
    31: (-0.25, 0.74, 0.20), 32: (-0.13, 0.785, 0.28), 33: (0.00, 0.81, 0.32),
    36: (-0.735, -0.01, -0.06), 37: (-0.59, -0.092, 0.05), 38: (-0.42, -0.094, 0.06), 39: (-0.275, 0.025, 0.04),
    40: (-0.41, 0.072, 0.05), 41: (-0.59, 0.077, 0.04),
    48: (-0.42, 1.088, 0.02), 49: (-0.26, 1.035, 0.14), 50: (-0.10, 0.995, 0.22), 51: (0.00, 1.015, 0.23),
    57: (0.00, 1.26, 0.20), 58: (-0.13, 1.248, 0.18), 59: (-0.28, 1.19, 0.11),
    60: (-0.375, 1.092, 0.03), 61: (-0.13, 1.096, 0.19), 62: (0.00, 1.106, 0.20), 66: (0.00, 1.116, 0.20),
    67: (-0.13, 1.108, 0.19),
}  # fmt: skip
_SKULL = ((-1.12, 0.05, -0.5), (-1.17, -0.40, -0.5), (-1.13, -0.86, -0.48), (-0.97, -1.26, -0.45),
          (-0.69, -1.57, -0.42), (-0.35, -1.75, -0.4), (0.0, -1.80, -0.4))  # fmt: skip
_SKINS = ((232, 202, 182), (226, 190, 165), (222, 180, 148), (198, 150, 118), (170, 120, 88), (135, 92, 66),
          (104, 70, 52))  # fmt: skip
_HAIRS = ((34, 28, 26), (52, 38, 30), (86, 60, 42), (136, 76, 46), (128, 92, 60), (176, 140, 96), (168, 166, 164))
_EYES = ((60, 40, 28), (84, 58, 36), (104, 96, 58), (80, 106, 128), (92, 112, 104))


class Pose(NamedTuple):
    """How a head is held and where it is."""

    yaw: float  # degrees; positive turns to the right of the picture
    pitch: float  # degrees; positive looks up
    roll: float  # degrees; positive leans clockwise
    scale: float  # pixels between the pupils
    centre: tuple[float, float]  # x, y of the picture where the point between the pupils is, at yaw = pitch = 0


@dataclass(frozen=True)
class Person:
    """What stays the same in every picture of somebody."""

    points: np.ndarray  # float64 [68, 3], the neutral face
    skull: np.ndarray  # float64 [13, 3], from ear to ear over the top
    habit: np.ndarray  # float64 [units, 2], how strongly the left and the right side of the picture move
    parts: bool  # the lips part in a smile
    skin: np.ndarray  # red, green, blue in 0..255
    hair: np.ndarray
    brow: np.ndarray
    lip: np.ndarray
    iris: np.ndarray
    style: int  # SHORT to BALD
    volume: float  # of the hair
    side: int  # -1 or 1, where it is parted
    thick: float  # brows, about 1
    lashes: float  # 0..1
    glasses: float  # 0 none, else the lenses' half width
    round_glasses: bool
    beard: float  # 0 none, else how dense
    freckles: float
    ear: float  # about 1
    key: tuple[int, int]  # for textures that belong to the person


def person(subject: int, seed: int = 0) -> Person:
    """Somebody; the same for the same arguments."""
    rng = np.random.default_rng([41, seed, subject])
    points, skull = _proportions(rng)
    rest = rng.normal(0, RESTING, len(face_actions.UNITS)) * face_actions.RESTS
    points = face_actions.lawful(points + face_actions.moved(np.stack([rest, rest], -1)))
    skin = _between(rng, _SKINS)
    style = int(rng.choice(6, p=(0.27, 0.16, 0.14, 0.21, 0.15, 0.07)))
    hair = _between(rng, _HAIRS) if skin.mean() > 150 else np.array(_HAIRS[int(rng.integers(2))], float)
    bearded = style not in (LONG, TIED, FRINGE) and rng.random() < 0.31  # 15 % of all
    return Person(
        points=points,
        skull=skull,
        habit=np.exp(rng.normal(0, 0.18, (len(face_actions.UNITS), 1)) + rng.normal(0, 0.07, (1, 2))),
        parts=bool(rng.random() < 0.6),
        skin=skin,
        hair=hair,
        brow=hair * rng.uniform(0.55, 0.95) if hair.mean() > 60 else hair * rng.uniform(0.8, 1.2),
        lip=skin * np.array([0.84, 0.60, 0.58]) * rng.uniform(0.86, 1.06),
        iris=_between(rng, _EYES) if skin.mean() > 150 else np.array(_EYES[0], float),
        style=style,
        volume=float(rng.uniform(0.6, 1.5)),
        side=int(rng.choice((-1, 1))),
        thick=float(np.exp(rng.normal(0, 0.2))),
        lashes=float(rng.uniform(0.2, 1) if style in (LONG, TIED, FRINGE) else rng.uniform(0, 0.3)),
        glasses=float(rng.uniform(0.36, 0.43)) if rng.random() < 0.2 else 0.0,
        round_glasses=bool(rng.random() < 0.5),
        beard=float(rng.uniform(0.35, 0.85)) if bearded else 0.0,
        freckles=float(rng.uniform(0, 1)),
        ear=float(np.exp(rng.normal(0, 0.1))),
        key=(seed, subject),
    )


def project(points: np.ndarray, pose: Pose) -> np.ndarray:
    """Points [..., 3] of the head in the picture: float64 [..., 2], pixels. Far away: no perspective."""
    yaw, pitch, roll = np.radians(pose[:3])
    x, y, z = np.moveaxis(points - PIVOT, -1, 0)
    x, z = x * np.cos(yaw) + z * np.sin(yaw), z * np.cos(yaw) - x * np.sin(yaw)
    y = y * np.cos(pitch) - z * np.sin(pitch)
    x, y = x * np.cos(roll) - y * np.sin(roll), x * np.sin(roll) + y * np.cos(roll)
    return (np.stack([x, y], -1) + PIVOT[:2]) * pose.scale + pose.centre


def _proportions(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """(landmarks [68, 3], skull [13, 3]) with a person's own measures."""
    at = np.zeros((68, 3))
    for n, place in _HALF.items():
        at[n] = place
        at[face_actions.MIRROR[n]] = (-place[0], *place[1:])
    skull = np.array([*_SKULL, *((-x, y, z) for x, y, z in _SKULL[-2::-1])])
    at += _even(rng.normal(0, 0.008, (68, 3)))
    jaw, brows, nose, eyes, mouth = (slice(*ends) for ends in ((0, 17), (17, 27), (27, 36), (36, 48), (48, 68)))
    grow = dict(zip(("wide", "jaw", "chin", "apart", "eye", "open", "broad", "long", "deep", "mouth", "lips"),
                    np.exp(np.clip(rng.normal(0, SPREAD, 11), -0.14, 0.14)), strict=True))  # fmt: skip
    low = np.clip((at[jaw, 1] - 0.2) / 1.5, 0, 1)
    at[jaw, 0] *= 1 + (grow["jaw"] - 1) * 1.3 * np.sin(low * np.pi * 0.9)
    at[jaw, 1] += (grow["chin"] - 1) * 1.5 * low**2
    for left in (range(36, 42), range(42, 48)):
        own = list(left)
        middle = at[own].mean(0)
        at[own] = middle + (at[own] - middle) * (grow["eye"], grow["eye"] * grow["open"] ** 2, 1)
    tilt = rng.normal(0, 0.05)  # of eyes and brows, radians
    for part in (eyes, brows):
        at[part, 1] -= tilt * (np.abs(at[part, 0]) - 0.5)
        at[part, 0] += np.sign(at[part, 0]) * (grow["apart"] - 1) * 0.5
    at[brows, 1] += rng.normal(0, 0.03)
    at[brows, 0] *= np.exp(rng.normal(0, 0.02))
    at[nose, 0] *= grow["broad"] ** 1.5
    at[nose, 1] *= grow["long"]
    at[nose, 2] = 0.18 + (at[nose, 2] - 0.18) * grow["deep"] ** 2
    at[mouth, 1] += (grow["long"] - 1) * 0.8 + (grow["chin"] - 1) * 0.5
    at[mouth, 0] *= grow["mouth"]
    line = at[[60, 64], 1].mean()
    at[mouth, 1] = line + (at[mouth, 1] - line) * grow["lips"] ** 3
    for whole in (at, skull):
        whole[:, 0] *= grow["wide"]
    skull[:, 1] *= np.exp(rng.normal(0, 0.03))
    at[:, :2] += rng.normal(0, 0.006, (68, 2))  # nobody is symmetric
    return at, skull


def _even(noise: np.ndarray) -> np.ndarray:
    """The same noise on both sides of the face."""
    other = noise[face_actions.MIRROR] * (-1, 1, 1)
    return (noise + other) / np.sqrt(2)


def _between(rng: np.random.Generator, tones: tuple) -> np.ndarray:
    """A tone between two neighbours."""
    place = rng.uniform(0, len(tones) - 1)
    low = int(place)
    mixed = np.array(tones[low]) + (place - low) * np.subtract(tones[low + 1], tones[low])
    return np.clip(mixed * rng.uniform(0.95, 1.05), 0, 255)

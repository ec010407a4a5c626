"""Expressions as facial action units, and the units as movements of the 68 landmarks.

The numbers of the units are those of the Facial Action Coding System (Ekman and Friesen, 1978); how far each point
moves at full strength is made up from what faces look like, not measured. Lengths as in `face_shape`.
"""

import numpy as np

from hub.data.face_images import EXPRESSIONS

UNITS = (1, 2, 4, 5, 6, 7, 9, 12, 15, 16, 20, 23, 25, 26)
RESTS = np.array([1.0, 1, 1, 0.5, 0, 0.6, 0.2, 0.9, 0.9, 0.3, 0.4, 0.7, 0, 0])  # what a neutral face may show a little
PROTOTYPES: dict[str, dict[int, float]] = {  # unit -> its share of the expression's intensity
    "angry": {4: 1.0, 5: 0.4, 7: 0.9, 23: 1.0},
    "disgust": {9: 1.0, 15: 0.5, 16: 0.7},
    "fear": {1: 0.9, 2: 0.6, 4: 0.6, 5: 0.9, 7: 0.3, 20: 0.9, 26: 0.35},
    "happy": {6: 0.9, 12: 1.0},
    "sad": {1: 1.0, 4: 0.5, 15: 1.0},
    "surprise": {1: 1.0, 2: 1.0, 5: 0.8, 26: 0.9},
    "neutral": {},
}
DISTRACTION = 0.2  # most strength of the one unit that does not belong
DISTRACTORS = (1, 2, 4, 5, 6, 7, 9, 12, 15, 20, 23)
MIRROR = np.array([*range(16, -1, -1), *range(26, 16, -1), *range(27, 31), *range(35, 30, -1), 45, 44, 43, 42, 47, 46,
                   39, 38, 37, 36, 41, 40, *range(54, 47, -1), *range(59, 54, -1), *range(64, 59, -1), 67, 66, 65],
                  )  # fmt: skip

_MOVES: dict[int, dict[int, tuple[float, float]]] = {  # unit -> point of the left half -> how far x and y move
    1: {21: (0.015, -0.18), 20: (0.01, -0.125), 19: (0, -0.04), 38: (0, -0.01)},
    2: {17: (0, -0.11), 18: (0, -0.16), 19: (0, -0.14), 20: (0, -0.06), 37: (0, -0.01)},
    4: {21: (0.075, 0.11), 20: (0.06, 0.09), 19: (0.035, 0.06), 18: (0.015, 0.025), 38: (0, 0.015), 37: (0, 0.005),
        27: (0, 0.01)},
    5: {37: (0, -0.06), 38: (0, -0.06)},
    6: {40: (0, -0.035), 41: (0, -0.045), 36: (0.01, 0.0), 37: (0, 0.022), 38: (0, 0.012), 17: (0, 0.015),
        18: (0, 0.01)},
    7: {40: (0, -0.038), 41: (0, -0.042), 37: (0, 0.022), 38: (0, 0.018)},
    9: {31: (-0.015, -0.07), 32: (0, -0.05), 33: (0, -0.04), 30: (0, -0.025), 29: (0, -0.01), 49: (-0.01, -0.065),
        50: (0, -0.085), 51: (0, -0.08), 61: (0, -0.03), 62: (0, -0.03), 21: (0.04, 0.065), 20: (0.03, 0.05),
        19: (0.01, 0.025), 40: (0, -0.03), 41: (0, -0.03), 38: (0, 0.018), 37: (0, 0.012), 48: (0, -0.01)},
    12: {48: (-0.165, -0.175), 60: (-0.155, -0.165), 49: (-0.10, -0.065), 59: (-0.115, -0.085), 50: (-0.03, 0.0),
         58: (-0.045, 0.0), 51: (0, 0.012), 57: (0, 0.015), 61: (-0.045, 0.002), 67: (-0.045, 0.005), 62: (0, 0.02),
         66: (0, 0.02), 3: (-0.02, -0.01), 4: (-0.03, -0.015), 5: (-0.02, -0.01), 31: (-0.025, -0.01)},
    15: {48: (0.0, 0.135), 60: (0.01, 0.12), 49: (0, 0.05), 59: (0.0, 0.065), 50: (0, 0.005), 58: (0, 0.01),
         61: (0, 0.012), 67: (0, 0.012), 57: (0, -0.015), 66: (0, -0.005), 62: (0, -0.005)},
    16: {57: (0, 0.075), 58: (-0.01, 0.075), 59: (-0.01, 0.05), 66: (0, 0.06), 67: (-0.01, 0.055), 60: (0, 0.01)},
    20: {48: (-0.13, 0.035), 60: (-0.12, 0.03), 49: (-0.075, 0.015), 59: (-0.08, 0.01), 50: (-0.025, 0.005),
         58: (-0.03, -0.01), 61: (-0.03, -0.005), 67: (-0.03, 0.02), 66: (0, 0.02), 62: (0, -0.003)},
    23: {48: (0.05, 0.0), 60: (0.045, 0.0), 49: (0.03, 0.025), 50: (0.01, 0.05), 51: (0, 0.045), 57: (0, -0.06),
         58: (0.01, -0.06), 59: (0.025, -0.035), 61: (0.01, 0), 67: (0.01, 0)},
    25: {61: (0, -0.02), 62: (0, -0.02), 50: (0, -0.015), 51: (0, -0.015), 66: (0, 0.10), 67: (0, 0.09),
         57: (0, 0.10), 58: (0, 0.09), 59: (0, 0.04), 60: (-0.01, 0.0)},
    26: {66: (0, 0.34), 67: (-0.03, 0.30), 57: (0, 0.34), 58: (-0.025, 0.325), 59: (0.015, 0.25), 48: (0.07, 0.12),
         60: (0.075, 0.125), 49: (0.035, 0.02), 61: (-0.02, -0.01), 62: (0, -0.025), 8: (0, 0.32), 7: (0, 0.30),
         6: (0.01, 0.24), 5: (0.02, 0.16), 4: (0.02, 0.09), 3: (0.015, 0.04), 51: (0, -0.015), 50: (0, -0.015)},
}  # fmt: skip


_ORDER = (  # upper point, lower point, least distance, how much of a lack the upper one mends
    *((upper, lower, 0.045, 0.5) for upper, lower in ((37, 41), (38, 40), (43, 47), (44, 46))),
    *((upper, lower, 0.004, 0.5) for upper, lower in ((61, 67), (62, 66), (63, 65))),
    *((upper, lower, 0.03, 1.0) for upper, lower in ((50, 61), (51, 62), (52, 63))),
    *((upper, lower, 0.05, 0.0) for upper, lower in ((67, 58), (66, 57), (65, 56))),
)


def _fields() -> np.ndarray:
    """float64 [units, 68, 3]: both sides at full strength."""
    found = np.zeros((len(UNITS), 68, 3))
    for field, unit in zip(found, UNITS, strict=True):
        for n, (x, y) in _MOVES[unit].items():
            field[n, :2] = x, y
            field[MIRROR[n], :2] = -x, y
    return found


FIELDS = _fields()
_LEFT = np.where(np.arange(68) == MIRROR, 0.5, np.isin(np.arange(68), [*range(8), *range(17, 22), 31, 32,
                 *range(36, 42), 48, 49, 50, 58, 59, 60, 61, 67]).astype(float))  # fmt: skip


def strengths(
    expression: int, intensity: float, habit: np.ndarray, parts: bool, rng: np.random.Generator
) -> np.ndarray:
    """How strongly each unit acts on the left and the right half of the picture: float64 [units, 2], in 0..1.3.

    Args:
        expression: index in `EXPRESSIONS`.
        intensity: 0 to 1.
        habit: [units, 2], a person's own factors.
        parts: whether the person's lips part in a smile.
        rng: what is special about this occasion; its draws do not depend on the intensity.
    """
    name = EXPRESSIONS[expression]
    wanted = np.array([PROTOTYPES[name].get(unit, 0.0) for unit in UNITS])
    shaken = np.exp(rng.normal(0, 0.15, (len(UNITS), 1)) + rng.normal(0, 0.08, (len(UNITS), 2)))
    stray, amount = rng.choice(DISTRACTORS), rng.uniform(0, DISTRACTION)
    found = np.clip(wanted[:, None] * intensity * habit * shaken, 0, 1.3)
    if name == "happy" and parts:
        found[UNITS.index(25)] = max(intensity - 0.3, 0) * rng.uniform(0.7, 1.1)
    if not wanted[UNITS.index(stray)]:
        found[UNITS.index(stray)] = amount
    return found


def moved(strength: np.ndarray) -> np.ndarray:
    """Displacements [68, 3] under strengths [units, 2] of the left and the right half."""
    each = np.einsum("us,unc->snc", strength, FIELDS)
    return each[0] * _LEFT[:, None] + each[1] * (1 - _LEFT)[:, None]


def lawful(points: np.ndarray) -> np.ndarray:
    """Points [68, 3] whose lids and lips do not cross."""
    points = points.copy()
    height = points[:, 1]
    for upper, lower, least, share in _ORDER:
        lack = max(least - (height[lower] - height[upper]), 0)
        height[upper] -= lack * share
        height[lower] += lack * (1 - share)
    return points

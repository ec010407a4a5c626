"""How a drawn person walks: joint angles over the cycle, and the places of the joints that follow from them.

x points where the person walks, y to the person's left, z up; metres. Sides are named by R and L.
"""

from dataclasses import dataclass

import numpy as np

from hub.data.walker_body import Body, Dress

FPS = 25
HARMONICS = 4
SIDES = {"R": -1, "L": 1}
# Sagittal angles of the right side at 0, 5, ..., 95 % of the cycle from its heel strike on, degrees, flexion positive:
# rounded means of healthy adults as textbooks of gait analysis draw them (free speed)
ANGLES = {
    "hip": (28, 27, 25, 21, 16, 11, 6, 1, -4, -8, -10, -8, 0, 11, 20, 27, 31, 32, 31, 29),
    "knee": (4, 9, 13, 15, 13, 10, 7, 5, 4, 7, 14, 26, 42, 56, 63, 60, 48, 30, 12, 3),
    "ankle": (0, -5, -3, 1, 3, 5, 7, 9, 10, 10, 5, -6, -14, -10, -3, 1, 3, 3, 3, 1),
}
TILT = 6.0  # degrees that the pelvis, to which the hip's angle refers, leans forward: the thigh's angle is less
ARM = {"shoulder": (-3.0, -17.0), "elbow": (0.0, -10.0)}  # mean and cosine: the arm is furthest back at heel strike


def _harmonics(samples: tuple[float, ...]) -> np.ndarray:
    """Mean and harmonics 1..4, so that the curve is `Re sum c_h exp(2 pi i h phase)`."""
    coefficients = np.fft.rfft(samples)[: HARMONICS + 1] / len(samples)
    return coefficients * np.array([1] + [2] * HARMONICS)


FOURIER = {name: _harmonics(samples) for name, samples in ANGLES.items()} | {
    name: np.array([mean, cosine, 0, 0, 0], complex) for name, (mean, cosine) in ARM.items()
}


@dataclass(frozen=True)
class Pose:
    """T moments of a walk. `at` [T, 3] by name of the joint; `chest`, `pelvis`, `footR`, `footL` are [T, 3, 3]."""

    at: dict[str, np.ndarray]
    turned: dict[str, np.ndarray]  # columns are the part's forward, left and up
    speed: float  # m/s


def angles(body: Body, dress: Dress, side: str, phase: np.ndarray) -> dict[str, np.ndarray]:
    """Degrees of the joints of a side at phases [T] of that side's own cycle."""
    waves = np.exp(2j * np.pi * np.outer(np.arange(HARMONICS + 1), phase))
    uneven = 1 + np.array([body[f"{part}_asymmetry"] for part in ("leg", "knee", "arm")]) * SIDES[side]
    hung = 0.3 if dress.bag in ("shoulder", "hand") and SIDES[side] == -dress.side else 1.0
    stiff = 0.8 if dress.hem else 1.0
    gain = {
        "hip": body["stride"] * uneven[0],
        "knee": body["knee_bend"] * uneven[1],
        "ankle": 1.0,
        "shoulder": body["swing"] * uneven[2] * hung * stiff,
        "elbow": body["swing"] * hung * stiff,
    }
    curves = {}
    for (name, textbook), own in zip(FOURIER.items(), body.waves, strict=True):
        own = own * (hung if name in ARM else 1.0)
        moving = (gain[name] * textbook[1:] + own) @ waves[1:]
        curves[name] = textbook[0].real + moving.real
    curves["knee"] = np.maximum(curves["knee"], 0.5 * curves["knee"] + 1)  # hardly over-extended
    curves["elbow"] = np.maximum(curves["elbow"] + body["elbow_bend"], 3)
    return curves


def walk(body: Body, dress: Dress, times: np.ndarray) -> Pose:
    """The body at `times` [T] in frames, half-way at the origin; the lower foot touches z = 0."""
    phase = body.phase + body["cadence"] * times / FPS
    cycle = _pose(body, dress, np.arange(40) / 40)
    stride = 2 * np.abs(cycle.at["ankleR"] - cycle.at["ankleL"])[:, 0].max()
    pose = _pose(body, dress, phase)
    speed = stride * body["cadence"]
    forward = (times - times.mean()) / FPS * speed
    soles = np.stack([pose.at[f"{part}{side}"][:, 2] for part in ("heel", "ball", "toe") for side in SIDES])
    offset = np.stack([forward, np.zeros_like(forward), _lift(-soles)], 1)
    return Pose({name: point + offset for name, point in pose.at.items()}, pose.turned, speed)


def _lift(heights: np.ndarray) -> np.ndarray:
    """The largest of [n, T], rounded off where two of them change over (by under 2 cm)."""
    top = heights.max(0)
    return top + 0.008 * np.log(np.exp((heights - top) / 0.008).sum(0)) - 0.008 * np.log(2)


def _pose(body: Body, dress: Dress, phase: np.ndarray) -> Pose:
    """Relative to the hips' middle; `phase` is the right leg's."""
    wave = 2 * np.pi * phase
    pelvis = _turned(0, -body["drop"] * np.sin(wave + 0.3), body["turn"] * np.cos(wave))
    lean = body["lean"] + 1.2 * np.cos(2 * wave + 0.6)
    chest = _turned(lean, 0.4 * body["drop"] * np.sin(wave), -1.1 * body["turn"] * body["swing"] * np.cos(wave))
    sway = np.stack([0 * wave, -body["sway"] * np.sin(wave), 0 * wave], 1)
    at, turned = {"root": sway}, {"pelvis": pelvis, "chest": chest}
    trunk = body.length(0.288, "trunk")
    at["waist"] = sway + chest @ [0, 0, 0.38 * trunk]
    at["throat"] = sway + chest @ [0, 0, trunk]
    head = _turned(np.full_like(phase, body["lean"] + body["stoop"]), 0, 0)
    at["skull"] = at["throat"] + head @ [0, 0, body.length(0.052, "neck")] + [0.012, 0, body.length(0.062, "head")]
    for side, sign in SIDES.items():
        bent = angles(body, dress, side, phase + 0.5 * (sign == 1))
        _leg(body, at, turned, side, bent)
        _arm(body, at, chest, side, bent)
    return Pose(at, turned, 0.0)


def _leg(body: Body, at: dict, turned: dict, side: str, bent: dict[str, np.ndarray]) -> None:
    sign = SIDES[side]
    half, leg = body.length(0.05, "hips"), body.length(0.245, "thigh") + body.length(0.246, "shank")
    inward = np.degrees((half - body["step_width"] / 2) / leg)
    thigh, shank = bent["hip"] - TILT, bent["hip"] - TILT - bent["knee"]
    at[f"hip{side}"] = at["root"] + turned["pelvis"] @ [0, sign * half, 0]
    at[f"knee{side}"] = at[f"hip{side}"] + body.length(0.245, "thigh") * _down(thigh, -sign * inward)
    at[f"ankle{side}"] = at[f"knee{side}"] + body.length(0.246, "shank") * _down(shank, -sign * inward)
    pitch = shank + bent["ankle"]
    foot = _turned(-pitch, 0, sign * body["toe_out"])
    toes = _turned(-np.maximum(pitch, 0.45 * pitch), 0, sign * body["toe_out"])  # they bend when the heel is up
    long = body.length(0.152, "foot")
    turned[f"foot{side}"] = foot
    at[f"heel{side}"] = at[f"ankle{side}"] + foot @ [-0.17 * long, 0, -0.034 * body["stature"]]
    at[f"ball{side}"] = at[f"ankle{side}"] + foot @ [0.42 * long, 0, -0.034 * body["stature"]]
    at[f"toe{side}"] = at[f"ball{side}"] + toes @ [0.22 * long, 0, 0]


def _arm(body: Body, at: dict, chest: np.ndarray, side: str, bent: dict[str, np.ndarray]) -> None:
    sign = SIDES[side]
    upper, lower = body.length(0.18, "upper_arm"), body.length(0.146, "forearm")
    out, inwards = sign * body["arm_out"], sign * (body["arm_out"] - 7)
    at[f"shoulder{side}"] = at["throat"] + chest @ [0, sign * body.length(0.106, "shoulders"), -0.026 * body["stature"]]
    at[f"elbow{side}"] = at[f"shoulder{side}"] + upper * _down(bent["shoulder"], out)
    along = _down(bent["shoulder"] + bent["elbow"], inwards)
    at[f"wrist{side}"] = at[f"elbow{side}"] + lower * along
    at[f"hand{side}"] = at[f"wrist{side}"] + 0.042 * body["stature"] * along


def _down(forward: np.ndarray, left: float) -> np.ndarray:
    """Unit vectors [T, 3] that point down, swung `forward` [T] and to the `left` by degrees."""
    a, b = np.radians(forward), np.radians(left)
    return np.stack([np.sin(a) * np.cos(b), np.full_like(a, np.sin(b)), -np.cos(a) * np.cos(b)], 1)


def _turned(pitch: np.ndarray | float, roll: np.ndarray | float, yaw: np.ndarray | float) -> np.ndarray:
    """Rotations [T, 3, 3]: degrees forward, to the right, and to the left about z."""
    p, r, y = np.radians(np.broadcast_arrays(pitch, roll, yaw))
    one, zero = np.ones_like(p), np.zeros_like(p)
    about_y = np.array([[np.cos(p), zero, np.sin(p)], [zero, one, zero], [-np.sin(p), zero, np.cos(p)]])
    about_x = np.array([[one, zero, zero], [zero, np.cos(r), -np.sin(r)], [zero, np.sin(r), np.cos(r)]])
    about_z = np.array([[np.cos(y), -np.sin(y), zero], [np.sin(y), np.cos(y), zero], [zero, zero, one]])
    return np.einsum("ijt,jkt,klt->til", about_z, about_y, about_x)

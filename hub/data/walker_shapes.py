"""The solids of a drawn walker: hulls of ellipsoids around the joints, with bag, coat and hood."""

import itertools
from dataclasses import dataclass

import numpy as np

from hub.data.walker_body import Body, Dress
from hub.data.walker_motion import SIDES, Pose


@dataclass(frozen=True)
class Ball:
    """An ellipsoid at T moments."""

    centre: np.ndarray  # [T, 3]
    halves: np.ndarray  # [3, 3] or [T, 3, 3]: half axes as columns


Solid = list[Ball]  # the convex hull of its balls


def solids(body: Body, dress: Dress, pose: Pose) -> list[Solid]:
    """All parts of the walker; they overlap, so that no joint gapes."""
    parts = [*_trunk(body, dress, pose), *_head(body, dress, pose)]
    for side in SIDES:
        parts += [*_leg(body, pose, side), *_arm(body, dress, pose, side)]
    return parts + _extras(body, dress, pose)


def _ball(centre: np.ndarray, *radii: float, turned: np.ndarray | None = None) -> Ball:
    """Radii: one, or forward, sideways, up; `turned` [T, 3, 3] is the part's rotation."""
    halves = np.diag(np.broadcast_to(radii, 3))
    return Ball(centre, halves if turned is None else turned @ halves)


def _worn(body: Body, dress: Dress, share: float, trait: str) -> float:
    """Metres of a half breadth with its clothes; a coat hides half of what is peculiar to the body below."""
    own, usual = body.radius(share, trait), share * body["stature"]
    return dress.coat * (own + usual) / 2 if dress.hem else own


def _trunk(body: Body, dress: Dress, pose: Pose) -> list[Solid]:
    at, chest, pelvis = pose.at, pose.turned["chest"], pose.turned["pelvis"]
    tall = body["stature"]

    def radii(trait: str, depth: float, breadth: float, height: float) -> tuple[float, float, float]:
        return _worn(body, dress, depth, trait), _worn(body, dress, breadth, trait), height * tall

    throat, waist = at["throat"], at["waist"]
    rib = waist + 0.55 * (throat - waist)
    upper = waist + 0.82 * (throat - waist)
    ribs = _ball(rib, *radii("chest", 0.064, 0.084, 0.07), turned=chest)
    top = _ball(upper, *radii("chest", 0.052, 0.088, 0.035), turned=chest)
    belly = _ball(waist + chest @ [0.006 * tall, 0, -0.01 * tall], *radii("belly", 0.058, 0.078, 0.05), turned=chest)
    loins = at["root"] + pelvis @ [-0.004 * tall, 0, 0.03 * tall]
    hips = _ball(loins, *radii("seat", 0.060, 0.088, 0.05), turned=pelvis)
    seat = [
        _ball(at[f"hip{side}"] + pelvis @ [-0.012 * tall, 0, -0.012 * tall], *radii("seat", 0.054, 0.046, 0.05),
              turned=pelvis)
        for side in SIDES
    ]  # fmt: skip
    girdle = [_ball(at[f"shoulder{side}"] + [0, 0, 0.004 * tall], _worn(body, dress, 0.030, "arm_girth"))
              for side in SIDES]  # fmt: skip
    neck = _ball(throat - np.array([0.006 * tall, 0, -0.020 * tall]), body.radius(0.030, "girth"))
    return [[*girdle, top], [*girdle, neck], [top, ribs], [ribs, belly], [belly, hips], [hips, *seat],
            [*girdle, ribs]]  # fmt: skip


def _head(body: Body, dress: Dress, pose: Pose) -> list[Solid]:
    skull, throat = pose.at["skull"], pose.at["throat"]
    size = body["stature"] * body["head"]
    neck = [_ball(throat, body.radius(0.033, "girth")), _ball(skull - [0.006, 0, 0.03 * size], 0.031 * size)]
    crown = _ball(skull - np.array([0.004 * size, 0, -0.014 * size]), 0.054 * size, 0.046 * size, 0.052 * size)
    chin = _ball(skull - np.array([-0.016 * size, 0, 0.040 * size]), 0.028 * size, 0.028 * size, 0.024 * size)
    thick = max(body["hair"], 0.0)
    hair = _ball(crown.centre - [0.6 * thick, 0, -0.4 * thick], *(0.054 * size + thick, 0.046 * size + 0.6 * thick,
                                                                 0.050 * size + thick))  # fmt: skip
    parts = [neck, [crown, chin], [hair]]
    if dress.hood:
        cowl = _ball(skull - [0.012, 0, 0.004], 0.068 * size, 0.060 * size, 0.070 * size)
        parts.append([cowl, _ball(throat - [0.03, 0, 0.01], 0.05, 0.075, 0.04)])
    return parts


def _leg(body: Body, pose: Pose, side: str) -> list[Solid]:
    at, foot, tall = pose.at, pose.turned[f"foot{side}"], body["stature"]
    hip, knee, ankle = (at[f"{joint}{side}"] for joint in ("hip", "knee", "ankle"))
    back = np.cross([0, 1, 0], ankle - knee)
    calf = knee + 0.3 * (ankle - knee) + 0.045 * back
    thigh = body.radius(0.049, "thigh_girth")
    balls = {
        "hip": _ball(hip + 0.06 * (knee - hip), thigh),
        "thigh": _ball(hip + 0.42 * (knee - hip), 0.90 * thigh),
        "knee": _ball(knee, body.radius(0.033, "thigh_girth")),
        "calf": _ball(calf, body.radius(0.034, "calf")),
        "ankle": _ball(ankle, body.radius(0.023, "calf")),
    }
    sole, thick = [0, 0, 0.022 * tall], 0.022 * tall
    heel = _ball(at[f"heel{side}"] + sole, thick, 0.021 * tall, thick, turned=foot)
    ball = _ball(at[f"ball{side}"] + [0, 0, 0.017 * tall], 0.024 * tall, 0.029 * tall, 0.017 * tall, turned=foot)
    toe = _ball(at[f"toe{side}"] + [0, 0, 0.012 * tall], 0.016 * tall, 0.024 * tall, 0.012 * tall, turned=foot)
    instep = _ball(ankle + foot @ [0.022 * tall, 0, -0.006 * tall], 0.022 * tall)
    names = ("hip", "thigh", "knee", "calf", "ankle")
    limb = [[balls[a], balls[b]] for a, b in itertools.pairwise(names)]
    return [*limb, [balls["ankle"], heel, instep], [heel, ball, instep], [ball, toe]]


def _arm(body: Body, dress: Dress, pose: Pose, side: str) -> list[Solid]:
    shoulder, elbow, wrist, hand = (pose.at[f"{joint}{side}"] for joint in ("shoulder", "elbow", "wrist", "hand"))
    upper, lower, end = (
        _ball(place, _worn(body, dress, share, "arm_girth"))
        for place, share in ((shoulder, 0.030), (elbow, 0.0255), (wrist, 0.018))
    )
    fore = _ball(elbow + 0.25 * (wrist - elbow), _worn(body, dress, 0.0255, "arm_girth"))
    palm = body["stature"] * 0.021
    return [[upper, lower], [lower, fore], [fore, end], [end, _ball(hand, palm)], [_ball(hand, 1.15 * palm)]]


def _extras(body: Body, dress: Dress, pose: Pose) -> list[Solid]:
    at, chest, parts = pose.at, pose.turned["chest"], []
    name = "R" if dress.side == 1 else "L"
    if dress.hem:
        tall, flare = body["stature"], dress.flare
        hem = [_ball(at[f"hip{side}"] + dress.hem * (at[f"knee{side}"] - at[f"hip{side}"]),
                     *(_worn(body, dress, share, "seat") * flare for share in (0.054, 0.048)), 0.015 * tall)
               for side in SIDES]  # fmt: skip
        waist = _ball(at["waist"] - [0, 0, 0.02 * tall], *(_worn(body, dress, share, "belly")
                                                           for share in (0.060, 0.082)), 0.03 * tall)  # fmt: skip
        parts.append([waist, *hem])
    if dress.bag == "backpack":
        depth, breadth, height = dress.size
        middle = at["throat"] + chest @ [-body.radius(0.055, "chest") - 0.75 * depth, 0, -height - 0.03]
        low = middle + chest @ [-0.02, 0, -0.35 * height]
        parts.append([_ball(middle + chest @ [0.03, 0, 0.3 * height], 0.8 * depth, 0.9 * breadth, 0.7 * height,
                            turned=chest), _ball(low, depth, breadth, 0.65 * height, turned=chest)])  # fmt: skip
    elif dress.bag == "shoulder":
        hung = at["root"] + [0, -dress.side * (body.radius(0.10, "seat") + dress.size[1] * 0.7), 0.02]
        swing = 0.35 * (at[f"hand{name}"] - at[f"shoulder{name}"]) * [1, 0, 0]
        parts += [_pack(hung + swing, dress.size),
                  [_ball(hung + swing, 0.02), _ball(at[f"shoulder{name}"], 0.02)]]  # fmt: skip
    elif dress.bag == "hand":
        parts.append(_pack(at[f"hand{name}"] - [0, 0, dress.size[2] + 0.05], dress.size))
        parts.append([_ball(at[f"hand{name}"], 0.02), _ball(at[f"hand{name}"] - [0, 0, 0.12], 0.04, 0.02, 0.04)])
    return parts


def _pack(centre: np.ndarray, size: tuple[float, float, float]) -> Solid:
    """A box with rounded corners."""
    depth, breadth, height = size
    return [_ball(centre + np.array([x * 0.5 * depth, 0, z * 0.5 * height]), 0.55 * depth, breadth, 0.55 * height)
            for x in (-1, 1) for z in (-1, 1)]  # fmt: skip

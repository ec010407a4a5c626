"""Faces of people who do not exist, with expressions and exact landmarks, drawn from a seed (generator C).

Paper: Khan, "Facial Expression Recognition using Facial Landmark Detection and Feature Extraction via Neural Networks",
  2018, arXiv:1812.04510
Slug: fer_landmarks
Idea: a head in space with a person's own proportions; action units (FACS) move its 68 landmarks, and skin, eyes, brows
  and lips are painted on them under a light, so that where everything is is known.
Differs: the paper reads photographs; here faces are drawn. Proportions and movements are plausible, not measured.
Checked: seed and order independence, landmarks on what is drawn, each expression's movements, people alike in all
  pictures and unlike each other, the Haar cascade's boxes, a baseline between chance and certainty
  (tests/test_faces_drawn.py).
"""

from collections.abc import Callable
from typing import NamedTuple

import cv2
import numpy as np

from hub.data import face_actions, face_canvas, face_dress, face_painting, face_shape, face_skin
from hub.data.face_images import EXPRESSIONS
from hub.data.face_shape import Person, Pose
from hub.registry import register

_NORMAL = np.clip(np.random.default_rng(0).standard_normal(65536), -4, 4).astype(np.float32)


class Drawn(NamedTuple):
    """A picture and all that is known of it."""

    picture: np.ndarray  # uint8 [H, W] or RGB [H, W, 3]
    landmarks: np.ndarray  # float32 [68, 2], x and y in pixels
    box: tuple[int, int, int, int]  # x, y, width, height, as the Haar cascade would frame it
    units: dict[int, float]  # action unit -> strength, 0..1.3, mean of both sides


@register("faces_drawn")
def draw(
    subject: int,
    expression: int,
    intensity: float,
    occasion: int,
    seed: int = 0,
    size: tuple[int, int] = (490, 640),
    *,
    colour: bool = False,
    pose: tuple[float, float, float] | None = None,
) -> Drawn:
    """A face; it depends on the arguments alone.

    Args:
        subject: non-negative; the same person on every occasion.
        expression: index in `EXPRESSIONS`.
        intensity: 0 (the person's neutral face) to 1. Only this changes within a sequence.
        occasion: non-negative; another pose, light, wall, clothes and way to make the expression.
        seed: non-negative; another seed gives other people.
        size: height and width of the picture in pixels, at least 48.
        colour: RGB instead of grey.
        pose: yaw, pitch and roll in degrees; None: the occasion's own.

    Raises:
        ValueError: an argument is not as said.
    """
    person, held, at, strength, scene = _staged(subject, expression, intensity, occasion, seed, size, pose)
    canvas = face_canvas.Canvas(*size, colour)
    tilt, turn = scene.uniform(-0.5, 0.05), scene.uniform(-0.55, 0.55)
    light = np.array([turn, tilt, 1.0]) / np.linalg.norm([turn, tilt, 1.0])
    sketch = face_canvas.Sketch(
        canvas=canvas,
        person=person,
        at=at,
        skull=face_shape.project(person.skull, held),
        units=dict(zip(face_actions.UNITS, strength.mean(1).tolist(), strict=True)),
        light=light,
        ambient=float(scene.uniform(0.35, 0.6)),
        length=held.scale,
        turn=(np.radians(held.yaw), np.radians(held.pitch)),
        rng=scene,
    )
    face_dress.wall(canvas, scene)
    face_dress.behind(sketch)
    face_skin.skin(sketch)
    face_dress.beard(sketch)
    face_painting.paint(sketch)
    face_dress.before(sketch)
    grain = np.random.default_rng([50, seed, subject, occasion, expression, round(intensity * 1e6)])
    picture = _film(canvas.pixels, scene, grain)
    return Drawn(picture if colour else picture[..., 0], at.astype(np.float32), _box(at), sketch.units)


def landmarks(
    subject: int,
    expression: int,
    intensity: float,
    occasion: int,
    seed: int = 0,
    size: tuple[int, int] = (490, 640),
    *,
    pose: tuple[float, float, float] | None = None,
) -> np.ndarray:
    """Those of `draw`, float32 [68, 2], without a picture and in a hundredth of the time."""
    return _staged(subject, expression, intensity, occasion, seed, size, pose).at.astype(np.float32)


class _Stage(NamedTuple):
    """All but the paint."""

    person: Person
    held: Pose
    at: np.ndarray  # float64 [68, 2], pixels
    strength: np.ndarray  # float64 [units, 2]
    scene: np.random.Generator  # of light, wall and clothes


def _staged(
    subject: int,
    expression: int,
    intensity: float,
    occasion: int,
    seed: int,
    size: tuple[int, int],
    pose: tuple[float, float, float] | None,
) -> _Stage:
    if (
        min(subject, occasion, seed) < 0
        or not 0 <= expression < len(EXPRESSIONS)
        or not 0 <= intensity <= 1
        or min(size) < 48
    ):
        raise ValueError(
            f"A drawn face needs subject, occasion and seed >= 0, an expression in 0..6, an intensity in 0..1 and a "
            f"size of at least 48. Received: {subject}, {occasion}, {seed}, {expression}, {intensity}, {size}."
        )
    person = face_shape.person(subject, seed)
    key = [seed, subject, occasion]
    acting = np.random.default_rng([48, *key, expression])
    strength = face_actions.strengths(expression, intensity, person.habit, person.parts, acting)
    points = face_actions.lawful(person.points + face_actions.moved(strength))
    scene = np.random.default_rng([49, *key])
    held = _pose(scene, acting, intensity, size)
    held = held if pose is None else held._replace(yaw=pose[0], pitch=pose[1], roll=pose[2])
    return _Stage(person, held, face_shape.project(points, held), strength, scene)


def _pose(scene: np.random.Generator, acting: np.random.Generator, intensity: float, size: tuple[int, int]) -> Pose:
    """The occasion's pose; the head sways a little while the expression grows."""
    yaw, pitch, roll = (np.clip(scene.normal(0, most / 2), -most, most) for most in face_shape.TURN)
    sway = acting.normal(0, (1.5, 1.2, 0.8)) * intensity
    scale = min(size[0] / 490, size[1] / 490) * 92 * np.exp(scene.uniform(-0.12, 0.06))
    centre = size[1] / 2 + scene.normal(0, 0.15) * scale, size[0] * 0.44 + scene.normal(0, 0.08) * scale
    return Pose(yaw + sway[0], pitch + sway[1], roll + sway[2], float(scale), centre)


def _film(pixels: np.ndarray, scene: np.random.Generator, grain: np.random.Generator) -> np.ndarray:
    """Exposure, blur and noise of a camera."""
    gain, blur, noise = scene.uniform(0.85, 1.06), scene.uniform(0.4, 1.1), scene.uniform(0.8, 3.5)
    shape = pixels.shape
    pixels = cv2.GaussianBlur(pixels, (0, 0), blur * shape[0] / 490 + 0.01).reshape(shape)
    picks = np.frombuffer(grain.bytes(2 * pixels.size), np.uint16).reshape(shape)
    return np.clip(pixels * np.float32(gain) + np.float32(noise) * _NORMAL[picks] + 0.5, 0, 255).astype(np.uint8)


def _box(at: np.ndarray) -> tuple[int, int, int, int]:
    """The square that the frontal Haar cascade reports, by a fit to 210 drawn faces: within 5 % of its side."""
    wide, high = np.linalg.norm(at[16] - at[0]), np.linalg.norm(at[17:27].mean(0) - at[8])
    side = 0.83 * wide + 0.49 * high
    x, y = at[27:36].mean(0) - (0, 0.132 * wide) - side / 2
    return round(x), round(y), round(side), round(side)


def contract_example(make: Callable) -> None:
    """The same face whatever was drawn before; a smile widens the mouth and lifts its corners."""
    neutral, smile = (make(3, EXPRESSIONS.index(name), 1.0, 2, size=(160, 200)) for name in ("neutral", "happy"))
    again = make(3, EXPRESSIONS.index("happy"), 1.0, 2, size=(160, 200))
    assert np.array_equal(smile.picture, again.picture) and np.array_equal(smile.landmarks, again.landmarks)
    assert smile.picture.shape == (160, 200) and smile.picture.dtype == np.uint8
    assert smile.landmarks.shape == (68, 2) and smile.landmarks.dtype == np.float32
    widths = [np.linalg.norm(drawn.landmarks[54] - drawn.landmarks[48]) for drawn in (neutral, smile)]
    assert widths[1] > 1.1 * widths[0] and smile.units[12] > 0.5

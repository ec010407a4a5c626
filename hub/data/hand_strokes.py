"""Generator G, stroke writers: a person's own letter skeletons, joined, slanted and drawn with a pen.

A writer's forms, offsets and traits are fixed; a word deviates from them by a third of what parts the writers.
"""

import functools
import itertools
from dataclasses import dataclass

import cv2
import numpy as np

from hub.data.hand_letters import X_HEIGHT, Form, forms

OFFSET = 0.06 * X_HEIGHT  # standard deviation between writers of a control point
JITTER = 1 / 3  # of a word's own deviation to that between writers
PEN = 3.6  # pixels, about 0.3 mm at 300 dpi
STEPS = 9  # samples between two control points
ZOOM = 3  # supersampling
SHIFT = 4  # fractional bits of cv2's points
TRAITS = {  # mean and standard deviation between writers
    "slant": (8.0, 11.0),  # degrees to the right
    "aspect": (0.0, 0.13),  # logarithm of the width
    "rise": (0.0, 0.13),  # logarithm of the ascenders' height beyond the x-height
    "fall": (0.0, 0.15),  # logarithm of the descenders' depth
    "capital": (0.0, 0.09),  # logarithm of the capitals' size
    "size": (0.0, 0.12),  # logarithm of the x-height
    "gap": (6.0, 1.7),  # between letters; an x-height is 20
    "pen": (0.0, 0.24),  # logarithm of the pen's width
    "round": (1.3, 0.6),  # samples by which corners are rounded
    "slope": (0.0, 1.0),  # degrees that the word climbs
    "wave": (0.0, 0.5),  # of the baseline
    "bulge": (0.0, 0.12),  # logarithm of the exponent that moves the middle of the letters
}


@dataclass(frozen=True, eq=False)
class Writer:
    """What stays the same whatever a person writes."""

    traits: dict[str, float]
    cursive: float  # 0 prints, 1 joins every letter
    contrast: float  # 0..0.45: how much wider the pen draws in its preferred direction
    nib: float  # radians of that direction
    taper: float  # 0..0.7: width lost at the ends of a stroke
    unrest: float  # strength of the jitter within a word
    key: tuple[int, int]


@functools.lru_cache(256)
def writer(number: int, seed: int = 0) -> Writer:
    """Person `number` of the population `seed`."""
    rng = np.random.default_rng([21, seed, number])
    z = np.clip(rng.normal(size=len(TRAITS)), -2.2, 2.2)
    traits = {name: mean + sd * float(v) for (name, (mean, sd)), v in zip(TRAITS.items(), z, strict=True)}
    cursive = float(np.clip(rng.normal(0.5, 0.38), 0.02, 0.98))
    contrast, taper = rng.uniform(0, (0.45, 0.7)).tolist()
    return Writer(
        traits, cursive, contrast, float(rng.normal(-1.6, 0.5)), taper, float(rng.uniform(0.75, 1.3)), (seed, number)
    )


def ink(person: Writer, text: str, rng: np.random.Generator, x_height: float) -> tuple[np.ndarray, int]:
    """A word's coverage uint8 [h, w], cropped to the ink, and the row of its baseline; `rng` is the instance's."""
    sway = JITTER * person.unrest
    here = {name: person.traits[name] + sway * sd * rng.normal() for name, (_, sd) in TRAITS.items()}
    strokes = _place(_strokes(person, text, here, rng), here, rng)
    return _draw(strokes, here["pen"], person, rng, x_height * np.exp(here["size"]) / X_HEIGHT)


@functools.lru_cache(8192)
def habit(person: Writer, letter: str) -> Form:
    """The form that a person gives a letter: one of its allographs, with offsets of its own."""
    rng = np.random.default_rng([22, *person.key, ord(letter)])
    choices = forms(letter)
    weights = np.array([np.exp(3 * (person.cursive - 0.5) * (1 if form.cursive else -1)) for form in choices])
    form = choices[rng.choice(len(choices), p=weights / weights.sum())]
    own = form.points * np.exp(rng.normal(0, 0.05, 2)) + rng.normal(0, OFFSET, form.points.shape)
    return form._replace(points=own)


def joins(person: Writer, pair: str) -> bool:
    """Whether a person usually goes on from one letter to the next without lifting the pen."""
    if not (pair[0].isalpha() and pair[1].islower()):
        return False
    share = person.cursive**0.8 * (0.4 if pair[0].isupper() else 1.0)
    return bool(np.random.default_rng([23, *person.key, *map(ord, pair)]).random() < share)


def _strokes(person: Writer, text: str, here: dict, rng: np.random.Generator) -> list[np.ndarray]:
    """Sampled strokes [M, 2] of a word in letter units, x right, y up."""
    sway = JITTER * person.unrest
    joined = [False, *(joins(person, a + b) ^ (rng.random() < 0.05) for a, b in itertools.pairwise(text)), False]
    bodies: list[list[tuple[np.ndarray, np.ndarray]]] = []
    later, edge = [], 0.0
    for i, letter in enumerate(text):
        form = habit(person, letter)
        points = form.points * np.exp(sway * rng.normal(0, 0.06, 2)) + rng.normal(0, sway * OFFSET, form.points.shape)
        tall = np.exp(here["capital"]) if letter.isupper() else 1.0
        y = points[:, 1] * tall
        high, low = np.maximum(y - X_HEIGHT, 0), np.minimum(y, 0)
        y = np.clip(y, 0, X_HEIGHT) + high * np.exp(here["rise"]) + low * np.exp(here["fall"])
        y = y + sway * rng.normal(0, 1.2)
        keep = ~form.link
        keep[0] |= joined[i] and form.link[0]
        keep[form.ends[0] - 1] |= joined[i + 1]
        body = np.arange(form.ends[0])[keep[: form.ends[0]]]
        x = points[:, 0] * tall
        middle = np.abs(y - X_HEIGHT / 2) < X_HEIGHT * (0.7 if letter.islower() else 2)
        x = x - x[middle & ~form.link].min(initial=x.max()) + edge
        edge = x[middle & keep].max(initial=edge) + max(
            here["gap"] * (0.85 if joined[i + 1] else 1) + sway * rng.normal(), 0.5
        )
        placed = np.stack([x, y], 1)
        if joined[i]:
            bodies[-1].append((placed[body], form.corner[body]))
        else:
            bodies.append([(placed[body], form.corner[body])])
        later += [(placed[a:b], form.corner[a:b]) for a, b in itertools.pairwise(form.ends)]
    whole = [tuple(map(np.concatenate, zip(*body, strict=True))) for body in bodies]
    return [_smooth(_spline(*stroke), max(here["round"], 0.2)) for stroke in (*whole, *later)]


def _spline(points: np.ndarray, corner: np.ndarray) -> np.ndarray:
    """A uniform Catmull-Rom spline [M, 2] through points (Catmull & Rom 1974); it may turn abruptly at corners."""
    i = np.arange(len(points) - 1)
    before = np.where(corner[i], i, np.maximum(i - 1, 0))
    after = np.where(corner[i + 1], i + 1, np.minimum(i + 2, len(points) - 1))
    sampled = np.einsum("sk,kij->isj", _BASIS, points[[before, i, i + 1, after]]).reshape(-1, 2)
    return np.concatenate([sampled, points[-1:]])


_T = np.linspace(0, 1, STEPS, endpoint=False)[:, None]
_BASIS = np.hstack([-_T + 2 * _T**2 - _T**3, 2 - 5 * _T**2 + 3 * _T**3, _T + 4 * _T**2 - 3 * _T**3, _T**3 - _T**2]) / 2


def _smooth(curve: np.ndarray, sigma: float) -> np.ndarray:
    return cv2.GaussianBlur(curve, (1, 0), 0.1, sigmaY=sigma, borderType=cv2.BORDER_REPLICATE)


def _place(strokes: list[np.ndarray], here: dict, rng: np.random.Generator) -> list[np.ndarray]:
    """Proportions, slant and an uneven baseline for the strokes of a word."""
    lean, climb = np.tan(np.deg2rad([here["slant"], here["slope"]]))
    turns, phase = rng.uniform(0.02, 0.05), rng.uniform(0, 2 * np.pi)
    placed = []
    for stroke in strokes:
        x, y = stroke.T
        inside = np.clip(y / X_HEIGHT, 0, 1)
        y = y + X_HEIGHT * (inside ** np.exp(here["bulge"]) - inside)
        x = x * np.exp(here["aspect"]) + lean * y
        placed.append(np.stack([x, y + climb * x + here["wave"] * np.sin(turns * x + phase)], 1))
    return placed


def _draw(
    strokes: list[np.ndarray], pen: float, person: Writer, rng: np.random.Generator, scale: float
) -> tuple[np.ndarray, int]:
    """Coverage and baseline of strokes (letter units, `scale` pixels each); the pen's width follows its direction."""
    width = PEN * np.exp(pen)
    pad = int(np.ceil(2 * width)) + 2
    low, high = (np.floor(scale * f([f(s, 0) for s in strokes], 0)).astype(int) for f in (np.min, np.max))
    wide, tall = high - low + 2 * pad
    canvas = np.zeros((tall * ZOOM, wide * ZOOM), np.uint8)
    origin = np.array([pad - low[0], pad + high[1]])
    nib = person.nib + JITTER * rng.normal(0, 0.2)
    for stroke in strokes:
        curve = origin + scale * stroke * [1, -1]
        step = np.diff(curve, axis=0)
        along = np.cumsum(np.hypot(*step.T))
        rest = np.minimum(along, along[-1] - along)
        press = 1 + person.contrast * np.cos(2 * (np.arctan2(-step[:, 1], step[:, 0]) - nib))
        press *= 1 - person.taper * np.exp(-rest / (4 * width)) * min(along[-1] / (4 * width), 1)
        press *= np.exp(_smooth(rng.normal(0, 0.35, (len(step), 1)), 5.0)[:, 0])
        thick = np.maximum(np.rint(_smooth(press[:, None], 3.0)[:, 0] * width * ZOOM), 2).astype(int).tolist()
        corners = np.rint(curve * (ZOOM << SHIFT)).astype(int).tolist()
        for a, b, t in zip(corners, corners[1:], thick, strict=False):
            cv2.line(canvas, a, b, 255, t, cv2.LINE_8, SHIFT)
    canvas = cv2.resize(canvas, (int(wide), int(tall)), interpolation=cv2.INTER_AREA)
    left, top, across, down = cv2.boundingRect(canvas)
    return canvas[top : top + down, left : left + across], int(origin[1]) - top

"""Handwritten digits drawn from single pen strokes: allographs, writers, and the jitter of a hand.

An allograph is a skeleton on a 100 x 100 grid (x right, y down): strokes parted by `/`, points by spaces, `*` after a
point where the pen turns a corner. Between corners a uniform Catmull-Rom spline runs through the points (Catmull & Rom
1974), so a skeleton is linear in its points and one cached matrix samples all of it. No handwriting sample went into
these shapes: they are the forms that people are taught and the short cuts that they take.
"""

import functools
import itertools
from dataclasses import dataclass

import cv2
import numpy as np

ALLOGRAPHS = {  # digit -> (how common, skeleton)
    0: (
        (3, "52,0 22,16 6,50 18,86 48,100 80,84 94,48 80,14 50,1"),  # closed
        (2, "66,5 34,2 8,30 7,66 32,97 68,95 93,62 88,24 62,3 38,8"),  # overlapped
        (1, "42,4 14,28 6,62 28,97 66,95 93,62 88,24 62,6"),  # open at the top
        (1, "80,12 48,0 14,22 6,60 30,98 70,94 94,58 86,18 58,4 36,16"),  # tail inside
        (1, "30,6 8,40 10,78 36,100 72,88 92,52 84,14 54,0 24,12"),  # leaning
    ),
    1: (
        (5, "50,0 50,50 50,100"),
        (3, "72,0 50,50 28,100"),  # leaning
        (2, "34,20 54,0* 52,50 50,100"),  # flag
        (1, "28,24 52,0* 50,50 50,100 / 24,100 78,99"),  # flag and foot
        (1, "54,0 48,50 52,100"),  # bent
        (1, "32,28 68,0* 56,50 42,100"),  # leaning, flag
        (1, "40,20 62,0* 52,50 44,100 / 10,98 82,96"),  # leaning, flag and foot
    ),
    2: (
        (3, "10,24 26,5 56,0 82,16 80,42 50,74 8,100* 50,98 96,97"),  # straight foot
        (3, "10,22 34,2 66,2 82,22 70,52 40,84 16,96 6,86 20,76 46,88 72,98 98,90"),  # looped
        (2, "12,20 40,0 74,8 80,32 56,66 10,97* 40,88 68,98 98,86"),  # wave
        (2, "14,14 44,0 72,10 76,34 52,70 24,94 8,92 10,76 34,74 60,92 96,98"),  # large loop
        (1, "8,14 46,0 84,6 76,30 44,68 8,98* 52,96 92,98"),  # flat
        (2, "14,26 20,6 44,0 64,14 60,42 36,74 2,96* 40,92 72,94 104,92"),  # long foot
        (1, "24,26 10,16 30,1 64,4 78,24 60,58 10,98* 50,95 98,98"),  # curled head
        (2, "12,20 40,0 76,8 78,36 52,78 26,98 10,88 24,74 48,84 66,98"),  # tight loop, short foot
        (2, "28,18 46,0 70,8 68,40 48,80 24,97 12,86 28,76 54,88 92,82"),  # tight loop, rising foot
        (1, "4,8 34,2 70,4 74,20 44,64 8,96* 46,98 96,96"),  # flat head
        (1, "26,18 48,2 68,14 54,50 22,86 4,92* 50,84 108,76"),  # small head, rising foot
        (2, "10,30 40,0 82,10 84,44 52,86 14,95 12,74 44,74 74,92 102,92"),  # large head, large loop
    ),
    3: (
        (3, "12,14 42,0 76,10 74,32 38,46* 76,56 88,78 56,100 10,88"),
        (2, "14,10 48,0 78,16 66,38 42,47 34,44 48,43 78,58 84,82 48,100 8,90"),  # looped waist
        (1, "12,4 48,3 82,2* 42,40* 78,50 88,76 56,100 8,90"),  # flat top
        (2, "16,12 48,0 74,14 66,36 44,46 70,54 82,74 56,98 10,92"),  # round waist
        (1, "26,10 56,0 84,10 76,28 40,44* 66,50 74,70 44,94 0,98"),  # leaning, long tail
        (1, "18,8 50,0 76,12 74,34 56,46 30,50* 60,52 80,66 76,90 44,100 14,94"),  # deep waist
        (1, "10,10 44,0 70,10 60,32 36,44* 58,52 66,70 50,88 6,102"),  # small bowls
        (1, "8,10 42,0 82,4 60,28 38,42* 70,50 72,72 50,92 30,100"),  # short tail
        (1, "12,16 50,0 82,10 66,34 46,44* 66,48 74,62 60,84 24,100"),  # falling back
    ),
    4: (
        (3, "22,4 12,32 8,58* 50,56 92,52 / 74,2 70,50 64,100"),  # open
        (2, "66,2 36,36 6,66* 50,64 96,62 / 68,0 67,50 66,100"),  # closed
        (2, "18,6 10,36 20,54 48,52 76,40 / 80,0 74,50 68,100"),  # round cup
        (1, "62,2 34,32 6,62* 48,60 92,57 / 66,28 63,64 60,100"),  # closed, short stem
        (2, "20,2 12,30 14,50* 46,49 78,42* 80,2* 74,50 68,100"),  # one stroke
        (1, "78,2 44,26 8,54* 44,52 78,46* 80,2* 72,52 66,100"),  # one stroke, closed
        (1, "14,2 8,22 16,38 46,40 80,30 / 88,4 74,50 56,100"),  # shallow cup, long stem
    ),
    5: (
        (2, "86,3 56,4 26,6* 20,24 16,44* 48,36 84,54 82,84 46,100 6,90"),
        (2, "26,4 20,24 16,44* 48,36 84,54 82,84 46,100 6,90 / 24,6 56,4 94,0"),  # bar added last
        (2, "90,4 44,4 24,22 40,42 76,58 74,86 42,100 8,90"),  # like an S
        (1, "34,16 24,32 18,50* 50,44 80,62 70,90 38,100 8,92 / 38,10 64,6 98,0"),  # bar apart
        (1, "80,4 40,5* 34,24 28,42* 58,44 78,62 70,86 40,100 10,96"),  # angular
        (2, "42,4 34,22 26,44* 52,40 72,58 64,86 36,100 4,94 / 42,6 74,2 108,-6"),  # long bar, small bowl
        (2, "104,0 66,4 40,10* 32,28 26,42* 50,40 66,58 58,84 32,100 0,95"),  # the same without lifting the pen
        (1, "18,2 17,24 16,48* 46,38 78,50 82,76 56,98 20,98 4,86 / 18,3 50,4 84,2"),  # upright
        (1, "96,2 62,6 40,12 34,30 48,46 62,64 54,86 30,98 4,90"),  # leaning S
        (1, "84,3 54,4 26,6* 22,24 18,46* 48,36 84,52 86,82 52,100 18,92 12,76"),  # bowl nearly shut
    ),
    6: (
        (3, "70,0 38,24 14,58 16,88 46,100 78,88 80,66 52,54 24,66 16,82"),
        (2, "84,10 56,2 24,30 8,66 28,96 62,97 82,76 62,56 32,62 16,80"),  # curled
        (2, "48,0 26,30 10,66 24,95 58,98 82,80 66,62 36,68 20,86"),  # straight back
        (1, "72,2 30,34 8,72 30,99 68,94 74,74 46,66 14,84"),  # small bowl
        (2, "36,0 12,36 6,76 30,100 70,96 92,74 74,56 44,64 32,86"),  # bowl to the right
        (1, "58,0 18,24 6,62 28,98 72,97 94,68 72,44 38,52 18,76"),  # large bowl
        (1, "30,2 8,44 12,84 44,100 80,86 84,62 58,54 38,70 42,92"),  # curl inside
    ),
    7: (
        (4, "8,8 48,8 88,5* 64,50 42,100"),
        (2, "8,24 11,5* 50,6 92,4* 66,50 46,100"),  # serif
        (2, "8,10 48,8 88,4* 60,40 52,100"),  # bent stem
        (2, "8,8 48,8 90,5* 66,50 42,100 / 24,54 52,50 82,47"),  # bar
        (1, "6,20 28,4 58,12 92,2* 62,44 46,100"),  # wave
        (1, "10,12 50,2 82,8 82,30 62,62 50,100"),  # round shoulder
        (2, "10,32 14,8* 50,11 84,4* 78,50 72,100"),  # serif, upright stem
        (1, "4,22 16,6* 52,8 96,0* 56,46 22,100"),  # leaning
        (1, "10,26 12,6* 46,14 82,4* 74,50 60,100 / 40,54 64,52 90,46"),  # serif and bar
        (1, "12,24 30,4 58,10 86,2 80,30 68,64 60,100"),  # wave, round shoulder
    ),
    8: (
        (3, "76,14 46,0 18,20 44,46 82,74 52,100 14,78 44,50 78,22 70,6"),  # one S
        (2, "48,0 20,16 26,40 50,46 76,34 76,12 50,0 / 50,46 16,66 22,94 54,100 84,84 78,58 50,46"),  # two bowls
        (1, "84,8 50,0 22,18 42,44 74,70 50,100 20,78 48,50 86,14"),  # open at the top
        (2, "50,48 22,28 40,2 74,8 72,34 46,52 16,76 38,100 78,90 74,62 50,48"),  # from the waist
        (1, "20,14 50,40 78,76 50,100 20,78 48,44 72,18 48,0 18,14"),  # crossed
        (2, "82,10 48,0 14,20 40,46 64,72 46,99 26,84 44,54 80,24 78,8"),  # narrow lower bowl
        (1, "94,6 62,12 32,4 16,22 48,48 72,76 46,100 18,82 46,50 96,4"),  # open, bar at the top
        (1, "68,8 36,2 18,24 50,42 88,66 70,98 22,96 10,70 50,42 76,22 64,4"),  # large lower bowl
    ),
    9: (
        (3, "80,18 50,0 16,18 18,42 48,48 80,22* 78,60 72,100"),  # straight
        (2, "80,22 54,0 18,16 16,40 48,48 80,26 82,60 62,94 18,94"),  # curled
        (2, "82,10 46,2 12,28 34,48 72,32 86,8* 72,54 56,100"),  # slanted stem
        (1, "74,14 44,0 14,20 26,44 62,40 78,16* 82,58 58,98 24,92"),
        (1, "84,14 46,4 14,34 42,46 78,26 84,12 76,56 58,100"),  # small bowl
        (2, "88,6 50,0 10,24 16,52 52,54 86,24* 88,62 84,100"),  # wide bowl, short stem
        (1, "72,4 40,6 10,28 22,50 60,44 84,14* 76,56 66,100"),  # open bowl
    ),
}


@dataclass(frozen=True)
class Writer:
    """What stays the same while one person writes a number. Lengths are fractions of the digit's height."""

    slant: float  # degrees, right-leaning positive, -25..25
    aspect: float  # width / height of the grid
    pen: float  # stroke width, 0.04 (ball pen) .. 0.2 (brush)
    taper: float  # share of the width lost towards the ends of a stroke, 0..0.6
    roundness: float  # rounding of corners along the stroke, in samples
    waist: float  # exponent that moves the middle of the digit up (> 1: down)
    unrest: float  # strength of the jitter from digit to digit
    habits: np.random.SeedSequence  # decides allographs and the writer's own skeletons


def writer(rng: np.random.Generator) -> Writer:
    """A person drawn at random."""
    return Writer(
        slant=float(np.clip(rng.normal(8, 12), -25, 25)),
        aspect=float(rng.uniform(0.5, 1.15)),
        pen=float(np.clip(rng.normal(0.11, 0.04), 0.04, 0.2)),
        taper=float(rng.uniform(0, 0.6) * (rng.random() < 0.6)),
        roundness=float(rng.uniform(0.3, 3.5)),
        waist=float(np.exp(rng.normal(0, 0.13))),
        unrest=float(rng.uniform(0.5, 1.3)),
        habits=np.random.SeedSequence(int(rng.integers(2**63))),
    )


def write(hand: Writer, digit: int, height: int, rng: np.random.Generator) -> np.ndarray:
    """One digit in this hand: uint8 [h, w] ink coverage, cropped to the ink, about `height` pixels high."""
    habits = np.random.default_rng([hand.habits.entropy, digit])
    weights = np.array([common for common, _ in ALLOGRAPHS[digit]], float)
    chosen = habits.choice(len(weights), p=weights / weights.sum())
    points, sampler, ends = _skeleton(digit, int(chosen))
    points = points + habits.normal(0, 3.5, points.shape) + rng.normal(0, 2.2 * hand.unrest, points.shape)
    pen = np.clip(hand.pen * rng.uniform(0.85, 1.15), 0.04, 0.2)
    curve = _bend(sampler @ points / 100, hand, rng, ends)
    curve -= curve.min(0)
    scale = height * (1 - pen) / max(curve[:, 1].max(), 0.75 * curve[:, 0].max())
    return _ink(curve * scale, pen * height, hand.taper, ends, rng)


def _bend(curve: np.ndarray, hand: Writer, rng: np.random.Generator, ends: tuple[int, ...]) -> np.ndarray:
    """Rounding, the writer's proportions, a smooth elastic warp, slant and turn of points in 0..1."""
    start = 0
    for end in ends:
        stroke = np.ascontiguousarray(curve[start:end], np.float32)
        curve[start:end] = cv2.GaussianBlur(stroke, (1, 0), 0.1, sigmaY=hand.roundness, borderType=cv2.BORDER_REPLICATE)
        start = end
    x, y = curve[:, 0], np.clip(curve[:, 1], 0, None) ** hand.waist
    wave = rng.normal(0, 0.022 * hand.unrest, (2, 3))
    turns, phase = rng.uniform(1.5, 6, (3, 2)), rng.uniform(0, 2 * np.pi, 3)
    swell = np.sin(np.outer(x, turns[:, 0]) + np.outer(y, turns[:, 1]) + phase)
    x, y = x + swell @ wave[0], y + swell @ wave[1]
    aspect = hand.aspect * np.exp(rng.normal(0, 0.12 * hand.unrest))
    lean = np.tan(np.deg2rad(np.clip(hand.slant + rng.normal(0, 3 * hand.unrest), -25, 25)))
    turn = np.deg2rad(rng.normal(0, 2.5 * hand.unrest))
    x = (x - 0.5) * aspect
    x, y = x - lean * (y - 0.5), y - 0.5
    return np.stack([x * np.cos(turn) - y * np.sin(turn), x * np.sin(turn) + y * np.cos(turn)], 1)


def _ink(curve: np.ndarray, pen: float, taper: float, ends: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """The curve (pixels) drawn with a round pen whose width falls towards each stroke's ends."""
    zoom = 2  # supersampling
    pad = int(np.ceil(pen)) + 2
    size = np.ceil(curve.max(0)).astype(int) + 2 * pad
    canvas = np.zeros((size[1] * zoom, size[0] * zoom), np.uint8)
    places = np.rint((curve + pad) * zoom * 8).astype(np.int32)
    start = 0
    for end in ends:
        if taper:
            along = np.linspace(0, 1, end - start)
            press = 1 - taper * np.abs(2 * along - rng.uniform(0.6, 1.4)) ** 2
            for a, b, width in zip(places[start : end - 1], places[start + 1 : end], press, strict=False):
                thick = max(2, round(pen * zoom * max(width, 0.3)))
                cv2.line(canvas, a.tolist(), b.tolist(), 255, thick, cv2.LINE_AA, 3)
        else:
            cv2.polylines(canvas, [places[start:end]], False, 255, max(2, round(pen * zoom)), cv2.LINE_AA, 3)
        start = end
    mask = cv2.resize(canvas, (int(size[0]), int(size[1])), interpolation=cv2.INTER_AREA)
    left, top, width, height = cv2.boundingRect(mask)
    return mask[top : top + height, left : left + width]


@functools.cache
def _skeleton(digit: int, allograph: int) -> tuple[np.ndarray, np.ndarray, tuple[int, ...]]:
    """Points [k, 2], the matrix [m, k] that samples the splines through them, and the end index of every stroke."""
    points: list[tuple[float, float]] = []
    rows: list[np.ndarray] = []
    ends: list[int] = []
    strokes = ALLOGRAPHS[digit][allograph][1].split("/")
    total = sum(len(stroke.split()) for stroke in strokes)
    for stroke in strokes:
        words = stroke.split()
        here = [tuple(map(float, word.rstrip("*").split(","))) for word in words]
        first = len(points)
        points += here
        corners = [0, *(i for i, word in enumerate(words) if word.endswith("*")), len(words) - 1]
        for left, right in itertools.pairwise(corners):
            rows += [_spline(i, left, right, first, total, here) for i in range(left, right)]
        ends.append(sum(len(block) for block in rows))
    return np.array(points), np.concatenate(rows), tuple(ends)


def _spline(i: int, low: int, high: int, first: int, total: int, points: list) -> np.ndarray:
    """Catmull-Rom weights between points i and i + 1 of a smooth run low..high; its end points count twice."""
    count = max(3, round(float(np.hypot(*np.subtract(points[i + 1], points[i]))) / 4))
    t = np.linspace(0, 1, count)
    basis = [-t + 2 * t**2 - t**3, 2 - 5 * t**2 + 3 * t**3, t + 4 * t**2 - 3 * t**3, t**3 - t**2]
    weights = np.zeros((count, total))
    for offset, column in zip((-1, 0, 1, 2), basis, strict=True):
        weights[:, first + min(max(i + offset, low), high)] += column / 2
    return weights

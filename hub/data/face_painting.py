"""A face in paint: eyes, brows, nose, mouth and wrinkles on given landmarks."""

import cv2
import numpy as np

from hub.data.face_canvas import FINE, Sketch, curve, oval
from hub.data.face_skin import local


def paint(sketch: Sketch) -> None:
    """What lies on the skin."""
    _nose(sketch)
    _folds(sketch)
    for left in (True, False):
        _eye(sketch, left)
        _brow(sketch, left)
    _mouth(sketch)


def _nose(s: Sketch) -> None:
    at, size, skin = s.at, s.length, s.person.skin
    dark = skin * 0.30 * local(s, at[33])
    for wing, hole, side in ((31, 32, -1), (35, 34, 1)):
        centre = s.by(at[hole] * 0.72 + at[wing] * 0.28, 0, -0.012)
        s.canvas.fill(oval(centre, 0.066 * size, 0.032 * size, 0.35 * side), dark, 0.85, 0.012 * size)
        rim = np.stack([s.by(at[wing], 0, -0.15), s.by(at[wing], 0.045 * side, -0.06),
                        s.by(at[wing], 0.015 * side, 0.012), s.by((at[wing] + at[hole]) / 2, 0, 0.02)])  # fmt: skip
        s.canvas.lines([curve(rim)], skin * 0.45, 0.022 * size, 0.36, 0.016 * size)
    s.canvas.lines([curve(s.by(at[31:36], 0, 0.015))], skin * 0.45, 0.03 * size, 0.36, 0.02 * size)


def _folds(s: Sketch) -> None:
    """Wrinkles as the units make them."""
    at, size, dark = s.at, s.length, s.person.skin * 0.45
    sneer = s.unit(9)
    for wing, corner, side in ((31, 48, -1), (35, 54, 1)):  # nasolabial
        way = np.stack([s.by(at[wing], 0.05 * side, -0.06), s.by((at[wing] + at[corner]) / 2, 0.13 * side, -0.05),
                        s.by(at[corner], 0.12 * side, 0.03)])  # fmt: skip
        strength = min(0.08 + 0.32 * s.unit(12) + 0.38 * sneer + 0.12 * s.unit(20), 0.5)
        s.canvas.lines([curve(way)], dark, 0.04 * size, strength, 0.03 * size)
    if (raised := (s.unit(1) + s.unit(2)) / 2) > 0.08:
        arch = at[18:26] * (1, 0.5) + (0, 0.5 * at[[20, 23], 1].mean())
        arch = arch if s.unit(2) > 0.4 * s.unit(1) else arch[2:-2]
        ways = [curve(s.by(arch, 0, -height)) for height in (0.20, 0.32, 0.45)]
        s.canvas.lines(ways, dark, 0.022 * size, min(0.34 * raised, 0.32), 0.022 * size)
    if (frown := s.unit(4)) > 0.08:
        between = (at[21] + at[22]) / 2
        ways = [np.stack([s.by(at[n] * 0.45 + between * 0.55, 0, -0.10), between * 0.6 + at[n] * 0.4,
                          s.by(at[n] * 0.5 + between * 0.5, 0, 0.09)]) for n in (21, 22)]  # fmt: skip
        s.canvas.lines([curve(way) for way in ways], dark, 0.028 * size, min(0.5 * frown, 0.5), 0.018 * size)
    if sneer > 0.08:
        bridge = at[27] * 0.6 + at[28] * 0.4
        ways = [np.stack([s.by(bridge, -0.13, y), s.by(bridge, 0, y + 0.03), s.by(bridge, 0.13, y)])
                for y in (-0.08, 0.0, 0.08)]  # fmt: skip
        s.canvas.lines([curve(way) for way in ways], dark, 0.022 * size, min(0.4 * sneer, 0.4), 0.018 * size)
    if (squeeze := s.unit(6)) > 0.08:
        ways = []
        for outer, inner in ((36, 39), (45, 42)):
            away = (at[outer] - at[inner]) / np.linalg.norm(at[outer] - at[inner]) * size
            starts = [s.by(at[outer] + 0.07 * away, 0, slant * 0.5) for slant in (-0.06, 0.02, 0.10)]
            ways += [np.stack([start, s.by(start + 0.14 * away, 0, slant)])
                     for start, slant in zip(starts, (-0.06, 0.02, 0.10), strict=True)]  # fmt: skip
        s.canvas.lines(ways, dark, 0.02 * size, min(0.28 * squeeze, 0.28), 0.014 * size)


def _eye(s: Sketch, left: bool) -> None:
    at, size, canvas, skin = s.at, s.length, s.canvas, s.person.skin
    outer, upper, inner, lower = (36, (37, 38), 39, (41, 40)) if left else (45, (44, 43), 42, (46, 47))
    top = curve(at[[outer, *upper, inner]])
    bottom = curve(at[[outer, *lower, inner]])
    middle = (at[outer] + at[inner]) / 2
    where, alpha = canvas.cover([np.concatenate([top, bottom[-2:0:-1]])])
    light = min(local(s, middle) * 1.05, 1.0)
    canvas.blend(where, alpha, canvas.tone(np.array([214, 210, 205]) * light))
    pupil = s.by(middle, 0.05 * np.sin(s.turn[0]), -0.016 - 0.05 * np.sin(s.turn[1]))
    origin = np.array([where[1].start, where[0].start])
    disc = np.zeros((3, *alpha.shape[:2]), np.uint8)
    for layer, radius in zip(disc, (0.102, 0.085, 0.042), strict=True):
        place = np.rint((pupil - origin) * 2**FINE).astype(int).tolist()
        cv2.circle(layer, place, round(radius * size * 2**FINE), 255, -1, cv2.LINE_AA, FINE)
    for layer, tone in zip(disc, (s.person.iris * 0.45, s.person.iris, np.full(3, 13.0)), strict=True):
        layer = layer[..., None] * np.float32(1 / 255) * alpha
        canvas.blend(where, layer, canvas.tone(tone * min(light + 0.1, 1)))
    canvas.shade(*canvas.cover([top], 0.03 * size, 0.06 * size), 0.62)
    glint = s.by(pupil, 0.035 * (np.sign(s.light[0]) or 1), -0.035)
    column, row = np.clip(glint - origin, 0, np.array(alpha.shape[1::-1]) - 1).astype(int)
    if alpha[row, column] > 0.5:
        canvas.fill(oval(glint, 0.017 * size, 0.017 * size), (245, 245, 245), 0.85)
    along = np.linspace(0, 1, len(top))[:, None]
    body = (0.014 + 0.018 * s.person.lashes) * size * np.sin(np.pi * np.clip(1.12 - along * 1.05, 0.05, 1)) ** 0.7
    canvas.fill(np.concatenate([s.by(top, 0, 0.006), (top - body * np.array([0, 1]))[::-1]]), s.person.brow * 0.35, 0.9)
    canvas.lines([bottom], skin * 0.40, 0.014 * size, 0.42, 0.008 * size)
    droop = np.clip(0.085 - 0.03 * s.unit(4) + 0.03 * s.unit(1) - 0.02 * s.unit(5), 0.04, 0.12) * size
    arched = np.sin(np.pi * np.linspace(0.18, 0.85, len(top) - 5))
    crease = top[2:-3] - droop * np.stack([0 * arched, arched], -1)
    canvas.lines([crease], skin * 0.40, 0.016 * size, 0.45, 0.012 * size)
    bag = np.stack([s.by(at[lower[0]], 0, 0.075), s.by((at[lower[0]] + at[lower[1]]) / 2, 0, 0.10),
                    s.by(at[lower[1]] * 0.6 + at[inner] * 0.4, 0, 0.075)])  # fmt: skip
    pinch = s.unit(6) + 0.6 * s.unit(7) + 0.6 * s.unit(9)
    canvas.lines([curve(bag)], skin * 0.42, 0.025 * size, min(0.08 + 0.22 * pinch, 0.4), 0.022 * size)


def _brow(s: Sketch, left: bool) -> None:
    at, size = s.at, s.length
    middle = curve(at[17:22] if left else at[26:21:-1])
    along = np.linspace(0, 1, len(middle))[:, None]
    half = 0.042 * size * s.person.thick * (0.25 + 0.95 * along**0.6 - 0.25 * along**4)
    across = np.gradient(middle, axis=0)
    across = np.stack([-across[:, 1], across[:, 0]], -1) / np.linalg.norm(across, axis=1, keepdims=True)
    body = np.concatenate([middle + half * across, (middle - half * across)[::-1]])
    s.canvas.fill(body, s.person.brow, 0.78, 0.018 * size)
    rng = np.random.default_rng([43, *s.person.key, left])
    picks = rng.integers(2, len(middle) - 1, 22)
    starts = middle[picks] + half[picks] * across[picks] * rng.uniform(-0.7, 0.8, (22, 1))
    ends = s.by(starts + (middle[picks - 2] - middle[picks]) * rng.uniform(0.8, 1.6, (22, 1)), 0, -0.03)
    s.canvas.lines(list(np.stack([starts, ends], 1)), s.person.brow * 0.7, 0.016 * size, 0.45)


def _mouth(s: Sketch) -> None:
    at, size, canvas = s.at, s.length, s.canvas
    above, below = curve(at[48:55]), curve(at[[54, 55, 56, 57, 58, 59, 48]])
    roof, floor = curve(at[60:65]), curve(at[[64, 65, 66, 67, 60]])
    light = local(s, s.by(at[57], 0, 0.02)) * 1.04
    lip, dark = s.person.lip * light, s.person.lip * 0.30
    canvas.fill(np.concatenate([above, roof[::-1]]), lip * 0.84, 0.92, 0.008 * size)
    canvas.fill(np.concatenate([below, floor[::-1]]), lip * 1.02, 0.92, 0.008 * size)
    canvas.fill(oval((at[57] + at[66]) / 2, 0.11 * size, 0.03 * size), lip * 1.3 + 10, 0.3, 0.025 * size)
    gap = float(np.linalg.norm(at[62] - at[66])) / size
    if gap > 0.012:
        where, alpha = canvas.cover([np.concatenate([roof, floor[1:-1]])])
        canvas.blend(where, alpha, canvas.tone(np.array([62, 28, 28]) * min(light, 1.0)))
        _inside(s, where, alpha, roof, floor, gap, min(light, 1.0))
        canvas.lines([roof], (40, 18, 18), 0.016 * size, 0.55, 0.006 * size)
    if gap <= 0.05:
        seam = curve((at[60:65] + at[[60, 67, 66, 65, 64]]) / 2)
        canvas.lines([np.concatenate([at[48:49], seam, at[54:55]])], dark, 0.022 * size, 0.8, 0.006 * size)
    ends = [np.stack([at[corner] * 1.1 - at[inner] * 0.1, at[inner]]) for corner, inner in ((48, 60), (54, 64))]
    canvas.lines(ends, dark, 0.026 * size, 0.65, 0.008 * size)


def _inside(s: Sketch, where: tuple, alpha: np.ndarray, roof: np.ndarray, floor: np.ndarray, gap: float,
            light: float) -> None:  # fmt: skip
    """Teeth and tongue, where alpha [h, w, 1] says that the mouth is open."""
    canvas, size = s.canvas, s.length
    teeth = np.array([228, 222, 208]) * min(0.28 + 0.62 * light, 0.95)

    def layer(shape: np.ndarray, tone: np.ndarray, opacity: float, soft: float) -> None:
        place, mask = canvas.cover([shape], soft)
        both = [slice(max(a.start, b.start), min(a.stop, b.stop)) for a, b in zip(place, where, strict=True)]
        if all(part.start < part.stop for part in both):
            seen, shown = (image[both[0].start - rows.start : both[0].stop - rows.start,
                                 both[1].start - columns.start : both[1].stop - columns.start]
                           for image, (rows, columns) in ((alpha, where), (mask, place)))  # fmt: skip
            canvas.blend(tuple(both), seen * shown * np.float32(opacity), canvas.tone(tone))

    middle = (roof[0] + roof[-1]) / 2
    if gap > 0.12:
        tongue = s.by((floor[len(floor) // 2] + middle) / 2, 0, 0.28 * gap)
        layer(oval(tongue, 0.22 * size, 0.42 * gap * size), np.array([150, 78, 76]) * light, 0.75, 0.03 * size)
    high = (0.10 + 0.06 * s.unit(12) + 0.03 * s.unit(9)) * (1 - 0.6 * min(s.unit(26), 1))
    lifted = np.minimum(roof[:, 1] - roof[len(roof) // 2, 1], 0)  # where the corners are higher, the teeth's edge is
    edge = np.stack([roof[:, 0], roof[len(roof) // 2, 1] + min(high, 0.95 * gap) * size + 0.6 * lifted], -1)
    row = np.concatenate([s.by(roof, 0, -0.03), edge[::-1]])
    layer(middle + (row - middle) * (0.9, 1), teeth, 0.92, 0.014 * size)
    across = np.linspace(-1, 1, len(floor))[:, None]
    if s.unit(16) + s.unit(20) > 0.3:
        low = min(0.07, 0.6 * gap) * size * (1 - 0.7 * across**2)
        span = middle + (floor - middle) * (0.74, 1)
        layer(np.concatenate([s.by(span, 0, 0.02), (span - low * np.array([0, 1]))[::-1]]), teeth * 0.84, 0.85,
              0.012 * size)  # fmt: skip

"""What surrounds a drawn face: a wall, neck and clothes, ears, hair, a beard, glasses."""

import cv2
import numpy as np

from hub.data import face_shape
from hub.data.face_canvas import Canvas, Sketch, curve, oval

_CLOTHES = ((40, 44, 58), (96, 98, 104), (150, 60, 58), (54, 84, 120), (196, 194, 188), (70, 96, 74), (120, 92, 120),
            (206, 170, 110), (24, 24, 26))  # fmt: skip


def wall(canvas: Canvas, rng: np.random.Generator) -> None:
    """A plain wall under uneven light, or one with blurred texture."""
    high, wide = canvas.pixels.shape[:2]
    tone = canvas.tone(rng.uniform(60, 215) * rng.uniform(0.92, 1.08, 3))
    cells = rng.uniform(-1, 1, (3, 4)).astype(np.float32) * rng.uniform(0.03, 0.2)
    if rng.random() < 0.5:
        textured = rng.standard_normal((24, 32)).astype(np.float32) * rng.uniform(0.02, 0.12)
        cells = cv2.resize(cells, (32, 24), interpolation=cv2.INTER_LINEAR) + cv2.GaussianBlur(textured, (0, 0), 1)
    light = cv2.resize(1 + cells, (wide, high), interpolation=cv2.INTER_LINEAR)
    np.multiply(light[..., None], tone, out=canvas.pixels)


def behind(s: Sketch) -> None:
    """Long hair, neck, shoulders and ears: all that the face covers."""
    at, size, p = s.at, s.length, s.person
    middle, low = (at[4] + at[12]) / 2, at[8]
    if p.style == face_shape.LONG:
        reach, base = 1.9 + 0.7 * trait(p, 1), (s.skull[0] + s.skull[12]) / 2
        side = np.array([(1.19, 0.14), (1.22, 0.45), (1.17, 0.8), (0.95, 1.0)]) * (1 + 0.12 * p.volume, reach)
        down = np.concatenate([side, [(0, reach * 1.02)], side[::-1] * (-1, 1)])
        crown = _crown(s, 0.08 * p.volume + 0.02)[2:-2]
        _hair(s, curve(np.concatenate([crown, base + size * down]), True), 0.72)
    if p.style == face_shape.TIED:
        _hair(s, oval(s.by(s.skull[6], 0, -0.10), 0.38 * size, 0.30 * size), 0.8)
    neck = [s.by(middle, x, y) for x, y in ((0.72, 0), (0.70, 0.9))]
    neck += [s.by(low, x, y) for x, y in ((0.98, 0.75), (1.3, 1.6), (-1.3, 1.6), (-0.98, 0.75))]
    neck += [s.by(middle, x, y) for x, y in ((-0.70, 0.9), (-0.72, 0))]
    s.canvas.fill(np.stack(neck), p.skin * (s.ambient * 0.65 + 0.36), 1, 0.02 * size)
    under = oval(s.by(low * 0.75 + middle * 0.25, 0, 0.10), 0.66 * size, 0.42 * size)
    s.canvas.fill(under, p.skin * 0.36, 0.55, 0.12 * size)
    cloth = np.array(_CLOTHES[int(s.rng.integers(len(_CLOTHES)))]) * s.rng.uniform(0.8, 1.15)
    dip, broad = s.rng.uniform(0.4, 0.9), s.rng.uniform(0.9, 1.08)
    half = [(0.45, 0.34 + dip * 0.5), (0.86, 0.55), (1.5, 0.76), (2.1, 1.0), (2.42, 1.35), (2.52, 1.9)]
    bottom = s.canvas.pixels.shape[0] + 2.0 * size
    collar = curve(np.stack([*(s.by(low, -x * broad, y) for x, y in half[::-1]), s.by(low, 0, 0.32 + 0.9 * dip),
                             *(s.by(low, x * broad, y) for x, y in half)]))  # fmt: skip
    body = np.concatenate([[(collar[0, 0], bottom)], collar, [(collar[-1, 0], bottom)]])
    s.canvas.fill(body, cloth * (0.45 + 0.5 * s.ambient), 1, 0.012 * size)
    s.canvas.lines([collar[24:-24]], cloth * 0.4, 0.05 * size, 0.45, 0.02 * size)
    for jaw, side in ((0, -1), (16, 1)):
        hidden = side * np.sin(s.turn[0])
        if p.style == face_shape.LONG or hidden > 0.3:
            continue
        centre = s.by(at[jaw], side * (0.055 - 0.1 * hidden), 0.10)
        tone = p.skin * (s.ambient + (1 - s.ambient) * max(0.25 + 0.45 * side * s.light[0], 0.1)) * 0.9
        ear = oval(centre, 0.13 * size * p.ear, 0.30 * size * p.ear, side * 0.18)
        s.canvas.fill(ear, tone, 1, 0.008 * size)
        s.canvas.fill(oval(centre, 0.065 * size, 0.19 * size, side * 0.18), tone * 0.62, 0.7, 0.03 * size)


def trait(person: face_shape.Person, which: int) -> float:
    """A number in 0..1 that belongs to the person."""
    return float(np.random.default_rng([44, *person.key, which]).random())


def _crown(s: Sketch, more: float) -> np.ndarray:
    """The top of the hair from ear to ear, larger than the skull by a share: [13, 2]."""
    grown = np.array([0, 0.5, 0.8, 0.95, 1, 1, 1, 1, 1, 0.95, 0.8, 0.5, 0])[:, None]
    return s.skull + (s.skull - s.skull[[0, 12]].mean(0)) * grown * more


def beard(s: Sketch) -> None:
    """On the skin, below lips and nose."""
    p, at, size = s.person, s.at, s.length
    if not p.beard:
        return
    high = trait(p, 2)
    upper = np.concatenate([at[1:3] * (1 - 0.4 * high) + at[2:4] * 0.4 * high, [at[3] * 0.55 + at[48] * 0.45],
                            [s.by(at[31] * 0.6 + at[48] * 0.4, 0, 0.02)], [s.by(at[33], 0, 0.06)],
                            [s.by(at[35] * 0.6 + at[54] * 0.4, 0, 0.02)], [at[13] * 0.55 + at[54] * 0.45],
                            (at[14:16] * (1 - 0.4 * high) + at[13:15] * 0.4 * high)])  # fmt: skip
    outline = np.concatenate([curve(upper), curve(at[15:0:-1])])
    where, alpha = s.canvas.cover([outline], 0.05 * size)
    rng = np.random.default_rng([45, *p.key])
    grain = cv2.resize(rng.uniform(0.65, 1.2, (120, 120)).astype(np.float32), alpha.shape[1::-1])[..., None]
    light = 0.5 + 0.5 * s.ambient
    s.canvas.blend(where, np.minimum(alpha * grain * np.float32(p.beard), 1), s.canvas.tone(p.hair * light * 0.9))


def before(s: Sketch) -> None:
    """Hair over the forehead, then glasses."""
    p, size = s.person, s.length
    if p.style != face_shape.BALD:
        top = _crown(s, 0.08 * p.volume)
        _hair(s, np.concatenate([curve(top), curve(_hairline(s)[::-1])]), 1.0)
    elif trait(p, 3) < 0.6:
        for ends in (slice(0, 4), slice(12, 8, -1)):
            side = s.skull[ends]
            inward = np.array([s.skull[6, 0], s.at[27, 1]]) - side
            inner = side + inward * np.array([[0.05], [0.10], [0.09], [0.02]])
            body = np.concatenate([curve(side), curve(inner)[::-1]])
            s.canvas.fill(body, p.hair * 0.7, 0.75, 0.04 * size)
    if p.glasses:
        _glasses(s)


def _hairline(s: Sketch) -> np.ndarray:
    """From the left ear of the picture to the right one, on the forehead: [n, 2]."""
    p, at = s.person, s.at
    high = 0.10 * (trait(p, 4) - 0.5)
    burn = 0.25 if p.beard else 0.02
    if p.style == face_shape.FRINGE:
        front = ((-1.0, -0.35), (-0.90, -0.52), (-0.55, -0.60), (-0.2, -0.55), (0.15, -0.62), (0.5, -0.57),
                 (0.90, -0.52), (1.0, -0.35))  # fmt: skip
    elif p.style in (face_shape.PARTED, face_shape.LONG):
        front = ((-1.03, -0.30), (-1.0, -0.62), (-0.86, -0.92), (-0.62, -1.16), (-0.42, -1.34), (-0.1, -1.16),
                 (0.45, -1.0), (0.85, -0.80), (1.0, -0.55), (1.04, -0.28))  # fmt: skip
    else:
        front = ((-1.03, -0.3), (-0.98, -0.62), (-0.90, -0.9), (-0.62, -1.12), (-0.25, -1.17), (0.2, -1.18),
                 (0.62, -1.12), (0.90, -0.9), (0.98, -0.62), (1.03, -0.3))  # fmt: skip
    line = np.array([(-1.07, burn), *front, (1.07, burn)]) * (1, 1 + high)
    if p.style in (face_shape.PARTED, face_shape.LONG) and p.side > 0:
        line = line[::-1] * (-1, 1)
    wide = (s.skull[12] - s.skull[0]) / 2.24  # where the skull is, so that hair turns with it
    up = (s.skull[6] - (s.skull[0] + s.skull[12]) / 2) / 1.85
    origin = (s.skull[0] + s.skull[12]) / 2 - up * -0.05
    bulge = np.maximum(1 - (line[:, :1] / 1.1) ** 2, 0)
    forward = 0.42 * s.length * np.array([np.sin(s.turn[0]), -np.sin(s.turn[1])])
    placed = origin + line[:, :1] * wide - line[:, 1:] * up + bulge * forward
    placed[0], placed[-1] = placed[0] * 0.3 + at[0] * 0.7, placed[-1] * 0.3 + at[16] * 0.7
    return placed


def _hair(s: Sketch, outline: np.ndarray, light: float) -> None:
    """A body of hair with strands and a gloss where the light falls."""
    p, size, canvas = s.person, s.length, s.canvas
    where, alpha = canvas.cover([outline], 0.022 * size)
    high, wide = alpha.shape[:2]
    rng = np.random.default_rng([46, *p.key, round(light * 100)])
    strands = rng.standard_normal((6, 48)).astype(np.float32)
    strands = cv2.resize(strands, (wide, high), interpolation=cv2.INTER_CUBIC)
    rows = np.linspace(0, 1, high, dtype=np.float32)[:, None]
    columns = np.linspace(-1, 1, wide, dtype=np.float32)
    gloss = np.exp(-((rows - 0.28 - 0.25 * columns**2) ** 2) / 0.03 - (columns - 0.6 * s.light[0]) ** 2 / 0.5)
    field = (light * (s.ambient * 0.6 + 0.35)) * (1 + 0.16 * strands) * (1 + 0.75 * gloss - 0.25 * columns**2)
    canvas.blend(where, alpha, canvas.tone(p.hair) * field[..., None] + 10 * gloss[..., None])


def _glasses(s: Sketch) -> None:
    at, size, p = s.at, s.length, s.person
    rng = np.random.default_rng([47, *p.key])
    tone = np.array(((24, 22, 22), (70, 48, 36), (120, 120, 124))[int(rng.integers(3))], float)
    thick = (0.030 if tone[0] < 100 else 0.018) * size
    lean = float(np.arctan2(*(at[45] - at[36])[::-1]))
    frames = []
    for outer, inner in ((36, 39), (45, 42)):
        centre = s.by((at[outer] + at[inner]) / 2, 0, 0.04)
        shape = oval(np.zeros(2), 1, 1)
        if not p.round_glasses:
            shape = np.sign(shape) * np.abs(shape) ** 0.55
        high = p.glasses * (0.92 if p.round_glasses else 0.74)
        shape = shape * (p.glasses * size * np.cos(s.turn[0]), high * size)
        turn = np.array([[np.cos(lean), np.sin(lean)], [-np.sin(lean), np.cos(lean)]])
        frame = centre + shape @ turn
        s.canvas.fill(frame, (235, 240, 245), 0.05)
        frames.append(np.concatenate([frame, frame[:1]]))
    left, right = frames
    bridge = curve(np.stack([left[np.argmax(left[:, 0])], s.by((at[27] + at[28]) / 2, 0, -0.10),
                             right[np.argmin(right[:, 0])]]))  # fmt: skip
    temples = [np.stack([s.by(frame[side(frame[:, 0])], 0, -0.08), s.by(at[jaw], 0, -0.02)])
               for frame, side, jaw in ((left, np.argmin, 0), (right, np.argmax, 16))]  # fmt: skip
    s.canvas.lines([*frames, bridge, *temples], tone, thick, 0.9, 0.004 * size)

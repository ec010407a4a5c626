"""From path lengths to a film: X-rays, scatter, grain, a laboratory's taste in contrast, and what is stuck on it."""

import cv2
import numpy as np

from hub.data.thorax_bones import deposit, spread, tube
from hub.data.thorax_frame import Frame

GAMMA = {"a": 0.0, "b": 0.22}  # mean of log gamma: the archives differ a little in everything below
GRAIN = {"a": 0.010, "b": 0.016}
SOFTNESS = {"a": (0.0, 0.7), "b": (0.2, 1.1)}  # pixels at 256
CLAHE = {"a": 0.2, "b": 0.45}
BORDER = {"a": 0.55, "b": 0.3}
LETTERS = {"a": 0.75, "b": 0.55}


def wires(rng: np.random.Generator, view: Frame) -> np.ndarray:
    """Float32 [S, S]: in one film of eight a catheter, else nothing; in mm of water."""
    if rng.random() > 0.12:
        return np.zeros_like(view.u)
    start = np.array([rng.choice([-1, 1]) * rng.uniform(30, 140), rng.uniform(-40, 40)])
    end = np.array([rng.uniform(-25, 5), rng.uniform(90, 200)])
    t = np.linspace(0, 1, 30)[:, None]
    bend = [start[0] * rng.uniform(-0.2, 0.6), rng.uniform(0, 60)]
    points, length = tube((1 - t) ** 2 * start + 2 * t * (1 - t) * np.array(bend) + t**2 * end)
    return spread(view, deposit(view, points, length * rng.uniform(8, 20)), 1.2)


def expose(rng: np.random.Generator, path: np.ndarray, view: Frame, source: str) -> np.ndarray:
    """Uint8 [S, S] from a path in mm of water: Beer-Lambert, scatter, blur, grain, then the display curve."""
    size, mu = view.size, rng.uniform(0.0145, 0.0205)
    primary = np.exp(-mu * path)
    small = cv2.resize(primary, (64, 64), interpolation=cv2.INTER_AREA)
    haze = cv2.GaussianBlur(small, (0, 0), rng.uniform(25, 40) * view.scale * 64 / size)
    light = primary + rng.uniform(0.04, 0.3) * cv2.resize(haze, (size, size)) + rng.uniform(0.0, 0.008)
    soft = rng.uniform(*SOFTNESS[source]) * size / 256
    if soft > 0.25:
        light = cv2.GaussianBlur(light, (0, 0), soft)
    # Quantum noise of a dose per mm^2, in the logarithm: its variance is one over the count.
    dose = (GRAIN[source] * np.exp(rng.normal(0, 0.6))) ** -2 * (256 / size) ** 0.5
    grain = np.random.default_rng(rng.integers(2**63)).standard_normal(light.shape, np.float32)
    density = -np.log(light) + grain * np.minimum(0.25, np.sqrt(0.15 / (dose * light)))
    return _display(rng, density.astype(np.float32), path > 25, source)


def _display(rng: np.random.Generator, density: np.ndarray, body: np.ndarray, source: str) -> np.ndarray:
    """Window, curve and local contrast. Bones stay bright."""
    seen = density[::2, ::2][body[::2, ::2]]
    low, high = np.percentile(seen if len(seen) > 99 else density, [rng.uniform(0.5, 8), rng.uniform(84, 99.5)])
    span = high - low
    low, high = low - rng.uniform(-0.03, 0.35) * span, high + rng.uniform(-0.12, 0.15) * span
    grey = np.clip((density - low) / (high - low), 0, 1)
    if (sharpen := rng.uniform(-0.4, 0.9)) > 0:  # unsharp masking: wide, as digital systems do
        small = cv2.resize(grey, (64, 64), interpolation=cv2.INTER_AREA)
        wide = cv2.resize(cv2.GaussianBlur(small, (0, 0), rng.uniform(2, 9)), grey.shape)
        grey = np.clip(grey + sharpen * (grey - wide), 0, 1)
    grey = cv2.pow(grey, float(np.exp(np.clip(rng.normal(GAMMA[source], 0.28), -0.7, 0.8))))
    s = rng.uniform(0, 1) * (rng.random() < 0.5)  # a sigmoid mixed in
    grey = (1 - s) * grey + s * grey * grey * (3 - 2 * grey)
    black, white = rng.uniform(0, 28) * (rng.random() < 0.6), rng.uniform(205, 255)
    image = np.rint(black + (white - black) * grey).astype(np.uint8)
    if rng.random() < CLAHE[source]:
        image = cv2.createCLAHE(rng.uniform(1.0, 2.6), (int(rng.integers(4, 9)),) * 2).apply(image)
    return image


def stick(rng: np.random.Generator, image: np.ndarray, source: str) -> tuple[np.ndarray, np.ndarray]:
    """The collimator's border and a side letter. Returns (image, open field bool [S, S])."""
    size = len(image)
    field = np.ones((size, size), np.uint8)
    if rng.random() < BORDER[source]:
        margin = rng.uniform(0, 0.035, 4) * size
        angle, middle = rng.normal(0, 0.8), (size / 2, size / 2)
        left, top, right, bottom = margin * (rng.random(4) < 0.7)
        corners = [
            (left - 2, top - 2),
            (size - right + 2, top - 2),
            (size - right + 2, size - bottom + 2),
            (left - 2, size - bottom + 2),
        ]
        turn = cv2.getRotationMatrix2D(middle, angle, 1.0)
        corners = np.array(corners) @ turn[:, :2].T + turn[:, 2]
        field[:] = 0
        cv2.fillPoly(field, [np.rint(corners).astype(np.int32)], 1)
        shade = rng.uniform(0, 20) if rng.random() < 0.8 else rng.uniform(20, 255)
        image = np.where(field > 0, image, np.uint8(shade))
    if rng.random() < LETTERS[source]:
        image = _letters(rng, image.copy(), source)
    return image, field > 0


def _letters(rng: np.random.Generator, image: np.ndarray, source: str) -> np.ndarray:
    """L on the patient's left (the image's right) or R, near a corner or the edge of the arm."""
    size, is_left = len(image), rng.random() < (0.7 if source == "a" else 0.35)
    text = ("L" if is_left else "R") + str(rng.choice(["", "", "", " PA", " 12", "."]))
    scale = size * rng.uniform(0.0011, 0.0026)
    face = int(rng.choice([cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_DUPLEX]))
    weight = max(1, round(size / 256 * rng.uniform(0.8, 2.4)))
    (wide, tall), _ = cv2.getTextSize(text, face, scale, weight)
    x = rng.uniform(0.01, 0.1) * size
    x = size - wide - x if is_left else x
    y = tall + rng.uniform(0.02, 0.16 if rng.random() < 0.8 else 0.6) * size
    cv2.putText(image, text, (int(x), int(y)), face, scale, int(rng.uniform(190, 255)), weight, cv2.LINE_AA)
    return image


def draw_marker(
    image: np.ndarray, lungs: np.ndarray, rng: np.random.Generator, inside: bool, scale: float = 1.0
) -> tuple[np.ndarray, np.ndarray]:
    """A copy of a film with a small bright plate: the shortcut of an experiment.

    Args:
        image: uint8 [S, S].
        lungs: bool [S, S].
        rng: says where.
        inside: wholly inside a lung; otherwise it touches none and lies at the upper or lateral border.
        scale: of the plate's sides.

    Returns:
        The film and the plate's region, bool [S, S], 5 by 4 pixels at S = 64 and a scale of 1, and in proportion.

    Raises:
        ValueError: there is no place for it.
    """
    size = len(image)
    wide, tall = (max(2, round(scale * size * side / 64)) for side in (5, 4))
    covered = cv2.boxFilter(lungs.astype(np.float32), -1, (wide, tall), anchor=(0, 0), normalize=False,
                            borderType=cv2.BORDER_CONSTANT)[: size - tall + 1, : size - wide + 1]  # fmt: skip
    free = covered > wide * tall - 0.5 if inside else covered < 0.5
    if not inside:
        rows, columns = np.indices(free.shape)
        edge = np.minimum(columns, size - wide - columns)
        border = free & (rows < 0.35 * size) & ((edge < 0.16 * size) | (rows < 0.1 * size))
        free = border if border.any() else free
    places = np.flatnonzero(free)
    if not len(places):
        where = "inside the lungs" if inside else "outside the lungs"
        raise ValueError(f"A marker of {wide}x{tall} pixels has no place {where}; {int(lungs.sum())} pixels are lung.")
    y, x = np.unravel_index(rng.choice(places), free.shape)
    region = np.zeros((size, size), bool)
    region[y : y + tall, x : x + wide] = True
    return np.where(region, np.uint8(rng.integers(235, 256)), image), region

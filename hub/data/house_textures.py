"""What a house number hangs on: brick, stucco, planks, panels and metal drawn from noise, and photographs.

The photographs are the two that ship inside scikit-learn. Textures are made once per process from fixed seeds; a scene
takes a crop, turns, stretches and colours it, so that few textures give many walls.
"""

import functools
import importlib.util
import pathlib

import cv2
import numpy as np

LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601
_SIDE = 512  # pixels; a number drawn on it is 48..72 pixels high
_SHEETS = 4  # of each material


def wall(rng: np.random.Generator, height: int, width: int, base: np.ndarray, relief: float) -> np.ndarray:
    """A wall of a random material: float32 [height, width, 3] RGB in about 0..1.

    Args:
        base: mean colour, RGB in 0..1.
        relief: standard deviation of its luma, in 0..1; less where a few strong lines, such as mouldings, would
            stand out by more than 2.5 times that.
    """
    material = tuple(MATERIALS)[int(rng.integers(len(MATERIALS)))]
    sheet = _sheet(material, int(rng.integers(_SHEETS)))
    zoom = min(float(rng.uniform(0.6, 1.3)), (_SIDE - 1) / max(height, width))
    high, wide = int(height * zoom) + 1, int(width * zoom) + 1
    top, left = rng.integers(_SIDE - high + 1), rng.integers(_SIDE - wide + 1)
    crop = sheet[top : top + high, left : left + wide]
    if rng.random() < 0.5:
        crop = crop[:, ::-1]
    crop = cv2.resize(np.ascontiguousarray(crop), (width, height), interpolation=cv2.INTER_LINEAR).astype(np.float32)
    if material == "photo":
        mix = np.eye(3) + rng.normal(0, 0.1, (3, 3))
    else:
        mix = np.array([[rng.choice((-1, 1)) * rng.uniform(0.4, 1), rng.uniform(0.4, 1)]]) * rng.normal(1, 0.15, (3, 2))
    sample = crop[::4, ::4].reshape(-1, crop.shape[2])
    middle = sample.mean(0)
    luma = (sample - middle) @ (LUMA @ mix)
    spread = max(luma.std(), np.quantile(np.abs(luma), 0.98) / 2.5, 1e-3)
    mix = mix * (relief / spread)
    return cv2.transform(crop, np.column_stack([mix, base - mix @ middle]).astype(np.float32))


@functools.cache
def _sheet(material: str, number: int) -> np.ndarray:
    """uint8 [512, 512, 2] (edges between parts, tone) of a drawn material, or [512, 512, 3] of a photograph."""
    rng = np.random.default_rng([*material.encode(), number])
    if material == "photo":
        return _photograph(rng, number)
    edges, tone = MATERIALS[material](rng)
    tone = tone + rng.normal(0, 0.25, tone.shape)
    return np.stack([np.clip(255 * edges, 0, 255), np.clip(128 + 40 * tone, 0, 255)], -1).astype(np.uint8)


def _noise(rng: np.random.Generator, down: int, across: int) -> np.ndarray:
    """Smooth unit noise with `down` x `across` cells over the sheet."""
    return cv2.resize(rng.standard_normal((down, across)), (_SIDE, _SIDE), interpolation=cv2.INTER_CUBIC)


def _brick(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Courses shifted by half a brick; each brick has its own tone."""
    course, brick, joint = rng.uniform(26, 40), rng.uniform(70, 120), rng.uniform(3, 6)
    y, x = np.indices((_SIDE, _SIDE), float)
    y, x = y + _noise(rng, 40, 40), x + _noise(rng, 40, 40)
    row = np.floor(y / course).astype(int)
    x = x + row % 2 * brick / 2
    column = np.floor(x / brick).astype(int)
    edges = np.clip(joint - np.minimum(y % course, x % brick), 0, 1)
    tone = rng.standard_normal((64, 64))[row % 64, column % 64]
    return cv2.GaussianBlur(edges, (0, 0), 0.8), tone + 0.6 * _noise(rng, 130, 130)


def _stucco(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Grains of several sizes and large stains."""
    grains = sum(_noise(rng, cells, cells) * weight for cells, weight in ((200, 0.9), (90, 0.8), (12, 0.6)))
    return np.clip(_noise(rng, 5, 5) * 0.25 + 0.3, 0, 1), grains


def _planks(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Boards with grain along them and a gap between them, upright or lying."""
    board = rng.uniform(60, 160)
    y = np.indices((_SIDE, _SIDE), float)[0]
    row = np.floor(y / board).astype(int)
    edges = np.clip(3 - y % board, 0, 1)
    tone = rng.standard_normal(64)[row % 64] + 0.7 * _noise(rng, 170, 6) + 0.5 * _noise(rng, 60, 3)
    return (edges.T, tone.T) if rng.random() < 0.5 else (edges, tone)


def _door(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Painted panels: smooth faces with a light and a dark moulding."""
    panel = rng.uniform(110, 220)
    y, x = np.indices((_SIDE, _SIDE), float)
    inset = np.minimum(np.minimum(y % panel, panel - y % panel), np.minimum(x % panel, panel - x % panel))
    moulding = np.exp(-(((inset - 22) / 4) ** 2))
    lit = np.where(np.minimum(y % panel, x % panel) < panel / 2, 1.5, -1.5)
    return moulding * 0.3, moulding * lit + 0.25 * _noise(rng, 8, 8)


def _metal(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Brushed sheet with a slow sheen."""
    return np.clip(_noise(rng, 3, 3) * 0.3 + 0.5, 0, 1), 0.8 * _noise(rng, 400, 5) + 0.5 * _noise(rng, 4, 4)


def _photograph(rng: np.random.Generator, number: int) -> np.ndarray:
    """A crop of scikit-learn's `china.jpg` or `flower.jpg`, without importing scikit-learn."""
    folder = pathlib.Path(importlib.util.find_spec("sklearn").origin).parent / "datasets" / "images"
    image = cv2.imread(str(folder / ("china.jpg", "flower.jpg")[number % 2]))[..., ::-1]
    top, left = rng.integers(image.shape[0] - 300), rng.integers(image.shape[1] - 300)
    return cv2.resize(np.ascontiguousarray(image[top : top + 300, left : left + 300]), (_SIDE, _SIDE))


MATERIALS = {
    "brick": _brick,
    "stucco": _stucco,
    "planks": _planks,
    "door": _door,
    "metal": _metal,
    "photo": _photograph,
}

"""What a scanner sees of handwriting: the ink's tone and grain, bleeding, the paper and its shade."""

import functools

import cv2
import numpy as np

_SIDE = 512


def scanned(ink: np.ndarray, who: np.random.Generator, rng: np.random.Generator) -> np.ndarray:
    """Grey uint8 [H, W] of ink coverage uint8 [H, W] on paper; `who` draws the writer's pen, `rng` the occasion."""
    tone, grain, bleed = who.normal(62, 22), who.uniform(0.02, 0.24), who.uniform(0.5, 0.9)
    tone = float(np.clip(tone + rng.normal(0, 8), 15, 120))
    light = rng.uniform(226, 250)
    cover = cv2.GaussianBlur(ink.astype(np.float32) / 255, (0, 0), bleed * np.exp(rng.normal(0, 0.1)))
    texture, fibre = (_crop(sheet, ink.shape, rng) for sheet in _sheets())
    cover *= 1 - grain * np.clip(texture, 0, 1.5) * (1 + rng.normal(0, 0.15))
    cells = [side // 250 + 2 for side in ink.shape]
    shade = cv2.resize(rng.normal(0, 3, cells).astype(np.float32), ink.shape[::-1], interpolation=cv2.INTER_LINEAR)
    paper = light + shade + fibre * rng.uniform(0.6, 1.8)
    return np.clip(paper - cover * (paper - tone), 0, 255).astype(np.uint8)


@functools.cache
def _sheets() -> tuple[np.ndarray, np.ndarray]:
    """Two sheets of unit noise [_SIDE, _SIDE]: where a pen skips, and the paper's fibres."""
    rng = np.random.default_rng(25)
    skip = cv2.GaussianBlur(rng.standard_normal((_SIDE, _SIDE)).astype(np.float32), (0, 0), 1.1)
    fibre = cv2.GaussianBlur(rng.standard_normal((_SIDE, _SIDE)).astype(np.float32), (0, 0), 1.6, sigmaY=0.7)
    return skip / skip.std(), fibre / fibre.std()


def _crop(sheet: np.ndarray, shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """A window of the endlessly repeated sheet."""
    rows, columns = (np.arange(side) + rng.integers(_SIDE) for side in shape)
    return sheet.take(rows, 0, mode="wrap").take(columns, 1, mode="wrap")

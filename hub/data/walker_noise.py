"""What background subtraction does to a silhouette: ragged edges, holes, lost feet or head, shadows, empty frames."""

import functools

import cv2
import numpy as np

PAD = 12  # pixels around the person that are looked at
FUZZ = (3, 5)  # pixels over which an edge is uncertain, of people below and above 100 pixels


def spoil(rng: np.random.Generator, frames: np.ndarray) -> np.ndarray:
    """Faulty copies of clean silhouettes uint8 [T, H, W]; a clip is more or less clean as a whole.

    Holes, losses and shadows last for some frames, as they do where clothes and background look alike.
    """
    count = len(frames)
    bad = rng.beta(1.5, 2.5)
    rough = 20 + 55 * bad
    holes = [_hole(rng, count) for _ in range(rng.poisson(3 * bad))]
    cuts = [_cut(rng, count) for _ in range(rng.poisson(1.6 * bad))]
    shadow = _shadow(rng) if rng.random() < 0.3 else None
    spoiled = np.zeros_like(frames)
    for index in np.flatnonzero(~_empty(rng, count)):
        frame = frames[index]
        x, y, w, h = cv2.boundingRect(frame)
        if not h:
            continue
        top, left = max(y - PAD, 0), max(x - PAD, 0)
        window = slice(top, y + h + PAD), slice(left, x + w + PAD)
        part = frame[window].copy()
        box = x - left, y - top, w, h
        if shadow is not None:
            _cast(part, box, shadow, rng)
        for first, last, *hole in holes:
            if first <= index < last:
                _pierce(part, box, hole, rng)
        for first, last, *cut in cuts:
            if first <= index < last:
                _lose(part, box, cut, rng)
        ragged = cv2.add(cv2.blur(part, 2 * (FUZZ[h > 100],)), _texture(rng, part.shape, rough), dtype=cv2.CV_32F)
        spoiled[index][window] = cv2.compare(ragged, 127, cv2.CMP_GT)
        if rng.random() < 0.01:
            centre = rng.integers(frame.shape[1]), rng.integers(frame.shape[0])
            cv2.circle(spoiled[index], tuple(map(int, centre)), int(rng.integers(1, 4)), 255, -1)
    return spoiled


def _empty(rng: np.random.Generator, count: int) -> np.ndarray:
    """Which frames show nothing: the first few of some clips, and now and then one more; never most of them."""
    empty = rng.random(count) < 0.006
    if rng.random() < 0.15:
        empty[: rng.integers(1, 5)] = True
    return empty if empty.sum() <= count // 4 else np.zeros(count, bool)


def _span(rng: np.random.Generator, count: int, mean: float) -> tuple[int, int]:
    """First and one after the last frame of something that lasts `mean` frames on average."""
    first = int(rng.integers(-int(mean), count))
    return first, first + 1 + int(rng.exponential(mean))


def _hole(rng: np.random.Generator, count: int) -> tuple:
    """Span, place in the person's box, half axes as shares of its height, degrees."""
    place = rng.uniform((0.25, 0.12), (0.75, 0.85))
    return *_span(rng, count, 12), *place, *rng.uniform((0.01, 0.015), (0.035, 0.07)), rng.uniform(0, 180)


def _cut(rng: np.random.Generator, count: int) -> tuple:
    """Span, whether the head (else the feet), share of the height."""
    head = rng.random() < 0.35
    return *_span(rng, count, 8), head, rng.uniform(0.03, 0.12 if head else 0.08)


def _shadow(rng: np.random.Generator) -> np.ndarray:
    """Offset from the feet's middle, half length and half height, as shares of the person's height."""
    return rng.uniform((-0.10, 0.04, 0.010), (0.10, 0.12, 0.024))


def _cast(part: np.ndarray, box: tuple, shadow: np.ndarray, rng: np.random.Generator) -> None:
    x, y, w, h = box
    offset, length, height = shadow * h * rng.uniform(0.85, 1.15)
    feet = cv2.boundingRect(part[y + int(0.95 * h) : y + h])
    centre = x + w / 2 if not feet[2] else feet[0] + feet[2] / 2
    axes = max(int(length), 1), max(int(height), 1)
    cv2.ellipse(part, (int(centre + offset), int(y + h - height)), axes, 0, 0, 360, 255, -1)


def _pierce(part: np.ndarray, box: tuple, hole: list, rng: np.random.Generator) -> None:
    x, y, w, h = box
    across, down, a, b, angle = hole
    centre = int(x + across * w + rng.normal(0, 1.5)), int(y + down * h + rng.normal(0, 1.5))
    axes = max(int(a * h * rng.uniform(0.7, 1.3)), 1), max(int(b * h * rng.uniform(0.7, 1.3)), 1)
    cv2.ellipse(part, centre, axes, angle, 0, 360, 0, -1)


def _lose(part: np.ndarray, box: tuple, cut: list, rng: np.random.Generator) -> None:
    _, y, _, h = box
    head, share = cut
    rows = max(int(h * share * rng.uniform(0.7, 1.3)), 1)
    part[slice(y, y + rows) if head else slice(y + h - rows, y + h)] = 0


def _texture(rng: np.random.Generator, shape: tuple[int, int], strength: float) -> np.ndarray:
    """Smooth random numbers with standard deviation `strength`, too small to matter away from an edge."""
    cloth = _cloth()
    top, left = (int(rng.integers(c - s + 1)) for c, s in zip(cloth.shape, shape, strict=True))
    return np.clip(cloth[top : top + shape[0], left : left + shape[1]] * np.float32(strength), -110, 110)


@functools.lru_cache(1)
def _cloth() -> np.ndarray:
    """float32 [512, 768], one standard deviation: coarse patches with a fine grain, drawn once."""
    rng = np.random.default_rng(0)
    cloth = sum(
        share * cv2.resize(rng.normal(size=(512 // step, 768 // step)).astype(np.float32), (768, 512),
                           interpolation=cv2.INTER_CUBIC)
        for step, share in ((2, 0.5), (4, 0.8), (16, 0.5))
    )  # fmt: skip
    return cloth / cloth.std()

"""The published pretreatment of silhouettes: one person of one size, centred, whatever the camera saw.

GaitSet and its followers (OpenGait, datasets/pretreatment.py) drop nearly empty frames, crop top and bottom, scale the
height to 64 pixels and cut a window around the column that halves the mass. A silhouette is uint8, 0 background,
255 person.
"""

from collections.abc import Iterable

import cv2
import numpy as np

HEIGHT, WIDTH = 64, 44  # of a frame that a network sees
EMPTY = 10_000  # a frame whose pixels add up to no more than this shows no person
_CUT = (HEIGHT - WIDTH) // 2


def normalise(frame: np.ndarray) -> np.ndarray | None:
    """One frame, pretreated.

    The published code fails where a crop is more than 64 times as high as wide; here such a crop stays one pixel wide.

    Args:
        frame: uint8 [H, W], 0 background, 255 person.

    Returns:
        uint8 [64, 64], the person from the first to the last row; None where pixels add up to 10,000 or less.

    Raises:
        ValueError: not a grey frame of bytes.
    """
    _grey(frame)
    rows = cv2.reduce(frame, 1, cv2.REDUCE_SUM, dtype=cv2.CV_32S)[:, 0] if frame.size else np.zeros(0, np.int32)
    if rows.sum(dtype=np.int64) <= EMPTY:
        return None
    filled = np.flatnonzero(rows)
    frame = frame[filled[0] : filled[-1] + 1]
    width = max(int(HEIGHT * (frame.shape[1] / frame.shape[0])), 1)
    frame = cv2.resize(frame, (width, HEIGHT), interpolation=cv2.INTER_CUBIC)
    mass = cv2.reduce(frame, 0, cv2.REDUCE_SUM, dtype=cv2.CV_32S)[0].cumsum(dtype=np.int64)
    if not mass[-1]:  # specks that fall between the pixels of the smaller frame
        return None
    left = int(np.searchsorted(mass, mass[-1] / 2, side="right")) - HEIGHT // 2
    seen = frame[:, max(left, 0) : left + HEIGHT]
    window = np.zeros((HEIGHT, HEIGHT), np.uint8)
    window[:, max(-left, 0) : max(-left, 0) + seen.shape[1]] = seen
    return window


def clip(frames: Iterable[np.ndarray]) -> np.ndarray:
    """A clip, pretreated frame by frame; frames without a person are dropped, so that none may be left.

    Args:
        frames: uint8 [T, H, W], or T frames uint8 [H, W] that may differ in size.

    Returns:
        uint8 [T', 64, 64] with T' <= T.

    Raises:
        ValueError: frames that are not grey bytes, or that hold 0 and 1.
    """
    frames = list(frames)
    check(frames)
    kept = [window for window in map(normalise, frames) if window is not None]
    return np.stack(kept) if kept else np.zeros((0, HEIGHT, HEIGHT), np.uint8)


def narrow(frames: np.ndarray) -> np.ndarray:
    """What a network sees of pretreated frames: uint8 [..., 64, 64] without 10 columns on each side, [..., 64, 44]."""
    if frames.shape[-2:] != (HEIGHT, HEIGHT):
        raise ValueError(f"Pretreated frames [..., {HEIGHT}, {HEIGHT}] are cut. Received: {frames.shape}.")
    return np.ascontiguousarray(frames[..., _CUT : HEIGHT - _CUT])


def strip(frames: np.ndarray, count: int = 12) -> np.ndarray:
    """A picture of a clip: `count` of its frames uint8 [T, H, W], evenly spread, side by side, uint8 [H, count * W].

    A clip of fewer frames shows all of them and ends in black.
    """
    chosen = frames[np.unique(np.linspace(0, len(frames) - 1, min(count, len(frames))).round().astype(int))]
    picture = np.zeros((frames.shape[1], count * frames.shape[2]), np.uint8)
    picture[:, : len(chosen) * frames.shape[2]] = chosen.transpose(1, 0, 2).reshape(frames.shape[1], -1)
    return picture


def check(frames: list[np.ndarray]) -> None:
    """Raise ValueError, in one sentence, where a frame is no silhouette: not uint8 [H, W], or all are 0 and 1."""
    for frame in frames:
        _grey(frame)
    if max((frame.max(initial=0) for frame in frames), default=0) == 1:
        raise ValueError("The frames hold 0 and 1; a silhouette is 0 where there is background and 255 for the person.")


def _grey(frame: np.ndarray) -> None:
    if getattr(frame, "ndim", None) != 2 or frame.dtype != np.uint8:
        got = f"{frame.dtype} {frame.shape}" if hasattr(frame, "dtype") else type(frame).__name__
        raise ValueError(f"A silhouette is a grey frame, uint8 [height, width], 0 and 255. Received: {got}.")

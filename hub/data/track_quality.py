"""How far the frames of a followed person can be trusted, and whether that person walks."""

import cv2
import numpy as np

from hub.data.blobs import Seen, two_heads

_WALKS = 0.5  # person heights that somebody who walks gets on, or, walking towards the camera, ...
_GROWS = 1.2  # ... the ratio of the largest and the smallest height


def quality(seen: list[Seen], window: int, border: bool = True) -> np.ndarray:
    """How good each frame of a person is, float64 [T] in 0..1: the product of what speaks against it.

    Height and area are compared with their medians over `window` frames to either side: a jump is somebody
    else, a shadow or an obstacle. Further: width over height, a trunk nearly cut through, two heads,
    holes, and, unless `border` is off, touching the border.
    """
    boxes = np.array([one.box for one in seen], float)
    masses = np.array([np.count_nonzero(one.silhouette) for one in seen], float)
    wide, high = boxes[:, 2], boxes[:, 3]
    fit = _ramp(wide / high, 0.14, 0.22, 0.65, 0.9) * _ramp(wide / _around(wide, window), 0.3, 0.5, 1.6, 2.1)
    fit *= _ramp(high / _around(high, window), 0.75, 0.9, 1.1, 1.3)
    fit *= _ramp(masses / _around(masses, window), 0.5, 0.75, 1.3, 1.7)
    fit *= _ramp(np.array([_waist(one.silhouette) for one in seen]), 0.06, 0.1, np.inf, np.inf)
    fit *= np.array([1 - 4 * _holes(one.silhouette) for one in seen]).clip(0, 1)
    fit *= [not two_heads(one) for one in seen]
    return fit * ~np.array([one.border for one in seen]) if border else fit


def walks(boxes: np.ndarray) -> bool:
    """Whether boxes [T, 4] of one person get on: half a height, or a fifth larger or smaller."""
    high = np.sort(boxes[:, 3])
    feet = np.stack([boxes[:, 0] + boxes[:, 2] / 2, boxes[:, 1] + boxes[:, 3]], axis=-1)
    away = np.linalg.norm(np.percentile(feet, 95, axis=0) - np.percentile(feet, 5, axis=0))
    return bool(away > _WALKS * np.median(high) or np.percentile(high, 95) > _GROWS * np.percentile(high, 5))


def _waist(silhouette: np.ndarray) -> float:
    """Pixels of the thinnest row between shoulders and knees, in heights of the person."""
    height = len(silhouette)
    return float(np.count_nonzero(silhouette[height // 5 : height * 3 // 5 + 1], axis=1).min() / height)


def _holes(silhouette: np.ndarray) -> float:
    """Background enclosed by the person, as a share of the person; legs on the ground enclose none."""
    padded = cv2.copyMakeBorder(silhouette, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    outer = np.zeros_like(padded)
    contours, _ = cv2.findContours(padded, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(outer, contours, -1, 255, cv2.FILLED)
    filled = np.count_nonzero(outer)
    return (filled - np.count_nonzero(padded)) / filled


def _around(values: np.ndarray, window: int) -> np.ndarray:
    """The median of `window` values to either side of each."""
    padded = np.pad(values, window, constant_values=np.nan)
    return np.nanmedian(np.lib.stride_tricks.sliding_window_view(padded, 2 * window + 1), axis=-1)


def _ramp(values: np.ndarray, none: float, low: float, high: float, over: float) -> np.ndarray:
    """0 up to `none`, 1 from `low` to `high`, 0 from `over` on, straight between."""
    rises = (values - none) / (low - none)
    falls = (over - values) / (over - high) if np.isfinite(over) else np.inf
    return np.minimum(rises, falls).clip(0, 1)

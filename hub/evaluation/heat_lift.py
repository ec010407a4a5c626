"""Heat lift: does an explanation point at a region more than its size alone would make it?

Paper: ours; Wang et al., "Score-CAM", CVPR Workshops 2020, arXiv:1910.01279 take the share of heat in a region
  ("energy-based pointing game"), Zhang et al., "Top-down Neural Attention by Excitation Backprop", ECCV 2016,
  arXiv:1608.00507 the place of the peak ("pointing game")
Slug: heat_lift
Idea: the share of the heat inside a region over the region's share of the area is 1 for a map that knows nothing.
Differs: Wang et al. do not divide by the area, and so reward large regions; Zhang et al. forgive 15 pixels, here none,
  and where several positions hold the peak each counts its part.
Checked: loops over pixels, even heat lifts by exactly 1, dead maps and empty regions (tests/test_explain.py).
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from hub.registry import register


@register("heat_lift")
def heat_lift(maps: Any, regions: Any) -> np.ndarray:
    """Lift [N], float64: 1 as an even map, 0 with all heat outside, at most 1 / (share of the area).

    NaN where the question has no answer, a map without heat or an empty region; average with `np.nanmean`, and say how
    many were left out.

    Args:
        maps: heat [N, H, W], at least 0, on any scale.
        regions: [N, H, W], true or 1 inside.

    Raises:
        ValueError: shapes differ or are not [N, H, W]; heat is negative or not finite; a region is neither 0 nor 1.
    """
    maps, regions = _checked(maps, regions)
    heat, area = maps.sum((1, 2)), regions.mean((1, 2))
    answer = (heat > 0) & (area > 0)
    inside = (maps * regions).sum((1, 2))
    return np.divide(inside, heat * area, out=np.full(len(maps), np.nan), where=answer)


def peak_inside(maps: Any, regions: Any) -> np.ndarray:
    """1 where the peak of a map lies in its region, else 0, [N] float64; the mean is the pointing game's accuracy.

    A peak held by several positions counts as the share of them that lies inside. NaN where `heat_lift` is.

    Args:
        maps: heat [N, H, W], at least 0, on any scale.
        regions: [N, H, W], true or 1 inside.

    Raises:
        ValueError: as `heat_lift`.
    """
    maps, regions = _checked(maps, regions)
    top = maps.max((1, 2), keepdims=True)
    peak = maps == top
    answer = (top[:, 0, 0] > 0) & regions.any((1, 2))
    inside = (peak & regions).sum((1, 2))
    return np.divide(inside, peak.sum((1, 2)), out=np.full(len(maps), np.nan), where=answer)


def _checked(maps: Any, regions: Any) -> tuple[np.ndarray, np.ndarray]:
    maps, regions = np.asarray(maps, "float64"), np.asarray(regions)
    if maps.ndim != 3 or maps.shape != regions.shape or 0 in maps.shape[1:]:
        raise ValueError(f"Maps and regions are [N, H, W] both. Received: {maps.shape} and {regions.shape}.")
    if not np.isfinite(maps).all() or (maps < 0).any():
        raise ValueError("Heat must be finite and at least 0: take a map's positive part. Received: other values.")
    if not np.isin(regions, (0, 1)).all():
        raise ValueError(f"Regions hold 0 and 1. Received: values up to {regions.max()}; threshold them first.")
    return maps, regions.astype(bool)


def contract_example(make: Callable) -> None:
    """Three quarters of the heat in a quarter of the area lift by three; even heat lifts by one."""
    region = np.zeros((3, 4, 4), bool)
    region[:, :2, :2] = True
    maps = np.stack([np.where(region[0], 9.0, 1.0), np.ones((4, 4)), np.zeros((4, 4))])
    np.testing.assert_allclose(make(maps, region), [3, 1, np.nan])

"""Horizontal edges and corners: what the classical pipeline looks for in the parts of a face.

Paper: Shi and Tomasi, "Good Features to Track", CVPR 1994; as used by Khan, 2018, arXiv:1812.04510
Slug: fer_landmarks
Idea: brows, lids and lips are horizontal edges, which Sobel's operator shows; their ends are corners, where the smaller
  eigenvalue of the structure tensor is large.
Differs: nothing; both are OpenCV's. How edges make a part of a face is ours.
Checked: SciPy's convolution; eigenvalues of the tensor and the choice of corners by plain NumPy, masks, flat pictures
  (tests/test_face_landmarks.py).
"""

from collections.abc import Callable

import cv2
import numpy as np

from hub.registry import register


@register("sobel_edges")
def sobel_edges(picture: np.ndarray) -> np.ndarray:
    """The vertical derivative by Sobel's 3 x 3 kernel: positive where it gets lighter downwards.

    Args:
        picture: [H, W] of uint8 or float32; the border is mirrored.

    Returns:
        float32 [H, W], eight times the difference from a row to the next.

    Raises:
        ValueError: no picture of one channel.
    """
    return cv2.Sobel(_grey(picture), cv2.CV_32F, 0, 1, ksize=3)


@register("shi_tomasi_corners")
def shi_tomasi_corners(
    picture: np.ndarray, most: int = 20, quality: float = 0.05, distance: float = 3.0, mask: np.ndarray | None = None
) -> np.ndarray:
    """Corners by the smaller eigenvalue of the structure tensor (3 x 3 Sobel, summed over 3 x 3), the strongest first.

    Args:
        picture: [H, W] of uint8 or float32.
        most: corners at most.
        quality: share of the strongest corner's eigenvalue below which there is none.
        distance: pixels that two corners are apart at least.
        mask: uint8 [H, W], 0 where no corner is wanted.

    Returns:
        float32 [n, 2], x and y; n may be 0.

    Raises:
        ValueError: no picture of one channel, or a mask of another size.
    """
    picture = _grey(picture)
    if mask is not None and mask.shape != picture.shape:
        raise ValueError(f"A mask is as large as its picture, {picture.shape}. Received: shape {mask.shape}.")
    found = cv2.goodFeaturesToTrack(picture, most, quality, distance, mask=mask, blockSize=3)
    return np.zeros((0, 2), np.float32) if found is None else found[:, 0]


def dark_band(slope: np.ndarray, reach: int) -> np.ndarray:
    """How strong the weaker of two edges is, one above that darkens and one below that lightens: float32 [H, W] >= 0.

    A brow is such a band, the edge of the hair is not. Either edge lies at most `reach` rows away.
    """
    column = np.ones((reach + 1, 1), np.uint8)
    above = cv2.dilate(np.maximum(-slope, 0), column, anchor=(0, reach))
    below = cv2.dilate(np.maximum(slope, 0), column, anchor=(0, 0))
    return np.minimum(above, below)


def edge_group(slope: np.ndarray, prior: np.ndarray, low: float) -> np.ndarray | None:
    """The largest connected group of strong horizontal edges, uint8 [H, W] of 0 and 1; None where there is no edge.

    Args:
        slope: float32 [H, W], from `sobel_edges`.
        prior: [H, W], how much an edge counts, 0..1. The largest group is that whose strong edges sum up to most.
        low: share of Otsu's threshold, in 0..1, from which edges are joined to stronger ones that they touch.
    """
    edges = np.abs(slope) * prior
    if (most := float(edges.max())) <= 0:
        return None
    levels = (edges * (255 / most)).astype(np.uint8)
    threshold, strong = cv2.threshold(levels, 0, 1, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
    joined = cv2.morphologyEx((levels > low * threshold).astype(np.uint8), cv2.MORPH_CLOSE, np.ones((5, 7), np.uint8))
    count, labels = cv2.connectedComponents(joined)
    weight = np.bincount(labels.ravel(), (edges * strong).ravel(), count)
    weight[0] = 0
    return (labels == weight.argmax()).astype(np.uint8) if weight.any() else None


def dark_pair(dark: np.ndarray) -> np.ndarray | None:
    """The middles of two spots beside each other, the left one first, float [2, 2]; None where there are none.

    Args:
        dark: float32 [H, W] >= 0, of a face with eyes 64 apart. The spots are the strongest two of its corners about 17
            apart.
    """
    corners = shi_tomasi_corners(dark, most=10, quality=0.02, distance=5)
    if len(corners) < 2:
        return None
    strength = cv2.cornerMinEigenVal(dark, 3)[tuple(corners.astype(int).T[::-1])]
    one, two = np.triu_indices(len(corners), 1)
    across, down = np.abs(corners[one] - corners[two]).T
    weaker = np.minimum(strength[one], strength[two])
    best = np.argmax(weaker * np.exp(-0.5 * (((across - 17) / 6) ** 2 + (down / 4) ** 2)))
    pair = np.stack([_middle(dark, corners[place[best]]) for place in (one, two)])
    return pair[pair[:, 0].argsort()]


def _middle(dark: np.ndarray, point: np.ndarray) -> np.ndarray:
    """The middle of the spot around a point: twice the mean within five pixels."""
    for _ in range(2):
        x, y = (slice(max(int(at) - 5, 0), int(at) + 6) for at in np.rint(point))
        down, right = np.mgrid[y, x][:, : dark.shape[0] - y.start, : dark.shape[1] - x.start]
        if (weights := dark[y, x]).any():
            point = np.array([np.average(right, weights=weights), np.average(down, weights=weights)])
    return point


def lids(profile: np.ndarray, first: int, last: int) -> tuple[float, float] | None:
    """Heights of an eye's lids in a column of slopes [H]: where it first darkens and last lightens strongly."""
    dark, light = (np.maximum(sign * profile[first:last], 0) for sign in (-1, 1))
    upper, lower = _peaks(dark, 0.5 * dark.max()), _peaks(light, 0.5 * light.max())
    if not len(upper) or not len(lower) or lower[-1] <= upper[0]:
        return None
    return first + _refined(dark, upper[0]), first + _refined(light, lower[-1])


def lips(profile: np.ndarray, nose: float, corners: float) -> tuple[float, float] | None:
    """Heights of the upper lip's and the lower lip's outer edge in a column of slopes [H] of a face with eyes 64 apart.

    The first is where it first darkens strongly below the nose. Under the lower lip it lightens, and then once more
    where the chin comes out of the lip's shadow: of two such edges the upper one is the lip's.

    Args:
        profile: slopes downwards.
        nose: height of the nostrils.
        corners: height of the mouth's corners.
    """
    start = int(nose) + 6
    heights = np.arange(start, len(profile))
    column = np.convolve(profile[start:], (0.25, 0.5, 0.25), "same")
    expected = (nose + 14 + corners - 7) / 2
    dark = np.maximum(-column, 0) * np.exp(-0.5 * ((heights - expected) / 6) ** 2)
    upper = _peaks(dark, 0.5 * dark.max())
    if not len(upper):
        return None
    light = np.maximum(column, 0)
    light[: upper[0] + 3] = 0
    likely = light * np.exp(-0.5 * ((heights - corners - 14) / 14) ** 2)
    lower = _peaks(likely, 0.18 * likely.max())
    if not len(lower):
        return None
    end = lower[-1]
    above = _peaks(light, 0.25 * light[end])
    above = above[(above >= max(end - 11, upper[0] + 7)) & (above <= end - 3)]
    if len(above) and column[above[-1] : end].min() > -0.25 * light.max():  # nothing dark between them
        end = above[-1]
    return start + _refined(np.abs(column), upper[0]), start + _refined(light, end)


def _peaks(values: np.ndarray, least: float) -> np.ndarray:
    """Places of the local maxima above zero of at least `least`."""
    around = np.pad(values, 1)
    return np.flatnonzero((values > 0) & (values >= least) & (values >= around[:-2]) & (values > around[2:]))


def _refined(values: np.ndarray, peak: int) -> float:
    """The place of a peak to a fraction of a row."""
    around = np.arange(max(peak - 1, 0), min(peak + 2, len(values)))
    return float(np.average(around, weights=values[around]))


def _grey(picture: np.ndarray) -> np.ndarray:
    picture = np.asarray(picture)
    if picture.ndim != 2 or picture.dtype not in (np.uint8, np.float32) or not picture.size:
        raise ValueError(
            f"A grey picture [H, W] of uint8 or float32 is needed. Received: {picture.dtype} {picture.shape}."
        )
    return picture


def contract_example(make: Callable[..., np.ndarray]) -> None:
    """A ramp has one slope; a rectangle four corners."""
    if make.func is sobel_edges:
        ramp = np.repeat(np.arange(8, dtype=np.float32)[:, None], 5, 1)
        np.testing.assert_array_equal(make(ramp)[1:-1], 8)
        return
    picture = np.zeros((40, 50), np.uint8)
    picture[10:30, 15:40] = 200
    near = np.abs(make(picture, most=4)[:, None] - np.array([(15, 10), (39, 10), (15, 29), (39, 29)])).max(axis=2)
    assert near.shape == (4, 4) and (near.min(axis=0) <= 1).all()

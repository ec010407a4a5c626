"""Khan's classical landmarks: 18 points of a face from horizontal edges and corners, nothing learned.

Paper: Khan, "Facial Expression Recognition using Facial Landmark Detection and Feature Extraction via Neural Networks",
  2018, arXiv:1812.04510
Slug: fer_landmarks
Idea: after a Gaussian and equalised contrast each part of the face is looked for where faces have it: the largest
  connected group of horizontal edges is the part, its outermost corners are the ends of eyes, brows and mouth.
Differs: a reconstruction, as which points and which regions could not be read: two corners and two lids of each eye,
  the ends of each brow, two nostrils, four points of the mouth. The eyes are found first, where horizontal edges are
  dense around something dark, and the regions refer to them and not to the box, so that a tilted head does no harm.
  Edges count by their place in the region before Otsu's threshold; weaker ones that touch those above it belong to the
  part. Of a brow only what is dark between two edges counts, which a fringe is not; lids and lips are edges across the
  part's middle, nostrils a pair of corners of what is small and dark.
Checked: points of a cartoon to 3 pixels, shift, scale and tilt, nothing on blank pictures, faces cut by the edge,
  drawn people in any pose, with glasses, beards and side light, to 8 % of the distance of the eyes
  (tests/test_face_landmarks.py).
"""

from collections.abc import Callable
from typing import NamedTuple

import cv2
import numpy as np

from hub.data.face_regions import dark_band, dark_pair, edge_group, lids, lips, shi_tomasi_corners, sobel_edges
from hub.data.face_upright import Region, around, moved, upright
from hub.registry import register

DEFAULTS = np.array([  # where an upright average face has F1 to F18, in its pixels, as all that follows
    (33, 64), (62, 65), (48, 58), (48, 69), (127, 64), (98, 65), (112, 58), (112, 69), (20, 48), (66, 43),
    (140, 48), (94, 43), (72, 114), (88, 114), (53, 134), (107, 134), (80, 129), (80, 145),
], float)  # fmt: skip


class Points18(NamedTuple):
    """F1 to F18 in the order of `landmark_features.POINTS`."""

    points: np.ndarray  # float32 [18, 2], x and y in pixels of the picture; all finite
    found: np.ndarray  # bool [18]; where nothing was seen the point is that of an average face


EYE = around((48, 64), 26, 13, 13, (14, 7), 0.6), around((112, 64), 26, 13, 13, (14, 7), 0.6)
BROW = around((43, 43), 32, 16, 13, (18, 9), 0.35), around((117, 43), 32, 16, 13, (18, 9), 0.35)
NOSE = around((80, 113), 34, 20, 22, (16, 9))
MOUTH = {nose: around((80, nose + 22), 48, 19, 40, (30, 20), 0.7) for nose in range(100, 135)}  # by its height


@register("face_landmarks")
def face_landmarks(picture: np.ndarray, box: tuple[int, int, int, int]) -> Points18:
    """The 18 points of a face.

    Args:
        picture: uint8 [H, W] grey or [H, W, 3] RGB.
        box: x, y, width and height of the face in pixels, from mid-forehead to chin as detectors give it; it may reach
            over the edge, where the picture's last pixels are repeated.

    Raises:
        ValueError: no picture of bytes, or a box without area or altogether beside the picture.
    """
    face, back = upright(picture, box)
    points, found = _points(face)
    return Points18(moved(points, back).astype(np.float32), found)


def _points(face: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """F1 to F18 [18, 2] of the upright face, and which of them were found."""
    points, found = DEFAULTS.copy(), np.zeros(18, bool)
    slope = sobel_edges(face)

    def put(first: int, seen: np.ndarray | None, outer_is_right: bool = False) -> None:
        if seen is not None:
            points[first : first + 2], found[first : first + 2] = seen[::-1] if outer_is_right else seen, True

    def put_across(first: int, heights: tuple[float, float] | None) -> None:
        if heights is not None:
            put(first, np.array([(points[first - 2 : first, 0].mean(), height) for height in heights]))

    for first, region in ((0, EYE[0]), (4, EYE[1])):
        group = edge_group(_within(slope, region), region.prior, region.low)
        if group is not None:
            put(first, _corners(face, group, region), outer_is_right=first == 4)
            rows = region.rows.start + np.flatnonzero(group.any(axis=1))
            put_across(first + 2, lids(_profile(slope, points[first : first + 2]), rows[0] - 1, rows[-1] + 2))
    for first, region in ((8, BROW[0]), (10, BROW[1])):
        put(first, _brow(face, slope, region), outer_is_right=first == 10)
    small = cv2.morphologyEx(face, cv2.MORPH_BLACKHAT, np.ones((11, 11), np.uint8))
    put(12, _placed(dark_pair(_within(small, NOSE) * NOSE.prior), NOSE))
    nose = int(np.clip(points[12:14, 1].mean(), min(MOUTH), max(MOUTH)))
    group = edge_group(_within(slope, MOUTH[nose]), MOUTH[nose].prior, MOUTH[nose].low)
    if group is not None:
        put(14, _corners(face, group, MOUTH[nose]))
        put_across(16, lips(_profile(slope, points[14:16]), nose, points[14:16, 1].mean()))
    return points, found


def _within(picture: np.ndarray, region: Region) -> np.ndarray:
    return picture[region.rows, region.columns]


def _placed(points: np.ndarray | None, region: Region) -> np.ndarray | None:
    return None if points is None else points + np.array([region.columns.start, region.rows.start])


def _profile(slope: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """The mean of nine columns of `slope` [H] in the middle between two ends."""
    x = round(ends[:, 0].mean())
    return slope[:, max(x - 4, 0) : x + 5].mean(axis=1)


def _corners(face: np.ndarray, group: np.ndarray, region: Region) -> np.ndarray | None:
    """The leftmost and the rightmost corner on a part [2, 2]."""
    near = cv2.dilate(group, np.ones((3, 3), np.uint8))
    corners = shi_tomasi_corners(_within(face, region), quality=0.02, mask=near)
    ends = corners[[corners[:, 0].argmin(), corners[:, 0].argmax()]] if len(corners) > 1 else None
    return _placed(ends, region)


def _brow(face: np.ndarray, slope: np.ndarray, region: Region) -> np.ndarray | None:
    """The ends of a brow [2, 2]: corners where there are some near the ends of the dark band, otherwise those."""
    group = edge_group(dark_band(_within(slope, region), 10) ** 0.7, region.prior, region.low)
    if group is None:
        return None
    corners = shi_tomasi_corners(_within(face, region), quality=0.02, mask=cv2.dilate(group, np.ones((3, 3), np.uint8)))
    columns = np.flatnonzero(group.any(axis=0))
    tips = []
    for x, inwards in ((columns[0] + 1, 1), (columns[-1] - 1, -1)):
        rows = np.flatnonzero(group[:, np.clip([x - inwards, x, x + inwards], 0, group.shape[1] - 1)].any(axis=1))
        tip = np.array([x, rows.mean()])
        away = np.linalg.norm(corners - tip, axis=1)
        tips.append(corners[away.argmin()] if len(away) and away.min() < 5 else tip)
    return _placed(np.array(tips), region)


def contract_example(make: Callable[..., Points18]) -> None:
    """Dark bars for brows, eyes and mouth are found between their ends; on blank paper nothing is."""
    picture = np.full((200, 200), 190, np.uint8)
    for x, y, width in ((64, 50, 50), (136, 50, 50), (64, 76, 32), (136, 76, 32), (100, 155, 64)):
        cv2.ellipse(picture, (x, y), (width // 2, 4), 0, 0, 360, 60, -1, cv2.LINE_AA)
    seen = make(cv2.GaussianBlur(picture, (5, 5), 0), (0, 0, 200, 200))
    assert seen.found[[0, 1, 4, 5, 8, 9, 10, 11, 14, 15]].all()
    np.testing.assert_allclose(seen.points[[0, 5]], [(48, 76), (120, 76)], atol=4)
    assert not make(np.full((50, 60), 190, np.uint8), (5, 5, 40, 40)).found.any()

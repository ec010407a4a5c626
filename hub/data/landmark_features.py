"""Khan's feature vector: how the parts of a face lie to each other, 25 numbers without place and size.

Paper: Khan, "Facial Expression Recognition using Facial Landmark Detection and Feature Extraction via Neural Networks",
  2018, arXiv:1812.04510
Slug: fer_landmarks
Idea: an expression moves brows, lids and lips; Euclidean distances between 18 points of the face say how, and divided
  by the distance of the eyes they no longer say where the face is and how large.
Differs: a reconstruction, as which distances the paper takes could not be read: 22 that FACS's action units move, and
  three signed offsets, as a distance cannot tell a smile from a sulk. All are over the distance between the middles of
  the eyes; the offsets are taken at right angles to the line through both, so that a tilted head changes nothing.
Checked: plain loops, a face drawn by hand with known answers, shift, scale and rotation, mirrored faces
  (tests/test_face_landmarks.py).
"""

from collections.abc import Callable

import numpy as np

from hub.registry import register

POINTS = (  # F1 to F18, left and right as seen in the picture; the points of the 68 of which each is the mean
    ("left_eye_outer", (36,)),
    ("left_eye_inner", (39,)),
    ("left_eye_upper", (37, 38)),
    ("left_eye_lower", (40, 41)),
    ("right_eye_outer", (45,)),
    ("right_eye_inner", (42,)),
    ("right_eye_upper", (43, 44)),
    ("right_eye_lower", (46, 47)),
    ("left_brow_outer", (17,)),
    ("left_brow_inner", (21,)),
    ("right_brow_outer", (26,)),
    ("right_brow_inner", (22,)),
    ("left_nostril", (32,)),
    ("right_nostril", (34,)),
    ("mouth_left", (48,)),
    ("mouth_right", (54,)),
    ("mouth_top", (51,)),
    ("mouth_bottom", (57,)),
)
DISTANCES = (  # name, from the mean of these points, to the mean of those: F1 is 1
    ("left_eye_opening", (3,), (4,)),
    ("right_eye_opening", (7,), (8,)),
    ("left_eye_width", (1,), (2,)),
    ("right_eye_width", (5,), (6,)),
    ("left_brow_eye_outer", (9,), (1,)),
    ("left_brow_eye_inner", (10,), (2,)),
    ("right_brow_eye_outer", (11,), (5,)),
    ("right_brow_eye_inner", (12,), (6,)),
    ("between_brows", (10,), (12,)),
    ("left_brow_length", (9,), (10,)),
    ("right_brow_length", (11,), (12,)),
    ("mouth_width", (15,), (16,)),
    ("mouth_height", (17,), (18,)),
    ("nose_mouth_left", (13,), (15,)),
    ("nose_mouth_right", (14,), (16,)),
    ("nose_mouth_top", (13, 14), (17,)),
    ("eye_mouth_left", (1,), (15,)),
    ("eye_mouth_right", (5,), (16,)),
    ("lip_left_top", (15,), (17,)),
    ("lip_right_top", (16,), (17,)),
    ("lip_left_bottom", (15,), (18,)),
    ("lip_right_bottom", (16,), (18,)),
)
OFFSETS = (  # likewise, how far the second lies below the first
    ("lip_curvature", (15, 16), (17, 18)),  # positive where the corners are up
    ("left_brow_slope", (9,), (10,)),  # positive where the inner end is down
    ("right_brow_slope", (11,), (12,)),
)
FEATURES = tuple(name for name, _, _ in DISTANCES + OFFSETS)
_EYES = ((1, 2), (5, 6))


def _means(groups: list[tuple[int, ...]], count: int, first: int = 0) -> np.ndarray:
    """The matrix [len(groups), count] that takes the mean of each group of points, which are counted from `first`."""
    matrix = np.zeros((len(groups), count))
    for row, group in zip(matrix, groups, strict=True):
        row[np.subtract(group, first)] = 1 / len(group)
    return matrix


EIGHTEEN = _means([rows for _, rows in POINTS], 68)  # [18, 68], from iBUG's points
SPANS = np.subtract(*(_means([row[at] for row in DISTANCES + OFFSETS], 18, first=1) for at in (2, 1)))  # [25, 18]
BETWEEN_EYES = np.subtract(*_means(_EYES[::-1], 18, first=1))  # [18]


def eighteen(landmarks: np.ndarray) -> np.ndarray:
    """F1 to F18 float32 [..., 18, 2] of landmarks [..., 68, 2] in iBUG's order, x and y in any unit.

    Raises:
        ValueError: other shapes.
    """
    landmarks = np.asarray(landmarks)
    if landmarks.shape[-2:] != (68, 2):
        raise ValueError(f"Landmarks are [..., 68, 2]. Received: shape {landmarks.shape}.")
    return (EIGHTEEN @ landmarks).astype(np.float32)


@register("landmark_distances")
def landmark_distances(points: np.ndarray) -> np.ndarray:
    """The features float32 [N, 25] of `points` [N, 18, 2], x to the right and y down in any unit; see `FEATURES`.

    Raises:
        ValueError: other shapes, a point that is not finite, or a face whose eyes lie on each other.
    """
    points = np.asarray(points, np.float64)
    if points.ndim != 3 or points.shape[1:] != (18, 2):
        raise ValueError(f"Points are [N, 18, 2]. Received: shape {points.shape}.")
    if not (finite := np.isfinite(points).all((1, 2))).all():
        raise ValueError(
            f"Points must be finite. Received: NaN or infinity in {(~finite).sum()} of {len(points)} faces."
        )
    axis = BETWEEN_EYES @ points  # [N, 2]
    apart = np.hypot(*axis.T)[:, None]
    size = np.ptp(points, axis=1).max(axis=1)
    if (together := apart[:, 0] <= 1e-6 * size).any():
        raise ValueError(
            "Distances are measured against that of the eyes, which must lie apart. Received: eyes on each other in "
            f"{together.sum()} of {len(points)} faces."
        )
    spans = SPANS @ points / apart[..., None]  # [N, 25, 2]
    lengths = np.hypot(*np.moveaxis(spans[:, : len(DISTANCES)], -1, 0))
    down = np.stack([-axis[:, 1], axis[:, 0]], 1) / apart
    offsets = np.einsum("nkc,nc->nk", spans[:, len(DISTANCES) :], down)
    return np.concatenate([lengths, offsets], 1).astype(np.float32)


def contract_example(make: Callable[..., np.ndarray]) -> None:
    """A smile below two eyes; larger and elsewhere it has the same features."""
    points = np.zeros((1, 18, 2))
    points[0, [0, 1, 4, 5], 0] = -12, -8, 12, 8
    points[0, 14:] = (-10, 20), (10, 20), (0, 22), (0, 30)
    found = dict(zip(FEATURES, make(points)[0], strict=True))
    assert np.isclose(found["mouth_width"], 1) and np.isclose(found["lip_curvature"], 0.3)
    np.testing.assert_allclose(make(points * 3 + (50, -7)), make(points), atol=1e-6)

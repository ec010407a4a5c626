"""Landmark error: how far the points of a face are from where they should be, over the size of the face.

Paper: Sagonas et al., "300 Faces In-The-Wild Challenge: Database and Results", Image and Vision Computing 47, 2016
Slug: landmark_error
Idea: the mean distance of a face's points from the true ones over the distance of its eyes (NME); the share of faces
  below each error is the cumulative curve (CED), of which the area up to a limit and the share beyond it are reported.
Differs: exact: the curve steps at the faces' own errors, and the area is that below the steps. Intervals redraw whole
  subjects. The normaliser can be another: papers differ in it, and figures with different ones do not compare.
Checked: plain loops, areas by fine sums, perfect and hopeless faces, one face, by subject
  (tests/test_landmark_error.py).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from hub.evaluation.bootstrap import Interval, bootstrap_interval
from hub.registry import register

REGIONS = {  # number of points -> region -> its points
    68: {
        "jaw": range(17),
        "brows": range(17, 27),
        "nose": range(27, 36),
        "eyes": range(36, 48),
        "mouth": range(48, 68),
    },
    18: {"eyes": range(8), "brows": range(8, 12), "nose": range(12, 14), "mouth": range(14, 18)},
}
ENDS = {  # normaliser -> number of points -> the two groups of points between whose means it is
    "inter_ocular": {68: ((36,), (45,)), 18: ((0,), (4,))},
    "inter_pupil": {68: (range(36, 42), range(42, 48)), 18: (range(4), range(4, 8))},
}
NORMALISERS = (*ENDS, "box_diagonal")


@dataclass(frozen=True, eq=False)
class LandmarkError:
    """Errors of N faces with K points, all over the normaliser of their face: 0.05 is 5 % of it."""

    points: np.ndarray  # float64 [N, K]
    regions: dict[str, float]  # mean error of the points of each part of the face; none unless K is 68 or 18
    limit: float
    mean: Interval  # of the faces' errors
    auc: Interval  # area under the cumulative curve up to the limit, in 0 (all beyond) ... 1 (all exact)
    failures: Interval  # share of faces with an error beyond the limit

    @property
    def faces(self) -> np.ndarray:
        """The error of each face, the mean of its points', float64 [N]."""
        return self.points.mean(axis=1)

    def ced(self, errors: Any) -> np.ndarray:
        """The cumulative curve: the share of faces with at most each of `errors`, float64 as `errors` is shaped."""
        return np.searchsorted(np.sort(self.faces), np.asarray(errors), side="right") / len(self.points)


@register("landmark_error")
def landmark_error(
    predicted: Any,
    truth: Any,
    normaliser: Any = "inter_ocular",
    *,
    limit: float = 0.08,
    subjects: Any = None,
    level: float = 0.95,
    resamples: int = 2000,
) -> LandmarkError:
    """The errors of predicted points.

    Args:
        predicted: [N, K, 2], x and y in the unit of `truth`.
        truth: [N, K, 2].
        normaliser: "inter_ocular", between the outer corners of the eyes, or "inter_pupil", between the means of each
            eye's points, both for the 68 points of iBUG's order and the 18 of `hub.data.landmark_features`;
            "box_diagonal", of the smallest box around the true points; or [N] lengths, one for each face.
        limit: beyond which a face has failed; 0.08 and 0.10 are usual.
        subjects: [N] who is seen: the intervals redraw people and not pictures.
        level: of the intervals.
        resamples: redraws of the bootstrap.

    Raises:
        ValueError: shapes that do not fit, no face, NaN or infinity, a length or a limit that is not positive.
    """
    predicted, truth = (np.asarray(points, np.float64) for points in (predicted, truth))
    if predicted.shape != truth.shape or predicted.ndim != 3 or predicted.shape[2] != 2 or not predicted.size:
        raise ValueError(
            "Predicted and true points are both [N, K, 2] with a face and a point at least. "
            f"Received: shapes {predicted.shape} and {truth.shape}."
        )
    if not (np.isfinite(predicted).all() and np.isfinite(truth).all()):
        raise ValueError("Points must be finite; leave out faces without points. Received: NaN or infinity.")
    if not 0 < limit < np.inf:
        raise ValueError(f"The limit is a positive share of the normaliser. Received: limit={limit}.")
    points = np.linalg.norm(predicted - truth, axis=2) / lengths(truth, normaliser)[:, None]
    faces = points.mean(axis=1)

    def interval(values: np.ndarray) -> Interval:
        return bootstrap_interval(values, groups=subjects, level=level, resamples=resamples)

    return LandmarkError(
        points,
        {name: float(points[:, rows].mean()) for name, rows in REGIONS.get(points.shape[1], {}).items()},
        float(limit),
        interval(faces),
        interval(np.maximum(1 - faces / limit, 0)),
        interval((faces > limit).astype(np.float64)),
    )


def lengths(truth: np.ndarray, normaliser: Any) -> np.ndarray:
    """The normaliser of each face [N] of true points [N, K, 2]; see `landmark_error`.

    Raises:
        ValueError: an unknown name, one that K points do not have, another number of lengths, or one that is not
            positive.
    """
    if not isinstance(normaliser, str):
        found = np.asarray(normaliser, np.float64)
        if found.shape != truth.shape[:1]:
            raise ValueError(f"A length for each of {len(truth)} faces is needed. Received: shape {found.shape}.")
    elif normaliser == "box_diagonal":
        found = np.hypot(*np.ptp(truth, axis=1).T)
    elif ends := ENDS.get(normaliser, {}).get(truth.shape[1]):
        left, right = (truth[:, group].mean(axis=1) for group in ends)
        found = np.linalg.norm(right - left, axis=1)
    else:
        raise ValueError(
            f"A normaliser is one of {', '.join(NORMALISERS)}, the first two for 68 or 18 points, or [N] lengths. "
            f"Received: {normaliser!r} for {truth.shape[1]} points."
        )
    if not (np.isfinite(found) & (found > 0)).all():
        raise ValueError(f"A normaliser is a positive length. Received: {found.min()} as the least.")
    return found


def contract_example(make: Callable[..., LandmarkError]) -> None:
    """Eyes 100 apart, one face 4 and one 12 off: half the faces beyond 0.08, the others half below it."""
    truth = np.random.default_rng(0).normal(size=(2, 68, 2))
    truth[:, 36], truth[:, 45] = (0, 0), (100, 0)
    result = make(truth + np.array([[[0, 4]], [[12, 0]]]), truth)
    np.testing.assert_allclose(result.faces, [0.04, 0.12])
    assert np.isclose(result.auc.value, 0.25) and result.failures.value == 0.5
    assert np.isclose(result.regions["jaw"], 0.08) and result.ced([0.03, 0.05, 0.12]).tolist() == [0, 0.5, 1]

"""ROC and precision-recall curves, with intervals that know which films belong to one patient.

Areas and specificities come with percentile bootstrap intervals; `groups` redraws whole patients (Rutter, "Bootstrap
Estimation of Diagnostic Accuracy With Patient-clustered Data", Academic Radiology 7(6), 2000).
"""

from typing import Any

import numpy as np

from hub.evaluation._binary import both_classes, scores_and_labels
from hub.evaluation.bootstrap import Interval, bootstrap_interval


def roc_points(scores: Any, labels: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Thresholds [T], from strict (inf) to lax, with the sensitivity and the specificity of each.

    Args:
        scores: [N], of which more is more suspicious; what has at least the threshold is called positive.
        labels: [N], 1 (disease) or 0.

    Raises:
        ValueError: no examples, one class only, two lengths, a score that is not finite, labels other than 0 and 1.
    """
    from sklearn.metrics import roc_curve

    scores, labels = _checked(scores, labels)
    alarms, sensitivity, thresholds = roc_curve(labels, scores)
    return thresholds, sensitivity, 1 - alarms


def precision_recall_points(scores: Any, labels: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Thresholds [T], from strict to lax, with the precision and the recall of each. Arguments as in `roc_points`."""
    from sklearn.metrics import precision_recall_curve

    scores, labels = _checked(scores, labels)
    precision, recall, thresholds = precision_recall_curve(labels, scores)
    return thresholds[::-1], precision[-2::-1], recall[-2::-1]


def auc_interval(
    scores: Any, labels: Any, groups: Any = None, *, level: float = 0.95, resamples: int = 2000, seed: int = 0
) -> Interval:
    """The area under the ROC curve, in 0 ... 1, with its bootstrap interval.

    With perfect separation the interval has no width: it says nothing about the next patients there.

    Args:
        scores: [N], of which more is more suspicious.
        labels: [N], 1 (disease) or 0.
        groups: [N] patient of each example; patients are then redrawn whole.
        level: share of repeated experiments whose interval should hold the truth, in 0 ... 1.
        resamples: number of redraws.
        seed: same seed, same interval.

    Raises:
        ValueError: what `roc_points` or `bootstrap_interval` refuse.
    """
    scores, labels = _checked(scores, labels)
    return bootstrap_interval(
        (levels(scores), labels), areas, groups=groups, level=level, resamples=resamples, seed=seed
    )


def specificity_at_sensitivity(
    scores: Any,
    labels: Any,
    sensitivity: float = 0.9,
    groups: Any = None,
    *,
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> Interval:
    """The best specificity whose threshold has at least `sensitivity`; each redraw picks its own threshold.

    Arguments and errors as in `auc_interval`; `sensitivity` lies above 0 and is at most 1.
    """
    arrays = _checked(scores, labels)
    if not 0 < sensitivity <= 1:
        raise ValueError(f"A sensitivity is above 0 and at most 1. Received: {sensitivity}.")

    def specificities(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
        ill = labels.sum(1)
        caught = np.maximum(np.ceil(sensitivity * ill - 1e-9).astype(int), 1)
        falling = -np.sort(-np.where(labels, scores, -np.inf), axis=1)
        threshold = np.take_along_axis(falling, caught[:, None] - 1, axis=1)
        cleared = (~labels & (scores < threshold)).sum(1)
        return np.where(ill > 0, _share(cleared, (~labels).sum(1)), np.nan)

    return bootstrap_interval(arrays, specificities, groups=groups, level=level, resamples=resamples, seed=seed)


def levels(scores: np.ndarray) -> np.ndarray:
    """Each score's place 0 ... L - 1 among the distinct ones, [N]: all that the area under a ROC curve depends on."""
    return np.unique(scores, return_inverse=True)[1]


def areas(levels: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """AUC [R] of `levels` [R, N] with bool labels [R, N]; NaN where one class is missing.

    The Mann-Whitney statistic from counts per level, so that redraws need no sorting.
    """
    rows, width = len(levels), int(levels.max()) + 1
    cells = levels + width * np.arange(rows)[:, None]
    ill, well = (np.bincount(cells[y], minlength=rows * width).reshape(rows, width) for y in (labels, ~labels))
    below = np.cumsum(well, axis=1) - well
    return _share((ill * (below + well / 2)).sum(1), ill.sum(1) * well.sum(1))


def _checked(scores: Any, labels: Any) -> tuple[np.ndarray, np.ndarray]:
    scores, labels = scores_and_labels(scores, labels)
    both_classes(labels)
    return scores, labels


def _share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.divide(part, whole, out=np.full(part.shape, np.nan), where=whole > 0)

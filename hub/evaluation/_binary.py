"""Scores of yes/no questions: what every figure of a test set asks of them."""

from typing import Any

import numpy as np

from hub.evaluation.bootstrap import Interval, wilson_interval

UNKNOWN = Interval(float("nan"), 0.0, 1.0)  # of a share of nothing


def scores_and_labels(scores: Any, labels: Any) -> tuple[np.ndarray, np.ndarray]:
    """Scores [N] as float64 and labels [N] as bool, from vectors or single columns [N, 1].

    Raises:
        ValueError: no examples, two lengths, a score that is not finite, or a label other than 0 and 1.
    """
    scores, labels = (a[:, 0] if a.ndim == 2 and a.shape[1] == 1 else a for a in map(np.asarray, (scores, labels)))
    if scores.ndim != 1 or scores.shape != labels.shape or not scores.size:
        raise ValueError(
            f"Scores and labels are vectors of one length, at least 1. Received: {scores.shape} and {labels.shape}."
        )
    scores = scores.astype("float64")
    if bad := int((~np.isfinite(scores)).sum()):
        raise ValueError(f"Scores must be finite numbers. Received: {bad} of {scores.size} NaN or infinite.")
    if not np.isin(labels, (0, 1)).all():
        raise ValueError(f"Labels are 1 (disease) or 0 (none). Received: {np.unique(labels)[:5].tolist()}.")
    return scores, labels.astype(bool)


def both_classes(labels: np.ndarray) -> None:
    """Raises ValueError where bool labels [N] are all of one class."""
    if labels.all() or not labels.any():
        raise ValueError(f"Examples of both classes are needed. Received: {labels.sum()} of {labels.size} of label 1.")


def proportion(successes: int, n: int, level: float = 0.95) -> Interval:
    """The Wilson interval of a share; of nothing (n = 0) it is NaN between 0 and 1."""
    return wilson_interval(int(successes), int(n), level=level) if n else UNKNOWN

"""Figures of a confusion matrix weighted by class frequency, as the tables of medical papers often give them.

Every figure is computed with each class in turn as the positive one, then averaged with the classes' frequencies.
The weighted sensitivity is then the accuracy, whatever the model does: it is not the sensitivity for the disease.
`hub.evaluation.operating_point` has that one.
"""

from typing import Any, NamedTuple

import numpy as np


class WeightedFigures(NamedTuple):
    """Each in 0 ... 1."""

    accuracy: float
    precision: float
    sensitivity: float
    f1: float
    specificity: float


def weighted_figures(labels: Any, predictions: Any) -> WeightedFigures:
    """The five figures of predicted classes [N] against labels [N].

    A class that is never predicted has precision 0; where all labels are of one class, nothing is negative and the
    specificity is NaN.

    Raises:
        ValueError: no examples, two lengths, or a value that is not finite.
    """
    from sklearn.metrics import accuracy_score, multilabel_confusion_matrix, precision_recall_fscore_support

    labels, predictions = np.asarray(labels), np.asarray(predictions)
    if labels.ndim != 1 or labels.shape != predictions.shape or not labels.size:
        raise ValueError(
            "Labels and predictions are vectors of one length, at least 1. "
            f"Received: {labels.shape} and {predictions.shape}."
        )
    if any(a.dtype.kind == "f" and not np.isfinite(a).all() for a in (labels, predictions)):
        raise ValueError("Classes must not be NaN or infinite; some labels or predictions are.")
    precision, sensitivity, f1, _ = precision_recall_fscore_support(
        labels, predictions, average="weighted", zero_division=0
    )
    tables = multilabel_confusion_matrix(labels, predictions)  # [classes, 2, 2]
    here = (frequency := tables[:, 1].sum(1)) > 0
    negatives = tables[here, 0].sum(1)
    specificity = np.average(tables[here, 0, 0] / negatives, weights=frequency[here]) if negatives.all() else np.nan
    figures = (accuracy_score(labels, predictions), precision, sensitivity, f1, specificity)
    return WeightedFigures(*map(float, figures))

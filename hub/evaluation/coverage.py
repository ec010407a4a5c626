"""Coverage: how accurate a model is on the share of examples it is most confident of.

Paper: Goodfellow et al., "Multi-digit Number Recognition from Street View Imagery using Deep Convolutional Neural
    Networks", ICLR 2014, arXiv:1312.6082
Slug: multi_digit_recognition
Idea: sort by confidence; every threshold gives one coverage (share kept) and one accuracy (share right of the kept).
Differs: nothing; equal confidences are kept or left together, which is all that a threshold can do.
Checked: hand-made numbers and a search over all thresholds (tests/test_multi_digit.py).
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from hub.registry import register


@register("coverage_curve")
def coverage_curve(confidence: Any, correct: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Thresholds [T], from strict to lax, with the coverage and the accuracy of what each keeps.

    Args:
        confidence: [N], any numbers of which more is surer; what is kept has at least the threshold.
        correct: [N], true or 1 where the answer is right.

    Returns:
        thresholds: the distinct confidences, falling.
        coverage: share kept, in 0 ... 1, rising.
        accuracy: share of the kept that is right, in 0 ... 1.

    Raises:
        ValueError: the two are not vectors of one length, or a confidence is not a number.
    """
    confidence, correct = np.asarray(confidence, float), np.asarray(correct, bool)
    if confidence.ndim != 1 or confidence.shape != correct.shape:
        raise ValueError(
            f"Confidence and correctness are vectors of one length. Received: {confidence.shape} and {correct.shape}."
        )
    if np.isnan(confidence).any():
        raise ValueError(f"Confidences must be numbers. Received: {np.isnan(confidence).sum()} times NaN.")
    order = np.argsort(-confidence, kind="stable")
    confidence, right = confidence[order], np.cumsum(correct[order])
    last = np.flatnonzero(np.append(confidence[1:] != confidence[:-1], True)[: confidence.size])
    return confidence[last], (last + 1) / max(confidence.size, 1), right[last] / (last + 1)


def coverage_at(confidence: Any, correct: Any, accuracy: float) -> float:
    """The largest coverage, in 0 ... 1, whose accuracy is at least `accuracy`; 0 where none is."""
    _, coverage, reached = coverage_curve(confidence, correct)
    return float(coverage[reached >= accuracy].max(initial=0.0))


def threshold_at(confidence: Any, correct: Any, accuracy: float) -> float:
    """The lowest threshold whose accuracy is at least `accuracy`, that of `coverage_at`; inf where none is."""
    thresholds, _, reached = coverage_curve(confidence, correct)
    return float(thresholds[reached >= accuracy].min(initial=math.inf))


def contract_example(make: Callable) -> None:
    """Four answers, two of equal confidence."""
    thresholds, coverage, accuracy = make([0.8, 0.9, 0.6, 0.8], [1, 1, 1, 0])
    np.testing.assert_allclose(thresholds, [0.9, 0.8, 0.6])
    np.testing.assert_allclose(coverage, [1 / 4, 3 / 4, 1])
    np.testing.assert_allclose(accuracy, [1, 2 / 3, 3 / 4])

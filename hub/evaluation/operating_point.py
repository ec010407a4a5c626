"""Operating point: the threshold at which a score becomes a referral, and what it costs in a clinic.

An example is called positive where its score is at least the threshold. One score per patient: films of one patient
are not independent, and the Wilson intervals here count each as if it were.

The table follows what the WHO/TDR calibration toolkit for computer-aided detection of tuberculosis asks of a site:
counts, sensitivity, specificity, predictive values at the site's prevalence, and confirmatory tests spent per case.
"""

import math
from collections.abc import Iterable
from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np

from hub.evaluation._binary import both_classes, proportion, scores_and_labels
from hub.evaluation.bootstrap import Interval, wilson_interval


class OperatingPoint(NamedTuple):
    """A threshold and what it does to a test set; a share of nothing is NaN between 0 and 1."""

    threshold: float
    sensitivity: Interval
    specificity: Interval
    tp: int
    fp: int
    fn: int
    tn: int
    note: str = ""  # one sentence where the data could not support what was asked, else empty


class ThresholdRow(NamedTuple):
    """One threshold: counts of the test set, then what they mean at the prevalence of the table."""

    threshold: float
    tp: int
    fp: int
    fn: int
    tn: int
    sensitivity: float
    specificity: float
    ppv: float  # share of the referred who are ill; NaN where nobody is referred
    npv: float  # share of those sent home who are not ill; NaN where everybody is referred
    referred: float  # share of all who are sent to the confirmatory test
    tests_per_case: float  # confirmatory tests per case found, 1 / ppv; inf where none is found


def at_threshold(scores: Any, labels: Any, threshold: float, *, level: float = 0.95) -> OperatingPoint:
    """What `threshold` does to scores [N] with labels [N] of 0 and 1; intervals are Wilson's.

    Raises:
        ValueError: no examples, a score or threshold that is no number, a label not 0 or 1, a level out of range.
    """
    scores, labels = scores_and_labels(scores, labels)
    if math.isnan(threshold):
        raise ValueError("A threshold is a number. Received: NaN.")
    called = scores >= threshold
    tp, fp = int((called & labels).sum()), int((called & ~labels).sum())
    fn, tn = int(labels.sum()) - tp, int((~labels).sum()) - fp
    return OperatingPoint(
        float(threshold), proportion(tp, tp + fn, level), proportion(tn, tn + fp, level), tp, fp, fn, tn
    )


def choose_threshold(
    scores: Any, labels: Any, sensitivity: float = 0.9, *, level: float = 0.95, lower_bound: bool = True
) -> OperatingPoint:
    """The largest threshold that reaches `sensitivity`, a target in 0 ... 1, on scores [N] with labels [N] of 0 and 1.

    With `lower_bound` it is the lower end of the two-sided Wilson interval that must reach the target, so that the
    threshold holds up on the next patients: 96 of 100 positives caught for a target of 0.9. With too few positives
    even all of them caught would not show it; then the share itself must reach the target and `note` says so.

    The figures are those of the set the threshold was chosen on: `at_threshold` on another set is what to publish.

    Raises:
        ValueError: no positive example, a target not between 0 and 1, or what `at_threshold` refuses.
    """
    scores, labels = scores_and_labels(scores, labels)
    if not 0 < sensitivity < 1:
        raise ValueError(f"A target sensitivity lies between 0 and 1. Received: {sensitivity}.")
    positives = np.sort(scores[labels])[::-1]
    if not (n := positives.size):
        raise ValueError(f"A sensitivity needs positive examples. Received: {scores.size} examples, all of label 0.")
    caught, note = math.ceil(sensitivity * n - 1e-9), ""
    if lower_bound:
        enough = [k for k in range(caught, n + 1) if wilson_interval(k, n, level=level).low >= sensitivity]
        if enough:
            caught = enough[0]
        else:
            z = NormalDist().inv_cdf((1 + level) / 2)
            note = (
                f"{n} positives cannot show a sensitivity of {sensitivity:g} at the {level:.0%} level (at least "
                f"{math.ceil(z * z * sensitivity / (1 - sensitivity))} would): only the share caught here reaches it."
            )
    return at_threshold(scores, labels, positives[caught - 1], level=level)._replace(note=note)


def threshold_table(
    scores: Any, labels: Any, prevalence: float, thresholds: Iterable[float] | None = None
) -> list[ThresholdRow]:
    """One row per threshold, from strict to lax.

    Args:
        scores: [N], of which more is more suspicious.
        labels: [N], 1 (disease) or 0.
        prevalence: share of the people to be screened who are ill, in 0 ... 1; that of the test set does not matter.
        thresholds: [T]; default every distinct score.

    Raises:
        ValueError: one class only, a prevalence not between 0 and 1, a threshold that is no number, or what
            `at_threshold` refuses.
    """
    scores, labels = scores_and_labels(scores, labels)
    both_classes(labels)
    if not 0 < prevalence < 1:
        raise ValueError(f"A prevalence lies between 0 and 1. Received: {prevalence}.")
    at = np.unique(scores if thresholds is None else np.asarray(list(thresholds), "float64"))[::-1]
    if np.isnan(at).any():
        raise ValueError("A threshold is a number. Received: NaN.")
    ill, well = np.sort(scores[labels]), np.sort(scores[~labels])
    fn, tn = np.searchsorted(ill, at), np.searchsorted(well, at)
    tp, fp = ill.size - fn, well.size - tn
    sensitivity, specificity = tp / ill.size, tn / well.size
    found, alarmed = prevalence * sensitivity, (1 - prevalence) * (1 - specificity)
    missed, cleared = prevalence * (1 - sensitivity), (1 - prevalence) * specificity
    with np.errstate(divide="ignore", invalid="ignore"):
        ppv, npv = found / (found + alarmed), cleared / (cleared + missed)
        tests = (found + alarmed) / found
    columns = (at, tp, fp, fn, tn, sensitivity, specificity, ppv, npv, found + alarmed, tests)
    return [ThresholdRow(*row) for row in zip(*(c.tolist() for c in columns), strict=True)]

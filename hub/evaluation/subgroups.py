"""Subgroups: the figures of one threshold by sex, age, archive or whatever else the test set knows.

Pooled figures hide the group that a model fails on. Differences between small groups are mostly chance, and so are the
largest of many: read the intervals, and the flag.
"""

import itertools
import re
from typing import Any, NamedTuple

import numpy as np

from hub.evaluation._binary import UNKNOWN, scores_and_labels
from hub.evaluation.bootstrap import Interval, bootstrap_interval
from hub.evaluation.operating_point import at_threshold
from hub.evaluation.roc import auc_interval

UNSAID = "unknown"  # the value of examples that lack one


class SubgroupRow(NamedTuple):
    """One subgroup; a share of nothing, or an AUC of one class, is NaN between 0 and 1."""

    group: str  # what was split by: "sex"; "all" in the first row
    value: str  # "F"
    n: int
    positives: int
    auc: Interval
    sensitivity: Interval
    specificity: Interval
    small: bool  # fewer positives or fewer negatives than asked for


def by_group(
    scores: Any,
    labels: Any,
    threshold: float,
    groups: dict[str, Any],
    *,
    patients: Any = None,
    smallest: int = 30,
    level: float = 0.95,
    resamples: int = 1000,
) -> list[SubgroupRow]:
    """A row for all, then one per value of each of `groups`: numbers and bands by size, then names, "unknown" last.

    Args:
        scores: [N]; what has at least the threshold is called positive.
        labels: [N], 1 (disease) or 0.
        threshold: one for all groups.
        groups: name -> [N] values, compared as text; None, NaN and "" are the value "unknown".
        patients: [N] patient of each example. Given, intervals of shares are the wider of Wilson's and the bootstrap's
            over whole patients at either end, and areas are redrawn by patient.
        smallest: with fewer positives, or fewer negatives, a row is flagged as small.
        level: of all intervals.
        resamples: redraws of the bootstrap.

    Raises:
        ValueError: what `scores_and_labels` refuses, a threshold that is NaN, or values of another length.
    """
    scores, labels = scores_and_labels(scores, labels)
    columns = {"all": np.full(scores.size, "all")} | {name: _texts(values) for name, values in groups.items()}
    patients = None if patients is None else np.asarray(patients)
    for name, values in columns.items() if patients is None else [*columns.items(), ("patients", patients)]:
        if values.shape != scores.shape:
            raise ValueError(f"{name!r} needs a value for each of {scores.size} examples. Received: {values.shape}.")
    drawn = {"level": level, "resamples": resamples}

    def widened(wilson: Interval, right: np.ndarray, chosen: np.ndarray) -> Interval:
        if patients is None or not chosen.any():
            return wilson
        _, low, high = bootstrap_interval(right[chosen], groups=patients[chosen], **drawn)
        return Interval(wilson.value, min(wilson.low, low), max(wilson.high, high))

    def row(name: str, value: str) -> SubgroupRow:
        here = columns[name] == value
        ill, well, called = here & labels, here & ~labels, scores >= threshold
        point = at_threshold(scores[here], labels[here], threshold, level=level)
        rest = None if patients is None else patients[here]
        both = ill.any() and well.any()
        return SubgroupRow(
            name,
            value,
            int(here.sum()),
            int(ill.sum()),
            auc_interval(scores[here], labels[here], rest, **drawn) if both else UNKNOWN,
            widened(point.sensitivity, called, ill),
            widened(point.specificity, ~called, well),
            bool(min(ill.sum(), well.sum()) < smallest),
        )

    return [row(name, value) for name, values in columns.items() for value in sorted(set(values.tolist()), key=_order)]


def age_bands(ages: Any, edges: tuple[float, ...] = (0, 5, 15, 25, 35, 45, 55, 65)) -> np.ndarray:
    """Bands [N] ("15-24", the last "65+") of ages [N] in years, at the WHO's edges for tuberculosis; NaN is "unknown".

    Raises:
        ValueError: an age below the first edge.
    """
    ages = np.asarray(ages, "float64")
    if (ages < edges[0]).any():
        raise ValueError(f"Ages are years from {edges[0]}. Received: {np.nanmin(ages):g}.")
    names = [f"{a}-{b - 1}" for a, b in itertools.pairwise(edges)] + [f"{edges[-1]}+", UNSAID]
    place = np.where(np.isnan(ages), len(edges), np.searchsorted(edges, ages, side="right") - 1)
    return np.array(names)[place]


def _order(value: str) -> tuple[bool, float, str]:
    number = re.match(r"-?\d+(\.\d+)?", value)
    return value == UNSAID, float(number[0]) if number else np.inf, value


def _texts(values: Any) -> np.ndarray:
    values = np.asarray(values, dtype=object)
    texts = [UNSAID if v is None or v != v or v == "" else str(v) for v in values.ravel()]
    return np.array(texts, dtype=str).reshape(values.shape)

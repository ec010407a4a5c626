"""Weighted figures against a count of pairs of classes, against scikit-learn, and against the tuberculosis paper."""

import math

import numpy as np
import pytest
from sklearn.metrics import f1_score, precision_score, recall_score

from hub.evaluation.weighted_figures import weighted_figures


def slow(labels, predictions):
    total = np.zeros(5)
    for c in set(labels):
        tp = sum(y == c and p == c for y, p in zip(labels, predictions, strict=True))
        fp = sum(y != c and p == c for y, p in zip(labels, predictions, strict=True))
        fn = sum(y == c and p != c for y, p in zip(labels, predictions, strict=True))
        tn = len(labels) - tp - fp - fn
        precision, recall = tp / max(tp + fp, 1), tp / (tp + fn)
        f1 = 2 * precision * recall / max(precision + recall, 1e-9)
        total += (tp + fn) / len(labels) * np.array([recall, precision, recall, f1, tn / (tn + fp)])
    return total


@pytest.mark.parametrize("classes", [2, 3, 7])
def test_against_counting_and_sklearn(classes):
    rng = np.random.default_rng(classes)
    labels = rng.integers(classes, size=200) * rng.integers(2, size=200)
    predictions = np.where(rng.random(200) < 0.7, labels, rng.integers(classes, size=200))
    found = weighted_figures(labels, predictions)
    np.testing.assert_allclose(found, slow(labels.tolist(), predictions.tolist()))
    for value, score in zip(found[1:4], (precision_score, recall_score, f1_score), strict=True):
        assert value == pytest.approx(score(labels, predictions, average="weighted", zero_division=0))
    assert found.accuracy == pytest.approx(found.sensitivity)


@pytest.mark.parametrize(
    ("missed", "alarms", "published"),
    [(18, 105, (97.07, 97.34, 97.07, 97.14, 97.36)), (4, 0, (99.9, 99.91, 99.9, 99.9, 99.52))],
)
def test_figures_of_the_tuberculosis_paper(missed, alarms, published):
    """arXiv:2007.14895v1 gives five figures for 700 ill and 3,500 normal films, whole and segmented.

    One confusion matrix gives all five to a hundredth, which shows how they were weighted, and that the
    sensitivities for the disease behind them were 682 and 696 of 700.
    """
    labels = np.repeat([1, 0], [700, 3500])
    predictions = np.concatenate([np.arange(700) >= missed, np.arange(3500) < alarms])
    np.testing.assert_allclose(100 * np.array(weighted_figures(labels, predictions)), published, atol=0.0052)


def test_extremes():
    assert weighted_figures([0, 1], [0, 1]) == (1, 1, 1, 1, 1)
    assert weighted_figures([0, 1], [1, 0]) == (0, 0, 0, 0, 0)
    assert weighted_figures(["a", "b", "b"], ["b", "b", "b"])[:3] == pytest.approx((2 / 3, 4 / 9, 2 / 3))
    for figures in (weighted_figures([1], [1]), weighted_figures([1, 1, 1], [1, 1, 1])):
        assert figures[:4] == (1, 1, 1, 1) and math.isnan(figures.specificity)
    one_class, alarm = weighted_figures([1, 1], [1, 0]), weighted_figures([0, 0], [1, 0])
    assert one_class[:4] == alarm[:4] == pytest.approx((0.5, 1, 0.5, 2 / 3)) and math.isnan(alarm.specificity)


@pytest.mark.parametrize(
    ("labels", "predictions", "sentence"),
    [
        ([], [], r"Received: \(0,\) and \(0,\)"),
        ([1, 0], [1], r"Received: \(2,\) and \(1,\)"),
        ([1, 0], [1, np.nan], "must not be NaN"),
    ],
)
def test_wrong_calls_are_answered_in_one_sentence(labels, predictions, sentence):
    with pytest.raises(ValueError, match=sentence):
        weighted_figures(labels, predictions)

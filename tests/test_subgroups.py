"""Rows of subgroups against the same figures of a set cut by hand."""

import math

import numpy as np
import pytest

from hub.evaluation.bootstrap import wilson_interval
from hub.evaluation.roc import auc_interval
from hub.evaluation.subgroups import age_bands, by_group


def clinic(n=400, seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.random(n) < 0.4
    return rng.normal(size=n) + 1.5 * labels, labels.astype(int), rng.choice(["F", "M"], n), rng.uniform(15, 80, n)


def test_rows_are_those_of_a_set_cut_by_hand():
    scores, labels, sex, _ = clinic()
    rows = by_group(scores, labels, 0.7, {"sex": sex})
    assert [(r.group, r.value) for r in rows] == [("all", "all"), ("sex", "F"), ("sex", "M")]
    for row, here in zip(rows, (np.ones(400, bool), sex == "F", sex == "M"), strict=True):
        s, y = scores[here], labels[here]
        assert (row.n, row.positives) == (len(s), y.sum())
        assert row.sensitivity == wilson_interval(int(((s >= 0.7) & (y == 1)).sum()), int(y.sum()))
        assert row.specificity == wilson_interval(int(((s < 0.7) & (y == 0)).sum()), int((1 - y).sum()))
        assert row.auc == auc_interval(s, y, resamples=1000)
        assert not row.small


def test_patients_widen_the_intervals():
    """Every film three times over; the intervals by patient stay near those of one film each."""
    scores, labels, sex, _ = clinic()
    thrice = [np.tile(a, 3) for a in (scores, labels, sex)]
    once = by_group(scores, labels, 0.7, {"sex": sex})
    naive = by_group(thrice[0], thrice[1], 0.7, {"sex": thrice[2]})
    whole = by_group(thrice[0], thrice[1], 0.7, {"sex": thrice[2]}, patients=np.tile(np.arange(400), 3))
    for a, b, c in zip(once, naive, whole, strict=True):
        for name in ("auc", "sensitivity", "specificity"):
            one, few, all_ = (getattr(row, name).high - getattr(row, name).low for row in (a, b, c))
            assert few < 0.65 * one and all_ == pytest.approx(one, rel=0.1)


def test_nobody_caught_or_missed_keeps_a_width_with_patients():
    rows = by_group([1, 1, 1, 0], [1, 1, 1, 0], 0.5, {}, patients=["a", "a", "b", "c"])
    assert rows[0].sensitivity == wilson_interval(3, 3) and rows[0].sensitivity.low < 0.5
    rows = by_group([0, 0, 0, 0], [1, 1, 1, 0], 0.5, {}, patients=["a", "a", "b", "c"])
    assert rows[0].sensitivity == wilson_interval(0, 3) and rows[0].sensitivity.high > 0.5


def test_small_and_empty_classes_are_flagged_and_open():
    rows = by_group([0.9, 0.8, 0.1, 0.2], [1, 1, 0, 0], 0.5, {"site": ["x", "x", "y", "y"]}, smallest=2)
    total, x, y = rows
    assert not total.small and x.small and y.small
    assert x.sensitivity == wilson_interval(2, 2) and math.isnan(x.specificity.value) and x.specificity[1:] == (0, 1)
    assert math.isnan(y.sensitivity.value) and math.isnan(y.auc.value) and y.auc[1:] == (0, 1)
    assert by_group([0.9], [1], 0.5, {})[0].n == 1


def test_values_missing_and_order():
    values = [30, 4, None, "", float("nan"), 100, 4, 30]
    rows = by_group(np.arange(8), [0, 1] * 4, 3, {"age": values, "band": age_bands([1, 7, 20, 70, np.nan, 5, 30, 64])})
    assert [r.value for r in rows if r.group == "age"] == ["4", "30", "100", "unknown"]
    assert [r.n for r in rows if r.group == "age"] == [2, 2, 1, 3]
    bands = ["0-4", "5-14", "15-24", "25-34", "55-64", "65+", "unknown"]
    assert [r.value for r in rows if r.group == "band"] == bands


def test_age_bands_at_their_edges():
    ages = [0, 4.9, 5, 14, 15, 24.99, 64, 65, 110, np.nan]
    assert age_bands(ages).tolist() == [
        "0-4",
        "0-4",
        "5-14",
        "5-14",
        "15-24",
        "15-24",
        "55-64",
        "65+",
        "65+",
        "unknown",
    ]
    with pytest.raises(ValueError, match=r"years from 0\. Received: -1"):
        age_bands([30, -1])


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: by_group([], [], 0.5, {}), "at least 1"),
        (lambda: by_group([0.1, np.nan], [0, 1], 0.5, {}), "Received: 1 of 2 NaN"),
        (lambda: by_group([0.1, 0.2], [0, 1], np.nan, {}), "A threshold is a number"),
        (lambda: by_group([0.1, 0.2], [0, 1], 0.5, {"sex": ["F"]}), r"'sex' needs .* 2 examples\. Received: \(1,\)"),
        (lambda: by_group([0.1, 0.2], [0, 1], 0.5, {}, patients=[1]), r"'patients' needs"),
    ],
)
def test_wrong_calls_are_answered_in_one_sentence(call, sentence):
    with pytest.raises(ValueError, match=sentence):
        call()

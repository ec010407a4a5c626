"""Thresholds against a search over all of them, counts by hand, Bayes by counting people."""

import math

import numpy as np
import pytest

from hub.evaluation.bootstrap import wilson_interval
from hub.evaluation.operating_point import at_threshold, choose_threshold, threshold_table


def films(seed, ill=60, well=90, ties=None):
    rng = np.random.default_rng(seed)
    scores = np.append(rng.normal(1.5, 1, ill), rng.normal(0, 1, well))
    labels = np.append(np.ones(ill, int), np.zeros(well, int))
    mixed = rng.permutation(ill + well)
    return (scores if ties is None else np.round(scores * ties) / ties)[mixed], labels[mixed]


def slow_threshold(scores, labels, target, lower_bound):
    """The largest score that, as a threshold, reaches the target."""
    for threshold in sorted(set(scores.tolist()), reverse=True):
        caught = sum(1 for s, y in zip(scores, labels, strict=True) if y and s >= threshold)
        share = wilson_interval(caught, int(labels.sum()))
        if (share.low if lower_bound else share.value) >= target:
            return threshold
    return None


@pytest.mark.parametrize("ties", [None, 4, 1])
@pytest.mark.parametrize("target", [0.5, 0.8, 0.9])
@pytest.mark.parametrize("lower_bound", [True, False])
def test_chosen_threshold_is_the_largest_that_will_do(ties, target, lower_bound):
    for seed in range(5):
        scores, labels = films(seed, ties=ties)
        point = choose_threshold(scores, labels, target, lower_bound=lower_bound)
        assert point.threshold == slow_threshold(scores, labels, target, lower_bound)
        assert point.note == ""


@pytest.mark.parametrize(("needed", "positives"), [(35, 35), (50, 50), (96, 100), (189, 200), (281, 300)])
def test_positives_to_catch_for_ninety_per_cent(needed, positives):
    """The lower Wilson end reaches 0.9 with `needed` of `positives` caught and not with one fewer."""
    assert wilson_interval(needed, positives).low >= 0.9 > wilson_interval(needed - 1, positives).low
    scores, labels = np.arange(positives + 10.0), np.arange(positives + 10) >= 10
    point = choose_threshold(scores, labels, 0.9)
    assert (point.tp, point.fn, point.note) == (needed, positives - needed, "")
    assert point.sensitivity.low >= 0.9


@pytest.mark.parametrize("positives", [1, 9, 34])
def test_too_few_positives_are_said_in_one_sentence(positives):
    scores, labels = np.arange(positives + 10.0), np.arange(positives + 10) >= 10
    point = choose_threshold(scores, labels, 0.9)
    assert point.tp == math.ceil(0.9 * positives) and point.sensitivity.low < 0.9 <= point.sensitivity.value
    assert point.note.startswith(
        f"{positives} positives cannot show a sensitivity of 0.9 at the 95% level (at least 35"
    )
    assert point.note.count(".") == 2  # the one of 0.9, the one at the end
    asked = choose_threshold(scores, labels, 0.9, lower_bound=False)
    assert asked == point._replace(note="")


def test_the_number_in_the_sentence_is_enough():
    for target, level in ((0.9, 0.95), (0.8, 0.9), (0.95, 0.99)):
        note = choose_threshold([1, 2, 3], [0, 1, 1], target, level=level).note
        enough = int(note.partition("(at least ")[2].split()[0])
        assert wilson_interval(enough, enough, level=level).low >= target
        assert wilson_interval(enough - 1, enough - 1, level=level).low < target


def test_a_target_share_is_not_lost_to_rounding():
    """0.55 * 100 is 55.00000000000001 in binary; 55 of 100 are enough."""
    scores, labels = np.arange(110.0), np.arange(110) >= 10
    for hundredths in range(1, 100):
        assert choose_threshold(scores, labels, hundredths / 100, lower_bound=False).tp == hundredths


def test_validation_threshold_holds_on_fresh_patients():
    """With the lower bound, fresh sensitivity falls short of 0.9 in few experiments; with the share in about half."""
    short = {True: 0, False: 0}
    for seed in range(300):
        scores, labels = films(seed, 100, 100)
        for lower_bound in short:
            threshold = choose_threshold(scores, labels, 0.9, lower_bound=lower_bound).threshold
            truth = 0.5 * math.erfc((threshold - 1.5) / math.sqrt(2))
            short[lower_bound] += truth < 0.9
    assert short[True] / 300 < 0.05 and 0.35 < short[False] / 300 < 0.65


def test_counts_by_hand():
    point = at_threshold([0.9, 0.5, 0.5, 0.4, 0.1], [1, 1, 0, 1, 0], 0.5)
    assert point[3:] == (2, 1, 1, 1, "")
    assert point.sensitivity == wilson_interval(2, 3) and point.specificity == wilson_interval(1, 2)
    assert all(type(v) is int for v in point[3:7]) and type(point.threshold) is float


def test_float32_scores_at_their_own_threshold():
    scores = np.array([0.1, 0.3, 0.7], "float32")
    point = choose_threshold(scores, [0, 1, 1], 0.9)
    assert ((scores >= np.float32(point.threshold)) == [False, True, True]).all() and point.tp == 2


def test_one_class_leaves_the_other_share_open():
    ill = at_threshold([0.2, 0.8], [1, 1], 0.5)
    assert math.isnan(ill.specificity.value) and ill.specificity[1:] == (0, 1) and ill.sensitivity.value == 0.5
    well = at_threshold([[0.2]], [[0]], 0.5)
    assert math.isnan(well.sensitivity.value) and well.specificity.value == 1 and well.tn == 1
    assert choose_threshold([0.2, 0.8], [1, 1]).tp == 2
    assert choose_threshold([0.7], [True]).threshold == 0.7


def test_perfect_separation():
    scores, labels = np.append(np.zeros(40), np.ones(40)), np.repeat([0, 1], 40)
    point = choose_threshold(scores, labels)
    assert point[3:] == (40, 0, 0, 40, "") and point.threshold == 1


def test_table_counts_people():
    """A town of a million at the table's prevalence, sorted by the test set's shares, person by person."""
    scores, labels = films(3, ties=2)
    rows = threshold_table(scores, labels, 0.02)
    assert [r.threshold for r in rows] == sorted(set(scores.tolist()), reverse=True)
    for row in rows:
        point = at_threshold(scores, labels, row.threshold)
        assert (row.tp, row.fp, row.fn, row.tn) == point[3:7]
        assert (row.sensitivity, row.specificity) == pytest.approx((point.sensitivity[0], point.specificity[0]))
        ill, well = 20_000, 980_000
        found, alarms = ill * row.tp / 60, well * row.fp / 90
        assert row.referred == pytest.approx((found + alarms) / 1e6)
        assert row.ppv == pytest.approx(found / (found + alarms))
        assert (
            row.tests_per_case == pytest.approx((found + alarms) / found) if found else math.isinf(row.tests_per_case)
        )
        home = 1e6 - found - alarms
        assert row.npv == pytest.approx((well - alarms) / home) if home > 1e-6 else math.isnan(row.npv)


def test_table_at_the_set_s_own_prevalence_is_plain_counting():
    scores, labels = films(4)
    for row in threshold_table(scores, labels, labels.mean())[:-1]:
        assert row.ppv == pytest.approx(row.tp / (row.tp + row.fp))
        assert row.npv == pytest.approx(row.tn / (row.tn + row.fn))
        assert row.referred == pytest.approx((row.tp + row.fp) / labels.size)


def test_table_at_given_thresholds_and_beyond_all_scores():
    strict, middle, lax = threshold_table([1, 2, 3, 4], [0, 1, 0, 1], 0.1, thresholds=[0, 2.5, 9])
    assert (strict.threshold, middle.threshold, lax.threshold) == (9, 2.5, 0)
    assert strict.referred == 0 and math.isnan(strict.ppv) and math.isnan(strict.tests_per_case) and strict.npv == 0.9
    assert (middle.tp, middle.fp, middle.fn, middle.tn) == (1, 1, 1, 1) and middle.tests_per_case == pytest.approx(10)
    assert lax.referred == 1 and math.isnan(lax.npv) and lax.ppv == pytest.approx(0.1)
    barren = threshold_table([3, 1], [0, 1], 0.1)[0]
    assert barren.ppv == 0 and math.isinf(barren.tests_per_case)


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: at_threshold([], [], 0.5), r"at least 1. Received: \(0,\) and \(0,\)"),
        (lambda: at_threshold([1.0], [1, 0], 0.5), r"Received: \(1,\) and \(2,\)"),
        (lambda: at_threshold([1.0, np.nan], [1, 0], 0.5), "finite numbers. Received: 1 of 2"),
        (lambda: at_threshold([1.0, 0.0], [1, 2], 0.5), r"Received: \[1, 2\]"),
        (lambda: at_threshold([1.0, 0.0], [1, np.nan], 0.5), "Labels are 1"),
        (lambda: at_threshold([1.0, 0.0], [1, 0], math.nan), "A threshold is a number"),
        (lambda: at_threshold([1.0, 0.0], [1, 0], 0, level=95), "Received: 95"),
        (lambda: choose_threshold([1.0, 0.0], [0, 0]), "2 examples, all of label 0"),
        (lambda: choose_threshold([1.0, 0.0], [0, 1], 90), "between 0 and 1. Received: 90"),
        (lambda: threshold_table([1.0, 0.0], [1, 1], 0.1), "both classes are needed. Received: 2 of 2"),
        (lambda: threshold_table([1.0, 0.0], [1, 0], 2), "prevalence lies between 0 and 1. Received: 2"),
        (lambda: threshold_table([1.0, 0.0], [1, 0], 0.1, [math.nan]), "A threshold is a number"),
    ],
)
def test_wrong_calls_are_answered_in_one_sentence(call, sentence):
    with pytest.raises(ValueError, match=sentence):
        call()

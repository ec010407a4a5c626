"""Areas against counting pairs, intervals against DeLong and against simulated truth, points against a loop."""

import math
import statistics

import numpy as np
import pytest

from hub.evaluation.roc import (
    areas,
    auc_interval,
    levels,
    precision_recall_points,
    roc_points,
    specificity_at_sensitivity,
)


def films(seed, ill=60, well=90, ties=None, gap=1.2):
    rng = np.random.default_rng(seed)
    scores = np.append(rng.normal(gap, 1, ill), rng.normal(0, 1, well))
    labels = np.append(np.ones(ill, int), np.zeros(well, int))
    mixed = rng.permutation(ill + well)
    return (scores if ties is None else np.round(scores * ties) / ties)[mixed], labels[mixed]


def pairs(scores, labels):
    """1 where the ill scores higher, a half on a tie: [ill, well]."""
    ill, well = scores[labels == 1], scores[labels == 0]
    return np.array([[1.0 if a > b else 0.5 if a == b else 0.0 for b in well] for a in ill])


def delong_interval(scores, labels):
    """DeLong et al., Biometrics 44, 1988: the variance of the area from the means over either kind of film."""
    won = pairs(scores, labels)
    spread = math.sqrt(won.mean(1).var(ddof=1) / len(won) + won.mean(0).var(ddof=1) / len(won.T))
    return won.mean(), won.mean() - 1.959964 * spread, won.mean() + 1.959964 * spread


@pytest.mark.parametrize("ties", [None, 2, 0.5])
def test_area_is_the_share_of_pairs_in_order(ties):
    for seed in range(4):
        scores, labels = films(seed, 20, 30, ties)
        assert areas(levels(scores)[None], labels[None] == 1)[0] == pytest.approx(pairs(scores, labels).mean())
        assert auc_interval(scores, labels, resamples=2).value == pytest.approx(pairs(scores, labels).mean())


def test_areas_of_redraws_row_by_row():
    rng = np.random.default_rng(0)
    scores, labels = np.round(rng.normal(size=(50, 12)), 1), rng.random((50, 12)) < 0.2
    for area, s, y in zip(areas(levels(scores.ravel()).reshape(50, 12), labels), scores, labels, strict=True):
        assert area == pytest.approx(pairs(s, y).mean()) if y.any() else math.isnan(area)


@pytest.mark.parametrize("ties", [None, 2])
def test_interval_is_delong_s(ties):
    scores, labels = films(5, 200, 300, ties)
    slow = delong_interval(scores, labels)
    np.testing.assert_allclose(auc_interval(scores, labels), slow, atol=0.12 * (slow[2] - slow[1]))


def test_intervals_cover_the_true_area():
    """Two normals of one width, 1.2 apart: the area is Phi(1.2 / sqrt 2)."""
    truth = statistics.NormalDist().cdf(1.2 / math.sqrt(2))
    covered = 0
    for seed in range(300):
        _, low, high = auc_interval(*films(seed, 100, 100), resamples=300, seed=seed)
        covered += low <= truth <= high
    assert 0.91 <= covered / 300 <= 0.98


def test_patients_of_several_films_are_redrawn_whole():
    """Each film four times over is no more evidence than once."""
    scores, labels = films(6)
    four = np.tile(np.arange(150), 4)
    once, whole = auc_interval(scores, labels), auc_interval(np.tile(scores, 4), np.tile(labels, 4), four)
    np.testing.assert_allclose(whole, once, atol=1e-12)  # the same redraws, each of four times the films
    naive = auc_interval(np.tile(scores, 4), np.tile(labels, 4))
    assert naive.high - naive.low < 0.6 * (whole.high - whole.low)


def slow_specificity(scores, labels, target):
    best = 0.0
    for threshold in set(scores.tolist()):
        caught = np.mean([s >= threshold for s, y in zip(scores, labels, strict=True) if y])
        if caught >= target - 1e-9:
            best = max(best, np.mean([s < threshold for s, y in zip(scores, labels, strict=True) if not y]))
    return best


@pytest.mark.parametrize("ties", [None, 2, 1])
@pytest.mark.parametrize("target", [0.3, 0.7, 0.9, 1])
def test_specificity_at_sensitivity_is_the_best_of_all_thresholds(ties, target):
    for seed in range(3):
        scores, labels = films(seed, 20, 30, ties)
        found = specificity_at_sensitivity(scores, labels, target, resamples=50)
        assert found.value == pytest.approx(slow_specificity(scores, labels, target))
        assert found.low <= found.value <= found.high


def test_specificity_intervals_by_redraws_in_a_loop():
    scores, labels = films(7)
    rng = np.random.default_rng(0)
    drawn = []
    for _ in range(500):
        rows = rng.integers(150, size=150)
        drawn.append(slow_specificity(scores[rows], labels[rows], 0.9))
    low, high = np.quantile(drawn, (0.025, 0.975))
    np.testing.assert_allclose(specificity_at_sensitivity(scores, labels)[1:], (low, high), atol=0.15 * (high - low))


@pytest.mark.parametrize("ties", [None, 2])
def test_points_by_counting(ties):
    scores, labels = films(8, 15, 20, ties)
    thresholds, sensitivity, specificity = roc_points(scores, labels)
    assert np.isinf(thresholds[0]) and (np.diff(thresholds) < 0).all() and (np.diff(sensitivity) >= 0).all()
    assert (sensitivity[0], specificity[0]) == (0, 1) and (sensitivity[-1], specificity[-1]) == (1, 0)
    for t, a, b in zip(thresholds, sensitivity, specificity, strict=True):
        assert a == pytest.approx((scores[labels == 1] >= t).mean())
        assert b == pytest.approx((scores[labels == 0] < t).mean())
    area = np.trapezoid(sensitivity, 1 - specificity)
    assert area == pytest.approx(pairs(scores, labels).mean())


def test_precision_recall_points_by_counting():
    scores, labels = films(9, 15, 20, ties=2)
    thresholds, precision, recall = precision_recall_points(scores, labels)
    assert sorted(set(scores.tolist()), reverse=True) == thresholds.tolist()
    for t, p, r in zip(thresholds, precision, recall, strict=True):
        called = scores >= t
        assert p == pytest.approx(labels[called].mean()) and r == pytest.approx(labels[called].sum() / 15)


def test_a_target_share_is_not_lost_to_rounding():
    """0.55 * 100 is 55.00000000000001 in binary; 55 of 100 are enough, and one well film lies just below the 55th."""
    scores, labels = np.append(np.arange(100.0), 44.5), np.append(np.ones(100, int), 0)
    assert specificity_at_sensitivity(scores, labels, 0.55, resamples=50).value == 1
    assert specificity_at_sensitivity(scores, labels, 0.56, resamples=50).value == 0


def test_extremes():
    assert auc_interval([0, 1], [0, 1]) == (1, 1, 1)
    assert auc_interval([1, 0], [0, 1]) == (0, 0, 0)
    assert auc_interval([3.0] * 6, [0, 1] * 3) == (0.5, 0.5, 0.5)
    assert specificity_at_sensitivity([3.0] * 6, [0, 1] * 3).value == 0
    assert specificity_at_sensitivity([0, 0, 1, 1], [0, 0, 1, 1]) == (1, 1, 1)


@pytest.mark.parametrize("call", [auc_interval, roc_points, precision_recall_points, specificity_at_sensitivity])
@pytest.mark.parametrize(
    ("scores", "labels", "sentence"),
    [
        ([], [], "at least 1"),
        ([0.5], [1], r"both classes are needed\. Received: 1 of 1"),
        ([0.5, 0.6], [0, 0], r"Received: 0 of 2"),
        ([0.5, np.nan], [0, 1], r"Received: 1 of 2 NaN"),
        ([0.5, 0.6], [0, 1, 1], r"Received: \(2,\) and \(3,\)"),
    ],
)
def test_wrong_calls_are_answered_in_one_sentence(call, scores, labels, sentence):
    with pytest.raises(ValueError, match=sentence):
        call(scores, labels)


def test_wrong_targets_and_groups():
    with pytest.raises(ValueError, match=r"at most 1\. Received: 90"):
        specificity_at_sensitivity([0.1, 0.2], [0, 1], 90)
    with pytest.raises(ValueError, match="group of each of the 2 examples"):
        auc_interval([0.1, 0.2], [0, 1], ["a"])

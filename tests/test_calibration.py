"""Temperatures against closed forms and a grid, bins against a loop over examples."""

import numpy as np
import pytest
from scipy.special import expit, log_softmax, softmax

from hub.evaluation.bootstrap import wilson_interval
from hub.evaluation.calibration import (
    brier,
    expected_calibration_error,
    fit_platt,
    fit_temperature,
    reliability,
    shift_prevalence,
)


def overconfident(n=4000, temperature=2.5, bias=0.0, seed=0):
    """Logits whose true probability is sigmoid((logit - bias) / temperature)."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 4, n)
    return logits, (rng.random(n) < expit((logits - bias) / temperature)).astype(int)


def loss(logits, labels, temperature):
    p = expit(logits / temperature)
    return -np.mean([np.log(q if y else 1 - q) for q, y in zip(p, labels, strict=True)])


def test_temperature_against_a_grid_search():
    logits, labels = overconfident(400)
    grid = np.exp(np.linspace(np.log(1), np.log(5), 400))
    slow = grid[np.argmin([loss(logits, labels, t) for t in grid])]
    assert fit_temperature(logits, labels) == pytest.approx(slow, rel=5e-3)


@pytest.mark.parametrize("truth", [0.3, 1.0, 2.5, 8.0])
def test_temperature_recovers_the_truth(truth):
    assert fit_temperature(*overconfident(20_000, truth)) == pytest.approx(truth, rel=0.08)


def test_temperature_of_many_classes_against_a_grid_search():
    rng = np.random.default_rng(1)
    logits = rng.normal(0, 6, (3000, 5))
    labels = np.array([rng.choice(5, p=p) for p in softmax(logits / 3, axis=1)])
    found = fit_temperature(logits, labels)
    grid = np.linspace(2, 4, 401)
    slow = grid[np.argmin([-log_softmax(logits / t, axis=1)[np.arange(3000), labels].mean() for t in grid])]
    assert found == pytest.approx(slow, abs=6e-3) and found == pytest.approx(3, rel=0.08)
    p = softmax(logits, axis=1), softmax(logits / found, axis=1)
    assert expected_calibration_error(p[1], labels) < 0.03 < 0.1 < expected_calibration_error(p[0], labels)


def test_two_logits_are_one_logit():
    logits, labels = overconfident(300)
    pair = np.stack([-logits / 2, logits / 2], axis=1)
    assert fit_temperature(pair, labels) == pytest.approx(fit_temperature(logits[:, None], labels[:, None]), rel=1e-4)


def test_temperature_stays_in_bounds():
    """Without errors colder is always better, with errors only hotter; one example is enough to ask."""
    logits = np.array([-3.0, -1.0, 2.0, 5.0])
    assert fit_temperature(logits, [0, 0, 1, 1]) == pytest.approx(0.05)
    assert fit_temperature(logits, [1, 1, 0, 0]) == pytest.approx(20)
    assert fit_temperature([2.0], [1]) == pytest.approx(0.05)
    assert fit_temperature(np.eye(3) * 1e4, [0, 1, 2]) == 1  # the loss is 0 already
    assert fit_temperature([0.0, 0.0], [0, 1]) == 1  # any will do
    assert np.isfinite(fit_temperature([1e30, -1e30], [0, 1]))


def test_platt_recovers_the_shift_that_a_class_weight_brings():
    """A positive weight of 9 adds log 9 to the logit; a temperature cannot take it away."""
    rng = np.random.default_rng(2)
    honest = rng.normal(-1.5, 2, 20_000)
    labels = rng.random(20_000) < expit(honest)
    weighted = 2 * (honest + np.log(9))
    scale, bias = fit_platt(weighted, labels)
    assert scale == pytest.approx(0.5, rel=0.05) and bias == pytest.approx(-np.log(9), rel=0.05)
    cooled = expit(weighted / fit_temperature(weighted, labels))
    assert expected_calibration_error(expit(scale * weighted + bias), labels) < 0.015
    assert expected_calibration_error(cooled, labels) > 0.1


def test_platt_of_calibrated_logits_changes_nothing():
    np.testing.assert_allclose(fit_platt(*overconfident(40_000, 1.0)), (1, 0), atol=0.05)


def test_platt_reaches_its_smoothed_targets():
    """Two distinct logits: the fit passes through the targets (P + 1) / (P + 2) and 1 / (N + 2) exactly."""
    logits, labels = np.repeat([-2.0, 3.0], (6, 4)), np.repeat([0, 1], (6, 4))
    scale, bias = fit_platt(logits, labels)
    np.testing.assert_allclose(expit(scale * logits + bias), np.where(labels, 5 / 6, 1 / 8), atol=1e-4)


def test_platt_never_reorders():
    logits, labels = overconfident(500)
    scale, bias = fit_platt(-logits, labels)
    assert scale == 0 and expit(bias) == pytest.approx(labels.mean(), abs=0.01)
    scale, bias = fit_platt([7.0], [1])
    assert expit(7 * scale + bias) == pytest.approx(2 / 3, abs=1e-4)
    assert np.isfinite(fit_platt([1e6, 2e6, -3e6], [1, 1, 0])).all()


def slow_bins(p, labels, edges):
    """(mean, observed, count) of each bin that holds examples; a bin holds its upper edge, the first one 0 too."""
    rows = []
    for k in range(len(edges) - 1):
        low, high = edges[k], edges[k + 1]
        inside = [i for i, q in enumerate(p) if (low < q <= high) or (k == 0 and q == low)]
        if inside:
            rows.append((np.mean([p[i] for i in inside]), np.mean([labels[i] for i in inside]), len(inside)))
    return rows


@pytest.mark.parametrize("equal_mass", [False, True])
@pytest.mark.parametrize("bins", [1, 4, 15])
def test_reliability_against_a_loop(bins, equal_mass):
    rng = np.random.default_rng(3)
    p = np.round(np.append(rng.beta(0.5, 2, 300), [0, 1, 0.25, 0.5, 0.5]), 2)  # ties, ends and edges
    labels = (rng.random(305) < p**1.5).astype(int)
    edges = np.unique(np.quantile(p, np.linspace(0, 1, bins + 1))) if equal_mass else np.linspace(0, 1, bins + 1)
    slow = slow_bins(p, labels, edges)
    rows = reliability(p, labels, bins, equal_mass=equal_mass)
    np.testing.assert_allclose([(r.predicted, r.observed, r.count) for r in rows], slow, rtol=1e-12)
    assert [(r.low, r.high) for r in rows] == [wilson_interval(round(r.observed * r.count), r.count)[1:] for r in rows]
    error = sum(n * abs(a - b) for a, b, n in slow) / 305
    assert expected_calibration_error(p, labels, bins, equal_mass=equal_mass) == pytest.approx(error)


def test_reliability_of_many_classes_is_of_the_likeliest():
    p = np.array([[0.7, 0.2, 0.1], [0.7, 0.1, 0.2], [0.1, 0.1, 0.8]])
    assert [(round(r.predicted, 6), r.observed, r.count) for r in reliability(p, [0, 1, 2], 4)] == [
        (0.7, 0.5, 2),
        (0.8, 1.0, 1),
    ]
    assert expected_calibration_error(p, [0, 1, 2], 4) == pytest.approx((2 * 0.2 + 0.2) / 3)


def test_equal_mass_of_one_value():
    (row,) = reliability([0.3] * 10, [1, 1, 1] + [0] * 7, equal_mass=True)
    assert row.count == 10 and row.predicted == pytest.approx(0.3) and row.observed == 0.3


def test_reliability_covers_calibrated_probabilities():
    """Of 95 % intervals around what was observed, about 95 % hold the mean probability."""
    rng = np.random.default_rng(4)
    held = []
    for _ in range(200):
        p = rng.random(600)
        held += [r.low <= r.predicted <= r.high for r in reliability(p, rng.random(600) < p, 10)]
    assert 0.93 < np.mean(held) < 0.98


def test_extremes():
    assert expected_calibration_error([1, 1, 0], [1, 1, 0]) == 0 == brier([1, 1, 0], [1, 1, 0])
    assert expected_calibration_error([1, 1, 0], [0, 0, 1]) == 1 == brier([1, 1, 0], [0, 0, 1])
    assert expected_calibration_error([0.4], [1]) == pytest.approx(0.6)
    assert brier([0.4], [1]) == pytest.approx(0.36)
    assert brier([[0.4, 0.6]], [0]) == pytest.approx(0.72) and brier([[0, 1.0]], [0]) == 2
    assert brier([0.5, 0.5], [1, 1]) == 0.25  # a single class is nothing special


def test_shifted_prevalence_by_counting_people():
    """Of archive films that read 0.8 (half of the archive ill), 4 in 5 are ill; a clinic has 1 ill in 21."""
    assert shift_prevalence([0.8], 0.5, 1 / 21)[0] == pytest.approx(4 / (4 + 20))
    p = np.linspace(0, 1, 11)
    np.testing.assert_allclose(shift_prevalence(p, 0.3, 0.3), p)
    np.testing.assert_allclose(shift_prevalence(shift_prevalence(p, 0.3, 0.01), 0.01, 0.3), p, atol=1e-12)


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: fit_temperature([], []), "at least 1. Received"),
        (lambda: fit_temperature([1.0, np.nan], [0, 1]), "Received: 1 of 2 NaN"),
        (lambda: fit_temperature([[1.0, np.inf]], [1]), "Received: NaN or infinity"),
        (lambda: fit_temperature(np.zeros((2, 3)), [0, 3]), r"classes 0 ... 2. Received: \[0, 3\]"),
        (lambda: fit_temperature(np.zeros((2, 3)), [0]), r"Received: \(2, 3\) and \(1,\)"),
        (lambda: fit_temperature([1.0, 2.0], [0, 5]), r"Received: \[0, 5\]"),
        (lambda: fit_platt([], []), "at least 1. Received"),
        (lambda: brier([1.2], [1]), r"logits do not\). Received: 1.2"),
        (lambda: brier([np.nan], [1]), "finite"),
        (lambda: expected_calibration_error([-0.1, 0.5], [1, 0]), "Received: -0.1 ... 0.5"),
        (lambda: reliability([0.5], [1], bins=0), "bins=0"),
        (lambda: reliability([], []), "at least 1"),
        (lambda: shift_prevalence([0.5], 0, 0.1), "before=0"),
        (lambda: shift_prevalence([5], 0.5, 0.1), "Received: 5"),
    ],
)
def test_wrong_calls_are_answered_in_one_sentence(call, sentence):
    with pytest.raises(ValueError, match=sentence):
        call()

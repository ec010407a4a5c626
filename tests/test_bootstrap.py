"""Bootstrap intervals against the truth of simulations and against slow redraws; Wilson against hand values."""

import numpy as np
import pytest

from hub import registry
from hub.evaluation.bootstrap import bootstrap_interval, wilson_interval


@pytest.mark.parametrize(("truth", "n"), [(0.8, 100), (0.95, 400)])
def test_intervals_of_an_accuracy_cover_the_truth(truth, n):
    rng = np.random.default_rng(0)
    covered = 0
    for trial in range(400):
        value, low, high = bootstrap_interval(rng.random(n) < truth, resamples=500, seed=trial)
        assert low <= value <= high
        covered += low <= truth <= high
    assert 0.90 <= covered / 400 <= 0.99


def test_intervals_of_a_ratio_cover_the_truth():
    rng = np.random.default_rng(1)
    covered = 0
    for trial in range(300):
        digits = rng.integers(1, 6, 150)
        right = rng.binomial(digits, 0.7)
        ratio = bootstrap_interval((right, digits), lambda r, d: r.sum(1) / d.sum(1), resamples=300, seed=trial)
        assert ratio.value == right.sum() / digits.sum()
        covered += ratio.low <= 0.7 <= ratio.high
    assert 0.90 <= covered / 300 <= 0.99


@pytest.mark.parametrize("values", [np.arange(40) % 4 == 0, np.random.default_rng(2).gamma(2.0, size=60)])
def test_mean_agrees_with_redraws_in_a_loop(values):
    rng = np.random.default_rng(3)
    means = [np.mean([values[i] for i in rng.integers(len(values), size=len(values))]) for _ in range(4000)]
    slow = np.quantile(means, (0.025, 0.975))
    width = slow[1] - slow[0]
    np.testing.assert_allclose(bootstrap_interval(values, resamples=8000)[1:], slow, atol=0.06 * width)
    np.testing.assert_allclose(
        bootstrap_interval(values, lambda v: v.mean(1), resamples=8000)[1:], slow, atol=0.06 * width
    )


def test_chunks_change_nothing_but_memory(monkeypatch):
    rng = np.random.default_rng(4)
    values, correct = rng.normal(size=200), rng.random(200) < 0.6
    whole = bootstrap_interval(values, lambda v: np.median(v, axis=1), resamples=101), bootstrap_interval(correct)
    monkeypatch.setattr("hub.evaluation.bootstrap._CELLS", 1400)  # seven redraws of 200 at a time
    assert whole == (
        bootstrap_interval(values, lambda v: np.median(v, axis=1), resamples=101),
        bootstrap_interval(correct),
    )


def test_intervals_cover_the_truth_of_patients_with_several_films():
    """1,000 test sets of about 200 films; a film is right with its patient's own chance, 0.8 in the mean."""
    rng = np.random.default_rng(6)
    covered, alone = 0, 0
    for trial in range(1000):
        films = rng.integers(1, 6, 67)
        patient = np.repeat(np.arange(67), films)
        right = rng.random(patient.size) < rng.beta(1.6, 0.4, 67)[patient]
        whole = bootstrap_interval(right, groups=patient, resamples=500, seed=trial)
        single = bootstrap_interval(right, resamples=500, seed=trial)
        covered += whole.low <= 0.8 <= whole.high
        alone += single.low <= 0.8 <= single.high
    assert 0.92 <= covered / 1000 <= 0.97
    assert alone / 1000 < 0.88


def test_groups_agree_with_redraws_in_a_loop():
    rng = np.random.default_rng(7)
    patient = np.array(["b", "a", "c", "a", "d", "b", "a", "e"] * 4) + np.repeat(list("wxyz"), 8)
    values, weights = rng.normal(size=32), rng.random(32)
    names = sorted(set(patient))
    means, ratios = [], []
    for _ in range(4000):
        rows = [i for k in rng.integers(len(names), size=len(names)) for i in np.flatnonzero(patient == names[k])]
        means.append(values[rows].mean())
        ratios.append((values[rows] * weights[rows]).sum() / weights[rows].sum())
    for slow, fast in (
        (means, bootstrap_interval(values, groups=patient, resamples=8000)),
        (means, bootstrap_interval(values, lambda v: v.mean(1), groups=patient, resamples=4000)),
        (ratios, bootstrap_interval((values * weights, weights), lambda a, b: a.sum(1) / b.sum(1), groups=patient)),
    ):
        low, high = np.quantile(slow, (0.025, 0.975))
        np.testing.assert_allclose(fast[1:], (low, high), atol=0.08 * (high - low))


def test_groups_of_one_are_no_groups():
    values = np.random.default_rng(8).normal(size=50)
    alone = bootstrap_interval(values, lambda v: np.median(v, axis=1), groups=np.arange(50) * 7)
    assert alone == bootstrap_interval(values, lambda v: np.median(v, axis=1))


def test_one_group_has_no_width():
    assert bootstrap_interval([0.0, 1.0, 1.0, 1.0], groups=["a"] * 4) == (0.75, 0.75, 0.75)


def test_undefined_redraws_are_left_out():
    """The share among the chosen, of which 1 redraw in 20 has none."""
    chosen, right = np.array([1, 1, 1] + [0] * 27), np.array([1, 1, 0] + [0] * 27)

    def share(chosen, right):
        with np.errstate(invalid="ignore"):
            return (chosen * right).sum(1) / chosen.sum(1)

    value, low, high = bootstrap_interval((chosen, right), share)
    assert (value, low, high) == (2 / 3, 0, 1)
    with pytest.raises(ValueError, match=r"defined for the examples as they are\. Received: NaN"):
        bootstrap_interval((chosen * 0, right), share)


def test_level_seed_and_order():
    values = np.random.default_rng(5).random(100)
    wide, narrow = bootstrap_interval(values, level=0.99), bootstrap_interval(values, level=0.8)
    assert wide.low < narrow.low < narrow.value < narrow.high < wide.high
    assert bootstrap_interval(values, seed=7) == bootstrap_interval(values, seed=7)
    assert bootstrap_interval(values, seed=7) != bootstrap_interval(values, seed=8)


def test_a_hundred_thousand_answers_take_no_hundred_thousand_columns():
    """Two counts stand for 100,000 answers; drawn one by one, 20,000 redraws would be two thousand million draws."""
    correct = np.arange(100_000) % 10 > 0
    value, low, high = bootstrap_interval(correct, resamples=20_000)
    spread = 1.96 * np.sqrt(0.9 * 0.1 / 100_000)
    np.testing.assert_allclose((value, low, high), (0.9, 0.9 - spread, 0.9 + spread), atol=1e-4)


def test_extremes():
    assert bootstrap_interval([1, 1, 1]) == (1, 1, 1)
    assert bootstrap_interval([0.25]) == (0.25, 0.25, 0.25)


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: bootstrap_interval([]), r"at least 1. Received: shapes \[\(0,\)\]"),
        (lambda: bootstrap_interval(()), r"Received: shapes \[\]"),
        (lambda: bootstrap_interval(3.0), r"Received: shapes \[\(\)\]"),
        (lambda: bootstrap_interval((np.ones(3), np.ones(4)), np.sum), r"shapes \[\(3,\), \(4,\)\]"),
        (lambda: bootstrap_interval((np.ones(3), np.ones(3))), "pass `statistic`"),
        (lambda: bootstrap_interval([1.0, np.nan]), "NaN or infinity"),
        (lambda: bootstrap_interval([1.0], level=95), "between 0 and 1. Received: 95"),
        (lambda: bootstrap_interval([1.0, 2.0], lambda v: v), "one figure per redraw"),
        (lambda: bootstrap_interval([1.0, 2.0], groups=[1]), r"each of the 2 examples. Received: shape \(1,\)"),
        (lambda: bootstrap_interval([1.0, 2.0, 3.0], groups=["a", None, None]), "Received: 2 without"),
        (lambda: bootstrap_interval([1.0, 2.0], groups=[1.0, np.nan]), "Received: 1 without"),
        (lambda: wilson_interval(3, 2), "Received: 3 of 2"),
        (lambda: wilson_interval(0, 0), "Received: 0 of 0"),
        (lambda: wilson_interval(1, 2, level=0), "Received: 0"),
    ],
)
def test_wrong_calls_are_answered_in_one_sentence(call, sentence):
    with pytest.raises(ValueError, match=sentence):
        call()


def test_wilson_by_hand():
    """0 of n ends at z^2 / (n + z^2); n / 2 of n lies around a half, z / (2 sqrt(n + z^2)) to either side."""
    z2 = 3.841458820694124
    np.testing.assert_allclose(wilson_interval(0, 10), (0, 0, z2 / (10 + z2)), atol=1e-12)
    np.testing.assert_allclose(wilson_interval(10, 10), (1, 10 / (10 + z2), 1), atol=1e-12)
    half = z2**0.5 / 2 / (10 + z2) ** 0.5
    np.testing.assert_allclose(wilson_interval(5, 10), (0.5, 0.5 - half, 0.5 + half), atol=1e-12)


@pytest.mark.parametrize(("successes", "n"), [(0, 7), (3, 11), (96, 100), (13, 13)])
def test_wilson_ends_solve_the_score_equation(successes, n):
    """At either end p the observed share is exactly z standard errors of p away, or the end is 0 or 1."""
    p, *ends = wilson_interval(successes, n)
    for end in ends:
        if 1e-9 < end < 1 - 1e-9:
            np.testing.assert_allclose(abs(p - end) / np.sqrt(end * (1 - end) / n), 1.959964, atol=1e-5)


def test_registered():
    assert registry.info("bootstrap_interval").room == "evaluation"
    assert registry.build("bootstrap_interval", values=[1, 0, 1, 1], seed=1).value == 0.75

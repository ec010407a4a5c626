"""Scaling laws: the line against other least squares, and how often the interval holds the truth."""

import math

import numpy as np
import pytest
from scipy.stats import linregress, t

from hub.evaluation.scaling_law import fit_scaling_law


def runs(rng, count=9, slope=-0.15, noise=0.05):
    compute = 10 ** rng.uniform(15, 19, count)
    return compute, 40 * compute**slope * np.exp(rng.normal(0, noise, count))


def test_scipy_and_slow_sums():
    compute, loss = runs(np.random.default_rng(0))
    law = fit_scaling_law(compute, loss, level=0.9)
    x, y = [math.log(c) for c in compute], [math.log(v) for v in loss]
    other = linregress(x, y)
    half = t.ppf(0.95, len(x) - 2) * other.stderr
    np.testing.assert_allclose(law.slope, (other.slope, other.slope - half, other.slope + half))
    np.testing.assert_allclose((law.intercept, law.r_squared), (other.intercept, other.rvalue**2))
    rest = sum((b - law.intercept - law.slope.value * a) ** 2 for a, b in zip(x, y, strict=True))
    total = sum((b - sum(y) / len(y)) ** 2 for b in y)
    assert math.isclose(law.r_squared, 1 - rest / total)
    np.testing.assert_allclose(law.loss_at([1e20]), [math.exp(other.intercept + other.slope * math.log(1e20))])
    assert law.points == 9


@pytest.mark.parametrize("count", [3, 6])
def test_the_interval_holds_the_truth(count):
    rng = np.random.default_rng(1)
    laws = [fit_scaling_law(*runs(rng, count)) for _ in range(1500)]
    share = np.mean([law.slope.low < -0.15 < law.slope.high for law in laws])
    assert 0.935 < share < 0.965


def test_the_unit_of_compute_does_not_matter():
    compute, loss = runs(np.random.default_rng(2))
    hours, seconds = fit_scaling_law(compute, loss), fit_scaling_law(3600 * compute, loss)
    np.testing.assert_allclose(hours.slope, seconds.slope)
    np.testing.assert_allclose(hours.loss_at(1e18), seconds.loss_at(3600e18))


def test_a_flat_line_explains_nothing():
    law = fit_scaling_law([1, 2, 4], [3, 3, 3])
    assert law.slope == (0, 0, 0) and math.isnan(law.r_squared) and math.isclose(law.loss_at(100), 3)


@pytest.mark.parametrize(
    ("compute", "loss", "options", "told"),
    [
        ([1, 2], [2, 1], {}, "at least 3 runs"),
        ([1, 2, 3], [2, 1], {}, "at least 3 runs"),
        ([1, 2, 0], [3, 2, 1], {}, "positive and finite"),
        ([1, 2, 3], [3, 2, math.nan], {}, "positive and finite"),
        ([5, 5, 5], [3, 2, 1], {}, "different compute"),
        ([1, 2, 3], [3, 2, 1], {"level": 95}, "level"),
    ],
)
def test_what_cannot_be_fitted(compute, loss, options, told):
    with pytest.raises(ValueError, match=told):
        fit_scaling_law(compute, loss, **options)

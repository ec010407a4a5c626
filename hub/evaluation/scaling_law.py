"""Scaling law: how loss falls with the compute that was spent.

Paper: Smith et al., "ConvNets Match Vision Transformers at Scale", 2023, arXiv:2310.16764
Slug: nfnet_scaling
Idea: over orders of magnitude the loss of the best network for a budget is a power of the compute, a straight line in
  both logarithms; its slope says what the next doubling buys.
Differs: the paper draws the line and gives no slope; least squares, R^2 and Student's interval are ours. Its budgets
  (400 to 110,000 TPU-v4 core hours) are not repeated.
Checked: line, R^2 and interval equal scipy's and slow sums; the interval holds the true slope in 95 % of simulated
  families; loss at another budget (tests/test_scaling_law.py).
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from hub.evaluation.bootstrap import Interval
from hub.registry import register


class ScalingLaw(NamedTuple):
    """log loss = intercept + slope.value * log compute, both logarithms natural."""

    intercept: float
    slope: Interval
    r_squared: float  # NaN where all losses are equal
    points: int

    def loss_at(self, compute: ArrayLike) -> np.ndarray:
        """The loss that the line has at `compute`, of any shape; far outside of what was measured it is a guess."""
        return np.exp(self.intercept + self.slope.value * np.log(compute))


@register("fit_scaling_law")
def fit_scaling_law(compute: ArrayLike, loss: ArrayLike, *, level: float = 0.95) -> ScalingLaw:
    """Fit a straight line to log loss over log compute, [K] points each, by least squares.

    Give the best run of each budget: runs that stopped short of what their budget allows lift the line. The interval
    assumes deviations that are independent, normal and equally large in the logarithm.

    Args:
        compute: what each run spent, in any unit (the slope does not depend on it).
        loss: what it reached, without an irreducible part if that is known.
        level: share of repeated experiments whose interval should hold the true slope, in 0..1.

    Raises:
        ValueError: fewer than 3 points, or not one loss per compute; values that are not positive and finite; only one
            budget; a level out of range.
    """
    from scipy.stats import t

    compute, loss = np.asarray(compute, "float64"), np.asarray(loss, "float64")
    if compute.shape != loss.shape or compute.ndim != 1 or compute.size < 3:
        raise ValueError(
            "A scaling law needs one loss for each of at least 3 runs. "
            f"Received: compute of shape {compute.shape}, loss of shape {loss.shape}."
        )
    if not all(np.isfinite(values).all() and (values > 0).all() for values in (compute, loss)):
        raise ValueError(f"Compute and loss must be positive and finite. Received: {compute}, {loss}.")
    if not 0 < level < 1:
        raise ValueError(f"A confidence level lies between 0 and 1. Received: {level}.")
    x, y = np.log(compute), np.log(loss)
    if np.ptp(x) == 0:
        raise ValueError(f"A slope needs runs of different compute. Received: {compute[0]} for all.")
    across, down = x - x.mean(), y - y.mean()
    slope = across @ down / (across @ across)
    rest, total = np.sum((down - slope * across) ** 2), down @ down
    half = t.ppf((1 + level) / 2, x.size - 2) * math.sqrt(rest / (x.size - 2) / (across @ across))
    interval = Interval(float(slope), float(slope - half), float(slope + half))
    r_squared = float(1 - rest / total) if total > 0 else math.nan
    return ScalingLaw(float(y.mean() - slope * x.mean()), interval, r_squared, x.size)


def contract_example(make):
    """Ten times the compute halves the loss, exactly."""
    law = make(compute=(1, 10, 100, 1000), loss=(8, 4, 2, 1))
    np.testing.assert_allclose(law.slope, [-math.log10(2)] * 3)
    np.testing.assert_allclose((law.r_squared, float(law.loss_at(1e4))), (1, 0.5))

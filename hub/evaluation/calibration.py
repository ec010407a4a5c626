"""Calibration: do scores mean what they say, and one or two numbers that make them do so.

Paper: Guo et al., "On Calibration of Modern Neural Networks", ICML 2017, arXiv:1706.04599
Slug: temperature_scaling
Idea: divide all logits by one temperature, the one of least negative log-likelihood on held-out examples.
Differs: the temperature stays within 0.05 ... 20, since examples without an error ask for 0; a lone logit can also get
  a bias (`fit_platt`), since a net trained with class weights or a rebalanced set is shifted, which no temperature
  mends; the error of a lone probability is that of the disease's probability, not that of the likelier class.
Checked: temperatures against closed forms and a grid search, bins against a loop over examples, the smoothed
  targets of separable data, recovery of a known scale and shift (tests/test_calibration.py).
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from hub.evaluation._binary import proportion, scores_and_labels
from hub.registry import register

COLDEST, HOTTEST = 0.05, 20.0


class Platt(NamedTuple):
    """The calibrated probability is sigmoid(scale * logit + bias)."""

    scale: float
    bias: float


class ReliabilityRow(NamedTuple):
    """One bin of a reliability diagram."""

    predicted: float  # mean probability
    observed: float  # share that came true, between the ends of its Wilson interval
    low: float
    high: float
    count: int


@register("temperature_scaling")
def fit_temperature(logits: Any, labels: Any) -> float:
    """The temperature T, in 0.05 ... 20, for which sigmoid or softmax of logits / T has the least log-loss.

    Args:
        logits: [N] or [N, 1] of the positive class, or [N, K]; of held-out examples.
        labels: [N], 0 or 1, or the class in 0 ... K - 1.

    Raises:
        ValueError: no examples, two lengths, a logit that is not finite, or a label that is no class.
    """
    from scipy.optimize import minimize_scalar
    from scipy.special import log_softmax

    logits, labels = _scores_and_classes(logits, labels)
    if logits.ndim == 1:
        wrong_way = np.where(labels, -logits, logits)

        def loss(log_t: float) -> float:
            return np.logaddexp(0, wrong_way * np.exp(-log_t)).mean()
    else:

        def loss(log_t: float) -> float:
            log_p = log_softmax(logits * np.exp(-log_t), axis=1)
            return -np.take_along_axis(log_p, labels[:, None], axis=1).mean()

    # convex in 1 / T, hence without a second valley in log T
    found = minimize_scalar(loss, bounds=np.log((COLDEST, HOTTEST)), method="bounded", options={"xatol": 1e-6})
    return float(np.exp(min((0.0, *np.log((COLDEST, HOTTEST)), found.x), key=loss)))


def fit_platt(logits: Any, labels: Any) -> Platt:
    """Scale and bias of a lone logit (Platt, "Probabilistic Outputs for Support Vector Machines", 1999).

    Targets are (P + 1) / (P + 2) and 1 / (N + 2), not 1 and 0, so that separable data keep a finite answer. The scale
    is never negative: calibration does not reorder, and logits that point the wrong way get the base rate.

    Args:
        logits: [N] or [N, 1], of held-out examples.
        labels: [N], 0 or 1.

    Raises:
        ValueError: as `fit_temperature`.
    """
    from scipy.optimize import minimize
    from scipy.special import expit

    logits, labels = scores_and_labels(logits, labels)
    ill, well = labels.sum(), (~labels).sum()
    target = np.where(labels, (ill + 1) / (ill + 2), 1 / (well + 2))
    centre, spread = logits.mean(), logits.std() or 1.0
    x = (logits - centre) / spread

    def loss(at: np.ndarray) -> tuple[float, np.ndarray]:
        z = at[0] * x + at[1]
        off = expit(z) - target
        return (np.logaddexp(0, z) - target * z).mean(), np.array([(off * x).mean(), off.mean()])

    options = {"ftol": 1e-15, "gtol": 1e-9}
    found = minimize(loss, (1.0, 0.0), jac=True, bounds=((0, None), (None, None)), method="L-BFGS-B", options=options).x
    return Platt(float(found[0] / spread), float(found[1] - found[0] * centre / spread))


def shift_prevalence(probabilities: Any, before: float, after: float) -> np.ndarray:
    """Probabilities [N] calibrated where `before` of the people are ill, as they read where `after` are (both 0 ... 1).

    Bayes: the odds are multiplied by the ratio of the two prior odds (Saerens et al., Neural Computation 14(1), 2002).

    Raises:
        ValueError: a prevalence not between 0 and 1, or a probability not in 0 ... 1.
    """
    if not (0 < before < 1 and 0 < after < 1):
        raise ValueError(f"A prevalence lies between 0 and 1. Received: before={before}, after={after}.")
    p = _probabilities(np.asarray(probabilities, "float64"))
    ill, well = p * after / before, (1 - p) * (1 - after) / (1 - before)
    return ill / (ill + well)


def reliability(
    probabilities: Any, labels: Any, bins: int = 15, *, equal_mass: bool = False, level: float = 0.95
) -> list[ReliabilityRow]:
    """The bins of a reliability diagram that hold examples, by rising probability.

    Args:
        probabilities: [N] or [N, 1] of the positive class, each compared with how often it came true; or [N, K], of
            which the largest is compared with how often it was right.
        labels: [N], 0 or 1, or the class in 0 ... K - 1.
        bins: how many; of equal width, or with `equal_mass` of about N / bins examples (ties stay together).
        equal_mass: see `bins`.
        level: of the Wilson interval around what was observed.

    Raises:
        ValueError: bins below 1, a probability not in 0 ... 1, or what `fit_temperature` refuses.
    """
    p, came_true = _predicted_and_true(probabilities, labels)
    if bins < 1:
        raise ValueError(f"A reliability diagram needs at least 1 bin. Received: bins={bins}.")
    edges = np.linspace(0, 1, bins + 1)
    if equal_mass:
        edges = np.unique(np.quantile(p, edges))
    place = np.searchsorted(edges[1:-1], p)  # a bin holds its upper edge, as in the paper
    counts = np.bincount(place)
    means = np.bincount(place, p) / np.maximum(counts, 1)
    hits = np.bincount(place, came_true)
    rows = (b for b in range(counts.size) if counts[b])
    return [ReliabilityRow(float(means[b]), *proportion(hits[b], counts[b], level), int(counts[b])) for b in rows]


def expected_calibration_error(probabilities: Any, labels: Any, bins: int = 15, *, equal_mass: bool = False) -> float:
    """Mean distance, in 0 ... 1, of probability and outcome over the bins of `reliability`, weighted by their counts.

    Above 0 by chance alone for calibrated scores, the more so the fewer examples a bin holds.
    """
    rows = reliability(probabilities, labels, bins, equal_mass=equal_mass)
    return sum(r.count * abs(r.predicted - r.observed) for r in rows) / sum(r.count for r in rows)


def brier(probabilities: Any, labels: Any) -> float:
    """Mean squared error of probabilities: [N] or [N, 1], in 0 ... 1; [N, K] summed over classes, in 0 ... 2."""
    p, labels = _scores_and_classes(probabilities, labels)
    _probabilities(p)
    return float(((p - labels) ** 2).mean() if p.ndim == 1 else ((p - np.eye(p.shape[1])[labels]) ** 2).sum(1).mean())


def _scores_and_classes(scores: Any, labels: Any) -> tuple[np.ndarray, np.ndarray]:
    """Scores [N] and bool labels [N], or scores [N, K] and integer labels [N]."""
    scores, labels = np.asarray(scores), np.asarray(labels)
    if scores.ndim != 2 or scores.shape[1] == 1:
        return scores_and_labels(scores, labels)
    if not scores.size or labels.shape != scores.shape[:1]:
        raise ValueError(f"[N, K] scores need labels [N], N at least 1. Received: {scores.shape} and {labels.shape}.")
    if not np.isfinite(scores).all():
        raise ValueError("Scores must be finite numbers. Received: NaN or infinity.")
    if not np.isin(labels, np.arange(scores.shape[1])).all():
        raise ValueError(f"Labels are classes 0 ... {scores.shape[1] - 1}. Received: {np.unique(labels)[:5].tolist()}.")
    return scores.astype("float64"), labels.astype(int)


def _predicted_and_true(probabilities: Any, labels: Any) -> tuple[np.ndarray, np.ndarray]:
    p, labels = _scores_and_classes(probabilities, labels)
    _probabilities(p)
    return (p, labels) if p.ndim == 1 else (p.max(1), p.argmax(1) == labels)


def _probabilities(p: np.ndarray) -> np.ndarray:
    if not ((p >= 0) & (p <= 1)).all():
        raise ValueError(f"Probabilities lie in 0 ... 1 (logits do not). Received: {p.min():g} ... {p.max():g}.")
    return p


def contract_example(make: Callable[..., float]) -> None:
    """Logits of 4 that are right 3 times of 4 should read log 3; of two classes or as a lone logit."""
    right = np.array([1, 1, 1, 0] * 5)
    np.testing.assert_allclose(make(np.full(20, 4.0), right), 4 / np.log(3), rtol=1e-4)
    np.testing.assert_allclose(make(np.tile([0.0, 4.0], (20, 1)), right), 4 / np.log(3), rtol=1e-4)

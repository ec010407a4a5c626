"""VAL at a FAR against thresholds tried one by one."""

import keras
import numpy as np
import pytest

from hub.metrics.validation_rate import BINS, ValidationRate


def exact(genuine, distance, far, lower=0.0):
    """The best VAL over all thresholds; with `lower`, thresholds stay that far below each distance."""
    best = 0.0
    for d in np.concatenate([[-1.0], distance]):
        accepted = distance <= d - lower
        if np.mean(accepted[genuine == 0]) <= far:
            best = max(best, np.mean(accepted[genuine == 1]))
    return best


def measured(metric, genuine, distance, **kwargs):
    metric.reset_state()
    metric.update_state(genuine, distance, **kwargs)
    return float(metric.result())


@pytest.mark.parametrize("far", [0.0, 0.01, 0.2, 1.0])
def test_equals_trying_every_threshold(far):
    random = np.random.default_rng(0)
    genuine = random.integers(2, size=400)
    distance = np.clip(random.normal(1.6 - 0.7 * genuine, 0.4), 0, 4)
    apart = (np.round(distance * BINS / 4) + 0.5) / BINS * 4  # the middles of bins: equal ones share a bin
    assert measured(ValidationRate(far), genuine, apart) == pytest.approx(exact(genuine, apart, far), abs=1e-6)
    rough = measured(ValidationRate(far), genuine, distance)
    assert rough <= exact(genuine, distance, far) + 1e-6
    assert rough >= exact(genuine, distance, far, lower=4 / BINS) - 1e-6


def test_ties_are_accepted_together():
    """One impostor at the distance of half the genuine pairs keeps them all out."""
    genuine, distance = np.array([1, 1, 1, 1, 0, 0]), np.array([0.2, 0.2, 0.9, 0.9, 0.9, 3.0])
    assert measured(ValidationRate(0.0), genuine, distance) == 0.5
    assert measured(ValidationRate(0.5), genuine, distance) == 1.0


def test_empty_sides_and_what_lies_beyond():
    metric = ValidationRate(0.0, max_distance=2.0)
    assert measured(metric, np.zeros(3), np.ones(3)) == 0.0
    assert measured(metric, np.ones(3), np.array([0.0, 2.0, 99.0])) == 1.0
    assert measured(metric, np.array([1, 1, 0]), np.array([0.0, 99.0, 50.0])) == 0.5


def test_weights_count_pairs():
    genuine, distance = np.array([[1], [1], [0]]), np.array([[0.5], [3.0], [1.0]])
    metric = ValidationRate(0.0)
    assert measured(metric, genuine, distance, sample_weight=np.array([3.0, 1.0, 1.0])) == 0.75
    assert measured(metric, genuine, distance, sample_weight=np.array([1.0, 1.0, 0.0])) == 1.0


def test_in_fit():
    inputs = keras.Input((1,))
    model = keras.Model(inputs, keras.layers.Identity()(inputs))
    model.compile(loss="mse", metrics=[ValidationRate(0.5)])
    found = model.evaluate(np.array([[0.1], [0.2], [0.3]]), np.array([1, 0, 1]), verbose=0, return_dict=True)
    assert found["validation_rate"] == 0.5


@pytest.mark.parametrize("options", [{"far": 1.5}, {"max_distance": 0.0}])
def test_bad_arguments(options):
    with pytest.raises(ValueError, match="Received: far="):
        ValidationRate(**options)

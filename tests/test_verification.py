"""Verification against scikit-learn's curves, plain loops and cases by hand."""

import itertools
import math

import numpy as np
import pytest
from scipy.interpolate import interp1d
from scipy.optimize import brentq
from sklearn.metrics import roc_curve

from hub.evaluation.verification import open_set, pair_distances, verification


def scores(seed, ties):
    rng = np.random.default_rng(seed)
    genuine = rng.random(500) < 0.3
    distances = rng.gamma(4.0, size=500) + 2.5 * ~genuine
    return (np.round(distances) if ties else distances), genuine


@pytest.mark.parametrize("ties", [False, True])
def test_curve_is_scikit_learns(ties):
    distances, genuine = scores(0, ties)
    result = verification(distances, genuine)
    far, tar, thresholds = roc_curve(genuine, -distances, drop_intermediate=False)
    np.testing.assert_allclose(result.far, far)
    np.testing.assert_allclose(result.tar, tar)
    np.testing.assert_allclose(result.thresholds, -thresholds)
    np.testing.assert_allclose(result.miss, 1 - tar)
    eer = brentq(lambda x: 1 - x - interp1d(far, tar)(x), 0.0, 1.0)
    assert result.eer == pytest.approx(eer, abs=1e-9)
    assert (result.genuine, result.impostors) == (genuine.sum(), (~genuine).sum())


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("far", [0.0, 0.003, 0.01, 0.1, 0.5, 1.0])
def test_rate_at_a_far_is_the_best_of_all_thresholds(ties, far):
    distances, genuine = scores(1, ties)
    found = verification(distances, genuine).at_far(far)
    best = 0.0
    for threshold in (-math.inf, *distances):
        accepted = distances <= threshold
        if accepted[~genuine].mean() <= far:
            best = max(best, accepted[genuine].mean())
    accepted = distances <= found.threshold
    assert found.tar == pytest.approx(best) and found.tar == pytest.approx(accepted[genuine].mean())
    assert found.far == pytest.approx(accepted[~genuine].mean()) and found.far <= far and not found.note


def test_a_far_that_is_a_share_of_the_impostors_is_reached():
    """1e-3 of 3,000 is 3; fewer impostors than 1,000 cannot show it."""
    result = verification(np.append(np.arange(3000.0), [-1.0, 2.5, 7.5]), np.arange(3003) >= 3000)
    assert result.at_far(1e-3)[:3] == (2.5, 2 / 3, 1e-3)
    few = verification([1.0, 2.0, 3.0], [1, 0, 0]).at_far(1e-3)
    assert few[:3] == (1.0, 1.0, 0.0) and "2 impostors cannot show a rate of 0.001" in few.note


@pytest.mark.parametrize(
    ("distances", "genuine", "eer", "tar"),
    [
        ([1, 2, 3, 4], [1, 1, 0, 0], 0.0, 1.0),  # perfect separation
        ([3, 3, 3, 3], [1, 1, 0, 0], 0.5, 0.0),  # all equal
        ([3, 4, 1, 2], [1, 1, 0, 0], 1.0, 0.0),  # the wrong way round
        ([1, 3, 2, 4], [1, 1, 0, 0], 0.5, 0.5),
        ([1, math.inf, 2, 4], [1, 1, 0, 0], 0.5, 0.5),  # one that is never accepted
        ([math.inf, 2], [1, 0], 1.0, 0.0),
    ],
)
def test_extremes(distances, genuine, eer, tar):
    result = verification(distances, genuine)
    assert result.eer == eer and result.at_far(0.0).tar == tar
    assert result.far[0] == result.tar[0] == 0 and result.far[-1] == 1 and result.thresholds[0] == -math.inf


@pytest.mark.parametrize(
    ("distances", "genuine", "why"),
    [
        ([1.0, 2.0], [1, 1], "2 genuine, 0 impostors"),
        ([1.0, 2.0], [0, 0], "0 genuine, 2 impostors"),
        ([], [], "0 genuine, 0 impostors"),
        ([1.0, 2.0], [1], r"\(2,\) and \(1,\)"),
        ([1.0, math.nan], [1, 0], "1 times NaN"),
        ([1.0, math.inf], [1, 0], "infinity"),
    ],
)
def test_refuses(distances, genuine, why):
    with pytest.raises(ValueError, match=why):
        verification(distances, genuine)
    with pytest.raises(ValueError, match=r"in 0 ... 1. Received: 2"):
        verification([1.0, 2.0], [1, 0]).at_far(2)


@pytest.mark.parametrize("with_views", [False, True])
def test_pairs_are_all_pairs(with_views, monkeypatch):
    monkeypatch.setattr("hub.evaluation._distances._CELLS", 100)
    rng = np.random.default_rng(2)
    embeddings, subjects, views = rng.normal(size=(23, 4, 3)), rng.integers(4, size=23), rng.integers(3, size=23)
    distances, genuine = pair_distances(embeddings, subjects, views if with_views else None)
    expected = [
        (np.linalg.norm(embeddings[i] - embeddings[j]), subjects[i] == subjects[j])
        for i, j in itertools.combinations(range(23), 2)
        if not with_views or views[i] != views[j]
    ]
    np.testing.assert_allclose(distances, [d for d, _ in expected])
    np.testing.assert_array_equal(genuine, [g for _, g in expected])
    with pytest.raises(ValueError, match="two clips or more"):
        pair_distances(embeddings[:1], subjects[:1])


@pytest.mark.parametrize("ties", [False, True])
def test_open_set_agrees_with_plain_loops(ties, monkeypatch):
    monkeypatch.setattr("hub.evaluation._distances._CELLS", 200)
    rng = np.random.default_rng(3)
    people = 2 * rng.normal(size=(12, 3))
    names, gallery_names = rng.integers(12, size=80), rng.integers(7, size=30)  # 7 to 11 are not enrolled
    probes, gallery = people[names] + rng.normal(size=(80, 3)), people[gallery_names] + rng.normal(size=(30, 3))
    if ties:
        probes, gallery = np.round(probes), np.round(gallery)
    result = open_set(probes, names, gallery, gallery_names)
    known = np.isin(names, gallery_names)
    assert (result.genuine, result.impostors) == (known.sum(), (~known).sum())
    for far in (0.0, 0.05, 0.2, 1.0):
        chosen = result.at_far(far)
        alarms, found = 0, 0
        for probe, name, enrolled in zip(probes, names, known, strict=True):
            away = np.linalg.norm(gallery - probe, axis=1)
            nearest = {n for d, n in zip(away, gallery_names, strict=True) if d <= away.min() + 1e-9}
            if away.min() <= chosen.threshold + 1e-9:
                alarms += not enrolled
                found += enrolled and nearest == {name}
        assert chosen.far == pytest.approx(alarms / (~known).sum()) and chosen.far <= far
        assert chosen.tar == pytest.approx(found / known.sum())
    assert 0 < result.tar[-1] < 1, "some are named wrong at any threshold"


def test_open_set_refuses():
    probes = np.zeros((2, 3))
    with pytest.raises(ValueError, match="no entries"):
        open_set(probes, [1, 2], np.zeros((0, 3)), [])
    with pytest.raises(ValueError, match="2 genuine, 0 impostors"):
        open_set(probes, [1, 2], probes, [1, 2])
    with pytest.raises(ValueError, match="0 genuine, 2 impostors"):
        open_set(probes, [1, 2], probes, [3, 4])

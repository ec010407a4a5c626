"""Distances against a loop with the inverse covariance; thresholds against fresh images."""

import numpy as np
import pytest
from sklearn.covariance import LedoitWolf

from hub.evaluation.mahalanobis import FeatureDistance


def slow_distances(train, labels, test):
    """Equations 1 and 2 of the paper, image by image and class by class, with scikit-learn's shrunk covariance."""
    means = {c: train[labels == c].mean(0) for c in set(labels.tolist())}
    rest = np.array([x - means[c] for x, c in zip(train, labels.tolist(), strict=True)])
    inverse = np.linalg.inv(LedoitWolf(assume_centered=True).fit(rest).covariance_)
    return [min(np.sqrt((x - m) @ inverse @ (x - m)) for m in means.values()) for x in test]


@pytest.mark.parametrize("classes", [1, 3])
def test_distances_against_a_loop(classes):
    rng = np.random.default_rng(classes)
    mixing, labels = rng.normal(size=(6, 6)), rng.integers(classes, size=80)
    train, test = rng.normal(size=(80, 6)) @ mixing + 5 * labels[:, None], rng.normal(size=(20, 6)) * 4
    fitted = FeatureDistance.fit(train, None if classes == 1 else labels)
    np.testing.assert_allclose(fitted.distance(test), slow_distances(train, labels, test), rtol=1e-8)


def test_one_axis_is_standard_deviations():
    rng = np.random.default_rng(0)
    fitted = FeatureDistance.fit(rng.normal(10, 3, (50_000, 1)))
    np.testing.assert_allclose(fitted.distance([[10.0], [16.0], [1.0]]), [0, 2, 3], atol=0.05)


@pytest.mark.parametrize(("n", "features"), [(2000, 8), (300, 64), (100, 256)])
def test_threshold_flags_its_share_of_fresh_images(n, features):
    """Also with fewer images than features, where the fit's own distances would be far too small."""
    rng = np.random.default_rng(1)
    mixing = rng.normal(size=(features, features)) / features**0.5
    flagged = []
    for _ in range(6):
        fitted = FeatureDistance.fit(rng.normal(size=(n, features)) @ mixing)
        flagged.append((fitted.distance(rng.normal(size=(500, features)) @ mixing) > fitted.threshold(0.9)).mean())
    assert 0.06 < np.mean(flagged) < 0.15


def test_patients_of_several_images_are_held_out_whole():
    """Four nearly equal images of each of 60 patients: split over folds, each would vouch for its siblings."""
    rng = np.random.default_rng(2)
    patient = np.repeat(np.arange(60), 4)
    train = rng.normal(size=(60, 100))[patient] + 0.05 * rng.normal(size=(240, 100))
    fresh = rng.normal(size=(500, 100)) + 0.05 * rng.normal(size=(500, 100))
    whole, single = FeatureDistance.fit(train, groups=patient), FeatureDistance.fit(train)
    assert (whole.distance(fresh) > whole.threshold(0.9)).mean() < 0.3
    assert (single.distance(fresh) > single.threshold(0.9)).mean() > 0.7


def test_strangers_are_far():
    rng = np.random.default_rng(3)
    fitted = FeatureDistance.fit(rng.normal(size=(400, 16)))
    along = np.zeros((1, 16))
    distances = [fitted.distance(along + step * np.eye(16)[:1])[0] for step in (0, 1, 3, 10, 100)]
    assert distances == sorted(distances) and distances[-2] > fitted.threshold(1.0)


def test_survives_a_file_without_pickle(tmp_path):
    import json

    rng = np.random.default_rng(4)
    fitted = FeatureDistance.fit(rng.normal(size=(30, 5)), rng.integers(2, size=30))
    np.savez(tmp_path / "d.npz", **fitted.to_arrays())
    with np.load(tmp_path / "d.npz", allow_pickle=False) as arrays:
        again = FeatureDistance(**arrays)
    lists = FeatureDistance(**json.loads(json.dumps({k: v.tolist() for k, v in fitted.to_arrays().items()})))
    test = rng.normal(size=(7, 5))
    for other in (again, lists):
        assert (other.distance(test) == fitted.distance(test)).all()
        assert other.threshold(0.9) == fitted.threshold(0.9)


def test_extremes():
    rng = np.random.default_rng(5)
    dead = np.concatenate([rng.normal(size=(60, 3)), np.zeros((60, 2))], axis=1)  # two channels that never fire
    fitted = FeatureDistance.fit(dead)
    assert np.isfinite(fitted.distance(dead)).all()
    assert fitted.distance([[0, 0, 0, 5.0, 0]])[0] > fitted.threshold(1.0)
    two = FeatureDistance.fit([[0.0, 1.0], [1.0, 0.0], [3.0, 3.0]], folds=9)
    assert two.held_out.shape == (3,) and np.isfinite(two.held_out).all()
    large = FeatureDistance.fit(1e4 + rng.normal(size=(50, 4)).astype("float32"))
    assert np.isfinite(large.distance(np.full((2, 4), 1e4, "float32"))).all()
    assert fitted.threshold(0) == fitted.held_out[0] and fitted.threshold(1) == fitted.held_out[-1]


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: FeatureDistance.fit(np.zeros((0, 3))), r"at least 1\. Received: shape \(0, 3\)"),
        (lambda: FeatureDistance.fit(np.zeros(3)), r"Received: shape \(3,\)"),
        (lambda: FeatureDistance.fit([[1.0, np.nan]] * 3), "NaN or infinity"),
        (lambda: FeatureDistance.fit([[1.0, 2.0]]), "Received: 1 groups"),
        (lambda: FeatureDistance.fit(np.eye(4), groups=[1, 1, 1, 1]), "Received: 1 groups"),
        (lambda: FeatureDistance.fit(np.eye(4), groups=[1, 2, 3, None]), "Received: 1 without"),
        (lambda: FeatureDistance.fit(np.eye(4), folds=1), "folds=1"),
        (lambda: FeatureDistance.fit(np.ones((9, 4))), "do not vary within a class"),
        (lambda: FeatureDistance.fit(np.eye(4), [0, 1]), r"as many labels\. Received: shape \(2,\)"),
        (lambda: FeatureDistance.fit(np.eye(4)).distance(np.eye(3)), r"to 4 features\. Received: 3"),
        (lambda: FeatureDistance.fit(np.eye(4)).distance([[np.inf] * 4]), "NaN or infinity"),
        (lambda: FeatureDistance.fit(np.eye(4)).threshold(99), "Received: 99"),
        (lambda: FeatureDistance([[0, 0]], np.eye(3), [1.0]), r"Received: \(1, 2\) and \(3, 3\)"),
        (lambda: FeatureDistance([[0, 0]], np.eye(2), []), r"`held_out` needs 1 axes"),
    ],
)
def test_wrong_calls_are_answered_in_one_sentence(call, sentence):
    with pytest.raises(ValueError, match=sentence):
        call()

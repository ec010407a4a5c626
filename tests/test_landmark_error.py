"""Landmark errors against plain loops, and at their extremes."""

import numpy as np
import pytest

from hub.evaluation.landmark_error import REGIONS, landmark_error


def faces(count=7, points=68, seed=0):
    rng = np.random.default_rng(seed)
    truth = rng.uniform(0, 100, (count, points, 2))
    return truth + rng.normal(0, 6, truth.shape), truth


def slowly(predicted, truth, normaliser):
    """The errors [N, K] by loops."""
    found = np.zeros(truth.shape[:2])
    for n, face in enumerate(truth):
        if normaliser == "inter_ocular":
            unit = np.sqrt(((face[36] - face[45]) ** 2).sum())
        elif normaliser == "inter_pupil":
            left, right = sum(face[36:42]) / 6, sum(face[42:48]) / 6
            unit = np.sqrt(((left - right) ** 2).sum())
        else:
            wide, high = (max(face[:, c]) - min(face[:, c]) for c in (0, 1))
            unit = np.sqrt(wide**2 + high**2)
        for k in range(len(face)):
            found[n, k] = np.sqrt(((predicted[n, k] - face[k]) ** 2).sum()) / unit
    return found


@pytest.mark.parametrize("normaliser", ["inter_ocular", "inter_pupil", "box_diagonal"])
def test_errors_equal_plain_loops(normaliser):
    predicted, truth = faces()
    result = landmark_error(predicted, truth, normaliser, limit=0.1)
    expected = slowly(predicted, truth, normaliser)
    np.testing.assert_allclose(result.points, expected)
    np.testing.assert_allclose(result.mean.value, expected.mean())
    assert result.failures.value == sum(face.mean() > 0.1 for face in expected) / 7
    for name, (first, last) in {"jaw": (0, 16), "brows": (17, 26), "nose": (27, 35), "eyes": (36, 47)}.items():
        np.testing.assert_allclose(result.regions[name], expected[:, first : last + 1].mean())
    np.testing.assert_allclose(sum(result.regions[n] * len(r) for n, r in REGIONS[68].items()) / 68, expected.mean())


def test_the_area_is_that_below_the_curve():
    predicted, truth = faces(40)
    result = landmark_error(predicted, truth, limit=0.5)
    grid = (np.arange(200_000) + 0.5) / 200_000 * 0.5
    np.testing.assert_allclose(result.auc.value, result.ced(grid).mean(), atol=1e-4)
    assert 0.05 < result.auc.value < 0.95
    for error in (0.0, 0.11, result.faces[3], 0.5, 9.0):
        assert result.ced(error) == sum(e <= error for e in result.faces) / 40
    assert result.ced(0.5) == 1 - result.failures.value


def test_perfect_and_hopeless_faces():
    _, truth = faces(5)
    perfect = landmark_error(truth, truth)
    assert perfect.mean == perfect.failures == (0, 0, 0) and perfect.auc == (1, 1, 1)
    assert perfect.ced([0, 1]).tolist() == [1, 1]
    hopeless = landmark_error(truth + 1e6, truth)
    assert hopeless.auc == (0, 0, 0) and hopeless.failures == (1, 1, 1) and hopeless.ced(0.08) == 0


def test_one_face_at_the_limit():
    truth = np.zeros((1, 68, 2))
    truth[0, 45] = 100, 0
    result = landmark_error(truth + np.array([3, 4]), truth, limit=0.05 + 1e-12)
    np.testing.assert_allclose(result.mean, 0.05)
    assert len(set(result.mean)) == 1 and result.failures.value == 0 and result.auc.value < 1e-9


def test_eighteen_points_and_other_lengths():
    predicted, truth = faces(6, 18)
    by_name = landmark_error(predicted, truth)
    by_length = landmark_error(predicted, truth, np.linalg.norm(truth[:, 4] - truth[:, 0], axis=1))
    np.testing.assert_allclose(by_name.points, by_length.points)
    assert set(by_name.regions) == {"eyes", "brows", "nose", "mouth"}
    pupils = landmark_error(predicted, truth, "inter_pupil")
    unit = np.linalg.norm(truth[2, 4:8].mean(0) - truth[2, :4].mean(0))
    np.testing.assert_allclose(pupils.points[2], np.linalg.norm(predicted[2] - truth[2], axis=1) / unit)
    five = landmark_error(predicted[:, :5], truth[:, :5], np.full(6, 50.0))
    assert five.regions == {} and five.points.shape == (6, 5)


def test_subjects_are_redrawn_whole():
    """Ten pictures of one person say as much as one: the interval by person is wider."""
    rng = np.random.default_rng(3)
    truth = rng.uniform(0, 100, (200, 68, 2))
    truth[:, 36], truth[:, 45] = (0, 0), (100, 0)
    people = np.repeat(np.arange(20), 10)
    predicted = truth + rng.uniform(1, 12, 20)[people][:, None, None] * (1, 0)
    single = landmark_error(predicted, truth, limit=0.1).mean
    people = landmark_error(predicted, truth, limit=0.1, subjects=people).mean
    assert single.value == people.value and people.high - people.low > 2.5 * (single.high - single.low)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda p, t: (p[:, :5], t), "both \\[N, K, 2\\]"),
        (lambda p, t: (p[:0], t[:0]), "both \\[N, K, 2\\]"),
        (lambda p, t: (np.where(p == p[1, 2, 0], np.nan, p), t), "finite"),
        (lambda p, t: (p, t, "nose"), "inter_ocular, inter_pupil, box_diagonal"),
        (lambda p, t: (p[:, :5], t[:, :5]), "for 5 points"),
        (lambda p, t: (p, t, [1.0]), "each of 7 faces"),
        (lambda p, t: (p, t * 0), "positive length"),
        (lambda p, t: (p, t, np.full(7, np.nan)), "positive length"),
    ],
    ids=["points", "nobody", "nan", "name", "five", "lengths", "collapsed", "nan-length"],
)
def test_refusals(change, sentence):
    with pytest.raises(ValueError, match=sentence) as error:
        landmark_error(*change(*faces()))
    assert str(error.value).count("\n") == 0
    with pytest.raises(ValueError, match="limit"):
        landmark_error(*faces(), limit=0)

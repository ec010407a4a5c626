"""Retrieval against plain loops and against scikit-learn."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from hub.evaluation.retrieval import retrieval


def points(seed, n=60, labels=9, ties=False):
    rng = np.random.default_rng(seed)
    which = rng.integers(labels, size=n)
    which[:2] = labels, labels + 1  # two that are alone
    embeddings = rng.normal(size=(labels + 2, 2, 2))[which] + rng.normal(size=(n, 2, 2))
    return (np.round(embeddings) if ties else embeddings).astype("float32"), which


def slow(query, label, entries):
    """(place of the first right one, right ones before any wrong one, average precision) or None."""
    found = sorted((float(((query - e) ** 2).sum()), bool(label == other)) for e, other in entries)
    places = [n for n, (_, own) in enumerate(found, 1) if own]
    if not places:
        return None
    leading = sum(n == place for n, place in enumerate(places, 1))
    return places[0], leading, sum(n / place for n, place in enumerate(places, 1)) / len(places)


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("with_places", [False, True])
@pytest.mark.parametrize("with_gallery", [False, True])
def test_agrees_with_plain_loops(ties, with_places, with_gallery, monkeypatch):
    monkeypatch.setattr("hub.evaluation._distances._CELLS", 700)  # several blocks
    embeddings, labels = points(0, ties=ties)
    gallery, gallery_labels = points(1, 45, 7, ties) if with_gallery else (embeddings, labels)
    places, gallery_places = np.arange(60) % 3, np.arange(len(gallery)) % 3
    given = {"gallery": gallery, "gallery_labels": gallery_labels} if with_gallery else {}
    if with_places:
        given["places"] = places
        if with_gallery:
            given["gallery_places"] = gallery_places
    result = retrieval(embeddings, labels, **given)
    expected = []
    for i in range(60):
        entries = [
            (gallery[j], gallery_labels[j])
            for j in range(len(gallery))
            if (with_gallery or i != j)
            and not (with_places and places[i] == gallery_places[j] and labels[i] == gallery_labels[j])
        ]
        expected.append(slow(embeddings[i], labels[i], entries))
    found = [i for i, row in enumerate(expected) if row]
    assert result.queries.tolist() == found and result.alone == 60 - len(found) > 0
    first, leading, precision = zip(*(expected[i] for i in found), strict=True)
    np.testing.assert_array_equal(result.first, first)
    np.testing.assert_array_equal(result.leading, leading)
    np.testing.assert_allclose(result.precision, precision, rtol=1e-12)
    assert result.mean_average_precision == pytest.approx(np.mean(precision))
    assert len(result.cmc) == len(gallery) - (not with_gallery) and result.cmc[-1] == 1
    for k in (1, 2, 5, 40):
        assert result.cmc[k - 1] == result.top(k) == np.mean([f <= k for f in first])
        assert result.top(k, hard=True) == np.mean([n >= k for n in leading])


def test_average_precision_is_scikit_learns():
    embeddings, labels = points(2)
    result = retrieval(embeddings, labels)
    flat = embeddings.reshape(60, -1).astype("float64")
    for i, precision in zip(result.queries, result.precision, strict=True):
        others = np.arange(60) != i
        distance = np.linalg.norm(flat[others] - flat[i], axis=1)
        np.testing.assert_allclose(precision, average_precision_score(labels[others] == labels[i], -distance))


def test_perfect_and_hopeless():
    labels = np.repeat(np.arange(5), 4)
    apart = retrieval(10 * labels[:, None] + np.random.default_rng(3).random((20, 1)), labels)
    assert apart.mean_average_precision == apart.top(3, hard=True) == apart.top(1) == 1
    assert apart.top(4, hard=True) == 0, "only three others are right"
    one_point = retrieval(np.full((20, 7), 0.3), labels)
    assert one_point.top(16) == 0 and one_point.top(17) == 1
    assert one_point.mean_average_precision == pytest.approx((1 / 17 + 2 / 18 + 3 / 19) / 3)


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ((np.zeros((3, 2)), [1, 2, 3]), "3 queries, 3 entries, none such"),
        ((np.zeros((0, 2)), []), "0 queries"),
        ((np.zeros((3, 2)), [1, 1, 1], np.zeros((0, 2)), []), "0 entries"),
        ((np.zeros((3, 2)), [1, 1]), r"shapes \(3, 2\), \(2,\)"),
        ((np.zeros((3, 2)), [1, 1, 1], np.zeros((4, 2))), "gallery needs its labels"),
        ((np.zeros((3, 2)), [1, 1, 1], np.zeros((4, 5)), [1] * 4), "2 and 5 numbers"),
        ((np.full((3, 2), np.inf), [1, 1, 1]), "finite"),
    ],
)
def test_refuses(arguments, why):
    with pytest.raises(ValueError, match=why):
        retrieval(*arguments)
    with pytest.raises(ValueError, match="rank is 1 or more"):
        retrieval(np.zeros((3, 2)), [1, 1, 1]).top(0)

"""Saliency-weighted sparse PCA against scikit-learn, slow loops, and planted noise."""

import io

import numpy as np
import pytest

from hub.evaluation._saliency import directions, variance_and_saliency
from hub.evaluation.saliency_sparse_pca import SaliencySparsePCA


def test_codes_are_scikit_learns():
    from sklearn.decomposition import MiniBatchSparsePCA

    x = np.random.default_rng(0).normal(size=(120, 9)) @ np.random.default_rng(1).normal(size=(9, 9)) + 3
    theirs = MiniBatchSparsePCA(4, alpha=0.3, random_state=0).fit(x).transform(x)
    fitted = SaliencySparsePCA.fit(x, np.zeros(120, int), np.arange(120) % 5, components=4)
    np.testing.assert_allclose(fitted.encode(x, np.zeros(120, int)), theirs, rtol=1e-6, atol=1e-8)


def test_a_higher_alpha_makes_more_zeros():
    x = np.random.default_rng(0).normal(size=(150, 8)) @ np.random.default_rng(1).normal(size=(8, 8))
    x -= x.mean(axis=0)
    zeros = [(np.abs(np.linalg.pinv(directions(x, 3, alpha, 0))) < 1e-9).sum() for alpha in (0.01, 20.0)]
    assert zeros[0] < zeros[1]


def test_variance_and_saliency_are_those_of_loops():
    random = np.random.default_rng(2)
    whose = np.repeat([0, 1, 2, 3], [3, 9, 1, 20])
    codes = np.hstack([random.normal(size=(33, 3)) * [1, 5, 0.2] + whose[:, None] * [2, 0.1, 0], np.full((33, 1), 7.0)])
    within, saliency = variance_and_saliency(codes, whose, 4)
    for c in range(3):
        groups = [codes[whose == k, c] for k in range(4)]
        w = sum(((g - g.mean()) ** 2).sum() for g in groups) / (33 - 4)
        b = sum(len(g) * (g.mean() - codes[:, c].mean()) ** 2 for g in groups) / 33
        np.testing.assert_allclose([within[c], saliency[c]], [w, max(0, b - w * 3 / 33) / w])
    assert within[3] == saliency[3] == 0 < saliency[0]


def test_without_differences_saliency_is_chance():
    """Uncorrected, Fisher's ratio would be (N - 1) / n = 0.19 on average, whatever the shares."""
    whose = np.repeat(np.arange(20), np.arange(20) // 4 * 2 + 1)
    codes = np.random.default_rng(3).normal(size=(len(whose), 400))
    within, saliency = variance_and_saliency(codes, whose, 20)
    means = np.stack([codes[whose == k].mean(0) for k in range(20)])
    raw = (np.bincount(whose)[:, None] * (means - codes.mean(0)) ** 2).sum(0) / len(whose) / within
    assert abs(raw.mean() - 19 / len(whose)) < 0.02
    assert saliency.min() == 0 and saliency.mean() < 0.2 * raw.mean()


def hands(seed, noise=0, writers=20, words=8, patches=6, width=12, background=True):
    """Embeddings of writers whose means differ in `width` dimensions, in two groups; `noise` more say nothing."""
    random = np.random.default_rng(seed)
    writer = np.repeat(np.arange(writers), words * patches)
    word = np.repeat(np.arange(writers * words), patches)
    bins = random.integers(2, size=len(writer))
    bins[:2] = 0, 1
    means = 0.55 * random.normal(size=(2, writers, width))
    x = means[bins, writer] + random.normal(size=(len(writer), width))
    return np.hstack([x, random.normal(size=(len(writer), noise))]), bins, writer, word


def top1(x, bins, writer, word, weighted, **how):
    """Writers 0-19 are the background; 20-39 are enrolled with half of their words and asked for with the others."""
    known = writer < 20
    fitted = SaliencySparsePCA.fit(x[known], bins[known], writer[known], **how)
    gallery, probe = ~known & (word % 2 == 0), ~known & (word % 2 == 1)
    enrolled = fitted.enroll(x[gallery], bins[gallery], writer[gallery])
    words, scores = fitted.score(x[probe], bins[probe], word[probe], enrolled, weighted=weighted)
    return np.mean(enrolled.names[scores.argmax(axis=1)] == words // 8)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_planted_noise_is_weighed_away(seed):
    """On the embedding's own axes, so that no direction mixes noise with what tells writers apart."""
    clean, noisy = hands(seed, writers=40), hands(seed, 64, writers=40)
    np.testing.assert_array_equal(noisy[0][:, :12], clean[0])
    before, after = (top1(*x, True, components=None) for x in (clean, noisy))
    assert before > 0.5 and abs(after - before) <= 0.03
    assert top1(*noisy, False, components=None) < top1(*clean, False, components=None) - 0.1


def test_scores_are_those_of_loops():
    x, bins, writer, word = hands(5, 2, writers=5, words=3)
    fitted = SaliencySparsePCA.fit(x, bins, writer, components=6)
    enrolled = fitted.enroll(x[writer < 3], bins[writer < 3], writer[writer < 3])
    codes = fitted.encode(x, bins)
    for weighted in (True, False):
        words, scores = fitted.score(x, bins, word, enrolled, weighted=weighted)
        for m, k in [(0, 0), (4, 2), (14, 1)]:
            expected = 0.0
            for s in range(2):
                here = (word == m) & (bins == s)
                if not here.any():
                    continue
                v, mean = codes[here].mean(0), codes[(writer == k) & (bins == s)].mean(0)
                w = fitted.saliency[s] if weighted else (fitted.within[s] > 0).astype(float)
                parts = [w[c] * (v[c] - mean[c]) ** 2 / fitted.within[s, c] for c in range(6) if fitted.within[s, c]]
                expected -= here.sum() * sum(parts) / w.sum()
            np.testing.assert_allclose(scores[words == m, enrolled.names == k], [expected], rtol=1e-8)


def test_words_of_a_page_add_up_and_missing_groups_are_the_background():
    x, bins, writer, word = hands(6, writers=6)
    fitted = SaliencySparsePCA.fit(x, bins, writer, components=None)
    enrolled = fitted.enroll(x[bins == 0], bins[bins == 0], writer[bins == 0])
    assert not enrolled.codes[:, 1].any() and enrolled.codes[:, 0].any()
    whole = fitted.enroll(x, bins, writer)
    words, scores = fitted.score(x, bins, word, whole)
    pages = scores.reshape(6, 8, 6).sum(axis=1)
    assert words.tolist() == list(range(48)) and (pages.argmax(axis=1) == np.arange(6)).all() and scores.max() <= 0


def test_arrays_come_back_from_a_file_without_pickle():
    x, bins, writer, word = hands(7, writers=4)
    fitted = SaliencySparsePCA.fit(x, bins, writer, components=5)
    file = io.BytesIO()
    np.savez(file, **fitted.to_arrays())
    file.seek(0)
    with np.load(file, allow_pickle=False) as stored:
        again = SaliencySparsePCA(**stored)
    enrolled = fitted.enroll(x, bins, writer)
    np.testing.assert_array_equal(fitted.score(x, bins, word, enrolled)[1], again.score(x, bins, word, enrolled)[1])


def test_a_fit_is_seeded():
    x = np.random.default_rng(8).normal(size=(40, 5))
    first, again = (directions(x, 2, 0.3, 1) for _ in range(2))
    np.testing.assert_array_equal(first, again)


ONE = {"means": [[0.0]], "encoders": [[[1.0]]], "within": [[1.0]], "saliency": [[1.0]]}


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: SaliencySparsePCA(**{**ONE, "means": [[np.nan]]}), "`means` needs 2 axes of finite numbers"),
        (lambda: SaliencySparsePCA(**{**ONE, "within": [[1.0, 1.0]]}), r"Received: \(1, 1, 1\), \(1, 1\), \(1, 2\)"),
        (lambda: SaliencySparsePCA.fit(np.eye(3), [0, 0, 0], ["a"] * 3), "Received: 3 patches of 1 writers"),
        (lambda: SaliencySparsePCA.fit(np.eye(4), [0, 0, 0, 2], list("aabc")), "Received: 0 patches of 0 writers"),
        (lambda: SaliencySparsePCA.fit(np.eye(3), [0, 0, 0], ["a"] * 2), r"as many writers. Received: shape \(2,\)"),
        (lambda: SaliencySparsePCA.fit(np.eye(3), [0.0, 0, 0], ["a"] * 3), "Received: float64"),
        (lambda: SaliencySparsePCA.fit(np.full((3, 3), np.inf), [0, 0, 0], ["a"] * 3), "Received: NaN or infinity"),
        (lambda: SaliencySparsePCA(**ONE).encode(np.ones((2, 3)), [0, 0]), r"Received: shape \(2, 3\)"),
        (lambda: SaliencySparsePCA(**ONE).encode(np.ones((2, 1)), [0, 1]), "and group 1"),
        (lambda: SaliencySparsePCA(**ONE).encode(np.ones((0, 1)), np.zeros(0, int)), "P at least 1"),
    ],
)  # fmt: skip
def test_what_does_not_go_together_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()

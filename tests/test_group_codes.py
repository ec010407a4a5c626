"""Group codes: a vector per word of which squared distances are saliency-weighted scores."""

import numpy as np

from hub.evaluation.saliency_sparse_pca import SaliencySparsePCA
from hub.layers.group_codes import GroupCodes


def layer_with(rng, groups=3, width=5, codes=2):
    layer = GroupCodes(groups, codes)
    layer.build([(None, None, width), (None, None)])
    weights = [rng.normal(size=w.shape).astype("float32") for w in layer.weights]
    layer.set_weights(weights)
    return layer, weights


def test_equal_to_slow_loops_with_padding_and_absent_groups():
    rng = np.random.default_rng(0)
    layer, (means, encoders, scale) = layer_with(rng)
    x = rng.normal(size=(4, 6, 5)).astype("float32")
    group = np.array([[0, 1, 2, 0, 1, 2], [0, 0, -1, -1, 5, 0], [-1] * 6, [2, -1, 2, 2, -1, 1]], "int32")
    found = np.asarray(layer([x, group]))
    for n in range(4):
        for s in range(3):
            own = [x[n, p] for p in range(6) if group[n, p] == s]
            code = (np.mean(own, axis=0) - means[s]) @ encoders[s] * scale[s] if own else np.zeros(2)
            np.testing.assert_allclose(found[n, 2 * s : 2 * s + 2], code, atol=1e-5)


def test_padding_does_not_speak():
    rng = np.random.default_rng(1)
    layer, _ = layer_with(rng)
    x, group = rng.normal(size=(1, 3, 5)).astype("float32"), np.array([[0, 2, 1]], "int32")
    wide = np.concatenate([x, 1e6 * rng.normal(size=(1, 4, 5)).astype("float32")], axis=1)
    padded = np.concatenate([group, np.full((1, 4), -1, "int32")], axis=1)
    np.testing.assert_allclose(layer([wide, padded]), layer([x, group]), atol=1e-6)


def test_squared_distances_are_the_scores_of_one_patch():
    """With one patch per scale, shares alike: score = - sum over scales of the squared distance over the share."""
    from applications.writer_identification.scorer import Scorer

    rng = np.random.default_rng(2)
    x = rng.normal(size=(900, 6)) + np.repeat(rng.normal(size=(10, 6)), 90, axis=0)
    bins, writers = np.tile(np.arange(3), 300), np.repeat(np.arange(10), 90)
    fit = SaliencySparsePCA.fit(x, bins, writers, components=4)
    scorer = Scorer(fit, np.full(3, 1 / 3))
    layer = GroupCodes(3, 4)
    layer.build([(None, None, 6), (None, None)])
    layer.set_weights([scorer.arrays()[name] for name in ("means", "encoders", "scale")])
    rows = np.arange(0, 900, 90)[:, None] + np.arange(3)
    served = np.asarray(layer([x[rows].astype("float32"), bins[rows].astype("int32")]))
    names, vectors = scorer.vectors(x[rows].reshape(30, 6), bins[rows].reshape(30), np.repeat(np.arange(10), 3))
    np.testing.assert_allclose(served, vectors, atol=1e-5)
    known = fit.enroll(x, bins, writers)
    _, enrolled = scorer.vectors(x, bins, writers)
    _, scores = fit.score(x[rows].reshape(30, 6), bins[rows].reshape(30), np.repeat(names, 3), known)
    squares = ((vectors[:, None] - enrolled) ** 2).sum(-1)
    np.testing.assert_allclose(-3 * squares, scores, rtol=1e-6)

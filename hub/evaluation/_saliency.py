"""What saliency-weighted sparse PCA is made of: sparse directions, and how well each tells writers apart."""

import numpy as np

SUBSAMPLE = 4000  # vectors that directions are fitted to, at most


def directions(x: np.ndarray, components: int, alpha: float, seed: int) -> np.ndarray:
    """[D, C]: centred x [n, D] to codes, which are scikit-learn's ridge regression on C sparse directions."""
    from sklearn.decomposition import MiniBatchSparsePCA

    if len(x) > SUBSAMPLE:
        x = x[np.random.default_rng(seed).permutation(len(x))[:SUBSAMPLE]]
    pca = MiniBatchSparsePCA(components, alpha=alpha, random_state=seed).fit(x)
    v = pca.components_
    return np.linalg.solve(v @ v.T + pca.ridge_alpha * np.eye(components), v).T


def variance_and_saliency(codes: np.ndarray, whose: np.ndarray, n_writers: int) -> tuple[np.ndarray, np.ndarray]:
    """W [C], the variance within writers, and the saliency [C], max(0, B - W (N - 1) / n) / W, of codes [n, C].

    B is the variance of the means of N writers, each counted as often as it has patches: where writers do not differ it
    is W (N - 1) / n on average, however the n patches are shared out. W is 0 where a code does not vary.
    """
    n = len(codes)
    count = np.bincount(whose)
    means = np.zeros((n_writers, codes.shape[1]))
    np.add.at(means, whose, codes)
    means /= count[:, None]
    within = ((codes - means[whose]) ** 2).sum(axis=0) / (n - n_writers)
    between = (count[:, None] * (means - codes.mean(axis=0)) ** 2).sum(axis=0) / n
    within[within <= 1e-12 * within.max()] = 0
    beyond = np.maximum(between - within * (n_writers - 1) / n, 0)
    return within, np.divide(beyond, within, out=np.zeros_like(within), where=within > 0)

"""Saliency-weighted sparse PCA: codes of patches in which what tells writers apart counts, and what does not is silent.

Paper: Kumar and Sundaram, "Siamese based Neural Network for Offline Writer Identification on Word Level Data", 2022,
  arXiv:2211.14443; sparse PCA: Zou, Hastie and Tibshirani, JCGS 2006, as scikit-learn computes it
Slug: siamese_writer_id
Idea: each group of patches, by the scale of its key points, gets sparse directions of its own; a direction's saliency
  is how far the writers lie apart on it, measured in how far one writer's patches do, and weighs its part of a score.
Differs: a reconstruction, as the paper's formulas could not be read: the saliency is Fisher's ratio less what writers
  of no difference would show by chance, the score a distance to writers' mean codes.
Checked: codes equal scikit-learn's, saliency and scores slow loops; with 64 dimensions of noise planted, the weighted
  score on the embedding's own axes (no sparse PCA, which may mix them) keeps its top-1 and the unweighted one does not
  (tests/test_saliency_sparse_pca.py). The paper's results are not repeated.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import numpy as np

from hub.evaluation._saliency import directions, variance_and_saliency
from hub.registry import register


class Writers(NamedTuple):
    """K enrolled writers."""

    names: np.ndarray  # [K], sorted
    codes: np.ndarray  # float64 [K, S, C], mean code of each group; 0, the background's mean, where one has no patch


@register("saliency_sparse_pca")
@dataclass(frozen=True, eq=False)
class SaliencySparsePCA:
    """S groups with C directions each; `SaliencySparsePCA(**arrays)` restores what `to_arrays` gave.

    Args:
        means: [S, D], subtracted from embeddings.
        encoders: [S, D, C], embeddings to codes.
        within: [S, C], variance of a code among the patches of one writer; 0 where the direction is not used.
        saliency: [S, C], 0 and up.
    """

    means: np.ndarray
    encoders: np.ndarray
    within: np.ndarray
    saliency: np.ndarray

    def __post_init__(self) -> None:
        for name, axes in (("means", 2), ("encoders", 3), ("within", 2), ("saliency", 2)):
            array = np.asarray(getattr(self, name), "float64")
            if array.ndim != axes or not array.size or not np.isfinite(array).all():
                raise ValueError(f"`{name}` needs {axes} axes of finite numbers. Received: shape {array.shape}.")
            object.__setattr__(self, name, array)
        groups, width, components = self.encoders.shape
        if self.means.shape != (groups, width) or {self.within.shape, self.saliency.shape} != {(groups, components)}:
            raise ValueError(
                "Encoders [S, D, C] go with means [S, D], within and saliency [S, C]. Received: "
                f"{self.encoders.shape}, {self.means.shape}, {self.within.shape} and {self.saliency.shape}."
            )

    @classmethod
    def fit(
        cls,
        embeddings: Any,
        bins: Any,
        writers: Any,
        *,
        components: int | None = 32,
        alpha: float = 0.3,
        seed: int = 0,
    ) -> Self:
        """Fit to patches of background writers; those to be told apart later need not be among them.

        Args:
            embeddings: [P, D].
            bins: [P], group of each patch, 0 ... S - 1, each with patches of two writers and two patches of one.
            writers: [P], whose each is.
            components: C, directions of a group; None takes the D axes as they are, without sparse PCA.
            alpha: of sparse PCA; the higher, the more zeros. The data's scale and number count, as in scikit-learn.
            seed: of the patches that directions are fitted to, and of the fit.

        Raises:
            ValueError: arrays that do not go together, or a group with too little in it.
        """
        embeddings, bins = _patches(embeddings, bins)
        writers = _of_each(writers, len(bins), "writers")
        fitted = []
        for group in range(bins.max() + 1):
            x, (names, whose) = embeddings[bins == group], np.unique(writers[bins == group], return_inverse=True)
            if len(names) < 2 or len(x) <= len(names):
                raise ValueError(
                    f"Group {group} needs patches of two writers, and two of one of them. "
                    f"Received: {len(x)} patches of {len(names)} writers."
                )
            mean = x.mean(axis=0)
            encoder = np.eye(x.shape[1]) if components is None else directions(x - mean, components, alpha, seed)
            fitted.append((mean, encoder, *variance_and_saliency((x - mean) @ encoder, whose, len(names))))
        return cls(*(np.stack(arrays) for arrays in zip(*fitted, strict=True)))

    def encode(self, embeddings: Any, bins: Any) -> np.ndarray:
        """Codes [P, C] of embeddings [P, D], each by the directions of its group.

        Raises:
            ValueError: another D, or a group that was not fitted.
        """
        embeddings, bins = _patches(embeddings, bins)
        if embeddings.shape[1] != self.means.shape[1] or bins.max(initial=0) >= len(self.means):
            raise ValueError(
                f"The fit was to {self.means.shape[1]} numbers a patch in {len(self.means)} groups. "
                f"Received: shape {embeddings.shape} and group {bins.max(initial=0)}."
            )
        codes = np.zeros((len(bins), self.encoders.shape[2]))
        for group in range(len(self.means)):
            here = bins == group
            codes[here] = (embeddings[here] - self.means[group]) @ self.encoders[group]
        return codes

    def enroll(self, embeddings: Any, bins: Any, writers: Any) -> Writers:
        """The mean codes of writers [P], whose patches these are."""
        names, codes, _count = self._means(embeddings, bins, writers, "writers")
        return Writers(names, codes)

    def score(
        self, embeddings: Any, bins: Any, words: Any, enrolled: Writers, *, weighted: bool = True
    ) -> tuple[np.ndarray, np.ndarray]:
        """How well each enrolled writer explains each word: - sum over groups of n sum_c w_c (v_c - m_c)^2 / W_c over
        sum_c w_c, with n patches of the word in the group, v their mean code and m the writer's, w the saliency and W
        the variance within writers.

        Args:
            embeddings: [P, D].
            bins: [P].
            words: [P], which word each patch is of; sums over words score a page.
            enrolled: by `enroll`.
            weighted: False weighs all directions alike.

        Returns:
            the words [M], sorted, and scores [M, K], 0 and below. A group without a salient direction says nothing.
        """
        names, codes, count = self._means(embeddings, bins, words, "words")
        weights = np.where(self.within > 0, self.saliency if weighted else 1.0, 0.0)
        total = weights.sum(axis=1, keepdims=True)
        weights = weights / np.where(total > 0, total, 1)
        scale = np.sqrt(weights / np.where(self.within > 0, self.within, 1))
        scores = np.zeros((len(names), len(enrolled.names)))
        for group in range(len(self.means)):
            v, m = codes[:, group] * scale[group], enrolled.codes[:, group] * scale[group]
            squared = (v**2).sum(1)[:, None] + (m**2).sum(1) - 2 * v @ m.T
            scores -= count[:, group, None] * np.maximum(squared, 0)
        return names, scores

    def to_arrays(self) -> dict[str, np.ndarray]:
        """The four fields, for `numpy.savez`; no pickle is needed to read them back."""
        return {name: getattr(self, name) for name in ("means", "encoders", "within", "saliency")}

    def _means(self, embeddings: Any, bins: Any, owners: Any, what: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Owners [M], their mean codes [M, S, C], and of how many patches, [M, S]."""
        codes = self.encode(embeddings, bins)
        names, whose = np.unique(_of_each(owners, len(codes), what), return_inverse=True)
        place = whose * len(self.means) + np.asarray(bins, np.int64)
        count = np.bincount(place, minlength=len(names) * len(self.means))
        sums = np.zeros((count.size, codes.shape[1]))
        np.add.at(sums, place, codes)
        means = sums / np.maximum(count, 1)[:, None]
        return names, means.reshape(len(names), len(self.means), -1), count.reshape(len(names), -1)


def _patches(embeddings: Any, bins: Any) -> tuple[np.ndarray, np.ndarray]:
    embeddings, bins = np.asarray(embeddings, "float64"), np.asarray(bins)
    if embeddings.ndim != 2 or not embeddings.size or bins.shape != embeddings.shape[:1]:
        raise ValueError(
            f"Embeddings [P, D], P at least 1, go with groups [P]. Received: {embeddings.shape} and {bins.shape}."
        )
    if not np.isfinite(embeddings).all():
        raise ValueError("Embeddings must be finite numbers. Received: NaN or infinity.")
    if not np.issubdtype(bins.dtype, np.integer) or bins.min() < 0:
        raise ValueError(f"Groups are whole numbers from 0 up. Received: {bins.dtype} from {bins.min()}.")
    return embeddings, bins.astype(np.int64)


def _of_each(values: Any, n: int, what: str) -> np.ndarray:
    values = np.asarray(values)
    if values.shape != (n,):
        raise ValueError(f"{n} patches need as many {what}. Received: shape {values.shape}.")
    return values


def contract_example(make: Callable[..., SaliencySparsePCA]) -> None:
    """Scores worked out by hand; then a direction in which writers differ is salient, and one of noise hardly is."""
    plane = make(means=[[0, 0]], encoders=[np.eye(2)], within=[[1, 4]], saliency=[[3, 1]])
    two = plane.enroll([[0, 0], [4, 0], [0, 4]], [0, 0, 0], ["a", "b", "b"])
    words, scores = plane.score([[2, 2], [2, 6]], [0, 0], [7, 7], two)
    assert list(words) == [7] and list(two.names) == ["a", "b"]
    np.testing.assert_allclose(scores, [[-2 * (3 * 4 + 16 / 4) / 4, -2 * (0 + 4 / 4) / 4]])
    writers = np.arange(400) % 8
    x = np.random.default_rng(0).normal(size=(400, 2)) + np.stack([writers, 0 * writers], axis=1)
    fitted = type(plane).fit(x, np.zeros(400, int), writers, components=None)
    assert fitted.saliency[0, 0] > 4 > 0.1 > fitted.saliency[0, 1]

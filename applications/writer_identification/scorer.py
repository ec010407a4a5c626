"""From patches to an answer: codes of each scale, a score per enrolled writer, a vector of which distances compare."""

from dataclasses import dataclass
from typing import Any

from applications.writer_identification.config import Config
from applications.writer_identification.dataset import Search, Written

AT_ONCE = 2048  # patches embedded together


@dataclass(frozen=True, eq=False)
class Scorer:
    """A fit to background writers, and how often each scale occurs among their patches."""

    fit: Any  # hub.evaluation.saliency_sparse_pca.SaliencySparsePCA
    share: Any  # float64 [S]

    def arrays(self) -> dict[str, Any]:
        """What `GroupCodes` takes: codes scaled so that a squared distance of vectors is a score of one patch."""
        import numpy as np

        weight = np.where(self.fit.within > 0, self.fit.saliency, 0)
        total = weight.sum(axis=1, keepdims=True)
        weight = weight / np.where(total > 0, total, 1) / np.where(self.fit.within > 0, self.fit.within, 1)
        scale = np.sqrt(self.share[:, None] * weight)
        return {"means": self.fit.means, "encoders": self.fit.encoders, "scale": scale}

    def vectors(self, embeddings: Any, bins: Any, owners: Any) -> tuple[Any, Any]:
        """The owners of patches [P], sorted, and the vector [M, S C] of each."""
        import numpy as np

        found = self.fit.enroll(embeddings, bins, owners)
        there = np.zeros(found.codes.shape[:2], bool)
        there[np.searchsorted(found.names, owners), bins] = True
        codes = np.where(there[..., None], found.codes, 0) * self.arrays()["scale"]
        return found.names, codes.reshape(len(codes), -1)


def fit(embeddings: Any, written: Written, config: Config) -> Scorer:
    """Fit the codes of every scale to the patches [n, D] of background writers.

    Raises:
        ValueError: a scale lacks patches of two writers.
    """
    import numpy as np

    from hub.evaluation.saliency_sparse_pca import SaliencySparsePCA

    found = SaliencySparsePCA.fit(
        embeddings,
        written.bins,
        written.writer[written.word],
        components=min(config.codes, embeddings.shape[1]) or None,
        alpha=config.alpha,
        seed=config.seed,
    )
    return Scorer(found, np.bincount(written.bins, minlength=len(found.means)) / len(written.bins))


def embed(encode: Any, patches: Any) -> Any:
    """Embeddings float32 [n, D] of patches uint8 [n, 32, 32]."""
    import keras
    import numpy as np

    parts = [
        keras.ops.convert_to_numpy(
            encode.predict_on_batch(patches[start : start + AT_ONCE, ..., None] / np.float32(255))
        )
        for start in range(0, len(patches), AT_ONCE)
    ]
    return np.concatenate(parts) if parts else np.zeros((0, encode.output_shape[-1]), np.float32)


@dataclass(frozen=True, eq=False)
class Scores:
    """M things that were looked for among K writers; those without a patch have scores of -inf."""

    names: Any  # str [K], sorted
    of: Any  # str [K], the group of each writer
    scores: Any  # float64 [M, K], the higher the better; -inf for writers of other groups
    writer: Any  # str [M], who wrote it
    group: Any  # str [M]
    rows: Any  # int64 [M], words of the search; of a page its first one

    @property
    def seen(self) -> Any:
        """bool [M], whether it has a patch."""
        import numpy as np

        return np.isfinite(self.scores).any(axis=1)

    @property
    def right(self) -> Any:
        """float64 [M], the score of who wrote it."""
        import numpy as np

        at = np.searchsorted(self.names, self.writer).clip(0, len(self.names) - 1)
        found = self.scores[np.arange(len(at)), at]
        return np.where(self.names[at] == self.writer, found, -np.inf)

    @property
    def rank(self) -> Any:
        """int64 [M], place of the right writer, from 1; others as good come before. Without a patch the last."""
        import numpy as np

        right = self.right
        before = (self.scores > right[:, None]).sum(axis=1)
        level = (self.scores == right[:, None]).sum(axis=1)
        return np.where(np.isfinite(right), before + level, self.candidates)

    @property
    def candidates(self) -> Any:
        """int64 [M], how many writers each was looked for among."""
        return (self.of == self.group[:, None]).sum(axis=1)


def word_scores(search: Search, score: Any) -> Scores:
    """Every word that is looked for, against the enrolled writers of its group.

    Args:
        score: maps (patches of enrolled words: bool [n], patches looked for: bool [n]) to names of K writers, sorted,
            and the scores [M, K] of the M words looked for that have patches, in their order.
    """
    import numpy as np

    written = search.written
    enrolled = search.enrolled[written.word]
    names, found = score(enrolled, ~enrolled)
    rows = np.flatnonzero(~search.enrolled)
    seen = np.diff(written.starts)[rows] > 0
    scores = np.full((len(rows), len(names)), -np.inf)
    scores[seen] = found
    of = search.group[[int(np.flatnonzero(written.writer == name)[0]) for name in names]]
    scores[of != search.group[rows][:, None]] = -np.inf
    return Scores(names, of, scores, written.writer[rows], search.group[rows], rows)


def summed(words: Scores, owners: Any) -> Scores:
    """The scores of pages, or of any `owners` [M] of words: the sums over their words that have patches."""
    import numpy as np

    seen = words.seen
    names, first, of = np.unique(owners, return_index=True, return_inverse=True)
    scores = np.zeros((len(names), words.scores.shape[1]))
    np.add.at(scores, of[seen], words.scores[seen])
    scores[np.bincount(of[seen], minlength=len(names)) == 0] = -np.inf
    return Scores(words.names, words.of, scores, words.writer[first], words.group[first], words.rows[first])


def learned(scorer: Scorer, embeddings: Any, written: Written, weighted: bool = True) -> Any:
    """`score` of `word_scores` by saliency-weighted codes."""

    def score(enrolled: Any, probe: Any) -> tuple[Any, Any]:
        known = scorer.fit.enroll(embeddings[enrolled], written.bins[enrolled], written.writer[written.word[enrolled]])
        of = written.word[probe]
        _, found = scorer.fit.score(embeddings[probe], written.bins[probe], of, known, weighted=weighted)
        return known.names, found

    return score


def centroids(features: Any, written: Written) -> Any:
    """`score` of `word_scores` by plain distances of mean features [n, D]."""
    import numpy as np

    def means(rows: Any, owners: Any) -> tuple[Any, Any]:
        names, of = np.unique(owners, return_inverse=True)
        sums = np.zeros((len(names), features.shape[1]))
        np.add.at(sums, of, features[rows].astype("float64"))
        return names, sums / np.bincount(of)[:, None]

    def score(enrolled: Any, probe: Any) -> tuple[Any, Any]:
        names, known = means(enrolled, written.writer[written.word[enrolled]])
        _, found = means(probe, written.word[probe])
        squared = (found**2).sum(1)[:, None] + (known**2).sum(1) - 2 * found @ known.T
        # of a page, n squared distances of words add up to that of the page's mean but for what all writers share
        return names, -np.bincount(np.unique(written.word[probe], return_inverse=True)[1])[:, None] * squared

    return score

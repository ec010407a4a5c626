"""Words and pages looked for among enrolled writers: ranks, retrieval, pairs, an open set, and simpler rivals."""

from collections.abc import Callable
from typing import Any

from applications.writer_identification import scorer as scoring
from applications.writer_identification import shown
from applications.writer_identification.config import Config
from applications.writer_identification.dataset import Search
from applications.writer_identification.open_set import open_set, squared_distances
from applications.writer_identification.result import Result, Rival
from applications.writer_identification.scorer import Scorer, Scores

COUNTS = (1, 2, 5, 10)  # words of a page
DRAWS = 200  # of so many words from each page


def choose(scorer: Scorer, embeddings: Any, search: Search, far: float) -> dict[str, float]:
    """Distances of page vectors, chosen so that on `search` the share `far` of strangers is accepted, and the
    temperature that makes the scores of words probabilities.

    `threshold` is for two pages, `search_threshold` for the nearest page of anybody else.
    """
    import numpy as np

    from hub.evaluation.calibration import fit_temperature
    from hub.evaluation.verification import pair_distances, verification

    pages, writer, _ = page_vectors(scorer, embeddings, search)
    distances, genuine = pair_distances(pages, writer)
    nearest = np.sqrt(np.where(writer[:, None] == writer, np.inf, squared_distances(pages, pages))).min(axis=1)
    words = scoring.word_scores(search, scoring.learned(scorer, embeddings, search.written))
    sure = np.isfinite(words.right)
    right = np.searchsorted(words.names, words.writer[sure])
    return {
        "threshold": max(verification(distances, genuine).at_far(far).threshold, 0.0),
        "search_threshold": float(np.quantile(nearest, far)),
        "temperature": float(fit_temperature(words.scores[sure], right)),
    }


def page_vectors(scorer: Scorer, embeddings: Any, search: Search) -> tuple[Any, Any, Any]:
    """Vectors [P, D], writers [P] and groups [P] of the pages that have patches."""
    import numpy as np

    written = search.written
    pages, vectors = scorer.vectors(embeddings, written.bins, written.page[written.word])
    first = np.unique(written.page, return_index=True)
    at = first[1][np.searchsorted(first[0], pages)]
    return vectors, written.writer[at], search.group[at]


def evaluate(
    scorer: Scorer, encode: Any, search: Search, config: Config, chosen: dict[str, float], name: str, notes: list[str]
) -> Result:
    """Score every word of `search` and measure.

    Args:
        scorer: fitted to background writers.
        encode: patches to embeddings.
        search: writers enrolled and looked for.
        config: names the network, for the untrained one among the rivals.
        chosen: what `choose` found.
        name: what the figures are called in the report.
        notes: sentences on what the data lack.
    """
    import numpy as np

    from hub.evaluation.bootstrap import bootstrap_interval
    from hub.evaluation.eer_interval import eer_interval
    from hub.evaluation.retrieval import retrieval
    from hub.evaluation.roc import auc_interval
    from hub.evaluation.verification import verification

    written = search.written
    embeddings = scoring.embed(encode, written.patches)
    words = scoring.word_scores(search, scoring.learned(scorer, embeddings, written))
    pages = scoring.summed(words, written.page[words.rows])
    vectors, writer, group = page_vectors(scorer, embeddings, search)

    def share(hits: Any, writers: Any) -> dict[str, float]:
        return _figure(bootstrap_interval(hits.astype(float), groups=writers))

    metrics = {}
    for what, found in (("word", words), ("page", pages)):
        for k in (1, 5, 10):
            metrics[f"{what}_top{k}"] = share(found.rank <= k, found.writer)
    in_groups = [group == name for name in np.unique(group)]
    apart = np.concatenate([retrieval(vectors[rows], writer[rows]).precision for rows in in_groups])
    asked = np.concatenate([writer[rows][retrieval(vectors[rows], writer[rows]).queries] for rows in in_groups])
    metrics["page_map"] = share(apart, asked)
    metrics["equal_error_rate"] = _figure(eer_interval(vectors, writer, groups=group))
    unknown, distances, known, of = open_set(scorer, embeddings, search)
    metrics["open_auroc"] = _figure(auc_interval(-distances, known, groups=of))
    pairs = verification(*_pairs(vectors, writer, group))
    at = int(np.searchsorted(pairs.thresholds, chosen["threshold"], side="right")) - 1
    now = int(np.searchsorted(unknown.thresholds, chosen["search_threshold"], side="right")) - 1
    word_names, word_vectors = scorer.vectors(embeddings, written.bins, written.word)
    return Result(
        name=name,
        writers=int(pages.candidates.max()),
        words=len(words.rows),
        pages=len(pages.rows),
        enrolled_pages=len(np.unique(written.page[search.enrolled])),
        notes=notes,
        chance=float((1 / words.candidates).mean()),
        metrics=metrics,
        cmc={"words": _cmc(words), "pages": _cmc(pages)},
        over_words=_over_words(words, pages, written.page[words.rows]),
        rivals=_rivals(scorer, embeddings, search, config),
        pairs=pairs,
        unknown=unknown,
        threshold=chosen["threshold"],
        search_threshold=chosen["search_threshold"],
        chosen={
            "far": float(pairs.far[at]),
            "tar": float(pairs.tar[at]),
            "alarm": float(unknown.far[now]),
            "found": float(unknown.tar[now]),
        },
        saliency=scorer.fit.saliency,
        **shown.places(word_names, word_vectors, written),
        examples=shown.examples(words, word_names, word_vectors, search),
        spoken=shown.spoken(scorer, embeddings, words, search, config),
    )


def _figure(interval: Any) -> dict[str, float]:
    return {name: round(float(value), 6) for name, value in interval._asdict().items()}


def _pairs(vectors: Any, writer: Any, group: Any) -> tuple[Any, Any]:
    """Distances of pages of one group, and whether genuine."""
    import numpy as np

    from hub.evaluation.verification import pair_distances

    found = [pair_distances(vectors[rows], writer[rows]) for rows in (group == name for name in np.unique(group))]
    return tuple(np.concatenate(column) for column in zip(*found, strict=True))


def _cmc(found: Scores) -> Any:
    import numpy as np

    return np.bincount(found.rank, minlength=found.candidates.max() + 1)[1:].cumsum() / len(found.rank)


def _over_words(words: Scores, pages: Scores, page: Any) -> list[tuple[str, float, float, float]]:
    """Top-1 of scores summed over so many words of each page, drawn `DRAWS` times, and over all."""
    import dataclasses

    import numpy as np

    from hub.evaluation.bootstrap import bootstrap_interval

    rng, rows = np.random.default_rng(0), []
    of = np.unique(page, return_inverse=True)[1]
    size = np.bincount(of)
    for count in (count for count in COUNTS if count < size.max()):
        hits, writers = [], []
        enough = np.flatnonzero(size >= count)
        for _ in range(DRAWS):
            order = np.lexsort((rng.random(len(of)), of))
            place = np.arange(len(of)) - np.repeat(np.cumsum(size) - size, size)
            drawn = order[(place < count) & np.isin(of[order], enough)]
            taken = dataclasses.replace(
                words,
                **{name: getattr(words, name)[drawn] for name in ("scores", "writer", "group", "rows")},
            )
            found = scoring.summed(taken, page[drawn])
            hits.append(found.rank <= 1)
            writers.append(found.writer)
        rows.append(
            (str(count), *bootstrap_interval(np.concatenate(hits).astype(float), groups=np.concatenate(writers)))
        )
    return [*rows, ("page", *bootstrap_interval((pages.rank <= 1).astype(float), groups=pages.writer))]


def _rivals(scorer: Scorer, embeddings: Any, search: Search, config: Config) -> list[Rival]:
    """Simpler ways of scoring the same words."""
    import keras

    from applications.writer_identification import model as models

    written = search.written
    keras.utils.set_random_seed(config.seed)
    untrained = scoring.embed(models.encoder(models.build(config, 2)), written.patches)
    ways: dict[str, Callable] = {
        "trained network, centroids": scoring.centroids(embeddings, written),
        "untrained network, centroids": scoring.centroids(untrained, written),
        "raw SIFT, centroids": scoring.centroids(written.descriptors.astype("float32"), written),
        "codes without saliency": scoring.learned(scorer, embeddings, written, weighted=False),
    }
    rivals = []
    for name, way in ways.items():
        words = scoring.word_scores(search, way)
        pages = scoring.summed(words, written.page[words.rows])
        shares = ((words.rank <= 1).mean(), (words.rank <= 5).mean(), (pages.rank <= 1).mean())
        rivals.append(Rival(name, *map(float, shares)))
    return rivals

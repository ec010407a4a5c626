"""Words and pages looked for among enrolled writers: ranks, retrieval, pairs, an open set, and simpler rivals."""

from collections.abc import Callable
from typing import Any

from applications.writer_identification import scorer as scoring
from applications.writer_identification.config import Config
from applications.writer_identification.dataset import Search
from applications.writer_identification.result import Example, Result, Rival, Spoken
from applications.writer_identification.scorer import Scorer, Scores

COUNTS = (1, 2, 5, 10)  # words of a page
DRAWS = 200  # of so many words from each page
MAPPED, MAPPED_WRITERS = 400, 12  # words and writers on the map
SHOWN, NEAREST = 8, 4  # examples of retrieval
SPOKEN = 6  # words whose patches are shown


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
    nearest = np.sqrt(np.where(writer[:, None] == writer, np.inf, _squares(pages, pages))).min(axis=1)
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
    unknown, distances, known, of = _open_set(scorer, embeddings, search)
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
        **_map(word_names, word_vectors, written),
        examples=_examples(words, word_names, word_vectors, search),
        spoken=_spoken(scorer, embeddings, words, search, config),
    )


def _figure(interval: Any) -> dict[str, float]:
    return {name: round(float(value), 6) for name, value in interval._asdict().items()}


def _squares(a: Any, b: Any) -> Any:
    """Squared distances [N, M] of vectors [N, D] and [M, D]."""
    import numpy as np

    return np.maximum((a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1) - 2 * a @ b.T, 0)


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


def _open_set(scorer: Scorer, embeddings: Any, search: Search) -> tuple[Any, Any, Any, Any]:
    """Every second writer of a group enrolled, then the others: the rates, and of each page looked for the nearest
    distance, whether its writer is enrolled, and who that is."""
    import numpy as np

    from hub.evaluation.verification import verification

    written = search.written
    owner = np.char.add(np.where(search.enrolled, "+", "-"), written.page)  # parts of one page apart
    pages, vectors = scorer.vectors(embeddings, written.bins, owner[written.word])
    first = np.unique(owner, return_index=True)
    at = first[1][np.searchsorted(first[0], pages)]
    writer, group, enrolled = written.writer[at], search.group[at], search.enrolled[at]
    turn = np.zeros(len(at), int)
    for name in np.unique(group):
        turn[group == name] = np.unique(writer[group == name], return_inverse=True)[1] % 2
    nearest, right, known, of = [], [], [], []
    for half in (0, 1):
        gallery, probe = np.flatnonzero(enrolled & (turn == half)), np.flatnonzero(~enrolled)
        squares = _squares(vectors[probe], vectors[gallery])
        squares[group[probe][:, None] != group[gallery]] = np.inf
        best = squares.argmin(axis=1)
        nearest.append(np.sqrt(squares.min(axis=1)))
        right.append(writer[gallery][best] == writer[probe])
        known.append(turn[probe] == half)
        of.append(writer[probe])
    nearest, right, known, of = map(np.concatenate, (nearest, right, known, of))
    return verification(np.where(known & ~right, np.inf, nearest), known), nearest, known, of


def _map(names: Any, vectors: Any, written: Any) -> dict[str, Any]:
    """Two coordinates per word in which near ones stay near, of some writers (t-SNE of principal components)."""
    import numpy as np
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE

    writer = written.writer[names]
    some = np.flatnonzero(np.isin(writer, np.unique(writer)[:MAPPED_WRITERS]))
    some = some[np.random.default_rng(0).permutation(len(some))[:MAPPED]]
    flat = PCA(min(30, len(some), vectors.shape[1]), random_state=0).fit_transform(vectors[some])
    place = TSNE(perplexity=min(30, (len(some) - 1) / 3), init="pca", random_state=0).fit_transform(flat)
    return {"place": place, "place_writer": writer[some]}


def _examples(words: Scores, names: Any, vectors: Any, search: Search) -> list[Example]:
    """Words looked for, right and wrong, and the nearest enrolled word of each of the best writers."""
    import numpy as np

    from hub.data import word_images

    written, found = search.written, []
    for m in _picked(words, SHOWN):
        row = words.rows[m]
        best = np.argsort(-words.scores[m], kind="stable")[:NEAREST]
        near = []
        for name in words.names[best]:
            own = np.flatnonzero(search.enrolled[names] & (written.writer[names] == name))
            gap = ((vectors[own] - vectors[np.searchsorted(names, row)]) ** 2).sum(axis=1)
            word = written.words[int(names[own[gap.argmin()]])]
            near.append((f"{name}: {word.text}", bool(name == words.writer[m]), word_images.read(word)))
        word = written.words[int(row)]
        found.append(Example(f"{words.writer[m]}: {word.text}", word_images.read(word), near))
    return found


def _spoken(scorer: Scorer, embeddings: Any, words: Scores, search: Search, config: Config) -> list[Spoken]:
    """Each patch's score for the writer that the word was taken for, less its mean score for the others."""
    import numpy as np

    from hub.data import word_images
    from hub.data.keypoint_patches import HALF, keypoint_patches

    written, found = search.written, []
    enrolled = search.enrolled[written.word]
    known = scorer.fit.enroll(embeddings[enrolled], written.bins[enrolled], written.writer[written.word[enrolled]])
    for m in _picked(words, SPOKEN):
        row = int(words.rows[m])
        own = slice(int(written.starts[row]), int(written.starts[row + 1]))
        bins = written.bins[own]
        each, scores = scorer.fit.score(embeddings[own], bins, np.arange(len(bins)), known)
        among = words.of == words.group[m]
        best = int(np.argmax(words.scores[m]))
        others = among & (np.arange(len(among)) != best)
        evidence = scores[each, best] - scores[each][:, others].mean(axis=1)
        image = word_images.read(written.words[row])
        points = keypoint_patches(image, config.patches).points
        right = "rightly" if words.names[best] == words.writer[m] else f"wrongly, {words.writer[m]} wrote it"
        caption = f"{written.words[row].text}: taken for {words.names[best]}, {right}"
        found.append(Spoken(caption, image, points, np.asarray(HALF)[bins], evidence))
    return found


def _picked(words: Scores, count: int) -> Any:
    """Some words of different writers: three quarters found at once, the others not, where there are."""
    import numpy as np

    order = np.random.default_rng(0).permutation(np.flatnonzero(words.seen))
    order = order[np.sort(np.unique(words.writer[order], return_index=True)[1])]
    hit = words.rank[order] == 1
    wrong = order[~hit][: count // 4]
    return np.concatenate([order[hit][: count - len(wrong)], wrong])

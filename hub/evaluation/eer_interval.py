"""The equal error rate of all pairs of clips or pages, with an interval that knows that pairs share people."""

from typing import Any

import numpy as np

from hub.evaluation._distances import flat
from hub.evaluation.bootstrap import Interval
from hub.evaluation.verification import pair_distances, verification


def eer_interval(
    embeddings: Any,
    subjects: Any,
    views: Any = None,
    *,
    groups: Any = None,
    level: float = 0.95,
    resamples: int = 300,
    seed: int = 0,
) -> Interval:
    """The equal error rate of all pairs, in 0 ... 1, with its bootstrap interval.

    People are redrawn whole; the pairs of a person drawn twice weigh twice, those of two people the product.

    Args:
        embeddings, subjects, views: as `pair_distances`.
        groups: [N], only clips of one group are paired; by default all are of one.
        level: share of repeated experiments whose interval should hold the truth, in 0 ... 1.
        resamples: number of redraws.
        seed: same seed, same interval.

    Raises:
        ValueError: as `pair_distances`, or there are no genuine pairs or no impostors.
    """
    _, subjects, views = flat(embeddings, subjects, np.arange(len(subjects)) if views is None else views)
    people = np.unique(subjects, return_inverse=True)[1]
    groups = np.zeros(len(people), int) if groups is None else np.asarray(groups)
    parts = []
    for rows in (np.flatnonzero(groups == group) for group in np.unique(groups)):
        distances, _ = pair_distances(np.asarray(embeddings)[rows], people[rows], views[rows])
        first, second = np.triu_indices(len(rows), 1)
        kept = views[rows][first] != views[rows][second]
        parts.append((distances, people[rows][first[kept]], people[rows][second[kept]]))
    distances, first, second = (np.concatenate(column) for column in zip(*parts, strict=True))
    value = verification(distances, first == second).eer
    order = np.argsort(distances, kind="stable")
    first, second = first[order], second[order]
    genuine = first == second
    rng, drawn = np.random.default_rng(seed), []
    for _ in range(resamples):
        weight = np.bincount(rng.integers(0, people.max() + 1, people.max() + 1), minlength=people.max() + 1)
        pair = (weight[first] * weight[second]).astype(np.float32)
        far, tar = np.cumsum(np.where(genuine, 0, pair)), np.cumsum(np.where(genuine, pair, 0))
        if far[-1] and tar[-1]:
            at = int(np.argmax(far / far[-1] >= 1 - tar / tar[-1]))
            drawn.append(float(far[at] / far[-1]))
    tail = (1 - level) / 2
    low, high = np.quantile(drawn, (tail, 1 - tail))
    return Interval(value, float(low), float(high))

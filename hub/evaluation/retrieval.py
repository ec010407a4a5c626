"""Retrieval: how early the right ones come when everything else is sorted by distance.

Paper: Zheng et al., "Scalable Person Re-identification: A Benchmark", ICCV 2015
Slug: retrieval
Idea: each clip, word or page is a query to all others; the cumulative match curve says how often the first right one is
  among the k nearest, the mean average precision how early all the right ones come.
Differs: equally far others come before the right ones, so figures do not depend on the order of files; queries whose
  label nothing else has are counted and left out.
Checked: plain loops, with ties, labels that occur once and forbidden places; scikit-learn's average precision where
  there are no ties (tests/test_retrieval.py).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from hub.evaluation._distances import blocks, flat, squared_distances
from hub.registry import register


@dataclass(frozen=True)
class Retrieval:
    """What the search found for each query that has something to find."""

    queries: np.ndarray  # int [Q], which of the queries these are
    alone: int  # queries without anything of their label to find: not among the Q
    first: np.ndarray  # int [Q], place of the first right one, from 1
    leading: np.ndarray  # int [Q], how many right ones come before any wrong one
    precision: np.ndarray  # [Q], average precision, in 0 ... 1
    candidates: int  # entries that were searched

    @property
    def mean_average_precision(self) -> float:
        """In 0 ... 1."""
        return float(self.precision.mean())

    @property
    def cmc(self) -> np.ndarray:
        """Cumulative match curve [candidates]: share of queries with a right one among the k nearest, k from 1."""
        return np.bincount(self.first, minlength=self.candidates + 1)[1:].cumsum() / len(self.first)

    def top(self, k: int, *, hard: bool = False) -> float:
        """Share of queries with one of the k nearest right, in 0 ... 1; `hard` asks that all of them are."""
        if k < 1:
            raise ValueError(f"A rank is 1 or more. Received: {k}.")
        return float((self.leading >= k).mean() if hard else (self.first <= k).mean())


@register("retrieval")
def retrieval(
    embeddings: Any,
    labels: Any,
    gallery: Any = None,
    gallery_labels: Any = None,
    *,
    places: Any = None,
    gallery_places: Any = None,
) -> Retrieval:
    """Search the gallery for each embedding by Euclidean distance; without a gallery, search all the others.

    Args:
        embeddings: [N, ...] queries.
        labels: [N], numbers or names.
        gallery: [M, ...] entries to search; default the queries themselves, each without itself.
        gallery_labels: [M].
        places: [N] where each comes from, such as a camera angle or a page. An entry of the query's label and place
            is too easy and left out of its search; entries of other labels stay.
        gallery_places: [M].

    Raises:
        ValueError: arrays of different lengths, a gallery without labels, places of one side only, embeddings that are
            not finite, or no query with anything to find.
    """
    embeddings, labels = flat(embeddings, labels)
    others = gallery is None
    if others:
        gallery, gallery_labels, gallery_places = embeddings, labels, places
    elif gallery_labels is None or (places is None) != (gallery_places is None):
        raise ValueError("A gallery needs its labels, and places where the queries have them. Received: none.")
    gallery, gallery_labels = flat(gallery, gallery_labels)
    if places is not None:
        places, gallery_places = flat(embeddings, places)[1], flat(gallery, gallery_places)[1]
    parts = []
    for rows in blocks(len(embeddings), gallery) if len(gallery) else ():
        distances = squared_distances(embeddings[rows], gallery)
        own = labels[rows, None] == gallery_labels
        if others:
            distances[np.arange(len(own)), np.arange(rows.start, rows.stop)] = np.inf
        if places is not None:
            distances[own & (places[rows, None] == gallery_places)] = np.inf
        parts.append(_places(distances, own & np.isfinite(distances)))
    if not parts or not (findable := np.concatenate([p[0] for p in parts]) > 0).any():
        raise ValueError(
            "Retrieval needs a query whose label another entry has. "
            f"Received: {len(embeddings)} queries, {len(gallery)} entries, none such."
        )
    _, first, leading, precision = (np.concatenate(column)[findable] for column in zip(*parts, strict=True))
    return Retrieval(np.flatnonzero(findable), int((~findable).sum()), first, leading, precision, len(gallery) - others)


def _places(distances: np.ndarray, own: np.ndarray) -> tuple[np.ndarray, ...]:
    """How many to find, the first's place, the right ones before any wrong one, and the average precision; each [n]."""
    hits = np.take_along_axis(own, np.lexsort((own, distances), axis=-1), axis=-1)
    found, total = hits.cumsum(axis=1), own.sum(axis=1)
    precision = (hits * found / np.arange(1, hits.shape[1] + 1)).sum(axis=1) / np.maximum(total, 1)
    return total, hits.argmax(axis=1) + 1, (found == np.arange(1, hits.shape[1] + 1)).sum(axis=1), precision


def contract_example(make: Callable[..., Retrieval]) -> None:
    """Five points on a line: a a b a b, and one label of its own."""
    result = make(np.array([0.0, 1.0, 2.5, 4.5, 7.0, 50.0])[:, None], [*"aabab", "c"])
    np.testing.assert_array_equal(result.first, [1, 1, 4, 3, 2])
    np.testing.assert_allclose(result.precision, [5 / 6, 5 / 6, 1 / 4, (1 / 3 + 2 / 4) / 2, 1 / 2])
    assert result.alone == 1 and result.top(1) == 0.4 and result.top(1, hard=True) == 0.4

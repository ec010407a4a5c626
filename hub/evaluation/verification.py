"""Verification: are two clips of one person? Error rates of every threshold, and of an open-set search.

Paper: Martin et al., "The DET Curve in Assessment of Detection Task Performance", Eurospeech 1997; for the open set
  Phillips, Grother and Micheals, "Evaluation Methods in Face Recognition", Handbook of Face Recognition, 2005
Slug: verification
Idea: each threshold trades strangers let in (FAR) for the right ones turned away (miss rate); the curve of the two says
  all, the equal error rate and the rate of acceptance at a small FAR say it in one number.
Differs: exact, from every distinct distance; nothing is binned, and between two of them only the EER is interpolated.
Checked: scikit-learn's `roc_curve` with its EER by root finding, plain loops, and cases by hand: perfect separation,
  all distances equal, unknown probes (tests/test_verification.py).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from hub.evaluation._distances import blocks, flat, squared_distances
from hub.registry import register


class AtFar(NamedTuple):
    """A threshold chosen for a false acceptance rate, and what it does."""

    threshold: float  # accept distances up to this one; -inf accepts nothing
    tar: float  # share of genuine accepted, in 0 ... 1; in an open-set search found and named right
    far: float  # share of impostors accepted: at most the one asked for
    note: str = ""  # one sentence where there are too few impostors to show the rate, else empty


@dataclass(frozen=True)
class Verification:
    """Error rates of T thresholds. `far` against `miss` is the DET curve, its axes drawn as normal deviates."""

    thresholds: np.ndarray  # [T] distances up to which two are accepted as one, from -inf (nothing), rising
    far: np.ndarray  # [T], share of impostors accepted, from 0 to 1
    tar: np.ndarray  # [T], share of genuine accepted, from 0 up
    genuine: int
    impostors: int

    @property
    def miss(self) -> np.ndarray:
        """Share of genuine turned away [T], from 1 down."""
        return 1 - self.tar

    @property
    def eer(self) -> float:
        """The rate at which FAR and misses are equal, on the straight line between the two nearest thresholds."""
        gap = self.far - self.miss
        at = int(np.argmax(gap >= 0))
        step = gap[at - 1] / (gap[at - 1] - gap[at])  # gap rises from -1, so there is a threshold before
        return float(self.far[at - 1] + step * (self.far[at] - self.far[at - 1]))

    def at_far(self, far: float) -> AtFar:
        """The largest threshold that accepts at most the share `far` of impostors.

        Raises:
            ValueError: `far` is not in 0 ... 1.
        """
        if not 0 <= far <= 1:
            raise ValueError(f"A false acceptance rate lies in 0 ... 1. Received: {far}.")
        at = int(np.searchsorted(self.far, far, side="right")) - 1
        note = ""
        if 0 < far < 1 / self.impostors:
            note = f"{self.impostors} impostors cannot show a rate of {far:g}: none is accepted here."
        return AtFar(float(self.thresholds[at]), float(self.tar[at]), float(self.far[at]), note)


@register("verification")
def verification(distances: Any, genuine: Any) -> Verification:
    """Error rates at every distinct distance.

    Pairs that share a person are not independent: intervals that count them as if they were are too narrow.

    Args:
        distances: [M], of which less is more alike; a genuine pair at inf is never accepted.
        genuine: [M], true or 1 where the two are of one person.

    Raises:
        ValueError: arrays of different lengths, a distance that is NaN, an impostor at infinity, or one kind of pairs.
    """
    distances, genuine = np.asarray(distances, "float64"), np.asarray(genuine, bool)
    if distances.ndim != 1 or distances.shape != genuine.shape:
        raise ValueError(
            f"Distances and answers are vectors of one length. Received: {distances.shape} and {genuine.shape}."
        )
    if np.isnan(distances).any():
        raise ValueError(f"Distances must be numbers. Received: {np.isnan(distances).sum()} times NaN.")
    count = int(genuine.sum())
    impostors = len(genuine) - count
    if not count or not impostors:
        raise ValueError(f"Genuine pairs and impostors are needed. Received: {count} genuine, {impostors} impostors.")
    if np.isinf(distances[~genuine]).any():
        raise ValueError("Impostors have finite distances. Received: infinity.")
    thresholds = np.unique(distances)
    thresholds = np.append(-np.inf, thresholds[np.isfinite(thresholds)])
    accepted, admitted = (
        np.searchsorted(np.sort(part), thresholds, side="right") for part in (distances[genuine], distances[~genuine])
    )
    return Verification(thresholds, admitted / impostors, accepted / count, count, impostors)


def pair_distances(embeddings: Any, subjects: Any, views: Any = None) -> tuple[np.ndarray, np.ndarray]:
    """Euclidean distances [M] of all pairs of N clips, N (N - 1) / 2, and whether each is genuine, bool [M].

    With `views` [N], pairs filmed from one angle are left out, as in `cross_view`.

    Raises:
        ValueError: arrays of different lengths, fewer than two embeddings, or one that is not finite.
    """
    embeddings, subjects, views = flat(embeddings, subjects, np.arange(len(subjects)) if views is None else views)
    if len(embeddings) < 2:
        raise ValueError(f"Pairs need two clips or more. Received: {len(embeddings)}.")
    parts = []
    for rows in blocks(len(embeddings), embeddings):
        later = np.arange(len(embeddings)) > np.arange(rows.start, rows.stop)[:, None]
        kept = later & (views[rows, None] != views)
        squared = squared_distances(embeddings[rows], embeddings)
        parts.append((np.sqrt(squared[kept]), (subjects[rows, None] == subjects)[kept]))
    distances, genuine = (np.concatenate(column) for column in zip(*parts, strict=True))
    return distances, genuine


def open_set(probes: Any, subjects: Any, gallery: Any, gallery_subjects: Any) -> Verification:
    """Error rates of a search among the enrolled, of whom some probes are none.

    Each probe is compared with its nearest entry. An unknown probe that comes within the threshold is a false alarm;
    a known one must come within it and be named right, so `tar` is the detection and identification rate, and
    need not reach 1. Where entries of two people are equally near, the name is wrong.

    Args:
        probes: [P, ...] embeddings.
        subjects: [P] identities.
        gallery: [G, ...] enrolled embeddings.
        gallery_subjects: [G].

    Raises:
        ValueError: arrays of different lengths, embeddings that are not finite, an empty gallery, or probes that are
            all known or all unknown.
    """
    probes, subjects = flat(probes, subjects)
    gallery, gallery_subjects = flat(gallery, gallery_subjects)
    if not len(gallery):
        raise ValueError("An open-set search needs a gallery. Received: no entries.")
    known = np.isin(subjects, gallery_subjects)
    nearest = np.empty(len(probes))
    for rows in blocks(len(probes), gallery):
        squared = squared_distances(probes[rows], gallery)
        least = squared.min(axis=1)
        wrong = ((squared == least[:, None]) & (subjects[rows, None] != gallery_subjects)).any(axis=1)
        nearest[rows] = np.where(known[rows] & wrong, np.inf, np.sqrt(least))
    return verification(nearest, known)


def contract_example(make: Callable[..., Verification]) -> None:
    """Three genuine pairs and four impostors, one of them nearer than the last genuine pair."""
    result = make([0.1, 0.2, 0.5, 0.4, 0.6, 0.7, 0.8], [1, 1, 1, 0, 0, 0, 0])
    np.testing.assert_allclose(result.far, [0, 0, 0, 0.25, 0.25, 0.5, 0.75, 1])
    np.testing.assert_allclose(result.miss, [1, 2 / 3, 1 / 3, 1 / 3, 0, 0, 0, 0], atol=1e-12)
    assert result.at_far(0.25)[:3] == (0.5, 1.0, 0.25) and abs(result.eer - 0.25) < 1e-12

"""Annotators: how far people agree beyond chance, and what each of them makes of a class.

Paper: Fleiss, "Measuring Nominal Scale Agreement Among Many Raters", Psychological Bulletin 76(5), 1971
Slug: ltnet
Idea: two who guess by the same frequencies agree by chance; kappa is the share of the possible agreement beyond that,
  (P - P_e) / (1 - P_e), and an annotator's row of P(label | truth) tells carelessness from a habit.
Differs: pairs are Cohen's kappa (1960), over the pictures that both labelled; Fleiss's asks for pictures that everyone
  labelled and is taken over those. Agreement says nothing of the truth: who shares a habit agrees well. The catalogue
  has no entry of its own for kappa.
Checked: Cohen's equals scikit-learn's, Fleiss's a loop over pictures and an example of its own by hand, with labels
  missing; known matrices have no error (tests/test_annotators.py).
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from hub.registry import register


class Agreement(NamedTuple):
    """Pairs that share no picture have NaN, and so has kappa where chance alone agrees always."""

    shared: np.ndarray  # int [A, A], pictures that both labelled
    agreement: np.ndarray  # [A, A], share of those with the same label
    kappa: np.ndarray  # [A, A], Cohen's
    fleiss: float  # over the pictures that everyone labelled
    complete: int  # how many those are


class AnnotatorRow(NamedTuple):
    """One annotator; what cannot be known is NaN."""

    name: str
    coverage: float  # share of the pictures that have a label of this annotator
    agreement: float  # mean over the others, of the pictures that both labelled
    kappa: float  # the same of Cohen's kappa
    correct: float  # mean of the estimated matrix's diagonal: P(says k | is k), every class counting alike
    error: float  # total variation between estimated and true matrix


@register("annotator_agreement")
def agreement(labels: ArrayLike) -> Agreement:
    """Pairwise agreement and kappas of labels, ints [N, A], -1 where there is none.

    Raises:
        ValueError: other labels, or none at all.
    """
    labels = _checked(labels)
    classes = int(labels.max()) + 1
    given = (labels >= 0).astype("float64")
    said = (labels[:, :, None] == np.arange(classes)).astype("float64")  # [N, A, L]
    counts = np.einsum("nak,nbk->ab", said, said)
    shared = given.T @ given
    marginal = np.einsum("nak,nb->abk", said, given)  # of a's labels on the pictures that b labelled too
    by_chance = np.einsum("abk,bak->ab", marginal, marginal)
    with np.errstate(invalid="ignore", divide="ignore"):
        same = counts / shared
        kappa = _beyond(same, by_chance / shared**2)
    complete = said[(labels >= 0).all(1)]
    return Agreement(shared.astype("int64"), same, kappa, _fleiss(complete), len(complete))


def total_variation(estimated: ArrayLike, true: ArrayLike) -> np.ndarray:
    """Half the L1 distance between rows of matrices [..., L, L], mean over the rows: [...], 0 to 1.

    Raises:
        ValueError: two shapes.
    """
    estimated, true = np.asarray(estimated, "float64"), np.asarray(true, "float64")
    if estimated.shape != true.shape or estimated.ndim < 2:
        raise ValueError(f"Two arrays [..., L, L] would do. Received: {estimated.shape} and {true.shape}.")
    return np.abs(estimated - true).sum(-1).mean(-1) / 2


def report(
    labels: ArrayLike,
    names: Sequence[str] | None = None,
    estimated: ArrayLike | None = None,
    true: ArrayLike | None = None,
) -> list[AnnotatorRow]:
    """A row per annotator.

    Args:
        labels: ints [N, A], -1 where there is none.
        names: of the annotators; "annotator 1" and so on by default.
        estimated: their matrices [A, L, L], such as `LatentTruthNet.transitions`.
        true: the matrices of simulated annotators.

    Raises:
        ValueError: other labels, or not one name or matrix per annotator.
    """
    labels = _checked(labels)
    count = labels.shape[1]
    names = [f"annotator {j + 1}" for j in range(count)] if names is None else list(names)
    unknown = np.full((count, 1, 1), np.nan)
    estimated = unknown if estimated is None else np.asarray(estimated, "float64")
    true = np.full(estimated.shape, np.nan) if true is None else true
    if len(names) != count or estimated.ndim != 3 or len(estimated) != count:
        raise ValueError(
            f"A name and a matrix for each of {count} annotators would do. Received: {len(names)} names, matrices of "
            f"shape {estimated.shape}."
        )
    found = agreement(labels)
    others = ~np.eye(count, dtype=bool)
    columns = zip(
        names,
        (labels >= 0).mean(0),
        _means(found.agreement, others),
        _means(found.kappa, others),
        np.trace(estimated, axis1=1, axis2=2) / estimated.shape[-1],
        total_variation(estimated, true),
        strict=True,
    )
    return [AnnotatorRow(name, *map(float, figures)) for name, *figures in columns]


def _means(pairs: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """Mean of each row over what is chosen and not NaN; NaN where nothing is."""
    known = chosen & ~np.isnan(pairs)
    with np.errstate(invalid="ignore"):
        return np.where(known, pairs, 0).sum(1) / known.sum(1)


def _fleiss(said: np.ndarray) -> float:
    """Kappa of one-hot labels [N, A, L]."""
    pictures, annotators = said.shape[:2]
    if not pictures or annotators < 2:
        return float("nan")
    votes = said.sum(1)
    observed = (votes * (votes - 1)).sum() / (pictures * annotators * (annotators - 1))
    return float(_beyond(observed, np.square(votes.sum(0) / votes.sum()).sum()))


def _beyond(observed, by_chance):
    room = 1 - np.asarray(by_chance)
    return np.where(room > 1e-12, (observed - by_chance) / np.where(room > 1e-12, room, 1), np.nan)


def _checked(labels: ArrayLike) -> np.ndarray:
    labels = np.asarray(labels)
    if labels.ndim != 2 or labels.dtype.kind not in "iu" or not labels.size or labels.min() < -1:
        raise ValueError(
            f"Labels are ints [N, annotators] from -1 (none) on. Received: {labels.dtype} of shape {labels.shape}."
        )
    if labels.max() < 0:
        raise ValueError("At least one label is needed; all are -1.")
    return labels.astype("int64")


def contract_example(make) -> None:
    """Two who agree on 3 of 4 pictures, each saying both classes alike: kappa is (3/4 - 1/2) / (1 - 1/2)."""
    found = make(labels=np.array([[0, 0], [0, 0], [1, 1], [1, 0], [1, -1]]))
    assert found.shared[0, 1] == found.complete == 4 and found.agreement[0, 1] == 0.75
    np.testing.assert_allclose(found.kappa[0, 1], 0.5)
    # By Fleiss both share one distribution, 5/8 and 3/8.
    np.testing.assert_allclose(found.fleiss, (0.75 - 34 / 64) / (1 - 34 / 64))

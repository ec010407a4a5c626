"""Whole patients to training, validation and test, alike in classes and archives."""

from collections.abc import Mapping
from typing import Any

import numpy as np

SHARES = {"train": 0.64, "validation": 0.16, "test": 0.2}


def patient_split(films: Any, shares: Mapping[str, float] = SHARES, seed: int = 0) -> dict[str, np.ndarray]:
    """Indices of films per split: no patient is in two, and each split has its share of every class of every archive.

    The protocol of the Montgomery and Shenzhen papers' followers, 64/16/20, by default. A patient with films of
    several classes counts with the highest one.

    Args:
        films: has `label`, `patient` and `source`, each [N]; see `hub.data.chest_films.Films`.
        shares: split -> share of the films, adding up to 1.
        seed: same seed, same split, whatever the order of the films of a patient.

    Returns:
        split -> sorted int64 indices; together every film once.

    Raises:
        ValueError: shares that do not add up to 1, no films, or a split that would be empty.
    """
    if not shares or min(shares.values()) <= 0 or abs(sum(shares.values()) - 1) > 1e-6:
        raise ValueError(f"Shares must be positive and add up to 1. Received: {dict(shares)}.")
    if not len(films.patient):
        raise ValueError("There are no films to split.")
    patients, first, of = np.unique(films.patient, return_index=True, return_inverse=True)
    counts = np.bincount(of)
    labels = np.full(len(patients), np.iinfo(np.int64).min)
    np.maximum.at(labels, of, films.label)
    _, stratum = np.unique(np.stack([np.unique(films.source, return_inverse=True)[1][first], labels]), axis=1,
                           return_inverse=True)  # fmt: skip
    rng = np.random.default_rng(seed)
    edges = np.cumsum(list(shares.values()))
    part = np.empty(len(patients), np.int64)
    for kind in range(stratum.max() + 1):
        members = rng.permutation(np.flatnonzero(stratum.ravel() == kind))
        reached = np.cumsum(counts[members])
        middles = (reached - counts[members] / 2) / reached[-1]  # where the patient lies on the way through the class
        part[members] = np.minimum(np.searchsorted(edges, middles, side="right"), len(edges) - 1)
    found = {name: np.flatnonzero(part[of] == at) for at, name in enumerate(shares)}
    if empty := [name for name, indices in found.items() if not indices.size]:
        raise ValueError(f"{len(patients)} patients are too few for {len(shares)} splits: {empty[0]} would be empty.")
    return found

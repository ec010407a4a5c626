"""Leakage: what a test set has in common with a training set.

Paper: Kapoor and Narayanan, "Leakage and the reproducibility crisis in machine-learning-based science", Patterns 4(9),
    2023, arXiv:2207.07048
Slug: leakage
Idea: duplicates and films of the same patient on both sides of a split make results too good; look for them first.
Differs: three of the paper's kinds are looked for: shared patients, identical files, and near-duplicate pictures by a
    64-bit difference hash; shortcuts and the like need a model. Near duplicates are reported only: of 7,140 pairs
    of different drawn patients 23 lie within 4 bits, and a copy that lost 3 % on each side often lies beyond.
Checked: planted copies and patients, hashes against slow loops (tests/test_leakage.py).
"""

from collections.abc import Callable
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np

from hub.registry import register

NEAR = 4  # bits of 64
_CELLS = 16_000_000  # distances, or pixels, held at once


class Leaks(NamedTuple):
    """What two sets share."""

    patients: list[str]
    files: list[tuple[int, int]]  # indices of films with the same bytes, in the first set and in the second
    near: list[tuple[int, int, int]]  # indices of films that look alike, and their distance in bits


@register("leakage")
def leakage(first: Any, second: Any) -> Leaks:
    """Patients, files and near-duplicate pictures that are in both sets.

    Args:
        first, second: have `patient` and `sha256`, [N] strings, and `images`, [N, H, W, 1] or [N, H, W], 0..255.
    """
    patients = np.intersect1d(first.patient, second.patient)
    number = np.unique(np.concatenate([first.sha256, second.sha256]), return_inverse=True)[1]
    files = _pairs(number[: len(first.sha256), None] == number[len(first.sha256) :])
    return Leaks(patients.tolist(), files, _near(difference_hash(first.images), difference_hash(second.images)))


def refuse_leakage(**splits: Any) -> dict[tuple[str, str], Leaks]:
    """What each two of the named sets share, where it is near duplicates at most.

    Raises:
        ValueError: two sets share a patient or a file; one sentence names the first one and counts them.
    """
    found = {}
    for (name, one), (other, two) in combinations(splits.items(), 2):
        leaks = found[name, other] = leakage(one, two)
        counts = f"{len(leaks.patients)} patients and {len(leaks.files)} identical files are in both"
        if leaks.patients:
            raise ValueError(f"{name} and {other} share the patient {leaks.patients[0]}: {counts}; split by patient.")
        if leaks.files:
            names = one.name[leaks.files[0][0]], two.name[leaks.files[0][1]]
            raise ValueError(f"{name} has {names[0]} and {other} the same file as {names[1]}: {counts}; remove copies.")
    return found


def difference_hash(images: np.ndarray) -> np.ndarray:
    """Which of two neighbours is brighter in a reduction to 8 rows of 9 (Krawetz's dHash), bool [N, 64].

    Args:
        images: [N, H, W] or [N, H, W, 1], 8 x 9 or larger.
    """
    images = images[..., 0] if images.ndim == 4 else images
    rows, columns = _averages(8, images.shape[1]), _averages(9, images.shape[2])
    step = max(1, _CELLS // max(1, images[0].size if len(images) else 1))
    small = [rows @ images[at : at + step].astype(np.float32) @ columns.T for at in range(0, len(images), step)]
    small = np.concatenate(small) if small else np.zeros((0, 8, 9), np.float32)
    return (small[:, :, 1:] > small[:, :, :-1]).reshape(-1, 64)


def _averages(count: int, size: int) -> np.ndarray:
    """Weights [count, size] of the means over `count` equal parts of an axis, broken pixels counted in part."""
    edges = np.linspace(0, size, count + 1)
    pixels = np.arange(size)
    inside = np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels)
    return (np.clip(inside, 0, 1) * count / size).astype(np.float32)


def _near(first: np.ndarray, second: np.ndarray) -> list[tuple[int, int, int]]:
    signs = np.where(second, 1, -1).astype(np.float32).T
    step = max(1, _CELLS // max(1, signs.shape[1]))
    found = []
    for at in range(0, len(first), step):
        apart = (64 - np.where(first[at : at + step], 1, -1).astype(np.float32) @ signs) / 2
        found += [(at + i, j, int(apart[i, j])) for i, j in _pairs(apart <= NEAR)]
    return found


def _pairs(alike: np.ndarray) -> list[tuple[int, int]]:
    return [(int(i), int(j)) for i, j in np.argwhere(alike)]


def contract_example(make: Callable[..., Leaks]) -> None:
    """A copy, a brighter copy and a second film of one patient are found; a stranger is not."""
    from types import SimpleNamespace

    images = np.random.default_rng(0).uniform(0, 200, (4, 8, 9)).repeat(4, 1).repeat(4, 2)[..., None]
    train = SimpleNamespace(images=images[:3], patient=["a", "b", "c"], sha256=["1", "2", "3"])
    test = SimpleNamespace(images=images[[0, 1, 3]] + [[[[0]]], [[[40]]], [[[0]]]],
                           patient=["x", "y", "c"], sha256=["1", "5", "6"])  # fmt: skip
    assert make(train, test) == Leaks(["c"], [(0, 0)], [(0, 0, 0), (1, 1, 0)])

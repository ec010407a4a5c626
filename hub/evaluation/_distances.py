"""Euclidean distances of many embeddings: in blocks, and so that a tie is a tie."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

_CELLS = 8_000_000  # numbers of one block, 64 MB
_ROUNDING = (
    37  # bits of the larger of |a|^2 and |b|^2 that are kept: a sum of 16,000 products in float64 is good for 45
)


def flat(embeddings: Any, *columns: Any) -> tuple[np.ndarray, ...]:
    """Embeddings as [N, D], from [N, ...], and each of the columns that describe them as [N].

    Raises:
        ValueError: no embeddings, or a column of another length.
    """
    embeddings, *columns = map(np.asarray, (embeddings, *columns))
    if embeddings.ndim < 2 or any(c.shape != embeddings.shape[:1] for c in columns):
        raise ValueError(
            "Embeddings are [N, ...] and what describes them is [N]. "
            f"Received: shapes {', '.join(str(a.shape) for a in (embeddings, *columns))}."
        )
    return embeddings.reshape(len(embeddings), math.prod(embeddings.shape[1:])), *columns


def blocks(rows: int, b: np.ndarray) -> Iterator[slice]:
    """Slices of `rows` embeddings, such that those of a slice and their distances to all of b [m, D] stay small."""
    step = max(1, _CELLS // max(*b.shape, 1))
    return (slice(start, min(start + step, rows)) for start in range(0, rows, step))


def squared_distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Squared distances [n, m] of a [n, D] and b [m, D] in float64, whatever their type.

    They are measured from the first of b, so that what all have in common costs no digits, and rounded to a power of
    two that the rest can vouch for: equal embeddings are 0 apart and equally far from others (but where a rounded value
    falls between two steps) although a matrix product may add in another order, and whole numbers stay exact.

    Raises:
        ValueError: embeddings of two lengths, or one that is not finite.
    """
    if a.shape[1] != b.shape[1]:
        raise ValueError(f"Embeddings to compare have one length. Received: {a.shape[1]} and {b.shape[1]} numbers.")
    if not len(b):
        return np.empty((len(a), 0))
    origin = _finite(b[:1])
    a = _finite(a) - origin
    lengths, units = _lengths(a)
    result = np.empty((len(a), len(b)))
    step = max(1, _CELLS // max(b.shape[1], 1))
    for start in range(0, len(b), step):
        part = _finite(b[start : start + step]) - origin
        part_lengths, part_units = _lengths(part)
        squared = np.matmul(a, part.T, out=result[:, start : start + step])
        squared *= -2
        squared += lengths[:, None]
        squared += part_lengths
        np.maximum(squared, 0, out=squared)
        unit = np.maximum(units[:, None], part_units)
        squared /= unit
        np.rint(squared, out=squared)
        squared *= unit
    return result


def _lengths(embeddings: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Squared lengths [n], and the power of two [n] that a distance of each can be trusted to."""
    lengths = np.einsum("nd,nd->n", embeddings, embeddings)
    return lengths, np.ldexp(1.0, np.where(lengths > 0, np.frexp(lengths)[1] - _ROUNDING, -900))


def _finite(embeddings: np.ndarray) -> np.ndarray:
    embeddings = embeddings.astype("float64")
    if not np.isfinite(embeddings).all():
        raise ValueError("Embeddings must be finite numbers. Received: NaN or infinity in at least one.")
    return embeddings


def own_ranks(distances: np.ndarray, own: np.ndarray) -> np.ndarray:
    """The place, from 1, of each row's nearest own column [n]; inf where it has none.

    Args:
        distances: [n, m]; inf where two must not be compared.
        own: bool [n, m], the columns of the row's identity. Others that are equally far come first: a network that
            sends everybody to one point recognises nobody.
    """
    nearest = np.where(own, distances, np.inf).min(axis=1, initial=np.inf)
    before = ((distances <= nearest[:, None]) & ~own).sum(axis=1)
    return np.where(np.isfinite(nearest), before + 1.0, np.inf)

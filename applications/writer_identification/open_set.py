"""Pages looked for among enrolled writers of whom the right one may be none."""

from typing import Any

from applications.writer_identification.dataset import Search
from applications.writer_identification.scorer import Scorer


def open_set(scorer: Scorer, embeddings: Any, search: Search) -> tuple[Any, Any, Any, Any]:
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
        squares = squared_distances(vectors[probe], vectors[gallery])
        squares[group[probe][:, None] != group[gallery]] = np.inf
        best = squares.argmin(axis=1)
        nearest.append(np.sqrt(squares.min(axis=1)))
        right.append(writer[gallery][best] == writer[probe])
        known.append(turn[probe] == half)
        of.append(writer[probe])
    nearest, right, known, of = map(np.concatenate, (nearest, right, known, of))
    return verification(np.where(known & ~right, np.inf, nearest), known), nearest, known, of


def squared_distances(a: Any, b: Any) -> Any:
    """Squared distances [N, M] of vectors [N, D] and [M, D]."""
    import numpy as np

    return np.maximum((a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1) - 2 * a @ b.T, 0)

"""A gallery: people, or writers, with the embeddings they were enrolled with, in one file that is searched exactly.

`Gallery.create` starts one for a model's embeddings, `add` enrols (what it acknowledged survives a kill at any moment,
see `hub.gallery_file`), `search` ranks people by the nearest of their embeddings, `remove` erases a person from the
disk. The index is made by the first search and kept in memory, 4 * width bytes per embedding.
"""

import collections
import dataclasses
import difflib
import hashlib
import json
import math
import os
import pathlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from hub.gallery_file import GalleryFile
from hub.gallery_file import create as create_file

if TYPE_CHECKING:
    import faiss
    import numpy as np

LARGEST = 1e37  # of a squared length, short of float32's overflow
PRODUCT = 4  # queries from which on distances come from a matrix product
SCRATCH = 1 << 22  # numbers that a search handles at a time


@dataclasses.dataclass(frozen=True)
class Matches:
    """The nearest people of each query, best first, and of each of them the nearest embedding.

    names, sources: [Q][C] texts, C the smaller of `count` and the number of people.
    distances: Euclidean, float64 [Q, C].
    known: bool [Q, C], whether the distance is within the threshold (all True without one).
    """

    names: list[list[str]]
    distances: "np.ndarray"
    sources: list[list[str]]
    known: "np.ndarray"


class Gallery:
    """Enrolled people and their embeddings, by `Gallery.create` or `Gallery.open`; `len` counts the embeddings."""

    def __init__(self, file: GalleryFile):
        self._file = file
        self._indexed = ""  # the file that the index is of
        self.path: pathlib.Path = file.path
        self.model: str = file.about["model"]  # the fingerprint of the model whose embeddings these are
        self.width: int = file.about["width"]  # numbers per embedding

    @classmethod
    def create(cls, path: str | os.PathLike[str], *, model: str, width: int) -> "Gallery":
        """A new gallery of nobody, readable by its owner alone, for embeddings [N, width] of `model`, a fingerprint.

        Raises:
            FileExistsError: there is something at `path`.
            ValueError: `model` is empty or longer than 2000 characters, or `width` is below 1.
        """
        if not model or len(json.dumps(model)) > 2000 or width < 1:
            raise ValueError(f"A gallery needs a model's fingerprint and a width. Received: {model[:40]!r}, {width}.")
        create_file(path, model, width)
        return cls.open(path)

    @classmethod
    def open(cls, path: str | os.PathLike[str], model: str | None = None) -> "Gallery":
        """The gallery at `path`; with `model`, only if its embeddings are that model's.

        Raises:
            ValueError: the file is no gallery, of a newer version, cut short, damaged, or of another model.
        """
        gallery = cls(GalleryFile(path))
        if model is not None:
            gallery.expect(model)
        return gallery

    def expect(self, model: str) -> None:
        """Refuse a model whose embeddings these are not.

        Raises:
            ValueError: `model` is not the fingerprint of the gallery's model.
        """
        if model != self.model:
            raise ValueError(
                f"{self.path} holds embeddings of the model {self.model[:12]}, which say nothing beside those of "
                f"{model[:12]}; use the model it was enrolled with, or enrol into a new gallery."
            )

    def __len__(self) -> int:
        return len(self._file.sources)

    def names(self) -> list[str]:
        """The people, in the order of their first enrolment."""
        return list(self._file.people)

    def people(self) -> dict[str, list[str]]:
        """The sources that each person was enrolled with."""
        names = self.names()
        found: dict[str, list[str]] = {name: [] for name in names}
        for person, source in zip(self._file.person, self._file.sources, strict=True):
            found[names[person]].append(source)
        return found

    def add(self, names: Sequence[str], embeddings: Any, sources: Sequence[str]) -> None:
        """Enrol all rows or none; once this returns they are on the disk. Waits while another process writes.

        Args:
            names: whose embedding each row is, [N]; a person may have many.
            embeddings: [N, width] finite numbers, kept as float32.
            sources: where each row is from, [N].

        Raises:
            ValueError: a row is no finite embedding of this width, a name is empty, or the same embedding or the same
                source is enrolled under the same name already; the gallery stays as it was.
        """
        vectors, names, sources = self._checked(embeddings), list(names), list(sources)
        if not len(names) == len(sources) == len(vectors):
            raise ValueError(
                f"Every embedding needs a name and a source. Received: {len(vectors)} embeddings, {len(names)} names, "
                f"{len(sources)} sources."
            )
        for kind, texts in (("name", names), ("source", sources)):
            if wrong := [text for text in texts if not isinstance(text, str) or not text.strip()]:
                raise ValueError(f"A {kind} must be a text that is not empty. Received: {wrong[0]!r}.")
        with self._file.writing() as file:
            self._refuse_twice(names, vectors, sources)
            self._file.append(file, names, sources, vectors)

    def remove(self, name: str) -> int:
        """Erase a person, and give back the number of embeddings that were.

        Raises:
            ValueError: nobody of that name is enrolled.
        """
        import numpy as np

        with self._file.writing():
            if name not in self._file.people:
                near = difflib.get_close_matches(name, self._file.people, n=1)
                hint = f" Did you mean {near[0]!r}?" if near else ""
                raise ValueError(f"Nobody named {name!r} is enrolled in {self.path}.{hint}")
            kept = np.array(self._file.person) != self._file.people[name]
            self._file.keep(np.flatnonzero(kept))
        return int((~kept).sum())

    def search(self, embeddings: Any, count: int = 5, threshold: float | None = None) -> Matches:
        """The `count` nearest people of each row of `embeddings` [Q, width]; equal distances in order of enrolment.

        Exact: FAISS finds candidates in float32, their distances are taken again in float64, and the candidates grow
        until no row left out can be nearer, whatever was rounded.

        Raises:
            ValueError: a row is no finite embedding of this width, `count` is below 1, or nobody is enrolled.
        """
        import numpy as np

        queries = self._checked(embeddings)
        if count < 1:
            raise ValueError(f"A search needs a count of at least 1. Received: {count}.")
        if not len(self):
            raise ValueError(f"Nobody is enrolled in {self.path}.")
        index, person, people = self._index(), np.array(self._file.person), self.names()
        count = min(count, len(people))
        rows, squares = np.empty((len(queries), count), np.int64), np.empty((len(queries), count))
        candidates, left = 16 + 2 * count * math.ceil(len(self) / len(people)), np.arange(len(queries))
        while len(left):
            candidates = min(candidates, len(self))
            step, unsure = max(1, SCRATCH // candidates), []
            for some in (left[start : start + step] for start in range(0, len(left), step)):
                sure, found, square = self._nearest(index, person, queries[some], count, candidates)
                rows[some[sure]], squares[some[sure]] = found, square
                unsure.append(some[~sure])
            left, candidates = np.concatenate(unsure), 8 * candidates
        distances = np.sqrt(squares)
        return Matches(
            [[people[i] for i in line] for line in person[rows]],
            distances,
            [[self._file.sources[i] for i in line] for line in rows],
            distances <= (np.inf if threshold is None else threshold),
        )

    def _nearest(
        self, index: "faiss.IndexFlatL2", person: "np.ndarray", queries: "np.ndarray", count: int, candidates: int
    ) -> tuple["np.ndarray", "np.ndarray", "np.ndarray"]:
        """Which queries are certain, bool [Q]; of those, rows and squared distances of the nearest people, [., C]."""
        import numpy as np

        rough, rows = _rough(index, queries, candidates)
        squares = np.empty(rows.size)
        which, step = np.arange(rows.size) // candidates, max(1, SCRATCH // self.width)
        for part in (slice(start, start + step) for start in range(0, rows.size, step)):
            gap = index.reconstruct_batch(rows.reshape(-1)[part]).astype(float) - queries[which[part]]
            squares[part] = np.einsum("nd,nd->n", gap, gap)
        squares = squares.reshape(rows.shape)
        order = np.lexsort((rows, squares), axis=-1)
        rows, squares = np.take_along_axis(rows, order, 1), np.take_along_axis(squares, order, 1)
        best = _first_of_each(person[rows])
        rank = np.cumsum(best, 1)
        chosen, sure = best & (rank <= count), rank[:, -1] >= count
        if candidates < len(self):
            # |x|² + |y|² - 2xy, each summed in float32, is off by at most width * 2^-24 * (|x| + |y|)²
            lengths = np.linalg.norm(queries.astype(float), axis=1) + self._longest
            slack = 1.01 * (self.width + 4) * 2.0**-24 * lengths**2
            sure &= np.where(chosen, squares, 0).max(1) < rough[:, -1] - slack
        return sure, rows[sure][chosen[sure]].reshape(-1, count), squares[sure][chosen[sure]].reshape(-1, count)

    def _index(self) -> "faiss.IndexFlatL2":
        """The index over all rows; made once, and continued as rows are added."""
        import faiss
        import numpy as np

        if self._indexed != self._file.about["id"]:
            self._indexed, self._searcher, self._longest = self._file.about["id"], faiss.IndexFlatL2(self.width), 0.0
        for vectors in self._file.embeddings(slice(self._searcher.ntotal, None)):
            self._searcher.add(vectors)
            self._longest = max(self._longest, float(np.einsum("nd,nd->n", vectors, vectors).max()) ** 0.5)
        return self._searcher

    def _checked(self, embeddings: Any) -> "np.ndarray":
        """`embeddings` as float32 [N, width]."""
        import numpy as np

        with np.errstate(over="ignore", invalid="ignore"):
            vectors = np.ascontiguousarray(embeddings, "<f4")
            if vectors.ndim != 2 or vectors.shape[1] != self.width or not len(vectors):
                raise ValueError(
                    f"{self.path} takes embeddings of shape [N, {self.width}] with N of at least 1. Received shape: "
                    f"{np.shape(embeddings)}."
                )
            wrong = np.flatnonzero(~(np.einsum("nd,nd->n", vectors, vectors) < LARGEST))
        if len(wrong):
            raise ValueError(f"Embedding {wrong[0]} of {len(vectors)} is not finite, or too large for float32.")
        return vectors

    def _refuse_twice(self, names: list[str], vectors: "np.ndarray", sources: list[str]) -> None:
        """Refuse a source or an embedding that is under its name already, in the gallery or among the new rows."""
        enrolled = self._file.people
        several = {name for name, times in collections.Counter(names).items() if times > 1 or name in enrolled}
        known: set[tuple[str, str | bytes]] = set()
        for name, source, bits in self._file.rows(several):
            known |= {(name, source), (name, _digest(bits))}
        for name, vector, source in zip(names, vectors, sources, strict=True):
            if name in several:
                keys = {(name, source), (name, _digest(vector))}
                if known & keys:
                    twice = "is" if (name, source) in known else "gives an embedding that is"
                    raise ValueError(f"{source} {twice} enrolled as {name!r} already.")
                known |= keys


def verify(a: Any, b: Any, threshold: float) -> tuple[bool, float]:
    """Whether two embeddings [D] are within `threshold` of one another, and their Euclidean distance.

    Raises:
        ValueError: they differ in length, or are not finite.
    """
    import numpy as np

    first, second = np.asarray(a, float), np.asarray(b, float)
    if first.shape != second.shape or first.ndim != 1 or not len(first):
        raise ValueError(f"Two embeddings [D] of one length are needed. Received: {first.shape} and {second.shape}.")
    distance = float(np.linalg.norm(first - second))
    if not math.isfinite(distance):
        raise ValueError("An embedding that is not finite cannot be compared.")
    return distance <= threshold, distance


def _rough(index: "faiss.IndexFlatL2", queries: "np.ndarray", count: int) -> tuple["np.ndarray", "np.ndarray"]:
    """Squared distances and rows [Q, count], by a matrix product where there are several queries.

    For a hundred that takes a seventh of the time; FAISS 1.15 would do so only from Q * width = 128,000 on, since the
    product rounds more. (What its threshold counts has changed between its versions, hence all or nothing.)
    """
    import faiss

    usual = faiss.cvar.distance_compute_blas_threshold
    faiss.cvar.distance_compute_blas_threshold = 1 if len(queries) >= PRODUCT else 2**31 - 1
    try:
        return index.search(queries, count)
    finally:
        faiss.cvar.distance_compute_blas_threshold = usual


def _first_of_each(values: "np.ndarray") -> "np.ndarray":
    """Where a value [N, K] occurs for the first time in its row."""
    import numpy as np

    order = np.argsort(values, axis=1, kind="stable")
    ordered = np.take_along_axis(values, order, 1)
    new = np.ones(values.shape, bool)
    new[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    first = np.empty(values.shape, bool)
    np.put_along_axis(first, order, new, 1)
    return first


def _digest(vector: Any) -> bytes:
    return hashlib.blake2b(vector, digest_size=16).digest()

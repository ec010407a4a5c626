"""One million enrolled embeddings: how long enrolment, opening and search take, and whether the search is exact.

    OMP_NUM_THREADS=1 python benchmarks/gallery.py [--rows 1000000] [--width 256] [--folder DIR]

Random embeddings of 100,000 people with ten each, enrolled by one durable `add`; 200 queries, half of them enrolled
embeddings with a little noise, half fresh. Exact is brute force over every row in float64 with NumPy; recall@1 is the
share of queries for which both name the same person and the same distance to 1e-9. Seconds are this machine's; the
ratio is of CPU seconds, to NumPy's brute force in float32 in the same run. Needs about four times the embeddings' size
in memory.
"""

import argparse
import pathlib
import tempfile
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from hub.gallery import Gallery

EACH, QUERIES, MODEL = 10, 200, "random-embeddings"


class Times(NamedTuple):
    cpu: float
    wall: float


def timed(what: Callable[[], Any]) -> tuple[Times, Any]:
    cpu, wall = time.process_time(), time.perf_counter()
    result = what()
    return Times(time.process_time() - cpu, time.perf_counter() - wall), result


def exact(queries: np.ndarray, vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Row and distance of the nearest vector of each query, all in float64."""
    best, row = np.full(len(queries), np.inf), np.zeros(len(queries), int)
    for start in range(0, len(vectors), 5000):
        block = vectors[start : start + 5000].astype(float)
        for i, query in enumerate(queries.astype(float)):
            gap = block - query
            squares = np.einsum("nd,nd->n", gap, gap)
            nearest = int(squares.argmin())
            if squares[nearest] < best[i]:
                best[i], row[i] = squares[nearest], start + nearest
    return row, np.sqrt(best)


def brute(queries: np.ndarray, vectors: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """What one writes without a library: |y|² - 2xy in float32, a block of rows at a time."""
    best, row = np.full(len(queries), np.inf, "float32"), np.zeros(len(queries), int)
    for start in range(0, len(vectors), 100_000):
        rest = lengths[start : start + 100_000] - 2 * queries @ vectors[start : start + 100_000].T
        nearest = rest.argmin(1)
        value = rest[np.arange(len(queries)), nearest]
        row, best = np.where(value < best, start + nearest, row), np.minimum(value, best)
    return row


def measure(rows: int, width: int, path: pathlib.Path) -> None:
    random = np.random.default_rng(0)
    vectors = random.standard_normal((rows, width), "float32")
    names = [f"person {i // EACH}" for i in range(rows)]
    sources = [f"{i}.mp4" for i in range(rows)]
    noise = 0.3 * random.standard_normal((QUERIES // 2, width), "float32")
    fresh = random.standard_normal((QUERIES // 2, width), "float32")
    queries = np.concatenate([vectors[random.integers(0, rows, QUERIES // 2)] + noise, fresh])

    lines = []
    gallery = Gallery.create(path, model=MODEL, width=width)
    lines.append(("enrol all, durable", timed(lambda: gallery.add(names, vectors, sources))[0], ""))
    lines.append(("enrol one more", timed(lambda: gallery.add(["new"], fresh[:1] + 9, ["new.mp4"]))[0], ""))
    del gallery
    opening, gallery = timed(lambda: Gallery.open(path, MODEL))
    lines.append(("open (every byte checked)", opening, ""))
    first = timed(lambda: gallery.search(queries[:1], 1))[0]
    batches = {1: [queries[i : i + 1] for i in range(0, QUERIES, 20)], 100: [queries[::2], queries[1::2]]}
    lengths = np.einsum("nd,nd->n", vectors, vectors)
    for size, parts in batches.items():
        ours = min(timed(lambda part=part: gallery.search(part, 5))[0] for part in parts)
        theirs = min(timed(lambda part=part: brute(part, vectors, lengths))[0] for part in parts[:3])
        if size == 1:
            lines.append(("first search (makes the index)", first, ""))
        lines.append((f"search, {size} at once", ours, f"{ours.cpu / theirs.cpu:.2f} of NumPy's {theirs.cpu:.3f}"))
    matches = gallery.search(queries, 5)
    slow, (row, distance) = timed(lambda: exact(queries, vectors))
    lines.append((f"NumPy in float64, {QUERIES} queries", slow, ""))
    same = [found[0] == names[i] for found, i in zip(matches.names, row, strict=True)]
    right = np.array(same) & np.isclose(matches.distances[:, 0], distance, rtol=1e-9, atol=0)
    print(
        f"{rows:,} embeddings of {width} numbers, {len(gallery.names()):,} people; {path.stat().st_size / 1e6:,.0f} MB"
    )
    print(f"{'':<36}{'CPU s':>9}{'wall s':>9}")
    for what, spent, note in lines:
        print(f"{what:<36}{spent.cpu:>9.3f}{spent.wall:>9.3f}  {note}")
    half = QUERIES // 2
    print(f"recall@1 against exact: {right[:half].mean():.3f} (enrolled, noisy), {right[half:].mean():.3f} (fresh)")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--folder", help="where the file is written, and removed again (default: the temporary folder)")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        measure(args.rows, args.width, pathlib.Path(folder, "million.gallery"))

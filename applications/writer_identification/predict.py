"""Who wrote this page: its words vote, the enrolled writers of a gallery are ranked, strangers are refused."""

import argparse
import pathlib
from collections.abc import Iterator
from typing import Any

SHOWN = 5  # writers that are named


def configure(parser: argparse.ArgumentParser) -> None:
    """Flags of `hub predict writer_identification`."""
    from applications.writer_identification import embed

    embed.configure(parser)
    parser.add_argument("--gallery", metavar="FILE", help="the writers to choose among (see `hub gallery`)")
    parser.add_argument("--out", metavar="DIR", help="write vectors, and a page with the words and their votes")


def predict(folder: pathlib.Path, args: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """One row per source: `source name probability distance threshold ranked votes words`, or `source error`."""
    from applications.writer_identification.embed import Embedder
    from hub.gallery import Gallery

    reader = Embedder(folder, args.word)
    gallery = Gallery.open(args.gallery, reader.model) if args.gallery else None
    if gallery is not None and not len(gallery):
        raise ValueError(f"Nobody is enrolled in {args.gallery}; `hub gallery add writer_identification` enrols.")
    out = pathlib.Path(args.out) if args.out else None
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
    for source in args.images:
        (one,) = reader.embed([source])
        if one.error:
            yield {"source": source, "error": one.error}
            continue
        row = {"source": source, "key_points": len(one.bins), "words": f"{source}: {one.words}"}
        if gallery is not None:
            row |= _named(reader, gallery, one)
        if out is not None:
            _write(out, one, row)
        yield row


def _named(reader: Any, gallery: Any, one: Any) -> dict[str, Any]:
    """The writers by probability, the words' votes, and the verdict."""
    import numpy as np

    people = len(gallery.names())
    found = gallery.search(one.vector[None], people, reader.search_threshold)
    names, distances = found.names[0], found.distances[0]
    probability = _probability(distances[None], np.array([len(one.bins)]), reader.temperature)[0]
    words, vectors, count = reader.words_of(one)
    near = gallery.search(vectors, people)
    votes = [ranked[0] for ranked in near.names]
    sure = _probability(near.distances, count, reader.temperature)[:, 0]
    known = bool(found.known[0][0])
    said = f"{names[0]}" if known else f"nobody enrolled, {names[0]} is nearest"
    said += f" (probability {probability[0]:.2g} among {people} enrolled, distance {distances[0]:.3g}, threshold "
    said += f"{reader.search_threshold:.3g}; {votes.count(names[0])} of {len(votes)} words say so)"
    ranked = [
        {"name": name, "probability": round(float(p), 6), "distance": round(float(d), 6)}
        for name, p, d in zip(names, probability, distances, strict=True)
    ][:SHOWN]
    return {
        "name": names[0] if known else None,
        "probability": ranked[0]["probability"],
        "distance": ranked[0]["distance"],
        "threshold": reader.search_threshold,
        "ranked": ranked,
        "votes": [
            {"word": word + 1, "name": name, "probability": round(float(p), 6)}
            for word, name, p in zip(words.tolist(), votes, sure, strict=True)
        ],
        "words": f"{one.source}: {said}; {one.words}",
    }


def _probability(distances: Any, count: Any, temperature: float) -> Any:
    """Softmax [M, K] of the scores, which sum over `count` [M] key points at squared distances [M, K] each."""
    import numpy as np

    logits = -count[:, None] * distances**2 / temperature
    share = np.exp(logits - logits.max(axis=1, keepdims=True))
    return share / share.sum(axis=1, keepdims=True)


def _write(out: pathlib.Path, one: Any, row: dict[str, Any]) -> None:
    """`STEM.npz`, the vector, and of a page `STEM.html`, its words coloured by whom they speak for."""
    import numpy as np

    from applications.writer_identification import page_report

    stem = pathlib.Path(one.source).stem
    np.savez(out / f"{stem}.npz", vector=one.vector)
    if one.page is None or "votes" not in row:
        return
    page_report.write(
        out / f"{stem}.html",
        pathlib.Path(one.source).name,
        one.picture,
        one.page.corners()[[vote["word"] - 1 for vote in row["votes"]]],
        [(f"word {vote['word']}", vote["name"], vote["probability"]) for vote in row["votes"]],
        [(found["name"], found["probability"], found["distance"]) for found in row["ranked"]],
        row["words"],
    )

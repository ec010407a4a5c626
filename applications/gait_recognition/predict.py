"""Who walks there: people found in videos and folders of silhouettes, with their strips, named from a gallery."""

import argparse
import pathlib
from collections.abc import Iterator
from typing import Any


def configure(parser: argparse.ArgumentParser) -> None:
    """Flags of `hub predict gait_recognition`."""
    from applications.gait_recognition import embed

    embed.configure(parser)
    parser.add_argument("--gallery", metavar="FILE", help="name people from this gallery (see `hub gallery`)")
    parser.add_argument("--out", metavar="DIR", help="write embeddings, and a page with the people seen")


def predict(folder: pathlib.Path, args: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """One row per walk: `source track frames span name distance words`, or `source error`."""
    from applications.gait_recognition.embed import Embedder
    from hub.gallery import Gallery

    reader = Embedder(folder, args.track, args.method)
    gallery = Gallery.open(args.gallery, reader.model) if args.gallery else None
    out = _folder(args.out) if args.out else None
    limit = reader.search_threshold
    for source in args.images:
        found = reader.embed([source])
        whole = [one for one in found if one.vector is not None]
        rows = [_row(one, gallery, limit) for one in whole]
        if out is not None and whole:
            _write(out, source, whole, [row["words"] for row in rows])
        yield from rows
        yield from ({"source": one.source, "error": one.error} for one in found if one.error)


def _row(one: Any, gallery: Any, threshold: float) -> dict[str, Any]:
    row = {"source": one.source, "track": one.track, "frames": len(one.clip), "span": one.span}
    said = ""
    if gallery is not None and len(gallery):
        match = gallery.search(one.vector[None], 1, threshold)
        name, distance, known = match.names[0][0], float(match.distances[0][0]), bool(match.known[0][0])
        row |= {"name": name if known else None, "distance": round(distance, 6), "threshold": threshold}
        said = f"; {name}" if known else f"; nobody enrolled, {name} is nearest"
        said += f" (distance {distance:.4g}, threshold {threshold:.4g})"
    return {**row, "words": f"{one.source}: {one.words}{said}"}


def _folder(name: str) -> pathlib.Path:
    out = pathlib.Path(name)
    out.mkdir(parents=True, exist_ok=True)
    return out


def _write(out: pathlib.Path, source: str, walks: list[Any], said: list[str]) -> None:
    """`STEM.npz`, the embeddings and their sources, and `STEM.html`, the people seen."""
    import numpy as np

    from applications.gait_recognition import seen_report
    from hub.data.person_tracks import annotated

    stem = pathlib.Path(source).stem
    embeddings = np.stack([one.vector for one in walks])
    np.savez(out / f"{stem}.npz", embeddings=embeddings, sources=np.array([one.source for one in walks]))
    people = None
    if (video := walks[0].video) is not None:
        busiest = int(np.bincount(np.concatenate([track.frames for track in video.tracks])).argmax())
        people = annotated(source, video, busiest)
    seen_report.write(out / f"{stem}.html", pathlib.Path(source).name, walks, said, people)

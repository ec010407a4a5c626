"""`hub gallery`: people enrolled by what an application embeds, searched and compared."""

import argparse
import importlib
import json
import math
import pathlib
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

from applications.cli import _app
from applications.cli._quiet import start_tensorflow
from applications.runs import find
from hub.gallery import Gallery, Matches, verify

HELP = "enrol people or writers, search them, compare two recordings"
EXAMPLES = """
  hub gallery add gait_recognition anna walk1.mp4 walk2.mp4
  hub gallery add gait_recognition anna left.mp4 right.mp4 --merge
  hub gallery add writer_identification anna page1.png page2.png --merge
  hub gallery search gait_recognition unknown.mp4 --count 3 --json
  hub gallery verify gait_recognition one.mp4 other.mp4
  hub gallery list --gallery gait_recognition.gallery
  hub gallery remove anna --gallery gait_recognition.gallery

without --gallery, `add` and `search` use APP.gallery in the current folder
"""


def configure(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", metavar="add|search|verify|list|remove", required=True)
    for sub in _applications(actions, "add", "enrol sources under a name"):
        sub.add_argument("name", metavar="NAME", help="who is on the sources")
        sub.add_argument("sources", nargs="+", metavar="SOURCE", help="each is enrolled by itself")
        sub.add_argument("--merge", action="store_true", help="enrol all sources together, as one")
        _add_gallery(sub)
    for sub in _applications(actions, "search", "who of the enrolled is on a source"):
        sub.add_argument("sources", nargs="+", metavar="SOURCE")
        sub.add_argument("--count", type=int, default=5, metavar="N", help="how many people to name (%(default)s)")
        _add_threshold(sub)
        _add_gallery(sub)
    for sub in _applications(actions, "verify", "whether two sources show the same"):
        sub.add_argument("first", metavar="A")
        sub.add_argument("second", metavar="B")
        _add_threshold(sub)
    shown = actions.add_parser("list", help="who is enrolled, with which sources", allow_abbrev=False)
    shown.add_argument("--json", action="store_true", help="one object per line")
    removed = actions.add_parser("remove", help="erase a name and its embeddings from the file", allow_abbrev=False)
    removed.add_argument("name", metavar="NAME")
    for sub in (shown, removed):
        sub.add_argument("--gallery", metavar="FILE", required=True, help="the gallery's file")


def run(args: argparse.Namespace) -> int:
    return {"add": _add, "search": _search, "verify": _verify, "list": _list, "remove": _remove}[args.action](args)


def embedders() -> list[str]:
    """The applications that can embed: those with an `embed.py`."""
    folder = pathlib.Path(_app.__file__).parents[1]
    return [name for name in _app.APPLICATIONS if (folder / name / "embed.py").is_file()]


def embedder(app: str) -> ModuleType:
    """The application's `embed.py`: configure(parser) and open_embedder(folder, args)."""
    return importlib.import_module(f"applications.{app}.embed")


def _applications(actions: Any, action: str, text: str) -> Iterator[argparse.ArgumentParser]:
    """A parser per application that can embed, with `--run` and the application's own flags."""
    apps = actions.add_parser(action, help=text, allow_abbrev=False).add_subparsers(
        dest="app", metavar="APP", required=True
    )
    for name in embedders():
        about = (_app.config_module(name).__doc__ or "").partition("\n")[0]
        sub = apps.add_parser(name, help=about, allow_abbrev=False)
        yield sub
        _app.add_run(sub)
        embedder(name).configure(sub)


def _add_gallery(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--gallery", metavar="FILE", help="the gallery's file (default: APP.gallery in this folder)")


def _add_threshold(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--threshold", type=float, metavar="T", help="distance beyond which it is somebody else (default: the run's)"
    )
    parser.add_argument("--json", action="store_true", help="one object per line")


def _open(args: argparse.Namespace) -> Any:
    """The application's embedder; its flags are checked before TensorFlow takes its seconds to load."""
    folder, threshold = find(args.app, args.run), getattr(args, "threshold", None)
    if threshold is not None and not (math.isfinite(threshold) and threshold >= 0):
        raise ValueError(f"--threshold is a distance of 0 or more. Received: {threshold}.")
    start_tensorflow()
    return embedder(args.app).open_embedder(folder, args)


def _path(args: argparse.Namespace) -> pathlib.Path:
    return pathlib.Path(args.gallery or f"{args.app}.gallery")


def _enrolled(path: pathlib.Path) -> Gallery:
    if not path.exists():
        raise ValueError(f"There is no gallery {path}; `hub gallery add` makes one, and --gallery names another.")
    return Gallery.open(path)


def _add(args: argparse.Namespace) -> int:
    path = _path(args)
    gallery = Gallery.open(path) if path.exists() and path.stat().st_size else None
    if not args.name.strip():
        raise ValueError("NAME is empty; say who is on the sources.")
    reader = _open(args)
    if gallery:
        gallery.expect(reader.model)
    failed = 0
    for source in [" + ".join(args.sources)] if args.merge else args.sources:
        found = [reader.embed_union(args.sources)] if args.merge else reader.embed([source])
        try:
            one = _only(source, found)
            gallery = gallery or _made(path, reader)
            gallery.add([args.name], one.vector[None], [one.source])
        except ValueError as error:
            failed += 1
            print(f"hub: {error}", file=sys.stderr)
        else:
            print(f"{one.source}: {one.words}; enrolled as {args.name} in {path}", flush=True)
    return 2 if failed else 0


def _made(path: pathlib.Path, reader: Any) -> Gallery:
    try:
        return Gallery.create(path, model=reader.model, width=reader.width)
    except FileExistsError:  # somebody else was faster
        return Gallery.open(path, reader.model)


def _only(source: str, found: list[Any]) -> Any:
    """What was embedded of a source that shows one person.

    Raises:
        ValueError: it shows nobody, or several.
    """
    whole = [one for one in found if one.vector is not None]
    if len(whole) == 1:
        return whole[0]
    if not whole:
        raise ValueError(" ".join(one.error for one in found) or f"{source} shows nobody.")
    seen = "; ".join([one.words for one in whole[:4]] + ["..."] * (len(whole) > 4))
    raise ValueError(f"{source} shows {len(whole)} people ({seen}); --track N chooses one of them.")


def _search(args: argparse.Namespace) -> int:
    gallery = _enrolled(_path(args))
    if args.count < 1:
        raise ValueError(f"--count must be at least 1. Received: {args.count}.")
    reader = _open(args)
    gallery.expect(reader.model)
    threshold = reader.search_threshold if args.threshold is None else args.threshold
    failed = 0
    for source in args.sources:
        found = reader.embed([source])
        errors = [{"source": one.source, "error": one.error} for one in found if one.vector is None]
        if not found:
            errors = [{"source": source, "error": f"{source} shows nobody."}]
        whole = [one for one in found if one.vector is not None]
        matches = gallery.search([one.vector for one in whole], args.count, threshold) if whole else None
        for row in [*(_answer(one, matches, line, threshold) for line, one in enumerate(whole)), *errors]:
            _say(row, args.json)
        failed += len(errors)
    return 2 if failed else 0


def _answer(one: Any, matches: Matches, line: int, threshold: float | None) -> dict[str, Any]:
    """The row of one embedding: `source found name threshold matches words`; `name` is None for somebody unknown."""
    names, distances = matches.names[line], matches.distances[line]
    sources, known = matches.sources[line], matches.known[line]
    nearest = ", ".join(f"{name} {distance:.4g}" for name, distance in zip(names, distances, strict=True))
    limit = "" if threshold is None else f", threshold {threshold:.4g}"
    said = f"{names[0]} ({nearest}{limit})" if known[0] else f"nobody enrolled (nearest: {nearest}{limit})"
    return {
        "source": one.source,
        "found": one.words,
        "name": names[0] if known[0] else None,
        "threshold": threshold,
        "matches": [
            {"name": name, "distance": round(float(distance), 6), "source": source, "known": bool(near)}
            for name, distance, source, near in zip(names, distances, sources, known, strict=True)
        ],
        "words": f"{one.source}: {one.words}; {said}",
    }


def _verify(args: argparse.Namespace) -> int:
    reader = _open(args)
    threshold = reader.threshold if args.threshold is None else args.threshold
    if threshold is None:
        raise ValueError("This run chose no threshold; --threshold T says up to which distance two are the same.")
    first, second = (_only(source, reader.embed([source])) for source in (args.first, args.second))
    same, distance = verify(first.vector, second.vector, threshold)
    said = f"distance {distance:.4g}, threshold {threshold:.4g}"
    row = {
        "first": first.source,
        "second": second.source,
        "same": bool(same),
        "distance": round(distance, 6),
        "threshold": threshold,
        "words": f"{first.source} and {second.source}: {'the same' if same else 'not the same'} ({said})",
    }
    _say(row, args.json)
    return 0


def _say(row: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print(json.dumps(row), flush=True)
    elif "error" in row:
        print(f"hub: {row['error']}", file=sys.stderr)
    else:
        print(row["words"], flush=True)


def _list(args: argparse.Namespace) -> int:
    people = _enrolled(pathlib.Path(args.gallery)).people()
    for name, sources in people.items():
        words = f"{name}: {', '.join(sources)}"
        _say({"name": name, "sources": sources, "words": words}, args.json)
    return 0


def _remove(args: argparse.Namespace) -> int:
    erased = _enrolled(pathlib.Path(args.gallery)).remove(args.name)
    print(f"{args.name}: {erased} embedding{'s' * (erased != 1)} erased from {args.gallery}")
    return 0

"""What the hub holds. The index is read from source with `ast`, so listing imports neither Keras nor NumPy."""

import ast
import builtins
import contextlib
import fnmatch
import functools
import importlib
import json
import os
import pathlib
import re
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from hub import cache

HUB = pathlib.Path(__file__).parent
ROOMS = (
    "models",
    "layers",
    "losses",
    "metrics",
    "training",
    "compression",
    "explain",
    "evaluation",
    "data",
)
FACTS = ("params", "gmacs", "skip", "weights", "long")  # literals the index reads; other keywords are defaults
LABELS = ("Paper", "Slug", "Idea", "Differs", "Checked")
_VERSION = 1  # of the cached index
_loaded: dict[str, functools.partial] = {}  # name -> factory, filled by `register` when a module is imported


class UnknownNameError(ValueError):
    """No entry has this name."""


@dataclass(frozen=True)
class Entry:
    """One name the hub can load, as its source file describes it."""

    name: str
    room: str
    module: str
    symbol: str
    title: str
    paper: str = ""
    slug: str = ""
    idea: str = ""
    differs: str = ""
    checked: str = ""
    params: int | None = None  # published trainable parameters
    gmacs: float | None = None  # published multiply-adds, in 1e9
    weights: dict = field(default_factory=dict, hash=False)  # tag -> where published weights are
    skip: dict = field(default_factory=dict, hash=False)  # promise -> why this entry cannot keep it
    long: str = ""  # why the file may be over 200 lines
    order: int = field(default=0, compare=False)  # place in its file


def register(
    name: str,
    *,
    params: int | None = None,
    gmacs: float | None = None,
    skip: dict[str, str] | None = None,
    weights: dict[str, dict] | None = None,
    long: str = "",
    **defaults: Any,
) -> Callable:
    """Publish the decorated factory or class as `name`; stack it to publish variants.

    Args:
        name: lower snake case, unique in the hub.
        params: published number of trainable parameters; `hub check` recomputes it.
        gmacs: published multiply-adds in 1e9 at the default input shape; recomputed too.
        skip: promise -> reason, for a promise of the contract this entry cannot keep.
        weights: tag -> `{"repo", "revision", "file", "sha256", "license"}` or `{"url", "sha256", "license"}` of a
            published checkpoint, or `{"package", "version", "file", "sha256", "license"}` of one inside a package.
        long: why the file may exceed 200 lines.
        **defaults: arguments of the factory that make this variant.

    Raises:
        ValueError: `name` is taken by another factory.
    """

    def publish(factory: Callable) -> Callable:
        taken = _loaded.get(name)
        if taken and (taken.func.__module__, taken.func.__qualname__) != (factory.__module__, factory.__qualname__):
            raise ValueError(f"{name!r} is already registered by {taken.func.__module__}.")
        _loaded[name] = functools.partial(factory, **defaults)
        return factory

    return publish


def build(name: str, **kwargs: Any) -> Any:
    """Call the factory registered as `name`, its defaults overridden by `kwargs`."""
    return factory(info(name))(**kwargs)


def factory(entry: Entry) -> functools.partial:
    """The factory of `entry` with its registered defaults; imports its module only."""
    module(entry)
    return _loaded[entry.name]


def module(entry: Entry) -> Any:
    """The imported module that publishes `entry`."""
    return importlib.import_module(entry.module)


def list(pattern: str | None = None, room: str | None = None) -> builtins.list[Entry]:
    """Entries whose name matches the glob `pattern` (case and separators ignored), of one `room` or of all."""
    if room is not None and room not in ROOMS:
        raise ValueError(f"Unknown room {room!r}. The rooms are {', '.join(ROOMS)}.")
    wanted = pattern and _plain(pattern, keep="*?[]!")
    return [
        entry
        for entry in index().values()
        if room in (None, entry.room) and (not wanted or fnmatch.fnmatchcase(_plain(entry.name), wanted))
    ]


def list_models(pattern: str | None = None) -> builtins.list[str]:
    """Names of models that match the glob `pattern`."""
    return [entry.name for entry in list(pattern, room="models")]


def search(text: str) -> builtins.list[Entry]:
    """Entries in whose name, title, paper or idea every word of `text` occurs."""
    words = text.lower().split()
    return [e for e in list() if all(w in f"{e.name} {e.title} {e.paper} {e.slug} {e.idea}".lower() for w in words)]


def info(name: str) -> Entry:
    """The entry called `name`, regardless of case and separators (`ResNet-18`).

    Raises:
        UnknownNameError: nothing has that name; the message suggests near misses.
    """
    entries = index()
    if name in entries:
        return entries[name]
    plain = {_plain(known): known for known in entries}
    if _plain(name) in plain:
        return entries[plain[_plain(name)]]
    raise UnknownNameError(f"Unknown name {name!r}. {suggest(_plain(name), plain.values())}")


def suggest(name: str, known: Iterator[str] | builtins.list[str]) -> str:
    """A sentence that offers the known names nearest to `name`."""
    import difflib

    by_plain = {_plain(k): k for k in known}
    close = [by_plain[c] for c in difflib.get_close_matches(_plain(name), by_plain, n=3, cutoff=0.5)]
    return f"Did you mean {' or '.join(close)}?" if close else "`hub list` prints every name."


def _plain(name: str, keep: str = "") -> str:
    return re.sub(rf"[^a-z0-9{re.escape(keep)}]", "", name.lower())


@functools.cache
def index() -> dict[str, Entry]:
    """Every entry by name: rooms in order, files by name, rows in source order; then plug-ins."""
    found: dict[str, Entry] = {}
    for entry in _read(_sources()):
        if entry.name in found:
            raise ValueError(f"{entry.name!r} is registered twice: {found[entry.name].module} and {entry.module}.")
        found[entry.name] = entry
    return found


def _sources() -> builtins.list[tuple[str, str, pathlib.Path]]:
    """(room, module, file) of the hub's own files and of the entry-point group `hub`."""
    own = [(room, f"hub.{room}.{path.stem}", path) for room in ROOMS for path in sorted((HUB / room).glob("[!_]*.py"))]
    return own + _plugins()


def _plugins() -> builtins.list[tuple[str, str, pathlib.Path]]:
    """Files that installed distributions publish: entry point `ROOM.ANY = package.module` in group `hub`."""
    from importlib.metadata import entry_points
    from importlib.util import find_spec

    found = []
    for point in entry_points(group="hub"):
        room = point.name.partition(".")[0]
        try:
            spec = find_spec(point.value)
        except (ImportError, ValueError):
            spec = None
        if room in ROOMS and spec and spec.origin:
            found.append((room, point.value, pathlib.Path(spec.origin)))
        else:
            import warnings

            warnings.warn(f"The hub plug-in {point.name} = {point.value} cannot be read and is left out.", stacklevel=2)
    return found


def _read(sources: builtins.list[tuple[str, str, pathlib.Path]]) -> Iterator[Entry]:
    """Entries of `sources`, from the cached index where a file's size and time have not changed."""
    store = cache.folder("index.json")
    try:
        known = json.loads(store.read_text())
        known = known["files"] if known["version"] == _VERSION else {}
    except (OSError, ValueError, KeyError, TypeError):
        known = {}
    files, changed = {}, False
    for room, name, path in sources:
        stat = path.stat()
        stamp = [room, name, stat.st_mtime_ns, stat.st_size]
        seen = known.get(str(path))
        if not seen or seen["stamp"] != stamp:
            changed = True
            rows = [asdict(e) for e in parse(room, name, path.read_text(encoding="utf-8"))]
            seen = {"stamp": stamp, "rows": rows}
        files[str(path)] = seen
        for row in seen["rows"]:
            yield Entry(**row)
    if changed:
        with contextlib.suppress(OSError):  # a read-only home costs time, not function
            store.parent.mkdir(parents=True, exist_ok=True)
            aside = store.with_suffix(f".{os.getpid()}")
            aside.write_text(json.dumps({"version": _VERSION, "files": files}))
            aside.replace(store)


def parse(room: str, module_name: str, text: str) -> Iterator[Entry]:
    """Entries that the source `text` registers, in the order in which a reader meets them."""
    if "@register(" not in text:
        return
    tree = ast.parse(text)
    doc = ast.get_docstring(tree) or ""
    said = {label.lower(): value for label, value in labels(doc).items()}
    rows = (
        (node, call)
        for node in tree.body
        for call in getattr(node, "decorator_list", [])
        if isinstance(call, ast.Call) and getattr(call.func, "id", "") == "register"
    )
    for order, (node, call) in enumerate(rows):
        facts = {k.arg: ast.literal_eval(k.value) for k in call.keywords if k.arg in FACTS}
        name = ast.literal_eval(call.args[0])
        yield Entry(name, room, module_name, node.name, doc.partition("\n")[0], **said, **facts, order=order)


def labels(doc: str) -> dict[str, str]:
    """The labelled paragraphs (`Paper: ...`, `Slug: ...`, ...) of a file's docstring, each joined to one line."""
    heads = "|".join(LABELS)
    found = re.findall(rf"^({heads}): (.*?)(?=^(?:{heads}): |\n\s*\n|\Z)", doc, re.M | re.S)
    return {label: " ".join(value.split()) for label, value in found}


assert {f.name for f in fields(Entry)} >= set(FACTS)

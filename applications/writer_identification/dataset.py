"""IAM, CVL, or drawn hands written in IAM's layout: words as patches, who trains, who is enrolled and looked for."""

import pathlib
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from applications.runs import read_json
from applications.training import write_json
from applications.writer_identification.config import Config
from applications.writer_identification.written import Written, patches
from hub import cache

SAMPLE_VERSION = 3  # of the generator: a new one gets a new folder
PAGES, WORDS = 3, 16  # of a drawn writer; the last page has words that no other page has
TRAINING_FONTS = 7  # of eleven, the others are held out


@dataclass(frozen=True)
class Search:
    """Words of writers, some enrolled, the others looked for among those enrolled in the same group."""

    name: str
    written: Written
    enrolled: Any  # bool [N]
    group: Any  # str [N], the same for all words of a writer


@dataclass(frozen=True)
class Source:
    """Who trains, who chooses thresholds, how the test is held, and what a reader must know of the data."""

    kind: str  # IAM, CVL
    background: Written
    validation: Search
    tests: list[Search]
    notes: list[str]


def prepare(data: str | None, config: Config, report: Callable[[str], None] = print) -> pathlib.Path:
    """The folder to read: `data` itself, or a sample in the user's cache, drawn when it is not there yet.

    Raises:
        ValueError: `data` is no folder.
    """
    if data is None:
        return sample(config, report)
    path = pathlib.Path(data).expanduser()
    if not data or not path.is_dir():
        raise ValueError(f"--data must be the folder of IAM or CVL. Received: {data!r}.")
    return path


def sample(config: Config, report: Callable[[str], None] = print) -> pathlib.Path:
    """Drawn hands: `strokes`, with letters of their own, and `fonts`, eleven fonts each in the manner of several."""
    from hub.data import hand_pages

    hands, per_font = config.sample_writers, config.sample_fonts
    folder = cache.folder("writer_identification", f"sample-{SAMPLE_VERSION}-{hands}-{per_font}")
    if not (folder / "sample.json").exists():
        report(f"Drawing {hands + 11 * per_font} synthetic writers in IAM's layout in {folder}")
        for kind, writers in (("strokes", range(hands)), ("fonts", range(11 * per_font))):
            shutil.rmtree(folder / kind, ignore_errors=True)  # left by a run that was interrupted
            hand_pages.write(folder / kind, writers, PAGES, WORDS, kind=kind, report=report)
        write_json(folder / "sample.json", {"synthetic": True})
    return folder


def load(path: pathlib.Path, config: Config, report: Callable[[str], None] = print) -> Source:
    """Read, find key points and split.

    Raises:
        ValueError: no known layout, or too few writers to train or to test.
    """
    from hub.data import cvl, iam

    if about(path)["synthetic"]:
        return _drawn(path, config, report)
    if any((path / part).is_dir() for part in cvl.PARTS):
        kind, words, line = "CVL", cvl.words(path), cvl.line
    else:
        kind, words, line = "IAM", iam.words(path), iam.line
    notes = list(words.notes)
    written = patches(words, config.patches, report)
    split = _by_writer if config.protocol == "writers" else _by_page
    background, validation, test = split(written, line, config.seed)
    return Source(kind, _limited(background, config), validation, [test], [*notes, *_unread(written)])


def about(path: pathlib.Path) -> dict:
    """What is known of the data: `synthetic`."""
    known = path / "sample.json"
    return read_json(known) if known.exists() else {"synthetic": False}


def _drawn(path: pathlib.Path, config: Config, report: Callable[[str], None]) -> Source:
    """Three quarters of the stroke hands and seven fonts train; one in eight of these writers chooses thresholds."""
    import numpy as np

    from hub.data import iam
    from hub.data.hand_fonts import FONTS, font_of

    parts = {kind: patches(iam.words(path / kind), config.patches, report) for kind in ("strokes", "fonts")}
    number = {kind: written.writer.astype(int) for kind, written in parts.items()}
    fonts = np.array([font_of(n, list(FONTS)) for n in number["fonts"]])
    new = {
        "strokes": number["strokes"] >= config.sample_writers * 3 // 4,
        "fonts": ~np.isin(fonts, list(FONTS)[:TRAINING_FONTS]),
    }
    seen = _joined({kind: written.take(~new[kind]) for kind, written in parts.items()})
    held = np.unique(seen.writer, return_inverse=True)[1] % 8 == 7
    tests = []
    for name, kind, group in (
        ("new hands", "strokes", None),
        ("fonts held out", "fonts", None),
        ("within one font", "fonts", fonts[new["fonts"]]),
    ):
        written = parts[kind].take(new[kind])
        tests.append(_search(name, written, _last_page(written), group))
    validation = seen.take(held)
    return Source(
        "IAM",
        _limited(seen.take(~held), config),
        _search("validation", validation, _last_page(validation)),
        tests,
        [],
    )


def _by_writer(written: Written, line: Callable, seed: int) -> tuple[Written, Search, Search]:
    """64 % of the writers train, 16 % choose thresholds, 20 % are enrolled and looked for by another page."""
    from hub.data.writer_splits import by_writer

    parts = {name: _of_writers(written, words) for name, words in by_writer(written.words, seed=seed).items()}
    held, test = (
        _search(name, parts[part], _test_page(parts[part], line, seed))
        for name, part in (("validation", "validation"), ("writers never trained on", "test"))
    )
    return parts["train"], held, test


def _by_page(written: Written, line: Callable, seed: int) -> tuple[Written, Search, Search]:
    """One page of every writer is looked for, another one chooses thresholds, the others train."""
    import numpy as np

    probe = _test_page(written, line, seed)
    inner = written.take(~probe)
    held = _test_page(inner, line, seed)
    several = np.isin(inner.writer, inner.writer[held])
    test = _search("writers trained on, another page", written, probe)
    return inner.take(~held), _search("validation", inner.take(several), held[several]), test


def _search(name: str, written: Written, probe: Any, group: Any = None) -> Search:
    import numpy as np

    if not probe.any() or probe.all():
        raise ValueError(f"{name}: a writer needs two pages, or a page of two lines, to be enrolled and looked for.")
    return Search(name, written, ~probe, np.zeros(len(written), "U1") if group is None else group)


def _test_page(written: Written, line: Callable, seed: int) -> Any:
    """bool [N], the words of the page of each writer that is looked for."""
    import numpy as np

    from hub.data.writer_splits import by_page

    _, test = by_page(written.words, line, seed)
    chosen = {id(word) for word in test}
    return np.array([id(word) in chosen for word in written.words])


def _last_page(written: Written) -> Any:
    import numpy as np

    last = {writer: max(written.page[written.writer == writer]) for writer in np.unique(written.writer)}
    return np.array([page == last[writer] for writer, page in zip(written.writer, written.page, strict=True)])


def _of_writers(written: Written, words: Any) -> Written:
    import numpy as np

    return written.take(np.isin(written.writer, np.unique(words.writer)))


def _joined(parts: dict[str, Written]) -> Written:
    """Several parts as one, writers and pages named after their part."""
    import numpy as np

    from hub.data.word_images import Words

    columns = [np.concatenate([getattr(part, name) for part in parts.values()]) for name in
               ("patches", "bins", "descriptors")]  # fmt: skip
    starts = np.concatenate([[0], np.cumsum(np.concatenate([np.diff(part.starts) for part in parts.values()]))])
    words = Words(tuple(word for part in parts.values() for word in part.words))
    named = [
        np.concatenate([np.char.add(f"{kind} ", getattr(part, name)) for kind, part in parts.items()])
        for name in ("writer", "page")
    ]
    return Written(*columns, starts, words, *named)


def _limited(written: Written, config: Config) -> Written:
    return written.take(slice(config.limit)) if config.limit else written


def _unread(written: Written) -> list[str]:
    import numpy as np

    empty = int((np.diff(written.starts) == 0).sum())
    return [f"{empty} of {len(written):,} words show no key point and are never found."] if empty else []

"""CASIA-B, OU-MVLP, a data set of one's own by a CSV file, or drawn walkers written in CASIA-B's layout."""

import pathlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from applications.gait_recognition.config import Config
from applications.runs import read_json
from applications.training import write_json
from hub import cache

SAMPLE_VERSION = 1  # of the generator: a new one gets a new folder
SAMPLE_FRAMES = (24, 40)  # of a drawn walk: about a stride and a half
INCOMPLETE = 5  # the drawn subject whose sequences are not all there, as in CASIA-B


@dataclass(frozen=True)
class Walks:
    """N walks: `frames` uint8 [sum T, 64, 44], walk i is `frames[starts[i] : starts[i + 1]]`; the rest is [N]."""

    frames: Any
    starts: Any
    subject: Any  # names
    condition: Any  # "nm-01"
    view: Any  # degrees
    label: Any  # subjects as 0, 1, ...

    def __len__(self) -> int:
        return len(self.subject)

    def take(self, rows: Any) -> "Walks":
        """The walks at `rows`, integers or booleans; their frames are copied."""
        import numpy as np

        rows = np.arange(len(self))[rows]
        counts = np.diff(self.starts)[rows]
        starts = np.concatenate([[0], np.cumsum(counts)])
        at = np.repeat(self.starts[:-1][rows] - starts[:-1], counts) + np.arange(starts[-1])
        columns = (column[rows] for column in (self.subject, self.condition, self.view, self.label))
        return Walks(self.frames[at], starts, *columns)


@dataclass(frozen=True)
class Source:
    """The walks that train and test, how the test is held, and what a reader must know of them."""

    kind: str  # CASIA-B, OU-MVLP, own
    train: Walks
    test: Walks
    protocol: Any  # hub.evaluation.cross_view.Protocol
    notes: list[str]


def prepare(data: str | None, config: Config, report: Callable[[str], None] = print) -> pathlib.Path:
    """The folder or CSV file to read: `data` itself, or a sample in the user's cache, drawn when it is not there yet.

    Raises:
        ValueError: `data` is neither.
    """
    if data is None:
        return sample(config, report)
    path = pathlib.Path(data).expanduser()
    if not data or not (path.is_dir() or (path.suffix.lower() == ".csv" and path.is_file())):
        raise ValueError(f"--data must be the folder of CASIA-B or OU-MVLP, or a CSV file. Received: {data!r}.")
    return path


def sample(config: Config, report: Callable[[str], None] = print) -> pathlib.Path:
    """Drawn walkers in CASIA-B's layout."""
    from hub.data import walker_silhouettes

    people, views = config.sample_people, drawn_views(config.sample_views)
    folder = cache.folder("gait_recognition", f"sample-{SAMPLE_VERSION}-{people}-{len(views)}")
    if not (folder / "sample.json").exists():
        report(
            f"Drawing {people} synthetic walkers, 10 walks each at {len(views)} angles, in CASIA-B's layout in {folder}"
        )
        walker_silhouettes.write(
            folder / "GaitDatasetB-silh",
            range(1, people + 1),
            views=views,
            frames=SAMPLE_FRAMES,
            incomplete=INCOMPLETE,
            report=report,
        )
        write_json(folder / "sample.json", {"synthetic": True})
    return folder


def drawn_views(count: int) -> tuple[int, ...]:
    """`count` of CASIA-B's 11 angles, spread from 0 to 180 degrees."""
    return tuple(18 * round(i * 10 / (count - 1)) for i in range(count))


def load(path: pathlib.Path, config: Config, report: Callable[[str], None] = print) -> Source:
    """Read, pretreat and split.

    Raises:
        ValueError: no known layout, or too few people to train or to test.
    """
    from hub.data import casia_b, gait_list, ou_mvlp
    from hub.evaluation import cross_view

    if path.is_file():
        kind, clips = "own", gait_list.clips(path)
        train, test = _halves(clips)
        protocol = _own_protocol(test)
    elif _is_ou_mvlp(path):
        kind, clips = "OU-MVLP", ou_mvlp.clips(path)
        train, test = ou_mvlp.split(clips)
        protocol = cross_view.OU_MVLP
    else:
        kind, clips = "CASIA-B", casia_b.clips(path)
        ids = len(set(clips.subject.tolist())) * 3 // 5 if about(path)["synthetic"] else config.split
        train, test = casia_b.split(clips, ids)
        protocol = cross_view.CASIA_B
    notes = list(clips.notes)
    walks = [_read(part, lambda words: (notes.append(words), report(words))) for part in (train, test)]
    if config.limit:
        walks[0] = walks[0].take(slice(config.limit))
    for part, what, least in zip(walks, ("training", "testing"), (config.people, 2), strict=True):
        if (there := len(set(part.subject.tolist()))) < least:
            raise ValueError(f"{path} leaves {there} people for {what}, where {least} are needed.")
    return Source(kind, *walks, protocol, notes)


def validation(train: Walks, config: Config) -> tuple[Walks, Walks]:
    """`train` without the last `validation_people` of its people, and these; all twice if there are to be none.

    Raises:
        ValueError: too few people are left to train.
    """
    import numpy as np

    people = np.unique(train.subject)
    if not config.validation_people:
        return train, train
    if len(people) - config.validation_people < config.people:
        raise ValueError(
            f"Of {len(people)} people for training, --validation-people {config.validation_people} leaves fewer than "
            f"the {config.people} of a batch; lower one of them."
        )
    held = np.isin(train.subject, people[-config.validation_people :])
    return train.take(~held), train.take(held)


def about(path: pathlib.Path) -> dict:
    """What is known of the data: `synthetic`."""
    known = path / "sample.json"
    return read_json(known) if known.exists() else {"synthetic": False}


def _read(clips: Any, report: Callable[[str], None]) -> Walks:
    import numpy as np

    from hub.data.gait_clips import read_all

    frames, starts = read_all(clips, report)
    kept = clips.take(np.diff(starts) > 0)
    starts = np.concatenate([[0], np.cumsum(np.diff(starts)[np.diff(starts) > 0])])
    return Walks(frames, starts, kept.subject, kept.condition, kept.view, kept.label)


def _is_ou_mvlp(folder: pathlib.Path) -> bool:
    """Whether subjects have five digits, as no other layout has."""
    return any(folder.glob("Silhouette_*-*")) or any(folder.glob("[0-9][0-9][0-9][0-9][0-9]/[0-9][0-9]"))


def _halves(clips: Any) -> tuple[Any, Any]:
    """Three fifths of the people train, the others test."""
    import numpy as np

    people = np.unique(clips.subject)
    first = np.isin(clips.subject, people[: len(people) * 3 // 5])
    return clips.take(first), clips.take(~first)


def _own_protocol(test: Any) -> Any:
    """CASIA-B's where the conditions are named as there; else the first condition is enrolled, each other a probe."""
    from hub.evaluation.cross_view import CASIA_B, Protocol

    names = sorted(set(test.condition.tolist()))
    if set(names) & set(CASIA_B.gallery):
        return CASIA_B
    if len(names) < 2:
        raise ValueError(f"The CSV needs at least two conditions, one to enrol and one to look for. Received: {names}.")
    return Protocol((names[0],), {name: (name,) for name in names[1:]})

"""Clips of silhouettes, whichever data set they come from; read once, then mapped from the hub's cache."""

import concurrent.futures
import hashlib
import os
import pathlib
import shutil
import uuid
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from hub import cache
from hub.data import clip_files, silhouettes
from hub.data.silhouettes import HEIGHT, WIDTH

FEW = 5  # a clip of fewer frames is read, with a warning
_READ_AHEAD = 256  # clips that are read together, by all cores
_PATIENCE = 500  # clips whose reading wants no progress bar
_VERSION = 1  # of the cache


@dataclass(frozen=True)
class Clip:
    """One walk in front of one camera."""

    subject: str  # "001"
    condition: str  # "nm-01"; OU-MVLP: "00", "01"
    view: int  # degrees
    path: pathlib.Path  # folder of PNG frames, or an .npy or .npz file [T, H, W]

    @property
    def name(self) -> str:
        """As the layouts write it: 001/nm-01/090."""
        return f"{self.subject}/{self.condition}/{self.view:03d}"


@dataclass(frozen=True)
class Clips(Sequence[Clip]):
    """N clips in order; a slice, or `take`, is a smaller `Clips` about which nothing is missing."""

    clips: tuple[Clip, ...]
    missing: int = 0  # sequences of the layout that are absent or empty, and so are not among the clips
    notes: tuple[str, ...] = ()  # sentences for the user

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, index: int | slice) -> "Clip | Clips":
        return Clips(self.clips[index]) if isinstance(index, slice) else self.clips[index]

    def take(self, indices: np.ndarray | Iterable[int]) -> "Clips":
        """The clips at `indices` (integers, or N booleans), in their order."""
        indices = np.asarray(indices)
        indices = np.flatnonzero(indices) if indices.dtype == bool else indices.astype(np.int64)
        return Clips(tuple(self.clips[index] for index in indices))

    @property
    def subject(self) -> np.ndarray:
        """str [N]."""
        return np.array([clip.subject for clip in self.clips], np.str_)

    @property
    def condition(self) -> np.ndarray:
        """str [N]."""
        return np.array([clip.condition for clip in self.clips], np.str_)

    @property
    def view(self) -> np.ndarray:
        """int64 [N], degrees."""
        return np.array([clip.view for clip in self.clips], np.int64)

    @property
    def label(self) -> np.ndarray:
        """int32 [N]: the subjects of these clips, numbered 0, 1, ... in the order of their names."""
        return np.unique(self.subject, return_inverse=True)[1].astype(np.int32)


def gather(found: Iterable[Clip], subjects: Iterable[str], notes: Iterable[str] = ()) -> Clips:
    """The clips that have frames, in the order of their names; the rest of the layout is counted as missing.

    What the layout should hold is every (condition, view) that any subject has, for every one of `subjects`.
    """
    found = sorted(found, key=lambda clip: (clip.subject, clip.condition, clip.view))
    seen = sorted({(clip.condition, clip.view) for clip in found})
    kept = tuple(clip for clip in found if clip_files.has_frames(clip.path))
    there = {(clip.subject, clip.condition, clip.view) for clip in kept}
    lost = [(who, *what) for who in sorted(subjects) for what in seen if (who, *what) not in there]
    if lost:
        who, condition, view = lost[0]
        notes = (
            *notes,
            f"{len(lost)} of {len(lost) + len(kept)} sequences are absent or empty and are skipped, "
            f"{who}/{condition}/{view:03d} for one.",
        )
    return Clips(kept, len(lost), tuple(notes))


def read(clip: Clip) -> np.ndarray:
    """All frames of a clip in the order of their names, pretreated: uint8 [T, 64, 64]; T may be 0.

    Frames that are all 64 x 64 already, as the pretreatment of GaitSet writes them, stay as they are.

    Raises:
        ValueError: one sentence: no such clip, a damaged frame or file, a pickled clip, or no silhouettes.
    """
    frames = clip_files.read_frames(clip.path)
    try:
        if {frame.shape for frame in frames} != {(HEIGHT, HEIGHT)}:
            return silhouettes.clip(frames)
        silhouettes.check(frames)
    except ValueError as error:
        raise ValueError(f"{clip.path}: {error}") from error
    kept = [frame for frame in frames if frame.sum(dtype=np.int64) > silhouettes.EMPTY]
    return np.stack(kept) if kept else np.zeros((0, HEIGHT, HEIGHT), np.uint8)


def read_all(
    clips: Sequence[Clip], report: Callable[[str], object] = warnings.warn
) -> tuple[np.ndarray, np.ndarray]:  # uint8 [sum T, 64, 44], int64 [N + 1]
    """The frames of all clips as a network sees them, read by all cores once and mapped from the cache from then on.

    A clip without any person is skipped: it keeps its place with no frames, `starts[i] == starts[i + 1]`.

    Args:
        clips: N clips.
        report: is told in one sentence each how many clips are skipped and how many have fewer than 5 frames.

    Returns:
        (frames, starts): clip i is `frames[starts[i] : starts[i + 1]]`; read-only, in the file's pages.

    Raises:
        ValueError: no clips, or what `read` raises.
    """
    if not len(clips):
        raise ValueError("There are no clips to read.")
    target = cache.folder("gait", state(clips))
    known = _load(target)
    if known is None:
        _write(clips, target)
        known = _load(target)
    counts = np.diff(known[1])
    for chosen, said in (
        (counts == 0, "no frame with a person in it and are skipped"),
        ((counts > 0) & (counts < FEW), f"fewer than {FEW} frames with a person and will be recognised badly"),
    ):
        if chosen.any():
            name = clips[int(np.argmax(chosen))].name
            report(f"{chosen.sum()} of {len(clips)} clips have {said}, {name} for one.")
    return known


def state(clips: Iterable[Clip]) -> str:
    """A short name for the clips and every file they are made of: a file that changes gives another name."""
    digest = hashlib.sha256(str(_VERSION).encode())
    clips = list(clips)
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as readers:  # a million files for CASIA-B
        for clip, files in zip(clips, readers.map(clip_files.state, [clip.path for clip in clips]), strict=True):
            digest.update(repr((clip.name, os.path.abspath(clip.path), files)).encode())
    return digest.hexdigest()[:16]


def read_many(clips: Sequence[Clip]) -> Iterator[np.ndarray]:
    """`read` of each clip in turn, by all cores."""
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as readers:  # decoding and scaling let other threads run
        for start in range(0, len(clips), _READ_AHEAD):
            yield from readers.map(read, clips[start : start + _READ_AHEAD])


def _load(target: pathlib.Path) -> tuple[np.ndarray, np.ndarray] | None:
    """What `_write` left, None where that is missing or cut short."""
    try:
        starts = np.load(target / "starts.npy", allow_pickle=False)
        size = (target / "frames.u8").stat().st_size
    except (OSError, ValueError, EOFError):
        return None
    if size != starts[-1] * HEIGHT * WIDTH:
        return None
    shape = (int(starts[-1]), HEIGHT, WIDTH)
    return (np.memmap(target / "frames.u8", np.uint8, "r", shape=shape) if size else np.zeros(shape, np.uint8)), starts


def _write(clips: Sequence[Clip], target: pathlib.Path) -> None:
    from tqdm.auto import tqdm

    aside = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}")
    aside.mkdir(parents=True)
    try:
        counts = [0]
        done = tqdm(read_many(clips), "silhouettes", len(clips), unit=" clips", leave=False,
                    disable=len(clips) < _PATIENCE)  # fmt: skip
        with open(aside / "frames.u8", "wb") as file:
            for frames in done:
                file.write(silhouettes.narrow(frames))
                counts.append(len(frames))
        np.save(aside / "starts.npy", np.cumsum(counts, dtype=np.int64))
        if target.exists() and _load(target) is None:  # cut short
            shutil.rmtree(target)
        try:
            aside.replace(target)
        except OSError:
            if _load(target) is None:  # else another process was here first
                raise
    finally:
        shutil.rmtree(aside, ignore_errors=True)

"""Expressions over the time of a video: faces keep their numbers, probabilities are smoothed, rows go to a table."""

import csv
import math
import pathlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import cv2
import numpy as np

from applications.facial_expression import annotate, card_places
from applications.facial_expression.recognize import Seen
from hub.data.face_images import EXPRESSIONS
from hub.data.video_frames import Video

SAME = 0.3  # intersection over union from which on two boxes are one face
BRIEF = 0.2  # seconds; faces that are seen for less share one row of the summary
REMEMBERED = 1.0  # seconds of looks in which a face may be missed and keeps its number
COLUMNS = ("frame", "seconds", "face", "x", "y", "width", "height", "expression", "certain", *EXPRESSIONS)


class Looker(Protocol):
    """What finds faces: `applications.facial_expression.recognize.Recognizer`."""

    def look(self, picture: np.ndarray) -> list[Seen]: ...


@dataclass(eq=False)
class Track:
    """One face through time."""

    number: int  # 1, 2, ... in the order of first appearance
    box: tuple[int, int, int, int]
    probabilities: np.ndarray  # float64 [7], smoothed
    first: float  # seconds
    last: float
    frames: dict[str, int] = field(default_factory=dict)  # expression -> frames with it


class Tracker:
    """Gives faces numbers by overlap with where they were, and smooths their probabilities.

    Args:
        smoothing: time constant in seconds of the exponential moving average; 0: none.
    """

    def __init__(self, smoothing: float = 0.3) -> None:
        self.smoothing = smoothing
        self.tracks: list[Track] = []
        self.before = 0.0  # seconds of the last look

    def add(self, seconds: float, faces: Sequence[Seen]) -> list[tuple[Track, Seen]]:
        """The faces at that time, each with its track and smoothed probabilities; by number."""
        known = [track for track in self.tracks if self.before - track.last <= REMEMBERED]
        self.before = seconds
        pairs = _pairs([track.box for track in known], [face.box for face in faces])
        found = []
        for i, face in enumerate(faces):
            fresh = np.asarray(face.probabilities, np.float64)
            if i in pairs:
                track = known[pairs[i]]
                kept = math.exp((track.last - seconds) / self.smoothing) if self.smoothing else 0.0
                track.probabilities = kept * track.probabilities + (1 - kept) * fresh
                track.box, track.last = face.box, seconds
            else:
                track = Track(len(self.tracks) + 1, face.box, fresh, seconds, seconds)
                self.tracks.append(track)
            found.append((track, Seen(face.box, face.score, face.landmarks, track.probabilities.astype(np.float32))))
        return sorted(found, key=lambda pair: pair[0].number)


def _pairs(before: Sequence[tuple], now: Sequence[tuple]) -> dict[int, int]:
    """Box of `now` -> box of `before`, each at most once; those that overlap most come first."""
    if not before or not now:
        return {}
    one, two = (np.array(boxes, np.float64) for boxes in (now, before))
    shared = card_places.shared(one, two)
    overlap = shared / (one[:, 2:].prod(axis=1)[:, None] + two[:, 2:].prod(axis=1) - shared)
    pairs: dict[int, int] = {}
    rows, columns = np.nonzero(overlap >= SAME)
    for place in np.argsort(-overlap[rows, columns], kind="stable"):
        i, j = int(rows[place]), int(columns[place])
        if i not in pairs and j not in pairs.values():
            pairs[i] = j
    return pairs


def follow(
    video: Video,
    recognizer: Looker,
    tracker: Tracker,
    every: int = 1,
    table: pathlib.Path | None = None,
    film: pathlib.Path | None = None,
    report: Callable[[Iterator[Any]], Iterator[Any]] = iter,
) -> int:
    """Look at every `every`th frame and let the others carry its answer; how many frames there were.

    Args:
        tracker: new; holds the faces afterwards.
        table: CSV that is written, a row of `COLUMNS` per frame and face; boxes in pixels of the video.
        film: MP4 that is written, the frames with their faces drawn.
        report: what wraps the frames, as tqdm does.

    Raises:
        ValueError: one sentence: the film cannot be written.
    """
    film_writer = None if film is None else _Film(film, video)
    lines = None if table is None else table.open("w", newline="", encoding="utf-8")
    count, found = 0, []
    try:
        rows = None if lines is None else csv.writer(lines)
        if rows is not None:
            rows.writerow(COLUMNS)
        for number, frame in enumerate(report(video.frames())):
            frame = cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)
            count, seconds = number + 1, number / video.fps
            if number % every == 0:
                found = tracker.add(seconds, recognizer.look(frame))
            for track, face in found:
                track.frames[face.expression] = track.frames.get(face.expression, 0) + 1
                if rows is not None:
                    shares = (f"{share:.6f}" for share in face.probabilities.tolist())
                    told = (face.expression, "yes" if face.certain else "no")
                    rows.writerow((number, f"{seconds:.3f}", track.number, *face.box, *told, *shares))
            if film_writer is not None:
                film_writer.add(frame, found)
    finally:
        if lines is not None:
            lines.close()
        if film_writer is not None:
            film_writer.close()
    return count


def summary(source: str, tracks: Sequence[Track], fps: float, network: str) -> Iterator[dict[str, Any]]:
    """A row for each face that lasts and one for all others: `source face first last seconds expression shares network
    words`."""
    if not tracks:
        yield {"source": source, "faces": 0, "words": f"{source}: no face found"}
    shown = {track.number: sum(track.frames.values()) for track in tracks}
    lasting = [track for track in tracks if shown[track.number] >= BRIEF * fps] or tracks
    for track in lasting:
        ordered = sorted(track.frames.items(), key=lambda item: -item[1])
        shares = {name: round(count / shown[track.number], 6) for name, count in ordered}
        seconds = shown[track.number] / fps
        said = ", ".join(f"{name} {share:.0%}" for name, share in shares.items())
        yield {
            "source": source,
            "face": track.number,
            "first": round(track.first, 3),
            "last": round(track.last, 3),
            "seconds": round(seconds, 3),
            "expression": ordered[0][0],
            "shares": shares,
            "network": network,
            "words": f"{source}: face {track.number}, seen for {seconds:.1f} s: {said} of the time",
        }
    if brief := len(tracks) - len(lasting):
        were = "1 more face was" if brief == 1 else f"{brief} more faces were"
        yield {"source": source, "brief": brief, "words": f"{source}: {were} seen for less than {BRIEF} s"}


class _Film:
    """Annotated frames as MP4 with MPEG-4 pictures, which needs no library beyond OpenCV."""

    def __init__(self, path: pathlib.Path, video: Video) -> None:
        scale = annotate.scale_of(video.height, video.width)
        self.size = tuple(max(2, round(side * scale) // 2 * 2) for side in (video.width, video.height))  # even
        self.kept: dict[int, card_places.Kept] = {}
        self.writer = cv2.VideoWriter(
            str(path), cv2.CAP_FFMPEG, cv2.VideoWriter_fourcc(*"mp4v"), round(video.fps, 3), self.size
        )
        if not self.writer.isOpened():
            raise ValueError(f"{path} cannot be written as a video of {self.size[0]} x {self.size[1]} pixels.")

    def add(self, frame: np.ndarray, found: list[tuple[Track, Seen]]) -> None:
        numbers = [track.number for track, _ in found]
        drawn = annotate.annotate(frame, [face for _, face in found], numbers, self.kept)
        drawn = drawn[: self.size[1], : self.size[0]]
        self.writer.write(cv2.cvtColor(drawn, cv2.COLOR_RGB2BGR))

    def close(self) -> None:
        self.writer.release()

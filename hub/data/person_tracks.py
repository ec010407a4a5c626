"""Walking people in a video: tracks of silhouettes fit for gait recognition, and a reason for each that is not."""

import os
import pathlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np

from hub.data import clip_files
from hub.data.blob_tracker import Path, Tracker
from hub.data.blobs import Seen
from hub.data.silhouettes import check
from hub.data.silhouettes import clip as pretreated
from hub.data.track_quality import quality, walks
from hub.data.video_frames import USUAL_FPS, open_video
from hub.data.video_silhouettes import silhouettes

FEWEST = 10  # good frames of a track
SMALLEST = 48  # pixels of a person's height; 64 are what a network sees
GOOD = 0.5  # quality from which on a frame is kept


@dataclass(frozen=True, eq=False)
class Track:
    """T good frames of one person, in the order of time."""

    number: int  # 1, 2, ... in the order of first appearance
    frames: np.ndarray  # int64 [T], counted from 0; bad ones are left out
    boxes: np.ndarray  # int64 [T, 4], left, top, width, height in pixels of the video
    silhouettes: tuple[np.ndarray, ...]  # T of uint8 [height, width], 0 and 255
    quality: np.ndarray  # float64 [T], in 0.5..1
    name: str = ""  # of the folder, for masks that were given

    @cached_property
    def clip(self) -> np.ndarray:
        """Pretreated for a network, uint8 [T, 64, 64]."""
        return pretreated(self.silhouettes)


@dataclass(frozen=True, eq=False)
class Found:
    """What a video shows."""

    tracks: tuple[Track, ...]
    refused: tuple[str, ...]  # a sentence for each person who is not among the tracks; brief ones share the last
    frames: int  # of the video
    fps: float


def tracks(path: str | os.PathLike, method: str = "auto", report: Callable[[int, int], None] | None = None) -> Found:
    """The people who walk through a video, or of masks that were made already.

    Args:
        path: a video file (see `hub.data.video_silhouettes`); or a folder of PNG masks, 0 and 255, which is one
            track; or a folder of such folders, each a track. For folders, 25 frames a second are assumed.
        method: of `hub.data.video_silhouettes.silhouettes`; masks of a folder are taken as they are.
        report: called with the number of frames done, and of all as far as the file tells (0 if it does not).

    Returns:
        Tracks of at least 10 good frames; it is no error if there are none.

    Raises:
        ValueError: one sentence: no video, no masks, damaged, the camera moves.
    """
    path = pathlib.Path(path)
    if path.is_dir():
        return _from_folder(path)
    video = open_video(path)
    fps = video.fps
    tracker = Tracker(fps)
    people: list[Path] = []
    for mask in silhouettes(path, method, report):
        people += tracker.add(mask)
    people += tracker.end()
    people.sort(key=lambda person: person.seen[0].frame)
    kept, refused = [], []
    for person in people:
        if len(person.seen) < FEWEST:
            continue
        track = _track(person.seen, len(kept) + 1, round(fps))
        kept.append(track) if isinstance(track, Track) else refused.append(track)
    if brief := sum(len(person.seen) < FEWEST for person in people):
        were = "1 shape was" if brief == 1 else f"{brief} shapes were"
        refused.append(f"{were} followed for less than {FEWEST} frames.")
    if tracker.frame + 1 < 0.9 * video.count:
        refused.append(f"{path} breaks off after {tracker.frame + 1} of {video.count} frames.")
    if tracker.crowded:
        refused.append(f"In {tracker.crowded} frames people overlap or walk as one shape, which is in no track.")
    return Found(tuple(kept), tuple(refused), tracker.frame + 1, fps)


def annotated(path: str | os.PathLike, found: Found, frame: int) -> np.ndarray:
    """Frame `frame` of the video with a box and the number of each track that has it, uint8 [H, W, 3], red first."""
    picture = open_video(path).frame(frame)
    scale = max(picture.shape[0] / 720, 0.5)
    for track in found.tracks:
        for x, y, w, h in track.boxes[track.frames == frame].tolist():
            hue = np.uint8([[[track.number * 67 % 180, 255, 255]]])
            colour = cv2.cvtColor(hue, cv2.COLOR_HSV2BGR)[0, 0].tolist()
            cv2.rectangle(picture, (x, y), (x + w, y + h), colour, max(1, round(2 * scale)))
            for thick, ink in ((4, (0, 0, 0)), (2, colour)):
                place = (x, max(y - 4, round(20 * scale)))
                cv2.putText(
                    picture,
                    f"{track.number}",
                    place,
                    cv2.FONT_HERSHEY_SIMPLEX,
                    0.7 * scale,
                    ink,
                    max(1, round(thick * scale)),
                )
    return cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)


def _track(seen: list[Seen], number: int, window: int, name: str = "", border: bool = True) -> Track | str:
    """A track, or why there is none."""
    who = f"{name}: this walk" if name else f"The person of frames {seen[0].frame} to {seen[-1].frame}"
    figures = quality(seen, window, border)
    tall = round(np.median([one.box[3] for one in seen]))
    if tall < SMALLEST:
        return f"{who} is refused: {tall} pixels high, and {SMALLEST} are needed."
    good = [one for one, figure in zip(seen, figures, strict=True) if figure >= GOOD]
    if len(good) < FEWEST:
        return f"{who} is refused: of {len(seen)} frames {len(good)} are good, and {FEWEST} are needed."
    boxes = np.array([one.box for one in good])
    if border and not walks(boxes):
        return f"{who} is refused: whoever walks gets on, and this one stays in place for {len(good)} good frames."
    frames = np.array([one.frame for one in good])
    return Track(number, frames, boxes, tuple(one.silhouette for one in good), figures[figures >= GOOD], name)


def _from_folder(folder: pathlib.Path) -> Found:
    inner = sorted(child for child in folder.iterdir() if child.is_dir() and child.name[0] != ".")
    clips = [folder] if clip_files.has_frames(folder) else [child for child in inner if clip_files.has_frames(child)]
    if not clips:
        raise ValueError(f"{folder} holds no PNG masks and no folders of them; name those, or a video file.")
    kept, refused, count = [], [], 0
    for clip in clips:
        frames = clip_files.read_frames(clip)
        check(frames)
        count += len(frames)
        seen = [one for index, frame in enumerate(frames) if (one := _whole(frame, index)) is not None]
        if not seen:
            refused.append(f"{clip.name}: this walk is refused: its {len(frames)} masks are empty.")
            continue
        track = _track(seen, len(kept) + 1, round(USUAL_FPS), clip.name, border=False)
        kept.append(track) if isinstance(track, Track) else refused.append(track)
    return Found(tuple(kept), tuple(refused), count, USUAL_FPS)


def _whole(mask: np.ndarray, frame: int) -> Seen | None:
    """All foreground of a mask, as one person."""
    mask = (mask > 127) * np.uint8(255)
    x, y, w, h = cv2.boundingRect(mask)
    return Seen(frame, (x, y, w, h), mask[y : y + h, x : x + w], False) if w else None

"""A video file as a stream of frames, whatever its length; what is no video is refused in one sentence."""

import math
import os
import pathlib
from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np

FEWEST = 2  # frames of a video; one frame is a picture
USUAL_FPS = 25.0  # of a file that does not say, or says what no camera does


@dataclass(frozen=True)
class Video:
    """What the file says of itself; `count` is 0 where it does not tell, and may be wrong where it does."""

    path: pathlib.Path
    fps: float
    count: int
    height: int
    width: int

    def frames(self, every: int = 1) -> Iterator[np.ndarray]:
        """Frames 0, every, 2 * every, ... as uint8 [H, W, 3], blue first; those between are not converted."""
        capture = _capture(self.path)
        try:
            number = 0
            while capture.grab():
                if number % every == 0:
                    whole, frame = capture.retrieve()
                    if not whole or frame.shape[:2] != (self.height, self.width):
                        return
                    yield frame
                number += 1
        finally:
            capture.release()

    def frame(self, number: int) -> np.ndarray:
        """Frame `number`, uint8 [H, W, 3], blue first, found by counting: positions that a file states can be off."""
        for index, frame in enumerate(self.frames()):
            if index == number:
                return frame
        raise ValueError(f"{self.path} has no frame {number}.")


def open_video(path: str | os.PathLike) -> Video:
    """Open a video file: AVI, MP4, MOV, MKV, WebM and whatever else FFmpeg reads.

    Raises:
        ValueError: one sentence: not there, a folder, empty, not a video, damaged, or a single picture.
    """
    path = pathlib.Path(path)
    if not path.exists():
        raise ValueError(f"{path} is not there; a video file or a folder of silhouettes is needed.")
    if path.is_dir():
        raise ValueError(f"{path} is a folder; a video file is needed.")
    if not os.access(path, os.R_OK):
        raise ValueError(f"{path} may not be read.")
    if not path.stat().st_size:
        raise ValueError(f"{path} is empty (0 bytes).")
    capture = _capture(path)
    try:
        frames = 0
        while frames < FEWEST and capture.isOpened():
            whole, frame = capture.read()
            if not whole:
                break
            frames += 1
        if frames < FEWEST:
            what = "holds one picture" if frames else "is no video, or damaged before its first frame"
            raise ValueError(f"{path} {what} ({path.stat().st_size:,} bytes); a video is needed.")
        fps, count = capture.get(cv2.CAP_PROP_FPS), capture.get(cv2.CAP_PROP_FRAME_COUNT)
    finally:
        capture.release()
    fps = fps if math.isfinite(fps) and 1 <= fps <= 240 else USUAL_FPS
    count = int(count) if math.isfinite(count) and FEWEST <= count < 1e9 else 0
    return Video(path, fps, count, *frame.shape[:2])


def _capture(path: pathlib.Path) -> cv2.VideoCapture:
    # FFmpeg alone: OpenCV's other readers take a name such as walk_01.png for a sequence of pictures
    return cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)

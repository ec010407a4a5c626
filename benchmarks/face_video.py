"""Frames a second of `hub predict facial_expression` on a video, and where the time goes.

    OMP_NUM_THREADS=1 python benchmarks/face_video.py [--run DIR] [--video FILE | --faces 1] [--frames 50]
        [--expressions auto] [--landmarks run]

Each stage works alone on all frames, which lie in memory: decode the file, detect faces, landmarks and expressions of
what was detected, draw boxes, points and cards, encode. `all of it` is the command's own loop, from file to table and
annotated video; it also converts colours, follows faces and writes the table. Networks are warm. Without a video one
is drawn: --faces people side by side in 640 x 480 pixels, who begin neutral and end happy.
"""

import argparse
import pathlib
import tempfile
import time
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import cv2
import numpy as np

from applications.cli._quiet import start_tensorflow
from applications.facial_expression import annotate, timeline
from applications.facial_expression.recognize import Recognizer
from applications.runs import find
from hub.data.face_detection import detect
from hub.data.faces_drawn import draw
from hub.data.video_frames import open_video

HIGH, WIDE, FPS, DRAWN = 480, 640, 25, 10  # DRAWN frames of faces are shown again and again, moving


class Times(NamedTuple):
    cpu: float
    wall: float


def timed(what: Callable[[Any], Any], each: Iterable[Any]) -> tuple[Times, list[Any]]:
    cpu, wall = time.process_time(), time.perf_counter()
    results = [what(one) for one in each]
    return Times(time.process_time() - cpu, time.perf_counter() - wall), results


def people(faces: int, frames: int) -> list[np.ndarray]:
    """`frames` pictures, RGB [480, 640, 3]."""
    columns = int(np.ceil(np.sqrt(faces)))
    side = min(WIDE, HIGH) // columns
    shown = []
    for number in range(DRAWN):
        frame = np.full((HIGH, WIDE, 3), 150, np.uint8)
        for i in range(faces):
            y, x = i // columns * side, i % columns * side
            frame[y : y + side, x : x + side] = draw(
                i, 3, number / (DRAWN - 1), 0, size=(side, side), colour=True, pose=(0, 0, 0)
            ).picture
        shown.append(frame)
    return [np.roll(shown[i * DRAWN // frames], i % 20, axis=1) for i in range(frames)]


def write(path: pathlib.Path, frames: list[np.ndarray]) -> None:
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter_fourcc(*"mp4v"), FPS, frames[0].shape[1::-1])
    for frame in frames:
        writer.write(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
    writer.release()


def measure(recognizer: Recognizer, path: pathlib.Path, most: int, folder: pathlib.Path) -> None:
    video = open_video(path)
    decode, frames = timed(lambda frame: frame, (frame for frame, _ in zip(video.frames(), range(most), strict=False)))
    frames = [cv2.cvtColor(frame, cv2.COLOR_BGR2RGB) for frame in frames]
    recognizer.look(frames[0])
    finding, boxes = timed(detect, frames)
    for count in {len(some) for some in boxes}:
        recognizer.at(frames[0], boxes[[len(some) for some in boxes].index(count)])
    seeing, seen = timed(lambda pair: recognizer.at(*pair), list(zip(frames, boxes, strict=True)))
    drawing, drawn = timed(lambda pair: annotate.annotate(*pair), list(zip(frames, seen, strict=True)))
    encoding, _ = timed(lambda name: write(folder / name, drawn), ["encoded.mp4"])
    cut = folder / "frames.mp4"
    write(cut, frames)
    every, _ = timed(
        lambda tracker: timeline.follow(open_video(cut), recognizer, tracker, 1, folder / "t.csv", folder / "a.mp4"),
        [timeline.Tracker()],
    )
    count = len(frames)
    mean = sum(map(len, boxes)) / count
    print(f"{count} frames of {video.width} x {video.height}, {mean:.1f} faces each; {recognizer.words}")
    stages = {"decode": decode, "detect": finding, "landmarks and expression": seeing, "draw": drawing}
    stages["encode"] = encoding
    total = sum(spent.cpu for spent in stages.values())
    print(f"{'':<28}{'CPU ms/frame':>13}{'share':>8}{'wall ms/frame':>15}{'frames/s':>10}")
    for name, spent in stages.items():
        print(f"{name:<28}{1e3 * spent.cpu / count:>13.1f}{spent.cpu / total:>8.0%}"
              f"{1e3 * spent.wall / count:>15.1f}{count / spent.wall:>10.1f}")  # fmt: skip
    print(f"{'all of it':<28}{1e3 * every.cpu / count:>13.1f}{'':>8}"
          f"{1e3 * every.wall / count:>15.1f}{count / every.wall:>10.1f}")  # fmt: skip


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--run", metavar="DIR", help="folder of a finished run (default: the newest)")
    parser.add_argument("--video", metavar="FILE", help="a video instead of a drawn one")
    parser.add_argument("--faces", type=int, default=1, help="people in the drawn one (default 1)")
    parser.add_argument("--frames", type=int, default=50, help="frames that are taken (default 50)")
    parser.add_argument("--expressions", default="auto")
    parser.add_argument("--landmarks", default="run")
    args = parser.parse_args()
    start_tensorflow()
    looker = Recognizer(find("facial_expression", args.run), args.expressions, args.landmarks)
    with tempfile.TemporaryDirectory() as place:
        source = pathlib.Path(args.video or pathlib.Path(place, "drawn.mp4"))
        if not args.video:
            write(source, people(args.faces, args.frames))
        measure(looker, source, args.frames, pathlib.Path(place))

"""Drawn sequences from a neutral face to the peak of an expression, in CK+'s layout on disk."""

import functools
import itertools
import multiprocessing
import os
import pathlib
import shutil
import signal
import uuid
from collections.abc import Callable, Sequence

import cv2
import numpy as np

from hub.data import faces_drawn
from hub.data.face_images import EXPRESSIONS

CODES = {"angry": 1, "disgust": 3, "fear": 4, "happy": 5, "sad": 6, "surprise": 7}  # of CK+
FRAMES = 6, 8
PEAK = 0.45, 1.0  # least and most intensity of a last frame
UNLABELLED = 0.08  # share of the sequences without an emotion file
ALONE = 8  # fewer sequences are not worth starting processes for
PNG = (cv2.IMWRITE_PNG_COMPRESSION, 1)


def write(
    folder: str | os.PathLike,
    subjects: Sequence[int],
    sequences: int = 6,
    *,
    frames: tuple[int, int] = FRAMES,
    size: tuple[int, int] = (490, 640),
    seed: int = 0,
    report: Callable[[str], None] = print,
) -> None:
    """Sequences of `subjects` as a new `folder` in CK+'s layout, drawn by all cores; it appears when it is whole.

    `cohn-kanade-images/S005/001/S005_001_00000011.png`, `Landmarks/` beside it with 68 lines of x and y for each
    frame, and `Emotion/` with CK+'s code for the last frame; some sequences have none, as in CK+.

    Args:
        subjects: numbers as `faces_drawn.draw` takes them.
        sequences: of each; every six of them show the six expressions in an order of the person's own.
        frames: fewest and most of a sequence.
        size: height and width of the pictures in pixels.
        seed: non-negative; another seed gives other people.
        report: told what is written.

    Raises:
        ValueError: the folder is there already, or nothing is to be written.
    """
    target = pathlib.Path(folder)
    if target.exists():
        raise ValueError(f"{target} exists already; remove it or name another folder.")
    if not len(subjects) or min(*subjects, seed) < 0 or sequences < 1 or not 1 <= frames[0] <= frames[1]:
        raise ValueError(
            "Sequences need subjects and a seed >= 0, at least one of each subject and 1 <= frames[0] <= frames[1]. "
            f"Received: {list(subjects)[:5]} and so on, {seed}, {sequences}, {frames}."
        )
    jobs = list(itertools.product(subjects, range(sequences)))
    report(f"Drawing {len(jobs):,} sequences of {len(subjects)} faces in CK+'s layout to {target}.")
    target.parent.mkdir(parents=True, exist_ok=True)
    aside = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}")
    work = functools.partial(_write_sequence, aside, frames, size, seed)
    try:
        if len(jobs) < ALONE:
            for job in jobs:
                work(job)
        else:
            _all_cores(work, jobs)
        aside.replace(target)
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)
        raise


def expression(subject: int, sequence: int, seed: int = 0) -> int:
    """What a sequence shows: an index in `EXPRESSIONS`."""
    order = np.random.default_rng([51, seed, subject, sequence // len(CODES)]).permutation(list(CODES))
    return EXPRESSIONS.index(order[sequence % len(CODES)])


def intensities(subject: int, sequence: int, frames: tuple[int, int] = FRAMES, seed: int = 0) -> np.ndarray:
    """How strong the expression is in each frame: float64 [T], from 0 rising to the peak, where it lingers."""
    rng = np.random.default_rng([52, seed, subject, sequence])
    count = int(rng.integers(frames[0], frames[1] + 1))
    peak = rng.uniform(*PEAK)
    return peak * (0.5 - 0.5 * np.cos(np.pi * np.linspace(0, 1, count) ** 0.75)) if count > 1 else np.array([peak])


def labelled(subject: int, sequence: int, seed: int = 0) -> bool:
    """Whether there is an emotion file."""
    return bool(np.random.default_rng([53, seed, subject, sequence]).random() >= UNLABELLED)


def _write_sequence(
    folder: pathlib.Path, frames: tuple[int, int], size: tuple[int, int], seed: int, job: tuple[int, int]
) -> None:
    subject, sequence = job
    person, take = f"S{subject:03d}", f"{sequence + 1:03d}"
    pictures, landmarks, emotion = (
        folder / part / person / take for part in ("cohn-kanade-images", "Landmarks", "Emotion")
    )
    for place in (pictures, landmarks, emotion):
        place.mkdir(parents=True)
    shown = expression(subject, sequence, seed)
    for number, intensity in enumerate(intensities(subject, sequence, frames, seed), 1):
        drawn = faces_drawn.draw(subject, shown, float(intensity), sequence, seed, size)
        name = f"{person}_{take}_{number:08d}"
        (pictures / f"{name}.png").write_bytes(cv2.imencode(".png", drawn.picture, PNG)[1].tobytes())
        lines = "".join(f"   {x:.7e}   {y:.7e}\n" for x, y in drawn.landmarks.tolist())
        (landmarks / f"{name}_landmarks.txt").write_text(lines)
    if labelled(subject, sequence, seed):
        (emotion / f"{name}_emotion.txt").write_text(f"   {CODES[EXPRESSIONS[shown]]:.7e}\n")


def _all_cores(work: Callable, jobs: list) -> None:
    from tqdm.auto import tqdm

    with multiprocessing.get_context("spawn").Pool(initializer=_worker) as pool:
        done = pool.imap_unordered(work, jobs, chunksize=2)
        for _ in tqdm(done, "faces", len(jobs), unit=" sequences", leave=False):
            pass


def _worker() -> None:
    """One thread per process; Ctrl-C is the parent's business."""
    cv2.setNumThreads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)

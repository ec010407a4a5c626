"""Drawn chest films on disk in the layouts of the Montgomery and Shenzhen archives."""

import functools
import multiprocessing
import pathlib
import shutil
import signal
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import cv2
import numpy as np

ALONE = 64  # fewer films are not worth starting processes for

Parts = tuple[dict[str, np.ndarray], str, str]  # pictures by relative path, the path of the reading, the reading


def montgomery(film: Any, number: int) -> Parts:
    """A film with one mask per lung."""
    name = f"MCUCXR_{number:04d}_{film.label}"
    pictures = {
        f"CXR_png/{name}.png": film.image,
        f"ManualMask/leftMask/{name}.png": film.left,
        f"ManualMask/rightMask/{name}.png": film.right,
    }
    reading = f"Patient's Sex: {film.sex}\nPatient's Age: {film.age:03d}Y\n{finding(film)}\n"
    return pictures, f"ClinicalReadings/{name}.txt", reading


def shenzhen(film: Any, number: int) -> Parts:
    """A film with one mask of both lungs."""
    name = f"CHNCXR_{number:04d}_{film.label}"
    pictures = {f"CXR_png/{name}.png": film.image, f"mask/{name}_mask.png": film.left | film.right}
    sex = {"F": "female", "M": "male"}[film.sex]
    return pictures, f"ClinicalReadings/{name}.txt", f"{sex} {film.age}yrs\n{finding(film)}\n"


def finding(film: Any) -> str:
    """What a reader would write."""
    if film.kind == "plain":
        return "normal"
    names = ", ".join(film.lesions).replace("_", " ")
    return f"tuberculosis: {names}" if film.label else f"no tuberculosis: {names}"


def write(
    target: pathlib.Path, layout: Callable[[Any, int], Parts], draw: Callable[[int], Any], count: int, start: int
) -> pathlib.Path:
    """`draw(index)` for `start` to `start + count - 1`, by all cores; `target` appears when it is whole.

    Raises:
        ValueError: `target` is there already, or `count` is not positive.
    """
    if target.exists():
        raise ValueError(f"{target} exists already; remove it or name another folder.")
    if count < 1:
        raise ValueError(f"An archive needs at least one film. Received: count={count}.")
    target.parent.mkdir(parents=True, exist_ok=True)
    aside = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}")
    try:
        for _ in _each(functools.partial(_write_one, layout, draw, aside), range(start, start + count), target.name):
            pass
        aside.replace(target)
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)
        raise
    return target


def _each(work: Callable[[int], None], indices: range, name: str) -> Iterator[None]:
    if len(indices) < ALONE:
        yield from map(work, indices)
        return
    from tqdm.auto import tqdm

    with multiprocessing.get_context("spawn").Pool(initializer=_worker) as pool:
        done = pool.imap_unordered(work, indices, chunksize=16)
        yield from tqdm(done, name, len(indices), unit=" films", leave=False)


def _worker() -> None:
    """One thread per process; Ctrl-C is the parent's business."""
    cv2.setNumThreads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _write_one(
    layout: Callable[[Any, int], Parts], draw: Callable[[int], Any], folder: pathlib.Path, index: int
) -> None:
    pictures, path, reading = layout(draw(index), index + 1)
    for name, picture in pictures.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        grey = picture if picture.dtype == np.uint8 else picture * np.uint8(255)
        (folder / name).write_bytes(cv2.imencode(".png", grey)[1].tobytes())
    (folder / path).parent.mkdir(parents=True, exist_ok=True)
    (folder / path).write_text(reading, "utf-8")

"""Walker silhouettes: labelled clips of people who walk past eleven cameras, drawn from a seed (generator E).

Paper: Chao et al., "GaitSet: Regarding Gait as a Set for Cross-View Gait Recognition", AAAI 2019, arXiv:1811.06186
Slug: gaitset
Idea: an articulated body with a subject's own shape and joint curves, bags and coats, seen in perspective from
    11 views, spoilt as background subtraction spoils silhouettes, in CASIA-B's layout.
Differs: the paper films people; here they are drawn. Shapes, curves and faults are plausible, not measured.
Checked: seed and order independence, subjects alike in all walks and unlike each other, stride in the widths, order of
    the views, bags and coats, the layout with a subject left incomplete (tests/test_walkers.py).
"""

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

from hub.data import walker_body, walker_camera, walker_motion, walker_noise, walker_shapes
from hub.data.walker_body import CONDITIONS as CONDITIONS
from hub.data.walker_camera import VIEWS as VIEWS
from hub.registry import register

FRAMES = (40, 110)
DROPPED = 0.03  # share of the frames that the recording lacks
ALONE = 32  # fewer clips are not worth starting processes for
PNG = (cv2.IMWRITE_PNG_COMPRESSION, 1, cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE)
if hasattr(cv2, "IMWRITE_PNG_FILTER"):  # newer versions of OpenCV; writes such frames in a fifth of the time
    PNG += (cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_NONE)


@register("walker_silhouettes")
def walker(
    subject: int, condition: str, view: int, seed: int = 0, *, frames: tuple[int, int] = FRAMES, faults: bool = True
) -> np.ndarray:
    """The silhouettes uint8 `[T, 240, 320]` (0 or 255, 25 per second) of one walk; they depend on the arguments alone.

    Args:
        subject: non-negative; the same person in every condition and view.
        condition: one of `CONDITIONS`: nm normal, bg with a bag, cl in a coat.
        view: degrees, 0 walks towards the camera, 90 to the left, 180 away; all views see the same walk.
        seed: non-negative; another seed gives other people.
        frames: fewest and most frames.
        faults: False draws perfect silhouettes.

    Raises:
        ValueError: an argument is not as said.
    """
    if (
        subject < 0
        or seed < 0
        or condition not in CONDITIONS
        or not 0 <= view <= 180
        or not 1 <= frames[0] <= frames[1]
    ):
        raise ValueError(
            f"A walk needs subject and seed >= 0, a view in 0..180, 1 <= frames[0] <= frames[1] and a condition of "
            f"{', '.join(CONDITIONS)}. Received: {subject}, {seed}, view={view}, frames={frames}, {condition!r}."
        )
    walk = [seed, subject, CONDITIONS.index(condition)]
    of_time, of_view, of_faults = (
        np.random.default_rng(key) for key in ([4, *walk], [5, *walk, view], [6, *walk, view])
    )
    body, dress = walker_body.body(subject, condition, seed), walker_body.dress(subject, condition, seed)
    count = int(of_time.integers(frames[0], frames[1] + 1))
    steps = 1 + (of_time.random(count) < DROPPED) * of_time.integers(1, 4, count)
    times = np.cumsum(steps).astype(float)
    pose = walker_motion.walk(body, dress, times)
    reach = pose.speed * (times[-1] - times[0]) / walker_motion.FPS / 2
    camera = walker_camera.camera(of_view, view, body, reach)
    clip = walker_camera.paint(camera.outlines(walker_shapes.solids(body, dress, pose)))
    return walker_noise.spoil(of_faults, clip) if faults else clip


def write(
    folder: str | os.PathLike,
    subjects: Sequence[int],
    views: Sequence[int] = VIEWS,
    conditions: Sequence[str] = CONDITIONS,
    *,
    seed: int = 0,
    frames: tuple[int, int] = FRAMES,
    incomplete: int | None = None,
    report: Callable[[str], None] = print,
) -> None:
    """Walks as a new `folder` in CASIA-B's layout, `001/nm-01/000/001-nm-01-000-001.png`, drawn by all cores.

    The folder appears when it is whole. The subject `incomplete` lacks a third of the clips, and a third is empty.

    Raises:
        ValueError: the folder is there already, or nothing is to be written.
    """
    target = pathlib.Path(folder)
    if target.exists():
        raise ValueError(f"{target} exists already; remove it or name another folder.")
    clips = list(itertools.product(subjects, conditions, views))
    if not clips:
        raise ValueError(
            f"Nothing to write: {len(subjects)} subjects, {len(conditions)} conditions, {len(views)} views."
        )
    faulty = [clip for clip in clips if clip[0] == incomplete]
    order = np.random.default_rng([7, seed]).permutation(len(faulty))
    absent, empty = ({faulty[n] for n in order[part::3]} for part in (0, 1))
    clips = [clip for clip in clips if clip not in absent]
    report(f"Writing {len(clips):,} clips of {len(subjects)} drawn walkers in CASIA-B's layout to {target}")
    target.parent.mkdir(parents=True, exist_ok=True)
    aside = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}")
    work = functools.partial(_write_clip, aside, seed, frames, empty)
    try:
        if len(clips) < ALONE:
            for clip in clips:
                work(clip)
        else:
            _all_cores(work, clips)
        aside.replace(target)
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)
        raise


def _all_cores(work: Callable, clips: list) -> None:
    from tqdm.auto import tqdm

    with multiprocessing.get_context("spawn").Pool(initializer=_worker) as pool:
        done = pool.imap_unordered(work, clips, chunksize=8)
        for _ in tqdm(done, "walkers", len(clips), unit=" clips", leave=False):
            pass


def _worker() -> None:
    """One thread per process; Ctrl-C is the parent's business."""
    cv2.setNumThreads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _write_clip(
    folder: pathlib.Path, seed: int, frames: tuple[int, int], empty: set, clip: tuple[int, str, int]
) -> None:
    subject, condition, view = clip
    place = folder / f"{subject:03d}" / condition / f"{view:03d}"
    place.mkdir(parents=True)
    if clip in empty:
        return
    for number, frame in enumerate(walker(subject, condition, view, seed, frames=frames), 1):
        name = f"{subject:03d}-{condition}-{view:03d}-{number:03d}.png"
        (place / name).write_bytes(cv2.imencode(".png", frame, PNG)[1].tobytes())


def contract_example(make: Callable) -> None:
    """A person upright, wider at 90 degrees than at 0; the same walk whatever was drawn before."""
    clips = [make(3, "nm-01", view, frames=(20, 20), faults=False) for view in (0, 90)]
    assert np.array_equal(clips[1], make(3, "nm-01", 90, frames=(20, 20), faults=False))
    widths = []
    for clip in clips:
        assert clip.shape == (20, 240, 320) and clip.dtype == np.uint8 and set(np.unique(clip)) == {0, 255}
        heights, spans = zip(*(np.ptp(np.nonzero(frame), axis=1) + 1 for frame in clip), strict=True)
        assert min(np.divide(heights, spans)) > 1
        widths.append(np.max(np.divide(spans, heights)))
    assert widths[1] > 1.1 * widths[0]

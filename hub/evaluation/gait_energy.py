"""Gait energy image: the mean silhouette of a clip, the baseline that a gait network must beat.

Paper: Han and Bhanu, "Individual Recognition Using Gait Energy Image", IEEE TPAMI 28(2), 2006
Slug: gait_energy_image
Idea: averaged over time, limbs that move leave grey and the body leaves white: one small picture holds shape and gait.
Differs: only the real template; no synthetic ones and no discriminant analysis. The mean is over all frames of a clip,
  not over whole gait cycles, which a set of frames does not have.
Checked: a loop over clips of one to many frames; nearest neighbours in `cross_view` (tests/test_cross_view.py).
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from hub.registry import register


@register("gait_energy_image")
def gait_energy_image(frames: Any, starts: Any) -> np.ndarray:
    """The mean silhouettes [n, H, W] of n clips, float32 in 0 ... 1; `cross_view` takes them as embeddings.

    Args:
        frames: uint8 [sum of T, H, W], 0 background and 255 person; the frames of all clips, one clip after another.
        starts: int [n + 1], where each clip begins, and where the last one ends.

    Raises:
        ValueError: frames that are not uint8 [T, H, W], starts that do not cover them, or a clip without frames.
    """
    frames, starts = np.asarray(frames), np.asarray(starts)
    if frames.ndim != 3 or frames.dtype != np.uint8:
        raise ValueError(f"Silhouettes are uint8 [frames, height, width]. Received: {frames.dtype} {frames.shape}.")
    if starts.ndim != 1 or len(starts) < 2 or starts[0] != 0 or starts[-1] != len(frames):
        raise ValueError(f"Starts run from 0 to the {len(frames)} frames, [n + 1]. Received: {starts.tolist()[:9]}.")
    lengths = np.diff(starts)
    if (lengths < 1).any():
        raise ValueError(f"A mean silhouette needs a frame. Received: none in clip {int(np.argmax(lengths < 1))}.")
    clips = np.split(frames, starts[1:-1])  # summed one by one: `np.add.reduceat` takes several times as long
    totals = np.stack([clip.sum(axis=0, dtype="uint32") for clip in clips])
    return (totals / (255.0 * lengths[:, None, None])).astype("float32")


def contract_example(make: Callable[..., np.ndarray]) -> None:
    """Two clips, of one frame and of two."""
    frames = np.zeros((3, 2, 2), "uint8")
    frames[0, 0], frames[1, 1] = 255, 255
    np.testing.assert_allclose(make(frames, [0, 1, 3]), [[[1, 1], [0, 0]], [[0, 0], [0.5, 0.5]]])

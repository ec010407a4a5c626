"""P x K batches of sets: so many people, so many clips of each, some frames of each clip without order.

Paper: Chao et al., "GaitSet: Regarding Gait as a Set for Cross-View Gait Recognition", AAAI 2019, arXiv:1811.06186
Slug: gaitset
Idea: a triplet loss needs several clips of several people in one batch; a set needs neither the order of frames
    nor all of them.
Differs: batch b depends on the seed and b alone, so that an interrupted training goes on with the very batch it missed.
Checked: determinism, resuming, uniform people, clips and frames, contents frame by frame (tests/test_set_batches.py).
"""

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from hub.registry import register


@register("set_batches")
def set_batches(
    frames: np.ndarray,
    starts: np.ndarray,
    labels: np.ndarray,
    people: int = 8,
    clips: int = 16,
    length: int = 30,
    seed: int = 0,
    first: int = 0,
) -> tf.data.Dataset:
    """An endless source of ({"silhouettes": float32 [P K, T, H, W, 1] in 0..1, "length": int32 [P K]}, int32 [P K]).

    Rows lie person by person. People of a batch differ; a person's clips differ where there are `clips` of them, else
    they are drawn with replacement, and so are a clip's frames. Clips without frames are never drawn.

    Args:
        frames: uint8 [sum T, H, W], see `hub.data.gait_clips.read_all`; may be a memory map.
        starts: int64 [N + 1]: clip i is `frames[starts[i] : starts[i + 1]]`.
        labels: integers [N], alike only for clips of one person.
        people: P, of a batch.
        clips: K, of a person.
        length: T, frames of a clip.
        seed: non-negative.
        first: number of the first batch; the batches before it are not drawn.

    Raises:
        ValueError: shapes that do not fit, a number below its least, or more people wanted than there are.
    """
    frames, starts, labels = np.asarray(frames), np.asarray(starts), np.asarray(labels)
    if frames.ndim != 3 or frames.dtype != np.uint8:
        raise ValueError(f"`frames` must be uint8 [sum T, H, W]. Received: {frames.dtype} {frames.shape}.")
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        raise ValueError(f"`labels` must be integers [N]. Received: {labels.dtype} {labels.shape}.")
    counts = np.diff(starts)
    if starts.shape != (len(labels) + 1,) or starts[0] != 0 or starts[-1] != len(frames) or (counts < 0).any():
        raise ValueError(
            f"`starts` must rise from 0 to {len(frames)} in {len(labels) + 1} numbers. Received: {starts.shape}."
        )
    for name, value, least in (("people", people, 1), ("clips", clips, 1), ("length", length, 1),
                               ("seed", seed, 0), ("first", first, 0)):  # fmt: skip
        if value < least:
            raise ValueError(f"`{name}` must be {least} or more. Received: {value}.")
    there = np.flatnonzero(counts)
    there = there[np.argsort(labels[there], kind="stable")]
    known, begins, sizes = np.unique(labels[there], return_index=True, return_counts=True)
    if people > len(known):
        raise ValueError(f"{people} people per batch are wanted, but only {len(known)} have clips with frames.")

    def draw(number: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        rng = np.random.default_rng([seed, int(number)])
        who = rng.permutation(len(known))[:people]
        chosen = there[(begins[who, None] + _draw(rng, sizes[who], clips)).ravel()]
        at = starts[chosen, None] + _draw(rng, counts[chosen], length)
        return frames[at][..., None], np.repeat(known[who], clips).astype(np.int32)

    def batch(number: tf.Tensor) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
        sets, owners = tf.numpy_function(draw, [number], (tf.uint8, tf.int32), stateful=False)
        sets = tf.ensure_shape(sets, (people * clips, length, *frames.shape[1:], 1))
        owners = tf.ensure_shape(owners, (people * clips,))
        lengths = tf.fill([people * clips], tf.constant(length, tf.int32))
        return {"silhouettes": tf.cast(sets, tf.float32) / 255, "length": lengths}, owners

    numbers = tf.data.Dataset.counter(start=first)
    return numbers.map(batch, num_parallel_calls=2, deterministic=True).prefetch(2)


def _draw(rng: np.random.Generator, sizes: np.ndarray, count: int) -> np.ndarray:
    """[n, count] numbers: row i from 0..sizes[i] - 1, without replacement where there are `count` of them."""
    keys = rng.random((len(sizes), max(int(sizes.max()), count)))
    again = (keys[:, :count] * sizes[:, None]).astype(np.int64)
    keys[np.arange(keys.shape[1]) >= sizes[:, None]] = 2  # the `count` smallest keys of a row are a random subset
    alone = np.argpartition(keys, count - 1, axis=1)[:, :count]
    return np.where(sizes[:, None] >= count, alone, again)


def contract_example(make: Callable) -> None:
    """Every frame is of a clip of its person; a later start gives the same batch."""
    labels = np.repeat([3, 5, 9], 2)
    starts = np.arange(0, 70, 10)[:7]
    frames = np.broadcast_to(np.repeat(labels, 10).astype(np.uint8)[:, None, None], (60, 4, 3))
    source = {"frames": frames, "starts": starts, "labels": labels, "people": 2, "clips": 2, "length": 4}
    batches = list(make(**source).take(3).as_numpy_iterator())
    for inputs, owners in batches:
        assert inputs["silhouettes"].shape == (4, 4, 4, 3, 1) and (inputs["length"] == 4).all()
        assert len(set(owners.tolist())) == 2
        np.testing.assert_allclose(inputs["silhouettes"].mean((1, 2, 3, 4)) * 255, owners, rtol=1e-5)
    (again,) = make(**source, first=2).take(1).as_numpy_iterator()
    assert np.array_equal(again[0]["silhouettes"], batches[2][0]["silhouettes"])

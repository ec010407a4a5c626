"""How many frames does a set need, and is it worth more from two cameras?

Paper: Chao, He, Zhang and Feng, "GaitSet: Regarding Gait as a Set for Cross-View Gait Recognition", AAAI 2019,
  arXiv:1811.06186
Slug: gaitset
Idea: a set has no order and no fixed size, so any few frames are an input, and so are those of two views together.
Differs: figures come with every draw, so that their spread can be shown. One set of two views has as many frames as the
  one view it is compared with, and neither meets gallery clips of these two views.
Checked: a synthetic body whose frames are noisy glimpses of it (tests/test_cross_view.py).
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from hub.evaluation._distances import flat, own_ranks, squared_distances
from hub.registry import register

Embed = Callable[[list[np.ndarray]], Any]  # clips, each [T, ...], to embeddings [N, ...]


class FramesRow(NamedTuple):
    """A figure at one number of frames."""

    frames: int
    mean: float
    draws: tuple[float, ...]  # of each draw


class TwoViews(NamedTuple):
    """Rank-1 of each draw, in 0 ... 1, [draws]."""

    one: np.ndarray  # probes of one view
    two: np.ndarray  # probes of as many frames, half of them of another view
    probes: int  # recordings drawn from


@register("over_frames")
def over_frames(
    embed: Embed,
    clips: Sequence[np.ndarray],
    figure: Callable[[Any], float],
    counts: Sequence[int] = (1, 2, 4, 7, 15, 30),
    *,
    draws: int = 5,
    seed: int = 0,
) -> list[FramesRow]:
    """`figure` of the embeddings as a function of the number of frames drawn, without order, from every clip.

    Args:
        embed: takes a list of clips [T, ...] of unequal lengths, returns embeddings [N, ...].
        clips: N clips; one with fewer frames than drawn gives all of them.
        figure: called with the embeddings of all clips, for example
            `lambda e: cross_view(e, subjects, conditions, views).means["NM"]`.
        counts: numbers of frames.
        draws: how often each is drawn.
        seed: same seed, same frames.

    Raises:
        ValueError: no clips, a clip without frames, or a count below 1.
    """
    if not len(clips) or not all(map(len, clips)) or min(counts) < 1:
        raise ValueError(f"Frames are drawn, at least 1, from clips that have some. Received: {len(clips)} clips.")
    rng = np.random.default_rng(seed)
    rows = []
    for count in counts:
        figures = [float(figure(embed([_some(clip, count, rng) for clip in clips]))) for _ in range(draws)]
        rows.append(FramesRow(count, float(np.mean(figures)), tuple(figures)))
    return rows


def two_views(
    embed: Embed,
    clips: Sequence[np.ndarray],
    subjects: Any,
    conditions: Any,
    views: Any,
    gallery: Sequence[str],
    probes: Sequence[str],
    frames: int = 30,
    *,
    draws: int = 5,
    seed: int = 0,
) -> TwoViews:
    """Rank-1 of sets of `frames` frames of one view against sets of as many from two views of the same recording.

    In each draw every recording of every subject that was filmed from two views or more gives one probe of each kind,
    of views drawn at random. Short clips give fewer frames, to both kinds.

    Args:
        embed: as in `over_frames`.
        clips: N clips [T, ...].
        subjects: [N].
        conditions: [N] recordings.
        views: [N] camera angles.
        gallery: the recordings to search, with all their frames.
        probes: the recordings to look for.
        frames: in one set, 2 or more.
        draws: how often views and frames are drawn.
        seed: same seed, same draws.

    Raises:
        ValueError: arrays of different lengths, no gallery, none of a third view, or no recording of two
            views with frames enough.
    """
    _, subjects, conditions, views = flat(np.empty((len(clips), 1)), subjects, conditions, views)
    enrolled = np.flatnonzero(np.isin(conditions, gallery))
    takes: dict[tuple, list[int]] = {}
    for i in np.flatnonzero(np.isin(conditions, probes)):
        if len(clips[i]) > 1:
            takes.setdefault((subjects[i], conditions[i]), []).append(i)
    pairs = [members for members in takes.values() if len(set(views[members].tolist())) > 1]
    if not enrolled.size or not pairs or frames < 2:
        raise ValueError(
            "Two views are compared with one on recordings of two views, sets of 2 frames or more, and a gallery. "
            f"Received: {len(pairs)} such recordings, {frames} frames, {enrolled.size} gallery clips."
        )
    there = flat(embed([clips[i] for i in enrolled]))[0]
    rng = np.random.default_rng(seed)
    one, two = np.empty(draws), np.empty(draws)
    for d in range(draws):
        first = np.array([rng.choice(members) for members in pairs])
        second = np.array([rng.choice([m for m in members if views[m] != views[f]])
                           for members, f in zip(pairs, first, strict=True)])  # fmt: skip
        halves = [min(frames // 2, len(clips[f]) // 2, len(clips[s])) for f, s in zip(first, second, strict=True)]
        single = [_some(clips[f], 2 * h, rng) for f, h in zip(first, halves, strict=True)]
        merged = [np.concatenate([_some(clips[f], h, rng), _some(clips[s], h, rng)])
                  for f, s, h in zip(first, second, halves, strict=True)]  # fmt: skip
        seen = (views[first, None] == views[enrolled]) | (views[second, None] == views[enrolled])
        own = (subjects[first, None] == subjects[enrolled]) & ~seen
        if not (found := own.any(axis=1)).any():
            raise ValueError("Two views are looked for in gallery clips of a third. Received: none of these subjects.")
        for result, sets in ((one, single), (two, merged)):
            distances = np.where(seen, np.inf, squared_distances(flat(embed(sets))[0], there))
            result[d] = (own_ranks(distances, own)[found] == 1).mean()
    return TwoViews(one, two, len(pairs))


def _some(clip: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    return clip[rng.permutation(len(clip))[:count]]


def contract_example(make: Callable[..., list[FramesRow]]) -> None:
    """The mean number of frames that arrive: a clip of two frames never gives more."""
    rows = make(lambda sets: [len(s) for s in sets], [np.zeros((2, 1)), np.zeros((6, 1))], np.mean, (1, 2, 4), draws=2)
    assert rows == [(1, 1.0, (1.0, 1.0)), (2, 2.0, (2.0, 2.0)), (4, 3.0, (3.0, 3.0))]

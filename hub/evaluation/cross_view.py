"""Cross-view identification: rank-k of every probe view against every gallery view, as gait papers print it.

Paper: Chao, He, Zhang and Feng, "GaitSet: Regarding Gait as a Set for Cross-View Gait Recognition", AAAI 2019,
  arXiv:1811.06186
Slug: gaitset
Idea: a probe is compared with the gallery clips of one view at a time, by Euclidean distance; the identical view is
  left out, so that a network cannot win by recognising the camera angle.
Differs: a probe whose identity has no gallery clip at that view cannot be found; it is counted and left out, while the
  authors' code counts it as missed (`unknown_is_miss`), so published figures of OU-MVLP are lower. Cells are not
  rounded before they are averaged. Equally far others come before the right one. OpenGait's later code averages the
  distances of the strips instead; this one is the paper's, over all numbers at once.
Checked: plain loops over random embeddings agree view by view, with ties, missing views, unknown identities and one
  view only; the intervals equal those of redrawing in a loop (tests/test_cross_view.py).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from hub.evaluation._distances import blocks, flat, own_ranks, squared_distances
from hub.evaluation.bootstrap import Interval, bootstrap_interval
from hub.registry import register


class Protocol(NamedTuple):
    """Which recordings are enrolled, and which are looked for under what name."""

    gallery: tuple[str, ...]
    probes: Mapping[str, tuple[str, ...]]


CASIA_B = Protocol(
    ("nm-01", "nm-02", "nm-03", "nm-04"),
    {"NM": ("nm-05", "nm-06"), "BG": ("bg-01", "bg-02"), "CL": ("cl-01", "cl-02")},
)
OU_MVLP = Protocol(("01",), {"NM": ("00",)})


@dataclass(frozen=True)
class CrossView:
    """Counts of S subjects, C conditions, P probe views and G gallery views, and the figures made of them."""

    k: int
    conditions: tuple[str, ...]  # [C]
    probe_views: tuple[int, ...]  # [P], degrees, rising
    gallery_views: tuple[int, ...]  # [G]
    right: np.ndarray  # [S, C, P, G], probes with their subject among the k nearest
    probes: np.ndarray  # [S, C, P]
    enrolled: np.ndarray  # bool [S, G], whether the gallery has the subject at that view
    unknown_is_miss: bool = False

    @property
    def counted(self) -> np.ndarray:
        """Probes [S, C, P, G] that each cell is a share of."""
        known = np.ones_like(self.enrolled) if self.unknown_is_miss else self.enrolled
        return self.probes[..., None] * known[:, None, None]

    @property
    def unknown(self) -> np.ndarray:
        """Probes [C, P, G] whose subject the gallery does not have at that view."""
        return (self.probes[..., None] * ~self.enrolled[:, None, None]).sum(axis=0)

    @property
    def matrix(self) -> np.ndarray:
        """Rank-k of each cell [C, P, G], in 0 ... 1; NaN where nothing can be compared. Identical views included."""
        return _share(self.right.sum(axis=0), self.counted.sum(axis=0))

    @property
    def by_view(self) -> np.ndarray:
        """Mean over the other gallery views [C, P]; NaN where there is none."""
        return _mean(np.where(self._identical, np.nan, self.matrix))

    @property
    def means(self) -> dict[str, float]:
        """Mean of `by_view` of each condition: the figure that papers compare."""
        return dict(zip(self.conditions, _mean(self.by_view).tolist(), strict=True))

    def interval(self, condition: str, *, level: float = 0.95, resamples: int = 2000, seed: int = 0) -> Interval:
        """The mean of `condition` with its bootstrap interval: subjects are redrawn as probes, the gallery stays.

        Raises:
            ValueError: no such condition, its mean is undefined, or a level out of range.
        """
        if condition not in self.conditions:
            raise ValueError(f"The conditions are {', '.join(self.conditions)}. Received: {condition!r}.")
        c = self.conditions.index(condition)

        def figure(right: np.ndarray, counted: np.ndarray) -> np.ndarray:
            cells = _share(right.sum(axis=1), counted.sum(axis=1))
            return _mean(_mean(np.where(self._identical, np.nan, cells)))

        arrays = (self.right[:, c], self.counted[:, c])
        return bootstrap_interval(arrays, figure, level=level, resamples=resamples, seed=seed)

    def table(self) -> str:
        """Per cent by condition and probe view with the mean, as the papers print it, and what was left out."""
        head = "".join(f"{view:>7}" for view in (*self.probe_views, "mean"))
        lines = [f"{f'rank-{self.k} %':<9}{head}"]
        for name, row in zip(self.conditions, self.by_view, strict=True):
            lines.append(f"{name:<9}" + "".join(f"{_percent(x):>7}" for x in (*row, self.means[name])))
        lines.append("Identical views are excluded.")
        if count := int(np.where(self._identical, 0, self.unknown).sum()):
            pairs = int(np.where(self._identical, 0, self.probes.sum(axis=0)[..., None]).sum())
            how = "counted as missed" if self.unknown_is_miss else "left out"
            lines.append(f"{count} of {pairs} comparisons find the gallery without the probe's subject: {how}.")
        return "\n".join(lines)

    @property
    def _identical(self) -> np.ndarray:
        return np.equal.outer(self.probe_views, self.gallery_views)


@register("cross_view")
def cross_view(
    embeddings: Any,
    subjects: Any,
    conditions: Any,
    views: Any,
    protocol: Protocol = CASIA_B,
    *,
    k: int = 1,
    unknown_is_miss: bool = False,
) -> CrossView:
    """Rank-k of every pair of views; memory beyond the embeddings is that of one gallery view.

    Args:
        embeddings: [N, ...]; the distance of two clips is Euclidean over all their numbers.
        subjects: [N] identities.
        conditions: [N] recordings, such as "nm-01"; those that the protocol does not name are ignored.
        views: [N] camera angles in degrees.
        protocol: which recordings are gallery and which are probes.
        k: a probe is right where one of its k nearest gallery clips is of its subject.
        unknown_is_miss: whether a probe without a gallery clip of its subject at a view counts there, as a miss.

    Raises:
        ValueError: arrays of different lengths, embeddings that are not finite, no gallery or no probe, or k below 1.
    """
    embeddings, subjects, conditions, views = flat(embeddings, subjects, conditions, views)
    if k < 1:
        raise ValueError(f"A rank is 1 or more. Received: {k}.")
    names, recordings = tuple(protocol.probes), [r for group in protocol.probes.values() for r in group]
    gallery, probes = (np.flatnonzero(np.isin(conditions, wanted)) for wanted in (protocol.gallery, recordings))
    if not gallery.size or not probes.size:
        raise ValueError(
            f"The protocol enrols {', '.join(protocol.gallery)} and looks for {', '.join(recordings)}. "
            f"Received: {', '.join(np.unique(conditions).astype(str)) or 'no clips'}."
        )
    who, codes = np.unique(subjects[probes], return_inverse=True)
    probe_views, angles = np.unique(views[probes], return_inverse=True)
    gallery_views = np.unique(views[gallery])
    kinds = np.argmax([np.isin(conditions[probes], group) for group in protocol.probes.values()], axis=0)
    counts = np.zeros((len(who), len(names), len(probe_views)), int)
    np.add.at(counts, (codes, kinds, angles), 1)
    right = np.zeros((*counts.shape, len(gallery_views)), int)
    enrolled = np.zeros((len(who), len(gallery_views)), bool)
    for g, view in enumerate(gallery_views):
        at = gallery[views[gallery] == view]
        enrolled[:, g] = np.isin(who, subjects[at])
        there = embeddings[at]
        for rows in blocks(len(probes), there):
            own = subjects[probes[rows], None] == subjects[at]
            found = own_ranks(squared_distances(embeddings[probes[rows]], there), own) <= k
            np.add.at(right[..., g], (codes[rows], kinds[rows], angles[rows]), found)
    return CrossView(k, names, tuple(probe_views.tolist()), tuple(gallery_views.tolist()), right, counts, enrolled,
                     unknown_is_miss)  # fmt: skip


def _share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.divide(part, whole, out=np.full(part.shape, np.nan), where=whole > 0)


def _mean(values: np.ndarray) -> np.ndarray:
    """Mean over the last axis of what is not NaN."""
    return _share(np.nansum(values, axis=-1), (~np.isnan(values)).sum(axis=-1))


def _percent(share: float) -> str:
    return "-" if np.isnan(share) else f"{100 * share:.1f}"


def contract_example(make: Callable[..., CrossView]) -> None:
    """Two subjects, two views: at 0 degrees b's probe is nearer to a; identical views do not count."""
    gallery = [("a", "nm-01", 0, 0.0), ("b", "nm-01", 0, 10.0), ("a", "nm-01", 90, 1.0), ("b", "nm-01", 90, 9.0)]
    probes = [("a", "nm-05", 0, 2.0), ("b", "nm-05", 0, 4.0), ("a", "nm-05", 90, 3.0), ("b", "nm-05", 90, 8.0)]
    subjects, conditions, views, places = zip(*gallery, *probes, strict=True)
    result = make(np.array(places)[:, None], subjects, conditions, views)
    np.testing.assert_allclose(result.matrix[0], [[0.5, 0.5], [1, 1]])
    np.testing.assert_allclose(result.by_view[0], [0.5, 1])
    assert result.means["NM"] == 0.75 and np.isnan(result.means["BG"])

"""Cross-view-gallery protocol: a probe searches the clips of all views at once, as a camera in use would.

Paper: Hou et al., "A Comprehensive Study on the Evaluation of Silhouette-Based Gait Recognition", IEEE Transactions on
  Biometrics, Behavior, and Identity Science, 2022
Slug: gaitset
Idea: with a gallery of one view nobody competes who was filmed from the probe's own angle, though such a stranger looks
  more alike than the right person from elsewhere; here all do, and only the right person's clips of that angle are out.
Differs: the protocol is that of OpenGait's evaluation code, which names the paper; a probe that has nothing to find is
  counted and left out, where that code counts it as missed in rank-1.
Checked: plain loops over random embeddings, view by view, with missing views (tests/test_cross_view.py).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from hub.evaluation._distances import flat
from hub.evaluation.cross_view import Protocol
from hub.evaluation.retrieval import retrieval
from hub.registry import register

CASIA_B_GALLERY = Protocol(
    ("nm-02", "bg-02", "cl-02"), {"NM": ("nm-01",), "BG": ("bg-01",), "CL": ("cl-01",)}
)  # OU-MVLP's is that of `cross_view`


@dataclass(frozen=True)
class CrossViewGallery:
    """Figures of C conditions and P probe views, in 0 ... 1; NaN where no probe has anything to find."""

    conditions: tuple[str, ...]  # [C]
    views: tuple[int, ...]  # [P], degrees, rising
    rank1: np.ndarray  # [C, P]
    mean_ap: np.ndarray  # [C, P], mean average precision
    probes: np.ndarray  # [C, P], how many the figures are of
    alone: np.ndarray  # [C, P], how many had nothing to find and were left out

    @property
    def means(self) -> dict[str, tuple[float, float]]:
        """Rank-1 and mean average precision of each condition, the mean of its views."""
        seen = self.probes > 0
        return {
            name: tuple(float(row[at].mean()) if at.any() else float("nan") for row in (rank1, mean_ap))
            for name, rank1, mean_ap, at in zip(self.conditions, self.rank1, self.mean_ap, seen, strict=True)
        }


@register("cross_view_gallery")
def cross_view_gallery(
    embeddings: Any, subjects: Any, conditions: Any, views: Any, protocol: Protocol = CASIA_B_GALLERY
) -> CrossViewGallery:
    """Rank-1 and mean average precision by probe view against the gallery of all views.

    Args:
        embeddings: [N, ...]; the distance of two clips is Euclidean over all their numbers.
        subjects: [N] identities.
        conditions: [N] recordings, such as "nm-01"; those that the protocol does not name are ignored.
        views: [N] camera angles in degrees.
        protocol: which recordings are gallery and which are probes.

    Raises:
        ValueError: arrays of different lengths, embeddings that are not finite, or no probe with anything to find.
    """
    embeddings, subjects, conditions, views = flat(embeddings, subjects, conditions, views)
    recordings = [r for group in protocol.probes.values() for r in group]
    enrolled, probes = np.isin(conditions, protocol.gallery), np.flatnonzero(np.isin(conditions, recordings))
    found = retrieval(
        embeddings[probes],
        subjects[probes],
        embeddings[enrolled],
        subjects[enrolled],
        places=views[probes],
        gallery_places=views[enrolled],
    )
    angles, at = np.unique(views[probes], return_inverse=True)
    kinds = np.argmax([np.isin(conditions[probes], group) for group in protocol.probes.values()], axis=0)
    cells, shape = kinds * len(angles) + at, (len(protocol.probes), len(angles))

    def summed(cells: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
        return np.bincount(cells, weights, minlength=shape[0] * shape[1]).reshape(shape)

    here = cells[found.queries]
    count = summed(here)
    with np.errstate(invalid="ignore"):  # 0 / 0: a view without probes
        rank1, mean_ap = summed(here, found.first == 1) / count, summed(here, found.precision) / count
    return CrossViewGallery(
        tuple(protocol.probes), tuple(angles.tolist()), rank1, mean_ap, count, summed(cells) - count
    )


def contract_example(make: Callable[..., CrossViewGallery]) -> None:
    """A stranger from the probe's own view comes first; the probe's subject of that view is not there to find."""
    rows = [("a", "nm-01", 0, 0.0), ("a", "nm-02", 0, 0.1), ("b", "nm-02", 0, 1.0), ("a", "nm-02", 90, 2.0)]
    subjects, conditions, views, places = zip(*rows, strict=True)
    result = make(np.array(places)[:, None], subjects, conditions, views)
    assert result.means["NM"] == (0.0, 0.5) and result.probes.tolist() == [[1], [0], [0]]

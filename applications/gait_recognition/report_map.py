"""The section of the report that shows walks: a map of their embeddings, and silhouettes."""

import itertools

import numpy as np

from applications.charts import axes
from applications.gait_recognition.report_parts import COLOURS, MARKERS, legend_above
from applications.gait_recognition.result import Result
from applications.report import INK, PAPER, Card, Html, figure, gallery, paragraph

NAMED = 50  # people on the map; of more, those with the most walks
CASIA_B = ("nm", "bg", "cl")


def walks(result: Result) -> list[Html]:
    """Each walk a point, near those that the network finds alike; people by colour and name, conditions by shape."""
    fig, ax = axes("", "", 5.6, 5.0)
    ax.set(xticks=[], yticks=[])
    for spine in ax.spines.values():
        spine.set(visible=True, alpha=0.25)
    kinds = np.array([condition.rpartition("-")[0] or condition for condition in result.place_condition.tolist()])
    shapes = dict(zip(sorted(set(kinds.tolist()), key=_order), itertools.cycle(MARKERS), strict=False))
    people, counts = np.unique(result.place_subject, return_counts=True)
    named = np.sort(people[np.argsort(-counts, kind="stable")[:NAMED]])
    members = [result.place_subject == who for who in named]
    centres = np.array([np.median(result.place[rows], axis=0) for rows in members])
    groups = [(~np.isin(result.place_subject, named), INK, 0.25)]
    groups += [(rows, COLOURS[c], 0.85) for rows, c in zip(members, _apart(centres), strict=True)]
    for rows, colour, strength in groups:
        for kind, marker in shapes.items():
            if (some := rows & (kinds == kind)).any():
                ax.plot(*result.place[some].T, marker, color=colour, alpha=strength, markersize=4, markeredgewidth=0)
    box = {"boxstyle": "round,pad=0.12", "facecolor": PAPER, "alpha": 0.72, "linewidth": 0}
    for who, centre in zip(named.tolist(), centres, strict=True):
        ax.text(*centre, who, ha="center", va="center", color=INK, fontsize=9, bbox=box, parse_math=False)
    for kind, marker in shapes.items():
        ax.plot([], [], marker, color=INK, markersize=5, label=kind)
    legend_above(ax, 6)
    left = len(people) - len(named)
    said = f"{len(result.place):,} walks of {len(people):,} people; a name stands at the middle of its walks."
    if left:
        said += f" The {len(named)} with the most walks are named, those of the other {left:,} are pale."
    shown = figure(fig, f"Map of walks. {said}", f"{said} Shapes: what was worn or carried.")
    return [Html(f'<div class="map">{shown}</div>')]


def strips(result: Result) -> list[Html]:
    """Some walks, frame by frame."""
    if not result.examples:
        return [paragraph("None shown.", "muted")]
    cards = [Card((strip,), (f"silhouettes of a walk: {words}",), words) for words, strip in result.examples]
    return [Html(f'<div class="strips">{gallery(cards)}</div>')]


def _order(kind: str) -> tuple[int, str]:
    """CASIA-B's three as the papers name them, then others."""
    return CASIA_B.index(kind) if kind in CASIA_B else len(CASIA_B), kind


def _apart(centres: np.ndarray) -> list[int]:
    """A colour per person, so that neighbours differ: the one whose nearest bearer so far is farthest away."""
    given: list[int] = []
    for centre in centres:
        far = [np.inf] * len(COLOURS)
        for other, colour in zip(centres, given, strict=False):
            far[colour] = min(far[colour], float(np.hypot(*(centre - other))))
        given.append(int(np.argmax(far)))
    return given

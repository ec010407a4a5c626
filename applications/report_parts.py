"""What reports of identification share: colours, axes of shares, tables that stay whole, tiles, a map of embeddings."""

import itertools
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from applications.charts import axes, legend
from applications.report import (
    BLUE,
    GREEN,
    INK,
    ORANGE,
    PAPER,
    Html,
    KeyFigure,
    code,
    figure,
    interval,
    percent,
    side_by_side,
    subtitle,
    table,
)

COLOURS = (BLUE, ORANGE, GREEN, "#cc79a7", "#a98600", "#8c7ae0")  # the last three are seen on light and on dark
MARKERS = "osD^vP"
CHANCE = {"color": INK, "alpha": 0.5, "linestyle": (0, (1, 3)), "linewidth": 1.3}
NAMED = 50  # people on a map; of more, those with the most points
STYLE = """
.figures{white-space:nowrap;margin-bottom:.9rem}
.figures td,.figures thead th:not(:first-child){text-align:right}
.figures th:first-child{position:sticky;left:0;background:var(--back)}
.words th,.words td{overflow-wrap:normal}
.words td:nth-child(3),.words th:nth-child(3){text-align:right}
.map figure{max-width:46rem!important}
@media (max-width:30rem){.figures table{font-size:.85rem}.figures td,.figures th{padding-right:.6rem}}
@media print{.figures,.words,p{break-inside:avoid}section>p{break-after:avoid}
.figures table{font-size:8.5pt}.figures th,.figures td{padding-right:.6rem}}
"""


def distance(value: float) -> str:
    return f"{value:.4g}" if np.isfinite(value) else "none"


def block(heading: str, content: Html) -> Html:
    """Content under its own heading, to stand beside another."""
    return Html(f"<div>{subtitle(heading)}{content}</div>")


def figures_table(header: Iterable[str], rows: Iterable[Sequence[Any]]) -> Html:
    """A table of numbers none of whose cells is broken over lines; where it is too wide it scrolls."""
    return Html(f'<div class="figures">{table(tuple(header), rows)}</div>')


def of_each(found: Sequence[Any], draw: Callable[[Any], Iterable[Html]]) -> list[Html]:
    """What is drawn of each result, under its `name` where there are several."""
    return [part for one in found for part in (*([subtitle(one.name)] if len(found) > 1 else []), *draw(one))]


def tile(label: str, figure: dict[str, float] | None, note: str, again: str) -> KeyFigure | None:
    """A measured share with its interval, where there is one; `again` says whom the next redraw would be of."""
    if not figure or not np.isfinite(figure["value"]):
        return None
    ends = f"95\u00a0% interval {interval(figure['low'], figure['high'])}"
    if figure["low"] == figure["high"]:
        ends = f"the same in every redraw, which says nothing of the next {again}"
    return KeyFigure(label, percent(figure["value"]), f"{ends}; {note}")


def this_run(command: str, config: dict[str, Any], device: str, versions: dict[str, str]) -> list[Html]:
    """What made a run, and on what."""
    return [
        subtitle("Command"),
        code(command),
        side_by_side(
            [
                block("Settings", table(("setting", "value"), config.items())),
                block("Machine and packages", table(("what", "which"), [("device", device), *versions.items()])),
            ]
        ),
    ]


def share_axis(ax: Any) -> None:
    """Shares upwards, nothing to all."""
    ax.set_ylim(-0.02, 1.03)
    ax.yaxis.set_major_formatter(lambda share, _: f"{100 * share:.4g}\u00a0%")


def legend_above(ax: Any, columns: int, **what: Any) -> None:
    legend(ax, loc="lower left", bbox_to_anchor=(0, 1), ncols=columns, borderpad=0.1, columnspacing=1.4, **what)


def thinned(x: np.ndarray, y: np.ndarray, points: int = 300) -> np.ndarray:
    """At most `points` places, evenly along a curve of which each coordinate only rises or only falls."""
    along = np.abs(x - x[0]) + np.abs(y - y[0])
    return np.unique(np.searchsorted(along, np.linspace(0, along[-1], points)).clip(0, len(along) - 1))


def embedding_map(
    place: np.ndarray, names: np.ndarray, shapes: dict[str, np.ndarray], words: tuple[str, str], remark: str = ""
) -> Html:
    """Each thing a point, near those that the network finds alike; whose by colour and name, what kind by shape.

    Args:
        place: [M, 2].
        names: [M], whose.
        shapes: kind -> bool [M]; with a single one there is no legend.
        words: what they are and whose, as `("walks", "people")`.
        remark: closes the caption.
    """
    things, whose = words
    fig, ax = axes("", "", 5.6, 5.0)
    ax.set(xticks=[], yticks=[])
    for spine in ax.spines.values():
        spine.set(visible=True, alpha=0.25)
    markers = dict(zip(shapes, itertools.cycle(MARKERS), strict=False))
    people, counts = np.unique(names, return_counts=True)
    named = np.sort(people[np.argsort(-counts, kind="stable")[:NAMED]])
    members = [names == who for who in named]
    centres = np.array([np.median(place[rows], axis=0) for rows in members])
    groups = [(~np.isin(names, named), INK, 0.25)]
    groups += [(rows, COLOURS[c], 0.85) for rows, c in zip(members, _apart(centres), strict=True)]
    for rows, colour, strength in groups:
        for kind, marker in markers.items():
            if (some := rows & shapes[kind]).any():
                ax.plot(*place[some].T, marker, color=colour, alpha=strength, markersize=4, markeredgewidth=0)
    box = {"boxstyle": "round,pad=0.12", "facecolor": PAPER, "alpha": 0.72, "linewidth": 0}
    for who, centre in zip(named.tolist(), centres, strict=True):
        ax.text(*centre, who, ha="center", va="center", color=INK, fontsize=9, bbox=box, parse_math=False)
    if len(markers) > 1:
        for kind, marker in markers.items():
            ax.plot([], [], marker, color=INK, markersize=5, label=kind)
        legend_above(ax, 6)
    left = len(people) - len(named)
    said = f"{len(place):,} {things} of {len(people):,} {whose}; a name stands at the middle of its {things}."
    if left:
        said += f" The {len(named)} with the most {things} are named, those of the other {left:,} are pale."
    shown = figure(fig, f"Map of {things}. {said}", f"{said} {remark}".strip())
    return Html(f'<div class="map">{shown}</div>')


def _apart(centres: np.ndarray) -> list[int]:
    """A colour per person, so that neighbours differ: the one whose nearest bearer so far is farthest away."""
    given: list[int] = []
    for centre in centres:
        far = [np.inf] * len(COLOURS)
        for other, colour in zip(centres, given, strict=False):
            far[colour] = min(far[colour], float(np.hypot(*(centre - other))))
        given.append(int(np.argmax(far)))
    return given

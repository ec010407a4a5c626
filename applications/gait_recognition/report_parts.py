"""What the sections of the gait report share: colours, axes of shares and of angles, tables that stay whole."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from applications.charts import legend
from applications.report import BLUE, GREEN, INK, ORANGE, Html, subtitle, table

COLOURS = (BLUE, ORANGE, GREEN, "#cc79a7", "#a98600", "#8c7ae0")  # the last three are seen on light and on dark
MARKERS = "osD^vP"
WORDS = {"NM": "walking normally", "BG": "with a bag", "CL": "in a coat"}
CHANCE = {"color": INK, "alpha": 0.5, "linestyle": (0, (1, 3)), "linewidth": 1.3}


def condition(name: str) -> str:
    """`CL, in a coat`; others than CASIA-B's as they are."""
    return f"{name}, {WORDS[name]}" if name in WORDS else name


def distance(value: float) -> str:
    return f"{value:.4g}" if np.isfinite(value) else "none"


def block(heading: str, content: Html) -> Html:
    """Content under its own heading, to stand beside another."""
    return Html(f"<div>{subtitle(heading)}{content}</div>")


def figures_table(header: Iterable[str], rows: Iterable[Sequence[Any]]) -> Html:
    """A table of numbers none of whose cells is broken over lines; where it is too wide it scrolls."""
    return Html(f'<div class="figures">{table(tuple(header), rows)}</div>')


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

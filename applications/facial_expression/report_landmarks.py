"""The section of the report on landmarks: the share of faces below each error, its area, and the parts of the face."""

import numpy as np

from applications.charts import axes, legend
from applications.facial_expression.report_classes import figure_cell
from applications.facial_expression.result import Result
from applications.report import INK, Html, figure, paragraph, side_by_side
from applications.report_parts import COLOURS, block, figures_table, share_axis

REACH = 1.6  # of the greatest limit: how far the curve is drawn
DASHES = ("-", "--", "-.", ":")
REGIONS = ("jaw", "brows", "nose", "eyes", "mouth")


def landmarks(result: Result) -> list[Html]:
    """The curves of all sources in one picture; tables beside it."""
    if not result.landmarks:
        return [paragraph("Not measured: these faces have no true landmarks.", "muted")]
    rows = []
    for source in result.landmarks:
        error = source.error
        faces, points = error.points.shape
        figures = (figure_cell(found._asdict()) for found in (error.mean, error.auc, error.failures))
        rows.append((source.name, points, f"{faces:,}", *figures, f"{100 * error.limit:g}\u00a0%"))
    header = ("landmarks", "points", "faces", "mean error (NME)", "area to the limit", "beyond the limit", "limit")
    regions = [name for name in REGIONS if any(name in source.error.regions for source in result.landmarks)]
    parts = [
        (name, *(_error(source.error.regions.get(name, np.nan)) for source in result.landmarks)) for name in regions
    ]
    tables = [figures_table(header, rows)]
    if parts:
        columns = ("part of the face", *(source.name for source in result.landmarks))
        tables.append(block("Mean error by part", figures_table(columns, parts)))
    return [*tables[:1], side_by_side([_curves(result), *tables[1:]])]


def _error(value: float) -> str:
    return f"{100 * value:.2f}\u00a0%" if np.isfinite(value) else "–"


def _curves(result: Result) -> Html:
    limits = sorted({source.error.limit for source in result.landmarks})
    fig, ax = axes("error, share of the distance between the eyes", "faces with at most that error", 5.4, 3.8)
    along = np.linspace(0, REACH * limits[-1], 321)
    said = []
    for source, colour, dash in zip(result.landmarks, 2 * COLOURS, 3 * DASHES, strict=False):
        error = source.error
        ax.plot(along, error.ced(along), dash, color=colour, drawstyle="steps-post", linewidth=1.9, label=source.name)
        said.append(f"{source.name} {100 * error.ced(error.limit):.1f}\u00a0%")
    for limit in limits:
        ax.axvline(limit, color=INK, alpha=0.5, linestyle=(0, (1, 3)), linewidth=1.3)
        ax.text(limit, 1.035, f"limit {100 * limit:g}\u00a0%", color=INK, fontsize=8.5, ha="center", va="bottom")
    ax.set_xlim(0, along[-1])
    share_axis(ax)
    ax.xaxis.set_major_formatter(lambda error, _: f"{100 * error:.4g}\u00a0%")
    legend(ax, loc="lower right")
    words = f"Below the limit: {', '.join(said)}."
    return figure(fig, f"Cumulative curve of landmark errors. {words}", words)

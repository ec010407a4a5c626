"""The sections of the report on ranks: the papers' table, views against views, how many frames it takes."""

from typing import Any

import numpy as np

from applications.charts import axes
from applications.gait_recognition.result import Result
from applications.report import (
    BLUE,
    GREEN,
    INK,
    PAPER,
    Html,
    KeyFigure,
    figure,
    key_figures,
    paragraph,
    percent,
    side_by_side,
    text,
)
from applications.report_parts import CHANCE, COLOURS, MARKERS, block, figures_table, legend_above, share_axis

PAPERS_FRAMES = 7  # the number of frames whose rank-1 the paper's abstract gives
WORDS = {"NM": "walking normally", "BG": "with a bag", "CL": "in a coat"}


def condition(name: str) -> str:
    """`CL, in a coat`; others than CASIA-B's as they are."""
    return f"{name}, {WORDS[name]}" if name in WORDS else name


def views(result: Result) -> list[Html]:
    """The table, its lines, and every view against every other."""
    matrices = [block(condition(name), _matrix(result, name)) for name in result.network.conditions]
    return [
        _table(result),
        paragraph(_left_out(result.network), "muted"),
        _by_view(result),
        paragraph("The network, each probe view against each gallery view, per cent; hatched: identical, left out."),
        side_by_side(matrices),
    ]


def _table(result: Result) -> Html:
    """Rank-1 by condition and probe view, as the papers print it."""
    network, energy = result.network, result.energy
    rows = []
    for c, name in enumerate(network.conditions):
        for of, words, key in ((network, "network", "rank1_"), (energy, "energy image", "energy_image_rank1_")):
            ends = result.metrics.get(key + name.lower())
            shares = [_per_cent(share) for share in (*of.by_view[c], of.means[name])]
            cells = [
                f"{name}, {words}",
                *shares,
                f"{_per_cent(ends['low'])} to {_per_cent(ends['high'])}" if ends else "–",
            ]
            rows.append([Html(f"<b>{text(cell)}</b>") for cell in cells] if of is network else cells)
    rows.append(["a guess", *[_per_cent(result.chance)] * (len(network.probe_views) + 1), ""])
    return figures_table(
        ("rank-1, %", *(f"{view}°" for view in network.probe_views), "mean", "95\u00a0% interval"), rows
    )


def _per_cent(share: float) -> str:
    return "–" if np.isnan(share) else f"{100 * share:.1f}"


def _left_out(table: Any) -> str:
    """What a column is, and which comparisons could not be made."""
    other = ~np.equal.outer(table.probe_views, table.gallery_views)
    lacking = int((table.unknown * other).sum())
    compared = int((table.probes.sum(axis=0)[..., None] * other).sum())
    said = (
        "Identical views are excluded. A column is the view of the walk looked for, averaged over the other gallery "
        f"views; {compared:,} comparisons"
    )
    if not lacking:
        return f"{said}."
    how = "counted as missed" if table.unknown_is_miss else "left out"
    return f"{said}, in {lacking:,} of which the person is not enrolled at that view and cannot be found: {how}."


def _by_view(result: Result) -> Html:
    """A line per condition, of the network and of energy images."""
    from matplotlib.lines import Line2D

    fig, ax = axes("probe view, degrees", "rank-1", 5.4, 3.7)
    kinds = []
    for c, name in enumerate(result.network.conditions):
        colour, marker = COLOURS[c % len(COLOURS)], MARKERS[c % len(MARKERS)]
        for of, style, face in ((result.network, "-", colour), (result.energy, ":", "none")):
            ax.plot(of.by_view[c], style + marker, color=colour, markerfacecolor=face, markersize=5, linewidth=1.7)
        kinds.append(Line2D([], [], color=colour, marker=marker, linestyle="none", label=name))
    ax.axhline(result.chance, **CHANCE)
    looks = {"network": {"color": INK}, "energy image": {"color": INK, "linestyle": ":"}, "chance": CHANCE}
    lines = [Line2D([], [], label=words, **look) for words, look in looks.items()]
    by_columns = [one for pair in zip(kinds, lines, strict=False) for one in pair] if len(kinds) == 3 else kinds + lines
    ax.set_xticks(range(len(result.network.probe_views)), [str(view) for view in result.network.probe_views])
    share_axis(ax)
    legend_above(ax, 3, handles=by_columns)
    said = "; ".join(
        f"{name}: network {percent(result.network.means[name])}, energy image {percent(result.energy.means[name])}"
        for name in result.network.conditions
    )
    return figure(fig, f"Rank-1 by probe view. Means: {said}", "Filled: network; open, dotted: energy image.")


def _matrix(result: Result, name: str) -> Html:
    """Each probe view against each gallery view; the deeper the blue, the more are found."""
    from matplotlib.colors import LinearSegmentedColormap, to_rgb
    from matplotlib.patches import Rectangle

    table = result.network
    shares = table.matrix[table.conditions.index(name)]
    rows, columns = shares.shape
    fig, ax = axes("gallery view, degrees", "probe view, degrees", 4.4, 0.9 + 3.5 * min(1, max(0.3, rows / columns)))
    paint = LinearSegmentedColormap.from_list("", [(*to_rgb(BLUE), opacity) for opacity in (0, 1)])
    other = ~np.equal.outer(table.probe_views, table.gallery_views)
    ax.pcolormesh(np.where(other, np.nan_to_num(shares), 0), cmap=paint, vmin=0, vmax=1)
    ax.grid(visible=False)
    for row, column in np.ndindex(shares.shape):
        share = shares[row, column]
        if other[row, column]:
            words, colour = "–" if np.isnan(share) else f"{100 * share:.0f}", PAPER if share > 0.6 else INK
            size = 9 if columns < 8 else 7.5
            ax.text(column + 0.5, row + 0.5, words, ha="center", va="center", color=colour, fontsize=size)
        else:
            look = {"fill": False, "hatch": "////", "edgecolor": INK, "alpha": 0.3, "linewidth": 0}
            ax.add_patch(Rectangle((column, row), 1, 1, **look))
    ax.set_xticks(np.arange(columns) + 0.5, [str(view) for view in table.gallery_views])
    ax.set_yticks(np.arange(rows) + 0.5, [str(view) for view in table.probe_views])
    ax.tick_params(length=0)
    ax.invert_yaxis()
    ax.set_aspect("equal")
    said = f"mean {percent(table.means[name])}"
    there = np.where(other, shares, np.nan)
    if np.isfinite(there).any():
        row, column = np.unravel_index(np.nanargmin(there), there.shape)
        pair = f"{table.probe_views[row]}° among {table.gallery_views[column]}°"
        said += f", lowest {percent(there[row, column])}: {pair}"
    return figure(fig, f"Rank-1 of {name} by probe and gallery view: {said}", f"{said[0].upper()}{said[1:]}.")


def frames(result: Result) -> list[Html]:
    """Rank-1 by the number of frames, and sets of one view against sets of two."""
    drawn = _frames(result) if result.over_frames else paragraph("Not measured: no walk has frames enough.", "muted")
    return [
        paragraph(
            f"A set needs no order and no fixed size. {condition(result.network.conditions[0])}: rank-1 when every "
            "walk, enrolled or looked for, gives only so many frames, drawn at random."
        ),
        drawn,
        *_two_views(result),
    ]


def _two_views(result: Result) -> list[Html]:
    if result.two_views is None:
        return [paragraph("Two views against one: not measured, as that takes three camera angles.", "muted")]
    one, two = result.two_views
    return [
        paragraph(
            "Frames of two cameras can be put into one set. With as many frames in all, looked for among walks of "
            "other angles than these two:"
        ),
        key_figures(
            [
                KeyFigure("Frames of one view", percent(one), "rank-1"),
                KeyFigure("Frames of two views", percent(two), f"rank-1, {100 * (two - one):+.1f} points"),
            ]
        ),
    ]


def _frames(result: Result) -> Html:
    count, mean = (np.array(column) for column in list(zip(*result.over_frames, strict=True))[:2])
    fig, ax = axes("frames of each walk", "rank-1")
    for at, _, draws in result.over_frames:
        ax.vlines(at, min(draws), max(draws), color=BLUE, alpha=0.45, linewidth=4)
    several = max(len(draws) for _, _, draws in result.over_frames) > 1
    ax.plot(count, mean, "-o", color=BLUE, markersize=5, label="mean, with all draws" if several else "network")
    ax.axhline(result.chance, label="chance", **CHANCE)
    said = f"{percent(mean[0])} with {count[0]}, {percent(mean[-1])} with {count[-1]}"
    if PAPERS_FRAMES in count:
        seven = float(mean[count == PAPERS_FRAMES][0])
        ax.plot(PAPERS_FRAMES, seven, "D", color=GREEN, markersize=9, label=f"{PAPERS_FRAMES} frames")
        said = f"{percent(seven)} with {PAPERS_FRAMES} frames; {said}"
    ax.set_xscale("log")
    ax.set_xticks(count, [str(n) for n in count])
    ax.minorticks_off()
    share_axis(ax)
    legend_above(ax, 3)
    return figure(fig, f"Rank-1 by number of frames: {said}", f"{result.network.conditions[0]}: {said}.")

"""The sections of the report on ranks: who is found first, how many words it takes, what simpler ways reach."""

import numpy as np

from applications.charts import axes
from applications.report import BLUE, INK, ORANGE, Html, figure, interval, paragraph, percent, side_by_side, table, text
from applications.report_parts import CHANCE, figures_table, legend_above, share_axis
from applications.writer_identification.result import Result

LOOKS = {"words": (BLUE, "-o"), "pages": (ORANGE, "--s")}
PRINTED = (1, 5, 10)  # ranks of the table
MANY = 25  # ranks: more are drawn on a log axis


def found_first(result: Result) -> list[Html]:
    """Share of right writers among the k first (CMC), drawn and in figures."""
    most = max((len(curve) for curve in result.cmc.values()), default=0)
    if not most:
        return [paragraph("Not measured.", "muted")]
    fig, ax = axes("k, number of writers named", "right writer among them", 4.6, 3.4)
    for name, curve in result.cmc.items():
        colour, style = LOOKS.get(name, (INK, "-."))
        k = np.arange(1, len(curve) + 1)
        ax.plot(
            k,
            curve,
            style if most <= MANY else style.rstrip("os"),
            color=colour,
            linewidth=1.8,
            markersize=4,
            label=name,
        )
    k = np.arange(1, most + 1)
    chance = np.minimum(k * result.chance, 1)
    ax.plot(k, chance, label="chance", **CHANCE)
    _ranks(ax, most)
    share_axis(ax)
    legend_above(ax, 3)
    ranks = [k for k in PRINTED if k <= most]
    rows = [(name, *(percent(curve[k - 1]) if k <= len(curve) else "–" for k in ranks)) for name, curve in
            [*result.cmc.items(), ("chance", chance)]]  # fmt: skip
    said = "; ".join(f"{name}: {percent(curve[0])} first" for name, curve in result.cmc.items() if len(curve))
    drawn = figure(fig, f"Cumulative match characteristic. {said}", f"{said[:1].upper()}{said[1:]}.")
    return [side_by_side([drawn, figures_table(("first k", *map(str, ranks)), rows)])]


def _ranks(ax, most: int) -> None:
    if most <= MANY:
        ticks = [k for k in range(1, most + 1) if k == 1 or k % (5 if most > 10 else 1) == 0]
    else:
        ax.set_xscale("log")
        ticks = [k for k in (1, 2, 5, 10, 20, 50, 100, 200, 500) if k <= most]
    ax.set_xticks(ticks, [str(k) for k in ticks])
    ax.minorticks_off()


def by_words(result: Result) -> list[Html]:
    """Top-1 by the number of words, with intervals."""
    if not result.over_words:
        return [paragraph("Not measured.", "muted")]
    names, *columns = zip(*result.over_words, strict=True)
    value, low, high = (np.array(column, float) for column in columns)
    fig, ax = axes("words looked for together", "top-1", 4.6, 3.4)
    at = np.arange(len(names))
    ends = np.clip([value - low, high - value], 0, None)
    ax.plot(at, value, "-o", color=BLUE, linewidth=1.8, markersize=6, label="top-1, with 95\u00a0% intervals")
    ax.errorbar(at, value, yerr=ends, fmt="none", color=BLUE, capsize=4)
    for x, share in zip(at, value, strict=True):
        if np.isfinite(share):
            ax.annotate(f"{100 * share:.0f}", (x, share), (7, -4), textcoords="offset points", color=INK, fontsize=9,
                        va="top")  # fmt: skip
    ax.axhline(result.chance, label="chance", **CHANCE)
    ax.set_xticks(at, names, parse_math=False)
    ax.set_xlim(-0.4, len(names) - 0.5)
    share_axis(ax)
    legend_above(ax, 2)
    there = np.flatnonzero(np.isfinite(value))
    said = " ".join(
        f"{percent(value[i])} from {'a page' if names[i] == 'page' else names[i] + ' word' + 's' * (names[i] != '1')}"
        f" ({interval(low[i], high[i])})" + ("," if i != there[-1] else ".")
        for i in there
    )
    return [figure(fig, f"Top-1 by number of words: {said}", said)]


def rivals(result: Result) -> list[Html]:
    """This network's top ranks over those of other ways, with the differences in points."""
    if not result.rivals:
        return [paragraph("None measured.", "muted")]
    own = [result.metrics.get(key, {}).get("value", np.nan) for key in ("word_top1", "word_top5", "page_top1")]
    rows = [[Html(f"<b>{text(cell)}</b>") for cell in ("this network", *map(percent, own))]]
    for rival in result.rivals:
        theirs = rival.word_top1, rival.word_top5, rival.page_top1
        rows.append([rival.name, *(_against(share, mine) for share, mine in zip(theirs, own, strict=True))])
    rows.append(["a guess", percent(result.chance), percent(min(1, 5 * result.chance)), percent(result.chance)])
    return [Html(f'<div class="beside">{table(("", "word top-1", "word top-5", "page top-1"), rows)}</div>')]


def _against(share: float, own: float) -> Html:
    if not np.isfinite(share - own):
        return text(percent(share))
    difference = f"{100 * (share - own):+.1f}".replace("-", "\u2212")
    return Html(f'{text(percent(share))}<br><small class="muted">{difference}</small>')

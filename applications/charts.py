"""The figures that applications' reports share.

No colour says anything alone: lines differ in dash, bars in hatching, cells carry their number.
"""

import itertools
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from applications.report import BLUE, GREEN, INK, ORANGE, PAPER, Html, figure, percent
from hub.evaluation import calibration as calibrated
from hub.evaluation.bootstrap import Interval, wilson_interval
from hub.evaluation.coverage import coverage_curve
from hub.evaluation.operating_point import at_threshold
from hub.evaluation.roc import areas, levels, precision_recall_points, roc_points


def axes(xlabel: str, ylabel: str, width: float = 4.6, height: float = 3.3) -> tuple[Any, Any]:
    """A figure of `width` x `height` inches and its axes, drawn in the page's text colour, without pyplot."""
    from matplotlib.figure import Figure

    fig = Figure(figsize=(width, height), layout="constrained")
    ax = fig.add_subplot()
    ax.set_xlabel(xlabel, color=INK)
    ax.set_ylabel(ylabel, color=INK)
    ax.tick_params(colors=INK, labelsize=9)
    ax.grid(color=INK, alpha=0.12, linewidth=0.7)
    ax.set_axisbelow(True)
    ax.patch.set_alpha(0)
    for side, spine in ax.spines.items():
        spine.set_color(INK)
        spine.set_visible(side in ("left", "bottom"))
    return fig, ax


def training_curves(history: dict[str, Sequence[float]]) -> list[Html]:
    """One figure per logged value; its validation counterpart (`val_...`) is the dashed line in the same figure."""
    from matplotlib.ticker import MaxNLocator

    figures = []
    for name in dict.fromkeys(key.removeprefix("val_") for key in history):
        words = name.replace("_", " ")
        fig, ax = axes("epoch", words, 3.7, 2.7)
        said = []
        lines = (("training", name, BLUE, "-o"), ("validation", f"val_{name}", ORANGE, "--s"))
        for label, key, colour, style in lines:
            if key in history:
                values = history[key]
                ax.plot(range(1, len(values) + 1), values, style, color=colour, label=label, markersize=3.5)
                said.append(f"{label} {values[-1]:.4g}" if f"val_{name}" in history else f"{values[-1]:.4g}")
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        if len(said) == 2:
            legend(ax)
        last = " and ".join(said)
        figures.append(figure(fig, f"{words} by epoch, at the end {last}", f"{words}: {last} after the last epoch"))
    return figures


def coverage(confidence: np.ndarray, correct: np.ndarray, threshold: float, target: float) -> Html:
    """Accuracy of the answers above a confidence threshold, against the share of examples that get one.

    Args:
        confidence: [N].
        correct: bool [N].
        threshold: the one chosen for use, which is marked; infinite where none was found.
        target: the accuracy asked for, a dashed line.
    """
    _, share, accuracy = coverage_curve(confidence, correct)
    fig, ax = axes("share answered (coverage)", "accuracy of the answers")
    ax.plot(share, accuracy, color=BLUE, drawstyle="steps-pre", label="all thresholds")
    ax.axhline(target, color=ORANGE, linestyle="--", linewidth=1.3, label=f"{100 * target:g}\u00a0% accuracy")
    kept = confidence >= threshold
    said = "The chosen threshold answers none."
    if kept.any():
        at = kept.mean(), correct[kept].mean()
        ax.plot(*at, "D", color=GREEN, markersize=8, label=f"chosen threshold {threshold:.3g}")
        said = f"The chosen threshold {threshold:.3g} answers {percent(at[0])}, {percent(at[1])} of them right."
    ax.set_xlim(0, 1.02)
    # A single early mistake makes the first points leap; they may leave the picture, the rest may not.
    low = min(accuracy[share >= 0.02].min(), target)
    ax.set_ylim(max(0, low - 0.1 * (1 - low) - 0.005), 1.004)
    _shares(ax.xaxis, ax.yaxis)
    legend(ax, loc="lower left")
    return figure(fig, f"Accuracy against coverage. {said}", said)


def confusion(counts: np.ndarray, names: Sequence[str], caption: str) -> Html:
    """How often row `names[i]` was taken for column `names[j]`; shade is the share of the row, on a root scale.

    Args:
        counts: int [C, C].
        names: of the C classes.
        caption: printed below.
    """
    from matplotlib.colors import LinearSegmentedColormap, to_rgb

    fig, ax = axes("read as", "true", 4.6, 4.4)
    shade = np.sqrt(counts / np.maximum(counts.sum(axis=1, keepdims=True), 1))
    size = len(names)
    paint = LinearSegmentedColormap.from_list("", [(*to_rgb(BLUE), opacity) for opacity in (0, 1)])
    ax.pcolormesh(shade, cmap=paint, vmin=0, vmax=1)  # no share, no paint: the page shows through, light or dark
    ax.grid(visible=False)
    for row, column in np.argwhere(counts):
        colour = PAPER if shade[row, column] > 0.6 else INK
        words = f"{counts[row, column]}"
        ax.text(column + 0.5, row + 0.5, words, ha="center", va="center", color=colour, fontsize=8)
    ax.set_xticks(np.arange(size) + 0.5, names)
    ax.set_yticks(np.arange(size) + 0.5, names)
    ax.tick_params(length=0)
    ax.invert_yaxis()
    ax.set_aspect("equal")
    wrong = counts * (1 - np.eye(size, dtype=int))
    row, column = np.unravel_index(wrong.argmax(), wrong.shape)
    worst = f", most often {names[row]} taken for {names[column]} ({wrong.max()} times)" if wrong.any() else ""
    return figure(fig, f"Confusion matrix: {wrong.sum()} of {counts.sum()} off the diagonal{worst}", caption)


def proportions(labels: Sequence[str], successes: Sequence[int], totals: Sequence[int], xlabel: str) -> Html:
    """The share of successes of each group, with its 95 % Wilson interval and its size."""
    fig, ax = axes(xlabel, "accuracy")
    wilson = np.array([wilson_interval(int(k), int(n)) for k, n in zip(successes, totals, strict=True)])
    ends = np.abs(wilson[:, 1:] - wilson[:, :1]).T
    ax.errorbar(range(len(labels)), wilson[:, 0], yerr=ends, fmt="o", color=BLUE, capsize=4, markersize=7)
    ax.set_xticks(range(len(labels)), [f"{label}\n({n})" for label, n in zip(labels, totals, strict=True)])
    ax.set_xlim(-0.5, len(labels) - 0.5)
    ax.set_ylim(max(0, wilson[:, 1].min() - 0.03), 1.01)
    _shares(ax.yaxis)
    said = ", ".join(f"{label}: {percent(p)}" for label, p in zip(labels, wilson[:, 0], strict=True))
    return figure(fig, f"Accuracy by {xlabel}: {said}", "Bars: 95\u00a0% Wilson intervals; in brackets: examples.")


def confidences(confidence: np.ndarray, correct: np.ndarray, threshold: float) -> Html:
    """How many right and how many wrong answers were given with which confidence."""
    fig, ax = axes("confidence", "answers (log scale)")
    edges = np.linspace(0, 1, 21)
    right, wrong = (np.histogram(confidence[which], edges)[0] for which in (correct, ~correct))
    ax.bar(edges[:-1] + 0.0125, right, 0.021, color=BLUE, label="right")
    ax.bar(edges[:-1] + 0.0355, wrong, 0.021, color=ORANGE, hatch="////", edgecolor=PAPER, linewidth=0, label="wrong")
    if threshold <= 1:
        ax.axvline(threshold, color=GREEN, linestyle="--", label=f"chosen threshold {threshold:.3g}")
    ax.set_yscale("log")
    ax.set_ylim(0.7, 2.5 * max(right.max(), wrong.max(), 1))
    ax.yaxis.set_major_formatter("{x:g}")
    ax.set_xlim(0, 1)
    legend(ax, loc="upper left")
    above = int((~correct & (confidence >= threshold)).sum())
    said = f"{above} of {wrong.sum()} wrong answers are above the chosen threshold."
    return figure(fig, f"Histogram of confidence of {right.sum()} right and {wrong.sum()} wrong answers. {said}", said)


def reliability(confidence: np.ndarray, correct: np.ndarray) -> Html:
    """Accuracy against stated confidence in ten bins; on the diagonal, 80 % sure is right 80 times in 100."""
    fig, ax = axes("stated confidence", "accuracy")
    bins = np.minimum((confidence * 10).astype(int), 9)
    sizes, hits, stated = (np.bincount(bins, w, minlength=10) for w in (None, correct.astype(float), confidence))
    used = sizes > 0
    wilson = np.array([wilson_interval(int(k), int(n)) for k, n in zip(hits[used], sizes[used], strict=True)])
    mean = stated[used] / sizes[used]
    ax.plot([0, 1], [0, 1], color=INK, alpha=0.5, linestyle="--", linewidth=1.2, label="exact")
    ends = np.abs(wilson[:, 1:] - wilson[:, :1]).T
    ax.errorbar(mean, wilson[:, 0], yerr=ends, fmt="-o", color=BLUE, capsize=3, markersize=5, label="this model")
    ax.set_xlim(0, 1.02)
    ax.set_ylim(0, 1.02)
    _shares(ax.xaxis, ax.yaxis)
    legend(ax, loc="upper left")
    gap = float(np.abs(hits - stated).sum() / sizes.sum())  # expected calibration error
    said = f"On average the stated confidence is {100 * gap:.1f} points off (expected calibration error, ten bins)."
    return figure(fig, f"Reliability diagram. {said}", f"{said} Bars: 95\u00a0% Wilson intervals.")


def roc(scores: np.ndarray, labels: np.ndarray, threshold: float, least: tuple[float, float] | None = None) -> Html:
    """Sensitivity against the share of false alarms at every threshold, the one in use marked with its intervals.

    Args:
        scores: [N], of which more is more suspicious.
        labels: [N], 1 or 0, both present.
        threshold: in use.
        least: sensitivity and specificity to be reached; the corner of the picture where both are is framed.
    """
    _, sensitivity, specificity = roc_points(scores, labels)
    fig, ax = axes("false alarms (1 - specificity)", "sensitivity", 4.6, 4.0)
    ax.plot([0, 1], [0, 1], color=INK, alpha=0.4, linestyle=":", linewidth=1.2, label="chance")
    ax.plot(1 - specificity, sensitivity, color=BLUE, linewidth=2, label="all thresholds")
    if least:
        words = f"sensitivity {100 * least[0]:g}\u00a0%, specificity {100 * least[1]:g}\u00a0% or better"
        ax.plot(
            [0, 1 - least[1], 1 - least[1]], [least[0], least[0], 1], "--", color=ORANGE, linewidth=1.2, label=words
        )
    point = at_threshold(scores, labels, threshold)
    alarms = Interval(*(1 - point.specificity[i] for i in (0, 2, 1)))
    _mark(ax, alarms, point.sensitivity, f"operating point {threshold:.3g}")
    _unit_square(ax)
    legend(ax, loc="lower right")
    area = float(areas(levels(scores)[None], np.asarray(labels, bool)[None])[0])
    said = (
        f"Area {area:.3f}. At the operating point {percent(point.sensitivity.value)} of the ill are found and "
        f"{percent(alarms.value)} of the others are referred too."
    )
    return figure(fig, f"ROC curve. {said}", f"{said} Cross: 95\u00a0% Wilson intervals.")


def precision_recall(scores: np.ndarray, labels: np.ndarray, threshold: float) -> Html:
    """Share of the ill among the referred against the share of the ill found, at every threshold; as in `roc`."""
    _, precision, recall = precision_recall_points(scores, labels)
    fig, ax = axes("ill people found (recall, sensitivity)", "ill among the referred (precision)", 4.6, 4.0)
    share = float(np.mean(labels))
    ax.axhline(share, color=INK, alpha=0.4, linestyle=":", linewidth=1.2, label="chance")
    ax.plot(recall, precision, color=BLUE, linewidth=2, label="all thresholds")
    point = at_threshold(scores, labels, threshold)
    said = "At the operating point nobody is referred."
    if referred := point.tp + point.fp:
        found = wilson_interval(point.tp, referred)
        _mark(ax, point.sensitivity, found, f"operating point {threshold:.3g}")
        said = f"At the operating point {percent(found.value)} of the referred are ill."
    _unit_square(ax)
    legend(ax, loc="lower left")
    said += f" {percent(share)} of these examples are; where fewer are ill, precision is lower."
    return figure(fig, f"Precision-recall curve. {said}", said)


def calibration(probabilities: dict[str, np.ndarray], labels: np.ndarray) -> Html:
    """How often what was called 80 % probable came true: one line for each of two sets of probabilities [N].

    Args:
        probabilities: name, such as before and after calibration -> [N] in 0..1.
        labels: [N], 1 or 0.
    """
    fig, ax = axes("stated probability", "share that came true", 4.6, 4.0)
    ax.plot([0, 1], [0, 1], color=INK, alpha=0.4, linestyle=":", linewidth=1.2, label="exact")
    looks = zip(probabilities.items(), ((ORANGE, "--s"), (BLUE, "-o")), strict=False)
    gaps = []
    for (name, stated), (colour, style) in looks:
        rows = calibrated.reliability(stated, labels, 10, equal_mass=True)
        mean, seen, low, high, _ = (np.array(column) for column in zip(*rows, strict=True))
        ax.plot(mean, seen, style, color=colour, linewidth=1.4, markersize=5, label=name)
        ax.vlines(mean, low, high, color=colour, linewidth=1, alpha=0.55)
        gaps.append(f"{name} {100 * calibrated.expected_calibration_error(stated, labels):.1f} points")
    _unit_square(ax)
    legend(ax, loc="upper left")
    said = f"Mean distance from the diagonal (expected calibration error, 15 bins): {', '.join(gaps)}."
    return figure(
        fig,
        f"Reliability diagram. {said}",
        f"{said} Each point is a tenth of the examples; bars: 95\u00a0% Wilson intervals.",
    )


def distribution(values: dict[str, np.ndarray], xlabel: str, counted: str = "examples") -> Html:
    """How often which value: a histogram of each of one or two sets of numbers [N], with the medians marked."""
    fig, ax = axes(xlabel, counted)
    everything = np.concatenate([np.asarray(v, float) for v in values.values()])
    low, high = float(everything.min()), float(everything.max())
    edges = np.linspace(low - 0.02 * (high - low) - 1e-6, high + 1e-6, 26)
    width = (edges[1] - edges[0]) * 0.86 / len(values)
    said = []
    looks = ({"color": BLUE}, {"color": ORANGE, "hatch": "////", "edgecolor": PAPER, "linewidth": 0})
    for place, ((name, numbers), look) in enumerate(zip(values.items(), looks, strict=False)):
        counts = np.histogram(numbers, edges)[0]
        middle = float(np.median(numbers))
        ax.bar(edges[:-1] + (place + 0.58) * width, counts, width, label=name, **look)
        ax.axvline(middle, color=look["color"], linestyle=("-", "--")[place], linewidth=1.3)
        said.append(f"{name}: median {middle:.3f}, lowest {float(np.min(numbers)):.3f}")
    if len(values) > 1:
        legend(ax, loc="upper left")
    words = "; ".join(said)
    return figure(fig, f"Histogram of {xlabel}. {words}", f"{words}. Lines: medians.")


def intervals(names: Sequence[str], series: dict[str, Sequence[Any]], xlabel: str, line: float | None = None) -> Html:
    """Figures with their intervals, one line of the picture per name; up to three series beside one another.

    Args:
        names: from top to bottom.
        series: name -> one (value, low, high) per name, NaN where there is none.
        xlabel: what is measured.
        line: a value to compare with, drawn upright.
    """
    fig, ax = axes(xlabel, "", 5.4, 1.1 + 0.2 * len(names) * (0.5 + len(series)))
    ax.grid(visible=False, axis="y")
    if line is not None:
        ax.axvline(line, color=INK, alpha=0.5, linestyle=":", linewidth=1.3)
    said = []
    for place, ((name, found), look) in enumerate(zip(series.items(), ("o", "s", "D"), strict=False)):
        value, low, high = np.array([tuple(one) for one in found], float).reshape(-1, 3).T
        at = np.arange(len(names)) + (place - (len(series) - 1) / 2) * 0.26
        there = np.isfinite(value)
        ends = np.clip(np.stack([value - low, high - value]), 0, None)[:, there]
        colour = (BLUE, ORANGE, GREEN)[place]
        ax.errorbar(value[there], at[there], xerr=ends, fmt=look, color=colour, capsize=3, markersize=5, label=name)
        said += [f"{name} {words} {v:.3f}" for words, v in zip(names, value, strict=True) if np.isfinite(v)]
    ax.set_yticks(range(len(names)), names, parse_math=False)
    ax.set_ylim(len(names) - 0.5, -0.5)
    if len(series) > 1:
        legend(ax, loc="lower left", bbox_to_anchor=(0, 1), ncols=3, borderpad=0.1)
    return figure(fig, f"{xlabel}: {', '.join(said) or 'none'}", "Bars: 95\u00a0% intervals.")


def slim(content: str) -> str:
    """A page of many figures in less than half its size, to the eye the same.

    Shapes of letters are stored once for all figures, coordinates to 0.01 units, and names only where they are used.
    """
    shapes: dict[str, str] = {}  # letter's shape -> its name on this page
    drawn = itertools.count()

    def drawing(found: re.Match) -> str:
        names: dict[str, str] = {}  # in this figure -> on this page
        number = next(drawn)

        def letter(path: re.Match) -> str:
            known = path[2] in shapes
            names[path[1]] = own = shapes.setdefault(path[2], f"g{len(shapes)}")
            return "" if known else f'<path id="{own}" {path[2]}/>'

        def reference(place: re.Match) -> str:
            return place[1] + names.setdefault(place[2], f"c{number}-{len(names)}")

        def name(given: re.Match) -> str:
            """Nothing for a name that nothing refers to; a letter's is already right."""
            own = names.get(given[1], given[1] if given[1] in names.values() else "")
            return f' id="{own}"' if own else ""

        svg = re.sub(r"<!--.*?-->", "", found[0], flags=re.S)
        svg = re.sub(r">\s+<", "><", svg)
        svg = re.sub(r' d="[^"]*"', lambda path: re.sub(r"(?<=[\dz])\s+|(?<=[A-Zz])\s", _joint, path[0]), svg)
        svg = re.sub(r'transform="translate\(([\d.]+) 0\)"', r'x="\1"', svg)
        svg = re.sub(r'(?: (?:d|x|y)="|translate\()[^")]*', _rounded, svg)
        svg = re.sub(r'<path id="([^"]*)" ([^>]*transform="scale[^>]*?)/>', letter, svg)
        svg = re.sub(r'((?:xlink:href="|url\()#)([^")]*)', reference, svg).replace("xlink:href", "href")
        svg = re.sub(r' id="([^"]*)"', name, svg)
        svg = re.sub(r'style="[^"]*"', lambda style: style[0].replace(": ", ":").replace("; ", ";"), svg)
        return svg.replace("<defs></defs>", "")

    return re.sub(r'<svg role="img" aria-label="[^"]*" xmlns:xlink.*?</svg>', drawing, content, flags=re.S)


def _rounded(found: re.Match) -> str:
    return re.sub(r"\d+\.\d{3,}", lambda number: f"{float(number[0]):.2f}".rstrip("0").rstrip("."), found[0])


def _joint(found: re.Match) -> str:
    """The white space that a path needs: between two numbers."""
    after = found.string[found.end() : found.end() + 1]
    return " " if found.string[found.start() - 1].isdigit() and (after.isdigit() or after in ".-") and after else ""


def _mark(ax: Any, x: Interval, y: Interval, words: str) -> None:
    """A point with both its intervals."""
    sides = {f"{side}err": [[max(0, v.value - v.low)], [max(0, v.high - v.value)]] for side, v in (("x", x), ("y", y))}
    ax.errorbar(x.value, y.value, **sides, fmt="D", color=GREEN, markersize=8, capsize=3, linewidth=1.3, label=words)


def _unit_square(ax: Any) -> None:
    ax.set_xlim(-0.01, 1.01)
    ax.set_ylim(-0.01, 1.02)
    _shares(ax.xaxis, ax.yaxis)


def legend(ax: Any, loc: str = "best", **place: Any) -> None:
    shown = ax.legend(loc=loc, fontsize=8.5, labelcolor=INK, framealpha=0, handlelength=2.4, **place)
    for words in shown.get_texts():
        words.set_parse_math(False)  # a name with a dollar sign is a name


def _shares(*sides: Any) -> None:
    for side in sides:
        side.set_major_formatter(lambda share, _: f"{100 * share:.4g}\u00a0%")

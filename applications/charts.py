"""The figures that applications' reports share.

No colour says anything alone: lines differ in dash, bars in hatching, cells carry their number.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from applications.report import BLUE, GREEN, INK, ORANGE, PAPER, Html, figure, percent
from hub.evaluation.bootstrap import wilson_interval
from hub.evaluation.coverage import coverage_curve


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


def legend(ax: Any, loc: str = "best") -> None:
    ax.legend(loc=loc, fontsize=8.5, labelcolor=INK, framealpha=0, handlelength=2.4)


def _shares(*sides: Any) -> None:
    for side in sides:
        side.set_major_formatter(lambda share, _: f"{100 * share:.4g}\u00a0%")

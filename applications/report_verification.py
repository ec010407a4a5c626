"""Sections of reports on thresholds: two things of one person or not, and people who are not enrolled."""

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from applications.charts import axes, legend
from applications.report import BLUE, GREEN, INK, ORANGE, Html, figure, paragraph, percent, side_by_side, table
from applications.report_parts import distance, figures_table, share_axis, thinned
from hub.evaluation.verification import Verification

RATES = (0.01, 0.001)  # false acceptance rates at which papers compare
ALARMS = (0.1, 0.01)
TICKS = (0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 0.9, 0.98)  # of an axis of normal deviates
LEFT = (0.0001, 0.001, 0.01, 0.02, 0.05, 0.1, 0.2, 1)  # ticks of an axis of false alarms


class Measured(Protocol):
    """What a result tells of thresholds."""

    pairs: Verification
    unknown: Verification | None  # of a search in which half of the people are enrolled
    threshold: float  # distance up to which two are of one person
    search_threshold: float  # distance up to which the nearest enrolled names somebody
    chosen: dict[str, float]  # what they do: far and tar of pairs, alarm and found of the search


@dataclass(frozen=True)
class Wording:
    """What is compared, and whose: `Wording("walk", "person", "people", "somebody enrolled walks by", ...)`."""

    thing: str
    one: str
    several: str
    enrolled: str
    unknown: str


def in_words(result: Measured, wording: Wording) -> list[Html]:
    """What the chosen threshold does, and on how many that rests."""
    chosen, pairs, search = result.chosen, result.pairs, result.unknown
    thing, one, several = wording.thing, wording.one, wording.several
    rows = [
        (f"two {thing}s of one {one}", f"taken for one {one}", chosen["tar"], f"{pairs.genuine:,} pairs"),
        (f"{thing}s of two {several}", f"taken for one {one}", chosen["far"], f"{pairs.impostors:,} pairs"),
    ]
    if search is not None:
        rows += [
            (wording.enrolled, "found and named right", chosen["found"], f"{search.genuine:,} {thing}s"),
            (wording.unknown, "taken for somebody", chosen["alarm"], f"{search.impostors:,} {thing}s"),
        ]
    printed = [(who, answer, percent(share), of) for who, answer, share, of in rows]
    return [
        paragraph(
            f"Two {thing}s are taken to be of one {one} up to {_reach(result.threshold)}; the nearest {thing} of a "
            f"gallery names somebody up to {_reach(result.search_threshold)}. Both were chosen on {thing}s of other "
            f"{several}; here they meet {several} not seen before. Among more enrolled {several} more of the unknown "
            "are taken for somebody."
        ),
        Html(f'<div class="words">{table(("given", "the answer", "how often", "of"), printed)}</div>'),
    ]


def pairs(result: Measured, wording: Wording) -> list[Html]:
    """Error rates of pairs."""
    found = result.pairs
    rows = [("chosen threshold", distance(result.threshold), *_rates(result.chosen["far"], result.chosen["tar"]))]
    rows.append(("equal error", "–", *_rates(found.eer, 1 - found.eer)))
    at = [found.at_far(rate) for rate in RATES]
    rows += [_most(rate, "of strangers", a, *_rates(a.far, a.tar)) for rate, a in zip(RATES, at, strict=True)]
    header = ("", "distance", "strangers accepted (FAR)", "own accepted (TAR)", "own turned away")
    return [
        side_by_side([_det(result, wording), _distances(result, wording)]),
        figures_table(header, rows),
        *_remarks(at),
    ]


def search(result: Measured, wording: Wording) -> list[Html]:
    """Error rates of a search that not everybody can be found in."""
    found, chosen = result.unknown, result.chosen
    if found is None:
        return [
            paragraph(f"Not measured: half of the {wording.several} would be enrolled, and there are too few.", "muted")
        ]
    reach = distance(result.search_threshold)
    rows = [("chosen threshold", reach, percent(chosen["alarm"]), percent(chosen["found"]))]
    at = [found.at_far(rate) for rate in ALARMS]
    rows += [_most(rate, "false alarms", a, percent(a.far), percent(a.tar)) for rate, a in zip(ALARMS, at, strict=True)]
    return [
        _search(result),
        figures_table(("", "distance", "unknown, yet named", "enrolled and named right"), rows),
        *_remarks(at),
    ]


def _reach(threshold: float) -> str:
    return f"a distance of {distance(threshold)}" if np.isfinite(threshold) else "no distance at all"


def _rates(far: float, tar: float) -> tuple[str, str, str]:
    return percent(far), percent(tar), percent(1 - tar)


def _most(rate: float, what: str, at: Any, *shares: str) -> tuple[str, ...]:
    return f"at most {100 * rate:g}\u00a0% {what}", distance(at.threshold), *shares


def _remarks(found: list[Any]) -> list[Html]:
    said = " ".join(at.note for at in found if at.note)
    return [paragraph(said, "muted")] if said else []


def _det(result: Measured, wording: Wording) -> Html:
    """Misses against false acceptances on axes of normal deviates, where two normal distributions give a line."""
    from scipy.special import ndtri

    found, far, miss, eer = result.pairs, result.chosen["far"], 1 - result.chosen["tar"], result.pairs.eer
    low, high = TICKS[0], next((t for t in TICKS if t >= max(0.4, 1.1 * miss, 1.1 * far, 1.1 * eer)), TICKS[-1])
    fig, ax = axes(
        "strangers accepted (false acceptance rate)", f"own {wording.thing}s turned away (miss rate)", 4.6, 4.3
    )
    ends = ndtri([low, high])
    ax.plot(ends, ends, color=INK, alpha=0.4, linestyle=":", linewidth=1.2, label="equal")
    x, y = ndtri(np.clip([found.far, found.miss], low / 4, 1 - low / 4))
    at = thinned(x, y)
    ax.plot(x[at], y[at], color=BLUE, linewidth=2, label="all thresholds")
    equal, *chosen = ndtri(np.clip([eer, far, miss], low, high))
    ax.plot(equal, equal, "o", color=ORANGE, markersize=8, label=f"equal error rate {percent(eer)}")
    ax.plot(*chosen, "D", color=GREEN, markersize=8, label=f"chosen threshold {distance(result.threshold)}")
    ticks = [t for t in TICKS if t <= high]
    ax.set_xticks(ndtri(ticks), [f"{100 * t:g}" for t in ticks])
    ax.set_yticks(ndtri(ticks), [f"{100 * t:g}" for t in ticks])
    limits = ends[0] - 0.08, ends[1] + 0.05
    ax.set(xlim=limits, ylim=limits, aspect="equal")
    legend(ax, loc="lower left" if eer > 0.15 else "upper right")
    said = (
        f"Equal error rate {percent(eer)}. At the chosen threshold {percent(far)} of strangers are accepted "
        f"and {percent(miss)} of own {wording.thing}s turned away."
    )
    return figure(fig, f"DET curve. {said}", f"{said} Both axes in per cent, spaced as normal deviates.")


def _distances(result: Measured, wording: Wording) -> Html:
    """How far apart two of one person are, and two of two people."""
    found = result.pairs
    there = found.thresholds[1:]  # the first accepts nothing
    fig, ax = axes(f"distance of two {wording.thing}s", "share of the pairs", 4.6, 4.3)
    edges = np.linspace(there[0], max(there[-1], there[0] + 1e-6), 46)
    own, strange = (np.histogram(there, edges, weights=np.diff(rate))[0] for rate in (found.tar, found.far))
    ax.stairs(own, edges, fill=True, color=BLUE, alpha=0.6, label=f"of one {wording.one}")
    ax.stairs(
        strange, edges, fill=True, facecolor="none", edgecolor=ORANGE, hatch="////", label=f"of two {wording.several}"
    )
    if np.isfinite(result.threshold):
        words = f"chosen threshold {distance(result.threshold)}"
        ax.axvline(result.threshold, color=GREEN, linestyle="--", linewidth=1.8, label=words)
    ax.yaxis.set_major_formatter(lambda share, _: f"{100 * share:.4g}\u00a0%")
    ax.set_ylim(0, 1.3 * max(own.max(), strange.max()))
    legend(ax, loc="upper right")
    middles = [float(there[min(np.searchsorted(rate[1:], 0.5), len(there) - 1)]) for rate in (found.tar, found.far)]
    said = f"Medians: one {wording.one} {distance(middles[0])}, two {wording.several} {distance(middles[1])}."
    counts = f"{found.genuine:,} and {found.impostors:,} pairs, each kind 100\u00a0%."
    return figure(fig, f"Histogram of the distances of pairs. {said}", f"{said} {counts}")


def _search(result: Measured) -> Html:
    """Enrolled people found and named right, against unknown people taken for somebody enrolled."""
    found, chosen = result.unknown, result.chosen
    least = 0.5 / found.impostors  # where no alarm at all is drawn
    fig, ax = axes("false alarms: unknown, yet named", "found: enrolled and named right", 4.6, 3.8)
    alarms = np.maximum(found.far, least)
    at = thinned(np.log(alarms), found.tar)
    ax.plot(alarms[at], found.tar[at], color=BLUE, linewidth=2, drawstyle="steps-post", label="all thresholds")
    words = f"chosen threshold {distance(result.search_threshold)}"
    ax.plot(max(chosen["alarm"], least), chosen["found"], "D", color=GREEN, markersize=8, label=words)
    ax.set_xscale("log")
    ax.set_xlim(0.93 * least, 1.05)
    ticks = [share for share in LEFT if share > 1.5 * least]
    ax.set_xticks([least, *ticks], ["none", *(f"{100 * share:g}\u00a0%" for share in ticks)])
    ax.minorticks_off()
    share_axis(ax)
    legend(ax, loc="lower right" if found.tar[-1] > 0.5 else "upper left")
    said = (
        f"At the chosen threshold {percent(chosen['found'])} of the enrolled are found and named right, and "
        f"{percent(chosen['alarm'])} of the unknown are taken for somebody."
    )
    return figure(fig, f"Open-set search: found against false alarms. {said}", said)

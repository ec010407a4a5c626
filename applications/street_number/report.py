"""The report of a run: what a person wants to know of a reader of house numbers, on one page.

`write` takes what training and evaluation found and draws it; it measures nothing that they did not, except shares.
"""

import itertools
import pathlib
import re
from typing import Any

import numpy as np

from applications import charts
from applications.report import (
    Card,
    Html,
    KeyFigure,
    bullets,
    code,
    gallery,
    interval,
    key_figures,
    overlay,
    page,
    paragraph,
    percent,
    save,
    side_by_side,
    subtitle,
    table,
    text,
)
from applications.street_number.result import Result

TARGET = 0.98  # the accuracy of a human operator, by which the paper measures coverage


def write(
    path: pathlib.Path | str,
    *,
    config: dict[str, Any],
    history: dict[str, list[float]],
    results: dict[str, Result],
    device: str,
    command: str,
    versions: dict[str, str],
    notes: list[str],
) -> pathlib.Path:
    """Writes the page whole or not at all, and returns where.

    Args:
        path: of the HTML file; its folder is made.
        config: the run's settings.
        history: one list per logged value, one number per epoch; may be empty.
        results: one per set of images, the most important first.
        device: what the run ran on.
        command: what makes this run again.
        versions: package -> version.
        notes: sentences a reader of the figures should know.

    Raises:
        ValueError: there is no result to report.
    """
    if not results:
        raise ValueError("A report needs at least one result. Received: none.")
    found = list(results.values())
    sections = {
        "Headline": [*itertools.chain.from_iterable(map(_headline, found)), *([bullets(notes)] if notes else [])],
        "Coverage": [
            paragraph(
                f"Answers of little confidence can be withheld. The curve shows how many numbers are answered at each "
                f"threshold and how many of those answers are right; the dashed line is {100 * TARGET:g}\u00a0%."
            ),
            _each(found, lambda r: charts.coverage(r.confidence, r.correct, r.threshold, TARGET)),
        ],
        "Right and wrong": [
            paragraph(
                "Beside each picture: where the evidence for the answer lies (Grad-CAM), bright where it is strongest. "
                "Digits that differ from the truth are underlined."
            ),
            *itertools.chain.from_iterable(map(_gallery, found)),
        ],
        "Digits taken for digits": [_each(found, _confusion)],
        "Accuracy by length": [_each(found, _by_length)],
        "Confidence": [
            _each(found, lambda r: charts.confidences(r.confidence, r.correct, r.threshold)),
            _each(found, lambda r: charts.reliability(r.confidence, r.correct)),
        ],
        "Training": [side_by_side(charts.training_curves(history))] if history else [paragraph("No training logged.")],
        "This run": [
            subtitle("Command"),
            code(command),
            side_by_side(
                [
                    _block("Settings", table(("setting", "value"), config.items())),
                    _block("Machine and packages", table(("what", "which"), [("device", device), *versions.items()])),
                ]
            ),
        ],
    }
    return save(path, page("Street numbers", _lead(found), sections))


def _lead(found: list[Result]) -> str:
    """The first result in words."""
    first = found[0]
    answered = first.answered
    kept = (
        f"{percent(float(answered.mean()))} are answered with enough confidence, and "
        f"{percent(float(first.correct[answered].mean()))} of those answers are right."
        if answered.any()
        else "No answer is confident enough to be given."
    )
    whole = percent(float(first.correct.mean()))
    return f"{first.name}, {len(first.truth):,} images: {whole} of the numbers are read without a mistake. {kept}"


def _headline(result: Result) -> list[Html]:
    withheld = int((~result.answered).sum())
    return [
        subtitle(f"{result.name}: {len(result.truth):,} images"),
        key_figures(
            KeyFigure(
                re.sub(r" at (\d+)$", " at \\1\u00a0%", name.replace("_", " ")),
                percent(figure["value"]),
                f"95\u00a0% interval {interval(figure['low'], figure['high'])}",
            )
            for name, figure in result.metrics.items()
        ),
        paragraph(
            f"{(~result.correct).sum():,} read wrongly; {withheld:,} answers withheld at the chosen threshold "
            f"{result.threshold:.3g}.",
            "muted",
        ),
    ]


def _each(found: list[Result], draw: Any) -> Html:
    return side_by_side(_block(result.name, draw(result)) for result in found)


def _block(heading: str, content: Html) -> Html:
    return Html(f"<div>{subtitle(heading)}{content}</div>")


def _confusion(result: Result) -> Html:
    """Digits at the same place of numbers that were read with the right length."""
    pairs = zip(result.truth, result.predicted, strict=True)
    same = [(t, p) for t, p in pairs if t.isdigit() and p.isdigit() and len(p) == len(t)]
    truth, read = (
        np.frombuffer("".join(side).encode(), "uint8") - ord("0") for side in zip(("", ""), *same, strict=True)
    )
    counts = np.bincount(10 * truth.astype(int) + read, minlength=100).reshape(10, 10)
    left = len(result.truth) - len(same)
    return charts.confusion(
        counts,
        "0123456789",
        f"{counts.sum():,} digits of {len(same):,} numbers; {left:,} numbers left out: read with another length.",
    )


def _by_length(result: Result) -> Html:
    names = np.array([number if number.startswith(">") else str(len(number)) for number in result.truth])
    groups = sorted(set(names), key=lambda name: (int(name.lstrip(">")), name))
    members = [names == name for name in groups]
    hits, sizes = [int(result.correct[m].sum()) for m in members], [int(m.sum()) for m in members]
    return charts.proportions(groups, hits, sizes, "number of digits")


def _gallery(result: Result) -> list[Html]:
    """Mistakes from the surest down, then right answers from the least sure up."""
    shown, correct = np.asarray(result.heat_index), result.correct
    falling = np.argsort(-result.confidence[shown], kind="stable")
    wrong = [i for i in falling if not correct[shown[i]]]
    right = [i for i in falling[::-1] if correct[shown[i]]]
    parts = [subtitle(result.name)]
    for words, which, total in (
        ("wrong answers, from the surest down", wrong, (~correct).sum()),
        ("right answers, from the least sure up", right, correct.sum()),
    ):
        parts.append(paragraph(f"{len(which)} of {total:,} {words}", "muted"))
        parts.append(gallery(_card(result, shown[i], result.heat[i]) for i in which))
    return parts


def _card(result: Result, index: int, heat: np.ndarray) -> Card:
    truth, answer = _words(result.truth[index]), _words(result.predicted[index])
    verdict = (
        Html('<span class="good">✓ right</span>')
        if result.correct[index]
        else Html(f'<span class="bad">✗ truth: {text(truth)}</span>')
    )
    withheld = "" if result.answered[index] else "withheld, "
    pixels = result.images[index]
    return Card(
        (pixels, overlay(pixels, heat)),
        (f"house number: {truth}", f"the same with the evidence for the answer, {answer}, marked"),
        Html(f"<b>{_marked(answer, truth)}</b><br>{verdict}<br>{withheld}confidence {result.confidence[index]:.3f}"),
    )


def _words(number: str) -> str:
    return f"longer than {number[1:]}" if number.startswith(">") else number or "no number"


def _marked(answer: str, truth: str) -> Html:
    """The digits of `answer`, underlined where `truth` has another digit or none in their place."""
    if not answer.isdigit() or not truth.isdigit():
        return text(answer)
    pairs = itertools.zip_longest(answer, truth[: len(answer)])
    return Html("".join(a if a == t else f"<u>{a}</u>" for a, t in pairs))

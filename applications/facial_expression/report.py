"""The report of a run: what an engineer wants to know of networks that tell expressions, on one page.

`write` takes what training and evaluation found and draws it; it measures nothing that they did not, except shares.
"""

import pathlib
from typing import Any

from applications import charts
from applications.facial_expression import report_classes as classes
from applications.facial_expression import report_faces as pictures
from applications.facial_expression.report_annotators import annotators
from applications.facial_expression.report_landmarks import landmarks
from applications.facial_expression.result import Result
from applications.report import (
    Html,
    KeyFigure,
    bullets,
    key_figures,
    page,
    paragraph,
    percent,
    save,
    side_by_side,
    subtitle,
)
from applications.report_parts import STYLE, figures_table, of_each, this_run, tile
from hub.data.face_images import EXPRESSIONS

GUESS = 1 / len(EXPRESSIONS)  # mean class accuracy of whoever says one thing always, or anything at random
METRICS = {"accuracy": "accuracy", "mean_class_accuracy": "mean class accuracy", "macro_f1": "macro F1"}


def write(
    path: pathlib.Path | str,
    *,
    config: dict[str, Any],
    history: dict[str, dict[str, list[float]]],
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
        history: name of each trained network -> one list per logged value, one number per epoch; may be empty.
        results: one per set of faces, the most important first.
        device: what the run ran on.
        command: what makes this run again.
        versions: package -> version.
        notes: sentences a reader of the figures should know.

    Raises:
        ValueError: there is no result to report, or one without a method.
    """
    if not results:
        raise ValueError("A report needs at least one result. Received: none.")
    found = list(results.values())
    for name, result in results.items():
        if not result.methods:
            raise ValueError(f"A result needs at least one method. Received: none in {name!r}.")
    sections = {
        "Headline": [
            *([bullets(notes)] if notes else []),
            *of_each(found, _headline),
        ],
        "Expressions told right and wrong": [
            paragraph(
                "A row is what is there, a column what it was taken for: the share of the row, and small how many "
                "faces. The framed diagonal is right."
            ),
            *of_each(found, classes.confusions),
        ],
        "Class by class": [
            paragraph(
                "FER2013 is imbalanced, a quarter of its faces happy and one in 66 disgusted, so that accuracy hardly "
                "notices an expression that is never found; mean class accuracy counts all seven alike."
            ),
            *of_each(found, classes.per_class),
        ],
        "Landmarks": [
            paragraph(
                "How far the points of a face lie from the true ones, over the distance between the outer corners of "
                "its eyes. The curve: how many faces have at most that error; its area up to the limit is 100\u00a0% "
                "where every point is exact."
            ),
            *of_each(found, landmarks),
        ],
        "Is the score a confidence": of_each(found, _calibration),
        **({"Annotators": of_each(found, annotators)} if any(one.annotators for one in found) else {}),
        "Faces": [
            paragraph("Bold: the answer; ◆: the truth. White: the box that was found, and the landmarks."),
            *of_each(found, pictures.faces),
        ],
        "Training": _training(history),
        "This run": this_run(command, config, device, versions),
    }
    style = f"{STYLE}{classes.STYLE}{pictures.STYLE}</style>"
    content = page("Facial expression", _lead(found[0]), sections).replace("</style>", style, 1)
    return save(path, charts.slim(content))


def _who(result: Result) -> str:
    people = f" of {result.people:,} people" if result.people else ""
    return f"{result.faces:,} faces{people} that training never saw"


def _lead(result: Result) -> str:
    """The first result in words."""
    told = ", ".join(f"{one.name} {percent(classes.value(one, 'accuracy'))}" for one in result.methods)
    return (
        f"{result.name[:1].upper()}{result.name[1:]}: {_who(result)}. Expressions told right: {told}. A guess: "
        f"{percent(result.chance)}."
    )


def _headline(result: Result) -> list[Html]:
    first = result.methods[0]
    again = "people" if result.people else "faces"
    tiles = [
        tile(f"Accuracy, {one.name}", one.metrics.get("accuracy"), "seven expressions", again) for one in result.methods
    ]
    tiles.append(
        tile(
            f"Mean class accuracy, {first.name}",
            first.metrics.get("mean_class_accuracy"),
            f"every expression counts alike; a guess {percent(GUESS)}",
            again,
        )
    )
    tiles.append(KeyFigure("Accuracy of a guess", percent(result.chance), "always the most frequent expression"))
    for one in result.landmarks:
        mean = one.error.mean._asdict()
        tiles.append(tile(f"Landmark error, {one.name}", mean, "of the distance between the eyes", again))
    said = f"{_who(result)}. Intervals: as if other {again} had been seen."
    if result.undetected:
        said += f" In {result.undetected:,} more pictures no face was found; they are not counted."
    rows = [(one.name, *(classes.figure_cell(one.metrics.get(key)) for key in METRICS)) for one in result.methods]
    return [
        key_figures(one for one in tiles if one),
        paragraph(said, "muted"),
        side_by_side([_compared(result), figures_table(("", *METRICS.values()), rows)]),
        *([bullets(result.notes)] if result.notes else []),
    ]


def _compared(result: Result) -> Html:
    """Accuracy and mean class accuracy of all methods on one scale."""
    nothing = dict.fromkeys(("value", "low", "high"), float("nan"))
    series = {
        METRICS[key]: [tuple((one.metrics.get(key) or nothing)[end] for end in nothing) for one in result.methods]
        for key in ("accuracy", "mean_class_accuracy")
    }
    return charts.intervals(
        [one.name for one in result.methods], series, "share told right; dotted: a guess", result.chance
    )


def _calibration(result: Result) -> list[Html]:
    """The distance of stated from true, before and after one temperature."""
    if not (found := result.calibration):
        return [paragraph("Not measured.", "muted")]
    before, after, temperature = (found[key] for key in ("ece_before", "ece_after", "temperature"))
    sure = "too sure of itself" if temperature > 1 else "not sure enough"
    said = f"As trained the network is {sure}; its logits are divided by {temperature:.2f}, found on faces held out."
    return [
        key_figures(
            [
                KeyFigure("Off as trained", f"{100 * before:.1f} points", "expected calibration error (ECE)"),
                KeyFigure("Off as it is used", f"{100 * after:.1f} points", "the same after the temperature"),
                KeyFigure("Temperature", f"{temperature:.2f}", "above 1: it was too sure"),
            ]
        ),
        paragraph(
            f"Of a hundred faces each called happy with 80\u00a0%, 80 should be. {said} The answer stays the same, "
            "and so does every accuracy on this page."
        ),
    ]


def _training(history: dict[str, dict[str, list[float]]]) -> list[Html]:
    """The curves of every network under its name."""
    if not any(history.values()):
        return [paragraph("No training logged.")]
    parts = []
    for name, logged in history.items():
        if logged:
            parts += [subtitle(name), side_by_side(charts.training_curves(logged))]
    return parts

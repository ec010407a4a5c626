"""The reports of runs: what clinicians and engineers want to know of a reader of chest films, on one page.

`write` takes what training and evaluation found, `write_lungs` what a run of the segmenter alone found, `write_figures`
a comparison of runs. They draw it and measure nothing new, except shares.
"""

import pathlib
from collections.abc import Iterable
from typing import Any

import numpy as np

from applications import charts
from applications.report import Html, bullets, code, page, paragraph, save, side_by_side, subtitle, table
from applications.tb_chest_xray import report_answers as answers
from applications.tb_chest_xray import report_bias as bias
from applications.tb_chest_xray import report_comparison as comparison
from applications.tb_chest_xray import report_evidence as evidence
from applications.tb_chest_xray.film_report import NOT_A_DEVICE
from applications.tb_chest_xray.report_cells import block
from applications.tb_chest_xray.result import Result

STYLE = """
.figures{white-space:nowrap;margin-bottom:.9rem}
.figures small{font-size:.84em;color:var(--muted)}
.small{width:clamp(6.2rem,11.5vw,9.2rem)}
.gallery.pairs{grid-template-columns:repeat(auto-fill,minmax(min(100%,20rem),1fr))}
.gallery.few{grid-template-columns:repeat(auto-fill,minmax(min(12rem,45%),1fr))}
@media print{.small{width:2.5cm}.figures table{font-size:8.5pt}.figures th,.figures td{padding:.15rem .7rem .15rem 0}}
"""


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
        history: `segmentation: loss` and the like -> one number per epoch; may be empty.
        results: one per test set, the most important first.
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
        "Headline": [*answers.headline(found), bullets([NOT_A_DEVICE, *_others(notes)])],
        "Ill or not": answers.curves(found),
        "Thresholds": answers.thresholds(found, config),
        "Calibration": answers.calibration(found),
        "Lungs": evidence.lungs(found),
        "Evidence": evidence.gallery(found),
        "Five methods": evidence.methods(found),
        "Heat inside the lungs": evidence.lift(found),
        "Subgroups": bias.subgroups(found),
        "What a thumbnail knows": bias.probes(found),
        "Training": _training(history),
        "This run": _this_run(config, device, command, versions),
    }
    return _saved(path, "Tuberculosis on chest films", _lead(found[0]), sections)


def write_lungs(
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
    """Writes the page of a run that outlines lungs and does nothing else; arguments and errors as in `write`.

    Of the results only films, lungs, Dice and IoU are read.
    """
    if not results:
        raise ValueError("A report needs at least one result. Received: none.")
    found = list(results.values())
    sections = {
        "Headline": [*evidence.overlaps(found), bullets([NOT_A_DEVICE, *_others(notes)])],
        "Lungs": evidence.lungs(found),
        "Training": _training(history),
        "This run": _this_run(config, device, command, versions),
    }
    there = found[0].dice[np.isfinite(found[0].dice)]
    said = f"mean Dice {there.mean():.3f} on {len(there):,} films with masks" if len(there) else "no masks"
    return _saved(path, "Lungs on chest films", f"{found[0].name}: {said}. Not a medical device.", sections)


def write_figures(path: pathlib.Path | str, figures: dict[str, Any]) -> pathlib.Path:
    """Writes the page of an experiment that compares runs: backbones (`table`) or archives left out (`sources`).

    Args:
        path: of the HTML file.
        figures: `experiment`, `rows`, `config`, `device`, `command`, `films`, `synthetic`.
    """
    rows, config = figures["rows"], figures["config"]
    kind = "synthetic" if figures.get("synthetic") else "real"
    compare, title = (
        (comparison.backbones, "Networks on whole and on segmented films")
        if figures["experiment"] == "table"
        else (comparison.sources, "Archives left out in turn")
    )
    lead = (
        f"{figures['films']:,} {kind} films. Weighted figures at one half, as the paper's, where accuracy and "
        "sensitivity are the same number. Not a medical device."
    )
    warn = (
        [
            paragraph(
                "The films are synthetic: the figures show that the experiment runs and how the rows compare on "
                "drawings; never set them beside published ones."
            )
        ]
        if figures.get("synthetic")
        else []
    )
    sections = {
        "Figures": [*warn, *compare(rows, config)],
        "This run": _this_run(config, figures["device"], figures["command"], {}),
    }
    return _saved(path, title, lead, sections)


def _saved(path: pathlib.Path | str, title: str, lead: str, sections: dict[str, Any]) -> pathlib.Path:
    content = page(title, lead, sections).replace("</style>", f"{STYLE}</style>", 1)
    return save(path, charts.slim(content))


def _lead(result: Result) -> str:
    known = result.truth >= 0
    ill = int((result.truth == 1).sum())
    said = f"{result.name}: {len(result.truth):,} films, {ill:,} with tuberculosis. "
    if "auc" in result.metrics:
        said += f"Area under the ROC curve {result.metrics['auc']['value']:.3f}. "
    wrong = int((known & (result.referred != (result.truth == 1))).sum())
    return said + f"{wrong:,} of {known.sum():,} wrong at the operating point. Not a medical device."


def _others(notes: Iterable[str]) -> list[str]:
    """The notes that do not say again what this page says anyway."""
    return [note for note in notes if not note.lower().startswith("not a medical device")]


def _training(history: dict[str, list[float]]) -> list[Html]:
    """The curves of each network under its name."""
    if not history:
        return [paragraph("No training logged.")]
    networks: dict[str, dict[str, list[float]]] = {}
    for key, values in history.items():
        network, _, name = key.rpartition(": ")
        networks.setdefault(network, {})[name] = values
    return [
        part
        for network, logged in networks.items()
        for part in (
            *([subtitle(network.capitalize())] if network else []),
            side_by_side(charts.training_curves(logged)),
        )
    ]


def _this_run(config: dict[str, Any], device: str, command: str, versions: dict[str, str]) -> list[Html]:
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

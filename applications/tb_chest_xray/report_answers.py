"""The sections of the report on answers: how many are right, at which threshold, how sure."""

from typing import Any

import numpy as np

from applications import charts
from applications.report import Html, KeyFigure, key_figures, paragraph, percent, side_by_side, subtitle, text
from applications.tb_chest_xray.report_cells import block, figures_table, value_and_ends, without
from applications.tb_chest_xray.result import Result

WHO_TRIAGE = (0.9, 0.7)  # sensitivity, specificity: least for a triage test, WHO target product profiles, 2014
WORTH_A_ROW = (0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.92, 0.94, 0.95, 0.96, 0.97, 0.98, 0.99, 1.0)  # sensitivities


def headline(found: list[Result]) -> list[Html]:
    """The main figures of each test set, and what they come to in films."""
    return [part for result in found for part in _headline(result)]


def _headline(result: Result) -> list[Html]:
    m, truth, called = result.metrics, result.truth, result.referred
    figures = [
        _key("Area under the ROC curve", m.get("auc")),
        _key("Sensitivity", m.get("sensitivity"), shares=True),
        _key("Specificity", m.get("specificity"), shares=True),
        _key("Lungs' Dice", m.get("lung_dice")),
        _key("Lungs' IoU", m.get("lung_iou")),
        _key("Calibration error before", m.get("calibration_error_before"), shares=True),
        _key("Calibration error after", m.get("calibration_error"), shares=True),
        _key("Accuracy", m.get("accuracy"), shares=True),
    ]
    low, high = result.band
    counts = [int(((truth == t) & (called == c)).sum()) for t, c in ((1, True), (1, False), (0, True), (0, False))]
    return [
        subtitle(f"{result.name}: {len(truth):,} films"),
        key_figures(figure for figure in figures if figure),
        paragraph(
            "At the operating point {:.3f}, chosen on validation: {:,} with tuberculosis referred, {:,} missed; {:,} "
            "others referred, {:,} not. Redrawn validation patients put the point between {:.3f} and {:.3f}: "
            "{:,} of these films lie there, and a person should look.".format(
                result.threshold, *counts, low, high, int(near_threshold(result).sum())
            ),
            "muted",
        ),
    ]


def _key(label: str, figure: dict[str, float] | None, shares: bool = False) -> KeyFigure | None:
    """A measured figure, where there is one."""
    if not figure or not np.isfinite(figure["value"]):
        return None
    value, ends = value_and_ends(figure, shares)
    if figure["low"] == figure["high"]:
        return KeyFigure(label, value, "the same in every redraw, which says nothing of the next films")
    if not figure["low"] <= figure["value"] <= figure["high"]:  # redraws repeat films, which looks less calibrated
        return KeyFigure(label, value, f"redraws, which overstate it: {ends}")
    return KeyFigure(label, value, f"95\u00a0% interval {ends}")


def near_threshold(result: Result) -> np.ndarray:
    """bool [N]: inside the band of the threshold."""
    low, high = result.band
    return (result.probability >= low) & (result.probability <= high)


def _known(result: Result) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Raw and calibrated probabilities and labels of the films whose label is known."""
    known = result.truth >= 0
    raw = 1 / (1 + np.exp(-np.clip(result.logit[known], -60, 60)))
    return raw, result.probability[known], result.truth[known]


def curves(found: list[Result]) -> list[Html]:
    """ROC and precision over recall."""
    return [
        paragraph(
            "The diamond is the operating point that was chosen on validation films, never on these; the frame in the "
            f"corner holds what the WHO asks of a triage test at least (2014): {100 * WHO_TRIAGE[0]:g}\u00a0% "
            f"sensitivity and {100 * WHO_TRIAGE[1]:g}\u00a0% specificity, on patients."
        ),
        *(part for result in found for part in _curves(result)),
    ]


def _curves(result: Result) -> list[Html]:
    _, score, label = _known(result)
    if len(set(label.tolist())) < 2:
        return [without(result, "films with and without tuberculosis are needed for a curve")]
    return [
        subtitle(result.name),
        side_by_side(
            [
                charts.roc(score, label, result.threshold, WHO_TRIAGE),
                charts.precision_recall(score, label, result.threshold),
            ]
        ),
    ]


def thresholds(found: list[Result], config: dict[str, Any]) -> list[Html]:
    """What other thresholds would do where the run expects to be used."""
    return [
        paragraph(
            f"What each threshold would do where {percent(config['prevalence'])} of the people examined have "
            "tuberculosis, in the manner of the WHO's toolkit for choosing one locally: sensitivity and specificity "
            "are measured here; predictive values, the share referred and the confirmatory tests per case found "
            "follow from the prevalence. Choose on films of your own site, not on this table, and trust no row that "
            "rests on a handful of films."
        ),
        *(part for result in found for part in _thresholds(result, config)),
    ]


def _thresholds(result: Result, config: dict[str, Any]) -> list[Html]:
    if not result.table:
        return [without(result, "films with and without tuberculosis are needed for thresholds")]
    calls = sum(row.threshold >= result.threshold for row in result.table) - 1  # rows are strict to lax
    reached = [next(i for i, row in enumerate(result.table) if row.sensitivity >= s - 1e-9) for s in WORTH_A_ROW]
    rows = []
    for i in sorted({*reached, *([calls] if calls >= 0 else [])}):
        row, chosen = result.table[i], i == calls
        cells = [
            Html(f"<b>◆ {result.threshold:.3f}</b>") if chosen else f"{row.threshold:.3f}",
            *map(percent, (row.sensitivity, row.specificity, row.ppv, row.npv, row.referred)),
            f"{row.tests_per_case:.1f}" if np.isfinite(row.tests_per_case) else "–",
            *(f"{count:,}" for count in (row.tp, row.fp, row.fn, row.tn)),
        ]
        rows.append([Html(f"<b>{text(cell)}</b>") for cell in cells] if chosen else cells)
    counts = ("TP", "FP", "FN", "TN")
    header = ("threshold", "sensitivity", "specificity", "PPV", "NPV", "referred", "tests per case", *counts)
    return [
        subtitle(result.name),
        _people(result.table[calls] if calls >= 0 else None, config),
        figures_table(header, rows),
    ]


def _people(row: Any, config: dict[str, Any]) -> Html:
    """The operating point in people."""
    if row is None:
        return paragraph("No film of this set reaches the operating point: nobody would be referred.")
    ill = 1000 * config["prevalence"]
    return paragraph(
        f"◆ Operating point. Of 1,000 people, {ill:.0f} of them with tuberculosis: {1000 * row.referred:.0f} are "
        f"referred for a confirmatory test, {ill * row.sensitivity:.0f} of these with tuberculosis; "
        f"{ill * (1 - row.sensitivity):.1f} with tuberculosis are missed."
    )


def calibration(found: list[Result]) -> list[Html]:
    """Probabilities against what was true, before and after calibration."""
    return [
        paragraph(
            "Of all films called 80\u00a0% probable, 80\u00a0% should show tuberculosis. Two numbers fitted on "
            "validation films turn what the network says into that. It holds where as many are ill as on validation; "
            "where fewer are, the probabilities are too high."
        ),
        side_by_side(block(result.name, _calibration(result)) for result in found),
    ]


def _calibration(result: Result) -> Html:
    raw, score, label = _known(result)
    if not len(label):
        return paragraph("No film has a known diagnosis.", "muted")
    brier = [result.metrics.get(key) for key in ("brier_before", "brier")]
    words = " Brier score {:.4f} before, {:.4f} after.".format(*(b["value"] for b in brier)) if all(brier) else ""
    return Html(
        charts.calibration({"before": raw, "after": score}, label) + (paragraph(words, "muted") if words else "")
    )

"""The section of the report on annotators: what each makes of an expression, and how far they agree."""

from collections.abc import Callable

import numpy as np

from applications.facial_expression.report_classes import matrices, matrix, whole_percent, worst
from applications.facial_expression.result import Annotators, Result
from applications.report import Html, paragraph, percent, side_by_side, text
from applications.report_parts import block, figures_table
from hub.data.face_images import EXPRESSIONS


def annotators(result: Result) -> list[Html]:
    """Their figures, their matrices and how far they agree."""
    if not (found := result.annotators):
        return [paragraph("One label is known of each face.", "muted")]
    agreed = found.agreement
    kappa = f"{agreed.fleiss:.3f}" if np.isfinite(agreed.fleiss) else "–"
    said = f"over the {agreed.complete:,} pictures that everyone labelled. 0: as chance has it; 1: always agreed."
    known = any(np.isfinite(row.error) for row in found.rows)
    header = ("annotator", "labelled", "right", "agrees with the others", "kappa with them")
    rows = [
        (
            row.name,
            percent(row.coverage),
            percent(row.correct),
            percent(row.agreement),
            _number(row.kappa),
            *([_number(row.error)] if known else []),
        )
        for row in found.rows
    ]
    remark = "Right: the mean of the diagonal of the annotator's matrix below, every expression counting alike."
    if known:
        header += ("matrix off by",)
        remark += " Off by: total variation from the matrix that the annotator was simulated with, 0 to 1."
    pairs = [
        block("How often two say the same", _pairs(found, agreed.agreement, percent)),
        block("Kappa of two", _pairs(found, agreed.kappa, _number)),
    ]
    return [
        paragraph(f"Fleiss' kappa {kappa} {said}"),
        figures_table(header, rows),
        paragraph(remark, "muted"),
        paragraph("A row is what is there, a column what the annotator says of it, as learned with the network."),
        matrices([_habits(*one) for one in zip(found.names, np.asarray(found.transitions), strict=True)]),
        side_by_side(pairs),
        paragraph("Small: pictures that both labelled. Who shares a habit agrees well, and may be wrong.", "muted"),
    ]


def _number(value: float) -> str:
    return f"{value:.3f}" if np.isfinite(value) else "–"


def _habits(name: str, shares: np.ndarray) -> str:
    said = "No habit: never says another."
    if found := worst(shares):
        i, j = found
        said = f"Most often wrong: says {EXPRESSIONS[j]} of {EXPRESSIONS[i]}, {whole_percent(shares[i, j])}."
    return matrix(name, shares, None, ("is", "says"), said)


def _pairs(found: Annotators, values: np.ndarray, words: Callable[[float], str]) -> Html:
    rows = []
    for i, name in enumerate(found.names):
        cells = [
            ""
            if i == j
            else Html(f'{text(words(values[i, j]))}<br><small class="muted">{found.agreement.shared[i, j]:,}</small>')
            for j in range(len(found.names))
        ]
        rows.append((name, *cells))
    return figures_table(("", *found.names), rows)

"""Measured figures as the report writes them: value over interval, tables that stay whole, what is lacking."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from applications.report import Html, paragraph, percent, subtitle, table, text
from applications.tb_chest_xray.result import Result


def value_and_ends(figure: Any, shares: bool = False, digits: int = 3) -> tuple[str, str]:
    """(value, `low to high`) of an `Interval` or of its dict; dashes where there is none."""
    value, low, high = figure.values() if isinstance(figure, dict) else figure
    if not np.isfinite(value):
        return "–", ""
    if shares:
        return percent(value), f"{100 * low:.1f} to {percent(high)}"
    return f"{value:.{digits}f}", f"{low:.{digits}f} to {high:.{digits}f}"


def figure_cell(figure: Any, shares: bool = False, digits: int = 3) -> Html:
    """A value over its interval."""
    value, ends = value_and_ends(figure, shares, digits)
    return Html(f"{text(value)}<br><small>{text(ends)}</small>" if ends else text(value))


def figures_table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> Html:
    """A table none of whose cells is broken over lines; where it is too wide it scrolls."""
    return Html(f'<div class="figures">{table(header, rows)}</div>')


def without(result: Result, words: str) -> Html:
    """Why a test set has no such figures."""
    return paragraph(f"{result.name}: {words}.", "muted")


def block(heading: str, content: Html) -> Html:
    """Content under its own heading, to stand beside another."""
    return Html(f"<div>{subtitle(heading)}{content}</div>")

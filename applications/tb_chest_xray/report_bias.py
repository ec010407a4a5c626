"""The sections of the report on bias: the same operating point by group, and what a thumbnail alone knows."""

from applications import charts
from applications.report import Html, bullets, paragraph, percent, subtitle
from applications.tb_chest_xray.report_cells import figure_cell, figures_table, value_and_ends, without
from applications.tb_chest_xray.result import Result


def subgroups(found: list[Result]) -> list[Html]:
    """The operating point by sex, age and archive."""
    return [
        paragraph(
            "One operating point for all, seen by group. A pooled figure hides the group it fails on; but differences "
            "between small groups are mostly chance: read the intervals. Small: fewer than 30 films with, or without, "
            "tuberculosis."
        ),
        *(part for result in found for part in _subgroups(result)),
    ]


def _subgroups(result: Result) -> list[Html]:
    if not result.subgroups:
        return [without(result, "films with and without tuberculosis are needed")]
    rows, names = [], []
    for row in result.subgroups:
        names.append("all" if row.group == "all" else f"{row.group}: {row.value}")
        rows.append(
            (
                names[-1],
                f"{row.n:,}",
                f"{row.positives:,}",
                figure_cell(row.auc),
                figure_cell(row.sensitivity, shares=True),
                figure_cell(row.specificity, shares=True),
                "small" if row.small else "",
            )
        )
    header = ("group", "films", "ill", "AUC", "sensitivity", "specificity", "")
    series = {key: [getattr(row, key) for row in result.subgroups] for key in ("sensitivity", "specificity")}
    chart = charts.intervals(names, series, "sensitivity and specificity")
    return [subtitle(result.name), figures_table(header, rows), chart]


def probes(found: list[Result]) -> list[Html]:
    """What can be known without looking at lungs."""
    return [
        paragraph(
            "A logistic regression on thumbnails of 16 by 16 pixels, cross-validated by patient. No lesion can be "
            "seen at that size: what it knows, it knows from brightness, borders, letters and the shape of the body."
        ),
        *(part for result in found for part in _probes(result)),
        paragraph(
            "What this means for figures such as the 99.9\u00a0% published for this task (arXiv 2007.14895, first "
            "version): there, films with tuberculosis and films without come largely from different archives. Where a "
            "thumbnail can name the archive and the archive names the diagnosis, such a figure can be reached without "
            "looking at disease. Only films of an archive that training never saw can tell."
        ),
    ]


def _probes(result: Result) -> list[Html]:
    words = []
    if archive := result.probes.get("archive"):
        value, ends = value_and_ends(archive.auc)
        words.append(
            f"Which archive a film without tuberculosis comes from ({', '.join(archive.sources)}): AUC {value} "
            f"({ends}), right {percent(archive.accuracy.value)} of the time; always naming the largest one "
            f"would be {percent(archive.chance)}. "
            + (
                "The archives can be told apart."
                if archive.auc.low > 0.5
                else "No sign that the archives can be told apart so."
            )
        )
    if diagnosis := result.probes.get("diagnosis"):
        value, ends = value_and_ends(diagnosis.auc)
        network = result.metrics.get("auc")
        words.append(
            f"Tuberculosis or not, from the thumbnail alone: AUC {value} ({ends})"
            + (f"; the network's is {network['value']:.3f}. " if network else ". ")
            + "What the thumbnail reaches needs no reading of lungs; only what the network adds to it can be."
        )
    if not words:
        return [without(result, "not probed: that takes two archives, or ill and others, of ten patients each")]
    return [subtitle(result.name), bullets(words)]

"""What a report says of runs compared: networks on whole and segmented films, archives known and left out."""

from typing import Any

from applications import charts
from applications.report import Html, paragraph, percent
from applications.tb_chest_xray.report_cells import figure_cell, figures_table

PUBLISHED = (
    "The paper, in IEEE Access 8 (2020), gives as its best accuracies 96.47\u00a0% on whole films (CheXNet) and "
    "98.6\u00a0% on segmented ones (DenseNet201), on 7,000 real films. Its table per network could not be read, so no "
    "published cells stand beside ours."
)


def backbones(rows: list[dict[str, Any]], config: dict[str, Any]) -> list[Html]:
    """Each network on whole and on segmented films; `rows` as `experiments` leaves them."""
    names = list(dict.fromkeys(row["backbone"] for row in rows))
    by = {(row["backbone"], row["films"]): row for row in rows}
    series = {
        f"{kind} films": [_auc(by.get((name, kind))) for name in names]
        for kind in dict.fromkeys(row["films"] for row in rows)
    }
    return [
        paragraph(
            f"Test films of {config['folds']} folds pooled; no patient is in training and test of a fold, and its "
            "segmenter and classifiers learn from its training films alone."
        ),
        _comparison(rows, ("backbone", "films")),
        charts.intervals(names, series, "area under the ROC curve"),
        paragraph(PUBLISHED),
    ]


def sources(rows: list[dict[str, Any]], config: dict[str, Any]) -> list[Html]:
    """Each archive as read by a network that trained on it and by one that did not."""
    names = list(dict.fromkeys(row["tested_on"] for row in rows))
    series = {}
    for words, which in (("trained on all archives", True), ("trained without it", False)):
        kept = {row["tested_on"]: row for row in rows if (row["trained_on"] == "all") == which}
        series[words] = [_auc(kept.get(name)) for name in names]
    return [
        paragraph(
            "Test films of each archive, read by a network that trained on every archive's training films and by one "
            f"that never saw this archive ({config['model']} on segmented films). The difference is what a new "
            "hospital may expect."
        ),
        _comparison(rows, ("tested_on", "trained_on")),
        charts.intervals(names, series, "area under the ROC curve"),
    ]


def _comparison(rows: list[dict[str, Any]], keys: tuple[str, str]) -> Html:
    body = [
        (
            *(row[key] for key in keys),
            f"{row['n']:,}",
            figure_cell(_auc(row)),
            figure_cell((row["accuracy"], *row["accuracy_interval"]), shares=True),
            *(percent(row[name]) for name in ("precision", "sensitivity", "f1", "specificity")),
        )
        for row in rows
    ]
    named = (*(key.replace("_", " ") for key in keys), "n", "AUC", "accuracy", "precision", "sensitivity", "F1")
    largest = sorted({row["always_largest_class"] for row in rows})
    ends = " to ".join(percent(share) for share in dict.fromkeys((largest[0], largest[-1])))
    return Html(
        figures_table((*named, "specificity"), body)
        + paragraph(f"Always answering the larger class would be right {ends} of the time.", "muted")
    )


def _auc(row: dict[str, Any] | None) -> tuple[float, float, float]:
    return tuple(row["auc"][key] for key in ("value", "low", "high")) if row else (float("nan"),) * 3

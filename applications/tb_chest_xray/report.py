"""The reports of runs: what clinicians and engineers want to know of a reader of chest films, on one page.

`write` takes what training and evaluation found, `write_lungs` what a run of the segmenter alone found, `write_figures`
a comparison of runs. They draw it and measure nothing new, except shares.
"""

import pathlib
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from applications import charts
from applications.report import (
    Html,
    KeyFigure,
    bullets,
    code,
    key_figures,
    page,
    paragraph,
    percent,
    save,
    side_by_side,
    subtitle,
    table,
    text,
)
from applications.tb_chest_xray.film_report import NOT_A_DEVICE, again, film_layer, heat_layer, outline, picture
from applications.tb_chest_xray.result import Result

WHO_TRIAGE = (0.9, 0.7)  # sensitivity, specificity: least for a triage test, WHO target product profiles, 2014
WORTH_A_ROW = (0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.92, 0.94, 0.95, 0.96, 0.97, 0.98, 0.99, 1.0)  # sensitivities
WORST = 4  # films whose outlines are shown
COMPARED = 4  # films shown under every method
NAMES = {
    "score_cam": "Score-CAM",
    "grad_cam": "Grad-CAM",
    "grad_cam_plus_plus": "Grad-CAM++",
    "eigen_cam": "Eigen-CAM",
    "smooth_grad": "SmoothGrad",
}
STYLE = """
tbody th{overflow-wrap:normal}
.figures{white-space:nowrap;margin-bottom:.9rem}
.figures small{font-size:.84em;color:var(--muted)}
.small{width:clamp(6.2rem,11.5vw,9.2rem)}
.gallery.pairs{grid-template-columns:repeat(auto-fill,minmax(min(100%,20rem),1fr))}
.gallery.few{grid-template-columns:repeat(auto-fill,minmax(min(12rem,45%),1fr))}
@media print{.small{width:2.5cm}.figures table{font-size:8.5pt}.figures th,.figures td{padding:.15rem .7rem .15rem 0}}
"""
PUBLISHED = (
    "The paper, in IEEE Access 8 (2020), gives as its best accuracies 96.47\u00a0% on whole films (CheXNet) and "
    "98.6\u00a0% on segmented ones (DenseNet201), on 7,000 real films. Its table per network could not be read, so no "
    "published cells stand beside ours."
)


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
        "Headline": [*(part for r in found for part in _headline(r)), bullets([NOT_A_DEVICE, *_others(notes)])],
        "Ill or not": [_curves_words(), *(part for r in found for part in _curves(r))],
        "Thresholds": [_thresholds_words(config), *(part for r in found for part in _thresholds(r, config))],
        "Calibration": [_calibration_words(), side_by_side(_block(r.name, _calibration(r)) for r in found)],
        "Lungs": [_lungs_words(), *(part for r in found for part in _lungs(r))],
        "Evidence": [_evidence_words(), *(part for i, r in enumerate(found) for part in _evidence(r, i))],
        "Five methods": [_methods_words(), *(part for i, r in enumerate(found) for part in _methods(r, i))],
        "Heat inside the lungs": [_lift(found)],
        "Subgroups": [_subgroups_words(), *(part for r in found for part in _subgroups(r))],
        "What a thumbnail knows": [_probes_words(), *(part for r in found for part in _probes(r)), _probes_meaning()],
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
        "Headline": [*(part for r in found for part in _overlaps(r)), bullets([NOT_A_DEVICE, *_others(notes)])],
        "Lungs": [_lungs_words(), *(part for r in found for part in _lungs(r))],
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
        (_backbones, "Networks on whole and on segmented films")
        if figures["experiment"] == "table"
        else (_sources, "Archives left out in turn")
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
                result.threshold, *counts, low, high, int(_near(result).sum())
            ),
            "muted",
        ),
    ]


def _key(label: str, figure: dict[str, float] | None, shares: bool = False) -> KeyFigure | None:
    """A measured figure, where there is one."""
    if not figure or not np.isfinite(figure["value"]):
        return None
    value, ends = _number(figure, shares)
    if figure["low"] == figure["high"]:
        return KeyFigure(label, value, "the same in every redraw, which says nothing of the next films")
    if not figure["low"] <= figure["value"] <= figure["high"]:  # redraws repeat films, which looks less calibrated
        return KeyFigure(label, value, f"redraws, which overstate it: {ends}")
    return KeyFigure(label, value, f"95\u00a0% interval {ends}")


def _number(figure: Any, shares: bool = False, digits: int = 3) -> tuple[str, str]:
    """(value, `low to high`) of an `Interval` or of its dict; dashes where there is none."""
    value, low, high = figure.values() if isinstance(figure, dict) else figure
    if not np.isfinite(value):
        return "–", ""
    if shares:
        return percent(value), f"{100 * low:.1f} to {percent(high)}"
    return f"{value:.{digits}f}", f"{low:.{digits}f} to {high:.{digits}f}"


def _cell(figure: Any, shares: bool = False, digits: int = 3) -> Html:
    value, ends = _number(figure, shares, digits)
    return Html(f"{text(value)}<br><small>{text(ends)}</small>" if ends else text(value))


def _figures_table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> Html:
    """A table none of whose cells is broken over lines; where it is too wide it scrolls."""
    return Html(f'<div class="figures">{table(header, rows)}</div>')


def _near(result: Result) -> np.ndarray:
    """bool [N]: inside the band of the threshold."""
    low, high = result.band
    return (result.probability >= low) & (result.probability <= high)


def _known(result: Result) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Raw and calibrated probabilities and labels of the films whose label is known."""
    known = result.truth >= 0
    raw = 1 / (1 + np.exp(-np.clip(result.logit[known], -60, 60)))
    return raw, result.probability[known], result.truth[known]


def _curves_words() -> Html:
    return paragraph(
        "The diamond is the operating point that was chosen on validation films, never on these; the frame in the "
        f"corner holds what the WHO asks of a triage test at least (2014): {100 * WHO_TRIAGE[0]:g}\u00a0% "
        f"sensitivity and {100 * WHO_TRIAGE[1]:g}\u00a0% specificity, on patients."
    )


def _curves(result: Result) -> list[Html]:
    _, score, label = _known(result)
    if len(set(label.tolist())) < 2:
        return [_without(result, "films with and without tuberculosis are needed for a curve")]
    return [
        subtitle(result.name),
        side_by_side(
            [
                charts.roc(score, label, result.threshold, WHO_TRIAGE),
                charts.precision_recall(score, label, result.threshold),
            ]
        ),
    ]


def _thresholds_words(config: dict[str, Any]) -> Html:
    return paragraph(
        "What each threshold would do where "
        f"{percent(config['prevalence'])} of the people examined have tuberculosis, in the manner of the WHO's toolkit "
        "for choosing one locally: sensitivity and specificity are measured here; predictive values, the share "
        "referred and the confirmatory tests per case found follow from the prevalence. Choose on films of your own "
        "site, not on this table, and trust no row that rests on a handful of films."
    )


def _thresholds(result: Result, config: dict[str, Any]) -> list[Html]:
    if not result.table:
        return [_without(result, "films with and without tuberculosis are needed for thresholds")]
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
    header = (
        "threshold",
        "sensitivity",
        "specificity",
        "PPV",
        "NPV",
        "referred",
        "tests per case",
        "TP",
        "FP",
        "FN",
        "TN",
    )
    return [
        subtitle(result.name),
        _people(result.table[calls] if calls >= 0 else None, config),
        _figures_table(header, rows),
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


def _calibration_words() -> Html:
    return paragraph(
        "Of all films called 80\u00a0% probable, 80\u00a0% should show tuberculosis. Two numbers fitted on validation "
        "films turn what the network says into that. It holds where as many are ill as on validation; where fewer are, "
        "the probabilities are too high."
    )


def _calibration(result: Result) -> Html:
    raw, score, label = _known(result)
    if not len(label):
        return paragraph("No film has a known diagnosis.", "muted")
    brier = [result.metrics.get(key) for key in ("brier_before", "brier")]
    words = " Brier score {:.4f} before, {:.4f} after.".format(*(b["value"] for b in brier)) if all(brier) else ""
    return Html(
        charts.calibration({"before": raw, "after": score}, label) + (paragraph(words, "muted") if words else "")
    )


def _lungs_words() -> Html:
    return paragraph(
        "Overlap of the lungs as found with those outlined by hand or known from the drawing: Dice is twice the shared "
        "area over both areas, IoU the shared over the joint area; 1 is the same outline. Below, the films with the "
        "least overlap: the full blue line was found, the dashed amber line is the true one."
    )


def _overlaps(result: Result) -> list[Html]:
    figures = []
    for label, values in (("Dice", result.dice), ("IoU", result.iou)):
        if len(values := values[np.isfinite(values)]):
            fifth = np.quantile(values, 0.05)
            note = f"median {np.median(values):.3f}; 5\u00a0% of films below {fifth:.3f}, worst {values.min():.3f}"
            if measured := result.metrics.get(f"lung_{label.lower()}"):
                note = f"95\u00a0% interval {_number(measured)[1]}; {note}"
            figures.append(KeyFigure(f"Mean {label} of {len(values):,} films", f"{values.mean():.3f}", note))
    return [subtitle(result.name), key_figures(figures or [KeyFigure("Dice", "–", "no film has a mask")])]


def _lungs(result: Result) -> list[Html]:
    dice, iou = result.dice, result.iou
    there = np.flatnonzero(np.isfinite(dice))
    if not len(there):
        return [subtitle(result.name), paragraph("No film of this set has a mask of its lungs.", "muted")]
    worst = there[np.argsort(dice[there], kind="stable")][:WORST]
    cards = []
    for i in worst:
        film, true, seen = result.films.images[i, ..., 0], result.films.masks[i, ..., 0] > 0, result.lungs[i] > 127
        layers = [film_layer(film), outline(true, "true"), outline(seen)]
        alt = f"film with the lungs as found and as they are, Dice {dice[i]:.3f}"
        cards.append(([picture(len(film), layers, alt)], f"Dice {dice[i]:.3f}, IoU {iou[i]:.3f}"))
    chart = charts.distribution({"Dice": dice[there], "IoU": iou[np.isfinite(iou)]}, "overlap", "films")
    shown = Html(f"<div>{paragraph(f'The {len(worst)} with the least overlap', 'muted')}{_gallery(cards, 'few')}</div>")
    return [subtitle(result.name), side_by_side([Html(f"<div>{chart}</div>"), shown])]


def _gallery(cards: Iterable[tuple[Sequence[Html], str]], kind: str = "pairs") -> Html:
    """Films, each with its pictures side by side over a caption."""
    items = (
        f"<figure><div>{''.join(pictures)}</div><figcaption>{text(words)}</figcaption></figure>"
        for pictures, words in cards
    )
    return Html(f'<div class="gallery {kind}">{"".join(items)}</div>')


def _evidence_words() -> Html:
    return paragraph(
        "Left, the film with the lungs as found; right, the same under Score-CAM: where the evidence for tuberculosis "
        "lies, dark red to bright yellow. Each map is brightest where its own evidence is strongest, so that a film "
        "without tuberculosis is bright somewhere too. A map says where the network looked, not that it was right to."
    )


def _evidence(result: Result, number: int) -> list[Html]:
    if not len(result.shown):
        return [_without(result, "no film has a known diagnosis, so none is shown")]
    shown = np.asarray(result.shown)
    right = result.referred[shown] == (result.truth[shown] == 1)
    known = int((result.truth >= 0).sum())
    total = int(((result.truth >= 0) & (result.referred != (result.truth == 1))).sum())
    parts = [subtitle(result.name)]
    if "score_cam" not in _maps(result):
        parts.append(paragraph("No heat maps were made in this run.", "muted"))
    for words, which in (
        (f"{(~right).sum()} of {total:,} mistakes, the surest first", np.flatnonzero(~right)),
        (f"{right.sum()} of {known - total:,} right answers", np.flatnonzero(right)),
    ):
        if len(which):
            parts += [paragraph(words, "muted"), _gallery(_card(result, number, place) for place in which)]
    return parts


def _card(result: Result, number: int, place: int) -> tuple[list[Html], Html]:
    """Film `place` of those shown: with its lungs, and under its heat."""
    i, size, name = int(result.shown[place]), result.lungs.shape[1], f"film-{number}-{place}"
    ill, called, films = result.truth[i] == 1, bool(result.referred[i]), result.films
    what = "tuberculosis" if ill else "no tuberculosis"
    layers = [film_layer(films.images[i, ..., 0], name), outline(result.lungs[i] > 127)]
    pictures = [picture(size, layers, f"film, {what}, lungs outlined")]
    if "score_cam" in (maps := _maps(result)):
        layers = [again(name), heat_layer(maps["score_cam"][place], f"heat-{number}-{place}")]
        pictures.append(picture(size, layers, "the same film under the map of the evidence for tuberculosis"))
    verdict = {
        (True, True): '<span class="good"><strong>✓ tuberculosis, referred</strong></span>',
        (True, False): '<span class="bad"><strong>✗ tuberculosis, missed</strong></span>',
        (False, True): '<span class="bad"><strong>✗ false alarm</strong></span>',
        (False, False): '<span class="good"><strong>✓ not referred</strong></span>',
    }[bool(ill), called]
    near = ", near the operating point" if _near(result)[i] else ""
    who = ", ".join(
        str(part)
        for part in (films.source[i], films.sex[i], f"{films.age[i]} years" if films.age[i] >= 0 else "", films.name[i])
        if part
    )
    said = str(films.finding[i]).strip()
    said = said[:77] + "…" if len(said) > 78 else said
    return pictures, Html(
        f"{verdict}<br>probability {result.probability[i]:.3f}{near}<br>{text(who)}"
        + (f"<br>archive: {text(said)}" if said else "")
    )


def _maps(result: Result) -> dict[str, np.ndarray]:
    """Methods that made a map of every film shown."""
    return {method: maps for method, maps in result.heat.items() if len(maps) == len(result.shown) > 0}


def _methods_words() -> Html:
    return paragraph(
        "The same films under every method. Score-CAM and the Grad-CAMs weigh the network's last maps, each in its own "
        "way; Eigen-CAM knows nothing of tuberculosis, only what is common in those maps; SmoothGrad says which pixels "
        "would change the answer. Where they disagree, believe none of them too soon."
    )


def _methods(result: Result, number: int) -> list[Html]:
    maps = _maps(result)
    if not maps:
        return [_without(result, "no heat maps were made in this run")]
    size = result.lungs.shape[1]
    ill = result.truth[result.shown] == 1
    places = [*np.flatnonzero(ill), *np.flatnonzero(~ill)][:COMPARED]
    rows = []
    for place in sorted(places):
        i = result.shown[place]
        cells = [picture(size, [again(f"film-{number}-{place}")], "film")]
        for method, of in maps.items():
            heat = again(f"heat-{number}-{place}") if method == "score_cam" else heat_layer(of[place])
            words = f"the film under {NAMES.get(method, method)}"
            cells.append(picture(size, [again(f"film-{number}-{place}"), heat], words))
        what = "tuberculosis" if result.truth[i] == 1 else "no tuberculosis"
        words = f"{what}<br>{result.probability[i]:.3f}"
        rows.append((Html(f'<span class="muted">{words}</span>'), *(_wide(cell) for cell in cells)))
    return [subtitle(result.name), _figures_table(("", "film", *(NAMES.get(m, m) for m in maps)), rows)]


def _wide(cell: Html) -> Html:
    return Html(f'<div class="small">{cell}</div>')


def _lift(found: list[Result]) -> Html:
    methods = list(dict.fromkeys(method for result in found for method in result.lift))
    if not methods:
        return paragraph("Not measured: no heat maps, or no film with tuberculosis.")
    none = (float("nan"),) * 3
    shown = {result.name: [tuple(result.lift.get(m, {}).values()) or none for m in methods] for result in found}
    rows = [
        (NAMES.get(m, m), *(_cell(series[k], digits=2) for series in shown.values())) for k, m in enumerate(methods)
    ]
    return Html(
        paragraph(
            "Share of the heat inside the lungs over the lungs' share of the film, mean over films of tuberculosis: 1 "
            "is no better than area, 2 is twice as much heat as area. Above 1 is needed, not enough: a map may lie in "
            "the lungs and miss the lesion."
        )
        + _figures_table(("method", *shown), rows)
        + charts.intervals([NAMES.get(m, m) for m in methods], shown, "lift inside the lungs", 1.0)
    )


def _subgroups_words() -> Html:
    return paragraph(
        "One operating point for all, seen by group. A pooled figure hides the group it fails on; but differences "
        "between small groups are mostly chance: read the intervals. Small: fewer than 30 films with, or without, "
        "tuberculosis."
    )


def _subgroups(result: Result) -> list[Html]:
    if not result.subgroups:
        return [_without(result, "films with and without tuberculosis are needed")]
    rows, names = [], []
    for row in result.subgroups:
        names.append("all" if row.group == "all" else f"{row.group}: {row.value}")
        rows.append(
            (
                names[-1],
                f"{row.n:,}",
                f"{row.positives:,}",
                _cell(row.auc),
                _cell(row.sensitivity, shares=True),
                _cell(row.specificity, shares=True),
                "small" if row.small else "",
            )
        )
    header = ("group", "films", "ill", "AUC", "sensitivity", "specificity", "")
    series = {key: [getattr(row, key) for row in result.subgroups] for key in ("sensitivity", "specificity")}
    chart = charts.intervals(names, series, "sensitivity and specificity")
    return [subtitle(result.name), _figures_table(header, rows), chart]


def _probes_words() -> Html:
    return paragraph(
        "A logistic regression on thumbnails of 16 by 16 pixels, cross-validated by patient. No lesion can be seen at "
        "that size: what it knows, it knows from brightness, borders, letters and the shape of the body."
    )


def _probes_meaning() -> Html:
    return paragraph(
        "What this means for figures such as the 99.9\u00a0% published for this task (arXiv 2007.14895, first "
        "version): there, films with tuberculosis and films without come largely from different archives. Where a "
        "thumbnail can name the archive and the archive names the diagnosis, such a figure can be reached without "
        "looking at disease. Only films of an archive that training never saw can tell."
    )


def _probes(result: Result) -> list[Html]:
    words = []
    if archive := result.probes.get("archive"):
        value, ends = _number(archive.auc)
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
        value, ends = _number(diagnosis.auc)
        network = result.metrics.get("auc")
        words.append(
            f"Tuberculosis or not, from the thumbnail alone: AUC {value} ({ends})"
            + (f"; the network's is {network['value']:.3f}. " if network else ". ")
            + "What the thumbnail reaches needs no reading of lungs; only what the network adds to it can be."
        )
    if not words:
        return [_without(result, "not probed: that takes two archives, or ill and others, of ten patients each")]
    return [subtitle(result.name), bullets(words)]


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
                _block("Settings", table(("setting", "value"), config.items())),
                _block("Machine and packages", table(("what", "which"), [("device", device), *versions.items()])),
            ]
        ),
    ]


def _backbones(rows: list[dict[str, Any]], config: dict[str, Any]) -> list[Html]:
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


def _sources(rows: list[dict[str, Any]], config: dict[str, Any]) -> list[Html]:
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
            _cell(_auc(row)),
            _cell((row["accuracy"], *row["accuracy_interval"]), shares=True),
            *(percent(row[name]) for name in ("precision", "sensitivity", "f1", "specificity")),
        )
        for row in rows
    ]
    named = (*(key.replace("_", " ") for key in keys), "n", "AUC", "accuracy", "precision", "sensitivity", "F1")
    largest = sorted({row["always_largest_class"] for row in rows})
    ends = " to ".join(percent(share) for share in dict.fromkeys((largest[0], largest[-1])))
    return Html(
        _figures_table((*named, "specificity"), body)
        + paragraph(f"Always answering the larger class would be right {ends} of the time.", "muted")
    )


def _auc(row: dict[str, Any] | None) -> tuple[float, float, float]:
    return tuple(row["auc"][key] for key in ("value", "low", "high")) if row else (float("nan"),) * 3


def _without(result: Result, words: str) -> Html:
    return paragraph(f"{result.name}: {words}.", "muted")


def _block(heading: str, content: Html) -> Html:
    return Html(f"<div>{subtitle(heading)}{content}</div>")

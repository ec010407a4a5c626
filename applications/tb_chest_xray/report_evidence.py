"""The sections of the report that show films: the lungs as found, and the evidence under five methods."""

from collections.abc import Iterable, Sequence

import numpy as np

from applications import charts
from applications.report import Html, KeyFigure, key_figures, paragraph, side_by_side, subtitle, text
from applications.tb_chest_xray.film_report import again, film_layer, heat_layer, outline, picture
from applications.tb_chest_xray.report_answers import near_threshold
from applications.tb_chest_xray.report_cells import figure_cell, figures_table, value_and_ends, without
from applications.tb_chest_xray.result import Result

WORST = 4  # films whose outlines are shown
COMPARED = 4  # films shown under every method
NAMES = {
    "score_cam": "Score-CAM",
    "grad_cam": "Grad-CAM",
    "grad_cam_plus_plus": "Grad-CAM++",
    "eigen_cam": "Eigen-CAM",
    "smooth_grad": "SmoothGrad",
}


def overlaps(found: list[Result]) -> list[Html]:
    """The headline of a run of lungs alone."""
    return [part for result in found for part in _overlaps(result)]


def _overlaps(result: Result) -> list[Html]:
    figures = []
    for label, values in (("Dice", result.dice), ("IoU", result.iou)):
        if len(values := values[np.isfinite(values)]):
            fifth = np.quantile(values, 0.05)
            note = f"median {np.median(values):.3f}; 5\u00a0% of films below {fifth:.3f}, worst {values.min():.3f}"
            if measured := result.metrics.get(f"lung_{label.lower()}"):
                note = f"95\u00a0% interval {value_and_ends(measured)[1]}; {note}"
            figures.append(KeyFigure(f"Mean {label} of {len(values):,} films", f"{values.mean():.3f}", note))
    return [subtitle(result.name), key_figures(figures or [KeyFigure("Dice", "–", "no film has a mask")])]


def lungs(found: list[Result]) -> list[Html]:
    """Overlap of the lungs found with the true ones, and where it is least."""
    return [
        paragraph(
            "Overlap of the lungs as found with those outlined by hand or known from the drawing: Dice is twice the "
            "shared area over both areas, IoU the shared over the joint area; 1 is the same outline. Below, the films "
            "with the least overlap: the full blue line was found, the dashed amber line is the true one."
        ),
        *(part for result in found for part in _lungs(result)),
    ]


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


def gallery(found: list[Result]) -> list[Html]:
    """Films, right and wrong, with their lungs and under their evidence."""
    return [
        paragraph(
            "Left, the film with the lungs as found; right, the same under Score-CAM: where the evidence for "
            "tuberculosis lies, dark red to bright yellow. Each map is brightest where its own evidence is strongest, "
            "so that a film without tuberculosis is bright somewhere too. A map says where the network looked, not "
            "that it was right to."
        ),
        *(part for i, result in enumerate(found) for part in _evidence(result, i)),
    ]


def _evidence(result: Result, number: int) -> list[Html]:
    if not len(result.shown):
        return [without(result, "no film has a known diagnosis, so none is shown")]
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
    near = ", near the operating point" if near_threshold(result)[i] else ""
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


def _gallery(cards: Iterable[tuple[Sequence[Html], str]], kind: str = "pairs") -> Html:
    """Films, each with its pictures side by side over a caption."""
    items = (
        f"<figure><div>{''.join(pictures)}</div><figcaption>{text(words)}</figcaption></figure>"
        for pictures, words in cards
    )
    return Html(f'<div class="gallery {kind}">{"".join(items)}</div>')


def _maps(result: Result) -> dict[str, np.ndarray]:
    """Methods that made a map of every film shown."""
    return {method: maps for method, maps in result.heat.items() if len(maps) == len(result.shown) > 0}


def methods(found: list[Result]) -> list[Html]:
    """Some films under every method; their pixels and Score-CAM maps are those of `gallery`, on the same page."""
    return [
        paragraph(
            "The same films under every method. Score-CAM and the Grad-CAMs weigh the network's last maps, each in "
            "its own way; Eigen-CAM knows nothing of tuberculosis, only what is common in those maps; SmoothGrad says "
            "which pixels would change the answer. Where they disagree, believe none of them too soon."
        ),
        *(part for i, result in enumerate(found) for part in _methods(result, i)),
    ]


def _methods(result: Result, number: int) -> list[Html]:
    maps = _maps(result)
    if not maps:
        return [without(result, "no heat maps were made in this run")]
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
    return [subtitle(result.name), figures_table(("", "film", *(NAMES.get(m, m) for m in maps)), rows)]


def _wide(cell: Html) -> Html:
    return Html(f'<div class="small">{cell}</div>')


def lift(found: list[Result]) -> list[Html]:
    """Heat inside the lungs over what their area would have, by method."""
    measured = list(dict.fromkeys(method for result in found for method in result.lift))
    if not measured:
        return [paragraph("Not measured: no heat maps, or no film with tuberculosis.")]
    none = (float("nan"),) * 3
    shown = {result.name: [tuple(result.lift.get(m, {}).values()) or none for m in measured] for result in found}
    rows = [
        (NAMES.get(m, m), *(figure_cell(series[k], digits=2) for series in shown.values()))
        for k, m in enumerate(measured)
    ]
    return [
        paragraph(
            "Share of the heat inside the lungs over the lungs' share of the film, mean over films of tuberculosis: 1 "
            "is no better than area, 2 is twice as much heat as area. Above 1 is needed, not enough: a map may lie in "
            "the lungs and miss the lesion."
        ),
        figures_table(("method", *shown), rows),
        charts.intervals([NAMES.get(m, m) for m in measured], shown, "lift inside the lungs", 1.0),
    ]

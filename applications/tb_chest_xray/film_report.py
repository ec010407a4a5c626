"""One film on one page, for a screen or for A4: film, lungs, evidence and answer.

The layers of a film's picture serve the report of a whole run too. They lie over each other in the page, so that a film
shown twice is stored once.
"""

import base64
import hashlib
import html
import io
import os
import pathlib
from collections.abc import Iterable
from typing import Any

import numpy as np

from applications.report import Html, bullets, percent, save, table, text
from applications.report_style import STYLE

NOT_A_DEVICE = "Not a medical device: for research and teaching. No patient may be diagnosed or treated by this page."
HEAT_SIDE = 64  # pixels of a stored heat map, which is smooth
HEAT_STEPS = 64  # of its colours
LINES = {  # of the lungs' outlines, over film
    "found": 'stroke="#5ec8ff"',
    "true": 'stroke="#ffb000" stroke-dasharray="5 3"',
}


def film_layer(pixels: np.ndarray, name: str = "", lossless: bool = False) -> Html:
    """A film, uint8 [S, S], as an inline PNG or JPEG; with `name`, which no other layer has, `again` can show it."""
    from PIL import Image

    buffer = io.BytesIO()
    kind = "png" if lossless else "jpeg"
    options = {} if lossless else {"quality": 85}
    Image.fromarray(np.asarray(pixels, "uint8")).save(buffer, kind, optimize=True, **options)
    return _image(buffer.getvalue(), kind, len(pixels), name)


def heat_layer(heat: np.ndarray, name: str = "") -> Html:
    """A map [S, S] in 0..1 to lie over its film: the stronger, the more of its colour, dark red to bright yellow."""
    import cv2
    from matplotlib import colormaps
    from PIL import Image

    side = min(HEAT_SIDE, len(heat))
    small = cv2.resize(np.nan_to_num(np.asarray(heat, "float32")), (side, side), interpolation=cv2.INTER_AREA)
    picture = Image.fromarray(np.rint((HEAT_STEPS - 1) * np.clip(small, 0, 1)).astype("uint8"), "L")
    steps = np.linspace(0, 1, HEAT_STEPS)
    picture.putpalette(np.rint(255 * colormaps["inferno"](0.3 + 0.65 * steps)[:, :3]).astype("uint8").tobytes())
    buffer = io.BytesIO()
    picture.save(buffer, "png", optimize=True, transparency=np.rint(255 * 0.8 * steps).astype("uint8").tobytes())
    return _image(buffer.getvalue(), "png", len(heat), name)


def again(name: str) -> Html:
    """A layer that is elsewhere on the page."""
    return Html(f'<use href="#{html.escape(name)}"/>')


def outline(mask: np.ndarray, kind: str = "found") -> Html:
    """The rim of a bool mask [S, S]: `found` a full line, `true` a dashed one."""
    import cv2

    # The mask is enlarged so that the line runs along the pixels' edges, not through their middles.
    big = np.kron(np.asarray(mask, "uint8"), np.ones((4, 4), "uint8"))
    rims = cv2.findContours(np.pad(big, 1), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)[0]
    path = ""
    for rim in rims:
        points = np.rint((cv2.approxPolyDP(rim, 2.6, closed=True)[:, 0] - 0.5) * 2.5) / 10
        path += "M" + " ".join(f"{x:g},{y:g}" for x, y in points) + "Z"
    return Html(f'<path d="{path}" fill="none" {LINES[kind]} stroke-width="1.7" vector-effect="non-scaling-stroke"/>')


def picture(size: int, layers: Iterable[Html], alt: str) -> Html:
    """Layers over each other, the first lowest, as wide as the page gives room; `alt` says what they show."""
    return Html(f'<svg viewBox="0 0 {size} {size}" role="img" aria-label="{html.escape(alt)}">{"".join(layers)}</svg>')


def write(
    folder: pathlib.Path,
    source: pathlib.Path,
    film: np.ndarray,
    found: Any,
    heat: np.ndarray,
    row: dict[str, Any],
    about: dict[str, Any],
) -> pathlib.Path:
    """Writes the page of one film whole or not at all, and returns where: `folder`/NAME.html.

    The page of another film of that name is kept; this one's is then NAME-2.html, and so on. The same film's is
    replaced.

    Args:
        folder: made when it is not there.
        source: the film's file.
        film: float [S, S] in 0..255; not shown where `row` has `error`, as no film was read.
        found: `lungs.Lungs` of it.
        heat: [1, S, S] in 0..1, or [0, S, S] where there is no map.
        row: the answer, or a `code` other than 0 with the `reason` or, where the file cannot be read, the `error`.
        about: of the run; `threshold`, `band` and what else is known of it, as its `experiment`.
    """
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    size, name = len(film), _shown(source.name)
    pixels = np.rint(np.clip(np.nan_to_num(film), 0, 255)).astype("uint8")
    pictures = []
    if "error" not in row:
        base = film_layer(pixels, "film", lossless=True)
        pictures.append((picture(size, [base], f"the film {name}"), "Film, as the network is given it"))
    if found.mask.any():
        layers = [again("film"), outline(found.mask)]
        words = "Taken for lungs" if row["code"] else "Lungs as found"
        pictures.append((picture(size, layers, "the film with the lungs outlined"), words))
    if len(heat) and not row["code"]:
        layers = [again("film"), heat_layer(heat[0])]
        words = "Evidence for tuberculosis (Score-CAM): brightest where it is strongest, whatever the probability"
        pictures.append((picture(size, layers, "the film under the map of the evidence for tuberculosis"), words))
    drawn = "".join(f"<figure>{one}<figcaption>{text(words)}</figcaption></figure>" for one, words in pictures)
    films = f'<div class="films">{drawn}</div>' if drawn else ""
    synthetic = about.get("synthetic")
    body = (
        f"<header><h1>{text(name)}</h1><p>Chest film, read for signs of tuberculosis by a computer</p></header>"
        f'<p class="device"><b>{text(NOT_A_DEVICE)}</b>{text(_TRAINED_ON_DRAWINGS) if synthetic else ""}</p>'
        f"{_refusal(row) if row['code'] else _answer(row, about)}"
        f"{films}<h2>Behind the answer</h2>{table(('what', 'figure'), _facts(source, row, about))}"
    )
    mark = hashlib.sha256(os.fsencode(source.resolve())).hexdigest()[:32]
    page = (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta name="film" content="{mark}"><meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}"><title>{text(name)}</title>'
        f"<style>{STYLE}{_STYLE}</style></head><body>{body}</body></html>\n"
    )
    return save(_place(folder, source, mark), page)


def _place(folder: pathlib.Path, source: pathlib.Path, mark: str) -> pathlib.Path:
    """The first of NAME.html, NAME-2.html, ... that is free or already this film's."""
    stem = _shown(source.stem).encode()[:180].decode(errors="ignore")
    number, path = 1, folder / f"{stem}.html"
    while path.exists() and f'content="{mark}"' not in path.read_text(encoding="utf-8", errors="replace")[:400]:
        number += 1
        path = folder / f"{stem}-{number}.html"
    return path


def _shown(name: Any) -> str:
    """A file's name as text, even where its bytes are none."""
    return os.fsencode(str(name)).decode(errors="replace")


def _answer(row: dict[str, Any], about: dict[str, Any]) -> str:
    verdict = "Refer for a confirmatory test" if row["referred"] else "Not referred"
    side = "at or above" if row["referred"] else "below"
    flags = []
    if row["uncertain"]:
        flags.append("Near the operating point, where the threshold might as well lie: a person should look at it.")
    if row["unusual"]:
        flags.append("Unlike the films the network was trained on: trust the answer less.")
    marked = "".join(f"<li>{text(flag)}</li>" for flag in flags)
    return (
        f'<section class="answer {"refer" if row["referred"] else "calm"}">'
        f"<h2>{'▲' if row['referred'] else '○'} {verdict}</h2>"
        f"<p>Probability of tuberculosis <b>{row['probability']:.3f}</b>, {side} the operating point "
        f"{row['threshold']:.3f}.</p>{_bar(row, about)}"
        f'<ul class="flags">{marked or "<li>No warnings for this film.</li>"}</ul></section>'
    )


def _bar(row: dict[str, Any], about: dict[str, Any]) -> Html:
    """The probability as a bar from 0 to 1, with the operating point and the band around it."""
    at, level = 600 * row["probability"], 600 * row["threshold"]
    low, high = (600 * end for end in about["band"])
    middle = min(max(level, 62), 538)
    said = (
        f"Probability {row['probability']:.3f} on a scale from 0 to 1; operating point {row['threshold']:.3f}, "
        f"band of uncertainty {about['band'][0]:.3f} to {about['band'][1]:.3f}"
    )
    ends = "".join(
        f'<text x="{x}" y="70" text-anchor="{anchor}">{words}</text>'
        for x, anchor, words in ((0, "start", "0"), (600, "end", "1"))
    )
    return Html(
        f'<svg class="bar" viewBox="-6 -12 612 90" role="img" aria-label="{said}">'
        '<rect x="0" y="24" width="600" height="22" rx="3" fill="none" stroke="var(--muted)"/>'
        f'<rect x="0" y="24" width="{at:.1f}" height="22" rx="3" fill="var(--blue)"/>'
        f'<rect x="{low:.1f}" y="17" width="{max(high - low, 1.5):.1f}" height="36" fill="var(--orange)" '
        'opacity=".35"/>'
        f'<path d="M{level:.1f} 15V55" stroke="var(--text)" stroke-width="2.5"/>'
        f'<text x="{middle:.1f}" y="9" text-anchor="middle">operating point</text>{ends}'
        '<text x="300" y="70" text-anchor="middle">shaded: where the operating point might as well lie</text></svg>'
    )


def _refusal(row: dict[str, Any]) -> str:
    # An error is a whole sentence and may begin with the file's name, a reason is a part of one.
    said = _shown(row["error"]) if "error" in row else f"{row['reason'][:1].upper()}{row['reason'][1:]}."
    return (
        f'<section class="answer refer"><h2>✕ No answer (code {text(row["code"])})</h2>'
        f"<p><b>{text(said)}</b></p><p>{text(_CODES.get(row['code'], _CODES[-3]))}</p>"
        f"<p>What would do:</p>{bullets(_WOULD_DO)}</section>"
    )


def _facts(source: pathlib.Path, row: dict[str, Any], about: dict[str, Any]) -> list[tuple[str, Any]]:
    """What the answer rests on; what the run does not know is left out."""
    rows: list[tuple[str, Any]] = [("File", _shown(source))]
    if not row["code"]:
        if about.get("experiment") in _SEEN:
            rows.append(("What the answer rests on", _SEEN[about["experiment"]]))
        rows.append(("Operating point", _chosen(row, about)))
        rows.append(("Band of uncertainty", f"{about['band'][0]:.3f} to {about['band'][1]:.3f}"))
        if total := sum(about.get("validation", {}).values()):
            share = percent(about["validation"]["positives"] / total)
            words = f"calibrated where {share} of the films show tuberculosis; where it is rarer, read it as lower"
            rows.append(("Probability", words))
        usual = f", unusual from {about['unusual']:.3g}" if "unusual" in about else ""
        rows.append(("Distance from the usual film", f"{row['distance']:.3g}{usual}"))
    if "lung_area" in row:
        rows.append(("Lungs' share of the film", percent(row["lung_area"])))
    for name, metrics in about.get("metrics", {}).items():
        rows.append((f"This network on {name}", _measured(metrics)))
    rows += [(words, about[key]) for key, words in (("command", "Trained by"), ("device", "On")) if about.get(key)]
    if about.get("note"):
        rows.append(("Note", about["note"]))
    return rows


def _chosen(row: dict[str, Any], about: dict[str, Any]) -> str:
    """The operating point and where it comes from."""
    if row["threshold"] != about["threshold"]:
        return f"{row['threshold']:.3f}, given by hand; the run's own is {about['threshold']:.3f}"
    said = f"{row['threshold']:.3f}"
    if "target_sensitivity" in about:
        said += f", chosen for a sensitivity of {about['target_sensitivity']:.0%}"
    if "validation" in about:
        ill, well = about["validation"]["positives"], about["validation"]["negatives"]
        said += f", on {ill:,} validation films with tuberculosis and {well:,} without"
    return said


def _measured(metrics: dict[str, dict[str, float]]) -> str:
    said = []
    for key, words in (("auc", "AUC"), ("sensitivity", "sensitivity"), ("specificity", "specificity"),
                       ("lung_dice", "lungs' Dice")):  # fmt: skip
        if key in metrics:
            m = metrics[key]
            said.append(f"{words} {m['value']:.3f} ({m['low']:.3f} to {m['high']:.3f})")
    return "; ".join(said) or "no figures"


def _image(data: bytes, kind: str, size: int, name: str) -> Html:
    own = f'id="{html.escape(name)}" ' if name else ""
    address = f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
    return Html(f'<image {own}width="{size}" height="{size}" preserveAspectRatio="none" href="{address}"/>')


_TRAINED_ON_DRAWINGS = (
    " This network was trained on synthetic films: what it says of a real patient's film means nothing."
)
_SEEN = {  # by experiment
    "segmented": "the lungs as found, with a narrow rim; the rest of the film is blanked out before it is judged",
    "whole": "the whole film, so that letters, borders and whatever else lies outside the lungs may sway it",
}
_CODES = {
    -1: "The file was read, but it does not look like a frontal film of a chest.",
    -2: "The DICOM file is not one that can be read as a chest film.",
    -3: "Something failed while the film was being read.",
}
_WOULD_DO = (
    "a frontal (PA) film of the whole chest, both lungs in full, upright and not cropped",
    "of a person of 15 years or more",
    "as DICOM, PNG, JPEG or BMP, straight from the archive: not a photograph of a screen, without burnt-in arrows",
)
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"  # a browser fetches nothing for this page
_STYLE = """
body{max-width:60rem;padding-bottom:2rem}
h1{overflow-wrap:anywhere;font-size:1.6rem}
h2{border:0;padding:0;margin:1.1rem 0 .3rem;font-size:1.1rem}
.device{max-width:none;border:2px solid var(--bad);border-radius:.5rem;padding:.5rem .8rem}
.answer{border:1px solid var(--line);border-left:.6rem solid var(--green);border-radius:.5rem;background:var(--card);
padding:.7rem 1rem;margin:.8rem 0}
.answer.refer{border-left-color:var(--orange)}
.answer h2{font-size:1.5rem;margin:0 0 .2rem}
.answer p b{font-size:1.15rem;font-variant-numeric:tabular-nums}
.answer p,.answer ul{margin:.2rem 0 .5rem}
.bar{max-width:38rem;margin:.3rem 0 .5rem}
.bar text{font-size:11.5px;fill:var(--muted)}
.films{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,14rem),1fr));gap:1rem;max-width:56rem}
.films svg{background:#000;border-radius:.3rem}
.films figure{max-width:22rem}
tbody th{white-space:nowrap}
@media (max-width:30rem){tbody th{white-space:normal;overflow-wrap:normal}.bar text{font-size:20px}}
@media print{@page{size:A4;margin:11mm}body{font-size:9.5pt;line-height:1.35}h1{font-size:1.3rem}
header p{font-size:10pt}
.answer{break-inside:avoid;padding:.4rem .8rem}.answer h2{font-size:1.25rem}.bar{max-width:13cm}
figcaption{font-size:8pt}
.films{grid-template-columns:repeat(3,1fr)}table{font-size:8.5pt}th,td{padding:.1rem .8rem .1rem 0}
*{print-color-adjust:exact;-webkit-print-color-adjust:exact}}
"""

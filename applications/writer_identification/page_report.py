"""The page of `hub predict writer_identification --out`: a written page, whom each word spoke for, and the answer."""

import html
import pathlib
from collections import Counter

import numpy as np

from applications import report
from applications.report import Html, paragraph, percent, save, subtitle, text
from applications.report_parts import COLOURS, distance
from applications.writer_identification.report_pictures import drawing, layer, scan

LISTED = 10  # writers with a bar
NOBODY = "#6b7280"
DASHES = ("", "14 6", "4 5", "20 5 4 5", "9 9", "2 8")  # of outlines, as colours alone tell not everybody
STYLE = """
.answer{border:1px solid var(--line);border-left:.5rem solid var(--blue);border-radius:.5rem;background:var(--card);
padding:.8rem 1rem;font-size:1.2rem;max-width:46rem;margin:.2rem 0 1rem}
.scan svg{border-radius:.4rem;border:1px solid var(--line)}
.ranked{display:grid;grid-template-columns:2rem minmax(4rem,max-content) minmax(3rem,1fr) auto auto;gap:.45rem .8rem;
align-items:center;max-width:46rem;margin:.6rem 0 1rem;font-variant-numeric:tabular-nums}
.ranked>*{min-width:0;overflow-wrap:anywhere}
.ranked .bar{height:1rem;background:var(--card);border:1px solid var(--line);border-radius:.25rem}
.ranked .bar span{display:block;height:100%;border-radius:.2rem}
.ranked .n{text-align:right;white-space:nowrap}
.tag{display:inline-block;min-width:1.75rem;text-align:center;border:3px solid;border-radius:.3rem;line-height:1.25;
padding:0 .2rem;font-weight:600;font-size:.9rem;white-space:nowrap}
.tag b{color:var(--text)}
.votes{columns:17rem;column-gap:1.6rem;max-width:none;padding:0;list-style:none}
.votes li{break-inside:avoid;padding:.18rem 0;border-bottom:1px solid var(--line);display:flex;gap:.6rem;
align-items:baseline}
.votes li>span:nth-child(2){flex:1 0 auto;max-width:55%;overflow-wrap:anywhere}
.votes li>span:nth-child(3){min-width:0;text-align:right}
.votes small{color:var(--muted)}
@media (max-width:40rem){.ranked{grid-template-columns:2rem minmax(0,1fr) minmax(5rem,9rem) auto;row-gap:.1rem}
.ranked small{grid-column:2/-1;margin-bottom:.5rem}}
@media print{.answer,.ranked,.scan{break-inside:avoid}.scan svg{max-height:17cm}
.ranked *,.scan *,.tag{print-color-adjust:exact;-webkit-print-color-adjust:exact}}
"""


def write(
    path: pathlib.Path | str,
    source: str,
    page: np.ndarray,
    corners: np.ndarray,
    votes: list[tuple[str, str, float]],
    ranked: list[tuple[str, float, float]],
    words: str,
) -> pathlib.Path:
    """Writes the page whole or not at all, and returns where.

    Args:
        path: of the HTML file.
        source: name of the picture.
        page: uint8 [H, W], grey.
        corners: float [N, 4, 2], x and y of the corners of each word, clockwise from the top left one.
        votes: of each word its caption, the name it spoke for (empty: nobody) and that name's share of it in 0..1.
        ranked: enrolled writers, likeliest first: name, probability, distance (NaN: not known).
        words: the verdict, one sentence.

    Raises:
        ValueError: there are not as many votes as words.
    """
    if len(votes) != len(corners):
        raise ValueError(f"Each word has one vote. Received: {len(corners)} words and {len(votes)} votes.")
    rank = {name: place for place, (name, _, _) in enumerate(ranked, 1)}
    counts = Counter(name for _, name, _ in votes)
    sections = {
        "Answer": [Html(f'<p class="answer">{text(words)}</p>'), *_ranked(ranked, counts, len(votes))],
        "The page": [_page(page, np.asarray(corners, float), votes, rank)],
        "Word by word": [
            paragraph("In the order of the page: the word, whom it alone speaks for, and how much of it does."),
            _votes(votes, rank),
        ],
    }
    lead = f"{source}: {len(votes):,} word{'s' * (len(votes) != 1)} against {len(ranked):,} enrolled writers."
    content = report.page("Who wrote this page", lead, sections)
    return save(path, content.replace("</style>", f"{STYLE}</style>", 1))


def _look(name: str, rank: dict[str, int]) -> tuple[str, str, str]:
    """Of a writer: the tag, the colour on paper, the dashes."""
    place = rank.get(name)
    if place is None:
        return "–", NOBODY, "3 6"
    if place > len(COLOURS):
        return str(place), NOBODY, ""
    return str(place), COLOURS[place - 1], DASHES[place - 1]


def _tag(name: str, rank: dict[str, int]) -> str:
    words, colour, _ = _look(name, rank)
    return f'<span class="tag" style="border-color:{colour}"><b>{words}</b></span>'


def _ranked(ranked: list[tuple[str, float, float]], counts: Counter, words: int) -> list[Html]:
    """Bars of the likeliest, and how many words spoke for each."""
    if not ranked:
        return [paragraph("Nobody is enrolled.", "muted")]
    rank = {name: place for place, (name, _, _) in enumerate(ranked, 1)}
    rows = []
    for name, probability, far in ranked[:LISTED]:
        _, colour, _ = _look(name, rank)
        known = f", distance {distance(far)}" if np.isfinite(far) else ""
        rows.append(
            f'{_tag(name, rank)}<span>{text(name)}</span><span class="bar"><span style="width:{100 * probability:.1f}%;'
            f'background:{colour}"></span></span><span class="n">{text(percent(probability))}</span>'
            f'<small class="muted">{counts[name]} of {words} words{text(known)}</small>'
        )
    left = len(ranked) - LISTED
    more = [paragraph(f"And {left:,} less likely.", "muted")] if left > 0 else []
    return [subtitle("Likeliest writers"), Html(f'<div class="ranked">{"".join(rows)}</div>'), *more]


def _page(picture: np.ndarray, corners: np.ndarray, votes: list[tuple[str, str, float]], rank: dict[str, int]) -> Html:
    """The scan with each word framed in the look of its writer, and the writer's rank at its corner."""
    tall, wide = picture.shape
    size = 0.019 * wide
    frames = []
    for four, (caption, name, share) in zip(corners, votes, strict=True):
        words, colour, dashes = _look(name, rank)
        points = " ".join(f"{x:.0f},{y:.0f}" for x, y in four)
        said = html.escape(f"{caption}: {name or 'nobody'}, {percent(share)}")
        x, y = four[0]
        box = size * (0.5 + 0.6 * len(words))
        y = max(y - 0.75 * size, 0)
        frames.append(
            f'<g stroke="{colour}"><title>{said}</title><polygon points="{points}" fill="{colour}" '
            f'fill-opacity="{0.04 + 0.16 * np.clip(np.nan_to_num(share), 0, 1):.2f}" stroke-width="{size / 8:.1f}" '
            f'stroke-dasharray="{_scaled(dashes, size / 26)}"/>'
            f'<rect x="{x:.0f}" y="{y:.0f}" width="{box:.0f}" height="{1.15 * size:.0f}" rx="{size / 6:.0f}" '
            f'fill="#fff" stroke-width="{size / 10:.1f}"/><text x="{x + box / 2:.0f}" y="{y + 0.93 * size:.0f}" '
            f'text-anchor="middle" font-size="{size:.0f}" font-weight="600" fill="#111" stroke="none">{words}</text>'
            "</g>"
        )
    layers = layer(scan(picture, 2200, 1400, 45), wide, tall) + "".join(frames)
    said = f"the page with {len(votes)} words framed, each with the rank of the writer it spoke for"
    shown = drawing((0, 0, wide, tall), layers, said, float(np.median(picture)))
    caption = "Number, colour and line: the writer's rank above; grey: a later one or nobody."
    return Html(f'<figure class="scan">{shown}<figcaption>{caption}</figcaption></figure>')


def _scaled(dashes: str, by: float) -> str:
    return " ".join(f"{by * float(dash):.1f}" for dash in dashes.split()) or "none"


def _votes(votes: list[tuple[str, str, float]], rank: dict[str, int]) -> Html:
    items = "".join(
        f"<li>{_tag(name, rank)}<span>{text(caption)}</span><span>{text(name or 'nobody')} "
        f"<small>{text(percent(share))}</small></span></li>"
        for caption, name, share in votes
    )
    return Html(f'<ul class="votes">{items}</ul>')

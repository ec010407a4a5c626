"""The sections of the report that show words: which patches spoke, whom a word was taken for; and saliency."""

import html

import numpy as np

from applications.charts import axes
from applications.report import Html, figure, paragraph, text
from applications.report_parts import COLOURS, legend_above
from applications.writer_identification.report_pictures import drawing, grey, layer, scan, webp
from applications.writer_identification.result import Result, Spoken

# Over scans, which are light in the dark too; every kind of eye tells the two apart.
FOR, AGAINST = "#0072b2", "#d55e00"
TINT = 0.75  # opacity of the strongest tint
LOUD = 5  # squares for and as many against that are drawn boldly
SCALES = ("small: key points below 7 px", "middle: 7 to 11 px", "large: above 11 px")
STYLE = """
.spoken{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,20rem),1fr));gap:1rem;
margin-bottom:1rem}
.spoken figure{margin:0}
.spoken svg{height:9rem;border-radius:.4rem}
.scale{max-width:34rem;margin:.4rem 0 1rem}
.scale text{font-size:15px;fill:var(--text)}
.asked{display:grid;grid-template-columns:repeat(6,minmax(0,1fr));gap:.5rem;margin:0 0 1rem;padding-bottom:.8rem;
border-bottom:1px solid var(--line);break-inside:avoid}
.asked figure{margin:0;display:flex;flex-direction:column}
.asked img{width:100%;height:4.4rem;object-fit:contain;border-radius:.4rem;
border:2px solid var(--line)}
.asked .yes img{border:3px solid var(--green)}
.asked .no img{border:3px dashed var(--orange)}
.asked figcaption{font-size:.85rem}
.asked b{color:var(--text)}
@media (max-width:44rem){.asked{grid-template-columns:repeat(2,minmax(0,1fr))}
.asked figure:first-child{grid-column:1/-1}
.asked figure:first-child img{height:5.5rem}}
@media print{.spoken{grid-template-columns:1fr 1fr}.asked{grid-template-columns:repeat(6,minmax(0,1fr))}
.asked figure:first-child{grid-column:auto}
.spoken *,.scale *{print-color-adjust:exact;-webkit-print-color-adjust:exact}}
"""


def legend() -> Html:
    """The colours of evidence and the lines of squares."""
    stops = "".join(
        f'<stop offset="{at}" stop-color="{colour}" stop-opacity="{opacity}"/>'
        for at, colour, opacity in ((0, AGAINST, TINT), (0.5, AGAINST, 0), (0.5, FOR, 0), (1, FOR, TINT))
    )
    return Html(
        '<svg class="scale" viewBox="0 0 540 64" role="img" aria-label="Evidence: orange and dashed against the '
        'writer, blue and solid for the writer"><defs><linearGradient id="evidence">'
        f'{stops}</linearGradient></defs><rect x="32" width="476" height="26" rx="4" fill="#f4f3f0"/>'
        '<rect x="32" width="476" height="26" rx="4" fill="url(#evidence)"/>'
        f'<rect x="2" y="3" width="20" height="20" fill="none" stroke="{AGAINST}" stroke-width="3" '
        f'stroke-dasharray="4 3"/><rect x="518" y="3" width="20" height="20" fill="none" stroke="{FOR}" '
        'stroke-width="3"/><text x="0" y="50">speaks against</text><text x="270" y="50" text-anchor="middle">neither'
        '</text><text x="540" y="50" text-anchor="end">speaks for</text></svg>'
    )


def spoken(result: Result) -> list[Html]:
    """Words with their patches, coloured on one scale."""
    if not result.spoken:
        return [paragraph("None shown.", "muted")]
    limit = _limit(result.spoken)
    cards = "".join(_spoken(one, limit) for one in result.spoken)
    said = f"Deepest colour: evidence of {limit:.3g} or more either way."
    return [Html(f'<div class="spoken">{cards}</div>'), paragraph(said, "muted")]


def _limit(shown: list[Spoken]) -> float:
    """What is drawn deepest: few patches are beyond it."""
    evidence = np.concatenate([np.abs(one.evidence) for one in shown])
    return float(np.quantile(evidence, 0.95)) if evidence.any() else 1.0


def _spoken(one: Spoken, limit: float) -> str:
    tall, wide = one.image.shape
    half = np.asarray(one.half, float)[:, None]
    corners = np.concatenate([one.points - half, one.points + half, [[0, 0], [wide, tall]]])
    (left, top), (right, bottom) = np.clip(corners.min(axis=0), -9, 0), corners.max(axis=0)
    right, bottom = min(right, wide + 9), min(bottom, tall + 9)
    strength = np.clip(one.evidence / limit, -1, 1)
    ahead = int((one.evidence > 0).sum())
    said = f"{one.caption}: {ahead} of {len(one.evidence)} patches speak for."
    layers = layer(scan(one.image, 140, 480), wide, tall)
    if len(strength):
        layers += layer(_tint(one, strength), wide, tall, ' style="mix-blend-mode:multiply"')
    order = np.argsort(strength, kind="stable")
    heard = {*order[:LOUD][strength[order[:LOUD]] < 0].tolist(), *order[-LOUD:][strength[order[-LOUD:]] > 0].tolist()}
    for i in sorted(range(len(strength)), key=lambda i: (i in heard, abs(strength[i]))):
        layers += _square(*one.points[i], half[i, 0], strength[i], i in heard)
    picture = drawing((left, top, right - left, bottom - top), layers, said, float(np.median(one.image)))
    return f"<figure>{picture}<figcaption>{text(said)}</figcaption></figure>"


def _square(x: float, y: float, half: float, strength: float, heard: bool) -> str:
    colour, dashes = (FOR, "") if strength > 0 else (AGAINST, ' stroke-dasharray="5 3"')
    look = f'stroke-width="{0.8 + 1.6 * abs(strength):.1f}"' if heard else 'stroke-width=".7" stroke-opacity=".3"'
    return (
        f'<rect x="{x - half:.0f}" y="{y - half:.0f}" width="{2 * half:.0f}" height="{2 * half:.0f}" fill="none" '
        f'stroke="{colour}" {look}{dashes} vector-effect="non-scaling-stroke"/>'
    )


def _tint(one: Spoken, strength: np.ndarray) -> str:
    """The mean evidence of the patches around each place, paler where there are few, as a layer for the word."""
    from PIL import Image

    tall, wide = one.image.shape
    step = max(1.0, wide / 96)
    x, y = ((np.arange(round(side / step)) + 0.5) * step for side in (wide, tall))
    near = [
        np.exp(-(((places[:, None] - middle) / (0.5 * np.asarray(one.half))) ** 2) / 2)
        for places, middle in ((y, one.points[:, 1]), (x, one.points[:, 0]))
    ]
    total, sums = (np.einsum("yn,xn,n->yx", *near, weight) for weight in (np.ones(len(strength)), strength))
    mean = sums / np.maximum(total, 0.5)
    colours = np.array([[int(colour[i : i + 2], 16) for i in (1, 3, 5)] for colour in (AGAINST, FOR)], "uint8")
    pixels = np.dstack([colours[(mean > 0).astype(int)], np.rint(255 * TINT * np.abs(mean)).astype("uint8")])
    return webp(Image.fromarray(pixels), 70)


def examples(result: Result) -> list[Html]:
    """Each word looked for beside the words of the writers found nearest."""
    if not result.examples:
        return [paragraph("None shown.", "muted")]
    rows = []
    for one in result.examples:
        asked = _word(one.image, f"the word looked for: {one.caption}", "", f"<b>Looked for</b> {text(one.caption)}")
        answers = "".join(
            _word(
                image,
                f"{'right' if right else 'wrong'}: {caption}",
                "yes" if right else "no",
                f"<b>{rank} {'✓ right' if right else '✕ wrong'}</b> {text(caption)}",
            )
            for rank, (caption, right, image) in enumerate(one.nearest, 1)
        )
        rows.append(f'<div class="asked">{asked}{answers}</div>')
    return [Html("".join(rows))]


def _word(image: np.ndarray, alt: str, kind: str, caption: str) -> str:
    ground = grey(np.median(image))
    shown = f'<img src="{scan(image, 96, 260)}" alt="{html.escape(alt)}" style="{ground}">'
    return f"<figure{f' class={kind}' if kind else ''}>{shown}<figcaption>{caption}</figcaption></figure>"


def saliency(result: Result) -> list[Html]:
    """How much each sparse direction weighs, by group of patches, the heaviest first."""
    groups = [np.sort(group[np.isfinite(group)])[::-1] for group in np.asarray(result.saliency, float)]
    if not any(len(group) for group in groups):
        return [paragraph("No saliency: directions weigh alike.", "muted")]
    fig, ax = axes("direction, heaviest first", "saliency", 4.6, 3.6)
    for group, words, colour, style in zip(groups, SCALES, COLOURS, ("-o", "--s", ":D"), strict=False):
        ax.plot(np.arange(1, len(group) + 1), group, style, color=colour, linewidth=1.6, markersize=4, label=words)
    ax.set_ylim(bottom=0)
    ax.xaxis.get_major_locator().set_params(integer=True)
    legend_above(ax, 1)
    said = "; ".join(
        f"{words.partition(':')[0]}: {int((group <= 0).sum())} of {len(group)} weigh nothing"
        for words, group in zip(SCALES, groups, strict=False)
        if len(group)
    )
    return [figure(fig, f"Saliency of directions. {said}", f"{said[:1].upper()}{said[1:]}.")]

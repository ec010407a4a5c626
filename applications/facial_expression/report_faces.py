"""The section of the report that shows faces: box, landmarks, seven probabilities, and whether the answer is right."""

import base64
import html
import io

import numpy as np

from applications.facial_expression.report_classes import whole_percent
from applications.facial_expression.result import Result, Shown
from applications.report import Html, paragraph, subtitle, text
from hub.data.face_images import EXPRESSIONS

AROUND = 0.12  # of the side of what box and landmarks cover, seen around them
SIDE = 240  # pixels of a picture on the page, at most
# The shape of line ends is set here, as the figures of a page set it for everything on it.
STYLE = """
.faces{display:grid;grid-template-columns:repeat(auto-fill,minmax(12.5rem,1fr));gap:1rem;margin:.6rem 0 1.2rem}
.faces h3{grid-column:1/-1;margin:.6rem 0 -.3rem}
.faces figure{margin:0;display:flex;flex-direction:column;
background:var(--card);border:1px solid var(--line);border-radius:.6rem;padding:.55rem}
.faces svg{border-radius:.35rem;flex:none}
.faces path{stroke-linecap:round}
.faces .yes{border:2px solid var(--green)}
.faces .no{border:2px dashed var(--orange)}
.faces figcaption{margin-top:.4rem;font-size:.85rem;line-height:1.35;overflow-wrap:anywhere}
.faces figcaption b{display:block;font-size:.98rem;color:var(--text)}
.bars{display:grid;grid-template-columns:5.7em minmax(1.5rem,1fr) 2.9em;gap:.12rem .35rem;align-items:center;
margin-top:auto;padding-top:.45rem;font-size:.8rem;line-height:1.3;font-variant-numeric:tabular-nums}
.bars .n{text-align:right;white-space:nowrap}
.bars .said{font-weight:700;color:var(--text)}
.bars i{display:block;height:.62rem;min-width:1px;border-radius:.12rem;background:var(--muted);opacity:.75}
.bars .right{background:var(--green);opacity:1}
.bars .wrong{opacity:1;background:repeating-linear-gradient(135deg,var(--orange) 0 3px,transparent 3px 5px);
border:1px solid var(--orange)}
.bars .other{background:var(--blue);opacity:1}
@media (max-width:30rem){.faces{grid-template-columns:repeat(2,minmax(0,1fr));gap:.6rem}.faces figure{padding:.4rem}
.bars{font-size:.74rem;column-gap:.3rem}}
@media print{#faces{break-before:page}.faces{grid-template-columns:repeat(4,1fr);gap:.6rem}.bars{font-size:7pt}
.faces h3{break-after:avoid}
.faces figure{display:block}
.faces *{print-color-adjust:exact;-webkit-print-color-adjust:exact}}
"""


def faces(result: Result) -> list[Html]:
    """Wrong ones from the surest down, right ones from the least sure up, those without a truth from the surest."""
    if not result.shown:
        return [paragraph("None shown.", "muted")]
    falling = sorted(result.shown, key=lambda one: -float(one.probabilities.max()))
    groups = {
        "Wrong, from the surest down": [one for one in falling if 0 <= one.truth != one.probabilities.argmax()],
        "Right, from the least sure up": [one for one in falling[::-1] if one.truth == one.probabilities.argmax()],
        "Truth unknown": [one for one in falling if one.truth < 0],
    }
    parts = []
    for heading, some in groups.items():
        if some:
            parts.append(Html(f'<div class="faces">{subtitle(heading)}{"".join(map(_card, some))}</div>'))
    return parts


def _card(one: Shown) -> str:
    answer = int(one.probabilities.argmax())
    kind, verdict = "", f"{EXPRESSIONS[answer]}"
    if one.truth == answer:
        kind, verdict = "yes", f"✓ right: {verdict}"
    elif one.truth >= 0:
        kind, verdict = "no", f"✗ wrong: {verdict}, is {EXPRESSIONS[one.truth]}"
    alt = f"{one.caption}: {verdict}" + ("" if one.landmarks is None else f", with {len(one.landmarks)} landmarks")
    return (
        f"<figure{f' class={kind}' if kind else ''}>{_picture(one, alt)}<figcaption><b>{verdict}</b>"
        f"{text(one.caption)}</figcaption>{_bars(one, answer)}</figure>"
    )


def _bars(one: Shown, answer: int) -> str:
    rows = ""
    for k, (expression, share) in enumerate(zip(EXPRESSIONS, one.probabilities.tolist(), strict=True)):
        true = k == one.truth
        name = f"{expression} ◆" if true else expression
        bar = ("right" if true else "wrong" if one.truth >= 0 else "other") if k == answer else ""
        said = " said" if k == answer else ""
        rows += (
            f'<span class="e{said}">{name}</span><span><i class="{bar}" style="width:{100 * share:.0f}%"></i></span>'
            f'<span class="n{said}">{text(whole_percent(share))}</span>'
        )
    return f'<div class="bars">{rows}</div>'


def _picture(one: Shown, alt: str) -> str:
    """The square with box and landmarks, and both drawn over it: light on dark, to be seen on any skin."""
    x, y, wide, high = one.box
    points = np.empty((0, 2)) if one.landmarks is None else np.asarray(one.landmarks, float)
    points = points[np.isfinite(points).all(axis=1)]
    left, top, right, bottom = _seen(np.concatenate([[(x, y), (x + wide, y + high)], points]), one.image.shape)
    part = _address(one.image[top:bottom, left:right])
    right, bottom = right - left, bottom - top
    unit = max(right, bottom) / 100
    dots = "".join(f"M{a - left:.1f} {b - top:.1f}h0" for a, b in points)
    lines = ""
    for colour, frame, dot in (("#101418", 1.8, 2.4), ("#fff", 0.8, 1.4)):
        lines += (
            f'<rect x="{x - left}" y="{y - top}" width="{wide}" height="{high}" stroke="{colour}" '
            f'stroke-width="{frame * unit:.2f}"/>'
            f'<path d="{dots}" stroke="{colour}" stroke-width="{dot * unit:.2f}"/>'
        )
    return (
        f'<svg viewBox="0 0 {right} {bottom}" role="img" aria-label="{html.escape(alt)}"><image width="{right}" '
        f'height="{bottom}" preserveAspectRatio="none" href="{part}"/><g fill="none">{lines}</g></svg>'
    )


def _seen(points: np.ndarray, shape: tuple[int, ...]) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of a square around the points, as far as the picture has it."""
    low, high = points.min(axis=0), points.max(axis=0)
    side = (high - low).max() * (1 + 2 * AROUND)
    edge = np.array(shape[1::-1])
    start = np.clip((low + high - side) / 2, 0, np.maximum(edge - side, 0)).astype(int)
    start = np.minimum(start, edge - 1)
    return *start.tolist(), *np.minimum(start + max(1, round(side)), edge).tolist()


def _address(pixels: np.ndarray) -> str:
    """uint8 [H, W] or RGB as the address of an inline picture of at most `SIDE` pixels."""
    from PIL import Image

    picture = Image.fromarray(np.ascontiguousarray(pixels))
    picture.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    picture.save(buffer, "webp", quality=62, method=6)
    return f"data:image/webp;base64,{base64.b64encode(buffer.getvalue()).decode()}"

"""Building blocks of a report: one HTML file that needs nothing else, on paper, on a phone, in the dark.

Each function returns `Html`; plain strings given to any of them are escaped, so no text can become markup.
"""

import base64
import html
import io
import os
import pathlib
import re
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from applications.report_style import STYLE

# A figure drawn in these takes the page's own colours, light or dark. The last three are Okabe and Ito's, which every
# kind of eye tells apart.
INK, PAPER, BLUE, ORANGE, GREEN = "#010203", "#fdfcfb", "#0072b2", "#d55e00", "#009e73"
_PAINT = dict(zip((INK, PAPER, BLUE, ORANGE, GREEN), ("text", "back", "blue", "orange", "green"), strict=True))


class Html(str):
    """Markup that is safe to place in a page as it is."""


@dataclass(frozen=True)
class KeyFigure:
    """One number a reader looks for first."""

    label: str
    value: str
    note: str = ""


@dataclass(frozen=True)
class Card:
    """Pictures of one example, side by side, over their caption."""

    images: Sequence[np.ndarray]  # uint8 [H, W, 3]
    alts: Sequence[str]  # what each shows, for readers who cannot see it
    caption: str


def text(value: Any) -> Html:
    """`value` as markup: escaped, unless it is markup."""
    return value if isinstance(value, Html) else Html(html.escape(str(value)))


def percent(share: float) -> str:
    """A share as `95.2 %`; a dash where there is none (NaN)."""
    return "–" if np.isnan(share) else f"{100 * share:.1f}\u00a0%"


def interval(low: float, high: float) -> str:
    """`93.9 to 96.4 %`."""
    return "no interval" if np.isnan(low + high) else f"{100 * low:.1f} to {percent(high)}"


def paragraph(words: str, kind: str = "") -> Html:
    return Html(f'<p class="{text(kind)}">{text(words)}</p>' if kind else f"<p>{text(words)}</p>")


def subtitle(words: str) -> Html:
    return Html(f"<h3>{text(words)}</h3>")


def code(words: str) -> Html:
    return Html(f"<pre><code>{text(words)}</code></pre>")


def bullets(items: Iterable[str]) -> Html:
    return Html("<ul>" + "".join(f"<li>{text(item)}</li>" for item in items) + "</ul>")


def table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> Html:
    """A table whose first cell of each row is that row's heading; it scrolls sideways where it is too wide."""
    head = "".join(f'<th scope="col">{text(cell)}</th>' for cell in header)
    body = "".join(
        f'<tr><th scope="row">{text(first)}</th>' + "".join(f"<td>{text(cell)}</td>" for cell in rest) + "</tr>"
        for first, *rest in rows
    )
    return Html(f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>')


def key_figures(items: Iterable[KeyFigure]) -> Html:
    cells = (
        f"<div><dt>{text(item.label)}</dt><dd><b>{text(item.value)}</b><span>{text(item.note)}</span></dd></div>"
        for item in items
    )
    return Html(f'<dl class="key">{"".join(cells)}</dl>')


def figure(fig: Any, alt: str, caption: str = "") -> Html:
    """A matplotlib `Figure` as inline SVG, its `INK`, `PAPER`, `BLUE`, ... in the page's colours.

    Args:
        fig: made with `matplotlib.figure.Figure`, not with pyplot, so that nothing stays behind.
        alt: what it shows, in words, with its main figure.
        caption: printed below.
    """
    import matplotlib

    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "path", "svg.hashsalt": "report"}):  # same figure, same bytes
        fig.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    svg = re.sub(r"<metadata>.*?</metadata>\s*", "", buffer.getvalue(), flags=re.S)
    svg = re.sub("|".join(_PAINT), lambda colour: f"var(--{_PAINT[colour[0]]})", svg[svg.index("<svg") :])
    own = f"f{zlib.crc32((alt + svg).encode()):08x}-"  # two figures of one page must not share ids
    svg = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{own}", svg)
    svg = re.sub(r' width="[^"]*"| height="[^"]*"', "", svg.partition(">")[0]) + svg[svg.index(">") :]
    svg = svg.replace("<svg", f'<svg role="img" aria-label="{html.escape(alt)}"', 1)
    width = 96 * fig.get_figwidth()
    words = f"<figcaption>{text(caption)}</figcaption>" if caption else ""
    return Html(f'<figure style="max-width:{width:.0f}px">{svg}{words}</figure>')


def side_by_side(figures: Iterable[Html]) -> Html:
    """As many to a line as the screen has room for."""
    return Html(f'<div class="row">{"".join(figures)}</div>')


def image(pixels: np.ndarray, alt: str) -> Html:
    """uint8 pixels [H, W, 3] or [H, W] as an inline PNG."""
    from PIL import Image

    pixels = np.asarray(pixels)
    if pixels.dtype != np.uint8:
        raise ValueError(f"A picture of the report is uint8 [H, W, 3] or [H, W]. Received: {pixels.dtype}.")
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG", optimize=True)
    data = base64.b64encode(buffer.getvalue()).decode()
    return Html(f'<img src="data:image/png;base64,{data}" alt="{html.escape(alt)}">')


def overlay(pixels: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """The picture in gray, under its map: the stronger the map, the more of its colour, dark red to bright yellow.

    Args:
        pixels: uint8 [H, W, 3].
        heat: float [H, W] in 0..1.
    """
    from matplotlib import colormaps

    gray = pixels.astype("float32") @ np.float32([0.299, 0.587, 0.114])
    colour = 255 * colormaps["inferno"](0.3 + 0.65 * heat)[..., :3]
    share = 0.8 * heat[..., None]
    return np.rint((1 - share) * gray[..., None] + share * colour).astype("uint8")


def gallery(cards: Iterable[Card]) -> Html:
    items = []
    for card in cards:
        pictures = "".join(image(pixels, alt) for pixels, alt in zip(card.images, card.alts, strict=True))
        items.append(f"<figure><div>{pictures}</div><figcaption>{text(card.caption)}</figcaption></figure>")
    return Html(f'<div class="gallery">{"".join(items)}</div>')


def page(title: str, lead: str, sections: dict[str, Iterable[Html]]) -> str:
    """The whole file: title, a sentence or two, contents, and each section under its heading."""
    names = {heading: re.sub(r"[^a-z0-9]+", "-", heading.lower()).strip("-") for heading in sections}
    links = "".join(f'<a href="#{name}">{text(heading)}</a>' for heading, name in names.items())
    body = "".join(
        f'<section id="{names[heading]}"><h2>{text(heading)}</h2>{"".join(map(text, parts))}</section>'
        for heading, parts in sections.items()
    )
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}"><title>{text(title)}</title>'
        f"<style>{STYLE}</style></head><body><header><h1>{text(title)}</h1><p>{text(lead)}</p><nav>{links}</nav>"
        f"</header><main>{body}</main></body></html>\n"
    )


def save(path: pathlib.Path | str, content: str) -> pathlib.Path:
    """Writes beside `path`, then renames: a reader sees the whole file or the one before it."""
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        aside.write_text(content, encoding="utf-8")
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)
    return path


_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"  # a browser fetches nothing for this page

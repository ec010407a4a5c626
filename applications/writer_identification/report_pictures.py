"""Scans small enough for a page of many: scaled down, as WebP."""

import base64
import html
import io

import numpy as np

from applications.report import Html


def scan(pixels: np.ndarray, tall: int, wide: int, quality: int = 55) -> str:
    """A grey scan, uint8 [H, W], as the address of an inline picture of at most `tall` x `wide` pixels."""
    from PIL import Image

    picture = Image.fromarray(pixels)
    share = min(1, tall / picture.height, wide / picture.width)
    if share < 1:
        size = (max(1, round(share * picture.width)), max(1, round(share * picture.height)))
        picture = picture.resize(size, Image.Resampling.BOX if share < 0.5 else Image.Resampling.LANCZOS)
    return webp(picture, quality)


def webp(picture, quality: int) -> str:
    """A `PIL.Image` as the address of an inline picture."""
    buffer = io.BytesIO()
    picture.save(buffer, "webp", quality=quality, method=6, alpha_quality=60)
    return f"data:image/webp;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def drawing(box: tuple[float, float, float, float], layers: str, alt: str, ground: float) -> Html:
    """Layers over each other, the first lowest.

    Args:
        box: x, y, width and height of what is shown.
        layers: SVG.
        alt: what they show, for readers who cannot see it.
        ground: grey around the layers, 0 ... 255.
    """
    view = " ".join(f"{side:.5g}" for side in box)
    said = html.escape(alt)
    return Html(f'<svg viewBox="{view}" role="img" aria-label="{said}" style="{grey(ground)}">{layers}</svg>')


def grey(level: float) -> str:
    """A style for what lies around a scan; its paper's is the median."""
    return f"background:#{3 * f'{round(level):02x}'}"


def layer(address: str, width: float, height: float, more: str = "") -> str:
    """A picture that covers 0 ... `width`, 0 ... `height` of a drawing."""
    return f'<image width="{width}" height="{height}" preserveAspectRatio="none"{more} href="{address}"/>'

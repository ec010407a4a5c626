"""The page of `hub predict gait_recognition --out`: who was seen in a source, with their silhouettes."""

import pathlib
from typing import Any

from applications.report import Card, Html, bullets, gallery, image, page, save

STYLE = ".strips .gallery{grid-template-columns:repeat(auto-fill,minmax(min(100%,33rem),1fr))}"


def write(path: pathlib.Path, source: str, walks: list[Any], said: list[str], people: Any) -> None:
    """One strip of silhouettes per walk under what is said of it.

    Args:
        path: of the HTML file.
        source: name of the video or folder.
        walks: `Embedded`, one or more.
        said: a sentence for each.
        people: uint8 [H, W, 3], the frame with the most tracks, or None where there is no video.
    """
    from hub.data.silhouettes import strip

    cards = [
        Card((strip(walk.clip),), (f"silhouettes of {walk.source}",), words)
        for walk, words in zip(walks, said, strict=True)
    ]
    sections = {"Walks": [Html(f'<div class="strips"><style>{STYLE}</style>{gallery(cards)}</div>')]}
    if people is not None:
        shown = image(people, "a frame of the video with the number of each person followed")
        sections = {"The video": [shown], **sections, "Left out": [bullets(walks[0].video.refused or ["Nobody."])]}
    lead = f"{len(walks)} walk{'s' * (len(walks) != 1)} in {source}, pretreated as the network sees them."
    save(path, page("Walks seen", lead, sections))

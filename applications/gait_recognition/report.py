"""The report of a run: what an engineer wants to know of a network that tells people by their walk, on one page.

`write` takes what training and evaluation found and draws it; it measures nothing that they did not, except shares.
"""

import pathlib
from functools import partial
from typing import Any

from applications import charts
from applications import report_verification as thresholds
from applications.gait_recognition import report_map as maps
from applications.gait_recognition import report_ranks as ranks
from applications.gait_recognition.report_ranks import condition
from applications.gait_recognition.result import Result
from applications.report import (
    Html,
    KeyFigure,
    bullets,
    key_figures,
    page,
    paragraph,
    percent,
    save,
    side_by_side,
)
from applications.report_parts import STYLE, of_each, this_run, tile

WORDING = thresholds.Wording("walk", "person", "people", "somebody enrolled walks by", "somebody unknown walks by")
STRIPS = """
.strips .gallery{grid-template-columns:repeat(auto-fill,minmax(min(100%,24rem),1fr))}
@media print{.strips .gallery{grid-template-columns:1fr 1fr}}
"""


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
        history: one list per logged value, one number per epoch; may be empty.
        results: one per set of people, the most important first.
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
        "Headline": [*of_each(found, _headline), *([bullets(notes)] if notes else [])],
        "Across views": [
            paragraph(
                "Each walk looked for is compared with the enrolled walks of one other camera angle at a time; rank-1 "
                "is how often the nearest is of the same person. Walks from the identical angle are left out, so that "
                "a network cannot win by recognising the angle. Energy image: the mean silhouette of a walk, compared "
                "in the same way; what a network must beat."
            ),
            *of_each(found, ranks.views),
        ],
        "Frames and views": of_each(found, ranks.frames),
        "What the thresholds do": of_each(found, partial(thresholds.in_words, wording=WORDING)),
        "One person or two": [
            paragraph(
                "Two walks from different angles: are they of one person? Every threshold on their distance trades "
                "strangers let in against the right ones turned away."
            ),
            *of_each(found, partial(thresholds.pairs, wording=WORDING)),
        ],
        "Somebody unknown": [
            paragraph(
                "Half of the people are enrolled, and all walk by. The nearest enrolled walk names the person, unless "
                "it is farther than the threshold; for somebody unknown the right answer is nobody."
            ),
            *of_each(found, partial(thresholds.search, wording=WORDING)),
        ],
        "Map of walks": [
            paragraph(
                "Embeddings of walks from all angles, flattened so that near ones stay near. Good: one cloud per "
                "person, whatever the shape of its points. The size of a cloud and how far clouds are apart mean "
                "little here."
            ),
            *of_each(found, maps.walks),
        ],
        "Silhouettes": [
            paragraph("What the network is given: frames of a walk, cut out, of one height. Their order is not used."),
            *of_each(found, maps.strips),
        ],
        "Training": [side_by_side(charts.training_curves(history))] if history else [paragraph("No training logged.")],
        "This run": this_run(command, config, device, versions),
    }
    content = page("Gait recognition", _lead(found[0]), sections).replace("</style>", f"{STYLE}{STRIPS}</style>", 1)
    return save(path, charts.slim(content))


def _lead(result: Result) -> str:
    """The first result in words."""

    def means(of: Any) -> str:
        return ", ".join(f"{name} {percent(of.means[name])}" for name in of.conditions)

    return (
        f"{result.name}: {result.people:,} people that training never saw, {result.walks:,} walks. From another camera "
        f"angle the right person is found first: {means(result.network)}. Gait energy images: {means(result.energy)}. "
        f"A guess: {percent(result.chance)}."
    )


def _headline(result: Result) -> list[Html]:
    tiles = []
    for name in result.network.conditions:
        rival = f"energy image {percent(result.energy.means[name])}"
        tiles.append(tile(f"Rank-1, {condition(name)}", result.metrics.get(f"rank1_{name.lower()}"), rival, "people"))
    tiles.append(
        tile("Equal error rate", result.metrics.get("equal_error_rate"), "pairs from different views", "people")
    )
    first = result.network.conditions[0]
    for frames, mean, _ in result.over_frames:
        if frames == ranks.PAPERS_FRAMES:
            tiles.append(KeyFigure(f"Rank-1, {first}, {frames} frames", percent(mean), "of every walk, at random"))
    tiles.append(KeyFigure("Rank-1 of a guess", percent(result.chance)))
    said = f"{result.people:,} people, {result.walks:,} walks. Intervals: as if other people had walked by."
    lacking = [bullets(result.missing)] if result.missing else []
    return [key_figures(tile for tile in tiles if tile), paragraph(said, "muted"), *lacking]

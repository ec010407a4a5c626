"""The report of a run: what an engineer wants to know of a network that tells writers by their hand, on one page.

`write` takes what training and evaluation found and draws it; it measures nothing that they did not.
"""

import pathlib
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import numpy as np

from applications import charts
from applications import report_verification as thresholds
from applications.report import (
    Html,
    bullets,
    interval,
    key_figures,
    page,
    paragraph,
    percent,
    save,
    side_by_side,
    table,
    text,
)
from applications.report_parts import STYLE, block, embedding_map, of_each, this_run, tile
from applications.writer_identification import report_ranks as ranks
from applications.writer_identification import report_words as words
from applications.writer_identification.result import Result

WORDING = thresholds.Wording("page", "writer", "writers", "a page by somebody enrolled", "a page by somebody unknown")
HEADLINE = {  # metric -> as the report prints it, in short, what goes with it
    "word_top1": ("Word, top-1", "word top-1", "one word"),
    "word_top5": ("Word, top-5", "word top-5", "one word, five names"),
    "page_top1": ("Page, top-1", "page top-1", "all words of a page"),
    "page_map": ("Page, mean average precision", "page mAP", "each page looks for the others of its writer"),
    "equal_error_rate": ("Equal error rate", "equal error", "one hand or two, by pages; a guess 50\u00a0%"),
    "open_auroc": ("Open-set AUROC", "open-set AUROC", "enrolled or unknown, by pages; a guess 50\u00a0%"),
}
COLUMNS = """
.beside{margin-bottom:1rem}
.beside td,.beside th{overflow-wrap:normal}
.row .figures td,.row .figures th{padding-right:.8rem}
.beside td,.beside thead th:not(:first-child){text-align:right}
.beside small{white-space:nowrap}
@media (max-width:30rem){.beside table{font-size:.82rem}.beside td,.beside th{padding-right:.4rem}}
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
        results: one per set of writers, the most important first.
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
        "Headline": [
            *([bullets(notes)] if notes else []),
            *([_beside(found)] if len(found) > 1 else []),
            *of_each(found, _headline),
        ],
        "Who is found first": [
            paragraph(
                "Enrolled writers are ranked by how well a word, or all words of a page, fit them. The curve: how "
                "often the right one is among the k first."
            ),
            *_in_a_row(found, ranks.found_first),
        ],
        "How many words it takes": [
            paragraph("Top-1 when so many words of a page, drawn at random, are scored together."),
            *_in_a_row(found, ranks.by_words),
        ],
        "Against simpler ways": [
            paragraph(
                "The same words, pages and writers scored in other ways; small: points above or below this network."
            ),
            *of_each(found, ranks.rivals),
        ],
        "What the thresholds do": of_each(found, partial(thresholds.in_words, wording=WORDING)),
        "One hand or two": [
            paragraph(
                "Two pages: did one person write them? Every threshold on their distance trades strangers let in "
                "against the right ones turned away."
            ),
            *of_each(found, partial(thresholds.pairs, wording=WORDING)),
        ],
        "Somebody unknown": [
            paragraph(
                "Half of the writers are enrolled, and pages of all are looked for. The nearest enrolled page names "
                "the writer, unless it is farther than the threshold; for somebody unknown the right answer is nobody."
            ),
            *of_each(found, partial(thresholds.search, wording=WORDING)),
        ],
        "Which patches spoke": [
            paragraph(
                "Each square is what one patch shows of the word; its evidence is its score for the writer whom the "
                "word was taken for, less the mean score of the others. The ground is tinted with what the patches "
                f"there say on average; bold: the {words.LOUD} strongest either way."
            ),
            words.legend(),
            *of_each(found, words.spoken),
        ],
        "Retrieval": [
            paragraph("A word looked for, and an enrolled word of each of the writers found nearest, nearest first."),
            *of_each(found, words.examples),
        ],
        "Saliency": [
            paragraph(
                "Patches are described by sparse directions, found apart for small, middle and large key points. A "
                "direction weighs as much as it separates writers more than it scatters within one."
            ),
            *_in_a_row(found, words.saliency),
        ],
        "Map of words": [
            paragraph(
                "Words, flattened so that near ones stay near (t-SNE). Good: one cloud per writer. The size of a "
                "cloud and how far clouds are apart mean little here."
            ),
            *of_each(found, _map),
        ],
        "Training": [side_by_side(charts.training_curves(history))] if history else [paragraph("No training logged.")],
        "This run": this_run(command, config, device, versions),
    }
    content = page("Writer identification", _lead(found[0]), sections)
    return save(path, charts.slim(content.replace("</style>", f"{STYLE}{COLUMNS}{words.STYLE}</style>", 1)))


def _lead(result: Result) -> str:
    """The first result in words."""
    first, whole = (result.metrics.get(key, {}).get("value", np.nan) for key in ("word_top1", "page_top1"))
    return (
        f"{result.name[:1].upper()}{result.name[1:]}: {result.writers:,} writers that training never saw, "
        f"{result.words:,} words on {result.pages:,} pages. From a single word the right writer is found first in "
        f"{percent(first)}, from a page in {percent(whole)}. A guess: {percent(result.chance)}."
    )


def _in_a_row(found: list[Result], draw: Callable[[Result], Iterable[Html]]) -> list[Html]:
    """What is drawn of each result, beside one another under their names where there are several."""
    if len(found) == 1:
        return list(draw(found[0]))
    return [side_by_side(block(one.name, Html("".join(draw(one)))) for one in found)]


def _beside(found: list[Result]) -> Html:
    """The figures of all results, one column each."""
    rows = [(short, *(_cell(one.metrics.get(key)) for one in found)) for key, (_, short, _) in HEADLINE.items()]
    rows.append(("top-1 of a guess", *(percent(one.chance) for one in found)))
    rows.append(("writers", *(f"{one.writers:,}" for one in found)))
    return Html(f'<div class="beside">{table(("", *(one.name for one in found)), rows)}</div>')


def _cell(figure: dict[str, float] | None) -> Html:
    if not figure or not np.isfinite(figure["value"]):
        return Html("–")
    ends = interval(figure["low"], figure["high"])
    return Html(f'{text(percent(figure["value"]))}<br><small class="muted">{text(ends)}</small>')


def _headline(result: Result) -> list[Html]:
    guess = {"word_top1": result.chance, "word_top5": min(1, 5 * result.chance), "page_top1": result.chance}
    tiles = []
    for key, (label, _, note) in HEADLINE.items():
        note = f"{note}; a guess {percent(guess[key])}" if key in guess else note
        tiles.append(tile(label, result.metrics.get(key), note, "writers"))
    said = (
        f"{result.writers:,} writers with {result.enrolled_pages:,} enrolled pages; {result.words:,} words and "
        f"{result.pages:,} pages looked for. Intervals: as if other writers had written."
    )
    return [
        key_figures(one for one in tiles if one),
        paragraph(said, "muted"),
        *([bullets(result.notes)] if result.notes else []),
    ]


def _map(result: Result) -> list[Html]:
    if not len(result.place):
        return [paragraph("None drawn.", "muted")]
    everything = {"": np.ones(len(result.place), bool)}
    return [embedding_map(result.place, result.place_writer, everything, ("words", "writers"))]

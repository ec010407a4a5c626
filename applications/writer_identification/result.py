"""What an evaluation of writer identification found on one set of writers."""

from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True, eq=False)
class Rival:
    """Another way of scoring the same words, for comparison."""

    name: str  # "raw SIFT, centroids"
    word_top1: float
    word_top5: float
    page_top1: float


@dataclass(frozen=True, eq=False)
class Example:
    """A word looked for, and whom it was taken for."""

    caption: str  # writer, page and text of the word
    image: np.ndarray  # uint8 [H, W], dark on light
    nearest: list[tuple[str, bool, np.ndarray]]  # caption, whether right, an enrolled word of that writer


@dataclass(frozen=True, eq=False)
class Spoken:
    """A word and how much each of its patches spoke for the writer whom it was taken for."""

    caption: str
    image: np.ndarray  # uint8 [H, W]
    points: np.ndarray  # [n, 2], x and y
    half: np.ndarray  # [n], half the side of what a patch shows, pixels of the word
    evidence: np.ndarray  # [n], score for that writer less the mean score of the others; above 0 speaks for


@dataclass(frozen=True, eq=False)
class Result:
    """Figures of words and pages of S writers whom training never saw, and what the report draws of them."""

    name: str  # as the report prints it, with the word synthetic where the writing is
    writers: int  # enrolled in one search
    words: int  # looked for
    pages: int  # looked for
    enrolled_pages: int
    notes: list[str]  # sentences on what the data set lacks
    chance: float  # top-1 of a guess
    metrics: dict[str, dict[str, float]]  # word_top1, word_top5, word_top10, page_top1, page_top5, page_map,
    # equal_error_rate, open_auroc -> value, low, high; shares in 0..1
    cmc: dict[str, np.ndarray]  # "words", "pages" -> share of right writers among the k first, k from 1
    over_words: list[tuple[str, float, float, float]]  # "1", "2", "5", "10", "page": value, low, high of top-1
    rivals: list[Rival]  # untrained network, raw SIFT, unweighted, without sparse PCA, one scale
    pairs: Any  # hub.evaluation.verification.Verification of pages (own page against another)
    unknown: Any | None  # Verification of an open-set search by pages, half of the writers enrolled
    threshold: float  # distance up to which two pages are of one writer, chosen on validation writers
    search_threshold: float  # distance up to which the nearest enrolled page names somebody, likewise
    chosen: dict[str, float]  # what they do: far and tar of pairs, alarm and found of the open set
    saliency: np.ndarray  # [3, C], of each group of patches by scale, sorted as the directions are
    place: np.ndarray  # [M, 2], a map of M words
    place_writer: np.ndarray  # [M], names
    examples: list[Example]
    spoken: list[Spoken]

"""What an evaluation of a gait network found on one set of people."""

from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True, eq=False)
class Result:
    """Figures of N walks of S people, and what the report draws of them."""

    name: str  # as the report prints it, with the word synthetic where the walks are
    people: int
    walks: int
    missing: list[str]  # sentences on what the data set lacks
    network: Any  # hub.evaluation.cross_view.CrossView
    energy: Any  # the same of the baseline, gait energy images
    metrics: dict[str, dict[str, float]]  # name -> value, low, high; shares in 0..1
    chance: float  # rank-1 of a guess
    over_frames: list[tuple[int, float, tuple[float, ...]]]  # frames, mean rank-1 (first condition), each draw
    two_views: tuple[float, float] | None  # rank-1 of sets of one view, of two views with as many frames
    pairs: Any  # hub.evaluation.verification.Verification of pairs from different views
    unknown: Any | None  # Verification of an open-set search, half of the people enrolled
    threshold: float  # distance up to which two walks are of one person, chosen on validation
    search_threshold: float  # distance up to which a gallery's nearest walk names somebody, chosen on validation
    chosen: dict[str, float]  # what they do: far and tar of pairs, alarm and found of the open set
    place: np.ndarray  # [M, 2], a map of M embeddings
    place_subject: np.ndarray  # [M]
    place_condition: np.ndarray  # [M]
    examples: list[tuple[str, np.ndarray]]  # caption, strip uint8 [64, W]

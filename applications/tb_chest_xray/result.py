"""What an evaluation found on one set of films."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass(frozen=True, eq=False)
class Result:
    """Answers to N films of side S, and the maps of K of them.

    Raises:
        ValueError: the parts do not belong to the same films.
    """

    name: str  # as the report prints it, with the word synthetic where the films are
    films: Any  # `hub.data.chest_films.Films`: images uint8 [N, S, S, 1], masks, label, patient, source, sex, age, ...
    logit: np.ndarray  # [N], as trained
    probability: np.ndarray  # [N], calibrated
    lungs: np.ndarray  # uint8 [N, S, S], lung probability in 0..255
    dice: np.ndarray  # [N] against the film's mask, NaN where there is none
    iou: np.ndarray  # [N] likewise
    threshold: float  # of the probability; films at or above it are referred
    band: tuple[float, float]  # where the threshold might as well lie: a person should look
    metrics: dict[str, dict[str, float]]  # name -> value, low, high
    table: list[Any] = field(default_factory=list)  # `ThresholdRow`s of `hub.evaluation.operating_point`, strict to lax
    subgroups: list[Any] = field(default_factory=list)  # `SubgroupRow`s of `hub.evaluation.subgroups`
    probes: dict[str, Any] = field(default_factory=dict)  # "archive", "diagnosis" -> `SourceProbe` on thumbnails
    shown: np.ndarray = field(default_factory=lambda: np.zeros(0, int))  # int [K]: films of the gallery
    heat: dict[str, np.ndarray] = field(default_factory=dict)  # method -> [K, S, S] in 0..1, of `shown`
    lift: dict[str, dict[str, float]] = field(default_factory=dict)  # method -> lift inside the lungs: value, low, high

    def __post_init__(self) -> None:
        parts = (self.films, self.logit, self.probability, self.lungs, self.dice, self.iou)
        if len({len(part) for part in parts}) != 1 or not len(self.logit):
            raise ValueError(f"{self.name}: every part needs one entry per film. Received: {[len(p) for p in parts]}.")

    @property
    def truth(self) -> np.ndarray:
        """int [N]: 1 tuberculosis, 0 not, -1 unknown."""
        return np.asarray(self.films.label)

    @property
    def referred(self) -> np.ndarray:
        """bool [N]: at or above the operating point."""
        return self.probability >= self.threshold

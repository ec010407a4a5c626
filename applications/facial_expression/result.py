"""What an evaluation of facial expressions found on one set of faces."""

from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True, eq=False)
class Method:
    """One way of telling the expression, on the same faces as the others."""

    name: str  # "classical landmarks + MLP", "learned landmarks + MLP", "mini_xception", "16x16 pixels, linear"
    metrics: dict[str, dict[str, float]]  # accuracy, mean_class_accuracy, macro_f1 -> value, low, high; in 0..1
    confusion: np.ndarray  # int [7, 7], rows the truth, columns the answer, in the order of EXPRESSIONS
    precision: np.ndarray  # [7], NaN where the answer was never given
    recall: np.ndarray  # [7], NaN where there is no such face
    f1: np.ndarray  # [7]


@dataclass(frozen=True, eq=False)
class Landmarks:
    """How far landmarks lie from the true ones."""

    name: str  # "classical, 18 points", "learned, 68 points"
    error: Any  # hub.evaluation.landmark_error.LandmarkError, in shares of the distance between the outer eye corners


@dataclass(frozen=True, eq=False)
class Annotators:
    """What several annotators said, and what the network learned of them."""

    names: list[str]
    agreement: Any  # hub.evaluation.annotators.Agreement
    rows: list[Any]  # hub.evaluation.annotators.AnnotatorRow, one of each
    transitions: np.ndarray  # [A, 7, 7], row k what the annotator says of class k


@dataclass(frozen=True, eq=False)
class Shown:
    """A face with what was seen in it."""

    caption: str
    image: np.ndarray  # uint8 [H, W] or [H, W, 3], the picture or a part of it
    box: tuple[int, int, int, int]  # x, y, width, height in `image`
    landmarks: np.ndarray | None  # float32 [K, 2], x and y in `image`
    truth: int  # -1 unknown
    probabilities: np.ndarray  # [7]


@dataclass(frozen=True, eq=False)
class Result:
    """Figures of N faces of S people whom training never saw, and what the report draws of them."""

    name: str  # as the report prints it, with the word synthetic where the faces are drawn
    faces: int
    people: int  # 0 where the data set does not say who is who
    undetected: int  # pictures in which no face was found: not among the faces
    notes: list[str]
    chance: float  # accuracy of a guess, the share of the most frequent class
    methods: list[Method]  # the most important first
    landmarks: list[Landmarks]  # empty where the data set has none
    calibration: dict[str, float]  # ece_before, ece_after, temperature of the network
    annotators: Annotators | None
    shown: list[Shown]  # right and wrong ones

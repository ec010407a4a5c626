"""Source probe: can the archive an image came from be told from the image?

Paper: Zech et al., "Variable generalization performance of a deep learning model to detect pneumonia in chest
    radiographs: A cross-sectional study", PLoS Medicine 15(11), 2018
Slug: source_probe
Idea: if a simple classifier finds an image's source, a model trained where sources differ in disease can use it too.
Differs: the paper trains a deep network to tell hospital systems apart; here it is a logistic regression on 16 x 16
  thumbnails or given features, cross-validated by patient, with an interval and the chance level. That a network may
  take such a shortcut in place of the disease is DeGrave et al., "AI for radiographic COVID-19 detection selects
  shortcuts over signal", Nature Machine Intelligence 3, 2021; a probe shows that it could, not that it does.
Checked: chance on noise, a planted brightness difference, copies of a patient that must not leak, thumbnails against
  a loop (tests/test_source_probe.py).
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from hub.evaluation.bootstrap import Interval, bootstrap_interval, group_numbers
from hub.evaluation.roc import areas, levels
from hub.registry import register


class SourceProbe(NamedTuple):
    """How well sources were told apart on patients that were left out of the fit."""

    auc: Interval  # of each source against the rest, averaged over sources; 0.5 is chance
    accuracy: Interval
    chance: float  # accuracy of always naming the largest source
    sources: tuple[str, ...]


@register("source_probe")
def source_probe(
    features: Any, sources: Any, groups: Any = None, *, folds: int = 5, resamples: int = 1000, seed: int = 0
) -> SourceProbe:
    """Cross-validated logistic regression from features to source.

    Sources that differ in how many are ill are told apart by the illness too: probe the images of one class. The same
    call with the diagnosis in place of `sources` says what a 16 x 16 thumbnail alone knows of it.

    Args:
        features: [N, D], or images [N, H, W] or [N, H, W, C] of which thumbnails are made.
        sources: [N] archive, hospital or device of each.
        groups: [N] patient of each, never split over folds; names must not recur in another archive.
        folds: at most; fewer where a source has fewer patients.
        resamples: redraws of the bootstrap intervals, which leave the refitting out.
        seed: of folds and redraws.

    Raises:
        ValueError: one source only, a source with fewer than 2 patients, other shapes, values that are not finite.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    features = np.asarray(features, "float64")
    features = thumbnails(features) if features.ndim > 2 else features
    if features.ndim != 2 or not np.isfinite(features).all():
        raise ValueError(f"Features are finite numbers [N, D]. Received: shape {features.shape}, or NaN or infinity.")
    n = len(features)
    names, source = np.unique(np.asarray(sources, str), return_inverse=True)
    groups = group_numbers(np.arange(n) if groups is None else groups, n)
    if source.shape != (n,):
        raise ValueError(f"{n} features need as many sources. Received: shape {source.shape}.")
    patients = {str(name): np.unique(groups[source == k]).size for k, name in enumerate(names)}
    if len(names) < 2 or min(patients.values()) < 2:
        raise ValueError(f"A probe needs 2 sources of 2 patients each. Received patients per source: {patients}.")
    split = StratifiedGroupKFold(min(folds, *patients.values()), shuffle=True, random_state=seed)
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
    scores = cross_val_predict(model, features, source, groups=groups, cv=split, method="predict_proba")

    places = np.stack([levels(score) for score in scores.T], axis=1)

    def mean_area(places: np.ndarray, source: np.ndarray) -> np.ndarray:
        return np.mean([areas(places[..., k], source == k) for k in range(len(names))], axis=0)

    drawn = {"groups": groups, "resamples": resamples, "seed": seed}
    return SourceProbe(
        bootstrap_interval((places, source), mean_area, **drawn),
        bootstrap_interval(scores.argmax(1) == source, **drawn),
        float(np.bincount(source).max() / n),
        tuple(patients),
    )


def thumbnails(images: Any, size: int = 16) -> np.ndarray:
    """Grey area averages [N, size * size] of images [N, H, W] or [N, H, W, C], H and W at least `size`."""
    images = np.asarray(images)
    if images.ndim not in (3, 4) or not images.size or min(images.shape[1:3]) < size:
        raise ValueError(f"Images are [N, H, W] or [N, H, W, C] of {size} pixels or more. Received: {images.shape}.")
    grey = images.astype("float64") if images.ndim == 3 else images.mean(-1, dtype="float64")
    for axis in (1, 2):
        starts = np.arange(size) * grey.shape[axis] // size
        widths = np.diff(np.append(starts, grey.shape[axis]))
        grey = np.add.reduceat(grey, starts, axis=axis) / widths.reshape((-1, 1) if axis == 1 else (-1,))
    return grey.reshape(len(grey), size * size)


def contract_example(make: Callable[..., SourceProbe]) -> None:
    """Sources of different brightness are told apart; sources of the same noise are not."""
    noise, source = np.random.default_rng(0).normal(size=(200, 8)), np.arange(200) % 2
    assert make(noise + 5 * source[:, None], source, resamples=100).auc.low > 0.99
    assert make(noise, source, resamples=100).auc.low < 0.5

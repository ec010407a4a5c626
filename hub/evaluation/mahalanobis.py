"""Mahalanobis distance of features: how unlike the training images an image is.

Paper: Lee et al., "A Simple Unified Framework for Detecting Out-of-Distribution Samples and Adversarial Attacks",
    NeurIPS 2018, arXiv:1807.03888
Slug: mahalanobis_ood
Idea: features of each class are one Gaussian with a shared covariance; what is far from every class mean is foreign.
Differs: one layer's features, without the paper's input perturbation and its regression over layers; the covariance
  is shrunk (Ledoit-Wolf), so that fewer images than features will do; thresholds come from distances that were
  measured on images left out of the fit, since the fitted ones look too near.
Checked: distances against a loop with the inverse covariance, the share flagged on fresh images with fewer images
  than features and with patients of several images, files without pickle (tests/test_mahalanobis.py).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from hub.evaluation.bootstrap import group_numbers
from hub.registry import register


@register("mahalanobis_ood")
@dataclass(frozen=True, eq=False)
class FeatureDistance:
    """Distances to the nearest class of a fitted set; `FeatureDistance(**arrays)` restores what `to_arrays` gave.

    Args:
        means: [C, D], mean feature of each class.
        whitening: [D, D] matrix W; the distance is the length of (feature - mean) W.
        held_out: [N], rising, distances of the fitted set's own images, each measured without its fold.
    """

    means: np.ndarray
    whitening: np.ndarray
    held_out: np.ndarray

    def __post_init__(self) -> None:
        for name, axes in (("means", 2), ("whitening", 2), ("held_out", 1)):
            array = np.asarray(getattr(self, name), "float64")
            if array.ndim != axes or not array.size or not np.isfinite(array).all():
                raise ValueError(f"`{name}` needs {axes} axes of finite numbers. Received: shape {array.shape}.")
            object.__setattr__(self, name, array)
        if self.whitening.shape != (self.means.shape[1],) * 2:
            raise ValueError(
                f"Means [C, D] go with a whitening [D, D]. Received: {self.means.shape} and {self.whitening.shape}."
            )

    @classmethod
    def fit(cls, features: Any, labels: Any = None, *, groups: Any = None, folds: int = 5, seed: int = 0) -> Self:
        """Fit to features of images as they should be.

        Args:
            features: [N, D], such as the pooled last feature map.
            labels: [N] class of each; default all one class.
            groups: [N] patient of each, held out whole; default every image is a patient.
            folds: into how many parts the images are split for the held-out distances.
            seed: of that split.

        Raises:
            ValueError: fewer than 2 groups or folds, arrays of other shapes, features that are not finite or all equal.
        """
        from sklearn.model_selection import GroupKFold

        features = _features(features)
        n = len(features)
        labels = np.zeros(n) if labels is None else np.asarray(labels)
        groups = group_numbers(np.arange(n) if groups is None else groups, n)
        if labels.shape != (n,):
            raise ValueError(f"{n} features need as many labels. Received: shape {labels.shape}.")
        if groups.max() < 1 or folds < 2:
            raise ValueError(
                f"Two groups and two folds are the least. Received: {groups.max() + 1} groups, folds={folds}."
            )
        shuffled = np.random.default_rng(seed).permutation(groups.max() + 1)[groups]
        held_out = np.empty(n)
        for kept, left in GroupKFold(min(folds, groups.max() + 1)).split(features, groups=shuffled):
            held_out[left] = _nearest(features[left], *_gaussians(features[kept], labels[kept]))
        return cls(*_gaussians(features, labels), np.sort(held_out))

    def distance(self, features: Any) -> np.ndarray:
        """Distances [M] of features [M, D] to the nearest class mean, in standard deviations, 0 and up.

        Raises:
            ValueError: another D, or features that are not finite.
        """
        features = _features(features)
        if features.shape[1] != self.means.shape[1]:
            raise ValueError(f"The fit was to {self.means.shape[1]} features. Received: {features.shape[1]}.")
        return _nearest(features, self.means, self.whitening)

    def threshold(self, quantile: float = 0.99) -> float:
        """The distance that about 1 - `quantile` of fresh images of the fitted kind exceed."""
        if not 0 <= quantile <= 1:
            raise ValueError(f"A quantile lies in 0 ... 1. Received: {quantile}.")
        return float(np.quantile(self.held_out, quantile))

    def to_arrays(self) -> dict[str, np.ndarray]:
        """The three fields, for `numpy.savez`; no pickle is needed to read them back."""
        return {"means": self.means, "whitening": self.whitening, "held_out": self.held_out}


def _features(features: Any) -> np.ndarray:
    features = np.asarray(features, "float64")
    if features.ndim != 2 or not features.size:
        raise ValueError(f"Features are [N, D], N and D at least 1. Received: shape {features.shape}.")
    if not np.isfinite(features).all():
        raise ValueError("Features must be finite numbers. Received: NaN or infinity.")
    return features


def _gaussians(features: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Class means [C, D] and W with W W^T the inverse of the shrunk covariance of what is left (equation 1)."""
    from sklearn.covariance import ledoit_wolf

    present, place = np.unique(labels, return_inverse=True)
    means = np.stack([features[place == c].mean(0) for c in range(present.size)])
    covariance = ledoit_wolf(features - means[place], assume_centered=True)[0]
    variances, axes = np.linalg.eigh(covariance)
    if not variances[-1] > 0:
        raise ValueError("Features that do not vary within a class have no distance. Received: all equal.")
    return means, axes / np.sqrt(np.maximum(variances, 1e-12 * variances[-1]))


def _nearest(features: np.ndarray, means: np.ndarray, whitening: np.ndarray) -> np.ndarray:
    white = features @ whitening
    return np.min([np.linalg.norm(white - centre, axis=1) for centre in means @ whitening], axis=0)


def contract_example(make: Callable[..., FeatureDistance]) -> None:
    """A 3-4-5 triangle; then a planted stranger is farther than every image of the fit."""
    plane = make(means=[[0, 0], [9, 9]], whitening=np.eye(2), held_out=[1.0])
    np.testing.assert_allclose(plane.distance([[3, 4], [9, 8]]), [5, 1])
    fitted = type(plane).fit(np.random.default_rng(0).normal(size=(200, 4)))
    assert fitted.distance([[9.0, 0, 0, 0]])[0] > fitted.threshold(1.0)

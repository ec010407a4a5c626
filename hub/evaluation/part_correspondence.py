"""Part correspondence: does covering the same part change the features of different images alike?

Paper: Zeiler and Fergus, "Visualizing and Understanding Convolutional Networks", ECCV 2014, arXiv:1311.2901
Slug: zfnet_deconvnet
Idea: if a network knows parts (an eye, a nose), hiding one in several images moves their features in one direction; the
  signs of the changes then agree more than after hiding arbitrary places.
Differs: the mean over pairs of the share of unequal signs, in 0..1, where the paper writes their sum; it prints figures
  of that size.
Checked: a loop over pairs, equal and opposite changes (tests/test_zfnet_deconvnet.py).
"""

import numpy as np
from numpy.typing import ArrayLike

from hub.registry import register


@register("part_correspondence")
def part_correspondence(whole: ArrayLike, covered: ArrayLike) -> float:
    """Delta, 0 where all changes have the same signs, about 0.5 where signs are arbitrary, 1 for two opposite changes.

    Args:
        whole: [N, ...] features of N images, N at least 2.
        covered: the same of the images with one part hidden.

    Raises:
        ValueError: the two shapes differ, fewer than two images, or no features.
    """
    whole, covered = (np.asarray(x, "float64") for x in (whole, covered))
    if whole.shape != covered.shape or whole.ndim < 2 or len(whole) < 2 or not whole.size:
        raise ValueError(
            "Correspondence compares features [N, ...] of at least 2 images with as many of covered ones. "
            f"Received: shapes {whole.shape} and {covered.shape}."
        )
    signs = np.sign(whole - covered).reshape(len(whole), -1)
    alike = sum((signs == s).astype("float32") @ (signs == s).T.astype("float32") for s in (-1, 0, 1))
    pairs = ~np.eye(len(signs), dtype=bool)
    return float(1 - alike[pairs].mean() / signs.shape[1])


def contract_example(make):
    features = np.arange(12.0).reshape(3, 4)
    assert make(features, features - [1, -1, 2, 0]) == 0
    assert make(features[:2], features[:2] + np.array([[1], [-1]])) == 1
    assert make(features[:2], features[:2] + np.array([[1, 1, 1, 1], [1, 1, 1, -1]])) == 0.25

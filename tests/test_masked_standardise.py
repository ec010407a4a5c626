"""Standardising inside a mask: against slow loops, and what lies outside does not matter."""

import numpy as np

from hub.layers.masked_standardise import MaskedStandardise


def naive(image, mask, epsilon):
    out = np.zeros_like(image)
    for n in range(len(image)):
        for c in range(image.shape[-1]):
            inside = [image[n, i, j, c] for i, j in np.argwhere(mask[n, ..., 0] > 0)]
            if inside:
                mean = sum(inside) / len(inside)
                spread = (sum((v - mean) ** 2 for v in inside) / len(inside) + epsilon**2) ** 0.5
                out[n, ..., c] = (image[n, ..., c] - mean) / spread * mask[n, ..., 0]
    return out


def test_equals_slow_loops():
    rng = np.random.default_rng(0)
    image = rng.uniform(0, 255, (3, 12, 9, 2)).astype("float32")
    mask = (rng.random((3, 12, 9, 1)) < 0.4).astype("float32")
    mask[2] = 0  # no lungs
    got = np.asarray(MaskedStandardise()([image, mask]))
    np.testing.assert_allclose(got, naive(image, mask, 1.0), rtol=1e-4, atol=1e-4)
    assert not got[2].any()


def test_what_lies_outside_does_not_matter():
    rng = np.random.default_rng(1)
    image = rng.uniform(0, 255, (2, 16, 16, 1)).astype("float32")
    mask = np.zeros((2, 16, 16, 1), "float32")
    mask[:, 4:12, 5:11] = 1
    other = np.where(mask > 0, image, rng.uniform(0, 255, image.shape)).astype("float32")
    layer = MaskedStandardise()
    np.testing.assert_array_equal(np.asarray(layer([image, mask])), np.asarray(layer([other, mask])))


def test_a_soft_mask_weighs_and_a_flat_film_stays_finite():
    image = np.full((1, 6, 6, 1), 200, "float32")
    soft = np.full((1, 6, 6, 1), 0.5, "float32")
    assert np.abs(np.asarray(MaskedStandardise()([image, soft]))).max() < 1e-3

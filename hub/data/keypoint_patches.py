"""Patches of a written word at its SIFT key points, grouped by the size of what was found there.

Paper: Kumar and Sundaram, "Siamese based Neural Network for Offline Writer Identification on Word Level Data", 2022,
  arXiv:2211.14443; key points: Lowe, "Distinctive Image Features from Scale-Invariant Keypoints", IJCV 2004
Slug: siamese_writer_id
Idea: key points sit on strokes, their ends and their crossings, whatever the word; a patch around one shows a letter, a
  piece of one or two of them joined, and words of any size give comparable pieces.
Differs: a reconstruction, as the paper's patch sizes could not be read: a patch has the size of its group and not of
  its point, so that the width of the pen is kept. Patches are upright, as slant is the writer's; a point that SIFT
  finds with several orientations counts once. Only ink is looked at, what is darker than the paper, and
  always as dark: how dark it is belongs to pen and scanner.
Checked: a word moved by whole pixels gives the same patches at points moved as far, one drawn twice as large points
  twice as far apart; patches against slices of the picture, key points against OpenCV's on the bare ink; no ink,
  specks, large pictures (tests/test_keypoint_patches.py).
"""

from collections.abc import Callable
from typing import NamedTuple

import cv2
import numpy as np

from hub.data import word_images
from hub.registry import register

SIDE = 32  # pixels of a patch
HALF = (16, 22, 30)  # half the side of what a patch of each group shows, in pixels of the word
EDGES = (7.0, 11.0)  # sizes of key points, in pixels, between the groups: below, from ... to, above
MOST = 1_500_000  # pixels of a word; SIFT keeps some 250 bytes for each
_PAPER = HALF[-1] + 2  # around the ink, so that no patch reaches over the edge


class KeypointPatches(NamedTuple):
    """n patches of a word, those of the strongest key points first; n may be 0."""

    patches: np.ndarray  # uint8 [n, 32, 32], 0 paper, the more the darker
    bins: np.ndarray  # int64 [n], group 0, 1 or 2
    points: np.ndarray  # float32 [n, 2], x and y in the word's picture
    sizes: np.ndarray  # float32 [n], pixels across what SIFT found
    descriptors: np.ndarray  # float32 [n, 128], SIFT's own


@register("keypoint_patches")
def keypoint_patches(image: np.ndarray, limit: int = 48) -> KeypointPatches:
    """The patches around the strongest key points of a word.

    Args:
        image: uint8 [H, W], dark ink on light paper, of any size; the groups suit words some 72 pixels high.
        limit: patches at most.

    Returns:
        `KeypointPatches`, empty where nothing is written or SIFT finds no point in it.

    Raises:
        ValueError: one sentence: no grey picture of bytes, ink on more than 1.5 megapixels, a `limit` below 1.
    """
    if limit < 1:
        raise ValueError(f"`limit` is at least 1. Received: limit={limit}.")
    ink, origin = _ink(image)
    sift = cv2.SIFT_create(nOctaveLayers=3, contrastThreshold=0.03)
    once = {}
    inside = np.pad(np.full(np.subtract(ink.shape, 2 * _PAPER), 255, np.uint8), _PAPER)
    for point in sift.detect(ink, inside):  # large ones may lie beside the word
        once.setdefault((point.pt, point.size), point)
    strongest = sorted(once.values(), key=lambda point: (-point.response, point.pt, point.size))[:limit]
    if not strongest:
        empty = np.zeros
        return KeypointPatches(
            empty((0, SIDE, SIDE), np.uint8), empty(0, np.int64), empty((0, 2), np.float32), empty(0, np.float32),
            empty((0, 128), np.float32),
        )  # fmt: skip
    strongest, descriptors = sift.compute(ink, strongest)
    points = np.array([point.pt for point in strongest], np.float32)
    sizes = np.array([point.size for point in strongest], np.float32)
    bins = (sizes >= EDGES[0]).astype(np.int64) + (sizes > EDGES[1])
    patches = [_patch(ink, *np.rint(point).astype(int), HALF[group]) for point, group in zip(points, bins, strict=True)]
    return KeypointPatches(np.stack(patches), bins, points + origin, sizes, descriptors)


def _ink(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The trimmed ink, uint8 [h, w], with paper around it, and where in `image` its corner (x, y) lies."""
    mask = word_images.ink_mask(image)
    if not mask.any():
        return np.zeros((2 * _PAPER, 2 * _PAPER), np.uint8), np.zeros(2, np.float32)
    rows, columns = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
    top, left = (max(found[0] - 2, 0) for found in (rows, columns))  # the ink's soft edge
    kept = image[top : rows[-1] + 3, left : columns[-1] + 3]
    if kept.size > MOST:
        raise ValueError(
            f"A word has at most {MOST / 1e6:g} megapixels; a page is cut into words first. Received: ink on "
            f"{kept.shape[1]} x {kept.shape[0]} pixels."
        )
    paper, darkest = word_images.levels(image)
    ink = np.rint(np.clip((paper - kept) * (255 / (paper - darkest)), 0, 255)).astype(np.uint8)
    return np.pad(ink, _PAPER), np.array([left - _PAPER, top - _PAPER], np.float32)


def _patch(ink: np.ndarray, x: int, y: int, half: int) -> np.ndarray:
    seen = ink[y - half : y + half, x - half : x + half]
    return cv2.resize(seen, (SIDE, SIDE), interpolation=cv2.INTER_AREA)


def contract_example(make: Callable[..., KeypointPatches]) -> None:
    """A disc is found in its middle and as large as its patch shows it; white paper holds nothing."""
    picture = np.full((60, 80), 255, np.uint8)
    assert len(make(picture).patches) == 0
    found = make(cv2.circle(picture, (50, 24), 5, 0, -1))
    near = np.abs(found.points - (50, 24)).max(axis=1) < 1
    assert near.any() and found.patches[near][0].max() == 255 and not found.patches[near][0][[0, -1]].any()

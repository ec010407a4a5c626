"""Patches at SIFT key points: where they are, what they show, and words that have none."""

import cv2
import numpy as np
import pytest

from hub.data.keypoint_patches import HALF, keypoint_patches


def word(pad=40):
    """Drawn letters on a light sheet, uint8."""
    picture = np.full((110 + 2 * pad, 240 + 2 * pad), 238, np.uint8)
    strokes = [
        [(0, 90), (30, 10), (60, 90)],
        [(12, 60), (50, 62)],
        [(90, 20), (90, 95), (130, 90)],
        [(120, 15), (220, 60)],
    ]
    for stroke in strokes:
        cv2.polylines(picture, [np.array(stroke, np.int32) + pad], False, 30, 5, cv2.LINE_AA)
    return cv2.circle(picture, (180 + pad, 85 + pad), 14, 60, 4, cv2.LINE_AA)


def test_a_patch_is_the_ink_around_its_point():
    picture = word()
    found = keypoint_patches(picture, limit=64)
    assert 24 <= len(found.patches) <= 64 and set(found.bins) == {0, 1, 2}
    assert found.patches.dtype == np.uint8 and found.descriptors.shape == (len(found.patches), 128)
    darkest = np.median(picture[picture < 134])  # nearer to ink than to paper
    ink = np.pad(np.rint((238.0 - picture) * (255 / (238 - darkest))), 60).clip(0, 255)
    for patch, group, (x, y), size in zip(found.patches, found.bins, found.points, found.sizes, strict=True):
        assert group == (0 if size < 7 else 1 if size <= 11 else 2)
        half, x, y = HALF[group], round(float(x)) + 60, round(float(y)) + 60
        seen = ink[y - half : y + half, x - half : x + half].astype(np.uint8)
        np.testing.assert_array_equal(patch, cv2.resize(seen, (32, 32), interpolation=cv2.INTER_AREA))


def test_a_fainter_pen_and_a_darker_scan_change_nothing():
    """How dark ink is belongs to pen and scanner; the same points, and patches alike to rounding."""
    picture = word()
    faint = np.rint(215 - (238.0 - picture) * 0.6).clip(0, 255).astype(np.uint8)
    first, second = keypoint_patches(picture, limit=12), keypoint_patches(faint, limit=12)
    np.testing.assert_allclose(first.points, second.points, atol=0.1)
    assert np.abs(first.patches.astype(int) - second.patches).max() <= 4


def test_points_are_opencvs_on_the_bare_ink_and_the_strongest():
    picture = word()
    darkest = np.median(picture[picture < 134])
    theirs = cv2.SIFT_create(nOctaveLayers=3, contrastThreshold=0.03).detect(
        np.rint((238.0 - picture) * (255 / (238 - darkest))).clip(0, 255).astype(np.uint8)
    )
    response = {}
    for point in theirs:
        response[tuple(np.round(point.pt, 1))] = point.response
    few, many = keypoint_patches(picture, limit=10), keypoint_patches(picture, limit=1000)
    assert len(few.points) == 10 and len(many.points) > 20
    np.testing.assert_array_equal(few.patches, many.patches[:10])
    places = {(*point, size) for point, size in zip(many.points.tolist(), many.sizes, strict=True)}
    assert len(places) == len(many.points)
    near = [min(response, key=lambda at: np.hypot(*(np.array(at) - point))) for point in few.points]
    assert max(np.hypot(*(np.array(at) - point)) for at, point in zip(near, few.points, strict=True)) < 0.5
    strengths = [response[at] for at in near]
    assert min(strengths) > np.median(list(response.values()))


def test_a_moved_word_gives_the_same_patches_at_moved_points():
    picture = word()
    moved = np.roll(picture, (-13, 29), (0, 1))
    first, second = keypoint_patches(picture), keypoint_patches(moved)
    for name in ("patches", "bins", "sizes", "descriptors"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))
    np.testing.assert_allclose(second.points - first.points, np.tile([29, -13], (len(first.points), 1)), atol=1e-3)


def test_at_the_edge_of_the_picture_nothing_changes():
    picture = word()
    rows, columns = np.flatnonzero((picture < 200).any(1)), np.flatnonzero((picture < 200).any(0))
    top, left = rows[0] - 4, columns[0] - 4
    cut = picture[top : rows[-1] + 5, left : columns[-1] + 5]
    first, second = keypoint_patches(picture), keypoint_patches(cut)
    np.testing.assert_array_equal(first.patches, second.patches)
    np.testing.assert_allclose(first.points - second.points, np.tile([left, top], (len(first.points), 1)), atol=1e-3)


def test_a_word_twice_as_large_has_points_twice_as_far_apart_and_larger():
    picture = word()
    small = keypoint_patches(picture, limit=40)
    large = keypoint_patches(cv2.resize(picture, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC), limit=1000)
    found = 0
    for point, size in zip(small.points, small.sizes, strict=True):
        apart = np.hypot(*(large.points - 2 * point - 0.5).T)
        found += bool(((apart < 2) & (np.abs(large.sizes / size / 2 - 1) < 0.15)).any())
    assert found >= 0.8 * len(small.points)
    assert np.bincount(large.bins)[2] > 1.5 * np.bincount(small.bins)[2]


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (5, 5), (400, 2), (60, 200)])
@pytest.mark.parametrize("grey", [0, 128, 255])
def test_one_grey_gives_no_patch(shape, grey):
    found = keypoint_patches(np.full(shape, grey, np.uint8))
    shapes = [array.shape for array in found]
    assert shapes == [(0, 32, 32), (0,), (0, 2), (0,), (0, 128)]
    assert [array.dtype for array in found] == [np.uint8, np.int64, np.float32, np.float32, np.float32]


@pytest.mark.parametrize("shape", [(1, 2), (2, 1), (3, 3), (9, 1), (40, 90)])
def test_a_speck_breaks_nothing(shape):
    picture = np.full(shape, 250, np.uint8)
    picture[shape[0] // 2, shape[1] // 2] = 0
    assert keypoint_patches(picture).patches.shape[1:] == (32, 32)


def test_ink_over_a_large_picture_is_refused_and_a_word_on_it_is_not():
    sheet = np.full((3000, 2000), 255, np.uint8)
    alone = word(pad=1)
    sheet[1500 : 1500 + alone.shape[0], 900 : 900 + alone.shape[1]] = alone
    assert len(keypoint_patches(sheet).patches) > 20
    sheet[10, 10] = sheet[-10, -10] = 0
    with pytest.raises(ValueError, match=r"at most 1.5 megapixels.* Received: ink on 1985 x 2985 pixels\.$"):
        keypoint_patches(sheet)


@pytest.mark.parametrize("picture", [np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4)), np.zeros((0, 4), np.uint8), None])
def test_what_is_no_grey_picture_is_refused(picture):
    with pytest.raises(ValueError, match=r"grey picture.* Received: "):
        keypoint_patches(picture)


def test_no_patch_is_no_limit():
    with pytest.raises(ValueError, match="Received: limit=0"):
        keypoint_patches(word(), limit=0)

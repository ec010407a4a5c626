"""Agreement and kappas against scikit-learn and loops, matrices' errors, and tables of annotations."""

import itertools

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from hub.data import annotations
from hub.evaluation.annotators import agreement, report, total_variation


def some_labels(n=60, annotators=4, classes=5, missing=0.3, seed=0):
    """Labels that agree more often than by chance, some missing."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(classes, size=n)
    labels = np.where(rng.random((n, annotators)) < 0.6, truth[:, None], rng.integers(classes, size=(n, annotators)))
    return np.where(rng.random(labels.shape) < missing, -1, labels)


@pytest.mark.parametrize("missing", [0.0, 0.3])
def test_pairs_are_scikit_learns_over_the_pictures_that_both_labelled(missing):
    labels = some_labels(missing=missing)
    found = agreement(labels)
    for a, b in itertools.product(range(4), repeat=2):
        both = (labels[:, a] >= 0) & (labels[:, b] >= 0)
        x, y = labels[both, a], labels[both, b]
        assert found.shared[a, b] == both.sum()
        np.testing.assert_allclose(found.agreement[a, b], (x == y).mean())
        np.testing.assert_allclose(found.kappa[a, b], cohen_kappa_score(x, y), atol=1e-12)


def test_fleiss_is_the_loop_over_pictures_that_everyone_labelled():
    labels = some_labels()
    complete = [row for row in labels.tolist() if -1 not in row]
    per_picture = [
        np.mean([row[a] == row[b] for a, b in itertools.permutations(range(4), 2)]) for row in complete
    ]  # fmt: skip
    said = list(itertools.chain.from_iterable(complete))
    by_chance = sum((said.count(k) / len(said)) ** 2 for k in set(said))
    found = agreement(labels)
    assert found.complete == len(complete) < len(labels)
    np.testing.assert_allclose(found.fleiss, (np.mean(per_picture) - by_chance) / (1 - by_chance))


def test_extremes_of_agreement():
    same = agreement(np.array([[0, 0], [1, 1], [2, 2]]))
    assert same.fleiss == same.kappa[0, 1] == 1
    opposite = agreement(np.array([[0, 1], [1, 0]]))
    assert opposite.fleiss == opposite.kappa[0, 1] == -1
    constant = agreement(np.array([[0, 0], [0, 0]]))  # chance alone agrees
    assert np.isnan(constant.fleiss) and np.isnan(constant.kappa[0, 1]) and constant.agreement[0, 1] == 1
    apart = agreement(np.array([[0, -1], [-1, 0]]))
    assert apart.shared[0, 1] == apart.complete == 0 and np.isnan(apart.agreement[0, 1]) and np.isnan(apart.fleiss)
    alone = agreement(np.array([[0], [1]]))
    assert np.isnan(alone.fleiss) and alone.shared.tolist() == [[2]]


def test_report():
    labels = np.array([[0, 0, -1], [1, 1, -1], [1, 0, -1], [0, -1, 1]])
    estimated = np.array([[[0.9, 0.1], [0.3, 0.7]], np.eye(2), [[0.5, 0.5], [0.5, 0.5]]])
    true = np.array([[[0.8, 0.2], [0.3, 0.7]], np.eye(2), np.eye(2)])
    ann, bob, eve = report(labels, ["Ann", "Bob", "Eve"], estimated, true)
    assert (ann.name, ann.coverage, bob.coverage, eve.coverage) == ("Ann", 1.0, 0.75, 0.25)
    # Ann and Bob agree on two of three pictures, Ann and Eve not on their only one, Bob and Eve share none.
    np.testing.assert_allclose((ann.agreement, bob.agreement, eve.agreement), (1 / 3, 2 / 3, 0))
    np.testing.assert_allclose([row.correct for row in (ann, bob, eve)], (0.8, 1, 0.5))
    np.testing.assert_allclose([row.error for row in (ann, bob, eve)], (0.05, 0, 0.5))
    lone = report(np.array([[0], [1]]))[0]
    assert lone.name == "annotator 1" and all(np.isnan([lone.agreement, lone.kappa, lone.correct, lone.error]))


def test_total_variation_is_the_largest_difference_of_any_event():
    rng = np.random.default_rng(0)
    a, b = rng.dirichlet(np.ones(4), (2, 3, 4))  # [3, 4, 4] each
    events = np.array(list(itertools.product((0, 1), repeat=4)))
    expected = [[np.abs(events @ (p - q)).max() for p, q in zip(*pair, strict=True)] for pair in zip(a, b, strict=True)]
    np.testing.assert_allclose(total_variation(a, b), np.mean(expected, axis=1))


@pytest.mark.parametrize("labels", [np.zeros((3, 2)), np.zeros(3, int), np.full((3, 2), -1), np.full((3, 2), -2)])
def test_labels_that_are_none(labels):
    with pytest.raises(ValueError, match="abel"):
        agreement(labels)


def test_matrices_of_other_people():
    with pytest.raises(ValueError, match="2 annotators"):
        report(np.zeros((3, 2), int), estimated=np.ones((3, 2, 2)) / 2)
    with pytest.raises(ValueError, match="Two arrays"):
        report(np.zeros((3, 2), int), estimated=np.ones((2, 2, 2)) / 2, true=np.ones((2, 3, 3)) / 3)


def table(folder, text):
    path = folder / "labels.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_table_of_names(tmp_path):
    text = "annotator,image,label,when\nAnn,b.png,Happy,1\nBob,b.png,sad,2\nAnn,a.png,,3\nEve,a.png,happy,4\n"
    read = annotations.read(table(tmp_path, text))
    assert read.images == ("b.png", "a.png") and read.annotators == ("Ann", "Bob", "Eve")
    assert read.classes == ("happy", "sad")
    assert read.labels.tolist() == [[0, 1, -1], [-1, -1, 0]] and read.labels.dtype == np.int64
    given = annotations.read(table(tmp_path, text), classes=("sad", "angry", "HAPPY"))
    assert given.labels.tolist() == [[2, 0, -1], [-1, -1, 2]] and given.classes == ("sad", "angry", "HAPPY")


def test_a_table_of_numbers(tmp_path):
    text = "\ufeffimage,annotator,label\na,1,3\na,2,-1\nb,2,0\nb,2,0\n"  # the same again is no contradiction
    read = annotations.read(table(tmp_path, text))
    assert read.classes == ("0", "1", "2", "3") and read.labels.tolist() == [[3, -1], [-1, 0]]
    named = annotations.read(table(tmp_path, text), classes=("w", "x", "y", "z"))
    assert named.labels.tolist() == read.labels.tolist() and named.classes == ("w", "x", "y", "z")
    mixed = table(tmp_path, "image,annotator,label\na,1,1\na,1,x\n")  # one class by number and by name
    assert annotations.read(mixed, classes=("w", "x")).labels.tolist() == [[1]]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("image,annotator\na,1\n", "no column label in line 1"),
        ("", "no column image in line 1"),
        ("image,annotator,label\n", "holds no label"),
        ("image,annotator,label\na,1,-1\n", "holds no label"),
        ("image,annotator,label\na,1,calm\n", "line 2: 'calm' is none of happy, sad or 0 to 1"),
        ("image,annotator,label\na,1,2\n", "line 2: '2' is none of"),
        ("image,annotator,label\na,1,sad\nb,1,sad\na,1,happy\n", "line 4: 1 says 'happy' of a, and 'sad' in line 2"),
        ("image,annotator,label\n,1,sad\n", "line 2: image is empty"),
        ("image,annotator,label\na\n", "line 2: annotator is empty"),
    ],
    ids=range(9),
)
def test_bad_tables(tmp_path, text, said):
    with pytest.raises(ValueError, match=said) as refused:
        annotations.read(table(tmp_path, text), classes=("happy", "sad"))
    assert "\n" not in str(refused.value)


def test_no_table(tmp_path):
    with pytest.raises(ValueError, match="is no file"):
        annotations.read(tmp_path)

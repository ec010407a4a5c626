"""Triplet losses against tensorflow-addons 0.23 (tests/golden/triplet_losses.py), slow loops and finite differences."""

import collections
import itertools
import pathlib

import keras
import numpy as np
import pytest

from hub.losses._pairs import DISTANCES
from hub.losses.triplet_hard import TripletHardLoss
from hub.losses.triplet_semihard import TripletSemiHardLoss

GOLDEN = pathlib.Path(__file__).parent / "golden" / "triplet.npz"


def cases():
    found = collections.defaultdict(dict)
    with np.load(GOLDEN, allow_pickle=False) as stored:
        for key in stored.files:
            case, _, what = key.partition("/")
            if what:
                found[case][what] = stored[key]
    return list(found.values())


CASES = cases()


def test_the_golden_file_has_its_cases():
    assert len(CASES) == 18 and all(len(case) == 17 for case in CASES)
    assert {len(set(case["labels"])) for case in CASES} >= {1, 2, 3, 4, 10}


@pytest.mark.parametrize("distance", DISTANCES)
def test_values_are_those_of_tensorflow_addons(distance):
    worst = 0.0
    for case, margin in itertools.product(CASES, (0.2, 1.0)):
        labels, x = case["labels"], case["embeddings"]
        values = {
            f"semihard/{distance}/{margin}": TripletSemiHardLoss(margin, distance)(labels, x),
            f"hard/{distance}/{margin}": TripletHardLoss(margin, distance_metric=distance)(labels, x),
            f"soft/{distance}": TripletHardLoss(soft=True, distance_metric=distance)(labels[:, None], x),
        }
        for key, ours in values.items():
            theirs = float(case[key])
            if np.isinf(theirs):  # theirs overflows
                assert key.startswith("soft") and 20 < float(ours) < np.inf
                continue
            worst = max(worst, abs(float(ours) - theirs) / max(abs(theirs), 1e-2))
    assert worst < 1e-5


def table(x, distance):
    """[N, N] distances, by definition, in float64."""
    x = np.asarray(x, "float64")
    if distance == "angular":
        x = x / np.linalg.norm(x, axis=1, keepdims=True)
        return np.array([[1 - a @ b for b in x] for a in x])
    power = 1 if distance == "L2" else 2
    return np.array([[np.linalg.norm(a - b) ** power for b in x] for a in x])


def semihard_by_loops(labels, x, margin, distance):
    d, costs = table(x, distance), []
    for a, p in itertools.permutations(range(len(x)), 2):
        if labels[a] == labels[p]:
            negatives = [d[a, n] for n in range(len(x)) if labels[n] != labels[a]]
            farther = [value for value in negatives if value > d[a, p]]
            costs.append(max(d[a, p] - (min(farther) if farther else max(negatives)) + margin, 0))
    return np.mean(costs)


def hard_by_loops(labels, x, margin, distance, soft):
    d, costs = table(x, distance), []
    for a in range(len(x)):
        positives = [d[a, p] for p in range(len(x)) if labels[p] == labels[a] and p != a]
        gap = max(positives) - min(d[a, n] for n in range(len(x)) if labels[n] != labels[a])
        costs.append(np.log(1 + np.exp(gap)) if soft else max(gap + margin, 0))
    return np.mean(costs)


@pytest.mark.parametrize("distance", DISTANCES)
def test_values_are_those_of_the_definition(distance):
    random = np.random.default_rng(1)
    for n, identities in [(8, 2), (15, 5), (24, 3)]:
        labels = random.permutation(np.arange(n) % identities)
        x = random.normal(size=(n, 4)).astype("float32")
        for margin in (0.1, 1.5):
            ours = TripletSemiHardLoss(margin, distance)(labels, x)
            np.testing.assert_allclose(float(ours), semihard_by_loops(labels, x, margin, distance), rtol=1e-4)
            for soft in (False, True):
                ours = TripletHardLoss(margin, soft, distance)(labels, x)
                np.testing.assert_allclose(float(ours), hard_by_loops(labels, x, margin, distance, soft), rtol=1e-4)


def test_a_batch_without_a_pair_costs_nothing():
    x = np.random.default_rng(2).normal(size=(5, 3)).astype("float32")
    assert float(TripletSemiHardLoss()(np.arange(5), x)) == 0.0


def test_an_anchor_carries_its_own_pairs():
    """Identity 1 is alone, so its anchor has no pair; the others share theirs, and weights choose among them."""
    labels, x = np.array([0, 0, 0, 1]), np.array([[0.0], [1], [3], [3.5]], "float32")
    each = keras.ops.convert_to_numpy(TripletSemiHardLoss(0.5, "L2", reduction="none")(labels, x))
    # pairs: 0-1, 0-2: negative 3.5; 1-0, 1-2: 2.5; 2-0, 2-1: none farther than 3 or 2, so 0.5
    np.testing.assert_allclose(each, 4 / 6 * np.array([0, 0, (3 - 0.5 + 0.5) + (2 - 0.5 + 0.5), 0]), rtol=1e-6)
    weighed = TripletSemiHardLoss(0.5, "L2")(labels, x, sample_weight=np.array([1.0, 1, 0, 1]))
    assert float(weighed) == 0.0


@pytest.mark.parametrize("distance", DISTANCES)
@pytest.mark.parametrize("make", [TripletSemiHardLoss, TripletHardLoss], ids=lambda x: x.__name__)
def test_gradients_are_the_slopes(make, distance):
    import tensorflow as tf

    random = np.random.default_rng(3)
    labels = np.arange(12) % 3
    x = random.normal(size=(12, 4)).astype("float32")
    loss = make(margin=0.7, distance_metric=distance)
    point = tf.Variable(x)
    with tf.GradientTape() as tape:
        value = loss(labels, point)
    gradient = tape.gradient(value, point).numpy()
    for _ in range(3):
        way = random.normal(size=x.shape).astype("float32")
        way /= np.linalg.norm(way)
        slope = (float(loss(labels, x + 2e-3 * way)) - float(loss(labels, x - 2e-3 * way))) / 4e-3
        np.testing.assert_allclose(np.sum(gradient * way), slope, rtol=0.02, atol=5e-3)


def test_the_papers_batch_of_1800_fits():
    """Loops over triplets would need 23 GB."""
    x = np.random.default_rng(4).normal(size=(1800, 8)).astype("float32")
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    value = float(TripletSemiHardLoss()(np.arange(1800) // 40, x))
    assert 0.15 < value < 0.2  # the window is full: the nearest farther negative is hardly farther


def test_unknown_distance():
    with pytest.raises(ValueError, match="Received: distance_metric='L1'"):
        TripletHardLoss(distance_metric="L1")

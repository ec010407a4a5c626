"""Contrastive losses against tensorflow-addons 0.23 (golden/contrastive_loss.py), slow loops and finite differences."""

import itertools
import pathlib

import keras
import numpy as np
import pytest

from hub.losses.contrastive import AllPairsContrastive, ContrastiveLoss
from hub.losses.supervised_contrastive import SupervisedContrastiveLoss

GOLDEN = pathlib.Path(__file__).parent / "golden" / "contrastive.npz"


def test_pairs_cost_what_they_do_in_tensorflow_addons():
    with np.load(GOLDEN, allow_pickle=False) as stored:
        golden = dict(stored)
    keys = [key for key in golden if "/each/" in key]
    assert len(keys) == 27 and "0.23.0" in str(golden["made_by"])
    for key in keys:
        case, _, margin = key.split("/")
        same, distance = golden[f"{case}/same"], golden[f"{case}/distance"]
        each = keras.ops.convert_to_numpy(ContrastiveLoss(float(margin), reduction="none")(same, distance))
        theirs = golden[key].reshape(len(same), -1).mean(axis=1)
        np.testing.assert_allclose(each, theirs, rtol=1e-6, atol=1e-7)
        whole = float(ContrastiveLoss(float(margin))(same, distance))
        np.testing.assert_allclose(whole, golden[f"{case}/batch/{margin}"], rtol=2e-6)


def test_a_column_of_distances_meets_a_row_of_labels():
    same, distance = np.array([1, 0, 1]), np.array([0.5, 0.4, 2.0], "float32")
    expected = (0.25 + 0.36 + 4) / 3
    for labels, distances in itertools.product((same, same[:, None]), (distance, distance[:, None])):
        np.testing.assert_allclose(float(ContrastiveLoss()(labels, distances)), expected, rtol=1e-6)


def by_loops(labels, x, margin, balanced):
    x = np.asarray(x, "float64")
    alike, apart = [], []
    for i, j in itertools.permutations(range(len(x)), 2):
        d = np.linalg.norm(x[i] - x[j])
        if labels[i] == labels[j]:
            alike.append(d**2)
        else:
            apart.append(max(margin - d, 0) ** 2)
    if balanced:
        return (np.mean(alike or [0]) + np.mean(apart or [0])) / 2
    return np.mean(alike + apart or [0])


def supervised_by_loops(labels, x, temperature):
    """Eq. 2, in float64; the mean over anchors with a positive."""
    z = np.asarray(x, "float64") / np.linalg.norm(x, axis=1, keepdims=True)
    costs = []
    for i in range(len(z)):
        others = [a for a in range(len(z)) if a != i]
        positives = [p for p in others if labels[p] == labels[i]]
        if positives:
            total = sum(np.exp(z[i] @ z[a] / temperature) for a in others)
            costs.append(-np.mean([np.log(np.exp(z[i] @ z[p] / temperature) / total) for p in positives]))
    return np.mean(costs or [0])


BATCHES = {
    "even": np.arange(12) % 3,
    "uneven": np.array([5, 5, 5, 5, 2, 2, 9, 0]),
    "lone": np.arange(6),
    "one": np.zeros(5, int),
    "single": np.array([3]),
    "pair": np.array([1, 1]),
}


@pytest.mark.parametrize("labels", BATCHES.values(), ids=BATCHES)
def test_values_are_those_of_loops(labels):
    x = np.random.default_rng(len(labels)).normal(size=(len(labels), 4)).astype("float32")
    for margin, balanced in itertools.product((0.5, 3.0), (False, True)):
        ours = float(AllPairsContrastive(margin, balanced)(labels[:, None], x))
        np.testing.assert_allclose(ours, by_loops(labels, x, margin, balanced), rtol=1e-4, atol=1e-6)
    for temperature in (0.1, 1.0):
        ours = float(SupervisedContrastiveLoss(temperature)(labels, x))
        np.testing.assert_allclose(ours, supervised_by_loops(labels, x, temperature), rtol=1e-4, atol=1e-6)


def test_a_share_is_the_examples_own():
    labels, x = np.array([0, 0, 1]), np.array([[0.0], [1], [3]], "float32")
    each = AllPairsContrastive(2.5, reduction="none")(labels, x)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(each), [0.5, (1 + 0.25) / 2, 0.125], rtol=1e-6)
    lone = SupervisedContrastiveLoss(reduction="none")(labels, np.eye(3, dtype="float32"))
    np.testing.assert_allclose(keras.ops.convert_to_numpy(lone), [1.5 * np.log(2)] * 2 + [0], rtol=1e-5)


def test_near_ones_far_out_are_told_apart():
    x = np.array([[1000.0, 1000], [1000.5, 1000], [1000, 1000]], "float32")
    np.testing.assert_allclose(float(AllPairsContrastive(1.0)([0, 1, 1], x)), (0.25 + 1 + 0.25) / 3, rtol=1e-4)


@pytest.mark.parametrize(
    "loss",
    [AllPairsContrastive(1.5), AllPairsContrastive(1.5, True), SupervisedContrastiveLoss(0.5)],
    ids=["all pairs", "balanced", "supervised"],
)
def test_gradients_are_the_slopes(loss):
    import tensorflow as tf

    random = np.random.default_rng(3)
    labels = np.array([0, 0, 1, 1, 2, 2, 2, 7])
    x = random.normal(size=(8, 4)).astype("float32")
    point = tf.Variable(x)
    with tf.GradientTape() as tape:
        value = loss(labels, point)
    gradient = tape.gradient(value, point).numpy()
    for _ in range(3):
        way = random.normal(size=x.shape).astype("float32")
        way /= np.linalg.norm(way)
        slope = (float(loss(labels, x + 2e-3 * way)) - float(loss(labels, x - 2e-3 * way))) / 4e-3
        np.testing.assert_allclose(np.sum(gradient * way), slope, rtol=0.02, atol=2e-3)


def test_equal_and_opposite_embeddings_have_a_finite_slope():
    import tensorflow as tf

    for x in (np.ones((4, 3)), np.zeros((4, 3)), np.array([[1.0, 0, 0], [-1, 0, 0]] * 2)):
        for loss in (AllPairsContrastive(), AllPairsContrastive(balanced=True), SupervisedContrastiveLoss(0.01)):
            point = tf.Variable(x.astype("float32"))
            with tf.GradientTape() as tape:
                value = loss(np.array([0, 0, 1, 1]), point)
            assert np.isfinite(float(value)) and np.isfinite(tape.gradient(value, point).numpy()).all()


def test_no_temperature_is_refused():
    with pytest.raises(ValueError, match=r"Received: temperature=0\.$"):
        SupervisedContrastiveLoss(0)

"""Triplet losses over strips against slow loops and finite differences, and the guard against their collapse."""

import itertools

import keras
import numpy as np
import pytest

from hub.losses.batch_all_triplet import BatchAllTriplet
from hub.training.collapse_guard import CollapseGuard, mean_distance


def by_loops(labels, x, margin, mining):
    """The loss by definition, in float64."""
    x = np.asarray(x, "float64")
    of_strips = []
    for s in range(x.shape[1]):
        costs = []
        for a in range(len(x)):
            to = [np.linalg.norm(x[a, s] - y) for y in x[:, s]]
            positives = [to[p] for p in range(len(x)) if labels[p] == labels[a] and p != a]
            negatives = [to[n] for n in range(len(x)) if labels[n] != labels[a]]
            pairs = itertools.product(positives, negatives)
            if mining == "hard":
                pairs = [(max(positives), min(negatives))] if positives and negatives else [(-np.inf, 0)]
            costs += [max(margin + p - n, 0) for p, n in pairs]
        costs = np.array(costs)
        counted = len(costs) if mining == "hard" else np.sum(costs > 0)
        of_strips.append(costs.sum() / counted if counted else 0.0)
    return np.mean(of_strips)


@pytest.mark.parametrize("mining", ["all", "hard"])
def test_values_are_those_of_the_definition(mining):
    random = np.random.default_rng(0)
    cases = [np.arange(24) % 6, np.arange(9) % 2, np.array([0, 0, 0, 1, 2, 2, 3])]  # the last has lone anchors
    for labels, margin, far in itertools.product(cases, (0.1, 1.5), (0.0, 30.0)):
        labels = random.permutation(labels)
        x = random.normal(size=(len(labels), 5, 4)).astype("float32") + np.float32(far)
        ours = float(BatchAllTriplet(margin, mining)(labels[:, None], x))
        np.testing.assert_allclose(ours, by_loops(labels, x, margin, mining), rtol=2e-4)


def test_a_negative_on_the_edge_is_not_counted():
    """Places on a line: distances are whole numbers, so with margin 1 many triplets cost exactly 0."""
    random = np.random.default_rng(1)
    for _ in range(5):
        x = random.integers(0, 4, size=(12, 3, 1)).astype("float32")
        labels = random.integers(0, 3, size=12)
        ours = float(BatchAllTriplet(1.0)(labels, x))
        np.testing.assert_allclose(ours, by_loops(labels, x, 1.0, "all"), rtol=1e-4)


@pytest.mark.parametrize("mining", ["all", "hard"])
def test_batches_without_triplets_cost_nothing(mining):
    x = np.random.default_rng(2).normal(size=(6, 2, 3)).astype("float32")
    assert float(BatchAllTriplet(mining=mining)(np.zeros(6), x)) == 0.0
    assert float(BatchAllTriplet(mining=mining)(np.arange(6), x)) == 0.0


def test_an_anchor_carries_its_own_triplets():
    """Identity 1 is alone and so has none; weights choose among the others'."""
    labels, x = np.array([0, 0, 1]), np.array([0.0, 1.0, 1.4], "float32").reshape(3, 1, 1)
    each = keras.ops.convert_to_numpy(BatchAllTriplet(0.5, reduction="none")(labels, x))
    # anchor 0: 0.5 + 1 - 1.4; anchor 1: 0.5 + 1 - 0.4; two triplets, three anchors
    np.testing.assert_allclose(each, 3 / 2 * np.array([0.1, 1.1, 0.0]), rtol=1e-5)


@pytest.mark.parametrize("mining", ["all", "hard"])
def test_gradients_are_the_slopes(mining):
    import tensorflow as tf

    random = np.random.default_rng(3)
    labels = np.arange(12) % 3
    x = random.normal(size=(12, 3, 4)).astype("float32")
    loss = BatchAllTriplet(0.7, mining)
    point = tf.Variable(x)
    with tf.GradientTape() as tape:
        value = loss(labels, point)
    gradient = tape.gradient(value, point).numpy().astype("float64")
    found = 0
    for _ in range(6):
        way = random.normal(size=x.shape)
        way /= np.linalg.norm(way)
        step = 1e-5
        slope, before, after = (
            (by_loops(labels, x + 1e-5 * a * way, 0.7, mining) - by_loops(labels, x - 1e-5 * b * way, 0.7, mining))
            / step
            for a, b in ((0.5, 0.5), (0, 1), (1, 0))
        )
        if abs(before - after) < 1e-3:  # no triplet enters or leaves the mean here, which would jump
            np.testing.assert_allclose(np.sum(gradient * way), slope, rtol=1e-3, atol=1e-5)
            found += 1
    assert found >= 3


def test_at_one_place_the_loss_is_the_margin_and_pulls_nowhere():
    import tensorflow as tf

    for mining in ("all", "hard"):
        point = tf.Variable(np.full((8, 2, 3), 0.7, "float32"))
        with tf.GradientTape() as tape:
            value = BatchAllTriplet(0.2, mining)(np.arange(8) % 4, point)
        np.testing.assert_allclose(float(value), 0.2, rtol=1e-6)
        assert np.all(tape.gradient(value, point).numpy() == 0)


def test_the_papers_batch_fits():
    """128 clips of 62 strips: a table of triplets would be half a gigabyte, several times over."""
    x = np.random.default_rng(4).normal(size=(128, 62, 8)).astype("float32")
    value = float(BatchAllTriplet()(np.arange(128) // 16, x))
    some = float(BatchAllTriplet()(np.arange(128) // 16, x[:, :1]))
    np.testing.assert_allclose(value, some, rtol=0.1)


def test_unknown_mining():
    with pytest.raises(ValueError, match="Received: mining='semi'"):
        BatchAllTriplet(mining="semi")


def embedder(size=1.0):
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(8), keras.layers.Reshape((2, 4))])
    model.layers[0].kernel.assign(size * keras.ops.convert_to_numpy(model.layers[0].kernel))
    return model


def clips(steps):
    """Batches of 4 people, 3 clips each, who differ."""
    random = np.random.default_rng(5)
    people = random.normal(size=(4, 1, 6))
    x = people + 0.1 * random.normal(size=(steps, 4, 3, 6))
    return x.reshape(-1, 6).astype("float32"), np.tile(np.repeat(np.arange(4), 3), steps)


@pytest.mark.parametrize("mining", ["all", "hard"])
def test_training_that_has_collapsed_stops(mining):
    model, (x, y) = embedder(1e-5), clips(40)
    model.compile(keras.optimizers.SGD(1e-6), BatchAllTriplet(mining=mining), jit_compile=False)
    seen = keras.callbacks.LambdaCallback(on_train_batch_begin=lambda batch, logs: batches.append(batch))
    batches = []
    with pytest.raises(ValueError, match=r"Training has collapsed: for 10 steps .* the margin, 0.2, .* would do"):
        model.fit(x, y, batch_size=12, shuffle=False, verbose=0, callbacks=[CollapseGuard(x[:12]), seen])
    assert len(batches) == 10


def test_the_end_of_healthy_training_is_noticed_within_a_long_epoch():
    """After 200 good steps the running mean is far from the margin, yet each collapsed step is seen."""
    guard = CollapseGuard(np.zeros((3, 6), "float32"), patience=3)
    guard.set_model(embedder(0.0))
    guard.on_train_begin()
    guard.on_epoch_begin(0)
    losses = np.array([0.05] * 200 + [0.2] * 5)
    means = (np.cumsum(losses) / np.arange(1, 206)).astype("float32")
    with pytest.raises(ValueError, match="collapsed"):
        for batch, mean in enumerate(means):
            last = batch
            guard.on_train_batch_end(batch, {"loss": mean})
    assert last == 202


def test_healthy_training_goes_on():
    for mining in ("all", "hard"):
        model, (x, y) = embedder(), clips(40)
        model.compile(keras.optimizers.Adam(1e-2), BatchAllTriplet(mining=mining), jit_compile=False)
        history = model.fit(
            x, y, batch_size=12, shuffle=False, verbose=0, callbacks=[CollapseGuard(x[:12], patience=1)]
        )
        assert history.history["loss"][-1] < 0.2


def test_a_loss_at_the_margin_with_distances_goes_on():
    """All clips equally far from each other: every triplet costs the margin, but nothing has run together."""
    model = keras.Sequential([keras.Input((6,)), keras.layers.Reshape((1, 6)), keras.layers.Dense(6)])
    model.layers[1].set_weights([np.eye(6, dtype="float32"), np.zeros(6, "float32")])
    model.compile(keras.optimizers.SGD(0.0), BatchAllTriplet(), jit_compile=False)
    x, y = np.tile(np.eye(6, dtype="float32"), (4, 1)), np.tile([0, 0, 1, 1, 2, 2], 4)
    history = model.fit(x, y, batch_size=6, shuffle=False, verbose=0, callbacks=[CollapseGuard(x[:6], patience=1)])
    np.testing.assert_allclose(history.history["loss"], 0.2, atol=1e-5)


def test_mean_distance_is_over_pairs_and_strips():
    x = np.random.default_rng(6).normal(size=(7, 3, 4)) + 1e4
    slow = np.mean(
        [np.linalg.norm(x[a, s] - x[b, s]) for a, b in itertools.combinations(range(7), 2) for s in range(3)]
    )
    np.testing.assert_allclose(mean_distance(x), slow, rtol=1e-6)


def test_a_loss_that_is_not_logged():
    with pytest.raises(ValueError, match="Received: monitor='triplet'"):
        CollapseGuard(None, monitor="triplet").on_train_batch_end(0, {"loss": 0.1})
    with pytest.raises(ValueError, match="Received: patience=0"):
        CollapseGuard(None, patience=0)

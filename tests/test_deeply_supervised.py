"""Deep supervision: its loss in NumPy, what training with it changes and what it leaves."""

import keras
import numpy as np
import pytest
from keras import layers, ops

from hub.losses.squared_hinge import MulticlassSquaredHinge
from hub.registry import build
from hub.training.deep_supervision import CompanionDecay, DeepSupervision

RNG = np.random.default_rng(0)
X = RNG.normal(size=(12, 8, 8, 3)).astype("float32")
Y = np.arange(12) % 4


def network(penalty=0.01):
    keras.utils.set_random_seed(0)
    small = keras.regularizers.L2(penalty)
    return keras.Sequential([
        keras.Input((8, 8, 3)),
        layers.Conv2D(5, 3, padding="same", activation="relu", kernel_regularizer=small, name="first"),
        layers.MaxPooling2D(2),
        layers.Dropout(0.5),
        layers.Conv2D(6, 3, activation="tanh", name="second"),
        layers.Flatten(),
        layers.Dense(4, name="logits"),
    ])  # fmt: skip


def slow_hinge(labels, scores):
    return np.array([
        sum(max(0.0, 1 - (row[y] - s)) ** 2 for k, s in enumerate(row) if k != y)
        for y, row in zip(labels, scores, strict=True)
    ])  # fmt: skip


def test_hinge_equals_slow_loops():
    scores = RNG.normal(size=(12, 4)).astype("float32") * 2
    loss = MulticlassSquaredHinge(reduction=None)
    for target in (Y, Y[:, None], np.eye(4)[Y]):
        np.testing.assert_allclose(loss(target, scores), slow_hinge(Y, scores), rtol=1e-5)
    np.testing.assert_allclose(loss(Y, scores + 5), slow_hinge(Y, scores), rtol=1e-4)
    assert not np.asarray(loss(Y, np.eye(4, dtype="float32")[Y])).any()
    with pytest.raises(ValueError, match="one-hot"):
        loss(np.zeros((12, 3)), scores)


@pytest.mark.parametrize("head", ["flatten", "gap"])
@pytest.mark.parametrize("weights", [None, np.linspace(0, 2, 12).astype("float32")])
def test_the_objective_equals_numpy(head, weights):
    """gamma lies between the two companions' objectives, so that one counts; single examples lie on both sides."""
    model = network()
    kwargs = {"head": head, "alpha": 0.3, "penalty": 0.5}
    supervised = DeepSupervision(model, ["first", "second"], gamma=0.0, **kwargs)
    supervised.compile(loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    output, *scores = (np.asarray(s) for s in supervised(X, training=True))
    share = np.ones(12) if weights is None else weights
    objectives = []
    for companion, score in zip(supervised.companions, scores, strict=True):
        each = share * slow_hinge(Y, score)
        objectives.append(0.5 * (np.asarray(companion.kernel) ** 2).sum() + each.mean())
    chance = np.exp(output - output.max(-1, keepdims=True))
    chance /= chance.sum(-1, keepdims=True)
    plain = (share * -np.log(chance[np.arange(12), Y])).mean() + float(sum(model.losses))
    for gamma in (0.0, float(np.mean(objectives)), 1e4):
        supervised.gamma = gamma
        wanted = plain + 0.3 * sum(max(o - gamma, 0) for o in objectives)
        got = supervised.compute_loss(X, Y, [ops.convert_to_tensor(v) for v in (output, *scores)], weights)
        np.testing.assert_allclose(float(got), wanted, rtol=1e-5)


def test_alpha_zero_trains_the_plain_model():
    plain, base = network(), network()
    supervised = DeepSupervision(base, ["first", "second"], alpha=0.0)
    before = [np.array(w) for w in supervised.companions[0].weights]
    for model in (plain, supervised):
        model.compile(keras.optimizers.SGD(0.05, momentum=0.9), MulticlassSquaredHinge())
        model.fit(X, Y, epochs=3, batch_size=4, shuffle=False, verbose=0)
    for a, b in zip(plain.get_weights(), base.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)
    np.testing.assert_array_equal(before[0], supervised.companions[0].kernel)


def test_only_training_sees_the_companions():
    base = network()
    supervised = DeepSupervision(base, ["first"], alpha=0.5)
    for model in (base, supervised):
        model.compile(keras.optimizers.SGD(0.01), MulticlassSquaredHinge(), metrics=["accuracy"])
    before = [np.array(w) for w in supervised.trainable_weights]
    supervised.fit(X, Y, epochs=1, verbose=0, validation_data=(X, Y))
    assert all((np.asarray(w) != b).any() for w, b in zip(supervised.trainable_weights, before, strict=True))
    assert len(supervised.trainable_weights) == len(base.trainable_weights) + 2
    np.testing.assert_allclose(supervised.predict(X, verbose=0), base.predict(X, verbose=0), atol=1e-6)
    for a, b in zip(supervised.evaluate(X, Y, verbose=0), base.evaluate(X, Y, verbose=0), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5)


def test_early_layers_get_a_gradient_of_their_own():
    """Behind a dead head nothing reaches the first layer but its companion's gradient."""
    for alpha in (0.0, 0.5):
        base = network(penalty=0.0)
        base.get_layer("logits").kernel.assign(np.zeros(base.get_layer("logits").kernel.shape))
        start = np.array(base.get_layer("first").kernel)
        supervised = DeepSupervision(base, ["first"], alpha=alpha)
        supervised.compile(keras.optimizers.SGD(0.01), MulticlassSquaredHinge(), run_eagerly=True)
        supervised.train_on_batch(X, Y)
        assert (np.asarray(base.get_layer("first").kernel) != start).any() == bool(alpha)


def test_alpha_falls_to_its_last_share():
    supervised = DeepSupervision(network(), ["first"], alpha=0.4)
    supervised.compile(keras.optimizers.SGD(0.01), MulticlassSquaredHinge())
    seen = []
    see = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(float(supervised.alpha.value)))
    supervised.fit(X, Y, epochs=4, verbose=0, callbacks=[CompanionDecay(), see])
    np.testing.assert_allclose(seen, [0.4, 0.3, 0.2, 0.1], rtol=1e-6)


def test_errors():
    with pytest.raises(ValueError, match='"gap"'):
        DeepSupervision(network(), ["first"], head="mean")
    with pytest.raises(ValueError, match="third"):
        DeepSupervision(network(), ["third"])
    with pytest.raises(ValueError, match="2 and 3"):
        build("dsn_tiny", filters=((4,), (4,)))


def test_the_networks_maps():
    model = build("dsn_cifar")
    assert [model.get_layer(f"stage{i}").output.shape[1:] for i in (1, 2, 3)] == [
        (32, 32, 96),
        (16, 16, 192),
        (8, 8, 192),
    ]
    tiny = build("dsn_tiny", input_shape=(10, 9, 3))
    maps = keras.Model(tiny.input, [tiny.get_layer("stage1").output, tiny.get_layer("stage1_pool").output])
    x, pooled = (np.asarray(m)[0] for m in maps(RNG.normal(size=(1, 10, 9, 3)).astype("float32")))
    # 10 rows: windows from row 0, the last is cut; 9 columns: a column is cut at either end
    rows, columns = [slice(2 * i, 2 * i + 3) for i in range(5)], [slice(max(2 * j - 1, 0), 2 * j + 2) for j in range(5)]
    np.testing.assert_array_equal(pooled, np.stack([[x[r, c].max((0, 1)) for c in columns] for r in rows]))
    supervised = DeepSupervision(build("dsn_tiny"), [f"stage{i}_conv1" for i in (1, 2, 3)])
    assert [c.kernel.shape for c in supervised.companions] == [(8192, 10), (2048, 10), (512, 10)]

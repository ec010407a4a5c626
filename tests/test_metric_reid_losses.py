"""AM-Softmax, centre and push losses and their balance against loops over pairs; the cosine layer; OSNet's shape."""

import keras
import numpy as np
import pytest

from hub import registry
from hub.contract import multiply_adds
from hub.layers.cosine_dense import CosineDense
from hub.losses.am_softmax import AMSoftmaxLoss
from hub.losses.center_push import CosineCenterLoss, GlobalPushPlusLoss, PushPlusLoss
from hub.training.balanced_losses import BalancedLosses


def batch(n=14, classes=4, width=5, seed=0):
    """Classes [n], cosines [n, classes], features [n, width]."""
    random = np.random.default_rng(seed)
    features = random.normal(size=(n, width))
    centers = random.normal(size=(classes, width))
    cosines = features @ centers.T / np.linalg.norm(features, axis=1)[:, None] / np.linalg.norm(centers, axis=1)
    return random.integers(classes, size=n), cosines.astype("float32"), features.astype("float32")


def log_softmax(row):
    return row - row.max() - np.log(np.exp(row - row.max()).sum())


@pytest.mark.parametrize("margin", [0.0, 0.35])
def test_am_softmax_is_the_cross_entropy_of_handicapped_cosines(margin):
    classes, cosines, _ = batch()
    expected = []
    for y, row in zip(classes, cosines.astype("float64"), strict=True):
        row = 30 * row
        row[y] -= 30 * margin
        expected.append(-log_softmax(row)[y])
    each = AMSoftmaxLoss(margin, reduction="none")(classes[:, None], cosines)
    np.testing.assert_allclose(each, expected, rtol=1e-4, atol=1e-6)
    if not margin:
        plain = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        np.testing.assert_allclose(np.mean(each), float(plain(classes, 30 * cosines)), rtol=1e-5)


def test_the_confidence_penalty_averages_what_it_leaves():
    classes, cosines, _ = batch(60, seed=1)
    left = []
    for y, row in zip(classes, cosines.astype("float64"), strict=True):
        row = 4 * row
        row[y] -= 4 * 0.1
        log_p = log_softmax(row)
        left.append(-log_p[y] + 0.8 * np.sum(np.exp(log_p) * log_p))
    positive = [value for value in left if value > 0]
    assert 5 < len(positive) < 55
    value = AMSoftmaxLoss(0.1, scale=4, confidence_penalty=0.8)(classes, cosines)
    np.testing.assert_allclose(float(value), np.mean(positive), rtol=1e-4)


def test_center_loss():
    classes, cosines, _ = batch()
    np.testing.assert_allclose(
        CosineCenterLoss(reduction="none")(classes, cosines),
        [1 - row[y] for y, row in zip(classes, cosines, strict=True)],
        atol=1e-6,
    )


@pytest.mark.parametrize("margin", [0.1, 0.7])
def test_push_losses_average_the_violated_pairs(margin):
    classes, cosines, features = batch()
    own = 1 - cosines[np.arange(len(classes)), classes]
    by_center = [
        margin + own[i] - (1 - cosines[i, j]) for i in range(len(classes)) for j in range(4) if j != classes[i]
    ]
    directions = features / np.linalg.norm(features, axis=1, keepdims=True)
    by_feature = [
        margin + own[i] - (1 - directions[i] @ directions[j])
        for i in range(len(classes))
        for j in range(len(classes))
        if classes[i] != classes[j]
    ]
    for loss, packed, values in [
        (GlobalPushPlusLoss(margin), cosines, by_center),
        (PushPlusLoss(4, margin), np.concatenate([cosines, features], axis=1), by_feature),
    ]:
        violated = [value for value in values if value > 0]
        assert 0 < len(violated) < len(values)
        np.testing.assert_allclose(float(loss(classes[:, None], packed)), np.mean(violated), rtol=1e-4)


def test_nothing_violated_costs_nothing():
    cosines = np.eye(3, dtype="float32")[[0, 1, 2, 0]]
    assert float(GlobalPushPlusLoss(0.7)([0, 1, 2, 0], cosines)) == 0
    assert float(PushPlusLoss(3, 0.7)([0, 1, 2, 0], np.concatenate([cosines, cosines], axis=1))) == 0
    assert float(PushPlusLoss(3, 0.7)([1, 1, 1, 1], np.ones((4, 6), "float32"))) == 0  # no other class


def test_push_plus_needs_features():
    with pytest.raises(ValueError, match=r"3 cosines .* Received: shape \(2, 3\)"):
        PushPlusLoss(3)([0, 1], np.zeros((2, 3), "float32"))


def test_cosine_dense():
    x = np.random.default_rng(0).normal(size=(3, 2, 6)).astype("float32")
    layer = CosineDense(4)
    found = keras.ops.convert_to_numpy(layer(x))
    kernel = keras.ops.convert_to_numpy(layer.kernel)
    for at in np.ndindex(3, 2, 4):
        a, b = x[at[:2]], kernel[:, at[2]]
        assert found[at] == pytest.approx(a @ b / np.linalg.norm(a) / np.linalg.norm(b), abs=1e-6)
    layer.kernel.assign(kernel * np.array([1e-2, 3, 40, 0.5]))
    np.testing.assert_allclose(layer(7 * x), found, atol=1e-6)


def network(seed=0):
    """Cosines twice, for two losses."""
    keras.utils.set_random_seed(seed)
    inputs = keras.Input((5,))
    cosines = CosineDense(4)(keras.layers.Dense(6)(inputs))
    return keras.Model(inputs, [cosines, cosines])


def test_balance_moves_its_weights_down_their_slope():
    classes, _, x = batch()
    losses = [AMSoftmaxLoss(), CosineCenterLoss()]
    model = BalancedLosses(network(), losses)
    model.compile(keras.optimizers.SGD(0.1))
    start = np.array([0.3, -0.5], "float32")
    model.log_weights.assign(start)
    values = [float(loss(classes, output)) for loss, output in zip(losses, model(x), strict=True)]
    history = model.fit(x, classes, batch_size=len(x), verbose=0).history
    assert history["loss"][0] == pytest.approx(np.sum(np.exp(-start) * values + start / 2), rel=1e-5)
    slope = -np.exp(-start) * values + 0.5
    np.testing.assert_allclose(keras.ops.convert_to_numpy(model.log_weights), start - 0.1 * slope, rtol=1e-4)


def test_frozen_balance_is_a_plain_sum():
    classes, _, x = batch()
    first, second = network(), network()
    balanced = BalancedLosses(first, [AMSoftmaxLoss(), CosineCenterLoss()])
    balanced.log_weights.trainable = False
    balanced.compile(keras.optimizers.SGD(0.1))
    second.compile(keras.optimizers.SGD(0.1), [AMSoftmaxLoss(), CosineCenterLoss()])
    balanced.fit(x, classes, batch_size=7, epochs=2, shuffle=False, verbose=0)
    second.fit(x, [classes, classes], batch_size=7, epochs=2, shuffle=False, verbose=0)
    for a, b in zip(first.get_weights(), second.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)
    assert np.abs(first.get_weights()[0] - network().get_weights()[0]).max() > 1e-3


def test_balance_wants_an_output_per_loss():
    with pytest.raises(ValueError, match="Received: 1 losses, 2 outputs"):
        BalancedLosses(network(), [AMSoftmaxLoss()])


@pytest.mark.parametrize(("width", "millions"), [("0_75", 571.8), ("0_25", 82.3)])
def test_published_multiply_adds_to_the_digit(width, millions):
    """At 256 x 128, without the classifier and with four passes through each gate."""
    with keras.StatelessScope(initialize_variables=False):  # shapes will do
        model = registry.build(f"osnet_x{width}", num_classes=10)
    gates = sum(np.prod(layer.kernel.shape) for layer in model.layers if "_gate_fc" in layer.name)
    assert round((multiply_adds(model) + 3 * gates - 512 * 10) / 1e6, 1) == millions
    assert model.get_layer("embedding").output.shape[1:] == (512,)
    assert [model.get_layer(f"stage{s}").output.shape[1:3] for s in (1, 2, 3)] == [(64, 32), (32, 16), (16, 8)]


def test_one_gate_serves_all_four_streams():
    model = registry.build("osnet_tiny", scales=4, input_shape=(32, 32, 3))
    gates = [layer for layer in model.layers if layer.name == "stage2_block0_gate_fc2"]
    assert len(gates) == 1 and len(gates[0]._inbound_nodes) == 4


def test_unknown_head():
    with pytest.raises(ValueError, match="Received: head='arc'"):
        registry.build("osnet_tiny", head="arc")

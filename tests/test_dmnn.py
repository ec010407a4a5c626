"""Dynamic paths: the draw, the cost, and blocks with their branches on and off."""

import keras
import numpy as np
import pytest
from keras import ops

from hub.layers.dynamic_paths import GatedSum, PathBudget, PathController
from hub.models.dmnn import basic, bottleneck, dmnn, sample_paths

SMALL = {"depths": (1, 2), "width": 8, "input_shape": (32, 32, 3), "num_classes": 5}


def array(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def switched(model, on):
    """Every gate on (1) or off (-1) in inference, whatever the image."""
    decide = model.get_layer("controller").decide
    decide.kernel.assign(np.zeros(decide.kernel.shape))
    decide.bias.assign(np.full(decide.bias.shape, on))
    return model


def randomised(model):
    rng = np.random.default_rng(1)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            for weight in layer.weights:
                weight.assign(rng.uniform(0.5, 1.5, weight.shape))
    return model


@pytest.mark.parametrize("bias", [-2.0, 0.0, 1.0])
def test_draws_are_on_as_often_as_the_logit_says(bias):
    controller = PathController(2, units=4, bias=bias, seed=0)
    summary, state = np.zeros((5000, 3), "float32"), np.zeros((5000, 4), "float32")
    gates, _ = controller([summary, state], training=True)
    assert set(np.round(np.unique(gates), 5)) == {0, 1}
    assert abs(float(ops.mean(gates)) - 1 / (1 + np.exp(-bias))) < 0.02
    still, _ = controller([summary, state])
    assert (np.asarray(still) == (bias > 0)).all()


def test_a_summary_alone_starts_at_zeros_and_the_state_follows_the_gru():
    controller, x = PathController(2, units=4), array(3, 5)
    gates, state = controller(x)
    same, again = controller([x, np.zeros((3, 4), "float32")])
    np.testing.assert_array_equal(gates, same)
    np.testing.assert_array_equal(state, again)
    kernel, bias = np.asarray(controller.cell.kernel), np.asarray(controller.cell.bias)[0]
    update, _, candidate = np.split(x @ kernel + bias, 3, axis=1)  # from zeros the reset gate has no part
    np.testing.assert_allclose(state, np.tanh(candidate) / (1 + np.exp(update)), atol=1e-5)


def test_share_and_penalty_in_closed_form():
    budget = PathBudget(((3.0, 1.0), (2.0, 2.0)), target=0.25, weight=2.0)
    gates = [np.array([[1, 0], [0, 0]], "float32"), np.array([[1, 1], [0, 1]], "float32")]
    np.testing.assert_allclose(budget.share(gates), [7 / 8, 2 / 8])
    x = array(2, 3, 3, 1)
    np.testing.assert_array_equal(budget([x, *gates], training=True), x)
    np.testing.assert_allclose([float(v) for v in budget.losses], [2 * (9 / 16 - 1 / 4) ** 2], rtol=1e-5)
    budget([x, *gates])
    assert not budget.losses


def test_gated_sum():
    gates, a, b = np.array([[1, 0], [1, 1], [0, 0]], "float32"), array(3, 2, 2, 4), array(3, 2, 2, 4, seed=1)
    np.testing.assert_array_equal(GatedSum()([gates, a, b]), [a[0], a[1] + b[1], 0 * a[2]])


@pytest.mark.parametrize("block", [basic, bottleneck])
def test_blocks_with_all_paths_on_and_off(block):
    model, x = randomised(dmnn(block, **SMALL)), array(2, 32, 32, 3)
    ends = {
        at: model.get_layer(at).output for at in ("stage2", "stage2_block0_shortcut_bn", "stage1", "stage2_block0_out")
    }
    inner = keras.Model(model.input, ends)
    switched(model, -1.0)
    off = inner(x, training=False)
    np.testing.assert_allclose(off["stage2_block0_out"], np.maximum(off["stage2_block0_shortcut_bn"], 0), atol=1e-6)
    np.testing.assert_allclose(off["stage2"], off["stage2_block0_out"], atol=1e-6)
    switched(model, 1.0)
    on = inner(x, training=False)
    y = np.maximum(grouped(model, block, on["stage2_block0_out"]) + np.asarray(on["stage2_block0_out"]), 0)
    np.testing.assert_allclose(on["stage2"], y, rtol=1e-4, atol=1e-4)
    assert np.abs(np.asarray(on["stage2"]) - np.asarray(off["stage2"])).max() > 0.1


def grouped(model, block, x):
    """The residual of stage2_block1 as one wide block: kernels side by side, the middle one block-diagonal."""

    def norm(y, path, k):
        gamma, beta, mean, variance = (
            np.asarray(w) for w in model.get_layer(f"stage2_block1_path{path}_{k}_bn").weights
        )
        return (y - mean) / np.sqrt(variance + 1e-5) * gamma + beta

    last, n = 2 if block is basic else 3, 8
    after, before = ((0, 0), (0, 0), (0, n), (0, 0)), ((0, 0), (0, 0), (n, 0), (0, 0))
    for k in range(1, last + 1):
        kernels = [np.asarray(model.get_layer(f"stage2_block1_path{p}_{k}_conv").kernel) for p in (0, 1)]
        if k == 1:
            y = ops.conv(x, np.concatenate(kernels, -1), padding="same")
        elif k < last:
            y = ops.conv(y, np.concatenate([np.pad(kernels[0], after), np.pad(kernels[1], before)], -1), padding="same")
        else:
            halves = np.split(np.asarray(y), 2, -1)
            ends = [ops.conv(half, kernel, padding="same") for half, kernel in zip(halves, kernels, strict=True)]
            return sum(norm(end, p, k) for p, end in enumerate(ends))
        y = np.concatenate([norm(h, p, k) for p, h in enumerate(np.split(np.asarray(y), 2, -1))], -1)
        y = np.maximum(y, 0)


@pytest.mark.parametrize("block", [basic, bottleneck])
def test_counted_costs_are_the_layers_multiply_adds(block):
    model = dmnn(block, (2, 1, 2), width=8, input_shape=(64, 64, 3), num_classes=3)
    spent = []
    for layer in model.layers:
        if layer.name.endswith("_gates"):
            at = layer.name.removesuffix("_gates")
            convs = [x for x in model.layers if x.name.startswith(f"{at}_path0") and x.name.endswith("_conv")]
            spent.append(sum(np.prod(c.kernel.shape) * np.prod(c.output.shape[1:3]) for c in convs))
    costs = np.array(model.get_layer("budget").costs)
    assert (costs[:, 0] == costs[:, 1]).all()
    np.testing.assert_allclose(costs[:, 0] / costs.sum(), np.array(spent) / (2 * np.sum(spent)), rtol=1e-6)


def test_a_trained_network_spends_its_budget():
    keras.utils.set_random_seed(0)
    model = dmnn(basic, (1, 1), width=8, target=0.5, weight=20.0, input_shape=(16, 16, 1), num_classes=2)
    rng = np.random.default_rng(0)
    labels = rng.integers(2, size=64)
    images = rng.normal(size=(64, 16, 16, 1)).astype("float32") + labels[:, None, None, None]
    _, before = sample_paths(model, images)
    assert float(ops.min(before)) == 1, "at first every path is on"
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(0.02), loss, jit_compile=False)
    model.fit(np.tile(images, (30, 1, 1, 1)), np.tile(labels, 30), batch_size=64, shuffle=False, verbose=0)
    gates, share = sample_paths(model, images)
    assert gates.shape == (64, 2, 2) and set(np.unique(gates)) <= {0.0, 1.0}
    print(float(ops.mean(share)), np.asarray(gates).mean(0))
    assert abs(float(ops.mean(share)) - 0.5) < 0.25


def test_auxiliary_logits_come_from_the_state():
    model = dmnn(basic, **SMALL, auxiliary=True)
    logits, auxiliary = model(array(2, 32, 32, 3))
    assert logits.shape == auxiliary.shape == (2, 5)
    assert not np.allclose(logits, auxiliary)
    with pytest.raises(ValueError, match="divide"):
        dmnn(basic, (1,), width=9)


@pytest.mark.parametrize(
    ("layer", "wrong"),
    [
        (PathController, {"paths": 0}),
        (PathBudget, {"costs": ((1.0, 0.0),)}),
        (PathBudget, {"costs": ((1.0,),), "target": 2}),
    ],
)
def test_arguments(layer, wrong):
    with pytest.raises(ValueError, match="Received"):
        layer(**wrong)

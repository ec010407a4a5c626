"""Stochastic depth: the statistics of its draws in both conventions, its limits, and the rule of its rates."""

import keras
import numpy as np
import pytest

from hub.layers.stochastic_depth import StochasticDepth, linear_decay


def survivors(layer, draws=4000):
    """What becomes of ones [draws, 2, 3] while training."""
    return keras.ops.convert_to_numpy(layer(np.ones((draws, 2, 3), "float32"), training=True))


def test_examples_drop_one_by_one_and_whole():
    out = survivors(StochasticDepth(0.3, seed=0))
    assert (out == out[:, :1, :1]).all(), "an example is kept or dropped as a whole"
    np.testing.assert_allclose(np.unique(out), [0, 1 / 0.7], rtol=1e-6)
    np.testing.assert_allclose(out.mean(), 1, atol=4 * np.sqrt(0.3 / 0.7 / len(out)))  # 4 standard errors


def test_a_batch_drops_together():
    layer = StochasticDepth(0.3, mode="batch", seed=0)
    outs = [survivors(layer, 5) for _ in range(400)]
    assert all(len(np.unique(out)) == 1 for out in outs)
    np.testing.assert_allclose(np.mean(outs), 1, atol=4 * np.sqrt(0.3 / 0.7 / len(outs)))
    # the mean of a batch varies as much as one draw, where rows would share it among five
    np.testing.assert_allclose(np.var([out.mean() for out in outs]), 0.3 / 0.7, rtol=0.3)


def test_the_paper_scales_when_testing():
    x = np.ones((4000, 2, 3), "float32")
    inverted, paper = StochasticDepth(0.3), StochasticDepth(0.3, inverted=False, seed=0)
    np.testing.assert_array_equal(np.asarray(inverted(x)), x)
    np.testing.assert_allclose(np.asarray(paper(x)), 0.7 * x, rtol=1e-6)
    trained = survivors(paper)
    assert set(np.unique(trained)) == {0, 1}
    np.testing.assert_allclose(trained.mean(), 0.7, atol=4 * np.sqrt(0.3 * 0.7 / len(trained)))


@pytest.mark.parametrize("mode", ["row", "batch"])
@pytest.mark.parametrize("inverted", [True, False])
def test_the_limits(mode, inverted):
    x = np.full((50, 2), np.float32(np.inf))  # a dropped value leaves no trace, whatever it was
    assert (survivors(StochasticDepth(0.0, mode, inverted)) == 1).all()
    assert (np.asarray(StochasticDepth(1.0, mode, inverted)(x, training=True)) == 0).all()


def test_seeds():
    a, b, other = (survivors(StochasticDepth(0.5, seed=seed), 64) for seed in (3, 3, 4))
    assert (a == b).all() and (a != other).any()
    layer = StochasticDepth(0.5, seed=3)
    assert (survivors(layer, 64) != survivors(layer, 64)).any(), "every call draws anew"


def test_a_dropped_block_does_not_learn():
    inputs = keras.Input((4,))
    block = keras.layers.Dense(4)
    outputs = keras.layers.Add()([inputs, StochasticDepth(1.0)(block(inputs))])
    model = keras.Model(inputs, outputs)
    before = [w.copy() for w in model.get_weights()]
    model.compile(keras.optimizers.SGD(1.0), "mse")
    model.fit(np.ones((8, 4)), np.zeros((8, 4)), verbose=0)
    for old, now in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, now)


def test_linear_decay():
    rates = linear_decay(54, 0.5)  # the paper's 110 layers
    np.testing.assert_allclose(rates, [0.5 * block / 54 for block in range(1, 55)])
    np.testing.assert_allclose(sum(1 - rate for rate in rates), 40.25)  # expected depth, (3 L - 1) / 4
    np.testing.assert_allclose(linear_decay(12, 0.1, first=0), np.linspace(0, 0.1, 12), atol=1e-12)
    assert linear_decay(1, 0.3) == (0.3,) and linear_decay(3, 0.0) == (0, 0, 0)


def test_refusals():
    with pytest.raises(ValueError, match=r"within 0\.\.1\. Received: rate=1\.5"):
        StochasticDepth(1.5)
    with pytest.raises(ValueError, match=r"Received: mode='sample'"):
        StochasticDepth(0.1, "sample")
    with pytest.raises(ValueError, match=r"Received: blocks=0, last=0\.5"):
        linear_decay(0, 0.5)

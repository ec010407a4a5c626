"""BNSR and WeightAlign: closed forms, references, and what the papers promise."""

import keras
import numpy as np
import pytest
from keras import layers, ops

from hub.layers.bnsr import BatchNormalizationSR, skewness
from hub.layers.weight_align import GAINS, WeightAlignConv2D, WeightAlignDense, weight_align


def array(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def close(a, b, tolerance=1e-5):
    a, b = np.asarray(a), np.asarray(b)
    assert a.shape == b.shape
    np.testing.assert_allclose(a, b, atol=tolerance * max(np.abs(b).max(), 1), rtol=0)


def test_power_one_is_batch_normalization():
    x = array(6, 4, 4, 3) * 5 + 2
    ours, theirs = BatchNormalizationSR(1.0, offset=0.0, renorm=False), layers.BatchNormalization(epsilon=1e-5)
    for training in (True, True, False):
        close(ours(x, training=training), theirs(x, training=training), 1e-4)


def test_equals_slow_loops():
    x = array(5, 3, 2, 4) ** 2
    layer = BatchNormalizationSR(0.7)
    layer.build(x.shape)
    gamma, beta = array(4, seed=1), array(4, seed=2)
    layer.gamma.assign(gamma)
    layer.beta.assign(beta)
    slow = np.zeros_like(x)
    for c in range(4):
        v = x[..., c].ravel().astype(float)
        v = (v - v.mean()) / np.sqrt(v.var() + 1e-5)
        v = np.array([np.sign(u) * ((abs(u) + 0.01) ** 0.7 - 0.01**0.7) for u in v])
        v = (v - v.mean()) / np.sqrt(v.var() + 1e-5)
        slow[..., c] = (v * gamma[c] + beta[c]).reshape(x.shape[:-1])
    close(layer(x, training=True), slow, 1e-4)


@pytest.mark.parametrize(("power", "expected"), [(1.0, 2.0), (0.8, 1.35), (0.5, 0.79)])
def test_a_power_below_one_reduces_the_skewness_of_exponential_samples(power, expected):
    x = np.random.default_rng(0).exponential(size=(200_000, 1)).astype("float32")
    y = BatchNormalizationSR(power)(x, training=True)
    assert abs(float(skewness(y, 0)[0]) - expected) < 0.08
    mean, variance = float(ops.mean(y)), float(ops.var(y))
    assert abs(mean) < 1e-3 and abs(variance - 1) < 1e-2


def test_skewness():
    from scipy.stats import skew

    x = np.random.default_rng(1).gamma(2, size=(50, 3)).astype("float32")
    close(skewness(x, 0), skew(x.astype(float), 0), 1e-4)
    close(skewness(np.ones((4, 2), "float32"), 0), np.zeros(2, "float32"))


def test_yeo_johnson_equals_scipy():
    from scipy.stats import yeojohnson

    x = np.stack([v := np.random.default_rng(2).exponential(size=500).astype("float32"), -v], -1)
    layer = BatchNormalizationSR(transform="yeo_johnson", renorm=False)
    layer(x, training=True)
    assert (np.sign(layer.moving_skewness) == [1, -1]).all()
    plain = np.asarray(layers.BatchNormalization(epsilon=1e-5)(x, training=True)).astype(float)
    expected = np.stack([yeojohnson(plain[:, 0], 0.5), yeojohnson(plain[:, 1], 1.5)], -1)
    close(layer(x, training=True), expected, 1e-4)


def test_constant_channels_and_learned_powers_stay_finite():
    x = keras.Variable(np.stack([np.full(8, 3.0), np.arange(8) == 0], -1).astype("float32"))
    layer = BatchNormalizationSR(learnable=True)
    y = np.asarray(layer(x.value, training=True))
    assert np.isfinite(y).all() and not y[:, 0].any()
    close(layer(x.value, training=True), BatchNormalizationSR(0.8)(x.value, training=True), 1e-4)


@pytest.mark.parametrize("wrong", [{"power": 0}, {"power": 0.4, "learnable": True}, {"transform": "log"}])
def test_bnsr_arguments(wrong):
    with pytest.raises(ValueError, match="Received"):
        BatchNormalizationSR(**wrong)


@pytest.mark.parametrize("gain", GAINS)
def test_aligned_filters_in_closed_form(gain):
    w = array(3, 3, 5, 4) * np.array([0.1, 1, 5, 20], "float32") + 3
    aligned = np.asarray(weight_align(ops.convert_to_tensor(w), gain)).reshape(-1, 4)
    close(aligned.mean(0), np.zeros(4))
    close(45 * GAINS[gain] * aligned.var(0), np.ones(4), 1e-2)
    for f in range(4):
        v = w[..., f].astype(float)
        slow = (v - v.mean()) / np.sqrt(GAINS[gain] * 45 * v.var() + 1e-5)
        close(aligned[:, f], slow.ravel(), 1e-4)


def test_relation_to_scaled_weight_standardisation():
    """Brock et al. (2021) keep the variance by gain times (w - mean) / (sqrt(n) std); timm samples ReLU's 1.71396."""
    w = array(3, 3, 5, 4)
    standard = (w - w.mean((0, 1, 2))) / (w.std((0, 1, 2)) * 45**0.5)
    close(weight_align(ops.convert_to_tensor(w), "relu", 0.0), 1.7139588594436646 * standard, 1e-3)


@pytest.mark.parametrize(("gain", "low", "high"), [("he", 1e-6, 1e-4), ("relu", 0.3, 3)])
def test_variance_after_thirty_relu_layers(gain, low, high):
    keras.utils.set_random_seed(0)
    x = array(64, 512)
    for _ in range(30):
        layer = WeightAlignDense(512, gain=gain, use_bias=False)
        y = layer(x)
        x = ops.relu(y)
    assert low < float(ops.var(y)) < high


def test_a_plain_layer_with_the_aligned_kernel_is_the_same():
    x = array(4, 7, 6, 3)
    inputs = keras.Input((7, 6, 3))
    aligned = WeightAlignConv2D(8, 3, 2, "same", gain="relu", name="conv")
    y = layers.Flatten()(aligned(inputs))
    dense = WeightAlignDense(5, name="dense")
    model = keras.Model(inputs, dense(y))
    aligned.gamma.assign(array(8, seed=3))
    plain = [layers.Conv2D(8, 3, 2, "same"), layers.Dense(5)]
    for layer, source in zip(plain, (aligned, dense), strict=True):
        layer.build(source.input.shape)
        layer.set_weights([source.kernel, source.bias])
    folded = plain[1](layers.Flatten()(plain[0](x)))
    close(model(x), folded)
    close(model(x)[:1], model(x[:1]))
    assert not model.non_trainable_weights
    close(model(x, training=True), model(x), 0)

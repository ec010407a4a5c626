"""Advanced dropout, probability guided maxout and final batch normalisation: equations, extremes, expectations."""

import keras
import numpy as np
import pytest
from keras import layers, ops

from hub.layers.advanced_dropout import AdvancedDropout
from hub.layers.probability_guided_maxout import PGMaxoutHead
from hub.training.final_batch_norm import add_final_batch_norm, make_imbalanced


def array(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def close(a, b, tolerance=1e-5):
    a, b = np.asarray(a), np.asarray(b)
    assert a.shape == b.shape
    np.testing.assert_allclose(a, b, atol=tolerance * max(np.abs(b).max(), 1), rtol=0)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def random_dropout(channels, seed=7):
    layer = AdvancedDropout(reduction=4, seed=seed)
    layer.build((None, channels))
    for i, w in enumerate(layer.trainable_weights):
        w.assign(array(*w.shape, seed=i) * 0.5)
    return layer


@pytest.mark.parametrize("shape", [(6, 8), (3, 5, 4, 8)])
def test_advanced_dropout_equals_the_equations(shape):
    layer, x = random_dropout(8), array(*shape)
    draws = np.asarray(keras.random.normal(shape, seed=keras.random.SeedGenerator(7)))
    hidden, b, w_mu, b_mu, w_sigma, b_sigma = (np.asarray(w) for w in layer.trainable_weights)
    mus, sigmas = [], []
    for example in x.reshape(shape[0], -1, 8).mean(1):
        h = [example @ hidden[:, k] + b for k in range(2)]
        mus.append(sum(a * v for a, v in zip(w_mu, h, strict=True)) + b_mu)
        sigmas.append(np.log1p(np.exp(sum(a * v for a, v in zip(w_sigma, h, strict=True)) + b_sigma)))
    mu, sigma = np.mean(mus), np.mean(sigmas)
    expected = x * sigmoid(mu + sigma * draws) / sigmoid(mu / np.sqrt(1 + np.pi / 8 * sigma**2))
    close(layer(x, training=True), expected, 1e-4)
    close(layer(x), x, 0)


def test_the_mask_has_the_expected_mean():
    layer, x = AdvancedDropout(init_mu=0.7, seed=1), np.ones((4000, 32), "float32")
    y = np.asarray(layer(x, training=True))
    rate = float(layer.keep_rate(x))
    assert abs((y * rate).mean() - rate) < 0.006
    assert 0.5 < rate < 0.7 and y.std() > 0.3 and y.min() > 0


def test_gradients_do_not_flow_through_the_divisor():
    """Only the numerator m = sigmoid(mu + sigma e) moves: d mean(y) / d mu_bias = mean(m (1 - m)) / rate."""
    layer, x = AdvancedDropout(seed=1), np.ones((4, 64), "float32")
    inputs = keras.Input((64,))
    model = keras.Model(inputs, layer(inputs))
    mu, sigma = (float(v) for v in layer.moments(x))
    rate, start = float(layer.keep_rate(x)), float(layer.mu_bias)
    layer.seed_generator.state.assign(keras.random.SeedGenerator(1).state)
    draws = np.asarray(keras.random.normal((4, 64), seed=keras.random.SeedGenerator(1)))
    m = sigmoid(mu + sigma * draws)
    model.compile(keras.optimizers.SGD(1.0), loss=lambda t, y: ops.mean(y, axis=-1))
    model.fit(x, x, batch_size=4, verbose=0)
    assert abs(start - float(layer.mu_bias) - (m * (1 - m)).mean() / rate) < 1e-3


def test_sigma_starts_positive():
    with pytest.raises(ValueError, match="positive"):
        AdvancedDropout(init_sigma=0)


def slow_head(layer, features, labels):
    w, b, s = (np.asarray(v, float) for v in (layer.kernel, layer.bias, layer.scale))
    out = []
    for f, y in zip(features.astype(float), labels, strict=True):
        logits = f @ w + b
        certainty = np.exp(logits[y]) / np.exp(logits).sum()
        kept = 1 - layer.max_drop * certainty
        masked = np.zeros_like(f)
        for i in sorted(range(len(f)), key=lambda i: f[i])[: round(len(f) * kept)]:
            masked[i] = f[i] * s / kept
        out.append(masked @ w + b)
    return np.array(out)


@pytest.mark.parametrize("max_drop", [0.5, 1.0, 0.0])
def test_head_equals_slow_loops(max_drop):
    features, labels = np.abs(array(20, 17)), np.arange(20) % 4
    layer = PGMaxoutHead(4, max_drop)
    layer.build(features.shape)
    layer.kernel.assign(array(17, 4, seed=1))
    layer.scale.assign(1.3)
    close(layer([features, labels], training=True), slow_head(layer, features, labels), 1e-4)
    dense = features @ np.asarray(layer.kernel)
    close(layer(features), dense)
    close(layer([features, labels]), dense)


@pytest.mark.parametrize(("certainty", "kept"), [(1, 5), (0, 10), (0.5, 8)])
def test_the_strongest_features_fall(certainty, kept):
    """At 0.5 there remain 10 (1 - 0.25) = 7.5, rounded to the even 8; with equal features the number is the same."""
    layer = PGMaxoutHead(2)
    layer.build((None, 10))
    layer.kernel.assign(np.zeros((10, 2)))
    layer.bias.assign({1: [50, -50], 0: [-50, 50], 0.5: [0, 0]}[certainty])
    features = np.stack([np.random.default_rng(0).permutation(10) + 1.0, np.ones(10)]).astype("float32")
    masked = np.asarray(layer.mask(ops.convert_to_tensor(features), np.zeros(2, "int32")))
    assert ((masked > 0).sum(-1) == kept).all()
    assert sorted(features[0][masked[0] > 0]) == list(range(1, kept + 1))
    close(masked[0].max(), np.float32(kept / (1 - certainty / 2)), 1e-5)


def small_model():
    inputs = keras.Input((6,))
    x = layers.Dense(8, activation="relu", name="hidden")(inputs)
    return keras.Model(inputs, layers.Dense(3, name="logits")(x), name="net")


@pytest.mark.parametrize("position", ["logits", "features"])
def test_final_batch_norm_at_both_places(position):
    x, model = array(16, 6), small_model()
    normed = add_final_batch_norm(model, position)
    hidden = np.maximum(x @ np.asarray(model.layers[1].kernel), 0)
    w = np.asarray(model.layers[2].kernel)
    v = hidden @ w if position == "logits" else hidden
    centred = (v - v.mean(0)) / np.sqrt(v.var(0) + 1e-5)
    expected = centred if position == "logits" else centred @ w
    close(normed(x, training=True), expected, 1e-3)
    assert normed.get_layer("logits") is model.get_layer("logits")
    fresh = add_final_batch_norm(small_model(), position)
    plain = keras.Model(fresh.input, fresh.get_layer("logits").output)
    before = np.asarray(fresh(x))
    if position == "logits":  # mean 0, variance 1 at first: nothing but the scale
        close(before, np.asarray(plain(x)) / np.sqrt(1 + 1e-5))


def test_final_batch_norm_needs_logits():
    inputs = keras.Input((4,))
    with pytest.raises(ValueError, match="softmax"):
        add_final_batch_norm(keras.Model(inputs, layers.Dense(2, activation="softmax")(inputs)))
    with pytest.raises(ValueError, match="position"):
        add_final_batch_norm(small_model(), "middle")


def test_imbalanced_subset():
    labels = np.repeat(np.arange(3), 40)
    index = make_imbalanced(labels, {0: 30, 2: 3}, seed=1)
    assert len(set(index)) == 33 and (np.bincount(labels[index]) == [30, 0, 3]).all()
    assert (index == make_imbalanced(labels, {0: 30, 2: 3}, seed=1)).all()
    assert (index != np.sort(index)).any()
    with pytest.raises(ValueError, match="40 examples"):
        make_imbalanced(labels, {1: 41})

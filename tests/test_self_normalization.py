"""Self-normalisation: the map of moments in closed form, and deep random networks."""

import keras
import numpy as np
import pytest
from keras import layers

from hub.evaluation.self_normalization import ALPHA, SCALE, activation_flow, selu_moment_map


@pytest.mark.parametrize(
    ("mean", "variance", "omega", "tau"), [(0, 1, 0, 1), (0.1, 1.5, 0.1, 0.95), (-1, 2, 0.5, 1.2), (3, 0.04, 1, 1)]
)
def test_the_map_equals_quadrature(mean, variance, omega, tau):
    centre, root = mean * omega, (variance * tau) ** 0.5
    z = np.linspace(-12, 12, 2_000_001)
    density = np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi) * (z[1] - z[0])
    x = centre + root * z
    y = SCALE * np.where(x > 0, x, ALPHA * np.expm1(np.minimum(x, 0)))
    first, second = (y * density).sum(), (y**2 * density).sum()
    np.testing.assert_allclose(selu_moment_map(mean, variance, omega, tau), (first, second - first**2), atol=1e-8)


def test_zero_and_one_attract():
    """The fixed point is stable: there the paper finds 0.7826 for the derivative of variance by variance."""
    np.testing.assert_allclose(selu_moment_map(0, 1), (0, 1), atol=1e-12)
    step = 1e-5
    slope = (selu_moment_map(0, 1 + step)[1] - selu_moment_map(0, 1 - step)[1]) / (2 * step)
    assert abs(slope - 0.782648) < 1e-4
    mean, variance = 0.5, 2.5
    for _ in range(60):
        mean, variance = selu_moment_map(mean, variance)
    np.testing.assert_allclose((mean, variance), (0, 1), atol=1e-5)


def deep(activation, depth=50, width=256):
    keras.utils.set_random_seed(0)
    x = inputs = keras.Input((width,))
    for i in range(depth):
        x = layers.Dense(width, activation=activation, kernel_initializer="lecun_normal", name=f"layer{i + 1}")(x)
    return keras.Model(inputs, x)


def test_selu_keeps_what_relu_loses():
    x = np.random.default_rng(0).normal(size=(500, 256)).astype("float32")
    model = deep("selu")
    selu, wild = activation_flow(model, x), activation_flow(model, 3 * x + 2)
    assert list(selu) == [f"layer{i + 1}" for i in range(50)]
    assert all(abs(selu[f"layer{i}"][1] - 1) < 0.25 and abs(selu[f"layer{i}"][0]) < 0.2 for i in (1, 10, 50))
    assert abs(wild["layer20"][0]) < 0.2 and abs(wild["layer20"][1] - 1) < 0.3
    assert activation_flow(deep("relu", 10), x)["layer10"][1] < 0.01


def test_alpha_dropout_of_keras_keeps_both():
    x = np.random.default_rng(1).normal(size=(400, 500)).astype("float32")
    x = np.where(x > 0, SCALE * x, SCALE * ALPHA * np.expm1(x)).astype("float32")
    y = np.asarray(layers.AlphaDropout(0.1, seed=0)(x, training=True))
    assert abs(y.mean()) < 0.01 and abs(y.var() - 1) < 0.02


def test_there_must_be_an_activation_and_a_variance():
    inputs = keras.Input((3,))
    with pytest.raises(ValueError, match="activation"):
        activation_flow(keras.Model(inputs, layers.Dense(2)(inputs)), np.ones((1, 3)))
    with pytest.raises(ValueError, match="variance"):
        selu_moment_map(1, 0)

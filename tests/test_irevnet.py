"""i-RevNet: nothing is lost, nothing is approximated; against slow loops."""

import keras
import numpy as np
import pytest

from hub.layers.invertible import IRevBlock, Psi
from hub.models.irevnet import invert
from hub.registry import build


def array(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def close(a, b, tolerance=1e-5):
    a, b = np.asarray(a), np.asarray(b)
    assert a.shape == b.shape
    np.testing.assert_allclose(a, b, atol=tolerance * max(np.abs(b).max(), 1), rtol=0)


def slow_psi(x, b):
    n, h, w, c = x.shape
    y = np.zeros((n, h // b, w // b, b * b * c), x.dtype)
    for i, j in np.ndindex(h, w):
        at = (i % b * b + j % b) * c
        y[:, i // b, j // b, at : at + c] = x[:, i, j]
    return y


def slow_conv(x, kernel, strides):
    n, h, w, _ = x.shape
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    y = np.zeros((n, -(-h // strides), -(-w // strides), kernel.shape[-1]))
    for i, j in np.ndindex(*y.shape[1:3]):
        window = padded[:, i * strides : i * strides + 3, j * strides : j * strides + 3]
        y[:, i, j] = np.einsum("nabc,abcf->nf", window, kernel)
    return y


def slow_block(x, block):
    w = {"/".join(v.path.split("/")[-2:]): np.asarray(v) for v in block.weights}
    half = block.filters // (4 if block.strides == 2 else 1)
    x = np.concatenate([x, np.zeros((*x.shape[:3], 2 * half - x.shape[-1]))], -1)
    x1, f = x[..., :half], x[..., half:]
    x2 = f
    for i in range(3):
        if i or not block.first:
            spread = np.sqrt(w[f"bn{i}/moving_variance"] + 1e-5)
            f = (f - w[f"bn{i}/moving_mean"]) / spread * w[f"bn{i}/gamma"] + w[f"bn{i}/beta"]
            f = np.maximum(f, 0)
        f = slow_conv(f, w[f"conv{i + 1}/kernel"], block.strides if i == 0 else 1)
    if block.strides == 2:
        x1, x2 = slow_psi(x1, 2), slow_psi(x2, 2)
    return np.concatenate([x2, x1 + f], -1)


def shaken(layers):
    """BN far from its neutral start."""
    rng = np.random.default_rng(1)
    for layer in layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            for weight in layer.weights:
                plus = weight.name in ("gamma", "moving_variance")
                weight.assign(rng.uniform(0.5, 1.5, weight.shape) if plus else rng.normal(0, 0.2, weight.shape))


@pytest.mark.parametrize(("height", "width", "block_size"), [(4, 6, 2), (2, 2, 2), (6, 3, 3), (3, 2, 1)])
def test_psi_moves_squares_into_channels_and_back(height, width, block_size):
    x = array(2, height, width, 3)
    psi = Psi(block_size)
    close(psi(x), slow_psi(x, block_size), 0)
    close(psi.inverse(psi(x)), x, 0)


def test_psi_takes_whole_squares_only():
    with pytest.raises(ValueError, match="multiples of 2"):
        Psi()(array(1, 4, 5, 3))


@pytest.mark.parametrize(
    ("channels", "filters", "strides", "first"),
    [(6, 3, 1, False), (3, 4, 1, True), (6, 12, 2, False), (4, 8, 2, True)],
    ids=["same", "odd channels, padded", "halved", "first, halved"],
)
def test_a_block_equals_slow_loops_and_is_undone(channels, filters, strides, first):
    x = array(2, 4, 6, channels)
    block = IRevBlock(filters, strides, first)
    block.build(x.shape)
    shaken(block.residual)
    y = block(x)
    close(y, slow_block(x, block))
    close(block.inverse(y), x)
    assert np.abs(np.asarray(y)[..., filters:]).max() > 0.1


@pytest.mark.parametrize(("channels", "filters", "strides"), [(8, 3, 1), (8, 8, 2), (3, 6, 2)])
def test_a_block_that_would_lose_something_is_refused(channels, filters, strides):
    with pytest.raises(ValueError, match="loses nothing"):
        IRevBlock(filters, strides)(array(1, 4, 4, channels))


def with_statistics_of(model, images):
    """Every BN's moving statistics become those of `images`, with gamma far from its neutral start."""
    for layer in model._flatten_layers():
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.0
            layer.gamma.assign(np.random.default_rng(1).uniform(0.5, 1.5, layer.gamma.shape))
    model(images, training=True)
    return model


@pytest.mark.parametrize(("depths", "width"), [((11, 11), None), ((4, 4), 16)], ids=["bijection", "injection"])
def test_images_come_back(depths, width):
    """Through 22 blocks, and through the zeros that were appended, whose BN would multiply rounding by 316."""
    keras.utils.set_random_seed(0)
    images = array(4, 16, 16, 3)
    model = build("irevnet_tiny", depths=depths, width=width, input_shape=(16, 16, 3), num_classes=0)
    features = with_statistics_of(model, images)(images)
    assert width or np.prod(features.shape) == images.size
    assert np.abs(np.asarray(features)[:, 0, 0] - np.asarray(features)[:, -1, -1]).max() > 0.1
    assert np.abs(np.asarray(invert(model, features)) - images).max() < 1e-4


def test_any_features_of_a_bijection_have_a_picture():
    keras.utils.set_random_seed(0)
    images = array(2, 16, 16, 3)
    model = build("irevnet_tiny", input_shape=(16, 16, 3), num_classes=0)
    features = np.asarray(with_statistics_of(model, images)(images))
    between = features.mean(0, keepdims=True)
    picture = np.asarray(invert(model, between))
    assert np.abs(picture - images.mean(0)).max() > 0.1
    close(model(picture), between, 1e-4)


def test_invert_takes_the_features_behind_a_head_too():
    keras.utils.set_random_seed(0)
    images = array(2, 8, 16, 1)
    model = build("irevnet_tiny", input_shape=(8, 16, 1), num_classes=3)
    body = keras.Model(model.input, model.get_layer("stage2").output)
    close(invert(model, body(images)), images)
    with pytest.raises(ValueError, match="last stage"):
        invert(model, array(2, 1, 2, 7))
    with pytest.raises(ValueError, match="last stage"):
        invert(build("resnet_tiny", input_shape=(32, 32, 3)), array(2, 1, 1, 64))


@pytest.mark.parametrize("size", [(32, 28, 3), (30, 32, 3)])
def test_images_that_cannot_be_halved(size):
    with pytest.raises(ValueError, match="without loss"):
        build("irevnet_tiny", input_shape=size)


def test_moving_statistics_of_the_tail_follow_the_last_batch():
    """PyTorch's momentum of 0.9 there is Keras's 0.1."""
    model = build("irevnet_tiny", input_shape=(8, 8, 3), num_classes=3)
    images = array(4, 8, 8, 3)
    seen = np.asarray(keras.Model(model.input, model.get_layer("stage2").output)(images, training=True))
    for layer in model._flatten_layers():
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.moving_mean.assign(np.zeros(layer.moving_mean.shape))
    model(images, training=True)
    close(model.get_layer("tail_bn").moving_mean, 0.9 * seen.mean((0, 1, 2)))

"""CondConv against mixtures of plain convolutions, and a small network of it in every file format."""

import keras
import numpy as np
import pytest

from hub import registry
from hub.export import export
from hub.layers.cond_conv import CondConv2D

RNG = np.random.default_rng(0)


def features(height=9, width=8):
    return RNG.normal(size=(3, height, width, 4)).astype("float32")


def plain(x, kernel, strides, padding, depthwise):
    """One expert's output by the backend's own convolution."""
    if padding == "symmetric":
        border = kernel.shape[0] // 2
        x, padding = np.pad(x, ((0, 0), (border, border), (border, border), (0, 0))), "valid"
    convolve = keras.ops.depthwise_conv if depthwise else keras.ops.conv
    kernel = kernel[..., None] if depthwise else kernel
    return keras.ops.convert_to_numpy(convolve(x, kernel, strides, padding, data_format="channels_last"))


@pytest.mark.parametrize("depthwise", [False, True])
@pytest.mark.parametrize(
    ("kernel_size", "strides", "padding", "size"),
    [
        (1, 1, "same", (9, 8)),
        (1, 2, "same", (9, 8)),
        (3, 1, "same", (9, 8)),
        (3, 2, "same", (9, 8)),
        (3, 2, "symmetric", (9, 8)),
        (5, 2, "same", (8, 7)),
        (5, 2, "symmetric", (8, 7)),
        (5, 1, "symmetric", (3, 2)),
        (3, 3, "valid", (11, 10)),
    ],
)
def test_mixing_kernels_is_mixing_outputs(kernel_size, strides, padding, size, depthwise):
    x, gate = features(*size), RNG.uniform(size=(3, 5)).astype("float32")
    layer = CondConv2D(None if depthwise else 6, kernel_size, 5, strides, padding)
    mixed = keras.ops.convert_to_numpy(layer([x, gate]))
    kernel = keras.ops.convert_to_numpy(layer.kernel)
    expected = sum(
        gate[:, i, None, None, None] * plain(x, kernel[..., i], strides, padding, depthwise) for i in range(5)
    )
    np.testing.assert_allclose(mixed, expected, atol=1e-5 * np.abs(expected).max())
    one_hot = np.eye(5, dtype="float32")[[2, 0, 4]]
    chosen = keras.ops.convert_to_numpy(layer([x, one_hot]))
    for n, i in enumerate((2, 0, 4)):
        alone = plain(x[n : n + 1], kernel[..., i], strides, padding, depthwise)
        np.testing.assert_allclose(chosen[n : n + 1], alone, atol=1e-5 * np.abs(alone).max())


@pytest.mark.parametrize("filters", [64, None])
def test_experts_start_apart_each_with_the_variance_of_one_kernel(filters):
    layer = CondConv2D(filters, 3, 4)
    layer.build([(None, 8, 8, 64), (None, 4)])
    experts = keras.ops.convert_to_numpy(layer.kernel).reshape(-1, 4)
    assert np.abs(np.corrcoef(experts.T) - np.eye(4)).max() < 0.2
    np.testing.assert_allclose(experts.std(axis=0), np.sqrt(2 / (9 * (64 if filters else 1))), rtol=0.15)


def test_any_size_but_for_strided_same():
    gate = keras.Input((2,))
    x = keras.Input((None, None, 4))
    model = keras.Model([x, gate], CondConv2D(3, 3, 2, strides=2, padding="symmetric")([x, gate]))
    assert model.output_shape == (None, None, None, 3)
    assert model([features(9, 8), np.ones((3, 2))]).shape == (3, 5, 4, 3)
    assert CondConv2D(3, 3, 2)([x, gate]).shape == (None, None, None, 3)
    with pytest.raises(ValueError, match='pads "same" with strides only where height and width are known'):
        CondConv2D(3, 3, 2, strides=2)([x, gate])


def test_refusals():
    with pytest.raises(ValueError, match="Received: padding='full'"):
        CondConv2D(3, 3, padding="full")
    with pytest.raises(ValueError, match=r"a gate \[N, 4\]. Received: shapes \(3, 9, 8, 4\) and \(3, 2\)"):
        CondConv2D(3, 3)([features(), np.ones((3, 2), "float32")])


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="files are TensorFlow's")
def test_a_network_of_it_exports(tmp_path):
    keras.utils.set_random_seed(0)
    model = registry.build("efficientnet_tiny", experts=2, input_shape=(32, 32, 3), num_classes=3)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):  # or an untrained network's signal fades to nothing
            layer.moving_variance.assign(keras.ops.full_like(layer.moving_variance, 0.05))
    golden = RNG.uniform(0, 255, size=(2, 32, 32, 3)).astype("float32")
    facts = export(model, tmp_path / "1", golden=golden, formats=("saved_model", "float32"), image_bytes=False)
    assert {"saved_model", "float32"} <= set(facts["formats"])

"""The retina against SciPy's interpolation, and what turns and zooms of the image do to it."""

import keras
import numpy as np
import pytest
from scipy import ndimage

from hub import registry, weights
from hub.layers.log_polar import LogPolar


def array(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def slow(image, n_rho, n_theta, r_min, r_max, center):
    """One point at a time, from the definition; SciPy interpolates, with zeros all around."""
    height, width, channels = image.shape
    half = min(height, width) / 2
    out = np.zeros((n_rho, n_theta, channels))
    for i, j, c in np.ndindex(out.shape):
        radius = half * r_min * (r_max / r_min) ** (i / (n_rho - 1))
        angle = 2 * np.pi * j / n_theta
        y = (height - 1) / 2 + half * center[0] + radius * np.sin(angle)
        x = (width - 1) / 2 + half * center[1] + radius * np.cos(angle)
        out[i, j, c] = ndimage.map_coordinates(
            image[..., c].astype(float), [[y], [x]], order=1, mode="grid-constant", cval=0
        )[0]
    return out


@pytest.mark.parametrize("size", [(11, 11), (10, 15), (16, 9)])
def test_equals_slow_points(size):
    x = array(2, *size, 3)
    arguments = (7, 10, 0.05, 1.4)  # the last rings leave the image
    got = np.asarray(LogPolar(*arguments)(x))
    centers = np.array([[0.3, -0.7], [-1.1, 0.25]], "float32")
    moved = np.asarray(LogPolar(*arguments)((x, centers)))
    for n in range(2):
        np.testing.assert_allclose(got[n], slow(x[n], *arguments, (0, 0)), atol=1e-5)
        np.testing.assert_allclose(moved[n], slow(x[n], *arguments, centers[n]), atol=1e-4)
    fixed = LogPolar(*arguments, center=(0.3, -0.7))(x[:1])
    np.testing.assert_allclose(fixed, moved[:1], atol=1e-4)
    assert moved.any() and not np.isnan(moved).any()


def test_a_quarter_turn_shifts_the_columns_by_a_quarter():
    x = array(1, 12, 12, 2)
    layer = LogPolar(9, 16)
    clockwise = np.rot90(x, -1, axes=(1, 2))  # what was at the right (column 0) is then at the bottom (column 4)
    np.testing.assert_allclose(layer(clockwise), np.roll(layer(x), 4, axis=2), atol=1e-5)


def blobs(turn=0.0, zoom=1.0, side=97):
    """A smooth picture, turned clockwise by `turn` radians and magnified, [1, side, side, 1]."""
    y, x = (np.indices((side, side)) - (side - 1) / 2) / (side / 2)
    u = (np.cos(turn) * x + np.sin(turn) * y) / zoom
    v = (-np.sin(turn) * x + np.cos(turn) * y) / zoom
    return np.exp(-((u - 0.3) ** 2 + v**2) / 0.03)[None, ..., None] + 0.5 * np.sin(4 * u * v + v)[None, ..., None]


def test_turns_shift_columns_and_zooms_shift_rows():
    layer = LogPolar(40, 36, 0.1, 0.98)
    x, spacing = np.asarray(layer(blobs())), np.log(9.8) / 39
    turned = np.asarray(layer(blobs(turn=2 * np.pi * 5 / 36)))
    np.testing.assert_allclose(turned, np.roll(x, 5, axis=2), atol=0.01)
    zoomed = np.asarray(layer(blobs(zoom=np.exp(4 * spacing))))
    np.testing.assert_allclose(zoomed[:, 4:], x[:, :-4], atol=0.01)
    assert np.abs(turned - x).max() > 0.3 and np.abs(zoomed - x).max() > 0.3


def test_a_moved_image_is_a_moved_gaze():
    x = np.zeros((1, 20, 20, 1), "float32")
    x[0, 3:15, 2:13, 0] = array(12, 11)
    layer = LogPolar(8, 12)
    at = np.array([[0.2, -0.3]], "float32")  # 2 rows down, 3 columns to the left
    np.testing.assert_allclose(layer((x, at)), layer(np.roll(x, (-2, 3), (1, 2))), atol=1e-5)


@pytest.mark.parametrize("wrong", [{"r_min": 0}, {"r_min": 1.0}, {"n_rho": 1}])
def test_arguments(wrong):
    with pytest.raises(ValueError, match="Received"):
        LogPolar(**wrong)
    with pytest.raises(ValueError, match="known height"):
        LogPolar()(keras.Input((None, 8, 3)))


def test_the_gaze_survives_saving_and_half_precision(tmp_path):
    x, at = array(2, 9, 8, 3), array(2, 2, seed=1) / 3
    inputs = [keras.Input((9, 8, 3)), keras.Input((2,))]
    model = keras.Model(inputs, LogPolar(6, 8, center=(0.1, 0.2), name="retina")(inputs))
    model.save(tmp_path / "m.keras")
    again = keras.saving.load_model(tmp_path / "m.keras")
    np.testing.assert_array_equal(model((x, at)), again((x, at)))
    half = LogPolar(6, 8, dtype="float16")((x, at))
    assert keras.backend.standardize_dtype(half.dtype) == "float16"
    np.testing.assert_allclose(half, model((x, at)), atol=0.02)


def test_foveated_resnet_is_the_backbone_behind_the_retina(tmp_path):
    from safetensors.numpy import save_file

    entry = registry.info("foveated_resnet_tiny")
    model = registry.build(entry.name, input_shape=(40, 48, 3), num_classes=5)
    trunk = registry.build("resnet_tiny", input_shape=(48, 64, 3), num_classes=5)
    rng = np.random.default_rng(0)
    for weight in trunk.weights:
        weight.assign(rng.uniform(0.1, 0.9, weight.shape) - 0.4 * ("kernel" in weight.name))
    names = registry.module(entry).TORCH_NAMES(model, {})
    tensors = {}
    for layer in trunk.layers:
        for weight in layer.weights:
            value = np.asarray(weight)
            value = np.ascontiguousarray(value.transpose(3, 2, 0, 1) if value.ndim == 4 else value.T)
            key = f"{weights._torch_name(layer.name, names)}.{weights.TORCH_LEAVES[weight.name]}"
            tensors[key] = value
    save_file(tensors, tmp_path / "model.safetensors")
    weights.apply(model, entry, tmp_path / "model.safetensors", num_classes_given=True)
    x = array(2, 40, 48, 3)
    seen = LogPolar(48, 64)(x)
    for at in ("stage1", "stage4", "logits"):
        got = keras.Model(model.input, model.get_layer(at).output)(x, training=False)
        expected = keras.Model(trunk.input, trunk.get_layer(at).output)(seen, training=False)
        np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-4)

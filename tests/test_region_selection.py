"""Region selection against slow loops, its limits, and what training does to planted patches."""

import keras
import numpy as np
import pytest

from hub.layers.region_selection import RegionSelection, with_region_selection


def array(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def randomised(layer, shape):
    layer.build(shape)
    for i, weight in enumerate(layer.weights):
        weight.assign(array(*weight.shape, seed=i + 1))
    return layer


def test_logits_mask_and_terms_equal_slow_loops():
    x = array(2, 3, 4, 5)
    layer = randomised(RegionSelection(3, significance=0.7, ambiguity=0.9), x.shape)
    logits, mask = layer(x, training=True)
    a, a0, place, w, b = (np.asarray(v).astype(float) for v in layer.weights)
    significance, ambiguity = [], []
    for n in range(2):
        m, u, r = np.zeros((3, 4)), np.zeros((3, 4)), np.zeros((3, 4))
        for i, j in np.ndindex(3, 4):
            m[i, j] = 1 / (1 + np.exp(-(x[n, i, j] @ a[:, 0] + a0[0] + place[i, j, 0])))
            q = np.exp(x[n, i, j] @ w + b)
            q /= q.sum()
            u[i, j] = -(q * np.log(q)).sum() / np.log(3)
            r[i, j] = np.linalg.norm(x[n, i, j])
        pooled = sum(m[i, j] * x[n, i, j] for i, j in np.ndindex(3, 4)) / m.sum()
        np.testing.assert_allclose(logits[n], pooled @ w + b, atol=1e-4)
        np.testing.assert_allclose(mask[n, ..., 0], m, atol=1e-5)
        significance.append((m - 0.1 * (m * np.log(m) + (1 - m) * np.log(1 - m))).mean())
        ambiguity.append((m * u * r / r.max()).sum() / m.sum())
    expected = [0.7 * np.mean(significance), 0.9 * np.mean(ambiguity)]
    np.testing.assert_allclose([float(v) for v in layer.losses], expected, rtol=1e-4)
    layer(x)
    assert not layer.losses, "terms outside training"


def test_a_uniform_mask_is_average_pooling():
    x = array(2, 4, 4, 3)
    layer = randomised(RegionSelection(5), x.shape)
    for weight in (layer.mask_kernel, layer.map):
        weight.assign(np.zeros(weight.shape))
    logits, _ = layer(x)
    np.testing.assert_allclose(logits, x.mean((1, 2)) @ np.asarray(layer.kernel) + np.asarray(layer.bias), atol=1e-4)


def test_extreme_features_keep_everything_finite():
    x = np.concatenate([array(1, 3, 3, 4) * 1e4, np.zeros((1, 3, 3, 4), "float32")])
    layer = randomised(RegionSelection(3), x.shape)
    logits, mask = layer(x, training=True)
    assert np.isfinite(logits).all() and np.isfinite([float(v) for v in layer.losses]).all()
    assert 0 <= np.min(mask) <= np.max(mask) <= 1


def test_ambiguous_regions_cost_more():
    layer = RegionSelection(2)
    layer.build((None, 1, 3, 2))
    layer.kernel.assign([[5.0, 0.0], [0.0, 5.0]])
    x = np.array([[[[3.0, 0.0], [3.0, 3.0], [0.1, 0.1]]]], "float32")  # one class, both, hardly anything
    clear, both, faint = np.asarray(layer.shared(x)).ravel()
    assert both == pytest.approx(1, abs=1e-4) and clear < 1e-3 and faint < 0.05


def test_other_sizes_stretch_the_map():
    inputs = keras.Input((None, None, 3))
    model = keras.Model(inputs, RegionSelection(4, positions=(2, 3), name="head")(inputs))
    model.get_layer("head").mask_kernel.assign(np.zeros((3, 1)))
    place = array(2, 3, 1)
    model.get_layer("head").map.assign(place)
    _, mask = model(array(1, 8, 6, 3))
    expected = keras.ops.sigmoid(keras.ops.image.resize(place, (8, 6), data_format="channels_last"))
    np.testing.assert_allclose(mask[0], expected, atol=1e-5)
    with pytest.raises(ValueError, match="positions"):
        RegionSelection(4)(inputs)


@pytest.mark.parametrize("wrong", [{"units": 1}, {"units": 3, "ambiguity": -1}])
def test_arguments(wrong):
    with pytest.raises(ValueError, match="Received"):
        RegionSelection(**wrong)


def scenes(n, seed):
    """32 x 32 scenes of three classes: one bright patch of the class's own texture, two of shared ones."""
    rng = np.random.default_rng(seed)
    y, x = np.indices((8, 8))
    own = [np.sin(1.2 * x), np.sin(1.2 * y), np.sin(0.85 * (x + y))]
    images, labels = rng.normal(0, 0.3, (n, 32, 32, 1)), rng.integers(3, size=n)
    regions = np.zeros((n, 2, 32, 32), bool)  # the class's own; the distractors
    for i, label in enumerate(labels):
        cells = rng.permutation(16)[:3]
        for k, cell in enumerate(cells):
            at = slice(cell // 4 * 8, cell // 4 * 8 + 8), slice(cell % 4 * 8, cell % 4 * 8 + 8)
            texture = own[label] if k == 0 else 2 * np.sign(np.sin(1.6 * x) * np.sin(1.6 * y))
            images[i, at[0], at[1], 0] += texture
            regions[(i, int(k > 0), *at)] = True
    return images.astype("float32"), labels, regions


def test_the_mask_prefers_the_class_s_own_patch_to_what_classes_share():
    keras.utils.set_random_seed(0)
    inputs = keras.Input((32, 32, 1))
    x = inputs
    for filters in (8, 16, 16):
        x = keras.layers.Conv2D(filters, 3, 2 if filters > 8 else 1, "same", activation="relu")(x)
    model = with_region_selection(keras.Model(inputs, x), 3)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(0.01), loss, jit_compile=False, metrics=["accuracy"])
    images, labels, _ = scenes(192, 0)
    model.fit(images, labels, batch_size=16, epochs=8, verbose=0)
    images, labels, regions = scenes(120, 1)
    accuracy = model.evaluate(images, labels, verbose=0)[1]
    mask = keras.Model(inputs, model.get_layer("region_selection").output[1])(images)
    mask = keras.ops.convert_to_numpy(keras.ops.repeat(keras.ops.repeat(mask, 4, 1), 4, 2))[..., 0]
    own, shared = (mask[regions[:, k]].mean() for k in (0, 1))
    assert accuracy > 0.9
    assert own > shared + 0.1, (own, shared)

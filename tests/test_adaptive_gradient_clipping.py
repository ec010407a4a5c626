"""Adaptive gradient clipping: unit by unit against loops, and through plain `fit`."""

import keras
import numpy as np
import pytest
from keras import layers

from hub.training.adaptive_gradient_clipping import AdaptiveGradientClipping, clip

RNG = np.random.default_rng(0)
IMAGES, TARGETS = RNG.normal(size=(8, 6, 5, 3)).astype("float32"), RNG.normal(size=(8, 4)).astype("float32")


def network():
    keras.utils.set_random_seed(0)
    inputs = keras.Input((6, 5, 3))
    x = layers.Conv2D(8, 3, activation="relu", name="conv")(inputs)
    x = layers.DepthwiseConv2D(2, name="depthwise")(x)
    x = layers.GlobalAveragePooling2D()(layers.LayerNormalization(name="norm")(x))
    return keras.Model(inputs, layers.Dense(4, name="logits")(layers.Dense(7, activation="relu", name="fc")(x)))


def trained(optimizer, steps=1):
    model = network()
    model.compile(optimizer, "mse")
    model.fit(IMAGES, 30 * TARGETS, batch_size=8, epochs=steps, shuffle=False, verbose=0)
    return model


def values(model):
    return {w.path: keras.ops.convert_to_numpy(w) for w in model.trainable_weights}


def units(shape):
    """Index of every unit of a weight: all that leads to one output."""
    if len(shape) < 2:
        return [...]
    if len(shape) == 4 and shape[3] == 1:
        return [(slice(None), slice(None), c) for c in range(shape[2])]
    return [(..., c) for c in range(shape[-1])]


@pytest.mark.parametrize("shape", [(3, 3, 4, 5), (6, 5), (5,), (), (3, 3, 4, 1), (3, 4, 5), (3, 3, 1, 1), (1, 1, 4, 2)])
def test_every_unit_by_itself(shape):
    rng = np.random.default_rng(0)
    gradient = np.array(rng.normal(size=shape) * 10 ** rng.uniform(-4, 1, size=shape[-1:]))
    weight = np.array(rng.normal(size=shape) * 10 ** rng.uniform(-6, 1, size=shape[-1:]))
    expected = gradient.copy()
    for unit in units(shape):
        longest = 0.05 * max(np.sqrt((weight[unit] ** 2).sum()), 1e-3)
        length = np.sqrt((gradient[unit] ** 2).sum())
        if length > longest:
            expected[unit] = gradient[unit] * longest / length
    found = clip(keras.ops.convert_to_tensor(gradient, "float32"), keras.ops.convert_to_tensor(weight, "float32"),
                 0.05, 1e-3)  # fmt: skip
    np.testing.assert_allclose(keras.ops.convert_to_numpy(found), expected, rtol=1e-5, atol=1e-12)
    nothing = clip(keras.ops.zeros(shape), keras.ops.zeros(shape), 0.05, 1e-3)
    assert (keras.ops.convert_to_numpy(nothing) == 0).all()


def test_a_large_factor_is_plain_training():
    plain = trained(keras.optimizers.Adam(1e-2, weight_decay=0.1), 3)
    wrapped = trained(AdaptiveGradientClipping(keras.optimizers.Adam(1e-2, weight_decay=0.1), clip_factor=1e6), 3)
    for a, b in zip(values(plain).values(), values(wrapped).values(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-7)


def test_a_step_is_a_share_of_the_weights_but_for_the_head():
    before = values(network())
    after = values(trained(AdaptiveGradientClipping(keras.optimizers.SGD(1.0))))
    plain = values(trained(keras.optimizers.SGD(1.0)))
    cut = 0
    for path, old in before.items():
        if path.startswith("logits"):
            np.testing.assert_allclose(after[path], plain[path], rtol=1e-5)
            continue
        for unit in units(old.shape):
            longest = 0.01 * max(np.linalg.norm(old[unit]), 1e-3)
            assert np.linalg.norm(after[path][unit] - old[unit]) < longest * 1.01 + 1e-7
            cut += np.linalg.norm(plain[path][unit] - old[unit]) > longest
    assert cut > 20


def test_the_state_is_saved_and_goes_on(tmp_path):
    make = lambda: AdaptiveGradientClipping(keras.optimizers.SGD(0.1, momentum=0.9), 0.02, 1e-2, ("fc", "logits"))  # noqa: E731
    through = trained(make(), 4)
    half = trained(make(), 2)
    half.save(tmp_path / "m.keras")
    again = keras.saving.load_model(tmp_path / "m.keras")
    assert int(again.optimizer.iterations) == 2
    assert again.optimizer.get_config() == half.optimizer.get_config()
    again.fit(IMAGES, 30 * TARGETS, batch_size=8, epochs=2, shuffle=False, verbose=0)
    for a, b in zip(values(through).values(), values(again).values(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-7)
    again.optimizer.learning_rate = 0.25  # as a schedule's callback does
    assert float(again.optimizer.inner_optimizer.learning_rate) == 0.25


def test_sixteen_bits_and_sparse_gradients():
    """Keras puts the optimizer inside its loss scaling; an embedding hands on a sparse gradient."""
    inputs = keras.Input((3,), dtype="int32")
    x = layers.Embedding(10, 4, dtype="mixed_float16", name="tokens")(inputs)
    x = layers.Dense(4, dtype="mixed_float16", name="fc")(layers.Flatten()(x))
    model = keras.Model(inputs, layers.Dense(2, dtype="float32", name="logits")(x))
    before = values(model)
    optimizer = AdaptiveGradientClipping(keras.optimizers.SGD(1.0))
    model.compile(keras.optimizers.LossScaleOptimizer(optimizer, initial_scale=64.0), "mse")
    model.fit(np.arange(6).reshape(2, 3), np.full((2, 2), 5.0), verbose=0)
    for path, new in values(model).items():
        moved = np.linalg.norm((new - before[path]).reshape(-1, new.shape[-1]), axis=0)
        assert (moved > 0).any() and np.isfinite(new).all()
        if path.startswith("tokens"):
            assert (moved < 0.0101 * np.linalg.norm(before[path], axis=0)).all()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"clip_factor": 0.0}, "clip_factor=0.0"),
        ({"epsilon": float("nan")}, "epsilon=nan"),
        ({"inner_optimizer": keras.optimizers.SGD(gradient_accumulation_steps=2)}, "without accumulation"),
        ({"inner_optimizer": keras.optimizers.SGD(loss_scale_factor=8.0)}, "LossScaleOptimizer"),
        ({"inner_optimizer": keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD())}, "LossScaleOptimizer"),
    ],
)
def test_what_cannot_be(options, told):
    with pytest.raises(ValueError, match=told):
        AdaptiveGradientClipping(**options)


def test_a_head_of_another_name():
    with pytest.raises(ValueError, match="predictions"):
        trained(AdaptiveGradientClipping(exclude=("predictions",)))

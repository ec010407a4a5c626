"""Grad-CAM against a slow derivation, planted patches, and the ways to call it wrongly."""

import keras
import numpy as np
import pytest

from hub import registry
from hub.explain.grad_cam import GradCAM

pytestmark = pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="the gradient is TensorFlow's")


def patches(n: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Gray 32 x 32 noise with a red patch, a green one, both or none; images, shown [n, 2], corners [n, 2, 2]."""
    rng = np.random.default_rng(seed)
    images = rng.normal(0.5, 0.05, (n, 32, 32, 3)).astype("float32")
    shown, corners = rng.integers(2, size=(n, 2)), rng.integers(0, 24, size=(n, 2, 2))
    for image, colour in np.argwhere(shown):
        row, column = corners[image, colour]
        images[image, row : row + 8, column : column + 8, colour] += 0.5
    return images, shown, corners


@pytest.fixture(scope="module")
def trained() -> keras.Model:
    """Two independent logits: is there a red patch, is there a green one?"""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((32, 32, 3))
    x = keras.layers.Rescaling(4.0, -2.0)(inputs)
    x = keras.layers.Conv2D(8, 3, padding="same", activation="relu")(x)
    x = keras.layers.MaxPooling2D()(x)
    x = keras.layers.Conv2D(8, 3, padding="same", activation="relu", name="features")(x)
    model = keras.Model(inputs, keras.layers.Dense(2, name="logits")(keras.layers.GlobalAveragePooling2D()(x)))
    model.compile(keras.optimizers.Adam(0.02), keras.losses.BinaryCrossentropy(from_logits=True))
    images, shown, _ = patches(256, seed=1)
    model.fit(images, shown, batch_size=32, epochs=15, verbose=0)
    return model


def nested() -> keras.Model:
    keras.utils.set_random_seed(3)
    block = keras.Sequential([keras.Input((16, 20, 4)), keras.layers.Conv2D(5, 3, name="inner")], name="block")
    backbone_in = keras.Input((16, 20, 2))
    backbone = keras.Model(backbone_in, block(keras.layers.Conv2D(4, 1)(backbone_in)), name="backbone")
    inputs = keras.Input((16, 20, 2))
    x = keras.layers.GlobalAveragePooling2D(keepdims=True)(backbone(keras.layers.Rescaling(1.0)(inputs)))
    return keras.Model(inputs, keras.layers.Dense(3)(keras.layers.Flatten()(x)))


def test_equals_closed_form_of_a_pooled_linear_head():
    keras.utils.set_random_seed(0)
    inputs = keras.Input((9, 12, 3))
    features = keras.layers.Conv2D(5, 3, name="features")(inputs)
    model = keras.Model(inputs, keras.layers.Dense(4)(keras.layers.GlobalAveragePooling2D()(features)))
    images = np.random.default_rng(0).normal(size=(6, 9, 12, 3)).astype("float32")

    maps = GradCAM()(model, images, lambda logits: logits[:, 2])

    values = keras.Model(inputs, features)(images).numpy()
    dense = model.layers[-1].kernel.numpy()
    for image in range(6):
        slow = np.zeros((7, 10), "float32")
        for row in range(7):
            for column in range(10):  # dS/dA_k = w_k / (7 * 10) everywhere, and the factor leaves with the maximum
                slow[row, column] = max(0.0, sum(values[image, row, column, k] * dense[k, 2] for k in range(5)))
        slow = keras.ops.image.resize(slow[..., None], (9, 12), interpolation="bilinear").numpy()[..., 0]
        np.testing.assert_allclose(maps[image], slow / slow.max(), atol=1e-5)


def test_weights_are_the_mean_gradient_of_a_nonlinear_head():
    keras.utils.set_random_seed(1)
    features = keras.Input((4, 4, 3))
    x = keras.layers.Dense(7, activation="tanh")(keras.layers.Flatten()(features))
    head = keras.Model(features, keras.layers.Dense(2)(x))
    inputs = keras.Input((4, 4, 3))
    model = keras.Model(inputs, head(keras.layers.Activation("linear", name="features")(inputs)))
    images = np.random.default_rng(1).normal(size=(2, 4, 4, 3))

    maps = GradCAM("features")(model, images, lambda logits: logits[:, 1])

    for image, got in zip(images, maps, strict=True):
        weights = np.zeros(3)
        for place in np.ndindex(4, 4, 3):  # central differences in place of the tape
            step = np.zeros((4, 4, 3))
            step[place] = 1e-2
            up, down = (head((image + s)[None].astype("float32")).numpy()[0, 1] for s in (step, -step))
            weights[place[2]] += (up - down) / 2e-2 / 16
        slow = np.maximum(image @ weights, 0)
        np.testing.assert_allclose(got, slow / slow.max(), atol=2e-3)


@pytest.mark.parametrize("colour", [0, 1])
def test_peak_lies_on_the_patch_of_the_class_asked_for(trained, colour):
    images, shown, corners = patches(96, seed=2)
    both = shown.all(axis=1)  # the other patch is in the picture too
    images, corner = images[both], corners[both, colour]
    maps = GradCAM()(trained, images, lambda logits: logits[:, colour])
    assert maps.shape == (both.sum(), 32, 32)
    assert maps.dtype == np.float32
    assert np.isfinite(maps).all() and maps.min() >= 0
    np.testing.assert_allclose(maps.max((1, 2)), 1, atol=1e-6)
    peak = np.stack(np.unravel_index(maps.reshape(len(maps), -1).argmax(1), (32, 32)), axis=1)
    inside = ((peak >= corner - 1) & (peak <= corner + 8)).all(1)
    assert inside.mean() > 0.9  # chance: a patch with its rim covers 100 of 1024 positions


def test_default_score_is_the_top_class(trained):
    images = patches(8, seed=3)[0]
    top = trained.predict(images, verbose=0).argmax(1)
    assert set(top) == {0, 1}
    by_class = np.stack([GradCAM()(trained, images, lambda logits, c=c: logits[:, c]) for c in (0, 1)])
    np.testing.assert_array_equal(GradCAM()(trained, images), by_class[top, np.arange(8)])


def test_another_class_or_other_weights_give_another_map(trained):
    images, shown, _ = patches(32, seed=4)
    images = images[shown.all(axis=1)]
    maps = GradCAM()(trained, images, lambda logits: logits[:, 0])
    other = GradCAM()(trained, images, lambda logits: logits[:, 1])
    assert np.abs(maps - other).mean() > 0.1

    random = keras.models.clone_model(trained)
    assert np.abs(maps - GradCAM()(random, images, lambda logits: logits[:, 0])).mean() > 0.1


def test_one_image_is_explained_as_in_a_batch(trained):
    images = patches(5, seed=5)[0]
    batch = GradCAM()(trained, images)
    np.testing.assert_allclose(GradCAM()(trained, images[3:4])[0], batch[3], atol=1e-5)


def test_finds_layers_of_nested_models_and_leaves_the_model_as_it_was():
    model = nested()
    images = np.random.default_rng(0).normal(size=(3, 16, 20, 2)).astype("float32")
    before, config = model(images).numpy(), model.get_config()
    inner = model.get_layer("backbone").get_layer("block").get_layer("inner")
    maps = GradCAM("inner")(model, images)
    assert maps.shape == (3, 16, 20)
    np.testing.assert_array_equal(maps, GradCAM()(model, images))  # the pooled 1 x 1 map behind it is no default
    assert "call" not in vars(inner)
    np.testing.assert_array_equal(before, model(images).numpy())
    assert config == model.get_config()
    with pytest.raises(RuntimeError, match="stop"):
        GradCAM()(model, images, lambda outputs: (_ for _ in ()).throw(RuntimeError("stop")))
    assert "call" not in vars(inner)


def test_frozen_mixed_precision_model_with_byte_input_and_two_outputs():
    inputs = keras.Input((8, 8, 3), dtype="uint8")
    x = keras.layers.Rescaling(1 / 255, dtype="mixed_float16")(inputs)
    x = keras.layers.Conv2D(4, 3, dtype="mixed_float16", name="features")(x)
    x = keras.layers.GlobalAveragePooling2D(dtype="mixed_float16")(x)
    model = keras.Model(inputs, {"a": keras.layers.Dense(2, dtype="float32")(x), "b": x})
    model.trainable = False
    images = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3), "uint8")
    maps = GradCAM()(model, images, lambda outputs: outputs["a"][:, 0])
    assert maps.dtype == np.float32
    assert np.isfinite(maps).all()
    with pytest.raises(ValueError, match="pass `score`"):
        GradCAM()(model, images)


def test_subclassed_model_needs_the_layer_named():
    class Plain(keras.Model):
        def __init__(self):
            super().__init__(name="plain")
            self.conv = keras.layers.Conv2D(4, 3, name="conv")
            self.head = keras.layers.Dense(2)

        def call(self, x):
            return self.head(keras.ops.mean(self.conv(x), axis=(1, 2)))

    model, images = Plain(), np.ones((2, 8, 8, 1), "float32")
    model(images)
    assert GradCAM("conv")(model, images).shape == (2, 8, 8)
    with pytest.raises(ValueError, match="give `layer=`"):
        GradCAM()(model, images)


def test_no_evidence_is_a_zero_map(trained):
    maps = GradCAM()(trained, np.zeros((1, 32, 32, 3)), lambda logits: 0.0 * logits[:, 0])
    np.testing.assert_array_equal(maps, np.zeros((1, 32, 32)))


@pytest.mark.parametrize(
    ("layer", "images", "score", "sentence"),
    [
        ("featurs", (2, 32, 32, 3), None, r"no layer 'featurs'. Its feature maps: .*features"),
        ("logits", (2, 32, 32, 3), None, r"'logits' gives no feature map .* Received: shape \(2, 2\)"),
        (None, (32, 32, 3), None, r"explains images \[N, H, W, C\]. Received: shape \(32, 32, 3\)"),
        (None, (2, 32, 32, 3), lambda logits: logits, r"one number per image. Received: \(2, 2\)"),
        (None, (2, 32, 32, 3), lambda logits: keras.ops.ones(2), "does not depend on layer 'features'"),
    ],
)
def test_wrong_calls_are_answered_in_one_sentence(trained, layer, images, score, sentence):
    with pytest.raises(ValueError, match=sentence):
        GradCAM(layer)(trained, np.zeros(images, "float32"), score)


def test_registered(trained):
    assert registry.info("grad_cam").slug == "grad_cam"
    assert registry.build("grad_cam", layer="features").layer == "features"


def test_other_backends_get_one_error(monkeypatch, trained):
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    with pytest.raises(NotImplementedError, match=r"set KERAS_BACKEND=tensorflow. Received: 'jax'"):
        GradCAM()(trained, np.zeros((1, 32, 32, 3)))

"""Explanations against slow derivations, planted patches and the edges; the figures that judge them against loops."""

import keras
import numpy as np
import pytest

from hub import registry
from hub.evaluation.cam_faithfulness import cam_faithfulness
from hub.evaluation.heat_lift import heat_lift, peak_inside
from hub.explain.cam import CAM
from hub.explain.eigen_cam import EigenCAM
from hub.explain.grad_cam import GradCAM
from hub.explain.grad_cam_plus_plus import GradCAMPlusPlus
from hub.explain.score_cam import ScoreCAM
from hub.explain.smooth_grad import SmoothGrad
from hub.layers.class_activation_map import ClassActivationHead

tensorflow_only = pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="the gradient is TensorFlow's")
METHODS = [CAM, EigenCAM, GradCAM, GradCAMPlusPlus, ScoreCAM, SmoothGrad]


def patches(n: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Gray 32 x 32 noise with a red patch, a green one, both or none; images, shown [n, 2], regions [n, 32, 32, 2]."""
    rng = np.random.default_rng(seed)
    images = rng.normal(0.5, 0.05, (n, 32, 32, 3)).astype("float32")
    shown, corners = rng.integers(2, size=(n, 2)), rng.integers(0, 24, size=(n, 2, 2))
    regions = np.zeros((n, 32, 32, 2), bool)
    for image, colour in np.argwhere(shown):
        row, column = corners[image, colour]
        regions[image, row : row + 8, column : column + 8, colour] = True
    images[..., :2] += 0.5 * regions
    return images, shown, regions


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


def pooled(filters: int = 5, classes: int = 3, seed: int = 0, size: tuple[int, int] = (9, 12)) -> keras.Model:
    inputs = keras.Input((*size, 3))
    x = keras.layers.Conv2D(filters, 3, activation="relu", name="features")(inputs)
    model = keras.Model(inputs, keras.layers.Dense(classes)(keras.layers.GlobalAveragePooling2D()(x)))
    rng = np.random.default_rng(seed)  # the same weights on every backend
    model.set_weights([rng.normal(size=w.shape) * 0.3 for w in model.weights])
    return model


def fixed_features(head, shape: tuple[int, int, int]) -> keras.Model:
    """The image is the feature map; `head` makes the outputs of it."""
    inputs = keras.Input(shape)
    return keras.Model(inputs, head(keras.layers.Activation("linear", name="features")(inputs)))


def noise(shape, seed=0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def numpy(x) -> np.ndarray:
    return keras.ops.convert_to_numpy(x)


def resize(one: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    return numpy(keras.ops.image.resize(one[..., None].astype("float32"), size, interpolation="bilinear"))[..., 0]


def kind(index: int):
    return lambda outputs: outputs[:, index]


# What all explanations promise


@tensorflow_only
@pytest.mark.parametrize("method", METHODS)
def test_map_of_an_image_does_not_depend_on_its_batch(method, trained):
    images, shown, _ = patches(12, seed=5)
    images = images[shown.any(axis=1)]
    batch = method()(trained, images)
    assert batch.dtype == np.float32
    assert batch.min() >= 0
    np.testing.assert_allclose(batch.max((1, 2)), 1, atol=1e-6)
    for i in (0, 3):
        np.testing.assert_allclose(method()(trained, images[i : i + 1])[0], batch[i], atol=1e-4)


@tensorflow_only
@pytest.mark.parametrize("method", [CAM, GradCAM, GradCAMPlusPlus, ScoreCAM, SmoothGrad])
@pytest.mark.parametrize("colour", [0, 1])
def test_heat_lies_on_the_patch_of_the_class_asked_for(method, colour, trained):
    images, shown, regions = patches(48, seed=2)
    both = shown.all(axis=1)  # the other patch is in the picture too
    maps = method()(trained, images[both], kind(colour))
    asked, other = (heat_lift(maps, regions[both][..., c]).mean() for c in (colour, 1 - colour))
    # Grad-CAM++ takes positive gradients only, and so cannot rule the other colour out: it must still prefer its own
    assert asked > 1.5
    assert asked > 1.2 * other


@tensorflow_only
@pytest.mark.parametrize("method", METHODS)
def test_nothing_to_see_is_a_zero_map(method):
    model = pooled()
    for weight in model.trainable_weights:
        weight.assign(0 * numpy(weight))
    np.testing.assert_array_equal(method()(model, noise((2, 9, 12, 3))), np.zeros((2, 9, 12)))


@tensorflow_only
@pytest.mark.parametrize("method", [CAM, GradCAM, GradCAMPlusPlus, EigenCAM, ScoreCAM])
def test_map_of_one_position_is_even(method):
    model = fixed_features(keras.Sequential([keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(1)]), (1, 1, 2))
    model.layers[-1].layers[-1].kernel.assign([[1.0], [2.0]])
    inputs = keras.Input((6, 4, 2))
    whole = keras.Model(inputs, model(keras.layers.AveragePooling2D((6, 4))(inputs)))
    maps = method("features")(whole, np.ones((2, 6, 4, 2), "float32"))
    even = method not in (EigenCAM, ScoreCAM)  # which see no difference within a map and so are silent
    np.testing.assert_allclose(maps, np.full((2, 6, 4), float(even)), atol=1e-6)


@tensorflow_only
@pytest.mark.parametrize("method", METHODS)
def test_takes_lists_and_bytes_and_leaves_the_model_as_it_was(method):
    model = pooled()
    images = np.random.default_rng(0).integers(0, 256, (2, 9, 12, 3), "uint8")
    config, before = model.get_config(), numpy(model(images.astype("float32")))
    np.testing.assert_allclose(
        method()(model, images), method()(model, images.astype("float32").tolist()), atol=1e-5, rtol=1e-5
    )
    assert model.get_config() == config
    assert "call" not in vars(model.get_layer("features"))
    np.testing.assert_array_equal(numpy(model(images.astype("float32"))), before)


@tensorflow_only
@pytest.mark.parametrize("method", [CAM, GradCAMPlusPlus, ScoreCAM, SmoothGrad])
def test_wrong_calls_are_answered_in_one_sentence(method):
    model = pooled()
    with pytest.raises(ValueError, match=r"explains images \[N, H, W, C\]. Received: shape \(9, 12, 3\)"):
        method()(model, noise((9, 12, 3)))
    with pytest.raises(ValueError, match="one number per image"):
        method()(model, noise((2, 9, 12, 3)), lambda outputs: outputs)


# Score-CAM


def score_cam_by_loops(model, images, score, weights="relu", blank=0.0, keep=None) -> np.ndarray:
    """The paper's algorithm, one image and one channel at a time."""
    inner = keras.Model(model.input, model.get_layer("features").output)
    maps = []
    for image in images:
        features, size = numpy(inner(image[None]))[0], image.shape[:2]
        base = numpy(score(model(np.full_like(image, blank)[None])))[0]
        kept = sorted(range(features.shape[-1]), key=lambda k: -features[..., k].var())[:keep]
        rises = []
        for k in range(features.shape[-1]):
            mask = resize(features[..., k], size)
            if np.ptp(features[..., k]) == 0 or k not in kept:
                rises.append(-np.inf)
                continue
            mask = (mask - mask.min()) / (mask.max() - mask.min())
            masked = blank + (image - blank) * mask[..., None]
            rises.append(numpy(score(model(masked[None])))[0] - base)
        rises = np.array(rises)
        alpha = np.maximum(rises, 0) if weights == "relu" else np.exp(rises) / np.exp(rises).sum()
        slow = resize(np.maximum(sum(a * features[..., k] for k, a in enumerate(alpha)), 0), size)
        maps.append(slow / max(slow.max(), 1e-30))
    return np.stack(maps)


@pytest.mark.parametrize("weights", ["relu", "softmax"])
@pytest.mark.parametrize("blank", [0.0, -0.7])
def test_score_cam_equals_loops(weights, blank):
    model = pooled(filters=7)
    layer = model.get_layer("features")
    layer.bias.assign([0, 0, -100, 0, 0, 0, 0])  # the third map is dead
    images = noise((3, 9, 12, 3), seed=4)
    slow = score_cam_by_loops(model, images, kind(1), weights, blank)
    assert (slow.max((1, 2)) == 1).all()
    for batch_size in (1, 4, 100):
        maps = ScoreCAM(weights=weights, blank=blank, batch_size=batch_size)(model, images, kind(1))
        np.testing.assert_allclose(maps, slow, atol=2e-5)


def test_score_cam_explains_the_class_of_the_whole_image_whatever_the_mask_does_to_it():
    model, images = pooled(), noise((6, 9, 12, 3))
    head = model.layers[-1]
    head.bias.assign(head.bias - keras.ops.mean(model(images), axis=0))
    top = numpy(model(images)).argmax(1)
    assert len(set(top)) > 1
    by_class = np.stack([ScoreCAM()(model, images, kind(c)) for c in range(3)])
    np.testing.assert_allclose(ScoreCAM()(model, images), by_class[top, np.arange(6)], atol=1e-6)


def test_faster_score_cam_keeps_the_maps_of_largest_variance():
    model, images = pooled(filters=6), noise((4, 9, 12, 3))
    calls = []
    fast = ScoreCAM(max_maps=2)(model, images, lambda outputs: calls.append(len(outputs)) or outputs[:, 0])
    assert sum(calls) == 4 * 2 + 4  # two maps an image, and the blank one for each
    np.testing.assert_allclose(fast, score_cam_by_loops(model, images, kind(0), keep=2), atol=2e-5)
    assert np.abs(fast - ScoreCAM()(model, images, kind(0))).max() > 0.05
    np.testing.assert_array_equal(ScoreCAM(max_maps=6)(model, images), ScoreCAM()(model, images))


def test_score_cam_ignores_the_scale_of_the_features():
    """Maps of size 1e-7 are not dead: what counts is their spread beside the others'."""
    model, images = pooled(), noise((2, 9, 12, 3))
    maps = ScoreCAM()(model, images, kind(0))
    layer, head = model.get_layer("features"), model.layers[-1]
    layer.kernel.assign(layer.kernel * 1e-7)
    layer.bias.assign(layer.bias * 1e-7)
    head.kernel.assign(head.kernel * 1e7)
    np.testing.assert_allclose(ScoreCAM()(model, images, kind(0)), maps, atol=1e-4)


def test_score_cam_takes_dictionaries_and_refuses_wrong_settings():
    inputs = keras.Input((9, 12, 3))
    x = keras.layers.Conv2D(4, 3, activation="relu", name="features")(inputs)
    pool = keras.layers.GlobalAveragePooling2D()(x)
    both = keras.Model(inputs, {"logit": keras.layers.Dense(1)(pool), "other": keras.layers.Flatten()(x)})
    assert ScoreCAM()(both, noise((2, 9, 12, 3)), lambda outputs: outputs["logit"][:, 0]).shape == (2, 9, 12)
    with pytest.raises(ValueError, match="pass `score`"):
        ScoreCAM()(both, noise((2, 9, 12, 3)))
    with pytest.raises(ValueError, match=r'"relu" or "softmax". Received: weights=\'mean\''):
        ScoreCAM(weights="mean")
    with pytest.raises(ValueError, match="max_maps=0"):
        ScoreCAM(max_maps=0)


# Grad-CAM++


@tensorflow_only
def test_grad_cam_plus_plus_equals_derivatives_of_the_exponential():
    """Equations 5 and 10 with Y = exp(S), its three derivatives by nested tapes, position by position."""
    import tensorflow as tf

    head = keras.Sequential([keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(2)])
    model = fixed_features(head, (3, 4, 3))
    head.layers[-1].kernel.assign([[9.0, 1.0], [-5.0, 2.0], [4.0, 3.0]])
    image = np.abs(noise((3, 4, 3), seed=1)) * [1.0, 2.0, 3.0]
    kernel = numpy(head.layers[-1].kernel)[:, 0].astype("float64")
    weights = np.zeros(3)
    for i, j, k in np.ndindex(3, 4, 3):
        value = tf.Variable(image[i, j, k], dtype="float64")
        mask = np.zeros((3, 4, 3))
        mask[i, j, k] = 1
        with tf.GradientTape() as third, tf.GradientTape() as second, tf.GradientTape() as first:
            features = image * (1 - mask) + value * mask
            y = tf.exp(tf.reduce_sum(tf.reduce_mean(features, axis=(0, 1)) * kernel))
            one = first.gradient(y, value)
            two = second.gradient(one, value)
        three = third.gradient(two, value)
        alpha = two / (2 * two + image[..., k].sum() * three)
        weights[k] += float(alpha * max(one, 0.0))
    slow = np.maximum(image @ weights, 0)
    got = GradCAMPlusPlus("features")(model, image[None].astype("float32"), kind(0))[0]
    np.testing.assert_allclose(got, slow / slow.max(), atol=1e-5)
    plain = GradCAM("features")(model, image[None].astype("float32"), kind(0))[0]
    assert np.abs(got - plain).max() > 0.1


@tensorflow_only
def test_grad_cam_plus_plus_shows_the_small_object_beside_the_large():
    """A map of 144 active positions and one of 16, each fully counted by the score: Grad-CAM weighs them by area."""
    head = keras.Sequential(
        [keras.layers.ReLU(), keras.layers.Lambda(lambda x: keras.ops.sum(x, axis=(1, 2, 3))[:, None])]
    )
    model = fixed_features(head, (20, 20, 2))
    image = np.zeros((1, 20, 20, 2), "float32")
    image[0, :12, :12, 0] = 1
    image[0, 15:19, 15:19, 1] = 1
    plain, better = (method("features")(model, image)[0] for method in (GradCAM, GradCAMPlusPlus))
    assert plain[0, 0] == better[0, 0] == 1
    np.testing.assert_allclose(plain[16, 16], 16 / 144, rtol=1e-5)
    np.testing.assert_allclose(better[16, 16], (16 / 18) / (144 / 146), rtol=1e-5)


@tensorflow_only
def test_grad_cam_plus_plus_survives_gradients_whose_cube_is_zero():
    model, images = pooled(), noise((2, 9, 12, 3))
    tiny = GradCAMPlusPlus()(model, images, lambda outputs: 1e-16 * outputs[:, 0])
    np.testing.assert_allclose(tiny.max((1, 2)), 1)


# Eigen-CAM


@pytest.mark.parametrize("center", [True, False])
@pytest.mark.parametrize("shape", [(7, 5, 3), (3, 4, 30), (4, 4, 16)])
def test_eigen_cam_equals_the_singular_value_decomposition(center, shape):
    model = fixed_features(keras.layers.Flatten(), shape)
    images = noise((4, *shape), seed=2) + 0.3
    maps = EigenCAM("features", center=center)(model, images)
    for image, got in zip(images.astype("float64"), maps, strict=True):
        rows = image.reshape(-1, shape[-1])
        rows = rows - rows.mean(0) if center else rows
        slow = (rows @ np.linalg.svd(rows)[2][0]).reshape(shape[:2])
        slow = -slow if slow.max() < -slow.min() else slow
        np.testing.assert_allclose(got, (slow - slow.min()) / np.ptp(slow), atol=1e-5)


def test_eigen_cam_returns_the_spatial_factor_of_a_rank_one_map():
    factor = np.random.default_rng(0).uniform(0.1, 1, (6, 8))
    factor[2, 3] = 3  # centred too, its largest value is above the mean further than the least is below
    image = (factor[..., None] * np.random.default_rng(1).uniform(size=5)).astype("float32")
    model = fixed_features(keras.layers.Flatten(), (6, 8, 5))
    for center in (True, False):
        got = EigenCAM("features", center=center)(model, image[None])[0]
        np.testing.assert_allclose(got, (factor - factor.min()) / np.ptp(factor), atol=1e-5)


def test_eigen_cam_depends_on_the_features_alone(trained):
    images, _, regions = patches(32, seed=3)
    maps = EigenCAM()(trained, images)
    other = keras.models.clone_model(trained)
    other.set_weights(trained.get_weights())
    other.layers[-1].kernel.assign(0 * numpy(other.layers[-1].kernel))
    np.testing.assert_array_equal(EigenCAM()(other, images, kind(1)), maps)
    assert np.abs(EigenCAM()(keras.models.clone_model(trained), images) - maps).max() > 0.1  # random weights
    anything = regions.any(-1)
    lift = heat_lift(maps, anything)
    assert np.nanmean(lift) > 1.5  # it finds the objects unasked


# SmoothGrad


@tensorflow_only
def test_smooth_grad_without_noise_is_the_plain_gradient():
    import tensorflow as tf

    model = pooled()
    images = noise((3, 9, 12, 3))
    with tf.GradientTape() as tape:
        x = tf.Variable(images)
        value = model(x)[:, 1]
    plain = np.abs(tape.gradient(value, x).numpy()).sum(-1)
    maps = SmoothGrad(noise=0.0, samples=3, batch_size=4)(model, images, kind(1))
    np.testing.assert_allclose(maps, plain / plain.max((1, 2), keepdims=True), atol=1e-6)


@tensorflow_only
def test_smooth_grad_equals_loops_over_samples():
    import tensorflow as tf

    model = pooled()
    images = noise((3, 9, 12, 3)) * np.float32([1, 5, 0.2])[:, None, None, None]
    steps = np.random.default_rng(7).standard_normal((6, 9, 12, 3), "float32")
    slow = []
    for image in images:
        total = 0
        for step in steps:
            x = tf.Variable((image + 0.2 * (image.max() - image.min()) * step)[None])
            with tf.GradientTape() as tape:
                value = model(x)[0, 2]
            total = total + tape.gradient(value, x).numpy()[0]
        slow.append(np.abs(total).sum(-1))
    slow = np.stack(slow)
    maps = SmoothGrad(noise=0.2, samples=6, seed=7, batch_size=5)(model, images, kind(2))
    np.testing.assert_allclose(maps, slow / slow.max((1, 2), keepdims=True), atol=1e-5)
    assert np.abs(SmoothGrad(noise=0.2, samples=6, seed=8)(model, images, kind(2)) - maps).max() > 1e-3


@tensorflow_only
def test_smooth_grad_says_that_a_byte_model_has_no_gradient():
    inputs = keras.Input((8, 8, 3), dtype="uint8")
    x = keras.layers.Conv2D(4, 3)(keras.layers.Rescaling(1 / 255)(inputs))
    model = keras.Model(inputs, keras.layers.Dense(2)(keras.layers.GlobalAveragePooling2D()(x)))
    images = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3), "uint8")
    with pytest.raises(ValueError, match="must take float images"):
        SmoothGrad()(model, images)
    for method in (CAM, EigenCAM, GradCAM, GradCAMPlusPlus, ScoreCAM):
        assert method()(model, images).shape == (2, 8, 8)


# CAM, as a method and as a layer


@tensorflow_only
def test_cam_equals_grad_cam_of_a_pooled_linear_head_and_loops():
    model, images = pooled(), noise((4, 9, 12, 3))
    maps = CAM()(model, images, lambda logits: logits[:, 0] - logits[:, 2])
    np.testing.assert_allclose(maps, GradCAM()(model, images, lambda x: x[:, 0] - x[:, 2]), atol=1e-5)
    np.testing.assert_allclose(CAM()(model, images), GradCAM()(model, images), atol=1e-5)
    features = numpy(keras.Model(model.input, model.get_layer("features").output)(images))
    kernel = numpy(model.layers[-1].kernel)
    slow = np.zeros((7, 10))
    for row, column in np.ndindex(7, 10):
        slow[row, column] = sum(features[0, row, column, k] * (kernel[k, 0] - kernel[k, 2]) for k in range(5))
    slow = resize(np.maximum(slow, 0), (9, 12))
    np.testing.assert_allclose(maps[0], slow / slow.max(), atol=1e-5)


def test_cam_refuses_what_is_not_a_pooled_linear_head():
    inputs = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(4, 3, name="features")(inputs)
    maximum = keras.Model(inputs, keras.layers.Dense(2)(keras.layers.GlobalMaxPooling2D()(x)))
    flat = keras.Model(inputs, keras.layers.Dense(2)(keras.layers.Flatten()(x)))
    none = keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(x))
    images = noise((2, 8, 8, 3))
    for model, sentence in ((maximum, "other outputs"), (flat, "4 channels for a kernel"), (none, "has no dense")):
        with pytest.raises(ValueError, match=sentence):
            CAM()(model, images)
    x = keras.layers.Dense(2, activation="softmax", use_bias=False)(keras.layers.GlobalAveragePooling2D()(x))
    assert CAM()(keras.Model(inputs, x), images).shape == (2, 8, 8)


def test_class_activation_head_maps_have_the_logits_as_mean():
    keras.utils.set_random_seed(0)
    layer = ClassActivationHead(4)
    features = noise((3, 5, 7, 6))
    layer.build(features.shape)
    layer.bias.assign(noise(4))
    logits, maps = map(numpy, layer(features))
    assert maps.shape == (3, 5, 7, 4)
    assert logits.dtype == maps.dtype == np.float32
    np.testing.assert_allclose(maps.mean((1, 2)) + numpy(layer.bias), logits, atol=1e-5)
    dense = keras.layers.Dense(4)
    dense.build((None, 6))
    dense.set_weights(layer.get_weights())
    np.testing.assert_allclose(numpy(dense(features.mean((1, 2)))), logits, atol=1e-5)


@tensorflow_only
def test_class_activation_head_is_grad_cam_before_the_positive_part():
    keras.utils.set_random_seed(0)
    inputs = keras.Input((5, 7, 3))
    x = keras.layers.Conv2D(6, 3, padding="same", activation="relu", name="features")(inputs)
    logits, maps = ClassActivationHead(2, name="head")(x)
    model, images = keras.Model(inputs, {"logits": logits, "maps": maps}), noise((3, 5, 7, 3))
    mine = np.maximum(numpy(model(images)["maps"])[..., 1], 0)
    theirs = GradCAM()(model, images, lambda outputs: outputs["logits"][:, 1])
    np.testing.assert_allclose(mine / mine.max((1, 2), keepdims=True), theirs, atol=1e-5)


def test_class_activation_head_stays_float32_under_a_mixed_policy_and_trains_on_any_size():
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        inputs = keras.Input((None, None, 3))
        outputs = ClassActivationHead(2, name="head")(keras.layers.Conv2D(4, 3)(inputs))
        model = keras.Model(inputs, outputs)
        assert [keras.backend.standardize_dtype(t.dtype) for t in outputs] == ["float32", "float32"]
        assert [t.shape for t in outputs] == [(None, 2), (None, None, None, 2)]
        assert [tuple(t.shape) for t in model(noise((2, 8, 6, 3)))] == [(2, 2), (2, 6, 4, 2)]
    finally:
        keras.config.set_dtype_policy(policy)
    for bad, sentence in ((lambda: ClassActivationHead(0), "at least 1"),
                          (lambda: ClassActivationHead(2)(noise((2, 3))), "takes")):  # fmt: skip
        with pytest.raises(ValueError, match=sentence):
            bad()


@tensorflow_only
def test_class_activation_head_survives_tflite_with_built_in_operations():
    import tensorflow as tf
    from ai_edge_litert.interpreter import Interpreter

    keras.utils.set_random_seed(0)
    inputs = keras.Input((8, 8, 3))
    logits, maps = ClassActivationHead(2)(keras.layers.Conv2D(4, 3, activation="relu")(inputs))
    model = keras.Model(inputs, {"logits": logits, "maps": maps})
    interpreter = Interpreter(model_content=tf.lite.TFLiteConverter.from_keras_model(model).convert())
    runner, images = interpreter.get_signature_runner(), noise((2, 8, 8, 3))
    got = runner(**{next(iter(runner.get_input_details())): images})
    want = model(images)
    by_rank = {v.ndim: v for v in got.values()}
    np.testing.assert_allclose(by_rank[2], want["logits"], atol=1e-5)
    np.testing.assert_allclose(by_rank[4], want["maps"], atol=1e-5)


# The figures


def test_heat_lift_and_peak_equal_loops():
    rng = np.random.default_rng(0)
    maps, regions = rng.exponential(size=(5, 6, 7)), rng.random((5, 6, 7)) < 0.3
    for i, (lift, peak) in enumerate(zip(heat_lift(maps, regions), peak_inside(maps, regions), strict=True)):
        inside = total = area = 0
        best, at = -1, None
        for place in np.ndindex(6, 7):
            total += maps[i][place]
            inside += maps[i][place] * regions[i][place]
            area += regions[i][place]
            if maps[i][place] > best:
                best, at = maps[i][place], place
        np.testing.assert_allclose(lift, (inside / total) / (area / 42))
        assert peak == regions[i][at]
    np.testing.assert_allclose(heat_lift(1e-300 * maps, regions), heat_lift(maps, regions))
    np.testing.assert_allclose(heat_lift(maps.astype("float16"), regions.astype("uint8")), heat_lift(maps, regions),
                               rtol=1e-2)  # fmt: skip


def test_heat_lift_extremes():
    region = np.zeros((1, 10, 10), bool)
    region[0, :2, :5] = True
    everything = np.ones_like(region)
    even, point, outside = np.ones((1, 10, 10)), np.zeros((1, 10, 10)), np.where(region, 0.0, 1.0)
    point[0, 1, 1] = 1e-20
    assert heat_lift(even, region) == pytest.approx(1, abs=1e-12)
    assert heat_lift(point, region) == pytest.approx(10)
    assert heat_lift(outside, region) == 0
    assert heat_lift(point, everything) == pytest.approx(1)
    assert peak_inside(point, region) == 1
    assert peak_inside(outside, region) == 0
    assert peak_inside(even, region) == pytest.approx(0.1)  # a peak everywhere is in a tenth of the area by a tenth
    for question in (heat_lift, peak_inside):
        assert np.isnan(question(0 * even, region)).all()
        assert np.isnan(question(even, 0 * region)).all()
        assert question(np.zeros((0, 4, 4)), np.zeros((0, 4, 4))).shape == (0,)


@pytest.mark.parametrize(
    ("maps", "regions", "sentence"),
    [
        (np.ones((2, 3, 3)), np.ones((2, 3, 4)), r"both. Received: \(2, 3, 3\) and \(2, 3, 4\)"),
        (np.ones((3, 3)), np.ones((3, 3)), r"Received: \(3, 3\)"),
        (-np.ones((1, 3, 3)), np.ones((1, 3, 3)), "at least 0"),
        (np.full((1, 3, 3), np.nan), np.ones((1, 3, 3)), "finite"),
        (np.ones((1, 3, 3)), np.full((1, 3, 3), 255), "values up to 255"),
    ],
)
def test_heat_lift_refuses(maps, regions, sentence):
    for question in (heat_lift, peak_inside):
        with pytest.raises(ValueError, match=sentence):
            question(maps, regions)


def test_cam_faithfulness_equals_loops():
    keras.utils.set_random_seed(0)
    inputs = keras.Input((6, 6, 2))
    x = keras.layers.Conv2D(4, 3, activation="relu")(inputs)
    model = keras.Model(inputs, keras.layers.Dense(3, activation="softmax")(keras.layers.Flatten()(x)))
    rng = np.random.default_rng(0)
    images, maps, rival = noise((9, 6, 6, 2)), *rng.random((2, 9, 6, 6)).astype("float32")
    for classes in (None, rng.integers(3, size=9)):
        drop = rise = win = 0
        for i in range(9):
            whole = numpy(model(images[i : i + 1]))[0]
            c = whole.argmax() if classes is None else classes[i]
            seen, other = (numpy(model((images[i] * m[i][..., None])[None]))[0][c] for m in (maps, rival))
            drop += max(0.0, whole[c] - seen) / whole[c]
            rise += seen > whole[c]
            win += seen > other
        figures = cam_faithfulness(model, images, maps, classes, rival=rival, batch_size=4)
        np.testing.assert_allclose(figures, (100 * drop / 9, 100 * rise / 9, 100 * win / 9), rtol=1e-4)
    ideal = cam_faithfulness(model, images, np.ones((9, 6, 6)), rival=np.ones((9, 6, 6)))
    np.testing.assert_allclose(ideal, 0, atol=1e-4)  # nothing hidden, nothing lost, nobody wins
    assert np.isnan(cam_faithfulness(model, images, maps).win_percentage)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"maps": np.ones((2, 4, 5))}, "maps \\[N, H, W\\]. Received"),
        ({"maps": np.full((2, 4, 4), 1.1)}, "Maps lie in 0..1"),
        ({"model": lambda x: np.full((len(x), 2), 3.0)}, "gives probabilities"),
        ({"model": lambda x: np.zeros((len(x), 2))}, "confidence 0"),
        ({"classes": [0, 2]}, "one of 2 classes"),
    ],
)
def test_cam_faithfulness_refuses(change, sentence):
    call = {"model": lambda x: np.full((len(x), 2), 0.5), "images": np.ones((2, 4, 4, 1)), "maps": np.ones((2, 4, 4))}
    with pytest.raises(ValueError, match=sentence):
        cam_faithfulness(**{**call, **change})


def test_registered():
    for name in ("cam", "eigen_cam", "grad_cam", "grad_cam_plus_plus", "score_cam", "smooth_grad"):
        assert registry.info(name).slug == name
    assert registry.build("score_cam", max_maps=3).max_maps == 3
    assert registry.info("class_activation_head").slug == "cam"


def test_sharp_pooling_lies_between_mean_and_maximum_and_tends_to_both():
    features = noise((3, 5, 4, 6))
    found = []
    for sharpness in (0.0, 1e-3, 1.0, 1e3):
        layer = ClassActivationHead(2, sharpness, keras.initializers.GlorotUniform(seed=0))
        logits, maps = (np.asarray(t) for t in layer(features))
        found.append(logits)
    np.testing.assert_allclose(found[0], maps.mean((1, 2)), atol=1e-5)
    np.testing.assert_allclose(found[1], found[0] + 5e-4 * maps.var((1, 2)), atol=3e-4)  # its expansion, rounded / r
    np.testing.assert_allclose(found[3], maps.max((1, 2)), atol=1e-2)
    assert (found[0] < found[2]).all() and (found[2] < found[3]).all()
    assert np.isfinite(np.asarray(ClassActivationHead(2, sharpness=50.0)(1e4 * features)[0])).all()

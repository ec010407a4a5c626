"""The Siamese tower: counted by hand, repeated in NumPy, over other backbones."""

import keras
import numpy as np
import pytest

import hub


def test_the_patch_network_is_what_its_description_counts():
    convolutions = sum(9 * i * o + o for i, o in [(1, 16), (16, 32), (32, 48), (48, 64)])
    model = hub.load("siamese_patch")
    assert model.count_params() == convolutions + 2 * 2 * 64 * 64 + 64 == 62_832
    assert model.output_shape == (None, 64) and model.layers[-1].name == "embedding"
    assert hub.load("siamese_patch", num_classes=0).output_shape == (None, 2, 2, 64)
    assert hub.load("siamese_patch", num_classes=7).layers[-1].name == "logits"


def by_loops(model, patch):
    """`siamese_tiny` on one patch [H, W, 1], in float64."""
    x = patch.astype("float64")
    for i in (1, 2, 3):
        kernel, bias = (np.asarray(w, "float64") for w in model.get_layer(f"conv{i}").get_weights())
        padded = np.pad(x, ((1, 1), (1, 1), (0, 0)))
        out = np.zeros((*x.shape[:2], kernel.shape[-1]))
        for row, column in np.ndindex(*x.shape[:2]):
            window = padded[row : row + 3, column : column + 3]
            out[row, column] = np.maximum(np.tensordot(window, kernel, 3) + bias, 0)
        x = np.array([[out[r : r + 2, c : c + 2].max((0, 1)) for c in range(0, out.shape[1], 2)]
                      for r in range(0, out.shape[0], 2)])  # fmt: skip
    kernel, bias = (np.asarray(w, "float64") for w in model.get_layer("project").get_weights())
    vector = x.ravel() @ kernel + bias
    return vector / np.linalg.norm(vector)


def test_embeddings_are_those_of_loops_and_of_length_1():
    keras.utils.set_random_seed(0)
    model = hub.load("siamese_tiny", input_shape=(16, 24, 1))
    patches = np.random.default_rng(0).normal(size=(2, 16, 24, 1)).astype("float32")
    embeddings = keras.ops.convert_to_numpy(model(patches))
    np.testing.assert_allclose(embeddings, [by_loops(model, patch) for patch in patches], atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1, rtol=1e-5)


def test_a_blank_patch_lies_nowhere_and_has_a_finite_slope():
    import tensorflow as tf

    model = hub.load("siamese_tiny", input_shape=(32, 32, 1))
    with tf.GradientTape() as tape:
        embedding = model(np.zeros((2, 32, 32, 1), "float32"))
        value = tf.reduce_sum(embedding[:, 0])
    assert not np.asarray(embedding).any()
    assert all(np.isfinite(np.asarray(slope)).all() for slope in tape.gradient(value, model.trainable_weights))


def test_over_a_backbone_by_name_and_over_a_model():
    named = hub.load("siamese_tiny", backbone="resnet_tiny", units=5, input_shape=(64, 48, 1))
    assert named.output_shape == (None, 5) and {"stage1", "stage4"} <= {layer.name for layer in named.layers}
    backbone = hub.load("resnet_tiny", input_shape=(64, 48, 1), num_classes=0)
    backbone.set_weights(named.get_weights()[: len(backbone.get_weights())])
    own = hub.load("siamese_tiny", backbone=backbone, units=5)
    own.get_layer("project").set_weights(named.get_layer("project").get_weights())
    patches = np.random.default_rng(0).normal(size=(3, 64, 48, 1)).astype("float32")
    np.testing.assert_allclose(np.asarray(named(patches)), np.asarray(own(patches)), rtol=1e-5, atol=1e-6)
    flat = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(9)])
    assert hub.load("siamese_tiny", backbone=flat, units=4).output_shape == (None, 4)


def test_what_does_not_fit_is_refused():
    for shape in [(4, 32, 1), (None, None, 1)]:
        with pytest.raises(ValueError, match=r"at least 8\. Received: input_shape="):
            hub.load("siamese_tiny", input_shape=shape)
    with pytest.raises(ValueError, match=r"Received: rows with an output of shape \(None, 5, 1\)"):
        hub.load("siamese_tiny", backbone=keras.Sequential([keras.Input((5, 1)), keras.layers.ReLU()], name="rows"))

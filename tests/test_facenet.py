"""FaceNet's networks against the rows of the paper's tables and, module by module, slow NumPy loops."""

import keras
import numpy as np
import pytest

from hub import registry
from hub.models.facenet import L2Pooling, inception

# (output, parameters, multiply-adds in millions) as printed; parameters in thousands unless above a million
TABLE_1 = {
    "stage1": ((110, 110, 64), 9, 115), "conv2a": ((55, 55, 64), 4, 13), "conv2": ((55, 55, 192), 111, 335),
    "conv3a": ((28, 28, 192), 37, 29), "stage3": ((28, 28, 384), 664, 521), "conv4a": ((14, 14, 384), 148, 29),
    "conv4": ((14, 14, 256), 885, 173), "conv5a": ((14, 14, 256), 66, 13), "conv5": ((14, 14, 256), 590, 116),
    "conv6a": ((14, 14, 256), 66, 13), "stage4": ((14, 14, 256), 590, 116), "fc1": ((8192,), 103_000, 103),
    "fc2": ((8192,), 34_000, 34), "embedding": ((128,), 524, 0.5),
}  # fmt: skip
TABLE_2 = {
    "stage1": ((112, 112, 64), 9, 119), "conv2": ((56, 56, 192), 115, 360), "inception3a": ((28, 28, 256), 164, 128),
    "stage3": ((28, 28, 320), 228, 179), "inception3c": ((14, 14, 640), 398, 108),
    "inception4a": ((14, 14, 640), 545, 107), "inception4b": ((14, 14, 640), 595, 117),
    "inception4c": ((14, 14, 640), 654, 128), "stage4": ((14, 14, 640), 722, 142),
    "inception4e": ((7, 7, 1024), 717, 56), "inception5a": ((7, 7, 1024), 1600, 78),
    "stage5": ((7, 7, 1024), 1600, 78), "embedding": ((128,), 131, 0.1),
}  # fmt: skip


def spent(model, first, last):
    """(output shape, parameters, multiply-adds with the biases') of the layers from behind `first` to `last`."""
    names = [layer.name for layer in model.layers]
    row = model.layers[names.index(first) + 1 if first else 0 : names.index(last) + 1]
    adds = sum(layer.count_params() * np.prod(layer.output.shape[1:-1]) for layer in row)
    return row[-1].output.shape[1:], sum(layer.count_params() for layer in row), adds


@pytest.mark.parametrize(("name", "table"), [("facenet_nn1", TABLE_1), ("facenet_nn2", TABLE_2)])
def test_every_row_of_the_papers_tables(name, table):
    with keras.StatelessScope(initialize_variables=False):  # shapes will do
        model = registry.build(name)
    first, total = None, 0
    for last, (shape, thousands, millions) in table.items():
        found, parameters, adds = spent(model, first, last)
        assert found == shape, last
        digit = 1e3 if thousands < 1000 else 1e5 if thousands < 10_000 else 1e6  # printed as 9K, 1.6M or 34M
        assert abs(parameters - 1e3 * thousands) < 0.6 * digit, (last, parameters)
        assert abs(adds / 1e6 - millions) < (0.6 if millions >= 1 else 0.06), (last, adds)
        first, total = last, total + adds
    assert round(total / 1e9, 1) == 1.6


def windows(x, size, strides, fill):
    """Windows of an image [H, W, C] where "same" padding puts them, as [H', W', size, size, C]."""
    steps = [-(-n // strides) for n in x.shape[:2]]
    over = [max((s - 1) * strides + size - n, 0) for s, n in zip(steps, x.shape[:2], strict=True)]
    padded = np.pad(x, [*((o // 2, o - o // 2) for o in over), (0, 0)], constant_values=fill)
    return np.array([[padded[i * strides : i * strides + size, j * strides : j * strides + size]
                      for j in range(steps[1])] for i in range(steps[0])])  # fmt: skip


@pytest.mark.parametrize(
    "columns",
    [(3, (2, 4), (2, 3), ("l2", 5)), (0, (2, 4), (2, 3), ("max", 0)), (3, (2, 4), (), ("max", 5))],
    ids=["as 3b", "as 3c", "without 5x5"],
)
def test_a_module_equals_slow_loops(columns):
    keras.utils.set_random_seed(0)
    inputs = keras.Input((7, 6, 4))
    model = keras.Model(inputs, inception(inputs, columns, 64, "m", None))
    for weight in model.weights:
        weight.assign(np.random.default_rng(len(weight.path)).normal(size=weight.shape))
    of = {f"{x.name}/{w.name}": keras.ops.convert_to_numpy(w) for x in model.layers for w in x.weights}
    image = np.random.default_rng(0).normal(size=(7, 6, 4)).astype("float32")

    def conv(name, x, strides=1):
        kernel = of[f"{name}/kernel"]
        return np.maximum(
            np.einsum("hwijc,ijcf->hwf", windows(x, len(kernel), strides, 0), kernel) + of[f"{name}/bias"], 0
        )

    one, _, five, (kind, projected) = columns
    strides = 1 if one else 2
    expected = [conv("m_1x1", image)] if one else []
    for size in (3, 5) if five else (3,):
        expected.append(conv(f"m_{size}x{size}", conv(f"m_{size}x{size}_reduce", image), strides))
    if kind == "max":
        pooled = windows(image, 3, strides, -np.inf).max(axis=(2, 3))
    else:
        pooled = np.sqrt(np.nanmean(windows(image, 3, 1, np.nan) ** 2, axis=(2, 3)))
    expected.append(conv("m_project", pooled) if projected else pooled)
    found = keras.ops.convert_to_numpy(model(image[None]))[0]
    np.testing.assert_allclose(found, np.concatenate(expected, axis=-1), rtol=1e-4, atol=1e-4)


def test_l2_pooling_of_nothing_has_a_slope():
    import tensorflow as tf

    x = tf.Variable(np.zeros((1, 3, 3, 2), "float32"))
    with tf.GradientTape() as tape:
        value = tf.reduce_sum(L2Pooling()(x))
    assert np.isfinite(tape.gradient(value, x)).all() and float(value) < 1e-4


@pytest.mark.parametrize("name", ["facenet_tiny", "facenet_nn1_tiny"])
def test_embeddings_have_length_one_and_logits_are_beside_them(name):
    model = registry.build(name, input_shape=(40, 40, 3))
    found = keras.ops.convert_to_numpy(model(np.random.default_rng(0).normal(size=(3, 40, 40, 3))))
    assert found.shape == (3, 128)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
    with keras.StatelessScope(initialize_variables=False):
        assert registry.build(name, num_classes=7).output.shape == (None, 7)


def test_nn4_has_no_5x5_at_the_end():
    names = {layer.name for layer in registry.build("facenet_nn4").layers}
    assert "inception4e_5x5" in names and not {"inception5a_5x5", "inception5b_5x5"} & names

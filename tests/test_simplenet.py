"""Where SimpleNet's maps shrink, what its head sees, what is dropped, and its least images."""

import keras
import numpy as np
import pytest

from hub import registry


def pictures(*shape):
    return np.random.default_rng(0).normal(size=shape).astype("float32")


def convolutions(model):
    return [layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D)]


@pytest.mark.parametrize(
    ("name", "size", "halving", "maps"),
    [
        ("simplenet_cifar_5m", 32, (), [32] * 4 + [16] * 3 + [8] * 2 + [4] * 3 + [2]),
        ("simplenet_cifar_5m", 28, (), [28] * 4 + [14] * 3 + [7] * 2 + [3] * 3 + [1]),
        ("simplenetv1_5m_m1", 224, (1, 2, 3), [112, 56] + [28] * 4 + [14] * 4 + [7] * 3),
        ("simplenetv1_5m_m2", 224, (1, 2, 4), [112, 56, 56] + [28] * 3 + [14] * 4 + [7] * 3),
        ("simplenetv1_5m_m2", 224, (1, 2, 5), [112, 56, 56, 56] + [28] * 2 + [14] * 4 + [7] * 3),
        ("simplenetv1_9m_m1", 224, (1, 3, 5), [112, 112, 56, 56, 28, 28] + [14] * 4 + [7] * 3),
        ("simplenetv1_9m_m1", 75, (1, 2, 3), [38, 19] + [10] * 4 + [5] * 4 + [2] * 3),
    ],
)
def test_maps_shrink_where_the_tables_say(name, size, halving, maps):
    model = registry.build(name, input_shape=(size, size, 1), scale=1 / 16, halving=halving, num_classes=0)
    convs = convolutions(model)
    assert [conv.output.shape[1] for conv in convs] == maps
    assert [conv.kernel_size[0] for conv in convs] == [3] * 10 + [1, 1, 3]
    ends = [at for at in range(13) if at == 12 or maps[at] != maps[at + 1]]
    stages = [model.get_layer(f"stage{s}").output for s in range(1, len(ends) + 1)]
    assert [(x.shape[1], x.shape[-1]) for x in stages] == [(maps[at], convs[at].filters) for at in ends]
    assert model.output is stages[-1] and not any(layer.name == f"stage{len(ends) + 1}" for layer in model.layers)


def test_the_head_sees_maxima():
    model = registry.build("simplenet_tiny", input_shape=(48, 32, 3))
    images = pictures(2, 48, 32, 3)
    last = keras.ops.convert_to_numpy(keras.Model(model.input, model.get_layer("stage5").output)(images))
    kernel, bias = model.get_layer("logits").get_weights()
    assert last.shape == (2, 3, 2, 16)
    np.testing.assert_allclose(
        keras.ops.convert_to_numpy(model(images)), last.max((1, 2)) @ kernel + bias, rtol=1e-4, atol=1e-5
    )


def test_dropout_lies_where_the_release_has_it():
    """After four pools, the head's pool, and the eight convolutions that neither a pool nor the head's follows."""
    model = registry.build("simplenet_tiny", dropout=0.5)
    names = [layer.name for layer in model.layers if "dropout" in layer.name]
    convs = [f"conv{i}_dropout" for i in (1, 2, 3, 5, 6, 8, 10, 11)]
    assert sorted(names) == sorted([*(f"pool{i}_dropout" for i in (1, 2, 3, 4)), *convs, "dropout"])
    images = pictures(2, 32, 32, 3)
    calm = [keras.ops.convert_to_numpy(model(images, training=False)) for _ in range(2)]
    np.testing.assert_array_equal(*calm)
    ones = np.ones((20, 3, 3, 4), "float32")
    dropped = keras.ops.convert_to_numpy(model.get_layer("pool1_dropout")(ones, training=True))
    assert (dropped == dropped[:, :1, :1]).all() and set(np.unique(dropped)) == {0.0, 2.0}, "whole channels"
    assert not any("dropout" in layer.name for layer in registry.build("simplenet_tiny").layers)


def test_kernels_start_uniform_with_the_variance_that_relu_wants():
    keras.utils.set_random_seed(0)
    model = registry.build("simplenet_cifar_310k")
    for number, fan in ((2, 9 * (64 + 32)), (11, 128 + 256)):
        kernel = keras.ops.convert_to_numpy(model.get_layer(f"conv{number}").kernel)
        bound = np.sqrt(2) * np.sqrt(6 / fan)
        assert 0.99 * bound < np.abs(kernel).max() <= 1.001 * bound
        assert abs(kernel.std() - bound / np.sqrt(3)) < 0.02 * bound


@pytest.mark.parametrize(("halving", "least"), [((), 16), ((1, 2, 4), 121)])
def test_the_least_images(halving, least):
    """Every pooling needs two pixels."""
    model = registry.build("simplenet_tiny", halving=halving, input_shape=(None, None, 3), num_classes=0)
    assert model(pictures(1, least, least + 5, 3)).shape[1:3] == (1, 1)
    with pytest.raises(ValueError, match=rf"{least} pixels .* Received: input_shape=\({least - 1}, 200, 3\)"):
        registry.build("simplenet_tiny", halving=halving, input_shape=(least - 1, 200, 3))

"""ResNet-D: where the strides went."""

import keras
import numpy as np

from hub.models.resnet_tricks import averaged, basic, bottleneck, plain_stem, resnet_tricks, strided

TINY = {"depths": (1, 1, 1, 1), "width": 8, "input_shape": (48, 48, 3), "num_classes": 3}


def strided_layers(model):
    return {layer.name for layer in model.layers if getattr(layer, "strides", 1) in ((2, 2), 2)}


def test_where_the_strides_are():
    pool, threes = {"stem_pool"}, {f"stage{s}_block0_2_conv" for s in (2, 3, 4)}
    b = resnet_tricks(bottleneck, **TINY, stem=plain_stem, shortcut=strided)
    assert strided_layers(b) == pool | threes | {"stem_conv"} | {f"stage{s}_block0_shortcut_conv" for s in (2, 3, 4)}
    d = resnet_tricks(bottleneck, **TINY)
    assert strided_layers(d) == pool | threes | {"stem_1_conv"} | {f"stage{s}_block0_average_pool" for s in (2, 3, 4)}
    assert [d.get_layer(f"stem_{i}_conv").filters for i in (1, 2, 3)] == [4, 4, 8]


def test_the_shortcut_of_d_sees_every_pixel_and_that_of_b_one_in_four():
    seen = {}
    for shortcut in (averaged, strided):
        inputs = keras.Input((6, 6, 1))
        model = keras.Model(inputs, shortcut(inputs, 1, 2, "here"))
        model.layers[-2].kernel.assign(np.ones((1, 1, 1, 1)))
        pixels = np.eye(36, dtype="float32").reshape(36, 6, 6, 1)  # one pixel at a time
        seen[shortcut] = np.abs(keras.ops.convert_to_numpy(model(pixels, training=False))).sum((1, 2, 3))
    np.testing.assert_allclose(seen[averaged], 0.25, rtol=1e-3)
    assert (seen[strided] > 0).sum() == 9


def test_the_mean_at_an_odd_border_is_of_the_pixels_there():
    inputs = keras.Input((5, 7, 2))
    pooled = keras.Model(inputs, averaged(inputs, 4, 2, "here")).get_layer("here_average_pool")
    x = np.random.default_rng(0).normal(size=(1, 5, 7, 2)).astype("float32")
    slow = [[x[:, i : i + 2, j : j + 2].mean((1, 2)) for j in (0, 2, 4, 6)] for i in (0, 2, 4)]
    np.testing.assert_allclose(pooled(x), np.array(slow).transpose(2, 0, 1, 3), atol=1e-6)


def test_a_residual_of_nothing_leaves_the_shortcut():
    """With the last gamma of a block at zero (the paper's section 3.1), the block is its shortcut."""
    model = resnet_tricks(basic, **TINY)
    model.get_layer("stage2_block0_2_bn").gamma.assign(np.zeros(16))
    ends = [model.get_layer(at).output for at in ("stage2", "stage2_block0_average_bn")]
    x = np.random.default_rng(0).normal(size=(2, 48, 48, 3)).astype("float32")
    got, shortcut = keras.Model(model.input, ends)(x, training=False)
    np.testing.assert_array_equal(got, np.maximum(shortcut, 0))
    assert np.asarray(got).any()

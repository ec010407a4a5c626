"""VGG's and SqueezeNet's edges: both heads, the order of a flattened map, LRN, configuration C, gray images, sizes."""

import keras
import numpy as np
import pytest
import safetensors.numpy

from hub import contract, registry, weights
from hub.models.vgg import LocalResponseNormalization

RNG = np.random.default_rng(0)
SMALL = {"depths": (1, 1, 2, 2, 2), "width": 4, "units": 6, "num_classes": 5}


def small(**options):
    """A VGG whose head sees a map of 7 x 7 pixels, as at 224, but of few channels."""
    keras.utils.set_random_seed(0)
    return registry.build("vgg11", **{**SMALL, "input_shape": (224, 224, 3), **options})


def torchvision_tensors(model):
    """Random tensors for `model` (dense head), named and laid out as torchvision's."""
    tensors = {}
    for i, layer in enumerate(layer for layer in model.layers if layer.name.startswith("stage")):
        if layer.weights:
            tensors[f"features.{i}.weight"] = layer.kernel.shape[::-1]
            tensors[f"features.{i}.bias"] = layer.bias.shape
    for at, name in ((0, "fc6"), (3, "fc7"), (6, "logits")):
        tensors[f"classifier.{at}.weight"] = model.get_layer(name).kernel.shape[::-1]
        tensors[f"classifier.{at}.bias"] = model.get_layer(name).bias.shape
    return {k: RNG.normal(0, np.prod(shape[1:]) ** -0.5, shape).astype("float32") for k, shape in tensors.items()}


def loaded(model, tensors, folder, given=False):
    safetensors.numpy.save_file(tensors, folder / "a.safetensors")
    weights.apply(model, registry.info("vgg11"), folder / "a.safetensors", num_classes_given=given)
    return model


def numpy(x):
    return keras.ops.convert_to_numpy(x)


def test_the_head_sees_channels_in_pytorchs_order(tmp_path):
    """fc6 by definition: one channel after another, each row by row."""
    model = small()
    tensors = torchvision_tensors(model)
    loaded(model, tensors, tmp_path)
    images = RNG.normal(size=(2, 224, 224, 3)).astype("float32")
    tapped = keras.Model(model.input, [model.get_layer(name).output for name in ("stage5", "fc6", "logits")])
    features, fc6, logits = map(numpy, tapped(images))
    assert features.shape == (2, 7, 7, 32)
    x = features.transpose(0, 3, 1, 2).reshape(2, -1)
    for at, relu in ((0, True), (3, True), (6, False)):
        x = x @ tensors[f"classifier.{at}.weight"].T + tensors[f"classifier.{at}.bias"]
        if at == 0:
            np.testing.assert_allclose(fc6, x, atol=1e-5)
        x = np.maximum(x, 0) if relu else x
    np.testing.assert_allclose(logits, x, atol=1e-5)


def test_dense_and_convolutional_head_agree(tmp_path):
    """At 224 they are one function; on a larger image the second averages what the first says of each crop."""
    dense = small()
    tensors = torchvision_tensors(dense)
    loaded(dense, tensors, tmp_path)
    slid = loaded(small(head="conv", input_shape=(None, None, 3)), tensors, tmp_path)
    images = RNG.normal(size=(2, 224, 224, 3)).astype("float32")
    np.testing.assert_allclose(numpy(slid(images)), numpy(dense(images)), atol=1e-5)
    maps = RNG.normal(size=(1, 8, 9, 32)).astype("float32")  # stage 5 of 256 x 288
    heads = [keras.Model(m.get_layer("stage5").output, m.output) for m in (dense, slid)]
    crops = np.concatenate([maps[:, i : i + 7, j : j + 7] for i in range(2) for j in range(3)])
    np.testing.assert_allclose(numpy(heads[1](maps))[0], numpy(heads[0](crops)).mean(0), atol=1e-5)
    assert slid(np.zeros((1, 256, 288, 3), "float32")).shape == (1, 5)


def test_published_features_under_another_head(tmp_path):
    tensors = torchvision_tensors(small())
    bare = loaded(small(num_classes=0, input_shape=(32, 32, 3)), tensors, tmp_path)
    with pytest.warns(UserWarning, match="head of vgg"):
        pooled = loaded(small(head="gap", input_shape=(32, 32, 3), num_classes=3), tensors, tmp_path, given=True)
    for model in (bare, pooled):
        kernel = numpy(model.get_layer("stage5_2_conv").kernel)
        np.testing.assert_array_equal(kernel, tensors["features.18.weight"].transpose(2, 3, 1, 0))
    with pytest.raises(ValueError, match=r"classifier.0.weight: \(1568, 6\) for \(32, 6\)\); pass num_classes"):
        loaded(small(input_shape=(32, 32, 3)), tensors, tmp_path)


def test_gray_images_see_the_sum_of_the_colours(tmp_path):
    tensors = torchvision_tensors(small())
    gray, colour = (loaded(small(input_shape=(224, 224, c)), tensors, tmp_path) for c in (1, 3))
    images = RNG.normal(size=(1, 224, 224, 1)).astype("float32")
    np.testing.assert_allclose(numpy(gray(images)), numpy(colour(np.repeat(images, 3, -1))), atol=1e-5)


def test_configuration_c():
    """Table 1: the third convolution of stages 3 to 5 is 1x1; 8/9 of three kernels less than D, 134 million in all."""
    model = registry.build("vgg16c", num_classes=0, input_shape=(32, 32, 3))
    sizes = {layer.name: layer.kernel_size for layer in model.layers if layer.name.endswith("_conv")}
    assert len(sizes) == 13
    assert [name for name, size in sizes.items() if size == (1, 1)] == [f"stage{s}_3_conv" for s in (3, 4, 5)]
    c, d = (registry.info(name).params for name in ("vgg16c", "vgg16"))
    assert d - c == 8 * (256**2 + 512**2 + 512**2) and round(c / 1e6) == 134


def test_small_head():
    model = registry.build("vgg16_bn_cifar")
    convolutions = 14_714_688  # of vgg16, as keras.applications counts them
    norms, fc6, logits = 2 * (2 * 64 + 2 * 128 + 3 * 256 + 6 * 512), 512 * 513, 513 * 10
    assert sum(int(np.prod(w.shape)) for w in model.trainable_weights) == convolutions + norms + fc6 + logits


def test_local_response_normalization():
    """Krizhevsky et al., section 3.3, one channel at a time; the borders have fewer neighbours."""
    x = RNG.normal(0, 30, size=(2, 3, 2, 9)).astype("float32")
    expected = np.empty_like(x)
    for c in range(9):
        near = x[..., max(0, c - 2) : min(8, c + 2) + 1]
        expected[..., c] = x[..., c] / (2 + 1e-4 * (near.astype("float64") ** 2).sum(-1)) ** 0.75
    assert np.abs(expected / x - 2**-0.75).max() > 0.01, "the neighbours must matter"
    np.testing.assert_allclose(numpy(LocalResponseNormalization()(x)), expected, rtol=1e-5)
    layer = LocalResponseNormalization(3, 1.0, 2.0, 0.5)
    assert LocalResponseNormalization.from_config(layer.get_config()).get_config() == layer.get_config()


def test_lrn_keeps_the_costly_promises(monkeypatch):
    """Saved without custom objects, exported to TFLite's own operators, and in 16 bits: the row's own layer."""
    entry = registry.info("vgg11_lrn")
    options = {"depths": (1, 1), "width": 4, "units": 8, "input_shape": (32, 36, 3), "num_classes": 5}
    monkeypatch.setattr(registry.module(entry), "CONTRACT_SIZE", options, raising=False)
    for promise in (contract.saved, contract.exported, contract.mixed):
        promise(entry)


def test_arguments_that_do_not_fit():
    for options, said in (
        ({"head": "mean"}, '`head` is "dense", "conv" or "gap"'),
        ({"norm": "layer"}, '`norm` is "batch"'),
        ({"input_shape": (None, 224, 3)}, 'head="conv" takes any'),
    ):
        with pytest.raises(ValueError, match=said):
            small(**options)


@pytest.mark.parametrize("size", [(37, 64), (64, 37), (53, 90)], ids=str)
def test_squeezenets_last_windows(size):
    """A pool takes every second pixel whose window starts inside the map, by definition."""
    model = registry.build("squeezenet_tiny", input_shape=(*size, 3))
    images = RNG.normal(size=(1, *size, 3)).astype("float32")
    tapped = keras.Model(model.input, [model.get_layer(at).output for at in ("stem_relu", "stage1_pool")])
    before, after = map(numpy, tapped(images))
    rows, columns = (range(0, n - 1, 2) for n in before.shape[1:3])
    slow = np.stack([np.stack([before[:, i : i + 3, j : j + 3].max((1, 2)) for j in columns], 1) for i in rows], 1)
    np.testing.assert_array_equal(after, slow)

"""Features by stage, pooled features, frozen parts, any number of channels: `hub.load`'s views of a model."""

import keras
import numpy as np
import pytest

import hub
from hub import weights

TINY = {"input_shape": (64, 64, 3)}


def picture(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=(2, *shape)).astype("float32")


def test_features_are_the_stages_of_the_same_network(tmp_path):
    whole = hub.load("resnet_tiny", **TINY)
    whole.save_weights(tmp_path / "m.weights.h5")
    taps = keras.Model(whole.input, [whole.get_layer(f"stage{i}").output for i in (1, 2, 3, 4)])
    view = hub.load("resnet_tiny", **TINY, features_only=True)
    view.set_weights(whole.get_weights()[:-2])
    images = picture(64, 64, 3)
    found = view.predict(images, verbose=0)
    assert list(found) == ["stage1", "stage2", "stage3", "stage4"]
    for mine, theirs in zip(found.values(), taps.predict(images, verbose=0), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    pooled = hub.load("resnet_tiny", **TINY, pooling="max")
    pooled.set_weights(whole.get_weights()[:-2])
    np.testing.assert_array_equal(pooled.predict(images, verbose=0), found["stage4"].max((1, 2)))


@pytest.mark.parametrize(
    ("name", "strides"),
    [
        ("resnet_tiny", (4, 8, 16, 32)),
        ("wrn_tiny", (1, 2, 4)),
        ("squeezenet_tiny", (4, 8, 16)),
        ("inception_v3_tiny", (2, 4, 8, 16, 32)),  # 75 pixels leave 35, 15, 7, 3 and 1
        ("vit_tiny_tiny", (16, 16, 16, 16)),  # a network of tokens takes its own size only
    ],
)
def test_strides(name, strides):
    size = {"inception_v3_tiny": 75}.get(name, 64)
    model = hub.load(name, input_shape=(size, size, 3), features_only=True)
    assert hub.strides(model) == {f"stage{i}": stride for i, stride in enumerate(strides, 1)}


@pytest.mark.parametrize("until", [True, "stage2"])
def test_what_is_frozen_keeps_weights_and_statistics(until):
    keras.utils.set_random_seed(0)
    model = hub.load("resnet_tiny", **TINY, num_classes=3, freeze=until)
    before = {w.path: keras.ops.convert_to_numpy(w) for w in model.weights}
    model.compile(keras.optimizers.SGD(0.1), "mse")
    model.fit(picture(64, 64, 3), picture(3, seed=1), verbose=0)
    moved = {w.path.split("/")[0] for w in model.weights if (keras.ops.convert_to_numpy(w) != before[w.path]).any()}
    everything = {path.split("/")[0] for path in before}
    upper = {"logits"} if until is True else {n for n in everything if n.startswith(("stage3", "stage4", "logits"))}
    assert moved == upper and upper < everything


@pytest.mark.parametrize("channels", [1, 2, 4, 5, 13])
def test_any_number_of_channels_from_three(channels):
    """A kernel for C channels gives on x repeated C times what the checkpoint's gives on x repeated three times."""
    kernel = np.random.default_rng(0).normal(size=(3, 3, 3, 8)).astype("float32")
    gray = picture(6, 7, 1)
    theirs = keras.ops.conv(gray.repeat(3, 3), kernel, data_format="channels_last")
    mine = keras.ops.conv(
        gray.repeat(channels, 3), weights._other_colours(kernel, channels), data_format="channels_last"
    )
    np.testing.assert_allclose(mine, theirs, atol=1e-4)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"features_only": True, "pooling": "avg"}, "Received both"),
        ({"pooling": "mean"}, "'mean'"),
        ({"pooling": "avg", "num_classes": 5}, "num_classes=5"),
        ({"freeze": "stage9"}, "stage1, stage2, stage3, stage4"),
    ],
)
def test_what_cannot_be(options, told):
    with pytest.raises(ValueError, match=told):
        hub.load("resnet_tiny", **{**TINY, **options})


@pytest.mark.parametrize("option", ["features_only", "pooling", "freeze"])
def test_only_models_have_views(option):
    with pytest.raises(ValueError, match=f"{option.capitalize()} are for models"):
        hub.load("maxout", **{option: "avg"})

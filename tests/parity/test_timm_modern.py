"""The same weights in timm's, torchvision's and Keras's ConvNeXt, RegNet, SE-ResNet and Xception and in ours."""

import re

import keras
import numpy as np
import pytest
from same_weights import agree, loaded, outputs_of, pictures, settle_norms

from hub import registry

pytestmark = pytest.mark.parity
LAYERS = {f"stage{s}": f"layer{s}" for s in (1, 2, 3, 4)}
REGNET = {f"stage{s}": f"s{s}" for s in (1, 2, 3, 4)}
CONVNEXT = {f"stage{s}": f"stages.{s - 1}" for s in (1, 2, 3, 4)}
XCEPTION = {"stage1": "act2", "stage2": "block1", "stage3": "block2", "stage4": "block11", "stage5": "act4"}


def randomised(network):
    """He-normal kernels; normalisation, LayerScale and biases far from their neutral start.

    Attention's kernels are a fifth of that size: gates far out on the sigmoid would turn rounding into another picture
    (SE-ResNet-50's fourth stage in timm's float32 was 3e-4 off its own float64).
    """
    import torch

    torch.manual_seed(0)
    for name, value in network.named_parameters():
        if value.ndim > 1:
            torch.nn.init.kaiming_normal_(value)
            if ".se." in name:
                value.data *= 0.2
        elif name.endswith("bias"):
            torch.nn.init.normal_(value, std=0.2)
        else:
            torch.nn.init.uniform_(value, 0.5, 1.5)
    settle_norms(network)
    return network


@pytest.mark.parametrize(
    ("name", "ends", "size"),
    [
        ("convnext_tiny", CONVNEXT, (224, 224)),
        ("convnext_atto", CONVNEXT, (71, 98)),
        ("regnetx_002", REGNET, (224, 224)),
        ("regnetx_004_tv", REGNET, (64, 64)),
        ("regnety_002", REGNET, (71, 98)),
        ("regnety_008", REGNET, (64, 64)),
        ("seresnet50", LAYERS, (224, 224)),
        ("seresnet18", LAYERS, (71, 98)),
        ("seresnext50_32x4d", LAYERS, (64, 64)),
        ("legacy_xception", XCEPTION, (98, 131)),
    ],
    ids=lambda value: None if isinstance(value, dict) else str(value),
)
def test_same_logits_and_features(timm, tmp_path, name, ends, size):
    network = randomised(timm.create_model(name))
    images = pictures(*size, 3)
    model = loaded(name, network.state_dict(), tmp_path, images)
    agree(name, model, outputs_of(network, ends, images), images, reference="timm")


@pytest.mark.parametrize(
    ("name", "ends"), [("convnext_atto", CONVNEXT), ("regnety_002", REGNET), ("seresnet18", LAYERS)]
)
def test_gray_images_and_few_classes(timm, tmp_path, name, ends):
    network = randomised(timm.create_model(name, num_classes=7))
    gray = pictures(64, 64, 1)
    theirs = outputs_of(network, ends, np.repeat(gray, 3, axis=-1))
    model = loaded(name, network.state_dict(), tmp_path, gray, num_classes=7)
    agree(name, model, theirs, gray, reference="timm", num_classes=7)


def test_convnext_features_and_new_head(timm, tmp_path):
    network = randomised(timm.create_model("convnext_atto"))
    images = pictures(64, 64, 3)
    theirs = outputs_of(network, CONVNEXT, images)
    theirs["output"] = theirs["stage4"]
    model = loaded("convnext_atto", network.state_dict(), tmp_path, images, num_classes=0)
    agree("convnext_atto", model, theirs, images, reference="timm", num_classes=0)
    with pytest.warns(UserWarning, match="head of"):
        model = loaded("convnext_atto", network.state_dict(), tmp_path, images, num_classes=3)
    norm = network.head.norm.weight.detach().numpy()
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(model.get_layer("head_norm").gamma), norm)


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("regnetx_004_tv", "regnet_x_400mf"),
        ("regnety_008_tv", "regnet_y_800mf"),
        ("regnety_004", "regnet_y_400mf"),
        ("convnext_tiny", "convnext_tiny"),
    ],
)
def test_torchvision(timm, tmp_path, name, other):
    """torchvision calls the same tensors otherwise; in our order of modules they are timm's."""
    from torchvision import models

    network = randomised(getattr(models, other)())
    images = pictures(64, 64, 3)
    state = network.state_dict()
    if name.startswith("convnext"):
        ends = {f"stage{s}": f"features.{2 * s - 1}" for s in (1, 2, 3, 4)}
        state = {convnext_name(key): x.flatten() if "layer_scale" in key else x for key, x in state.items()}
    else:
        ends = {f"stage{s}": f"trunk_output.block{s}" for s in (1, 2, 3, 4)}
        state = {regnet_name(key): x for key, x in state.items()}
    model = loaded(name, state, tmp_path, images)
    agree(name, model, outputs_of(network, ends, images), images, reference="torchvision")


def convnext_name(key):
    """timm's name of a tensor of torchvision's ConvNeXt."""
    if found := re.fullmatch(r"features\.(\d+)\.(\d+)(?:\.block\.(\d))?\.(\w+)", key):
        group, i, part, leaf = found.groups()
        if group == "0":
            return f"stem.{i}.{leaf}"
        if int(group) % 2 == 0:
            return f"stages.{int(group) // 2}.downsample.{i}.{leaf}"
        at = f"stages.{int(group) // 2}.blocks.{i}"
        part = {"0": "conv_dw.", "2": "norm.", "3": "mlp.fc1.", "5": "mlp.fc2.", None: ""}[part]
        return f"{at}.{part}{leaf}".replace("layer_scale", "gamma")
    return key.replace("classifier.0", "head.norm").replace("classifier.2", "head.fc")


def regnet_name(key):
    """timm's name of a tensor of torchvision's RegNet."""
    key = re.sub(r"trunk_output\.block\d\.block(\d)-(\d+)", lambda m: f"s{m[1]}.b{int(m[2]) + 1}", key)
    key = re.sub(r"f\.([abc])\.(\d)", lambda m: f"conv{'abc'.index(m[1]) + 1}.{('conv', 'bn')[int(m[2])]}", key)
    key = re.sub(r"(stem|proj)\.(\d)", lambda m: f"{m[1]}.{('conv', 'bn')[int(m[2])]}", key)
    return key.replace("proj", "downsample").replace("f.se", "se").replace("fc.", "head.fc.", not key.count("se.fc"))


def test_keras_applications_xception():
    """Weights pass from layer to layer; the shortcuts have no names there and are counted."""
    keras.utils.clear_session()  # layers that Keras names itself are counted from here
    images = pictures(128, 107, 3)
    theirs = keras.applications.Xception(
        weights=None, input_shape=(128, 107, 3), classes=11, classifier_activation=None
    )
    model = registry.build("xception", input_shape=(128, 107, 3), num_classes=11)
    assert theirs.count_params() == model.count_params()
    rng = np.random.default_rng(0)
    copied = set()

    def copy(ours, layer, values):
        layer.set_weights(values)
        for name, part in zip(ours, np.split(np.arange(len(values)), len(ours)), strict=True):
            model.get_layer(name).set_weights([values[i] for i in part])
            copied.add(name)

    for layer in theirs.layers:
        if not layer.weights:
            continue
        values = [rng.normal(size=w.shape) for w in layer.weights]
        if isinstance(layer, keras.layers.BatchNormalization):
            values = [rng.uniform(0.5, 1.2, values[0].shape), 0.2 * values[1], 0.2 * values[2],
                      rng.uniform(0.5, 2.0, values[3].shape)]  # fmt: skip
        elif isinstance(layer, keras.layers.SeparableConv2D):
            values = [values[0] / 3, values[1] * (2 / values[1].shape[2]) ** 0.5]
        else:
            values[0] *= (2 / np.prod(values[0].shape[:-1])) ** 0.5
        copy(xception_layers(layer.name), layer, values)
    assert copied == {layer.name for layer in model.layers if layer.weights}
    places = {
        "stage1": "block1_conv2_act", "stage2": "add", "stage3": "add_1", "stage4": "add_10",
        "stage5": "block14_sepconv2_act",
    }  # fmt: skip
    expected = outputs_of(theirs, places, images)
    agree("xception", model, expected, images, reference="keras.applications", num_classes=11)


def xception_layers(name):
    """Our layers that hold the weights of the layer `name` of keras.applications.Xception."""
    if found := re.fullmatch(r"block(\d+)_sepconv(\d)(_bn)?", name):
        number, part, norm = int(found[1]), int(found[2]), found[3]
        at = f"exit{part + 2}" if number == 14 else f"block{number - 1}_{part}"
        return [f"{at}_bn"] if norm else [f"{at}_depthwise", f"{at}_pointwise"]
    if found := re.fullmatch(r"block1_conv(\d)(_bn)?", name):
        return [f"stem{found[1]}_{'bn' if found[2] else 'conv'}"]
    if found := re.fullmatch(r"(conv2d|batch_normalization)(?:_(\d))?", name):
        block = (1, 2, 3, 12)[int(found[2] or 0)]
        return [f"block{block}_shortcut_{'conv' if found[1] == 'conv2d' else 'bn'}"]
    return ["logits"]

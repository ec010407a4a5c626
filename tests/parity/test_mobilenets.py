"""The same weights in timm's, torchvision's and Keras's mobile networks and in ours: the same logits and stages."""

import keras
import numpy as np
import pytest
from same_weights import agree, loaded, outputs_of, pictures, settle_norms

from hub import contract, registry

pytestmark = pytest.mark.parity
STAGES = {  # name -> its reference, and the modules there that end the stages
    "mobilenet": ("mobilenetv1_100", [f"blocks.{i}" for i in range(5)]),
    "mobilenet_v2": ("mobilenetv2_100", ["blocks.0", "blocks.1", "blocks.2", "blocks.4", "bn2"]),
    "mobilenet_v2_140": ("mobilenetv2_140", ["blocks.0", "blocks.1", "blocks.2", "blocks.4", "bn2"]),
    "mobilenet_v3_large": ("mobilenet_v3_large", [f"features.{i}" for i in (1, 3, 6, 12, 16)]),
    "mobilenet_v3_small": ("mobilenet_v3_small", [f"features.{i}" for i in (0, 1, 3, 8, 12)]),
}
TORCHVISION_V2 = [f"features.{i}" for i in (1, 3, 6, 13, 18)]
KERAS = {  # name -> keras.applications' network, its arguments, and the layers there that end the stages
    "mobilenet": ("MobileNet", {}, [f"conv_pw_{i}_relu" for i in (1, 3, 5, 11, 13)]),
    "mobilenet_025": ("MobileNet", {"alpha": 0.25}, [f"conv_pw_{i}_relu" for i in (1, 3, 5, 11, 13)]),
    "mobilenet_v2_035": (
        "MobileNetV2",
        {"alpha": 0.35},
        ["expanded_conv_project_BN", "block_2_add", "block_5_add", "block_12_add", "out_relu"],
    ),
    "mobilenet_v3_large": (
        "MobileNetV3Large",
        {"include_preprocessing": False},
        [*(f"expanded_conv{i}_add" for i in ("", "_2", "_5", "_11")), "activation_19"],
    ),
    "mobilenet_v3_small": (
        "MobileNetV3Small",
        {"include_preprocessing": False},
        ["activation", "expanded_conv_project_bn", "expanded_conv_2_add", "expanded_conv_7_add", "activation_17"],
    ),
}


def reference(timm, name, **options):
    """The reference with random kernels, and BatchNorm statistics and affine terms far from their neutral start."""
    import torch
    import torchvision

    torch.manual_seed(0)
    make = getattr(torchvision.models, name, None)
    network = make(**options) if make else timm.create_model(name, **options)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 0.5, 2.5)
            torch.nn.init.normal_(module.bias, std=0.5)
        elif isinstance(module, torch.nn.Linear):
            torch.nn.init.normal_(module.weight, std=0.1)
            torch.nn.init.normal_(module.bias)
    settle_norms(network)
    return network


def numbered(ends):
    return {f"stage{s}": end for s, end in enumerate(ends, 1)}


def library(other):
    return "timm" if other.startswith(("mobilenetv1", "mobilenetv2")) else "torchvision"


@pytest.mark.parametrize("name", STAGES)
def test_same_logits_and_features(timm, tmp_path, name):
    other, ends = STAGES[name]
    network = reference(timm, other)
    images = pictures(224, 224, 3)
    model = loaded(name, network.state_dict(), tmp_path, images)
    agree(name, model, outputs_of(network, numbered(ends), images), images, reference=library(other))


@pytest.mark.parametrize("name", ["mobilenet", "mobilenet_v2", "mobilenet_v3_large", "mobilenet_v3_small"])
def test_odd_sizes_few_classes_gray_images(timm, tmp_path, name):
    other, ends = STAGES[name]
    network = reference(timm, other, num_classes=7)
    gray = pictures(97, 130, 1)
    theirs = outputs_of(network, numbered(ends), np.repeat(gray, 3, axis=-1))
    model = loaded(name, network.state_dict(), tmp_path, gray, num_classes=7)
    agree(name, model, theirs, gray, reference=library(other), num_classes=7)


def test_torchvision_v2_has_the_same_tensors_in_the_same_order(timm, tmp_path):
    network = reference(timm, "mobilenet_v2")
    names, tensors = timm.create_model("mobilenetv2_100").state_dict(), network.state_dict().values()
    images = pictures(96, 96, 3)
    model = loaded("mobilenet_v2", dict(zip(names, tensors, strict=True)), tmp_path, images)
    agree("mobilenet_v2", model, outputs_of(network, numbered(TORCHVISION_V2), images), images, reference="torchvision")


@pytest.mark.parametrize("name", KERAS)
def test_keras_applications_mirrored(name):
    """Keras pads strided convolutions at the bottom and right, we on all sides: of even sizes one is the other in a
    mirror. Where the normalisations add another epsilon, the difference goes into the variances."""
    keras.utils.clear_session()  # layers that Keras names itself are counted from here
    make, options, ends = KERAS[name]
    build = getattr(keras.applications, make)
    network = build(input_shape=(96, 64, 3), weights=None, classes=11, classifier_activation=None, **options)
    model = registry.build(name, input_shape=(96, 64, 3), num_classes=11)
    rng = np.random.default_rng(0)
    theirs = [layer for layer in network.layers if layer.weights]
    mine = [layer for layer in model.layers if layer.weights]
    for layer in theirs:
        values = [rng.normal(size=w.shape) for w in layer.weights]
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.0  # the batch's statistics are taken over whole
            values = [rng.uniform(0.5, 2.5, layer.gamma.shape), 0.5 * values[1], *values[2:]]
        else:
            kernel = values[0]
            values[0] /= np.sqrt(np.prod(kernel.shape[: 2 if "Depthwise" in type(layer).__name__ else -1]))
        layer.set_weights(values)
    network(rng.normal(size=(4, 96, 64, 3)), training=True)
    for a, b in zip(theirs, mine, strict=True):
        values = [keras.ops.convert_to_numpy(w) for w in a.weights]
        if isinstance(a, keras.layers.BatchNormalization):
            variance = np.maximum(values[-1], values[-1].mean() / 2)
            a.set_weights([*values[:-1], variance])
            b.set_weights([*values[:-1], variance + a.epsilon - b.epsilon])
        elif isinstance(b, keras.layers.Dense):  # a 1x1 convolution there, but for the second network
            b.set_weights([values[0].reshape(b.kernel.shape), values[1]])
        else:
            b.set_weights([values[0][::-1, ::-1], *values[1:]])
    images = pictures(96, 64, 3)
    expected = outputs_of(network, numbered(ends), images[:, ::-1, ::-1])
    expected = {at: value[:, ::-1, ::-1] if value.ndim == 4 else value for at, value in expected.items()}
    agree(name, model, expected, images, reference="keras.applications", num_classes=11)


@pytest.mark.parametrize(
    ("name", "other"),
    [(name, other) for name, (other, _) in STAGES.items()]
    + [(f"mobilenet_v2_{width}", f"mobilenetv2_{width}") for width in ("075", "050", "035")],
)
def test_same_parameters_and_multiply_adds(timm, name, other):
    import torch

    network, spent = reference(timm, other), []

    def count(module, _inputs, output):
        spent.append(module.weight.numel() * output.shape[2:].numel())  # a linear layer has one position

    for module in network.modules():
        if isinstance(module, torch.nn.Conv2d | torch.nn.Linear):
            module.register_forward_hook(count)
    with torch.inference_mode():
        network(torch.zeros(1, 3, 224, 224))
    model = registry.build(name)
    assert contract.multiply_adds(model) == sum(spent)
    assert sum(np.prod(w.shape) for w in model.trainable_weights) == sum(p.numel() for p in network.parameters())

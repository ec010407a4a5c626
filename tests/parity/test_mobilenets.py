"""The same weights in timm's, torchvision's and Keras's mobile networks and in ours: the same logits and stages."""

import keras
import numpy as np
import pytest

from hub import contract, registry, weights

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
    """The reference with random kernels, and BatchNorm statistics and affine terms far from their neutral start.

    Statistics lie about those of the random network itself, so that no layer drowns in ReLU6's ceiling. A channel whose
    filter sees next to nothing would have no variance and multiply rounding by a hundred: timm's float32 then differs
    from its own float64 by 1e-4. Hence the floor of half the layer's mean variance.
    """
    import torch
    import torchvision

    torch.manual_seed(0)
    make = getattr(torchvision.models, name, None)
    network = make(**options) if make else timm.create_model(name, **options)
    norms = [module for module in network.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = None  # the first batch's statistics are taken over whole
        torch.nn.init.uniform_(norm.weight, 0.5, 2.5)
        torch.nn.init.normal_(norm.bias, std=0.5)
    for module in network.modules():
        if isinstance(module, torch.nn.Linear):
            torch.nn.init.normal_(module.weight, std=0.1)
            torch.nn.init.normal_(module.bias)
    with torch.inference_mode():
        network.train()(torch.randn(4, 3, 96, 96))
        for norm in norms:
            norm.running_mean += 0.2 * norm.running_var.sqrt() * torch.randn_like(norm.running_mean)
            norm.running_var.clamp_(min=float(norm.running_var.mean()) / 2)
            norm.running_var *= torch.empty_like(norm.running_var).uniform_(0.5, 2.0)
    return network.eval()


def outputs_of(network, ends, images):
    """Logits and stage features, channels last."""
    import torch

    found = {}
    for stage, end in enumerate(ends, 1):
        network.get_submodule(end).register_forward_hook(
            lambda _module, _input, out, at=f"stage{stage}": found.__setitem__(at, out)
        )
    with torch.inference_mode():
        found["logits"] = network(torch.from_numpy(images.transpose(0, 3, 1, 2).copy()))
    return {k: v.numpy().transpose(0, 2, 3, 1) if v.ndim == 4 else v.numpy() for k, v in found.items()}


def saved(state, folder):
    import torch

    torch.save(state, folder / "model.pth")
    return folder / "model.pth"


def ours(name, path, images, **options):
    model = registry.build(name, input_shape=images.shape[1:], **options)
    weights.apply(model, registry.info(name), path, num_classes_given=bool(options))
    return tapped(model, images)


def tapped(model, images):
    at = [layer.name for layer in model.layers if layer.name.startswith("stage")] + ["logits"]
    outputs = keras.Model(model.input, {name: model.get_layer(name).output for name in at})(images, training=False)
    return {name: keras.ops.convert_to_numpy(value) for name, value in outputs.items()}


def assert_same(mine, theirs):
    """Every output to 1e-4 of its largest value; none is trivial."""
    assert mine.keys() == theirs.keys() == {"stage1", "stage2", "stage3", "stage4", "stage5", "logits"}
    for at, value in theirs.items():
        assert mine[at].shape == value.shape
        assert value.std() > 1e-2 * np.abs(value).max() > 1e-4, f"nothing to compare at {at}"
        assert np.abs(mine[at] - value).max() < 1e-4 * np.abs(value).max(), at


def pictures(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


@pytest.mark.parametrize("name", STAGES)
def test_same_logits_and_features(timm, tmp_path, name):
    other, ends = STAGES[name]
    network = reference(timm, other)
    images = pictures(2, 224, 224, 3)
    theirs = outputs_of(network, ends, images)
    assert_same(ours(name, saved(network.state_dict(), tmp_path), images), theirs)


@pytest.mark.parametrize("name", ["mobilenet", "mobilenet_v2", "mobilenet_v3_large", "mobilenet_v3_small"])
def test_odd_sizes_few_classes_gray_images(timm, tmp_path, name):
    other, ends = STAGES[name]
    network = reference(timm, other, num_classes=7)
    gray = pictures(2, 97, 130, 1, seed=1)
    theirs = outputs_of(network, ends, np.repeat(gray, 3, axis=-1))
    assert_same(ours(name, saved(network.state_dict(), tmp_path), gray, num_classes=7), theirs)


def test_torchvision_v2_has_the_same_tensors_in_the_same_order(timm, tmp_path):
    network = reference(timm, "mobilenet_v2")
    names, tensors = timm.create_model("mobilenetv2_100").state_dict(), network.state_dict().values()
    images = pictures(2, 96, 96, 3)
    theirs = outputs_of(network, TORCHVISION_V2, images)
    assert_same(ours("mobilenet_v2", saved(dict(zip(names, tensors, strict=True)), tmp_path), images), theirs)


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
    network(pictures(4, 96, 64, 3, seed=1), training=True)
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
    images = pictures(2, 96, 64, 3)
    taps = {f"stage{i}": network.get_layer(end).output for i, end in enumerate(ends, 1)}
    taps["logits"] = network.output
    expected = keras.Model(network.input, taps)(images[:, ::-1, ::-1], training=False)
    expected = {at: keras.ops.convert_to_numpy(value) for at, value in expected.items()}
    expected = {at: value[:, ::-1, ::-1] if value.ndim == 4 else value for at, value in expected.items()}
    assert_same(tapped(model, images), expected)


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

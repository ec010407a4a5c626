"""The same weights in timm's and Keras's EfficientNets and in ours: the same logits and stages."""

import keras
import numpy as np
import pytest

from hub import registry, weights

pytestmark = pytest.mark.parity
NAMES = [
    "efficientnet_b0", "efficientnet_b2", "efficientnet_lite0", "efficientnet_lite3", "tf_efficientnet_lite0",
    "efficientnet_cc_b0_4e", "tf_efficientnet_cc_b1_8e",
]  # fmt: skip
TIMM = [f"blocks.{i}" for i in (0, 1, 2, 4)] + ["bn2"]  # the modules that end the stages
KERAS = ["block1a_project_bn", "block2b_add", "block3b_add", "block5c_add", "top_activation"]


def reference(timm, name, **options):
    """timm's network with random kernels, and BatchNorm statistics and affine terms far from their neutral start.

    Statistics lie about those of the random network itself; a variance has the floor of half its layer's mean, lest a
    channel that sees next to nothing multiplies rounding.
    """
    import torch

    torch.manual_seed(0)
    network = timm.create_model(name, **options)
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


def outputs_of(network, images):
    """Logits and stage features, channels last."""
    import torch

    found = {}
    for stage, end in enumerate(TIMM, 1):
        network.get_submodule(end).register_forward_hook(
            lambda _module, _input, out, at=f"stage{stage}": found.__setitem__(at, out)
        )
    with torch.inference_mode():
        found["logits"] = network(torch.from_numpy(images.transpose(0, 3, 1, 2).copy()))
    return {k: v.numpy().transpose(0, 2, 3, 1) if v.ndim == 4 else v.numpy() for k, v in found.items()}


def tapped(model, images):
    at = [layer.name for layer in model.layers if layer.name.startswith("stage")] + ["logits"]
    outputs = keras.Model(model.input, {name: model.get_layer(name).output for name in at})(images, training=False)
    return {name: keras.ops.convert_to_numpy(value) for name, value in outputs.items()}


def ours(name, network, folder, images, **options):
    import torch

    torch.save(network.state_dict(), folder / "model.pth")
    model = registry.build(name, input_shape=images.shape[1:], **options)
    weights.apply(model, registry.info(name), folder / "model.pth", num_classes_given=bool(options))
    return tapped(model, images)


def assert_same(mine, theirs):
    """Every output to 1e-4 of its largest value; none is trivial."""
    assert mine.keys() == theirs.keys() == {"stage1", "stage2", "stage3", "stage4", "stage5", "logits"}
    for at, value in theirs.items():
        assert mine[at].shape == value.shape
        assert value.std() > 1e-2 * np.abs(value).max() > 1e-4, f"nothing to compare at {at}"
        assert np.abs(mine[at] - value).max() < 1e-4 * np.abs(value).max(), at


def pictures(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


@pytest.mark.parametrize("name", NAMES)
def test_same_logits_and_features(timm, tmp_path, name):
    network = reference(timm, name)
    size = 224 if name == "efficientnet_b0" else 96
    images = pictures(2, size, size, 3)
    assert_same(ours(name, network, tmp_path, images), outputs_of(network, images))


@pytest.mark.parametrize("name", ["efficientnet_b0", "tf_efficientnet_lite0", "tf_efficientnet_cc_b0_4e"])
def test_odd_sizes_few_classes_gray_images(timm, tmp_path, name):
    network = reference(timm, name, num_classes=7)
    gray = pictures(2, 97, 130, 1, seed=1)
    theirs = outputs_of(network, np.repeat(gray, 3, axis=-1))
    assert_same(ours(name, network, tmp_path, gray, num_classes=7), theirs)


def test_keras_applications():
    """Keras's own network has the paper's padding and epsilon, and its rescaling from 0..255 inside."""
    network = keras.applications.EfficientNetB0(
        input_shape=(96, 64, 3), weights=None, classes=11, classifier_activation=None
    )
    model = registry.build("efficientnet_b0", padding="same", epsilon=1e-3, input_shape=(96, 64, 3), num_classes=11)
    rng = np.random.default_rng(0)
    theirs = [x for x in network.layers if x.weights and not isinstance(x, keras.layers.Normalization)]
    for layer in theirs:
        values = [rng.normal(size=w.shape) for w in layer.weights]
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.0  # the batch's statistics are taken over whole
            values = [rng.uniform(0.5, 2.5, layer.gamma.shape), 0.5 * values[1], *values[2:]]
        else:
            kernel = values[0]
            values[0] /= np.sqrt(np.prod(kernel.shape[: 2 if "Depthwise" in type(layer).__name__ else -1]))
        layer.set_weights(values)
    network(255 * pictures(4, 96, 64, 3, seed=1), training=True)
    for a, b in zip(theirs, [layer for layer in model.layers if layer.weights], strict=True):
        values = [keras.ops.convert_to_numpy(w) for w in a.weights]
        if isinstance(a, keras.layers.BatchNormalization):
            values[-1] = np.maximum(values[-1], values[-1].mean() / 2)
            a.set_weights(values)
        b.set_weights(values)
    images = pictures(2, 96, 64, 3)
    taps = {f"stage{i}": network.get_layer(end).output for i, end in enumerate(KERAS, 1)}
    taps["logits"] = network.output
    expected = keras.Model(network.input, taps)(255 * images, training=False)
    assert_same(tapped(model, images), {at: keras.ops.convert_to_numpy(value) for at, value in expected.items()})


@pytest.mark.parametrize("size", range(8))
def test_keras_applications_has_as_many_parameters(size):
    network = getattr(keras.applications, f"EfficientNetB{size}")(weights=None)
    trainable = sum(int(np.prod(w.shape)) for w in network.trainable_weights)
    assert trainable == registry.info(f"efficientnet_b{size}").params


def test_timm_spends_as_many_multiply_adds(timm):
    """Counted on shapes alone, for every row with a figure."""
    import torch

    counted = [entry for entry in registry.list("efficientnet_*", room="models") if entry.gmacs]
    assert len(counted) == 13
    for entry in counted:
        spent = []
        with torch.device("meta"):
            network = timm.create_model(entry.name).eval()
            for module in network.modules():
                if isinstance(module, torch.nn.Conv2d | torch.nn.Linear):
                    module.register_forward_hook(
                        lambda module, _inputs, out, to=spent: to.append(module.weight.numel() * out.shape[2:].numel())
                    )
            side = registry.factory(entry).keywords["input_shape"][0]
            network(torch.zeros(1, 3, side, side))
        np.testing.assert_allclose(sum(spent) / 1e9, entry.gmacs, rtol=5e-4)

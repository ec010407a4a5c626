"""The same weights in timm's and Keras's EfficientNets and in ours: the same logits and stages."""

import keras
import numpy as np
import pytest
from same_weights import agree, loaded, outputs_of, pictures, settle_norms

from hub import registry

pytestmark = pytest.mark.parity
NAMES = [
    "efficientnet_b0", "efficientnet_b2", "efficientnet_lite0", "efficientnet_lite3", "tf_efficientnet_lite0",
    "efficientnet_cc_b0_4e", "tf_efficientnet_cc_b1_8e",
]  # fmt: skip
TIMM = {f"stage{s}": f"blocks.{i}" for s, i in enumerate((0, 1, 2, 4), 1)} | {"stage5": "bn2"}
KERAS = {
    "stage1": "block1a_project_bn", "stage2": "block2b_add", "stage3": "block3b_add",
    "stage4": "block5c_add", "stage5": "top_activation",
}  # fmt: skip


def reference(timm, name, **options):
    """timm's network with random kernels, and BatchNorm statistics and affine terms far from their neutral start."""
    import torch

    torch.manual_seed(0)
    network = timm.create_model(name, **options)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 0.5, 2.5)
            torch.nn.init.normal_(module.bias, std=0.5)
        elif isinstance(module, torch.nn.Linear):
            torch.nn.init.normal_(module.weight, std=0.1)
            torch.nn.init.normal_(module.bias)
    settle_norms(network)
    return network


@pytest.mark.parametrize("name", NAMES)
def test_same_logits_and_features(timm, tmp_path, name):
    network = reference(timm, name)
    size = 224 if name == "efficientnet_b0" else 96
    images = pictures(size, size, 3)
    model = loaded(name, network.state_dict(), tmp_path, images)
    agree(name, model, outputs_of(network, TIMM, images), images, reference="timm")


@pytest.mark.parametrize("name", ["efficientnet_b0", "tf_efficientnet_lite0", "tf_efficientnet_cc_b0_4e"])
def test_odd_sizes_few_classes_gray_images(timm, tmp_path, name):
    network = reference(timm, name, num_classes=7)
    gray = pictures(97, 130, 1)
    theirs = outputs_of(network, TIMM, np.repeat(gray, 3, axis=-1))
    model = loaded(name, network.state_dict(), tmp_path, gray, num_classes=7)
    agree(name, model, theirs, gray, reference="timm", num_classes=7)


def test_keras_applications():
    """Keras's own network has the paper's padding and epsilon, and its rescaling from 0..255 inside."""
    network = keras.applications.EfficientNetB0(
        input_shape=(96, 64, 3), weights=None, classes=11, classifier_activation=None
    )
    options = {"padding": "same", "epsilon": 1e-3, "num_classes": 11}
    model = registry.build("efficientnet_b0", input_shape=(96, 64, 3), **options)
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
    network(255 * rng.normal(size=(4, 96, 64, 3)), training=True)
    for a, b in zip(theirs, [layer for layer in model.layers if layer.weights], strict=True):
        values = [keras.ops.convert_to_numpy(w) for w in a.weights]
        if isinstance(a, keras.layers.BatchNormalization):
            values[-1] = np.maximum(values[-1], values[-1].mean() / 2)
            a.set_weights(values)
        b.set_weights(values)
    images = pictures(96, 64, 3)
    expected = outputs_of(network, KERAS, 255 * images)
    agree("efficientnet_b0", model, expected, images, reference="keras.applications", **options)


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

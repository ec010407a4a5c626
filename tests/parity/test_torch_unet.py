"""The same weights in U-Nets written in PyTorch and in ours give the same logits."""

import keras
import numpy as np
import pytest

from hub import registry, weights

pytestmark = pytest.mark.parity


def block(torch, of, name, channels):
    """Two 3x3 convolutions with ReLU, on the weights of our layers `of`; BatchNorm where we have it."""
    modules = []
    for i in (1, 2):
        kernel, *bias = of[f"{name}_{i}_conv"]
        conv = torch.nn.Conv2d(channels, kernel.shape[-1], 3, padding=1, bias=bool(bias))
        channels = kernel.shape[-1]
        put(torch, conv, weight=kernel.transpose(3, 2, 0, 1), **({"bias": bias[0]} if bias else {}))
        modules.append(conv)
        if f"{name}_{i}_bn" in of:
            names = ("weight", "bias", "running_mean", "running_var")
            norm = torch.nn.BatchNorm2d(channels, eps=1e-5)
            put(torch, norm, **dict(zip(names, of[f"{name}_{i}_bn"], strict=True)))
            modules.append(norm)
        modules.append(torch.nn.ReLU())
    return torch.nn.Sequential(*modules).eval()


def put(torch, module, **arrays):
    module.load_state_dict({k: torch.from_numpy(np.ascontiguousarray(v)) for k, v in arrays.items()}, strict=False)


def head(torch, of):
    kernel, bias = of["logits"]
    conv = torch.nn.Conv2d(kernel.shape[2], kernel.shape[3], kernel.shape[0], padding=kernel.shape[0] // 2)
    put(torch, conv, weight=kernel.transpose(3, 2, 0, 1), bias=bias)
    return conv


def randomised(model):
    """Weights of `model` by layer, with biases and BatchNorm's terms far from their neutral start."""
    rng = np.random.default_rng(0)
    for layer in model.layers:
        layer.set_weights([w + rng.uniform(0.1, 0.5, w.shape) * (w.ndim == 1) for w in layer.get_weights()])
    return {layer.name: [np.asarray(w, "float32") for w in layer.get_weights()] for layer in model.layers}


def compare(model, images, theirs):
    ours, theirs = model.predict(images, verbose=0), theirs.numpy().transpose(0, 2, 3, 1)
    assert ours.shape == theirs.shape
    assert np.abs(theirs).max() > 1e-2, "nothing to compare"
    assert np.abs(ours - theirs).max() / np.abs(theirs).max() < 1e-4


@pytest.mark.parametrize(("name", "depth"), [("unet", 4), ("unet_modified", 4), ("unet_small", 3)])
def test_same_logits(timm, name, depth):
    import torch

    keras.utils.set_random_seed(0)
    model = registry.build(name, filters=16, input_shape=(64, 48, 1))
    of = randomised(model)
    images = np.random.default_rng(1).normal(size=(2, 64, 48, 1)).astype("float32")
    with torch.inference_mode():
        x, skips = torch.from_numpy(images.transpose(0, 3, 1, 2).copy()), []
        for level in range(1, depth + 1):
            x = block(torch, of, f"stage{level}", x.shape[1])(x)
            skips.append(x)
            x = torch.nn.functional.max_pool2d(x, 2)
        x = block(torch, of, f"stage{depth + 1}", x.shape[1])(x)
        for level in range(depth, 0, -1):
            kernel, bias = of[f"decode{level}_up"]
            up = torch.nn.ConvTranspose2d(kernel.shape[3], kernel.shape[2], 2, stride=2)
            put(torch, up, weight=kernel.transpose(3, 2, 0, 1), bias=bias)
            x = torch.cat([up(x), skips.pop()], 1)
            x = block(torch, of, f"decode{level}", x.shape[1])(x)
        compare(model, images, head(torch, of)(x))


def test_same_logits_over_the_same_encoder(timm, tmp_path):
    """timm's ResNet gives its stem's and its stages' maps to a decoder that enlarges by repetition."""
    import torch
    from safetensors.torch import save_file

    torch.manual_seed(0)
    network = timm.create_model("resnet18").eval()
    save_file(network.state_dict(), tmp_path / "model.safetensors")
    encoder = registry.build("resnet18", input_shape=(64, 96, 3), num_classes=0)
    weights.apply(encoder, registry.info("resnet18"), tmp_path / "model.safetensors", num_classes_given=True)
    keras.utils.set_random_seed(0)
    model = registry.build("unet_resnet18", backbone=encoder, num_classes=3)
    rng = np.random.default_rng(0)
    for layer in model.layers:
        if layer.name.startswith("decode"):
            layer.set_weights([w + rng.uniform(0.1, 0.5, w.shape) * (w.ndim == 1) for w in layer.get_weights()])
    of = {layer.name: [np.asarray(w, "float32") for w in layer.get_weights()] for layer in model.layers}
    images = np.random.default_rng(1).normal(size=(2, 64, 96, 3)).astype("float32")
    with torch.inference_mode():
        x, skips = torch.from_numpy(images.transpose(0, 3, 1, 2).copy()), []
        x = network.act1(network.bn1(network.conv1(x)))
        skips.append(x)
        x = network.maxpool(x)
        for stage in (network.layer1, network.layer2, network.layer3, network.layer4):
            x = stage(x)
            skips.append(x)
        skips.pop()
        for level in (5, 4, 3, 2, 1):
            x = torch.nn.functional.interpolate(x, scale_factor=2, mode="nearest")
            x = torch.cat([x, skips.pop()], 1) if skips else x
            x = block(torch, of, f"decode{level}", x.shape[1])(x)
        compare(model, images, head(torch, of)(x))

"""The same weights in U-Nets written in PyTorch and in ours give the same logits."""

import keras
import numpy as np
import pytest
from same_weights import agree, loaded, pictures, shake_norms

from hub import registry

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


def compare(name, model, theirs, images, **options):
    theirs = {part: x.numpy().transpose(0, 2, 3, 1) for part, x in theirs.items()}
    agree(name, model, theirs, images, reference="torch", **options)


@pytest.mark.parametrize(("name", "depth"), [("unet", 4), ("unet_modified", 4), ("unet_small", 3)])
def test_same_logits(timm, name, depth):
    import torch

    keras.utils.set_random_seed(0)
    images = pictures(64, 48, 1)
    model = registry.build(name, filters=16, input_shape=images.shape[1:])
    of = randomised(model)
    with torch.inference_mode():
        x, stages = torch.from_numpy(images.transpose(0, 3, 1, 2).copy()), {}
        for level in range(1, depth + 1):
            x = stages[f"stage{level}"] = block(torch, of, f"stage{level}", x.shape[1])(x)
            x = torch.nn.functional.max_pool2d(x, 2)
        x = stages[f"stage{depth + 1}"] = block(torch, of, f"stage{depth + 1}", x.shape[1])(x)
        for level in range(depth, 0, -1):
            kernel, bias = of[f"decode{level}_up"]
            up = torch.nn.ConvTranspose2d(kernel.shape[3], kernel.shape[2], 2, stride=2)
            put(torch, up, weight=kernel.transpose(3, 2, 0, 1), bias=bias)
            x = torch.cat([up(x), stages[f"stage{level}"]], 1)
            x = block(torch, of, f"decode{level}", x.shape[1])(x)
        compare(name, model, {**stages, "output": head(torch, of)(x)}, images, filters=16)


def test_same_logits_over_the_same_encoder(timm, tmp_path):
    """timm's ResNet gives its stem's and its stages' maps to a decoder that enlarges by repetition."""
    import torch

    torch.manual_seed(0)
    network = timm.create_model("resnet18").eval()
    shake_norms(network)
    images = pictures(64, 96, 3)
    encoder = loaded("resnet18", network.state_dict(), tmp_path, images, num_classes=0)
    keras.utils.set_random_seed(0)
    model = registry.build("unet_resnet18", backbone=encoder, num_classes=3)
    rng = np.random.default_rng(0)
    for layer in model.layers:
        if layer.name.startswith("decode"):
            layer.set_weights([w + rng.uniform(0.1, 0.5, w.shape) * (w.ndim == 1) for w in layer.get_weights()])
    of = {layer.name: [np.asarray(w, "float32") for w in layer.get_weights()] for layer in model.layers}
    with torch.inference_mode():
        x = torch.from_numpy(images.transpose(0, 3, 1, 2).copy())
        x = network.act1(network.bn1(network.conv1(x)))
        stem, stages = x, {}
        x = network.maxpool(x)
        for stage in (1, 2, 3, 4):
            x = stages[f"stage{stage}"] = getattr(network, f"layer{stage}")(x)
        skips = {5: stages["stage3"], 4: stages["stage2"], 3: stages["stage1"], 2: stem}
        for level in (5, 4, 3, 2, 1):
            x = torch.nn.functional.interpolate(x, scale_factor=2, mode="nearest")
            x = torch.cat([x, skips[level]], 1) if level in skips else x
            x = block(torch, of, f"decode{level}", x.shape[1])(x)
        compare("unet_resnet18", model, {**stages, "output": head(torch, of)(x)}, images, num_classes=3)

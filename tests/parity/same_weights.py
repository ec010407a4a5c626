"""What the comparisons share: pictures, references' outputs, our loader, and how far two networks may lie apart.

Where the environment variable HUB_PARITY_TABLE names a file, every comparison that holds adds a line of JSON to it.
"""

import json
import os
import pathlib
import re
from typing import Any, Literal

import keras
import numpy as np

from hub import registry, weights

Outputs = dict[str, np.ndarray]


def pictures(*shape: int) -> np.ndarray:
    """A faint and a stark picture of `shape`: deep features of two alike pieces of noise would hardly differ."""
    faint, stark = np.random.default_rng(0).normal(size=(2, *shape)).astype("float32")
    return np.stack([0.3 * faint, 3 * stark + 1])


def outputs_of(network: Any, ends: dict[str, str], images: np.ndarray) -> Outputs:
    """What a network of PyTorch or Keras returns, as "output", and what its parts give; maps are channels last.

    `ends` says which submodule or layer there ends a part of ours. A network of PyTorch may return many outputs by
    name. What a part gives is copied at once: a ReLU in place would change it.
    """
    if isinstance(network, keras.Model):
        taps = {part: network.get_layer(end).output for part, end in ends.items()} | {"output": network.output}
        found = keras.Model(network.input, taps)(images, training=False)
        return {part: keras.ops.convert_to_numpy(value) for part, value in found.items()}
    import torch

    found = {}
    for part, end in ends.items():
        network.get_submodule(end).register_forward_hook(
            lambda _module, _inputs, out, part=part: found.__setitem__(part, out.clone())
        )
    with torch.inference_mode():
        returned = network(torch.from_numpy(images.transpose(0, 3, 1, 2).copy()))
    found |= returned if isinstance(returned, dict) else {"output": returned}
    return {part: x.numpy().transpose(0, 2, 3, 1) if x.ndim == 4 else x.numpy() for part, x in found.items()}


def shake_norms(network: Any) -> None:
    """Random affine terms and statistics for PyTorch's normalisations; variances from 0.5 up.

    Smaller gains would blind deep networks: of 0.3 to 0.9, a ResNet-101-D's logits change by 0.7 % between pictures.
    """
    from torch.nn import init

    for module in network.modules():
        if getattr(module, "affine", False):
            init.uniform_(module.weight, 0.5, 1.2)
            init.normal_(module.bias, std=0.2)
            if getattr(module, "running_var", None) is not None:
                init.normal_(module.running_mean, std=0.2)
                init.uniform_(module.running_var, 0.5, 2.0)


def settle_norms(network: Any) -> None:
    """Statistics of PyTorch's BatchNorms about those of the random network itself over faint and stark pictures.

    A channel whose filter sees next to nothing would have no variance and multiply rounding by a hundred: a float32
    network then differs from its own float64 by 1e-4. Hence the floor of half the layer's mean variance.
    """
    import torch

    norms = [module for module in network.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = None  # the first batch's statistics are taken over whole
    faint, stark = torch.randn(2, 2, 3, 96, 96)
    with torch.inference_mode():
        network.train()(torch.cat([0.3 * faint, 3 * stark + 1]))
        for norm in norms:
            norm.running_mean += 0.2 * norm.running_var.sqrt() * torch.randn_like(norm.running_mean)
            norm.running_var.clamp_(min=float(norm.running_var.mean()) / 2)
            norm.running_var *= torch.empty_like(norm.running_var).uniform_(0.5, 2.0)
    network.eval()


def shake_keras(model: keras.Model) -> keras.Model:
    """`model` with He-normal kernels, and biases and BatchNorm far from their neutral start."""
    rng = np.random.default_rng(3)
    for weight in model.weights:
        kind, shape = weight.path.rpartition("/")[2], weight.shape
        if "kernel" in kind:
            fan_in = np.prod(shape[:2] if "depthwise" in weight.path else shape[:-1])
            weight.assign(rng.normal(0, (2 / fan_in) ** 0.5, shape))
        elif kind in ("gamma", "moving_variance"):
            weight.assign(rng.uniform(0.5, 1.5, shape))
        else:
            weight.assign(rng.normal(0, 0.2, shape))
    return model


def loaded(
    name: str,
    state: dict[str, Any],
    folder: pathlib.Path,
    images: np.ndarray,
    kind: Literal["safetensors", "zip", "legacy"] = "safetensors",
    **options: Any,
) -> keras.Model:
    """Our `name` for such images, its weights through a file of PyTorch's `state`: safetensors, or of `torch.save`."""
    import torch
    from safetensors.torch import save_file

    path = folder / ("model.safetensors" if kind == "safetensors" else "model.pth")
    if kind == "safetensors":
        save_file(state, path)
    else:
        torch.save(state, path, _use_new_zipfile_serialization=kind == "zip")
    model = registry.build(name, input_shape=images.shape[1:], **options)
    weights.apply(model, registry.info(name), path, num_classes_given="num_classes" in options)
    path.unlink()  # half a gigabyte of a VGG
    return model


def agree(
    name: str,
    ours: keras.Model | Outputs,
    theirs: Outputs,
    images: np.ndarray,
    *,
    reference: Literal["timm", "torchvision", "keras.applications", "torch"],
    **options: Any,
) -> None:
    """Assert that each output of ours is theirs to 1e-4 of its largest value for the same picture.

    Of a model, what it returns and all of its stages are compared. Every output has to be finite, of the same shape,
    and neither flat nor blind to the picture. `options` are told beside the image's size: what else makes this case.
    """
    if isinstance(ours, keras.Model):
        due = {"output", *(layer.name for layer in ours.layers if re.fullmatch(r"stage\d+", layer.name))}
        assert theirs.keys() >= due, f"{name}: compare {sorted(due - theirs.keys())} too"
        ours = outputs_of(ours, {part: part for part in theirs if part != "output"}, images)
    found = {}
    for part, value in theirs.items():
        mine, at = ours[part], f"{part} of {name}"
        assert mine.shape == value.shape, f"{at}: {mine.shape} instead of {value.shape}"
        assert np.isfinite(mine).all() and np.isfinite(value).all(), f"{at} is not finite"
        rest = tuple(range(1, value.ndim))
        scale = np.abs(value).max(rest)  # of each picture
        assert scale.min() > 1e-3 and value.std() > 1e-2 * scale.max(), f"{at} is flat: nothing to compare"
        assert np.ptp(value[0] - value[-1]) > 5e-2 * scale.max(), f"{at} is blind to the picture"
        found[part] = float((np.abs(mine - value).max(rest) / scale).max())
    case = ", ".join(["x".join(map(str, images.shape[1:])), *(f"{key}={value}" for key, value in options.items())])
    worst = max(found, key=found.get)
    print(f"{name} ({case}) and {reference}: {found[worst]:.1e} at {worst}, the worst of {len(found)} outputs")
    assert found[worst] < 1e-4
    if table := os.environ.get("HUB_PARITY_TABLE"):
        row = {"name": name, "reference": reference, "case": case, "difference": found[worst]}
        with pathlib.Path(table).open("a") as file:
            file.write(json.dumps(row) + "\n")

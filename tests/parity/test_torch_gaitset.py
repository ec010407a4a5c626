"""GaitSet and GaitBase against plain PyTorch modules written from the papers, which are fed one clip at a time."""

import keras
import numpy as np
import pytest
from same_weights import agree

from hub import registry

pytestmark = pytest.mark.parity


def clips(frames, height, width):
    """A faint and a stark clip of blobs, the first one padded with noise, and their lengths."""
    random = np.random.default_rng(0)
    coarse = random.random((2, frames, height // 4, width // 4, 1))
    x = (np.kron(coarse, np.ones((1, 1, 4, 4, 1))) > 0.5).astype("float32")
    x[0] *= 0.3
    x[0, frames - 2 :] = 5 * random.normal(size=x[0, frames - 2 :].shape)
    return x, np.array([frames - 2, frames], "int32")


def pyramid(torch, x, scales):
    """[C, H, W] to [strips, C]; the mean and the maximum of slices of rows."""
    parts = []
    for scale in scales:
        rows = x.shape[1] // scale
        for i in range(scale):
            part = x[:, i * rows : (i + 1) * rows].flatten(1)
            parts.append(part.mean(1) + part.max(1).values)
    return torch.stack(parts)


def gaitset(torch, kernel, frames, scales):
    """Sections 3.2 to 3.4: frames [T, 1, H, W] of one clip; `kernel(name)` is an array in PyTorch's order."""
    from torch.nn import functional

    def conv(x, name):
        weight = kernel(name)
        return functional.leaky_relu(functional.conv2d(x, weight, padding=weight.shape[-1] // 2), 0.01)

    def halve(x):
        return functional.max_pool2d(x, 2)

    found = {}
    found["stage1"] = x = conv(conv(frames, "conv1"), "conv2")
    x = halve(x)
    g = halve(conv(conv(x.max(0, keepdim=True).values, "global_conv3"), "global_conv4"))
    found["stage2"] = x = conv(conv(x, "conv3"), "conv4")
    x = halve(x)
    g = conv(conv(g + x.max(0, keepdim=True).values, "global_conv5"), "global_conv6")
    found["stage3"] = x = conv(conv(x, "conv5"), "conv6")
    x = x.max(0).values
    strips = torch.cat([pyramid(torch, x, scales), pyramid(torch, g[0] + x, scales)])
    found["output"] = torch.einsum("sc,scu->su", strips, kernel("embedding"))
    return found


def gaitbase(torch, kernel, frames, _scales):
    """Figure 4 and OpenGait's configuration: ResNet9, 16 strips, BNNeck."""
    from torch.nn import functional

    def norm(x, name):
        gamma, beta, mean, variance = kernel(name)
        return functional.batch_norm(x, mean, variance, gamma, beta, eps=1e-5)

    def conv_bn(x, name, strides=1):
        weight = kernel(f"{name}_conv")
        return norm(functional.conv2d(x, weight, stride=strides, padding=weight.shape[-1] // 2), f"{name}_bn")

    found = {}
    x = torch.relu(conv_bn(frames, "stem"))
    for i, strides in enumerate((1, 2, 2, 1), 1):
        y = conv_bn(torch.relu(conv_bn(x, f"block{i}_1", strides)), f"block{i}_2")
        x = torch.relu(y + (conv_bn(x, f"block{i}_shortcut", strides) if i > 1 else x))
        found[{1: "stage1", 2: "stage2", 4: "stage3"}.get(i, "between")] = x
    del found["between"]
    strips = pyramid(torch, x.max(0).values, (16,))
    found["output"] = strips = torch.einsum("sc,scu->su", strips, kernel("embedding"))
    neck = norm(strips.reshape(1, -1), "neck_bn").reshape(strips.shape)
    classes = kernel("logits")
    cosines = functional.normalize(neck, dim=1)[:, None] @ functional.normalize(classes, dim=1)
    return found | {"logits": cosines[:, 0]}


@pytest.mark.parametrize(
    ("name", "reference", "frames", "options"),
    [
        ("gaitset", gaitset, 6, {}),
        ("gaitset_oumvlp", gaitset, 4, {}),
        ("gaitbase", gaitbase, 4, {"num_classes": 74}),
    ],
)
def test_same_embeddings_and_stages(name, reference, frames, options):
    import torch

    keras.utils.set_random_seed(0)
    model = registry.build(name, **options)
    random = np.random.default_rng(1)
    for weight in model.weights:  # the branches no longer copies, the norms far from neutral
        kind, scale = weight.path.rpartition("/")[2], (2 / np.prod(weight.shape[:-1])) ** 0.5
        if kind == "kernel" and len(weight.shape) == 4:
            weight.assign(random.normal(0, scale, weight.shape))
        elif kind in ("gamma", "moving_variance"):
            weight.assign(random.uniform(0.5, 1.5, weight.shape))
        elif kind in ("beta", "moving_mean"):
            weight.assign(random.normal(0, 0.2, weight.shape))

    def kernel(layer):
        arrays = [torch.from_numpy(w) for w in model.get_layer(layer).get_weights()]
        if len(arrays) > 1:
            return arrays
        return arrays[0].permute(3, 2, 0, 1).contiguous() if arrays[0].ndim == 4 else arrays[0]

    x, length = clips(frames, 64, 44)
    taps = {f"stage{i}": model.get_layer(f"stage{i}").output for i in (1, 2, 3)}
    ends = (
        {"output": model.get_layer("embedding").output, "logits": model.get_layer("logits").output} if options else {}
    )
    whole = keras.Model(model.input, {**taps, "output": model.get_layer("embedding").output, **ends})
    ours = whole({"silhouettes": x, "length": length}, training=False)
    ours = {part: keras.ops.convert_to_numpy(value) for part, value in ours.items()}
    theirs = []
    with torch.inference_mode():
        for silhouettes, count in zip(x, length, strict=True):
            found = reference(
                torch, kernel, torch.from_numpy(silhouettes[:count].transpose(0, 3, 1, 2).copy()), (1, 2, 4, 8, 16)
            )
            theirs.append({part: value.numpy() for part, value in found.items()})
    for part in taps:  # the first frame of each clip
        ours[part] = ours[part][::frames]
        for found in theirs:
            found[part] = found[part][0].transpose(1, 2, 0)
    theirs = {part: np.stack([found[part] for found in theirs]) for part in theirs[0]}
    agree(name, ours, theirs, x, reference="torch", length=length.tolist(), **options)

"""i-RevNet, CCNN and SpaRTAN beside plain PyTorch networks, channels first, with the same weights.

No installed package has these networks. Each is written here once more from its paper's architecture in PyTorch's own
operations: `gather`, complex tensors, `group_norm`, strided views, kernels that are really cropped.
"""

import math

import keras
import numpy as np
import pytest
from same_weights import agree, pictures

from hub.registry import build

pytestmark = pytest.mark.parity


@pytest.fixture(autouse=True, scope="module")
def libraries():
    """PyTorch, imported when a test runs: the default suite collects this file and deselects it."""
    global torch, F
    import torch
    from torch.nn import functional as F

    torch.set_num_threads(1)


def shaken(model):
    """BN and biases far from their neutral start, residuals that count."""
    rng = np.random.default_rng(3)
    for weight in model.weights:
        kind = weight.path.rpartition("/")[2]
        if kind in ("gamma", "moving_variance"):
            weight.assign(rng.uniform(0.5, 1.5, weight.shape))
        elif kind in ("beta", "moving_mean", "bias"):
            weight.assign(rng.normal(0, 0.2, weight.shape))
    return model


class Weights:
    """The weights of a Keras model for PyTorch's functions, by the names of the layers."""

    def __init__(self, model):
        self.all = {"/".join(w.path.split("/")[-3:]): torch.tensor(np.asarray(w)) for w in model.weights}
        self.all |= {w.path: torch.tensor(np.asarray(w)) for w in model.weights}

    def __call__(self, at, leaf):
        return self.all[f"{at}/{leaf}"]

    def conv(self, x, at, **options):
        kernel = self(at, "kernel").permute(3, 2, 0, 1)
        return F.conv2d(x, kernel, self.all.get(f"{at}/bias"), **options)

    def depthwise(self, x, at, **options):
        kernel = self(at, "kernel").permute(2, 3, 0, 1)
        return F.conv2d(x, kernel, groups=x.shape[1], **options)

    def norm(self, x, at, eps=1e-5):
        mean, variance, gamma, beta = (self(at, k) for k in ("moving_mean", "moving_variance", "gamma", "beta"))
        return F.batch_norm(x, mean, variance, gamma, beta, eps=eps)

    def linear(self, x, at):
        return x @ self(at, "kernel") + self(at, "bias")


def compare(name, model, theirs, images, **options):
    theirs = {part: np.moveaxis(x.detach().numpy(), 1, -1) for part, x in theirs.items()}
    agree(name, model, theirs, images, reference="torch", **options)


def squares(x):
    """Channel (2 i + j) C + c of a pixel is channel c of row i, column j in its square."""
    return torch.cat([x[:, :, i::2, j::2] for i in (0, 1) for j in (0, 1)], 1)


def reversible_pair(w, at, x1, x2, strides, first):
    y = x2
    for i in range(3):
        if i or not first:
            y = F.relu(w.norm(y, f"{at}/bn{i}"))
        y = w.conv(y, f"{at}/conv{i + 1}", padding=1, stride=strides if i == 0 else 1)
    if strides == 2:
        x1, x2 = squares(x1), squares(x2)
    return x2, x1 + y


@pytest.mark.parametrize(("depths", "width"), [((3, 2, 2), 16), ((2, 3, 1), None)], ids=["injection", "bijection"])
def test_irevnet(depths, width):
    images = pictures(16, 32, 3)
    options = {"depths": depths, "width": width, "num_classes": 7}
    model = shaken(build("irevnet_tiny", input_shape=images.shape[1:], **options))
    w, x, outputs = Weights(model), torch.from_numpy(images.transpose(0, 3, 1, 2).copy()), {}
    x = torch.cat([x, torch.zeros(2, 2 * width - 3, 16, 32)], 1) if width else squares(x)
    pair = x.chunk(2, 1)
    for stage, depth in enumerate(depths, 1):
        for i in range(1, depth + 1):
            at = f"stage{stage}" if i == depth else f"stage{stage}_block{i}"
            strides = 2 if i == 1 and (stage > 1 or not width) else 1
            pair = reversible_pair(w, at, *pair, strides, stage == i == 1)
        outputs[f"stage{stage}"] = torch.cat(pair, 1)
    x = F.relu(w.norm(outputs[f"stage{len(depths)}"], "tail_bn")).mean((2, 3))
    compare("irevnet_tiny", model, outputs | {"output": w.linear(x, "logits")}, images, **options)


def cropped_kernel(w, at, points, rank, causal):
    """The kernel [C, 1, ...], of the points that the Gaussian leaves only."""
    sigma = w(at, "sigma")
    axis, step = torch.linspace(-1, 1, points), 2 / (points - 1)
    reach = sigma * math.sqrt(-2 * math.log(0.1))
    if causal:
        axes = [axis[math.floor((2 - float(reach[0])) / step) :] if reach[0] < 2 else axis]
    else:
        counts = [min(math.ceil(float(r) / step + 1e-8) - 1, points // 2) for r in reach]
        axes = [axis[points // 2 - n : points // 2 + n + 1] for n in counts]
    x = torch.stack(torch.meshgrid(*axes, indexing="ij"), -1)
    mask = torch.exp(-0.5 * ((x - float(causal)) ** 2 / (sigma**2 + 1e-8)).sum(-1))
    net = f"{at}/generator"
    mu, gamma, frequency, phase = (w(net, k) for k in ("mu", "gamma", "frequency", "phase"))
    filters = []
    for layer in range(len(mu)):
        window = torch.exp(-0.5 * ((gamma[layer] * (x[..., None, :] - mu[layer])) ** 2).sum(-1))
        filters.append(window * torch.sin((x[..., None, :] * frequency[layer]).sum(-1) + phase[layer]))
    h = filters[0]
    for layer, g in enumerate(filters[1:]):
        h = g * (h @ w(net, "linear")[layer] + w(net, "linear_bias")[layer])
    kernel = (h @ w(net, "output_kernel") + w(net, "output_bias")) * mask[..., None]
    return kernel.movedim(-1, 0)[:, None]


@pytest.mark.parametrize(
    ("name", "shape", "points"), [("ccnn_4_140", (12, 16, 3), 33), ("ccnn_4_140_sequence", (64, 2), 64)], ids=str
)
@pytest.mark.parametrize("sigma", [0.2, 0.75])
def test_ccnn(name, shape, points, sigma):
    keras.utils.set_random_seed(0)
    images, rank, causal = pictures(*shape), len(shape) - 1, "sequence" in name
    options = {"omega": 20.0, "sigma": sigma, "width": 12, "hidden": 8, "depth": 2}
    model = shaken(build(name, input_shape=shape, **options))
    for layer in model.layers:
        if layer.name.endswith("_flex"):  # axes that differ
            layer.width.assign(np.linspace(1, 1.5, rank) * sigma)
    w = Weights(model)

    def convolve(x, at):
        kernel = cropped_kernel(w, f"{at}_flex", points, rank, causal)
        assert kernel.shape[2:] != (points,) * rank or sigma > 0.2, "nothing was cropped"
        spans = kernel.shape[2:]
        pads = [spans[0] - 1, 0] if causal else [p for span in reversed(spans) for p in (span // 2, span // 2)]
        x = getattr(F, f"conv{rank}d")(F.pad(x, pads), kernel, w(f"{at}_flex", "bias"), groups=x.shape[1])
        return linear(x, f"{at}_mix")

    def linear(x, at):
        return w.linear(x.movedim(1, -1), at).movedim(-1, 1)

    x = torch.from_numpy(np.moveaxis(images, -1, 1).copy())
    x = F.gelu(w.norm(convolve(x, "stem"), "stem_bn"))
    for i in (1, 2):
        y = F.gelu(convolve(w.norm(x, f"block{i}_bn"), f"block{i}"))
        x = x + F.gelu(linear(y, f"block{i}_linear"))
    logits = w.linear(w.norm(x, "tail_bn").flatten(2).mean(2), "logits")
    compare(name, model, {"stage1": x, "output": logits}, images, **options)


def gate(w, x, at):
    y = F.relu(w.conv(x.mean((2, 3), keepdim=True), f"{at}_se_fc1"))
    return x * torch.sigmoid(w.conv(y, f"{at}_se_fc2"))


def positions(w, x, at, depthwise):
    conv = w.depthwise if depthwise else w.conv
    x = w.conv(x, f"{at}_in")
    x = x + w(f"{at}_gamma", "gamma")[:, None, None] * (x - x.mean((2, 3), keepdim=True))
    near = F.gelu(w.norm(conv(x, f"{at}_near_conv", padding=1), f"{at}_near_bn", 1e-6))
    far = conv(conv(x, f"{at}_far1_conv", padding=2, dilation=2), f"{at}_far2_conv", padding=2, dilation=2)
    far = F.gelu(w.norm(far, f"{at}_far2_bn", 1e-6))
    return w.conv(torch.cat([gate(w, near, f"{at}_near"), gate(w, far, f"{at}_far")], 1), f"{at}_out")


def channels(w, x, at, late):
    strongest = x.argmax(1, keepdim=True)
    theta, weight = F.gelu(w.conv(x, f"{at}_theta")), w.conv(x, f"{at}_weight")
    y = weight * theta + weight.gather(1, strongest) * theta.gather(1, strongest)
    y = torch.view_as_complex(y.movedim(1, -1).unflatten(-1, (-1, 2)).contiguous())
    y = torch.view_as_real(y * torch.view_as_complex(w(f"{at}_complex", "factor"))).flatten(-2).movedim(-1, 1)
    y = (
        w.conv(y, f"{at}_mix_conv", padding=1, groups=x.shape[1])
        if late
        else w.depthwise(y, f"{at}_mix_conv", padding=1)
    )
    return w.conv(gate(w, F.gelu(w.norm(y, f"{at}_mix_bn", 1e-6)), at), f"{at}_out")


def test_spartan():
    keras.utils.set_random_seed(0)
    images, depths = pictures(70, 64, 3), (1, 2, 1, 1)
    model = shaken(build("spartan_tiny", depths=depths, input_shape=images.shape[1:]))
    w, outputs = Weights(model), {}
    x = torch.from_numpy(images.transpose(0, 3, 1, 2).copy())
    for at in ("stem1", "stem2"):
        x = F.gelu(w.norm(w.conv(x, f"{at}_conv", stride=2, padding=1), f"{at}_bn", 1e-6))
    for stage, depth in enumerate(depths, 1):
        if stage > 1:
            at = f"down{stage - 1}"
            x = F.silu(w.norm(w.conv(x, f"{at}_conv", stride=2), f"{at}_bn", 1e-6))
        for i in range(1, depth + 1):
            for k, (mix, letter) in enumerate(((positions, "s"), (channels, "c")), 1):
                at = f"stage{stage}_block{i}"
                y = F.group_norm(x, 1, w(f"{at}_norm{k}", "gamma"), w(f"{at}_norm{k}", "beta"), eps=1e-6)
                y = mix(w, y, f"{at}_{letter}", stage > 2)
                x = x + w(f"{at}_{letter}_scale", "gamma")[:, None, None] * y
        outputs[f"stage{stage}"] = x
    outputs["output"] = w.linear(x.mean((2, 3)), "logits")
    compare("spartan_tiny", model, outputs, images, depths=depths)

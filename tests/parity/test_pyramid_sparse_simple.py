"""PyramidNet, SparseNet and SimpleNet, which no package has, against PyTorch networks written from their descriptions.

The modules bear the names of the authors' releases, so that the checkpoints that come out take the way of real ones.
"""

import pytest
from same_weights import agree, loaded, outputs_of, pictures, shake_norms

pytestmark = pytest.mark.parity


def pyramid(depths, alpha, convs, width, stem, classes):
    """`convs`: 2 of 3x3, or 3 with 1x1 around a 3x3 and four times the filters at the end."""
    import torch
    from torch import nn
    from torch.nn import functional as F

    class Block(nn.Module):
        def __init__(self, channels, filters, stride):
            super().__init__()
            sizes = [3, 3] if convs == 2 else [1, 3, 1]
            widths = [channels, filters, filters] if convs == 2 else [channels, filters, filters, 4 * filters]
            for i, k in enumerate(sizes):
                step = stride if k == 3 and (convs == 3 or i == 0) else 1
                setattr(self, f"bn{i + 1}", nn.BatchNorm2d(widths[i]))
                setattr(self, f"conv{i + 1}", nn.Conv2d(widths[i], widths[i + 1], k, step, k // 2, bias=False))
            setattr(self, f"bn{convs + 1}", nn.BatchNorm2d(widths[-1]))
            self.stride, self.channels = stride, widths[-1]

        def forward(self, x):
            y = self.conv1(self.bn1(x))
            for i in range(2, convs + 1):
                y = getattr(self, f"conv{i}")(torch.relu(getattr(self, f"bn{i}")(y)))
            y = getattr(self, f"bn{convs + 1}")(y)
            if self.stride == 2:
                x = F.avg_pool2d(x, 2, ceil_mode=True)
            return y + F.pad(x, (0, 0, 0, 0, 0, y.shape[1] - x.shape[1]))

    class Network(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv1 = nn.Conv2d(3, width, 3, 1, 1, bias=False) if stem == "cifar" else nn.Conv2d(
                3, width, 7, 2, 3, bias=False)  # fmt: skip
            self.bn1 = nn.BatchNorm2d(width)
            exact, channels = float(width), width
            for stage, depth in enumerate(depths, 1):
                blocks = []
                for i in range(depth):
                    exact += alpha / sum(depths)
                    blocks.append(Block(channels, round(exact), 2 if stage > 1 and i == 0 else 1))
                    channels = blocks[-1].channels
                setattr(self, f"layer{stage}", nn.Sequential(*blocks))
            self.bn_final, self.fc = nn.BatchNorm2d(channels), nn.Linear(channels, classes)

        def forward(self, x):
            x, found = self.bn1(self.conv1(x)), {}
            if stem == "imagenet":
                x = F.max_pool2d(torch.relu(x), 3, 2, 1)
            for stage in range(1, len(depths) + 1):
                x = found[f"stage{stage}"] = getattr(self, f"layer{stage}")(x)
            return {**found, "output": self.fc(torch.relu(self.bn_final(x)).mean((2, 3)))}

    return Network()


def sparse(depth, growth, convs, compression, classes):
    import torch
    from torch import nn
    from torch.nn import functional as F

    def unit(widths, sizes):
        return nn.ModuleDict({
            f"{kind}{i}": nn.BatchNorm2d(widths[i - 1]) if kind == "bn"
            else nn.Conv2d(widths[i - 1], widths[i], k, padding=k // 2, bias=False)
            for i, k in enumerate(sizes, 1) for kind in ("bn", "conv")
        })  # fmt: skip

    def run(modules, x):
        for i in range(1, len(modules) // 2 + 1):
            x = modules[f"conv{i}"](torch.relu(modules[f"bn{i}"](x)))
        return x

    def inputs_of(layer):  # numbers of the maps that a layer sees; 0 is the stage's input
        return [layer - 2**i for i in range(layer.bit_length())]

    class Network(nn.Module):
        def __init__(self):
            super().__init__()
            self.features = nn.ModuleDict({"conv0": nn.Conv2d(3, growth[0], 3, padding=1, bias=False)})
            channels = growth[0]
            for s, k in enumerate(growth):
                if s:
                    kept = int(compression * channels)
                    self.features[f"transition-{s - 1}"] = unit([channels, kept], [1])
                    channels = kept
                widths = [channels] + [k] * depth
                stage = self.features[f"dense-stage-{s}"] = nn.ModuleDict()
                for layer in range(1, depth + 1):
                    seen = sum(widths[j] for j in inputs_of(layer))
                    stage[f"block-{layer}"] = unit([seen, k], [3]) if convs == 1 else unit([seen, 4 * k, k], [1, 3])
                channels = sum(widths[j] for j in inputs_of(depth + 1))
            self.features["norm_last"] = nn.BatchNorm2d(channels)
            self.classifier = nn.ModuleDict({"linear": nn.Linear(channels, classes)})

        def forward(self, x):
            x, found = self.features["conv0"](x), {}
            for s in range(len(growth)):
                if s:
                    x = F.avg_pool2d(run(self.features[f"transition-{s - 1}"], x), 2)
                maps = [x]
                for layer in range(1, depth + 2):
                    x = torch.cat([maps[j] for j in inputs_of(layer)], 1)
                    if layer <= depth:
                        maps.append(run(self.features[f"dense-stage-{s}"][f"block-{layer}"], x))
                found[f"stage{s + 1}"] = x
            x = torch.relu(self.features["norm_last"](x)).mean((2, 3))
            return {**found, "output": self.classifier["linear"](x)}

    return Network()


def simple(table, halving, scale, idle, classes):
    """`table`: filters in order, negative for 1x1 kernels, 0 for a pool; `idle` puts a dropout after each entry."""
    import torch
    from torch import nn

    class Network(nn.Module):
        def __init__(self):
            super().__init__()
            modules, channels, number = [], 3, 0
            for entry in table:
                if not entry:
                    modules += [nn.MaxPool2d(2, 2), nn.Dropout2d(0.0)]
                    continue
                number += 1
                k, filters = (1 if entry < 0 else 3), round(scale * abs(entry))
                step = 2 if number in halving else 1
                modules += [nn.Conv2d(channels, filters, k, step, k // 2), nn.BatchNorm2d(filters), nn.ReLU()]
                modules += [nn.Dropout2d(0.0)] * idle
                channels = filters
            self.features, self.classifier = nn.Sequential(*modules), nn.Linear(channels, classes)

        def forward(self, x):
            found, size = [], None
            for module in self.features:
                y = module(x)
                if isinstance(module, nn.ReLU):  # the last of each size stays
                    found = found[:-1] if y.shape[2:] == size else found
                    found.append(y)
                    size = y.shape[2:]
                x = y
            outputs = {f"stage{s}": y for s, y in enumerate(found, 1)}
            return {**outputs, "output": self.classifier(torch.amax(x, (2, 3)))}

    return Network()


CIFAR = [64, 32, 32, 32, 0, 32, 32, 64, 0, 64, 64, 0, 128, -256, -64, 0, 64]
IMAGENET = [64, 128, 128, 128, 128, 128, 0, 256, 256, 256, 512, 0, -2048, -256, 256]
CASES = {  # name -> what shrinks it, its reference, the image
    "pyramidnet110_a48": ({}, lambda: pyramid((18,) * 3, 48, 2, 16, "cifar", 10), (32, 32)),
    "pyramidnet164_a84": (
        {"depths": (2, 3, 2), "alpha": 19},
        lambda: pyramid((2, 3, 2), 19, 3, 16, "cifar", 10),
        (21, 26),
    ),
    "pyramidnet101_a360": (
        {"depths": (1, 2, 1, 1), "alpha": 23, "width": 8, "num_classes": 7},
        lambda: pyramid((1, 2, 1, 1), 23, 3, 8, "imagenet", 7),
        (69, 58),
    ),
    "sparsenet_40_12": ({}, lambda: sparse(12, (12,) * 3, 1, 1, 100), (19, 22)),
    "sparsenet_bc_100_16_32_64": (
        {"depth": 9, "growth": (3, 5, 8), "num_classes": 7},
        lambda: sparse(9, (3, 5, 8), 2, 0.5, 7),
        (16, 13),
    ),
    "simplenet_cifar_310k": ({}, lambda: simple(CIFAR, (), 1, 0, 10), (32, 35)),
    "simplenetv1_5m_m1": (
        {"scale": 0.25, "num_classes": 7},
        lambda: simple(IMAGENET, (1, 2, 3), 0.25, 1, 7),
        (64, 51),
    ),
    "simplenetv1_small_m2_05": (
        {"scale": 0.25, "num_classes": 7},
        lambda: simple(IMAGENET, (1, 2, 4), 0.25, 1, 7),
        (49, 64),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_same_logits_and_stages(tmp_path, name):
    import torch
    from torch import nn

    torch.manual_seed(0)
    options, make, size = CASES[name]
    network = make().eval()
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight)
            if module.bias is not None:
                nn.init.normal_(module.bias, std=0.2)
        elif isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=0.1)
    shake_norms(network)
    images = pictures(*size, 3)
    model = loaded(name, network.state_dict(), tmp_path, images, "zip", **options)
    agree(name, model, outputs_of(network, {}, images), images, reference="torch", **options)

"""OSNet against plain PyTorch modules written from the paper, whose names are torchreid's."""

import pytest
from same_weights import agree, loaded, outputs_of, pictures, shake_norms

pytestmark = pytest.mark.parity


def osnet(width, instance, num_classes):
    """Omni-scale network: figure 4 and table 1 of Zhou et al. 2019."""
    import torch
    from torch import nn

    def conv(fan_in, fan_out, size, stride=1, groups=1):
        return nn.Conv2d(fan_in, fan_out, size, stride, size // 2, groups=groups, bias=False)

    class Named(nn.Module):
        """Modules by name, in the order in which they act."""

        def __init__(self, **parts):
            super().__init__()
            for name, part in parts.items():
                self.add_module(name, part)

        def forward(self, x):
            for part in self.children():
                x = part(x)
            return x

    def norm(channels, instance=False):
        return nn.InstanceNorm2d(channels, affine=True) if instance else nn.BatchNorm2d(channels)

    def point(fan_in, fan_out, relu=True):
        return Named(conv=conv(fan_in, fan_out, 1), bn=norm(fan_out), **({"relu": nn.ReLU()} if relu else {}))

    def light(channels):
        return Named(conv1=conv(channels, channels, 1), conv2=conv(channels, channels, 3, groups=channels),
                     bn=norm(channels), relu=nn.ReLU())  # fmt: skip

    class Gate(nn.Module):
        def __init__(self, channels):
            super().__init__()
            self.fc1 = nn.Conv2d(channels, channels // 16, 1)
            self.fc2 = nn.Conv2d(channels // 16, channels, 1)

        def forward(self, x):
            return x * torch.sigmoid(self.fc2(torch.relu(self.fc1(x.mean((2, 3), keepdim=True)))))

    class Block(nn.Module):
        def __init__(self, fan_in, fan_out, instance):
            super().__init__()
            inner = fan_out // 4
            self.conv1 = point(fan_in, inner)
            self.conv2a = light(inner)
            self.conv2b, self.conv2c, self.conv2d = (
                nn.Sequential(*(light(inner) for _ in range(t))) for t in (2, 3, 4)
            )
            self.gate = Gate(inner)
            self.conv3 = point(inner, fan_out, relu=False)
            self.downsample = point(fan_in, fan_out, relu=False) if fan_in != fan_out else nn.Identity()
            self.IN = norm(fan_out, True) if instance else nn.Identity()

        def forward(self, x):
            y = self.conv1(x)
            y = sum(self.gate(stream(y)) for stream in (self.conv2a, self.conv2b, self.conv2c, self.conv2d))
            return torch.relu(self.IN(self.conv3(y) + self.downsample(x)))

    def stage(fan_in, fan_out, instance=False, transition=True):
        parts = [Block(fan_in, fan_out, instance), Block(fan_out, fan_out, instance)]
        return nn.Sequential(*parts, *([nn.Sequential(point(fan_out, fan_out), nn.AvgPool2d(2))] if transition else []))

    c = [int(width * filters) for filters in (64, 256, 384, 512)]
    return Named(
        conv1=Named(conv=conv(3, c[0], 7, 2), bn=norm(c[0], instance), relu=nn.ReLU()),
        maxpool=nn.MaxPool2d(3, 2, 1),
        conv2=stage(c[0], c[1], instance),
        conv3=stage(c[1], c[2]),
        conv4=stage(c[2], c[3], transition=False),
        conv5=point(c[3], c[3]),
        pool=nn.AdaptiveAvgPool2d(1),
        flat=nn.Flatten(),
        fc=nn.Sequential(nn.Linear(c[3], 512), nn.BatchNorm1d(512), nn.ReLU()),
        classifier=nn.Linear(512, num_classes),
    )


@pytest.mark.parametrize(
    ("name", "size", "num_classes"),
    [
        ("osnet_x1_0", (64, 48), 1000),
        ("osnet_ibn_x1_0", (73, 38), 1000),
        ("osnet_x0_75", (50, 34), 751),
        ("osnet_x0_5", (32, 32), 751),
        ("osnet_x0_25", (256, 128), 1000),
    ],
)
def test_same_logits_and_stages(tmp_path, name, size, num_classes):
    import torch

    torch.manual_seed(0)
    width = float(name.rpartition("_x")[2].replace("_", "."))
    network = osnet(width, "ibn" in name, num_classes).eval()
    for module in network.modules():
        if isinstance(module, torch.nn.Conv2d | torch.nn.Linear):
            torch.nn.init.kaiming_normal_(module.weight)
    shake_norms(network)
    images = pictures(*size, 3)
    model = loaded(name, network.state_dict(), tmp_path, images, num_classes=num_classes)
    ends = {"stage1": "conv2.2.0", "stage2": "conv3.2.0", "stage3": "conv5", "embedding": "fc"}
    theirs = outputs_of(network, ends, images)
    agree(name, model, theirs, images, reference="torch", num_classes=num_classes)

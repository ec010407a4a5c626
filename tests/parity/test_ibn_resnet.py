"""IBN-ResNets against timm's ResNets with the paper's normalisations put in."""

import pytest
from same_weights import agree, loaded, outputs_of, pictures, shake_norms

pytestmark = pytest.mark.parity


def reference(timm, name, variant):
    """timm's `name` with IBN-a or IBN-b in PyTorch's own layers, every affine term and statistic random."""
    import torch
    from torch import nn

    class Halves(nn.Module):
        def __init__(self, channels):
            super().__init__()
            self.IN = nn.InstanceNorm2d(channels // 2, affine=True)
            self.BN = nn.BatchNorm2d(channels - channels // 2)

        def forward(self, x):
            cut = self.IN.num_features
            return torch.cat([self.IN(x[:, :cut]), self.BN(x[:, cut:])], 1)

    torch.manual_seed(0)
    network = timm.create_model(name).eval()
    if variant == "a":
        for stage in (network.layer1, network.layer2, network.layer3):
            for block in stage:
                block.bn1 = Halves(block.bn1.num_features)
    else:
        network.bn1 = nn.InstanceNorm2d(64, affine=True)
        last = "act2" if name == "resnet18" else "act3"
        for stage in (network.layer1, network.layer2):
            channels = [m.num_features for m in stage.modules() if isinstance(m, nn.BatchNorm2d)][-1]
            setattr(stage[-1], last, nn.Sequential(nn.InstanceNorm2d(channels, affine=True), nn.ReLU()))
    shake_norms(network)
    return network.eval()


@pytest.mark.parametrize(
    ("name", "variant"), [("resnet18", "a"), ("resnet18", "b"), ("resnet50", "a"), ("resnet50", "b")]
)
def test_same_logits_and_stages(timm, tmp_path, name, variant):
    network = reference(timm, name, variant)
    images = pictures(64, 96, 3)
    state = {k.replace("act2.0", "IN").replace("act3.0", "IN"): v for k, v in network.state_dict().items()}
    model = loaded(f"{name}_ibn_{variant}", state, tmp_path, images)
    theirs = outputs_of(network, {f"stage{s}": f"layer{s}" for s in (1, 2, 3, 4)}, images)
    agree(f"{name}_ibn_{variant}", model, theirs, images, reference="timm")

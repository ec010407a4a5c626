"""IBN-ResNets against timm's ResNets with the paper's normalisations put in."""

import keras
import numpy as np
import pytest

from hub import registry, weights

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
    for module in network.modules():
        if isinstance(module, (nn.BatchNorm2d, nn.InstanceNorm2d)):
            nn.init.uniform_(module.weight, 0.3, 0.9)
            nn.init.normal_(module.bias, std=0.2)
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, std=0.2)
            nn.init.uniform_(module.running_var, 0.5, 2.0)
    return network.eval()


@pytest.mark.parametrize(
    ("name", "variant"), [("resnet18", "a"), ("resnet18", "b"), ("resnet50", "a"), ("resnet50", "b")]
)
def test_same_logits_and_stages(timm, tmp_path, name, variant):
    import torch

    network = reference(timm, name, variant)
    state = {k.replace("act2.0", "IN").replace("act3.0", "IN"): v for k, v in network.state_dict().items()}
    torch.save(state, tmp_path / "model.pth")
    images = np.random.default_rng(0).normal(size=(1, 64, 96, 3)).astype("float32")
    theirs = {}
    for stage in (1, 2, 3, 4):
        getattr(network, f"layer{stage}").register_forward_hook(
            lambda _m, _i, out, at=f"stage{stage}": theirs.__setitem__(at, out.numpy().transpose(0, 2, 3, 1))
        )
    with torch.inference_mode():
        theirs["logits"] = network(torch.from_numpy(images.transpose(0, 3, 1, 2).copy())).numpy()
    entry = registry.info(f"{name}_ibn_{variant}")
    model = registry.build(entry.name, input_shape=(64, 96, 3))
    weights.apply(model, entry, tmp_path / "model.pth", num_classes_given=False)
    ours = keras.Model(model.input, {at: model.get_layer(at).output for at in theirs})(images, training=False)
    for at, value in theirs.items():
        mine = keras.ops.convert_to_numpy(ours[at])
        assert mine.shape == value.shape and np.abs(value).max() > 1e-2
        assert np.abs(mine - value).max() < 1e-4 * np.abs(value).max(), at

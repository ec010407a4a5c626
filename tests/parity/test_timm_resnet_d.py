"""The same weights in timm's ResNet-B, C and D and in ours give the same logits and stage features."""

import numpy as np
import pytest
from same_weights import agree, loaded, outputs_of, pictures, shake_norms

from hub import registry

pytestmark = pytest.mark.parity
THEIRS = {"resnet50b": "resnet50"}  # timm's resnet50 has the stride on the 3x3
NAMES = ("resnet50b", "resnet50c", "resnet18d", "resnet34d", "resnet50d", "resnet101d", "resnet152d")


def reference(timm, name):
    """timm's network with random kernels, BatchNorm statistics and affine terms."""
    import torch

    torch.manual_seed(0)
    network = timm.create_model(THEIRS.get(name, name)).eval()
    shake_norms(network)
    return network


@pytest.mark.parametrize(
    ("name", "size"), [*((name, (64, 96)) for name in NAMES), ("resnet18d", (97, 131)), ("resnet50d", (95, 77))]
)
def test_same_logits_and_features(timm, tmp_path, name, size):
    network, images = reference(timm, name), pictures(*size, 3)
    model = loaded(name, network.state_dict(), tmp_path, images)
    theirs = outputs_of(network, {f"stage{s}": f"layer{s}" for s in (1, 2, 3, 4)}, images)
    agree(name, model, theirs, images, reference="timm")


@pytest.mark.parametrize("name", NAMES)
def test_timm_spends_as_many_multiply_adds(timm, name):
    import torch

    network, spent = timm.create_model(THEIRS.get(name, name)).eval(), []
    for module in network.modules():
        if isinstance(module, torch.nn.Conv2d | torch.nn.Linear):
            module.register_forward_hook(lambda m, _i, out: spent.append(m.weight.numel() * out[0, 0].numel()))
    with torch.inference_mode():
        network(torch.zeros(1, 3, 224, 224))
    entry = registry.info(name)
    np.testing.assert_allclose(sum(spent) / 1e9, entry.gmacs, rtol=2e-4)
    assert sum(p.numel() for p in network.parameters()) == entry.params

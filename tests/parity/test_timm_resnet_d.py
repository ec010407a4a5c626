"""The same weights in timm's ResNet-B, C and D and in ours give the same logits and stage features."""

import keras
import numpy as np
import pytest

from hub import registry, weights

pytestmark = pytest.mark.parity
THEIRS = {"resnet50b": "resnet50"}  # timm's resnet50 has the stride on the 3x3
NAMES = ("resnet50b", "resnet50c", "resnet18d", "resnet34d", "resnet50d", "resnet101d", "resnet152d")


def reference(timm, name):
    """timm's network with random kernels, BatchNorm statistics and affine terms."""
    import torch

    torch.manual_seed(0)
    network = timm.create_model(THEIRS.get(name, name)).eval()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 0.3, 0.9)
            torch.nn.init.normal_(module.bias, std=0.2)
            torch.nn.init.normal_(module.running_mean, std=0.2)
            torch.nn.init.uniform_(module.running_var, 0.5, 2.0)
    return network


@pytest.mark.parametrize(
    ("name", "size"), [*((name, (64, 96)) for name in NAMES), ("resnet18d", (97, 131)), ("resnet50d", (95, 77))]
)
def test_same_logits_and_features(timm, tmp_path, capsys, name, size):
    import torch
    from safetensors.torch import save_file

    network, theirs = reference(timm, name), {}
    save_file(network.state_dict(), tmp_path / "model.safetensors")
    for stage in (1, 2, 3, 4):
        getattr(network, f"layer{stage}").register_forward_hook(
            lambda _m, _i, out, at=f"stage{stage}": theirs.__setitem__(at, out.numpy().transpose(0, 2, 3, 1))
        )
    images = np.random.default_rng(0).normal(size=(2, *size, 3)).astype("float32")
    with torch.inference_mode():
        theirs["logits"] = network(torch.from_numpy(images.transpose(0, 3, 1, 2).copy())).numpy()
    entry = registry.info(name)
    model = registry.build(name, input_shape=images.shape[1:])
    weights.apply(model, entry, tmp_path / "model.safetensors", num_classes_given=False)
    ours = keras.Model(model.input, {at: model.get_layer(at).output for at in theirs})(images, training=False)
    found = {}
    for at, value in theirs.items():
        mine = keras.ops.convert_to_numpy(ours[at])
        assert mine.shape == value.shape and np.abs(value).max() > 1e-2, "nothing to compare"
        found[at] = float(np.abs(mine - value).max() / np.abs(value).max())
    with capsys.disabled():
        print(f"\n{name} {size}:", ", ".join(f"{at} {value:.1e}" for at, value in found.items()))
    assert max(found.values()) < 1e-4


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

"""The same weights in timm's RDNet and NFNet and in ours: the same logits and stages."""

import keras
import numpy as np
import pytest
from same_weights import agree, loaded, outputs_of, pictures

from hub import contract, registry, weights

pytestmark = pytest.mark.parity
RDNET = {f"stage{s}": f"dense_stages.{end}" for s, end in enumerate((0, 1, 5, 6), 1)}
NFNET = {"stage1": "stages.0", "stage2": "stages.1", "stage3": "stages.2", "stage4": "final_act"}


def randomised(network):
    """He-normal kernels; biases, gains, factors and normalisations far from their neutral start.

    Kernels of attention are a fifth of that: gates far out on the sigmoid would turn rounding into another picture.
    """
    import torch

    torch.manual_seed(0)
    for name, value in network.named_parameters():
        if name.endswith("gain") or (value.ndim < 2 and not name.endswith("bias")):
            torch.nn.init.uniform_(value, 0.5, 1.5)
        elif value.ndim > 1:
            torch.nn.init.kaiming_normal_(value)
            if ".attn_last." in name or ".layers.5.fc." in name:
                value.data *= 0.2
        else:
            torch.nn.init.normal_(value, std=0.2)
    return network.eval()


@pytest.mark.parametrize(
    ("name", "ends", "size"),
    [
        ("rdnet_tiny", RDNET, (96, 96)),
        ("rdnet_tiny", RDNET, (71, 98)),
        ("nfnet_f0", NFNET, (64, 64)),
        ("nfnet_f0", NFNET, (71, 98)),
        ("dm_nfnet_f0", NFNET, (64, 64)),
        ("dm_nfnet_f0", NFNET, (71, 98)),
    ],
    ids=lambda value: None if isinstance(value, dict) else str(value),
)
def test_same_logits_and_features(timm, tmp_path, name, ends, size):
    network = randomised(timm.create_model(name))
    images = pictures(*size, 3)
    model = loaded(name, network.state_dict(), tmp_path, images)
    agree(name, model, outputs_of(network, ends, images), images, reference="timm")


@pytest.mark.parametrize(("name", "ends"), [("rdnet_tiny", RDNET), ("dm_nfnet_f0", NFNET)])
def test_gray_images_and_few_classes(timm, tmp_path, name, ends):
    network = randomised(timm.create_model(name, num_classes=7))
    gray = pictures(64, 64, 1)
    theirs = outputs_of(network, ends, np.repeat(gray, 3, axis=-1))
    model = loaded(name, network.state_dict(), tmp_path, gray, num_classes=7)
    agree(name, model, theirs, gray, reference="timm", num_classes=7)


@pytest.mark.parametrize("name", ["rdnet_tiny", "rdnet_small", "rdnet_base", "rdnet_large", "nfnet_f0", "nfnet_f1",
    "dm_nfnet_f0", "dm_nfnet_f1"])  # fmt: skip
def test_same_tensors_and_multiply_adds(timm, name):
    import torch

    model = registry.build(name)
    with torch.device("meta"):  # shapes only
        network, spent = timm.create_model(name).eval(), []

        def count(module, _inputs, output):
            spent.append(module.weight.numel() * output.shape[2:].numel())  # a linear layer has one position

        for module in network.modules():
            if isinstance(module, torch.nn.Conv2d | torch.nn.Linear):
                module.register_forward_hook(count)
        network(torch.empty(1, 3, *model.input_shape[1:3]))
    assert contract.multiply_adds(model) == sum(spent)
    tensors = {key: np.broadcast_to(np.float32(0), value.shape) for key, value in network.state_dict().items()}
    names = registry.module(registry.info(name)).TORCH_NAMES
    weights.load_into(model, tensors, names(model, tensors))
    print(name, sum(spent) / 1e9, sum(p.numel() for p in network.parameters()))
    assert not any(keras.ops.convert_to_numpy(w).any() for w in model.trainable_weights)

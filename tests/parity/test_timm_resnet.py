"""The same weights in timm's network and in ours give the same logits and the same features after each stage."""

import numpy as np
import pytest
from same_weights import agree, loaded, outputs_of, pictures, shake_norms

pytestmark = pytest.mark.parity
STAGES = {f"stage{s}": f"layer{s}" for s in (1, 2, 3, 4)}
CASES = [  # model, file format that carries the weights
    ("resnet18", "safetensors"),
    ("resnet34", "zip"),
    ("resnet50", "legacy"),
    ("resnet101", "safetensors"),
    ("resnet152", "zip"),
    ("wide_resnet50_2", "safetensors"),
]


def randomised(timm, name, **options):
    """timm's network with random kernels, and BatchNorm statistics and affine terms far from their neutral start."""
    import torch

    torch.manual_seed(0)
    network = timm.create_model(name, **options).eval()
    shake_norms(network)
    return network


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_same_logits_and_features(timm, tmp_path, name, kind):
    network = randomised(timm, name)
    images = pictures(224, 224, 3)
    model = loaded(name, network.state_dict(), tmp_path, images, kind)
    agree(name, model, outputs_of(network, STAGES, images), images, reference="timm")


def test_odd_sizes_and_few_classes(timm, tmp_path):
    network = randomised(timm, "resnet18", num_classes=7)
    images = pictures(97, 130, 3)
    model = loaded("resnet18", network.state_dict(), tmp_path, images, num_classes=7)
    agree("resnet18", model, outputs_of(network, STAGES, images), images, reference="timm", num_classes=7)


def test_gray_images_see_the_sum_of_the_colours(timm, tmp_path):
    network = randomised(timm, "resnet18")
    gray = pictures(64, 64, 1)
    theirs = outputs_of(network, STAGES, np.repeat(gray, 3, axis=-1))
    agree("resnet18", loaded("resnet18", network.state_dict(), tmp_path, gray), theirs, gray, reference="timm")


def test_torchvision_names_are_the_same(timm):
    from torchvision.models import resnet50

    assert {*resnet50(weights=None).state_dict()} == {*timm.create_model("resnet50").state_dict()}

"""The same weights in torchvision's or timm's network and in ours: the same logits, the same features of each stage."""

import pytest
from same_weights import agree, loaded, outputs_of, pictures, shake_norms

pytestmark = pytest.mark.parity


def randomised(network):
    """`network` with BatchNorm statistics and affine terms, and biases, far from their neutral start."""
    import torch

    for module in network.modules():
        if isinstance(module, torch.nn.Conv2d | torch.nn.Linear):
            torch.nn.init.normal_(module.bias, std=0.1)
    shake_norms(network)
    return network.eval()


def pools(features, prefix):
    import torch

    found = [i for i, module in enumerate(features) if isinstance(module, torch.nn.MaxPool2d)]
    return {f"stage{s}": f"{prefix}{i}" for s, i in enumerate(found, 1)}


@pytest.mark.parametrize(
    ("name", "library", "kind"),
    [("vgg11", "torchvision", "legacy"), ("vgg11_bn", "timm", "safetensors"), ("vgg16_bn", "torchvision", "zip")],
)
def test_vgg_at_full_size(timm, tmp_path, name, library, kind):
    import torch
    import torchvision

    torch.manual_seed(0)
    network = randomised(timm.create_model(name) if library == "timm" else torchvision.models.get_model(name))
    images = pictures(224, 224, 3)
    theirs = outputs_of(network, pools(network.features, "features."), images)
    model = loaded(name, network.state_dict(), tmp_path, images, kind)
    agree(name, model, theirs, images, reference=library)


@pytest.mark.parametrize("name", ["vgg13", "vgg13_bn", "vgg16", "vgg19", "vgg19_bn"])
def test_vgg_features_of_every_depth(timm, tmp_path, name):
    import torch
    from torchvision.models.vgg import cfgs, make_layers

    torch.manual_seed(0)
    letter = {"vgg13": "B", "vgg16": "D", "vgg19": "E"}[name.removesuffix("_bn")]
    features = randomised(make_layers(cfgs[letter], batch_norm=name.endswith("_bn")))
    for module in features:
        if isinstance(module, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
    images = pictures(70, 97, 3)  # pools drop odd borders
    state = {f"features.{key}": value for key, value in features.state_dict().items()}
    model = loaded(name, state, tmp_path, images, num_classes=0)
    theirs = outputs_of(features, pools(features, ""), images)
    agree(name, model, theirs, images, reference="torchvision", num_classes=0)


@pytest.mark.parametrize("size", [(224, 224), (97, 130), (21, 38)], ids=str)
@pytest.mark.parametrize("name", ["squeezenet1_0", "squeezenet1_1"])
def test_squeezenet(timm, tmp_path, name, size):
    import torch
    import torchvision

    torch.manual_seed(0)
    network = randomised(torchvision.models.get_model(name))
    torch.nn.init.normal_(network.classifier[1].weight, std=0.1)  # at 0.01 most class maps would be their bias
    last = {"squeezenet1_0": (5, 10, 12), "squeezenet1_1": (4, 7, 12)}[name]
    images = pictures(*size, 3)
    theirs = outputs_of(network, {f"stage{s}": f"features.{i}" for s, i in enumerate(last, 1)}, images)
    model = loaded(name, network.state_dict(), tmp_path, images, "zip")
    agree(name, model, theirs, images, reference="torchvision")
    model = loaded(name, network.state_dict(), tmp_path, images, num_classes=0)
    theirs["output"] = theirs["stage3"]
    agree(name, model, theirs, images, reference="torchvision", num_classes=0)

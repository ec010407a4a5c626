"""The same weights in torchvision's or timm's network and in ours: the same logits, the same features of each stage."""

import keras
import numpy as np
import pytest

from hub import registry, weights

pytestmark = pytest.mark.parity


def randomised(network):
    """`network` with BatchNorm statistics and affine terms, and biases, far from their neutral start."""
    import torch

    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 0.3, 0.9)
            torch.nn.init.normal_(module.bias, std=0.2)
            torch.nn.init.normal_(module.running_mean, std=0.2)
            torch.nn.init.uniform_(module.running_var, 0.5, 2.0)
        elif getattr(module, "bias", None) is not None:
            torch.nn.init.normal_(module.bias, std=0.1)
    return network.eval()


def written(state, folder, kind):
    """The state dict as a published file: safetensors, or either format of `torch.save`."""
    import torch
    from safetensors.torch import save_file

    path = folder / ("model.safetensors" if kind == "safetensors" else "model.pth")
    if kind == "safetensors":
        save_file(state, path)
    else:
        torch.save(state, path, _use_new_zipfile_serialization=kind == "zip")
    return path


def outputs_of(network, stages, images):
    """The logits of `network` and the outputs of `stages`, layer of ours -> module of theirs; channels last."""
    import torch

    features = {}
    for at, module in stages.items():
        module.register_forward_hook(lambda _m, _i, out, at=at: features.__setitem__(at, out))
    with torch.inference_mode():
        features["output"] = network(torch.from_numpy(images.transpose(0, 3, 1, 2).copy()))
    return {k: v.numpy().transpose(0, 2, 3, 1) if v.ndim == 4 else v.numpy() for k, v in features.items()}


def agree(name, path, theirs, images, capsys, **options):
    """Largest difference at each output, over the largest absolute value there, is below 1e-4."""
    model = registry.build(name, input_shape=images.shape[1:], **options)
    weights.apply(model, registry.info(name), path, num_classes_given=False)
    layers = {at: model.output if at == "output" else model.get_layer(at).output for at in theirs}
    ours = keras.Model(model.input, layers)(images, training=False)
    found = {}
    for at, value in theirs.items():
        mine = keras.ops.convert_to_numpy(ours[at])
        assert mine.shape == value.shape
        assert value.std() > 1e-3, "nothing to compare"
        found[at] = float(np.abs(mine - value).max() / np.abs(value).max())
    with capsys.disabled():
        print(f"\n{name} {images.shape[1:]}:", ", ".join(f"{at} {value:.1e}" for at, value in found.items()))
    assert max(found.values()) < 1e-4


def pools(features):
    import torch

    found = [module for module in features if isinstance(module, torch.nn.MaxPool2d)]
    return {f"stage{i}": module for i, module in enumerate(found, 1)}


@pytest.mark.parametrize(
    ("name", "library", "kind"),
    [("vgg11", "torchvision", "legacy"), ("vgg11_bn", "timm", "safetensors"), ("vgg16_bn", "torchvision", "zip")],
)
def test_vgg_at_full_size(timm, tmp_path, capsys, name, library, kind):
    import torch
    import torchvision

    torch.manual_seed(0)
    network = timm.create_model(name) if library == "timm" else torchvision.models.get_model(name)
    randomised(network)
    images = np.random.default_rng(0).normal(size=(1, 224, 224, 3)).astype("float32")
    theirs = outputs_of(network, pools(network.features), images)
    path = written(network.state_dict(), tmp_path, kind)
    agree(name, path, theirs, images, capsys)
    path.unlink()  # half a gigabyte


@pytest.mark.parametrize("name", ["vgg13", "vgg13_bn", "vgg16", "vgg19", "vgg19_bn"])
def test_vgg_features_of_every_depth(timm, tmp_path, capsys, name):
    import torch
    from torchvision.models.vgg import cfgs, make_layers

    torch.manual_seed(0)
    letter = {"vgg13": "B", "vgg16": "D", "vgg19": "E"}[name.removesuffix("_bn")]
    features = randomised(make_layers(cfgs[letter], batch_norm=name.endswith("_bn")))
    for module in features:
        if isinstance(module, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
    images = np.random.default_rng(0).normal(size=(2, 70, 97, 3)).astype("float32")  # pools drop odd borders
    theirs = outputs_of(features, pools(features), images)
    state = {f"features.{key}": value for key, value in features.state_dict().items()}
    agree(name, written(state, tmp_path, "safetensors"), theirs, images, capsys, num_classes=0)


@pytest.mark.parametrize("size", [(224, 224), (97, 130), (21, 38)], ids=str)
@pytest.mark.parametrize("name", ["squeezenet1_0", "squeezenet1_1"])
def test_squeezenet(timm, tmp_path, capsys, name, size):
    import torch
    import torchvision

    torch.manual_seed(0)
    network = randomised(torchvision.models.get_model(name))
    torch.nn.init.normal_(network.classifier[1].weight, std=0.1)  # at 0.01 most class maps would be their bias
    last = {"squeezenet1_0": (5, 10, 12), "squeezenet1_1": (4, 7, 12)}[name]
    stages = {f"stage{s}": network.features[i] for s, i in enumerate(last, 1)}
    images = np.random.default_rng(1).normal(size=(2, *size, 3)).astype("float32")
    theirs = outputs_of(network, stages, images)
    path = written(network.state_dict(), tmp_path, "zip")
    agree(name, path, theirs, images, capsys)
    bare = {"output": theirs["stage3"]}
    agree(name, path, bare, images, capsys, num_classes=0)

"""The same weights in timm's network and in ours give the same logits and the same features after each stage."""

import keras
import numpy as np
import pytest

from hub import registry, weights

pytestmark = pytest.mark.parity
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
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 0.3, 0.9)
            torch.nn.init.normal_(module.bias, std=0.2)
            torch.nn.init.normal_(module.running_mean, std=0.2)
            torch.nn.init.uniform_(module.running_var, 0.5, 2.0)
    return network


def written(network, folder, kind):
    """The network's state dict as a published file: safetensors, or either format of `torch.save`."""
    import torch
    from safetensors.torch import save_file

    state = network.state_dict()
    path = folder / ("model.safetensors" if kind == "safetensors" else "model.pth")
    if kind == "safetensors":
        save_file(state, path)
    else:
        torch.save(state, path, _use_new_zipfile_serialization=kind == "zip")
    return path


def outputs_of(network, images):
    """timm's logits and stage features, channels last."""
    import torch

    features = {}
    for stage in (1, 2, 3, 4):
        module = getattr(network, f"layer{stage}")
        module.register_forward_hook(lambda _m, _i, out, at=f"stage{stage}": features.__setitem__(at, out))
    with torch.inference_mode():
        features["logits"] = network(torch.from_numpy(images.transpose(0, 3, 1, 2).copy()))
    return {k: v.numpy().transpose(0, 2, 3, 1) if v.ndim == 4 else v.numpy() for k, v in features.items()}


def largest_differences(name, path, theirs, images, **options):
    """Largest difference to timm at each output, over the largest absolute value there."""
    entry = registry.info(name)
    model = registry.build(name, input_shape=images.shape[1:], **options)
    weights.apply(model, entry, path, num_classes_given=bool(options))
    tapped = keras.Model(model.input, {at: model.get_layer(at).output for at in theirs})
    ours = tapped(images, training=False)
    found = {}
    for at, value in theirs.items():
        mine = keras.ops.convert_to_numpy(ours[at])
        assert mine.shape == value.shape
        assert np.abs(value).max() > 1e-3, "nothing to compare"
        found[at] = float(np.abs(mine - value).max() / np.abs(value).max())
    return found


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_same_logits_and_features(timm, tmp_path, capsys, name, kind):
    network = randomised(timm, name)
    images = np.random.default_rng(0).normal(size=(2, 224, 224, 3)).astype("float32")
    found = largest_differences(name, written(network, tmp_path, kind), outputs_of(network, images), images)
    with capsys.disabled():
        print(f"\n{name} ({kind}):", ", ".join(f"{at} {value:.1e}" for at, value in found.items()))
    assert max(found.values()) < 1e-4


def test_odd_sizes_and_few_classes(timm, tmp_path):
    network = randomised(timm, "resnet18", num_classes=7)
    images = np.random.default_rng(1).normal(size=(2, 97, 130, 3)).astype("float32")
    path = written(network, tmp_path, "safetensors")
    assert (
        max(largest_differences("resnet18", path, outputs_of(network, images), images, num_classes=7).values()) < 1e-4
    )


def test_gray_images_see_the_sum_of_the_colours(timm, tmp_path):
    network = randomised(timm, "resnet18")
    gray = np.random.default_rng(2).normal(size=(2, 64, 64, 1)).astype("float32")
    theirs = outputs_of(network, np.repeat(gray, 3, axis=-1))
    path = written(network, tmp_path, "safetensors")
    assert max(largest_differences("resnet18", path, theirs, gray).values()) < 1e-4


def test_torchvision_names_are_the_same(timm):
    from torchvision.models import resnet50

    assert {*resnet50(weights=None).state_dict()} == {*timm.create_model("resnet50").state_dict()}

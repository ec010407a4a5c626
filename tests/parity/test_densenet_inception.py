"""The same weights give the same logits and stage features in torchvision's, timm's or Keras's networks and in ours."""

import re

import keras
import numpy as np
import pytest

from hub import registry, weights
from hub.models.inception_v3 import TORCH_IGNORED

pytestmark = pytest.mark.parity
DENSE_STAGES = {f"stage{s}": f"features.denseblock{s}" for s in (1, 2, 3)} | {"stage4": "features.norm5"}
INCEPTION_STAGES = {
    "stage1": "Conv2d_2b_3x3", "stage2": "Conv2d_4a_3x3",
    "stage3": "Mixed_5d", "stage4": "Mixed_6e", "stage5": "Mixed_7c",
}  # fmt: skip


def reference(timm, library, name, **options):
    """The network of `library` with random kernels, and BatchNorm far from its neutral start."""
    import torch

    torch.manual_seed(0)
    if library == "timm":
        network = timm.create_model(name, **options)
    else:
        from torchvision import models

        if name == "inception_v3":
            options |= {"init_weights": False, "transform_input": False}
        network = getattr(models, name)(weights=None, **options)
    for module in network.modules():
        if isinstance(module, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(module.weight)
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 0.5, 1.2)
            torch.nn.init.normal_(module.bias, std=0.2)
            torch.nn.init.normal_(module.running_mean, std=0.2)
            torch.nn.init.uniform_(module.running_var, 0.5, 2.0)
    return network.eval()


def written(network, folder, rename=lambda key: key):
    """The network's state dict as a file."""
    from safetensors.torch import save_file

    path = folder / "model.safetensors"
    save_file({rename(key): value for key, value in network.state_dict().items()}, path)
    return path


def outputs_of(network, images, stages):
    """The reference's logits and stage features, channels last; the last BatchNorm of DenseNet with its ReLU."""
    import torch

    features = {}
    for stage, module in stages.items():
        network.get_submodule(module).register_forward_hook(
            lambda _m, _i, out, at=stage: features.__setitem__(at, out.clamp(min=0) if at == "stage4" else out.clone())
        )
    with torch.inference_mode():
        features["logits"] = network(torch.from_numpy(images.transpose(0, 3, 1, 2).copy()))
    return {k: v.numpy().transpose(0, 2, 3, 1) if v.ndim == 4 else v.numpy() for k, v in features.items()}


def assert_equal(model, theirs, images):
    """Every output differs by less than 1e-4 of its largest absolute value, and depends on the picture."""
    tapped = keras.Model(model.input, {at: model.get_layer(at).output for at in theirs})
    found = {}
    for at, mine in tapped(images, training=False).items():
        mine, value = keras.ops.convert_to_numpy(mine), theirs[at]
        assert mine.shape == value.shape
        assert np.isfinite(value).all() and np.ptp(value[0] - value[-1]) > 1e-2 * np.abs(value).max(), "blind"
        found[at] = float(np.abs(mine - value).max() / np.abs(value).max())
    print(model.name, ", ".join(f"{at} {value:.1e}" for at, value in found.items()))
    assert max(found.values()) < 1e-4


def loaded(name, path, images, **options):
    model = registry.build(name, input_shape=images.shape[1:], **options)
    weights.apply(model, registry.info(name), path, num_classes_given=bool(options))
    return model


def pictures(*shape):
    """A faint and a stark picture: deep features of two alike pieces of noise would hardly differ."""
    faint, stark = np.random.default_rng(0).normal(size=(2, *shape)).astype("float32")
    return np.stack([0.3 * faint, 3 * stark + 1])


@pytest.mark.parametrize(
    ("name", "library", "size"),
    [
        ("densenet121", "timm", (224, 224)),
        ("densenet121", "torchvision", (97, 130)),
        ("densenet161", "torchvision", (64, 64)),
        ("densenet169", "timm", (64, 64)),
        ("densenet201", "timm", (64, 64)),
        ("inception_v3", "torchvision", (299, 299)),
        ("inception_v3", "timm", (98, 131)),
    ],
    ids=str,
)
def test_same_logits_and_features(timm, tmp_path, name, library, size):
    images = pictures(*size, 3)
    network = reference(timm, library, name)
    theirs = outputs_of(network, images, INCEPTION_STAGES if name == "inception_v3" else DENSE_STAGES)
    assert_equal(loaded(name, written(network, tmp_path), images), theirs, images)


def test_chexnet_is_densenet121_with_fourteen_logits(timm, tmp_path):
    images = pictures(71, 64, 3)
    network = reference(timm, "torchvision", "densenet121", num_classes=14)
    assert_equal(loaded("chexnet", written(network, tmp_path), images), outputs_of(network, images, {}), images)


@pytest.mark.parametrize(("name", "stages"), [("densenet121", DENSE_STAGES), ("inception_v3", INCEPTION_STAGES)])
def test_gray_images_see_the_sum_of_the_colours(timm, tmp_path, name, stages):
    gray = pictures(80, 75, 1)
    network = reference(timm, "timm", name, num_classes=7)
    theirs = outputs_of(network, np.repeat(gray, 3, axis=-1), stages)
    assert_equal(loaded(name, written(network, tmp_path), gray, num_classes=7), theirs, gray)


def test_the_first_torchvision_files_spell_norms_otherwise(timm, tmp_path):
    images = pictures(64, 64, 3)
    network = reference(timm, "torchvision", "densenet121")
    theirs = outputs_of(network, images, DENSE_STAGES)
    path = written(network, tmp_path, lambda key: re.sub(r"\.(norm|conv)([12])\.", r".\1.\2.", key))
    assert_equal(loaded("densenet121", path, images), theirs, images)


def test_the_auxiliary_head_is_all_that_is_left_out(timm):
    ours = {*timm.create_model("inception_v3").state_dict()}
    theirs = {*reference(timm, "torchvision", "inception_v3").state_dict()}
    left_out = {key for key in theirs if any(re.fullmatch(pattern, key) for pattern in TORCH_IGNORED)}
    assert theirs - ours == left_out and len(left_out) == 14 and not ours - theirs


def randomised(model):
    """`model` with He-normal kernels and BatchNorm far from its neutral start."""
    rng = np.random.default_rng(3)
    for weight in model.weights:
        kind, shape = weight.path.rpartition("/")[2], weight.shape
        if kind == "kernel":
            weight.assign(rng.normal(0, (2 / np.prod(shape[:-1])) ** 0.5, shape))
        elif kind in ("gamma", "moving_variance"):
            weight.assign(rng.uniform(0.5, 1.5, shape))
        else:
            weight.assign(rng.normal(0, 0.2, shape))
    return model


@pytest.mark.parametrize(
    ("name", "application", "total", "stages"),
    [
        ("densenet121", "DenseNet121", 8_062_504, {"stage1": "conv2_block6_concat", "stage4": "relu"}),
        (
            "inception_v3_keras",
            "InceptionV3",
            23_851_784,
            {"stage3": "mixed2", "stage4": "mixed7", "stage5": "mixed10"},
        ),
    ],
)
def test_keras_applications(name, application, total, stages):
    """The order of the weights is the same, so that they pass from network to network as a list."""
    images = pictures(77, 90, 3)
    ours = randomised(registry.build(name, input_shape=(77, 90, 3)))
    theirs = getattr(keras.applications, application)(weights=None, input_shape=(77, 90, 3), classifier_activation=None)
    assert ours.count_params() == theirs.count_params() == total
    theirs.set_weights(ours.get_weights())
    places = {**stages, "logits": "predictions"}
    tapped = keras.Model(theirs.input, {at: theirs.get_layer(place).output for at, place in places.items()})
    expected = {at: keras.ops.convert_to_numpy(x) for at, x in tapped(images, training=False).items()}
    assert_equal(ours, expected, images)


@pytest.mark.parametrize(("name", "total"), [("densenet169", 14_307_880), ("densenet201", 20_242_984)])
def test_parameters_of_keras_applications(name, total):
    theirs = getattr(keras.applications, name.replace("densenet", "DenseNet"))(weights=None)
    assert registry.build(name).count_params() == theirs.count_params() == total

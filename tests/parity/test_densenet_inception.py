"""The same weights give the same logits and stage features in torchvision's, timm's or Keras's networks and in ours."""

import re

import keras
import numpy as np
import pytest
from same_weights import agree, loaded, outputs_of, pictures, shake_keras, shake_norms

from hub import registry
from hub.models.inception_v3 import TORCH_IGNORED

pytestmark = pytest.mark.parity
DENSE = {f"stage{s}": f"features.denseblock{s}" for s in (1, 2, 3)} | {"stage4": "features.norm5"}
INCEPTION = {
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
    shake_norms(network)
    return network.eval()


def features_of(network, name, images):
    """The reference's logits and stages; the last BatchNorm of DenseNet with its ReLU, a function in torchvision."""
    if name == "inception_v3":
        return outputs_of(network, INCEPTION, images)
    found = outputs_of(network, DENSE, images)
    return {**found, "stage4": np.maximum(found["stage4"], 0)}


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
    model = loaded(name, network.state_dict(), tmp_path, images)
    agree(name, model, features_of(network, name, images), images, reference=library)


def test_chexnet_is_densenet121_with_fourteen_logits(timm, tmp_path):
    images = pictures(71, 64, 3)
    network = reference(timm, "torchvision", "densenet121", num_classes=14)
    model = loaded("chexnet", network.state_dict(), tmp_path, images)
    agree("chexnet", model, features_of(network, "densenet121", images), images, reference="torchvision")


@pytest.mark.parametrize("name", ["densenet121", "inception_v3"])
def test_gray_images_see_the_sum_of_the_colours(timm, tmp_path, name):
    gray = pictures(80, 75, 1)
    network = reference(timm, "timm", name, num_classes=7)
    theirs = features_of(network, name, np.repeat(gray, 3, axis=-1))
    model = loaded(name, network.state_dict(), tmp_path, gray, num_classes=7)
    agree(name, model, theirs, gray, reference="timm", num_classes=7)


def test_the_first_torchvision_files_spell_norms_otherwise(timm, tmp_path):
    images = pictures(64, 64, 3)
    network = reference(timm, "torchvision", "densenet121")
    state = {re.sub(r"\.(norm|conv)([12])\.", r".\1.\2.", key): x for key, x in network.state_dict().items()}
    model = loaded("densenet121", state, tmp_path, images)
    agree("densenet121", model, features_of(network, "densenet121", images), images, reference="torchvision")


def test_the_auxiliary_head_is_all_that_is_left_out(timm):
    ours = {*timm.create_model("inception_v3").state_dict()}
    theirs = {*reference(timm, "torchvision", "inception_v3").state_dict()}
    left_out = {key for key in theirs if any(re.fullmatch(pattern, key) for pattern in TORCH_IGNORED)}
    assert theirs - ours == left_out and len(left_out) == 14 and not ours - theirs


@pytest.mark.parametrize(
    ("name", "application", "total", "ends"),
    [
        ("densenet121", "DenseNet121", 8_062_504,
         ("conv2_block6_concat", "conv3_block12_concat", "conv4_block24_concat", "relu")),
        ("inception_v3_keras", "InceptionV3", 23_851_784,
         ("activation_2", "activation_4", "mixed2", "mixed7", "mixed10")),
    ],
)  # fmt: skip
def test_keras_applications(name, application, total, ends):
    """The order of the weights is the same, so that they pass from network to network as a list."""
    keras.utils.clear_session()  # layers that Keras names itself are counted from here
    images = pictures(77, 90, 3)
    theirs = getattr(keras.applications, application)(weights=None, input_shape=(77, 90, 3), classifier_activation=None)
    ours = shake_keras(registry.build(name, input_shape=(77, 90, 3)))
    assert ours.count_params() == theirs.count_params() == total
    theirs.set_weights(ours.get_weights())
    expected = outputs_of(theirs, {f"stage{s}": end for s, end in enumerate(ends, 1)}, images)
    agree(name, ours, expected, images, reference="keras.applications")


@pytest.mark.parametrize(("name", "total"), [("densenet169", 14_307_880), ("densenet201", 20_242_984)])
def test_parameters_of_keras_applications(name, total):
    theirs = getattr(keras.applications, name.replace("densenet", "DenseNet"))(weights=None)
    assert registry.build(name).count_params() == theirs.count_params() == total

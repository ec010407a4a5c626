"""The same weights give the same logits and stages in timm's and keras.applications' Inception networks and in ours."""

import keras
import numpy as np
import pytest
from same_weights import agree, loaded, outputs_of, pictures, shake_keras, shake_norms

from hub import registry

pytestmark = pytest.mark.parity
STAGES = {
    "inception_v4": {f"stage{s}": f"features.{i}" for s, i in zip(range(1, 6), (2, 4, 9, 17, 21), strict=True)},
    "inception_resnet_v2": {
        "stage1": "conv2d_2b", "stage2": "conv2d_4a", "stage3": "repeat", "stage4": "repeat_1", "stage5": "conv2d_7b",
    },
}  # fmt: skip


def reference(timm, name, **options):
    """timm's network with random kernels, and BatchNorm far from its neutral start."""
    import torch

    torch.manual_seed(0)
    network = timm.create_model(name, **options)
    for module in network.modules():
        if isinstance(module, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(module.weight)
            module.weight.data *= 1.2  # what the gains below take away: v4's last stage would be blind to the picture
            if module.bias is not None:
                torch.nn.init.normal_(module.bias, std=0.2)
    shake_norms(network)
    return network.eval()


@pytest.mark.parametrize("name", STAGES)
def test_same_logits_and_stages_as_timm(timm, tmp_path, name):
    """An odd and an even side; the weights go through a file and our reader."""
    images = pictures(107, 90, 3)
    network = reference(timm, name)
    model = loaded(name, network.state_dict(), tmp_path, images)
    agree(name, model, outputs_of(network, STAGES[name], images), images, reference="timm")


def test_keras_applications():
    """Its BatchNorm has no scale; the order of the weights is the same, so that they pass over as a list."""
    keras.utils.clear_session()  # layers that Keras names itself are counted from here
    images = pictures(77, 90, 3)
    theirs = keras.applications.InceptionResNetV2(weights=None, input_shape=(77, 90, 3), classifier_activation=None)
    ours = shake_keras(registry.build("inception_resnet_v2", bn_scale=False, input_shape=(77, 90, 3)))
    assert ours.count_params() == theirs.count_params() == 55_873_736
    assert sum(np.prod(w.shape) for w in ours.trainable_weights) == 55_813_192
    theirs.set_weights(ours.get_weights())
    ends = ("activation_2", "activation_4", "block35_10_ac", "block17_20_ac", "conv_7b_ac")
    expected = outputs_of(theirs, {f"stage{s}": end for s, end in enumerate(ends, 1)}, images)
    agree("inception_resnet_v2", ours, expected, images, reference="keras.applications", bn_scale=False)

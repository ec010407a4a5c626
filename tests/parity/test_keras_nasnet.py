"""The same weights give the same logits and stages in keras.applications' and timm's NASNets and in ours."""

import re

import keras
import numpy as np
import pytest
from same_weights import agree, loaded, outputs_of, pictures, shake_keras, shake_norms

from hub import registry

pytestmark = pytest.mark.parity


def place_in_keras(name, depth):
    """The layer of keras.applications' NASNet, of `depth` cells per size, that holds the weights of our `name`."""
    if name == "logits":
        return "predictions"
    if match := re.fullmatch(r"stem_(conv|bn)", name):
        return f"stem_{match[1]}1"
    cell, rest = re.fullmatch(r"(cell_stem_\d|cell_\d+|reduction_cell_\d)_(\w+)", name).groups()
    number = int(cell.rpartition("_")[2])
    kind = "normal"
    if cell.startswith("cell_stem"):
        kind, block = "reduction", f"stem_{number + 1}"
    elif cell.startswith("reduction"):
        kind, block = "reduction", f"reduce_{(number + 1) * depth}"
    else:  # there the first reduction takes a number too, the second does not
        block = number + (number >= depth)
    if match := re.fullmatch(r"input_(conv|bn)", rest):
        return f"{kind}_{match[1]}_1_{block}"
    if match := re.fullmatch(r"previous_path(\d)_conv", rest):
        return f"adjust_conv_{match[1]}_{block}"
    if rest == "previous_conv":
        return f"adjust_conv_projection_{block}"
    if rest in ("previous_bn", "previous_paths_bn"):
        return f"adjust_bn_{block}"
    pair, side, part, what = re.fullmatch(r"(\d)_(left|right)_(\d)_(\w+)", rest).groups()
    pair = 4 if (kind, pair) == ("reduction", "4") else int(pair) + 1
    return f"separable_conv_{part}_{'bn_' if what == 'bn' else ''}{kind}_{side}{pair}_{block}"


def relu_of_stages(found):
    return {part: value if part == "output" else np.maximum(value, 0) for part, value in found.items()}


@pytest.mark.parametrize("size", [(67, 90), (224, 224)], ids=str)
def test_keras_applications_mobile(size):
    """NASNetMobile: its strided poolings pad maps with zeros."""
    images = pictures(*size, 3)
    theirs = keras.applications.NASNetMobile(weights=None, input_shape=(*size, 3), classifier_activation=None)
    shake_keras(theirs)
    options = {"zeros": ("mean", "max")}
    ours = registry.build("nasnet_a_mobile", input_shape=(*size, 3), **options)
    assert ours.count_params() == theirs.count_params() == 5_326_716
    taken = set()
    for layer in ours.layers:
        if not layer.weights:
            continue
        source = theirs.get_layer(place_in_keras(layer.name, 4))
        values = source.get_weights()
        if isinstance(source, keras.layers.SeparableConv2D):
            values = [values["pointwise" in layer.name]]
        layer.set_weights(values)
        taken |= {(source.name, value.shape) for value in values}
    assert len(taken) == len({(x.name, w.shape) for x in theirs.layers for w in x.weights}), "some weights were left"
    places = {
        "stage1": "stem_bn1", "stage2": "reduction_concat_stem_1", "stage3": "normal_concat_3",
        "stage4": "normal_concat_8", "stage5": "normal_concat_12",
    }  # fmt: skip
    expected = relu_of_stages(outputs_of(theirs, places, images))
    agree("nasnet_a_mobile", ours, expected, images, reference="keras.applications", **options)


def test_timm_large(timm, tmp_path):
    """nasnetalarge with all its 20 cells; its strided means count zeros."""
    import torch

    torch.manual_seed(0)
    network = timm.create_model("nasnetalarge").eval()
    for module in network.modules():
        if isinstance(module, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(module.weight)
    shake_norms(network)
    images, options = pictures(67, 90, 3), {"zeros": ("mean",)}
    ends = {"stage1": "conv0", "stage2": "cell_stem_0", "stage3": "cell_5", "stage4": "cell_11", "stage5": "cell_17"}
    theirs = relu_of_stages(outputs_of(network, ends, images))
    model = loaded("nasnet_a_large", network.state_dict(), tmp_path, images, **options)
    agree("nasnet_a_large", model, theirs, images, reference="timm", **options)

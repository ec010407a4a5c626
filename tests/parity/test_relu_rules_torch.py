"""Guided backpropagation, deconvnet and gradient against PyTorch, whose hooks replace each ReLU's backward step."""

import keras
import numpy as np
import pytest
from keras import layers

from hub.explain.deconvnet import Deconvnet
from hub.explain.guided_backprop import GuidedBackprop

pytestmark = pytest.mark.parity


@pytest.fixture(scope="module")
def twins():
    """A network with overlapping pools and nested ReLUs, ours and PyTorch's on the same weights, and images."""
    import torch

    keras.utils.set_random_seed(0)
    inputs = keras.Input((17, 17, 3))
    x = layers.Conv2D(8, 3, padding="same", activation="relu", name="first")(inputs)
    x = layers.MaxPooling2D(3, 2)(x)
    x = layers.ReLU(name="rectified")(layers.Conv2D(12, 3, name="second")(x))
    x = layers.Dense(10, activation="relu", name="third")(layers.Flatten()(layers.MaxPooling2D(2)(x)))
    model = keras.Model(inputs, layers.Dense(5, name="last")(x))
    rng = np.random.default_rng(0)
    network = torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 3, padding=1), torch.nn.ReLU(), torch.nn.MaxPool2d(3, 2),
        torch.nn.Conv2d(8, 12, 3), torch.nn.ReLU(), torch.nn.MaxPool2d(2),
        torch.nn.Flatten(), torch.nn.Linear(12 * 9, 10), torch.nn.ReLU(), torch.nn.Linear(10, 5),
    )  # fmt: skip
    for name, place in (("first", 0), ("second", 3), ("third", 7), ("last", 9)):
        layer = model.get_layer(name)
        layer.bias.assign(rng.normal(0, 0.2, layer.bias.shape))
        kernel = keras.ops.convert_to_numpy(layer.kernel)
        if name == "third":  # flattened channels first there
            kernel = kernel.reshape(3, 3, 12, 10).transpose(2, 0, 1, 3).reshape(-1, 10)
        moved = kernel.transpose(3, 2, 0, 1) if kernel.ndim == 4 else kernel.T
        with torch.no_grad():
            network[place].weight.copy_(torch.from_numpy(moved.copy()))
            network[place].bias.copy_(torch.from_numpy(keras.ops.convert_to_numpy(layer.bias).copy()))
    return model, network, rng.normal(size=(6, 17, 17, 3)).astype("float32")


def theirs(network, images, rule, top):
    """The gradient of `top(outputs of every module)` at the pixels, with the hooks of `rule`."""
    import torch

    def step(_module, into, out):
        return {"gradient": into, "deconvnet": (out[0].clamp(min=0),), "guided": (into[0].clamp(min=0),)}[rule]

    hooks = [m.register_full_backward_hook(step) for m in network if isinstance(m, torch.nn.ReLU)]
    x = torch.from_numpy(images.transpose(0, 3, 1, 2).copy()).requires_grad_()
    seen = [x]
    for module in network:
        seen.append(module(seen[-1]))
    top(seen).backward()
    for hook in hooks:
        hook.remove()
    return x.grad.numpy().transpose(0, 2, 3, 1)


@pytest.mark.parametrize("rule", ["gradient", "deconvnet", "guided"])
def test_a_score_s_signal(twins, rule):
    model, network, images = twins
    found = GuidedBackprop(rule).signal(model, images, lambda outputs: outputs[:, 2])
    expected = theirs(network, images, rule, lambda seen: seen[-1][:, 2].sum())
    np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())
    if rule == "deconvnet":
        again = Deconvnet().signal(model, images, lambda outputs: outputs[:, 2])
        np.testing.assert_array_equal(again, found)


@pytest.mark.parametrize("channel", [None, 4])
def test_an_activation_s_projection(twins, channel):
    model, network, images = twins
    found = Deconvnet("rectified", channel).signal(model, images)

    def top(seen):
        features = seen[5] if channel is None else seen[5][:, channel]
        return (features.flatten(1).amax(1) ** 2 / 2).sum()  # its gradient at the activation is the activation

    expected = theirs(network, images, "deconvnet", top)
    np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())

"""Foveated ResNet: a residual network that looks at one point of the image.

Paper: Jérémie, Daucé and Perrinet, "Foveated Retinotopy Improves Classification and Localization in CNNs", 2024,
  arXiv:2402.15480
Slug: foveated_retinotopy
Idea: see hub/layers/log_polar.py; the network behind the retina is left as it is and trained anew.
Differs: convolutions pad the angles by zeros, as in an unchanged network, though the circle closes. Nobody publishes
  weights here; a ResNet's checkpoint fits, as a start. The paper's accuracies are not repeated.
Checked: equals the backbone, from its checkpoint, on the sampled image (tests/test_log_polar.py); parameters are the
  backbone's (the contract).
"""

import keras

from hub import registry
from hub.layers.log_polar import LogPolar
from hub.registry import register

CONTRACT_SIZE = {"input_shape": (40, 48, 3), "num_classes": 10}


def TORCH_NAMES(model: keras.Model, tensors: dict) -> tuple[tuple[str, str], ...]:  # noqa: N802
    """Those of the backbone's family, which `hub.weights` asks for by this name."""
    return registry.module(registry.info("resnet18")).TORCH_NAMES


@register("foveated_resnet_tiny", backbone="resnet_tiny", n_rho=48, n_theta=64)
@register("foveated_resnet18", backbone="resnet18", params=11_689_512, gmacs=1.814)
@register("foveated_resnet50", backbone="resnet50", params=25_557_032, gmacs=4.089)
@register("foveated_resnet101", backbone="resnet101", params=44_549_160, gmacs=7.801)
def foveated_resnet(
    backbone: str,
    n_rho: int = 224,
    n_theta: int = 224,
    r_min: float = 0.03,
    r_max: float = 1.0,
    input_shape: tuple[int, int, int] = (224, 224, 3),
    num_classes: int = 1000,
    name: str = "foveated_resnet",
) -> keras.Model:
    """Build `backbone` behind a layer `retina`; images [N, H, W, C] of a known size, fixated in their middle.

    To look elsewhere, move the image (`hub.explain.fixation_map` does).

    Args:
        backbone: a registered network; its layers keep their names.
        n_rho, n_theta: height and width of what it sees, rings by angles.
        r_min, r_max: radii of the first and last ring, in halves of the image's shorter side.
        num_classes: units of the float32 layer `logits`; 0 leaves out pooling and head and returns the feature map.
    """
    inputs = keras.Input(input_shape)
    retina = LogPolar(n_rho, n_theta, r_min, r_max, name="retina")
    plain = registry.build(backbone, input_shape=(n_rho, n_theta, input_shape[-1]), num_classes=num_classes)

    def call(layer: keras.layers.Layer, *args, **kwargs):
        return layer(*(retina(x) if x is inputs else x for x in args), **kwargs)

    model = keras.models.clone_model(plain, inputs, call_function=call)
    return keras.Model(inputs, model.outputs[0], name=name)

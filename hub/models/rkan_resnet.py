"""RKAN-ResNet: a residual network with a polynomial branch around its last stage.

Paper: Yu, Wu and Gui, "Residual Kolmogorov-Arnold Network for Enhanced Deep Learning", arXiv:2410.05500 (2024)
Slug: rkan
Idea: see hub/layers/rkan.py; the last stage alone gets the branch by default.
Differs: of the authors' networks only those over ResNets are rows; any registered network with stages will do as the
  backbone. Their accuracies (CIFAR-100, 34 layers: 80.5 %) are not repeated.
Checked: parameters are torchvision's and those that the authors' block adds (the contract; see also
  tests/test_layers_spd_ibn_rkan.py).
"""

import keras
from keras import layers

from hub import registry
from hub.layers.rkan import RKANBlock
from hub.registry import register

CONTRACT_SIZE = {"input_shape": (64, 64, 3), "num_classes": 10}


@register("rkan_resnet_tiny", backbone="resnet_tiny")
@register("rkan_resnet18", backbone="resnet18", params=11_789_195)
@register("rkan_resnet50", backbone="resnet50", params=27_135_115)
def rkan_resnet(
    backbone: str,
    mechanism: str = "addition",
    input_shape: tuple[int | None, int | None, int] = (224, 224, 3),
    num_classes: int = 1000,
    name: str = "rkan_resnet",
) -> keras.Model:
    """Build `backbone` with an `RKANBlock` named `rkan` that joins `stage3` to `stage4`; images [N, H, W, C].

    Args:
        backbone: a registered network with four stages, of which the last halves the map.
        mechanism: how branch and stage meet: "addition", "gating" or "se".
        num_classes: units of the float32 layer `logits`; 0 leaves out pooling and head and returns the feature map.
    """
    trunk = registry.build(backbone, input_shape=input_shape, num_classes=0)
    ends = [trunk.get_layer(f"stage{stage}").output for stage in (3, 4)]
    x = RKANBlock(mechanism=mechanism, name="rkan")(ends)
    if num_classes:
        x = layers.GlobalAveragePooling2D(name="pool")(x)
        x = layers.Dense(num_classes, dtype="float32", name="logits")(x)
    return keras.Model(trunk.input, x, name=name)

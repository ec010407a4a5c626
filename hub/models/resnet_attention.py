"""CNNtention: a small residual network with one attention module behind each group.

Paper: Glattki, Kapila and Rathi, "CNNtention: Can CNNs do better with Attention?", 2024, arXiv:2412.11657
Slug: cnntention
Idea: the same ResNet-20 with self-attention, several heads of it, or CBAM, so that the three can be compared.
Differs: shortcuts append zero channels where the authors put half before and half behind, which names the channels
  otherwise and changes nothing else. Any registered network with stages will do as the backbone.
Checked: parameters are the authors'; at first the two attentions leave the backbone's function as it is
  (tests/test_layers_adapters_attention.py).
"""

import re

import keras
from keras import layers

from hub import registry
from hub.layers.attention_2d import CBAM, SelfAttention2D
from hub.registry import register

CONTRACT_SIZE = {"input_shape": (8, 8, 3), "num_classes": 10}
MODULES = {
    "self_attention": lambda name: SelfAttention2D(name=name),
    "mha": lambda name: SelfAttention2D(8, name=name),
    "cbam": lambda name: CBAM(name=name),
}


@register("resnet_attention_tiny", module="cbam", depths=(1, 1, 1), width=64)
@register("resnet20_self_attention", module="self_attention", params=286_189)
@register("resnet20_mha", module="mha", params=291_677)
@register("resnet20_cbam", module="cbam", params=271_363)
def resnet_attention(
    module: str,
    backbone: str = "resnet20_cifar",
    input_shape: tuple[int, int, int] = (32, 32, 3),
    num_classes: int = 10,
    name: str = "resnet_attention",
    **options,
) -> keras.Model:
    """Build `backbone` with a module `stage{s}_attention` behind each of its layers `stage{s}`; sizes must be known.

    Self-attention compares every pixel with every other one: the first group's map of 32 x 32 pixels takes a matrix of
    1024 x 1024 per image and head.

    Args:
        module: "self_attention", "mha" (8 heads) or "cbam".
        backbone: a registered network with stages.
        num_classes: units of the float32 layer `logits`; 0 leaves out pooling and head and returns the feature map.
        **options: further arguments of the backbone, such as `depths`.

    Raises:
        ValueError: another `module`.
    """
    if module not in MODULES:
        raise ValueError(f"`module` is one of {', '.join(MODULES)}. Received: module={module!r}.")

    def call(layer: layers.Layer, *args, **kwargs):
        outputs = layer(*args, **kwargs)
        return MODULES[module](f"{layer.name}_attention")(outputs) if re.fullmatch(r"stage\d+", layer.name) else outputs

    plain = registry.build(backbone, input_shape=input_shape, num_classes=num_classes, **options)
    inputs = keras.Input(input_shape)
    model = keras.models.clone_model(plain, inputs, call_function=call)
    return keras.Model(inputs, model.outputs[0], name=name)

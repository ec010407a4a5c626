"""PlainNet: very deep convolutional networks without any shortcut, and what it takes to train them.

Paper: Oyedotun et al., "Revisiting the Training of Very Deep Neural Networks without Skip Connections", ICPR 2020
Slug: plain_nets
Idea: without shortcuts a deep network fails at its start, when activations fade and become alike; a leaky ReLU, initial
  weights of the variance that fits it and bounded weight norms keep the signal.
Differs: reconstructed from the abstract and the combination that a sister paper names; slope 0.3, norm 3 and the
  layout, that of the ResNets for CIFAR without their shortcuts, are ours. The paper's trained networks of 100 layers
  are not repeated.
Checked: after 50 layers at their start a variance of 0.004 to 0.06 is left, zero padding and few filters take the rest;
  ReLU with Glorot's weights leaves 1e-19; the slope keeps units and inputs apart; the bound on the weights holds;
  20 layers learn digits with the recipe and stay at chance without (tests/test_plain_nets.py).
"""

from typing import NamedTuple

import keras
from keras import layers

from hub.registry import register

CONTRACT_SIZE = {"input_shape": (32, 32, 3), "num_classes": 10}


class Recipe(NamedTuple):
    """Slope of the leaky ReLU below 0; "glorot", "he" or "orthogonal" weights; bound of each filter's norm or None."""

    negative_slope: float
    initializer: str
    max_norm: float | None

    def kernel(self) -> dict:
        """The initial values and the bound of a convolution's kernel."""
        gain = 2 / (1 + self.negative_slope**2)  # keeps the variance through the leaky ReLU
        start = {
            "glorot": keras.initializers.GlorotUniform(),
            "he": keras.initializers.VarianceScaling(gain, "fan_in", "untruncated_normal"),
            "orthogonal": keras.initializers.Orthogonal(gain**0.5),
        }[self.initializer]
        bound = keras.constraints.MaxNorm(self.max_norm, axis=[0, 1, 2]) if self.max_norm else None
        return {"kernel_initializer": start, "kernel_constraint": bound}


RECIPES = {"relu": Recipe(0.0, "glorot", None), "revisited": Recipe(0.3, "he", 3.0)}


def conv(x: keras.KerasTensor, filters: int, strides: int, recipe: Recipe, batch_norm: bool, name: str, out: str):
    """3x3 convolution to [N, ceil(H / strides), ceil(W / strides), filters], normalised if wanted, activated."""
    x = layers.Conv2D(
        filters, 3, strides, padding="same", use_bias=not batch_norm, name=f"{name}_conv", **recipe.kernel()
    )(x)
    if batch_norm:
        x = layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name=f"{name}_bn")(x)
    return layers.LeakyReLU(recipe.negative_slope, name=out)(x)


@register("plainnet_tiny", depth=8, width=8)
@register("plainnet20", depth=20)
@register("plainnet50", depth=50)
@register("plainnet100", depth=100)
def plainnet(
    depth: int,
    recipe: str | Recipe = "revisited",
    width: int = 16,
    batch_norm: bool = False,
    input_shape: tuple[int | None, int | None, int] = (32, 32, 3),
    num_classes: int = 10,
    name: str = "plainnet",
) -> keras.Model:
    """Build a PlainNet over standardised images [N, H, W, C]. For depths of 50 and more the paper's kind of training
    warms the learning rate up; clip the gradient's norm (1).

    Args:
        depth: layers with weights: `depth - 1` convolutions, spread evenly over three stages, and the dense head.
        recipe: "revisited", "relu" (the plain start that fails) or a `Recipe` of one's own.
        width: filters of stage 1; stage s has `width * 2**(s - 1)`, and s > 1 starts with a stride of 2. Stage s ends
            in the layer `stage{s}`.
        batch_norm: normalise after every convolution, which then has no bias.
        num_classes: units of the float32 layer `logits`; 0 leaves out pooling and head and returns the feature map.

    Raises:
        ValueError: fewer than four layers, or no such recipe.
    """
    if depth < 4:
        raise ValueError(f"Three stages and a head need a depth of at least 4. Received: depth={depth}.")
    if isinstance(recipe, str) and recipe not in RECIPES:
        raise ValueError(f"`recipe` is one of {', '.join(RECIPES)} or a `Recipe`. Received: recipe={recipe!r}.")
    recipe = RECIPES[recipe] if isinstance(recipe, str) else recipe
    x = inputs = keras.Input(input_shape)
    for stage in (1, 2, 3):
        count = (depth - 1 + 3 - stage) // 3
        for i in range(1, count + 1):
            at = f"stage{stage}_{i}"
            out = f"stage{stage}" if i == count else f"{at}_relu"
            strides = 2 if stage > 1 and i == 1 else 1
            x = conv(x, width * 2 ** (stage - 1), strides, recipe, batch_norm, at, out)
    if num_classes:
        x = layers.GlobalAveragePooling2D(name="pool")(x)
        x = layers.Dense(num_classes, dtype="float32", name="logits")(x)
    return keras.Model(inputs, x, name=name)

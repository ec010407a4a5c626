"""SNN: deep dense networks for tables, which keep their activations standardised by themselves.

Paper: Klambauer et al., "Self-Normalizing Neural Networks", NeurIPS 2017, arXiv:1706.02515
Slug: snn_selu
Idea: with SELU and weights of variance 1 / fan-in, mean 0 and variance 1 attract what flows through the layers, so that
  dense networks of many layers train without batch normalisation; alpha dropout keeps both moments.
Differs: activation, initial weights and alpha dropout are Keras's own; the last layer has no activation, the softmax or
  sigmoid stays outside. The paper's results (121 UCI sets, Tox21, HTRU2) are not repeated.
Checked: activations keep their moments through 32 layers, alpha dropout has the paper's constants, cones narrow
  geometrically, 16 layers learn where as many of ReLU do not (tests/test_snn_selu.py).
"""

import keras
from keras import layers

from hub.registry import register

CONTRACT_SIZE = {"input_shape": (12,), "num_classes": 5}


@register("snn_tiny", depth=3, width=16, skip={
        "headless": "an SNN takes vectors: its features are [N, width], not a map",
        "viewed": "an SNN takes vectors and has no maps and no channels",
        "exported": "export is for images, an SNN takes vectors",
    })  # fmt: skip
@register("snn")
@register("snn_cone", shape="cone")
def snn(
    depth: int = 8,
    width: int = 256,
    shape: str = "rect",
    dropout: float = 0.05,
    input_shape: tuple[int] = (8,),
    num_classes: int = 2,
    name: str = "snn",
) -> keras.Model:
    """Build an SNN over vectors [N, features], each feature standardised to mean 0 and variance 1 over the data.

    Args:
        depth: hidden layers, `hidden1` to `hidden{depth}`; the paper searched 2 to 32.
        width: units of the first; the paper searched 256 to 1024.
        shape: "rect", all of `width`, or "cone", from `width` down to `num_classes` by a constant factor per layer.
        dropout: rate of alpha dropout after each; the paper advises 0.05 to 0.1. 0 for none.
        input_shape: the number of features; the default is that of HTRU2, one of the paper's data sets.
        num_classes: units of the float32 layer `logits`; 0 leaves it out and returns the last hidden layer [N, width].

    Raises:
        ValueError: `input_shape` is no number of features, `shape` is another, or a cone has no end.
    """
    if len(input_shape) != 1 or input_shape[0] is None:
        raise ValueError(f"An SNN takes vectors: `input_shape` is (features,). Received: input_shape={input_shape}.")
    if shape not in ("rect", "cone") or (shape == "cone" and not num_classes):
        raise ValueError(
            '`shape` is "rect" or "cone", and a cone narrows towards `num_classes` of at least 1. '
            f"Received: {shape=}, {num_classes=}."
        )
    x = inputs = keras.Input(input_shape)
    for i in range(depth):
        units = round(width * (num_classes / width) ** (i / depth)) if shape == "cone" else width
        x = layers.Dense(units, activation="selu", kernel_initializer="lecun_normal", name=f"hidden{i + 1}")(x)
        if dropout:
            x = layers.AlphaDropout(dropout, name=f"hidden{i + 1}_dropout")(x)
    if num_classes:
        x = layers.Dense(num_classes, kernel_initializer="lecun_normal", dtype="float32", name="logits")(x)
    return keras.Model(inputs, x, name=name)

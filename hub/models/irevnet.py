"""i-RevNet: deep networks from whose last feature map the picture can be computed back.

Paper: Jacobsen, Smeulders and Oyallon, "i-RevNet: Deep Invertible Networks", ICLR 2018, arXiv:1802.07088
Slug: irevnet
Idea: a classifier need not lose information on its way: 300 layers that are a bijection up to the last pooling do
  nearly as well on ImageNet as a network that may drop what it likes.
Differs: nothing in the bijective network (b) and the one for CIFAR-10, as in the authors' code; parameters are that
  code's (the paper's table prints 29 M for (b)). The injective network (a) is not built, as its sizes are unsure. The
  paper's errors (ImageNet, top 1: 26.7 % for (b)) are not repeated.
Checked: parameters of both; on the same weights, logits and stages equal a plain PyTorch network's
  (tests/parity/test_torch_irevnet_ccnn_spartan.py); a bijection's features hold as many values as the picture, and 22
  blocks with BN statistics from data and random scales are undone to 1e-4 (tests/test_irevnet.py). Rounding grows with
  depth: with statistics from data, the 54 blocks for CIFAR-10 err by 1e-3 at most and the 100 of (b) by 1.3e-4, both
  with first weights; by 2e-6 with BN's first statistics.
"""

import keras
from keras import layers

from hub.layers.invertible import IRevBlock, Psi
from hub.registry import register

CONTRACT_SIZE = {"input_shape": (32, 32, 3), "num_classes": 10}


@register("irevnet_tiny", depths=(2, 1))
@register("irevnet_301", depths=(6, 16, 72, 6), params=125_120_356)
@register("irevnet_cifar", depths=(18, 18, 18), width=16, input_shape=(32, 32, 3), num_classes=10, params=6_274_826)
def irevnet(
    depths: tuple[int, ...],
    width: int | None = None,
    dropout: float = 0.0,
    input_shape: tuple[int | None, int | None, int] = (224, 224, 3),
    num_classes: int = 1000,
    name: str = "irevnet",
) -> keras.Model:
    """Build an i-RevNet over images [N, H, W, C] whose sides are multiples of 2 to the number of halvings.

    Args:
        depths: blocks per stage, three convolutions each; the last block of stage s is the layer `stage{s}`, whose
            output `invert` turns back into images if s is the last.
        width: None for a bijection: the map is halved before the first stage and by every stage, and its channels
            quadruple. A number for an injection: the first stage keeps the size and appends zeros to the channels up
            to 2 `width`; the later ones halve.
        dropout: rate within the blocks (the authors' code for CIFAR-10: 0.1).
        num_classes: units of the float32 layer `logits`; 0 leaves out BN, ReLU, pooling and head and returns the last
            stage's output.

    Raises:
        ValueError: the images cannot be halved that often, or have more channels than 2 `width`.
    """
    inputs = keras.Input(input_shape)
    x = inputs if width else Psi(name="psi")(inputs)
    for stage, depth in enumerate(depths, 1):
        halves = bool(stage > 1 or not width)
        filters = 2 * x.shape[-1] if halves else width
        for i in range(1, depth + 1):
            at = f"stage{stage}" if i == depth else f"stage{stage}_block{i}"
            strides, first = (2 if halves and i == 1 else 1), stage == i == 1
            x = IRevBlock(filters, strides, first, dropout=dropout, name=at)(x)
    if num_classes:
        x = layers.BatchNormalization(momentum=0.1, epsilon=1e-5, name="tail_bn")(x)
        x = layers.ReLU(name="tail_relu")(x)
        x = layers.GlobalAveragePooling2D(name="pool")(x)
        x = layers.Dense(num_classes, dtype="float32", name="logits")(x)
    return keras.Model(inputs, x, name=name)


def invert(model: keras.Model, features):
    """The images [N, H, W, C] from which `model`, an i-RevNet, computes `features` without training.

    Args:
        model: built by `irevnet`, with a head or without; in float32.
        features: output [N, h, w, D] of its last stage.

    Raises:
        ValueError: `model` has nothing to invert, or `features` is no output of its last stage.
    """
    steps = [layer for layer in model.layers if isinstance(layer, (Psi, IRevBlock))]
    if not steps or features.shape[-1] != steps[-1].output.shape[-1]:
        raise ValueError(
            "`invert` takes an i-RevNet and an output of its last stage. "
            f"Received: {model.name!r} and features of shape {tuple(features.shape)}."
        )
    for layer in reversed(steps):
        features = layer.inverse(features)
    return features

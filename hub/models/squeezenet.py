"""SqueezeNet: AlexNet's accuracy on ImageNet with fifty times fewer parameters.

Paper: Iandola et al., "SqueezeNet: AlexNet-level accuracy with 50x fewer parameters and <0.5MB model size", 2016,
  arXiv:1602.07360
Slug: squeezenet
Idea: a fire module squeezes its channels with 1x1 convolutions before few 3x3 ones, and the network pools late and
  ends in an average of class maps instead of dense layers.
Differs: as in the public checkpoints, the first convolution is not padded (109 pixels of 224, the paper's table has
  111); `squeezenet1_1` is the authors' later release, with a 3x3 first convolution and earlier pools. The bypass
  networks and the compression of section 4.2 are not built.
Checked: on the same weights, logits and stage features equal torchvision's to 1e-4 of their scale, for even and odd
  sizes (tests/parity/test_torchvision_vgg_squeezenet.py); parameters and multiply-adds are the published ones; the
  pools equal a slow loop (tests/test_vgg.py).
"""

import keras
from keras import layers

from hub.registry import register

TORCH_NAMES = (  # layer -> module of torchvision's SqueezeNet, which counts one pool before each stage
    (r"stem_conv", "features.0"),
    *((rf"stage{s}_fire{n}_(\w+)", rf"features.{s + n}.\1") for s in (1, 2, 3) for n in range(2, 10)),
    (r"logits", "classifier.1"),
)


def conv_relu(x: keras.KerasTensor, filters: int, kernel_size: int, name: str) -> keras.KerasTensor:
    x = layers.Conv2D(filters, kernel_size, padding="same", kernel_initializer="he_normal", name=name)(x)
    return layers.ReLU(name=f"{name}_relu")(x)


def fire(x: keras.KerasTensor, squeeze: int, expand: int, name: str, out: str) -> keras.KerasTensor:
    """1x1 to `squeeze` channels, then `expand` of 1x1 beside `expand` of 3x3 (fig. 1)."""
    x = conv_relu(x, squeeze, 1, f"{name}_squeeze")
    return layers.Concatenate(name=out)(
        [conv_relu(x, expand, 1, f"{name}_expand1x1"), conv_relu(x, expand, 3, f"{name}_expand3x3")]
    )


def pool(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
    """3x3 maximum at every second pixel, up to the last one: its window may reach beyond the map.

    There lie zeros, which no maximum of a ReLU notices.
    """
    x = layers.ZeroPadding2D(((0, 1), (0, 1)), name=f"{name}_pad")(x)
    return layers.MaxPooling2D(3, 2, name=name)(x)


@register("squeezenet_tiny", depths=(1, 2, 1), stem=(8, 3), width=4)
@register("squeezenet1_0", depths=(3, 4, 1), stem=(96, 7), params=1_248_424, gmacs=0.819,
    weights={"imagenet": {"url": "https://download.pytorch.org/models/squeezenet1_0-b66bff10.pth",
        "sha256": "b66bff10", "license": "bsd-3-clause"}})  # fmt: skip
@register("squeezenet1_1", depths=(2, 2, 4), stem=(64, 3), params=1_235_496, gmacs=0.349,
    weights={"imagenet": {"url": "https://download.pytorch.org/models/squeezenet1_1-b8a52dc0.pth",
        "sha256": "b8a52dc0", "license": "bsd-3-clause"}})  # fmt: skip
def squeezenet(
    depths: tuple[int, ...],
    stem: tuple[int, int],
    width: int = 16,
    dropout: float = 0.5,
    input_shape: tuple[int | None, int | None, int] = (224, 224, 3),
    num_classes: int = 1000,
    name: str = "squeezenet",
) -> keras.Model:
    """Build a SqueezeNet over images [N, H, W, C] of any size from 21 pixels; published weights expect RGB in 0..1,
    less ImageNet's mean (0.485, 0.456, 0.406), over its deviation (0.229, 0.224, 0.225).

    Args:
        depths: fire modules per stage; a pool by 2 comes before each stage, its last module is the layer `stage{s}`.
        stem: filters and kernel size of the first convolution, by 2.
        width: squeezed channels of the first two modules; every second module adds as many, and each expands to four
            times its squeezed channels of 1x1 and of 3x3.
        dropout: share of the last map that a training step leaves out.
        num_classes: class maps of the float32 convolution `logits`; the output is the average of their positive parts,
            so never below 0. With 0 the output is the last fire module's map.
    """
    inputs = keras.Input(input_shape)
    filters, kernel_size = stem
    x = layers.Conv2D(filters, kernel_size, 2, kernel_initializer="he_normal", name="stem_conv")(inputs)
    x = layers.ReLU(name="stem_relu")(x)
    number = 2  # the paper counts the first convolution as 1
    for stage, depth in enumerate(depths, 1):
        x = pool(x, f"stage{stage}_pool")
        for i in range(depth):
            squeeze, at = width * (number // 2), f"stage{stage}_fire{number}"
            x = fire(x, squeeze, 4 * squeeze, at, f"stage{stage}" if i == depth - 1 else f"{at}_out")
            number += 1
    if num_classes:
        x = layers.Dropout(dropout, name="dropout")(x)
        normal = keras.initializers.RandomNormal(stddev=0.01)
        x = layers.Conv2D(num_classes, 1, kernel_initializer=normal, dtype="float32", name="logits")(x)
        x = layers.ReLU(dtype="float32", name="logits_relu")(x)
        x = layers.GlobalAveragePooling2D(dtype="float32", name="pool")(x)
    return keras.Model(inputs, x, name=name)

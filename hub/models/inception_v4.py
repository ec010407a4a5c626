"""Inception v4: a deeper, more uniform Inception, without residual connections.

Paper: Szegedy et al., "Inception-v4, Inception-ResNet and the Impact of Residual Connections on Learning", AAAI 2017,
  arXiv:1602.07261
Slug: inception_v4
Idea: a network of the cost of Inception-ResNet-v2, whose blocks of parallel branches are the same throughout a grid,
  shows what the residual connections are worth: as good in the end, slower to train.
Differs: nothing; where the figures leave it open, as in the authors' released network. Inception-ResNet is in
  hub/models/inception_resnet.py.
Checked: on the same weights, logits and stages equal timm's to 1e-4 of their scale, at odd and even sizes
  (tests/parity/test_inception_v4_resnet.py); a block against slow loops and the sizes of the stages down to the
  smallest image (tests/test_inception_v4.py).
"""

import itertools

import keras
from keras import layers

from hub.layers.branches import branches, conv_bn
from hub.registry import register

CONTRACT_SIZE = {"input_shape": (75, 80, 3), "num_classes": 10}
TORCH_NAMES = (  # layer -> module of timm's Inception v4, which counts as we do
    (r"stem_(\d)_(conv|bn)", r"features.\1.\2"),
    (r"block([35])_branch\d_(conv|bn)", r"features.\1.conv.\2"),
    (r"block(19|20|21)_(branch[12]_\d[ab]?)_(conv|bn)", r"features.\1.\2.\3"),
    (r"block(\d+)_(branch\d)_(\d)_(conv|bn)", r"features.\1.\2.\3.\4"),
    (r"block(\d+)_(branch\d)_(conv|bn)", r"features.\1.\2.\3"),
    (r"logits", "last_linear"),
)
ROW, COLUMN = (1, 7), (7, 1)
FORK = {"a": (256, (1, 3)), "b": (256, (3, 1))}

STEM = (  # figure 3, after three convolutions
    (("max",), ((96, 3, 2, "valid"),)),
    (((64,), (96, 3, 1, "valid")), ((64,), (64, ROW), (64, COLUMN), (96, 3, 1, "valid"))),
)
HALVE_STEM = (((192, 3, 2, "valid"),), ("max",))
BLOCK_A = (  # figure 4
    ((96,),),
    ((64,), (96, 3)),
    ((64,), (96, 3), (96, 3)),
    ("average", (96,)),
)
HALVE_A = (((384, 3, 2, "valid"),), ((192,), (224, 3), (256, 3, 2, "valid")), ("max",))  # figure 7
BLOCK_B = (  # figure 5
    ((384,),),
    ((192,), (224, ROW), (256, COLUMN)),
    ((192,), (192, COLUMN), (224, ROW), (224, COLUMN), (256, ROW)),
    ("average", (128,)),
)
HALVE_B = (  # figure 8
    ((192,), (192, 3, 2, "valid")),
    ((256,), (256, ROW), (320, COLUMN), (320, 3, 2, "valid")),
    ("max",),
)
BLOCK_C = (  # figure 6
    ((256,),),
    ((384,), FORK),
    ((384,), (448, (3, 1)), (512, (1, 3)), FORK),
    ("average", (256,)),
)


@register("inception_v4_tiny", depths=(1, 1, 1), width=0.125)
@register("inception_v4", params=42_679_816, gmacs=12.28,
    weights={"imagenet": {"repo": "timm/inception_v4.tf_in1k", "file": "model.safetensors",
        "license": "apache-2.0"}})  # fmt: skip
def inception_v4(
    depths: tuple[int, int, int] = (4, 7, 3),
    width: float = 1.0,
    dropout: float = 0.2,
    input_shape: tuple[int | None, int | None, int] = (299, 299, 3),
    num_classes: int = 1000,
    name: str = "inception_v4",
) -> keras.Model:
    """Build an Inception v4 over images [N, H, W, C] of at least 75 pixels each way; published weights expect RGB in
    -1..1.

    Layers `stage1` to `stage5` are the last outputs at strides 2, 4, 8, 16 and 32; timm gives as the second feature
    the output of the block before ours.

    Args:
        depths: number of blocks A, B and C.
        width: factor of all numbers of filters but the head's; a multiple of 1 / 32.
        dropout: rate before the head.
        num_classes: units of the float32 layer `logits`; 0 leaves out pooling and head and returns the feature map.

    Raises:
        ValueError: the images are too small for the five halvings.
    """
    if min(size or 75 for size in input_shape[:2]) < 75:
        raise ValueError(f"Images need at least 75 pixels each way. Received: input_shape={input_shape}.")
    a, b, c = depths
    stages = (STEM, (HALVE_STEM, *[BLOCK_A] * a), (HALVE_A, *[BLOCK_B] * b), (HALVE_B, *[BLOCK_C] * c))
    inputs = keras.Input(input_shape)
    x = conv_bn(inputs, 32, 3, 2, "valid", width=width, name="stem_0")
    x = conv_bn(x, 32, 3, 1, "valid", width=width, name="stem_1")
    x = conv_bn(x, 64, 3, width=width, name="stem_2", out="stage1")
    places = itertools.count(3)
    for s, stage in enumerate(stages, 2):
        for left, table in zip(reversed(range(len(stage))), stage, strict=True):
            x = branches(x, table, width=width, name=f"block{next(places)}", out=None if left else f"stage{s}")
    if num_classes:
        x = layers.GlobalAveragePooling2D(name="pool")(x)
        x = layers.Dropout(dropout, name="dropout")(x)
        x = layers.Dense(num_classes, dtype="float32", name="logits")(x)
    return keras.Model(inputs, x, name=name)

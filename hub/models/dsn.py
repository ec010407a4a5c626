"""DSN: the network in network that the deeply-supervised nets train on CIFAR-10.

Paper: Lee et al., "Deeply-Supervised Nets", AISTATS 2015, arXiv:1409.5185; the network is that of Lin, Chen and Yan,
  "Network In Network", ICLR 2014, arXiv:1312.4400
Slug: deeply_supervised
Idea: three 5x5 or 3x3 convolutions, each followed by two 1x1 ones, and an average of class maps for a head; trained
  with `hub.load("deep_supervision", ...)` on its layers `stage1_conv1`, `stage2_conv1`, `stage3_conv1`, it errs 9.69 %
  on CIFAR-10 and 7.97 % with augmented images.
Differs: follows the authors' public configuration: both pools take the maximum, no ReLU behind the class maps, and the
  companions sit on the first convolution of a stage, before its ReLU. Global contrast normalisation of the images is
  left to the caller.
Checked: 966,986 parameters (arithmetic on the published layers), side of every map, pools against NumPy loops
  (tests/test_deeply_supervised.py); no independent implementation was run beside it.
"""

import keras
from keras import layers

from hub.registry import register

CONTRACT_SIZE = {"input_shape": (32, 32, 3), "num_classes": 10}


@register("dsn_tiny", filters=((8, 6), (8, 8), (8, 8)))
@register("dsn_cifar", params=966_986)
def dsn(
    filters: tuple[tuple[int, ...], ...] = ((192, 160, 96), (192, 192, 192), (192, 192)),
    kernel_sizes: tuple[int, ...] = (5, 5, 3),
    dropout: float = 0.5,
    input_shape: tuple[int | None, int | None, int] = (32, 32, 3),
    num_classes: int = 10,
    name: str = "dsn",
) -> keras.Model:
    """Build the network over images [N, H, W, C], contrast normalised.

    Args:
        filters: of the convolutions of each stage; all but a stage's first are 1x1. A 3x3 maximum by 2 and a dropout
            follow each stage but the last; `stage{s}` is the map before them.
        kernel_sizes: of each stage's first convolution, in pixels.
        dropout: rate after each pool.
        num_classes: class maps of the float32 convolution `logits`, whose average is the output; 0 leaves them out and
            returns the last stage's map.

    Raises:
        ValueError: `filters` and `kernel_sizes` are not equally long.
    """
    if len(filters) != len(kernel_sizes):
        raise ValueError(
            "`filters` and `kernel_sizes` must have one item per stage. "
            f"Received: {len(filters)} and {len(kernel_sizes)}."
        )
    start = keras.initializers.RandomNormal(stddev=0.05)
    inputs = x = keras.Input(input_shape)
    for stage, (widths, size) in enumerate(zip(filters, kernel_sizes, strict=True), 1):
        for i, width in enumerate(widths, 1):
            at, side = f"stage{stage}_conv{i}", size if i == 1 else 1
            x = layers.Conv2D(width, side, padding="same", kernel_initializer=start, name=at)(x)
            x = layers.ReLU(name=f"stage{stage}" if i == len(widths) else f"{at}_relu")(x)
        if stage < len(filters):
            x = layers.MaxPooling2D(3, 2, padding="same", name=f"stage{stage}_pool")(x)
            x = layers.Dropout(dropout, name=f"stage{stage}_dropout")(x)
    if num_classes:
        x = layers.Conv2D(num_classes, 1, kernel_initializer=start, dtype="float32", name="logits")(x)
        x = layers.GlobalAveragePooling2D(dtype="float32", name="pool")(x)
    return keras.Model(inputs, x, name=name)

"""LeNet-5: the first convolutional network in wide use, for handwritten digits; a baseline of small images.

Paper: LeCun et al., "Gradient-Based Learning Applied to Document Recognition", Proceedings of the IEEE 86(11), 1998;
  the baseline of Yang, Yu and Xu, arXiv:2502.00663
Slug: enhanced_cnn
Idea: shared weights slide over the image, subsampling follows, and all layers learn together by gradient descent.
Differs: the network as it is commonly built, with 61,706 parameters for a gray image: plain mean pooling, where the
  paper's has a trained weight and bias per map; every map of the second convolution sees all six of the first, where
  the paper connects 60 of 96 pairs; plain tanh; a dense layer for the radial basis functions at the end. The original's
  count is 60,000.
Checked: parameters are the sums of the layers, stage sizes are the paper's figure 2; with the original's connections,
  trained pools and no last layer the sum is its 60,000 (tests/test_enhanced_cnn.py).
"""

import keras
from keras import layers

from hub.registry import register

CONTRACT_SIZE = {"input_shape": (32, 32, 3), "num_classes": 10}


@register("lenet5", params=61_706)
def lenet5(input_shape: tuple[int, int, int] = (32, 32, 1), num_classes: int = 10, name: str = "lenet5") -> keras.Model:
    """Build a LeNet-5 over images [N, H, W, C] of one size, of at least 16 pixels each way; the paper pads digits of 28
    pixels to 32 and scales them to mean 0 and variance 1.

    Args:
        num_classes: units of the float32 layer `logits`; 0 leaves out the dense layers and returns the map `stage2`,
            [N, 5, 5, 16] for 32 pixels, and the images may then have any size.

    Raises:
        ValueError: images are too small, or have no fixed size and the network a head.
    """
    if (num_classes and None in input_shape) or min(size or 16 for size in input_shape[:2]) < 16:
        raise ValueError(f"LeNet-5 takes images of one size, at least 16 pixels each way. Received: {input_shape=}.")
    x = inputs = keras.Input(input_shape)
    for stage, filters in enumerate((6, 16), 1):
        x = layers.Conv2D(filters, 5, name=f"stage{stage}_conv")(x)
        x = layers.Activation("tanh", name=f"stage{stage}_tanh")(x)
        x = layers.AveragePooling2D(2, name=f"stage{stage}")(x)
    if num_classes:
        x = layers.Flatten(name="flatten")(x)
        for at, units in (("c5", 120), ("f6", 84)):
            x = layers.Dense(units, activation="tanh", name=at)(x)
        x = layers.Dense(num_classes, dtype="float32", name="logits")(x)
    return keras.Model(inputs, x, name=name)

"""CCNN: one convolutional architecture for sequences and images of any length, resolution and size.

Paper: Knigge et al., "Modelling Long Range Dependencies in ND: From Task-Specific to a General Purpose CNN", ICLR 2023,
  arXiv:2301.10540
Slug: ccnn
Idea: with kernels that are functions of the relative position, a network needs neither strides nor depth to see far,
  and the same one serves every task.
Differs: nothing in the architecture, but where hub/layers/continuous_conv.py says so; of the paper's dimensions one and
  two, without point clouds. Its penalty on the sampled kernels is part of the training and not built; its accuracies
  (CIFAR-10: 92.8 % and 95.2 %) are not repeated.
Checked: parameters of both sizes; on the same weights, logits equal those of a plain PyTorch network that crops its
  kernels (tests/parity/test_torch_irevnet_ccnn_spartan.py); a causal network ignores the future (tests/test_ccnn.py).
"""

import keras
from keras import layers

from hub.layers.continuous_conv import FlexConv
from hub.registry import register

CONTRACT_SIZE = {"input_shape": (16, 16, 3), "num_classes": 10}

sequence = {"input_shape": (784, 1), "kernel_size": None, "omega": 2976.49, "sigma": 0.075, "causal": True}


@register("ccnn_tiny", depth=1, width=8, hidden=8, kernel_size=9, omega=100.0)
@register("ccnn_4_140", params=201_042)
@register("ccnn_6_380", depth=6, width=380, hidden=64, omega=976.781, sigma=0.075, params=1_999_366)
@register("ccnn_4_140_sequence", **sequence)
@register("ccnn_6_380_sequence", **sequence, depth=6, width=380, hidden=64)
def ccnn(
    depth: int = 4,
    width: int = 140,
    hidden: int = 32,
    kernel_size: int | None = 33,
    omega: float = 4231.57,
    sigma: float = 0.75,
    causal: bool = False,
    dropout: float = 0.0,
    input_shape: tuple[int | None, ...] = (32, 32, 3),
    num_classes: int = 10,
    name: str = "ccnn",
) -> keras.Model:
    """Build a CCNN over images [N, H, W, C] or sequences [N, L, C]; rows have the paper's values for CIFAR-10 and,
    `..._sequence`, for MNIST's pixels one after the other.

    Args:
        depth: blocks; the output of the last one is the layer `stage1`, of the input's size.
        width: channels.
        hidden: width of the kernels' generators.
        kernel_size: points of each kernel each way, odd; None: the length of the sequence.
        omega: scale of the kernels' frequencies at first; differs much from task to task.
        sigma: width of the kernels' Gaussian at first, where a kernel reaches from -1 to 1.
        causal: no output of a convolution sees what follows; for sequences.
        dropout: rate at which whole channels of a block are left out while training (the paper: 0 to 0.25).
        num_classes: units of the float32 layer `logits`; 0 leaves out pooling and head and returns the normalised map.
    """
    images = len(input_shape) == 3

    def flex_conv(x: keras.KerasTensor, at: str) -> keras.KerasTensor:
        """SeparableFlexConv: a kernel for each channel, then a linear mixture of channels."""
        options = {"hidden": hidden, "omega": omega, "sigma": sigma, "causal": causal, "name": f"{at}_flex"}
        return linear(FlexConv(None, kernel_size, **options)(x), f"{at}_mix")

    def linear(x: keras.KerasTensor, at: str) -> keras.KerasTensor:
        return layers.Dense(width, kernel_initializer="he_normal", name=at)(x)

    def norm(x: keras.KerasTensor, at: str) -> keras.KerasTensor:
        return layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name=f"{at}_bn")(x)

    def gelu(x: keras.KerasTensor, at: str) -> keras.KerasTensor:
        return layers.Activation("gelu", name=f"{at}_gelu")(x)

    inputs = keras.Input(input_shape)
    x = gelu(norm(flex_conv(inputs, "stem"), "stem"), "stem")
    for i in range(1, depth + 1):
        at = f"block{i}"
        y = gelu(flex_conv(norm(x, at), at), f"{at}_1")
        if dropout:
            drop = layers.SpatialDropout2D if images else layers.SpatialDropout1D
            y = drop(dropout, name=f"{at}_dropout")(y)
        y = gelu(linear(y, f"{at}_linear"), f"{at}_2")
        x = layers.Add(name="stage1" if i == depth else f"{at}_add")([x, y])
    x = norm(x, "tail")
    if num_classes:
        pool = layers.GlobalAveragePooling2D if images else layers.GlobalAveragePooling1D
        x = pool(name="pool")(x)
        x = layers.Dense(num_classes, kernel_initializer="he_normal", dtype="float32", name="logits")(x)
    return keras.Model(inputs, x, name=name)

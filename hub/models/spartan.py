"""SpaRTAN: a light convolutional network that mixes positions at two reaches and channels as waves.

Paper: Pay, Baskaran, Loo, Wong and See, "SpaRTAN: Spatial Reinforcement Token-based Aggregation Network for Visual
  Recognition", IJCNN 2025, arXiv:2507.10999
Slug: spartan
Idea: hierarchical features need neither attention nor wide perceptrons: dilated kernels with a gate see near and far,
  and channels aggregated as waves are less redundant.
Differs: built from the authors' code for the variant T; first weights are He-normal in the fan-in. The sizes of the
  others are not published. The paper's 77.7 % on ImageNet are not repeated.
Checked: parameters and multiply-adds are the authors' code's; on the same weights, logits and stages equal a plain
  PyTorch network's (tests/parity/test_torch_irevnet_ccnn_spartan.py); sizes and drop rates (tests/test_spartan.py).
"""

import keras
from keras import layers

from hub.layers.layer_scale import LayerScale
from hub.layers.mobile_conv import conv_norm, norm
from hub.layers.spartan_mixers import c_mixer, s_mixer
from hub.layers.stochastic_depth import StochasticDepth
from hub.registry import register

CONTRACT_SIZE = {"input_shape": (32, 32, 3), "num_classes": 10}


def add_residual(
    x: keras.KerasTensor, y: keras.KerasTensor, scale: float, drop_path: float, at: str, out: str
) -> keras.KerasTensor:
    y = LayerScale(scale, name=f"{at}_scale")(y)
    if drop_path:
        y = StochasticDepth(drop_path, name=f"{at}_drop_path")(y)
    return layers.Add(name=out)([x, y])


def block(
    x: keras.KerasTensor, expansion: int, late: bool, scale: float, drop_path: float, name: str, out: str
) -> keras.KerasTensor:
    """Spatial mixer, then channel mixer, each a residual behind a normalisation over all channels and pixels.

    The kernels of `late` blocks are depthwise in the first mixer and see two waves each in the second, instead of all
    channels and one wave.
    """
    channels = x.shape[-1]
    y = layers.GroupNormalization(1, epsilon=1e-6, name=f"{name}_norm1")(x)
    y = s_mixer(y, late, f"{name}_s")
    x = add_residual(x, y, scale, drop_path, f"{name}_s", f"{name}_s_add")
    y = layers.GroupNormalization(1, epsilon=1e-6, name=f"{name}_norm2")(x)
    y = c_mixer(y, expansion, channels if late else expansion * channels, f"{name}_c")
    return add_residual(x, y, scale, drop_path, f"{name}_c", out)


@register("spartan_tiny", depths=(1, 1), layer_scale=0.1)
@register("spartan_t", depths=(3, 3, 12, 2), params=3_820_296, gmacs=0.80)
def spartan(
    depths: tuple[int, ...],
    width: int = 32,
    layer_scale: float = 1e-5,
    drop_path: float = 0.0,
    input_shape: tuple[int | None, int | None, int] = (224, 224, 3),
    num_classes: int = 1000,
    name: str = "spartan",
) -> keras.Model:
    """Build a SpaRTAN over images [N, H, W, C]; sizes are rounded up by the stem, down between stages.

    Args:
        depths: blocks per stage; stage s has `width * 2**(s - 1)` channels at 1 / 2**(s + 1) of the image's size, its
            output is the layer `stage{s}`. The later half of the stages convolves in groups.
        width: channels of the first stage, a multiple of 8.
        layer_scale: factor of every residual at first.
        drop_path: rate that the residuals' chance to be left out while training would reach one block past the last
            (the paper: 0.1); it rises linearly from 0.
        num_classes: units of the float32 layer `logits`; 0 leaves out pooling and head and returns the feature map.

    Raises:
        ValueError: `width` is no multiple of 8.
    """
    if width % 8:
        raise ValueError(f"`width` must be a multiple of 8. Received: width={width}.")
    inputs = keras.Input(input_shape)
    x = conv_norm(inputs, width // 2, 3, 2, "gelu", epsilon=1e-6, name="stem1")
    x = conv_norm(x, width, 3, 2, "gelu", epsilon=1e-6, name="stem2")
    done = 0
    for stage, depth in enumerate(depths, 1):
        late = stage > len(depths) // 2
        if stage > 1:
            at = f"down{stage - 1}"
            options = {"use_bias": False, "kernel_initializer": "he_normal", "name": f"{at}_conv"}
            x = layers.Conv2D(2 * x.shape[-1], 2, 2, **options)(x)
            x = norm(x, "silu", 0.9, 1e-6, at)
        for i in range(1, depth + 1):
            at = f"stage{stage}_block{i}"
            out = f"stage{stage}" if i == depth else f"{at}_out"
            x = block(x, 2 if late else 4, late, layer_scale, drop_path * done / sum(depths), at, out)
            done += 1
    if num_classes:
        x = layers.GlobalAveragePooling2D(name="pool")(x)
        x = layers.Dense(num_classes, dtype="float32", name="logits")(x)
    return keras.Model(inputs, x, name=name)

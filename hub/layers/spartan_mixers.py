"""SpaRTAN's mixers: one over positions, with two receptive fields; one over channels, by waves.

Paper: Pay, Baskaran, Loo, Wong and See, "SpaRTAN: Spatial Reinforcement Token-based Aggregation Network for Visual
  Recognition", IJCNN 2025, arXiv:2507.10999
Slug: spartan
Idea: channels that are superposed as waves (amplitude and phase) need fewer of them than a perceptron; near and far
  neighbours seen side by side spare the large kernels.
Differs: nothing from the authors' code but the first weights, which are He-normal in the fan-in here. In it the waves
  of the network's first half are mixed one by one, those of the second half two by two.
Checked: both layers equal slow NumPy loops and Python's complex numbers (tests/test_spartan.py).
"""

import keras
from keras import layers, ops

from hub.layers.layer_scale import LayerScale
from hub.layers.mobile_conv import norm, squeeze_excite
from hub.registry import register


@register("peak_aggregation")
@keras.saving.register_keras_serializable("hub")
class PeakAggregation(layers.Layer):
    """Add to every channel of the wave the one that the strongest channel points to.

    For inputs (x [N, H, W, C], wave [N, H, W, D]), D >= C, and j = argmax_c x at a pixel, its output is wave + wave_j.

    Raises:
        ValueError: the wave has fewer channels than x.
    """

    def build(self, input_shape):
        (*_, channels), (*_, wide) = input_shape
        if wide < channels:
            raise ValueError(f"The wave needs at least the channels of x. Received: {wide} for {channels}.")

    def call(self, inputs):
        x, wave = inputs
        channels = x.shape[-1]
        strongest = ops.one_hot(ops.top_k(x, 1)[1][..., 0], channels, dtype=wave.dtype)  # argmax does not reach phones
        return wave + ops.sum(strongest * wave[..., :channels], axis=-1, keepdims=True)

    def compute_output_shape(self, input_shape):
        return tuple(input_shape[1])


@register("complex_scale")
@keras.saving.register_keras_serializable("hub")
class ComplexScale(layers.Layer):
    """Turn and stretch pairs of channels: [N, ..., 2 K] by K learned complex numbers, normal at first.

    Channel 2k is the real part of number k, channel 2k + 1 its imaginary part.

    Raises:
        ValueError: the number of channels is odd.
    """

    def build(self, input_shape):
        if input_shape[-1] % 2:
            raise ValueError(f"Pairs of channels need an even number. Received: {input_shape[-1]}.")
        normal = keras.initializers.RandomNormal(stddev=1.0)
        self.factor = self.add_weight((input_shape[-1] // 2, 2), normal, name="factor")

    def call(self, x):
        real, imaginary = x[..., 0::2], x[..., 1::2]
        a, b = self.factor[:, 0], self.factor[:, 1]
        turned = ops.stack([a * real - b * imaginary, a * imaginary + b * real], axis=-1)
        return ops.reshape(turned, ops.shape(x))

    def compute_output_shape(self, input_shape):
        return input_shape


def pointwise(x: keras.KerasTensor, filters: int, name: str, activation: str | None = None) -> keras.KerasTensor:
    return layers.Conv2D(filters, 1, activation=activation, kernel_initializer="he_normal", name=name)(x)


def spatial(x: keras.KerasTensor, groups: int, name: str, dilation: int = 1) -> keras.KerasTensor:
    """3x3 convolution without bias that keeps the channels, in `groups`."""
    options = {"padding": "same", "dilation_rate": dilation, "use_bias": False, "name": f"{name}_conv"}
    if groups == x.shape[-1]:
        start = keras.initializers.RandomNormal(stddev=(2 / 9) ** 0.5)
        return layers.DepthwiseConv2D(3, depthwise_initializer=start, **options)(x)
    return layers.Conv2D(x.shape[-1], 3, groups=groups, kernel_initializer="he_normal", **options)(x)


def s_mixer(x: keras.KerasTensor, depthwise: bool, name: str) -> keras.KerasTensor:
    """Mix positions of [N, H, W, C], C a multiple of 8, near (3x3) and far (twice 3x3, dilated by 2)."""
    channels = x.shape[-1]
    groups = channels // 2 if depthwise else 1
    x = pointwise(x, channels // 2, f"{name}_in")
    mean = layers.GlobalAveragePooling2D(keepdims=True, name=f"{name}_mean")(x)
    detail = layers.Subtract(name=f"{name}_detail")([x, mean])
    x = layers.Add(name=f"{name}_sharp")([x, LayerScale(1e-5, name=f"{name}_gamma")(detail)])
    near = norm(spatial(x, groups, f"{name}_near"), "gelu", 0.9, 1e-6, f"{name}_near")
    far = spatial(spatial(x, groups, f"{name}_far1", 2), groups, f"{name}_far2", 2)
    far = norm(far, "gelu", 0.9, 1e-6, f"{name}_far2")
    both = [squeeze_excite(y, channels // 8, name=f"{name}_{at}_se") for y, at in ((near, "near"), (far, "far"))]
    return pointwise(layers.Concatenate(name=f"{name}_concat")(both), channels, f"{name}_out")


def c_mixer(x: keras.KerasTensor, expansion: int, groups: int, name: str) -> keras.KerasTensor:
    """Mix channels of [N, H, W, C] within `expansion * C` waves, which a 3x3 convolution in `groups` superposes."""
    channels = x.shape[-1]
    phase = pointwise(x, expansion * channels, f"{name}_theta", "gelu")
    amplitude = pointwise(x, expansion * channels, f"{name}_weight")
    wave = layers.Multiply(name=f"{name}_wave")([amplitude, phase])
    wave = PeakAggregation(name=f"{name}_peak")([x, wave])
    wave = ComplexScale(name=f"{name}_complex")(wave)
    wave = norm(spatial(wave, groups, f"{name}_mix"), "gelu", 0.9, 1e-6, f"{name}_mix")
    wave = squeeze_excite(wave, channels // 4, name=f"{name}_se")
    return pointwise(wave, channels, f"{name}_out")


def contract_example(make):
    import numpy as np

    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, 5, 4, 6)).astype("float32")
    return make(), x if make.func is ComplexScale else [x, rng.normal(size=(2, 5, 4, 12)).astype("float32")]

"""Attention read as two dynamic convolutions, with other activations than softmax between them.

Paper: Zhou, Loy and Dai, "Interpret Vision Transformers as ConvNets with Dynamic Convolutions", 2023, arXiv:2309.10713
Slug: vit_dynamic_conv
Idea: queries times keys is a 1x1 convolution whose kernels the input itself generates, softmax the activation over its
  channels, values the kernels of a second one; so the activation may be one that convolutional networks use.
Differs: the order of activation and normalisation and the missing affine part are choices made here, with the likely
  alternatives as options; the kernels of the depthwise form are read from the map's mean by a small perceptron, one of
  several forms the paper may mean. Its vision transformers are not built.
Checked: softmax equals Keras's MultiHeadAttention on the same weights; every activation equals an explicit loop over
  per-example convolutions; permuted tokens give permuted outputs; the depthwise form equals slow loops
  (tests/test_layers_sic_dynamic.py).
"""

import keras
from keras import layers, ops

from hub.registry import register


def _standardise(x):
    """Layer normalisation over the dynamic channels without weights, so that the number of tokens is free."""
    centred = x - ops.mean(x, axis=-1, keepdims=True)
    return centred / ops.sqrt(ops.mean(ops.square(centred), axis=-1, keepdims=True) + 1e-5)


ACTIVATIONS = {  # over the N channels that N tokens generate
    "softmax": lambda x: ops.softmax(x, axis=-1),
    "relu_ln": lambda x: _standardise(ops.relu(x)),
    "ln_relu": lambda x: ops.relu(_standardise(x)),
    "gelu_ln": lambda x: _standardise(ops.gelu(x, approximate=False)),
    "relu_over_n": lambda x: ops.relu(x) / x.shape[-1],
}


@register("dynamic_conv_attention", num_heads=2)
@keras.saving.register_keras_serializable("hub")
class DynamicConvAttention(layers.Layer):
    """Self-attention between tokens [N, T, C], T known, to the same shape.

    Args:
        num_heads: divides C.
        activation: "softmax"; "relu_ln", the paper's; "ln_relu", "gelu_ln", "relu_over_n".

    Raises:
        ValueError: another `activation`, or heads that do not divide the channels.
    """

    def __init__(self, num_heads: int, activation: str = "relu_ln", **kwargs):
        super().__init__(**kwargs)
        if activation not in ACTIVATIONS:
            raise ValueError(f"`activation` is one of {', '.join(ACTIVATIONS)}. Received: activation={activation!r}.")
        self.num_heads = num_heads
        self.activation = activation

    def build(self, input_shape):
        channels = input_shape[-1]
        if channels % self.num_heads:
            raise ValueError(
                f"`num_heads` must divide the channels. Received: {channels} channels, num_heads={self.num_heads}."
            )
        self.qkv = layers.Dense(3 * channels, dtype=self.dtype_policy, name="qkv")
        self.proj = layers.Dense(channels, dtype=self.dtype_policy, name="proj")
        self.qkv.build(input_shape)
        self.proj.build(input_shape)

    def call(self, x):
        tokens, channels = x.shape[1:]
        split = ops.reshape(self.qkv(x), (-1, tokens, 3, self.num_heads, channels // self.num_heads))
        query, key, value = ops.unstack(ops.transpose(split, (2, 0, 3, 1, 4)), 3)
        # first dynamic convolution: the T keys are its kernels, and T its output channels
        mixed = ops.matmul(query, ops.transpose(key, (0, 1, 3, 2))) * query.shape[-1] ** -0.5
        y = ops.matmul(ACTIVATIONS[self.activation](mixed), value)
        return self.proj(ops.reshape(ops.transpose(y, (0, 2, 1, 3)), (-1, tokens, channels)))

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "num_heads": self.num_heads, "activation": self.activation}


@register("dynamic_depthwise_conv_2d")
@keras.saving.register_keras_serializable("hub")
class DynamicDepthwiseConv2D(layers.Layer):
    """A depthwise convolution, [N, H, W, C] to the same shape, whose kernels each example generates from its means.

    Args:
        kernel_size: side of the window, odd.
        reduction: the perceptron between means and kernels has C / reduction hidden units.
    """

    def __init__(self, kernel_size: int = 3, reduction: int = 4, **kwargs):
        super().__init__(**kwargs)
        self.kernel_size = kernel_size
        self.reduction = reduction

    def build(self, input_shape):
        channels = input_shape[-1]
        hidden = max(channels // self.reduction, 1)
        own = {"dtype": self.dtype_policy}
        self.squeeze = layers.Dense(hidden, activation="gelu", **own, name="squeeze")
        self.generate = layers.Dense(channels * self.kernel_size**2, **own, name="generate")
        self.squeeze.build((None, channels))
        self.generate.build((None, hidden))

    def call(self, x):
        side, channels = self.kernel_size, x.shape[-1]
        kernel = self.generate(self.squeeze(ops.mean(x, axis=(1, 2))))
        kernel = ops.reshape(kernel, (-1, side * side, 1, 1, channels))
        edge, last = side // 2, side - 1
        x = ops.pad(x, ((0, 0), (edge, edge), (edge, edge), (0, 0)))
        taps = [(i, j) for i in range(side) for j in range(side)]
        return sum(x[:, i : i - last or None, j : j - last or None] * kernel[:, n] for n, (i, j) in enumerate(taps))

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "kernel_size": self.kernel_size, "reduction": self.reduction}


def contract_example(make):
    import numpy as np

    shape = (2, 7, 6) if make.func is DynamicConvAttention else (2, 9, 8, 6)
    return make(), np.random.default_rng(0).normal(size=shape).astype("float32")

"""Three attention modules for feature maps: self-attention, several heads of it, and CBAM.

Paper: Glattki, Kapila and Rathi, "CNNtention: Can CNNs do better with Attention?", 2024, arXiv:2412.11657; CBAM is
  Woo et al., "CBAM: Convolutional Block Attention Module", ECCV 2018, arXiv:1807.06521
Slug: cnntention
Idea: a small residual network gets one module behind each of its three groups, which lets every position see all
  others, or weighs channels and positions.
Differs: attention is normalised over the keys; the authors' code normalises over the queries. Their accuracies on
  CIFAR-10 (91.0 % without, 91.4, 91.1 and 91.3 % with) are not repeated.
Checked: equal slow NumPy loops; identities at first, but for CBAM; one unscaled head equals the plain form; parameters
  of the paper's ResNet-20 are the modules' plus the network's (tests/test_layers_adapters_attention.py).
"""

import keras
from keras import layers, ops

from hub.registry import register


@register("self_attention_2d")
@keras.saving.register_keras_serializable("hub")
class SelfAttention2D(layers.Layer):
    """x + gamma softmax(q k) v over all pixels of [N, H, W, C], sides known; q, k, v are 1x1 convolutions with bias.

    Args:
        num_heads: None for the plain form, which neither scales nor projects. Otherwise the heads, which divide C:
            each is scaled by 1 / sqrt(C / num_heads), and a 1x1 convolution follows.
        gamma_initializer: of the scalar gamma.

    Raises:
        ValueError: heads that do not divide the channels.
    """

    def __init__(self, num_heads: int | None = None, gamma_initializer="zeros", **kwargs):
        super().__init__(**kwargs)
        self.num_heads = num_heads
        self.gamma_initializer = keras.initializers.get(gamma_initializer)

    def build(self, input_shape):
        channels = input_shape[-1]
        if channels % (self.num_heads or 1):
            raise ValueError(
                f"`num_heads` must divide the channels. Received: {channels} channels, num_heads={self.num_heads}."
            )
        names = ["query", "key", "value"] + ["proj"] * bool(self.num_heads)
        self.convs = [layers.Conv2D(channels, 1, dtype=self.dtype_policy, name=name) for name in names]
        for conv in self.convs:
            conv.build(input_shape)
        self.gamma = self.add_weight(shape=(), initializer=self.gamma_initializer, name="gamma")

    def call(self, x):
        height, width, channels = x.shape[1:]
        heads = self.num_heads or 1

        def split(conv):  # [N, H, W, C] to [N, heads, H * W, C / heads]
            y = ops.reshape(conv(x), (-1, height * width, heads, channels // heads))
            return ops.transpose(y, (0, 2, 1, 3))

        query, key, value = map(split, self.convs[:3])
        scores = ops.matmul(query, ops.transpose(key, (0, 1, 3, 2)))
        if self.num_heads:
            scores = scores * (channels // heads) ** -0.5
        y = ops.matmul(ops.softmax(scores, axis=-1), value)
        y = ops.reshape(ops.transpose(y, (0, 2, 1, 3)), (-1, height, width, channels))
        if self.num_heads:
            y = self.convs[3](y)
        return x + ops.cast(self.gamma, x.dtype) * y

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {
            **super().get_config(),
            "num_heads": self.num_heads,
            "gamma_initializer": keras.initializers.serialize(self.gamma_initializer),
        }


@register("cbam")
@keras.saving.register_keras_serializable("hub")
class CBAM(layers.Layer):
    """x + x c s, [N, H, W, C] to the same shape: c weighs the channels, s, read from x c, the positions.

    Args:
        reduction: the perceptron of the channels has C / reduction hidden units, no bias.
        kernel_size: side of the window that sees the largest and the mean channel.
        residual: whether x is added, as CNNtention does; Woo et al. leave that to the block around it.
    """

    def __init__(self, reduction: int = 8, kernel_size: int = 7, residual: bool = True, **kwargs):
        super().__init__(**kwargs)
        self.reduction = reduction
        self.kernel_size = kernel_size
        self.residual = residual

    def build(self, input_shape):
        channels = input_shape[-1]
        hidden = max(channels // self.reduction, 1)
        own = {"dtype": self.dtype_policy}
        self.squeeze = layers.Dense(hidden, activation="relu", use_bias=False, **own, name="squeeze")
        self.excite = layers.Dense(channels, use_bias=False, **own, name="excite")
        self.spatial = layers.Conv2D(1, self.kernel_size, padding="same", activation="sigmoid", **own, name="spatial")
        self.squeeze.build((None, channels))
        self.excite.build((None, hidden))
        self.spatial.build((*input_shape[:-1], 2))

    def call(self, x):
        pooled = (ops.mean(x, axis=(1, 2), keepdims=True), ops.max(x, axis=(1, 2), keepdims=True))
        y = x * ops.sigmoid(sum(self.excite(self.squeeze(p)) for p in pooled))
        pooled = [ops.max(y, axis=-1, keepdims=True), ops.mean(y, axis=-1, keepdims=True)]
        y = y * self.spatial(ops.concatenate(pooled, axis=-1))
        return x + y if self.residual else y

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        names = ("reduction", "kernel_size", "residual")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}


def contract_example(make):
    import numpy as np

    x = np.random.default_rng(0).normal(size=(2, 9, 8, 6)).astype("float32")
    # at gamma = 0 the convolutions get no gradient, as the paper intends
    return (make() if make.func is CBAM else make(num_heads=2, gamma_initializer="ones")), x

"""Multi-head attention between tokens that are projected already (Vaswani et al. 2017, arXiv:1706.03762, eq. 1).

The projections stay outside, as dense layers of their own: published weights hold those of queries, keys and values in
one matrix, and a layer's weights are read by the layer's name.
"""

import keras
from keras import ops


class HeadedLayer(keras.layers.Layer):
    """What the layers below share: tokens [N, T, C] are seen as `num_heads` vectors of C / num_heads channels.

    Raises:
        ValueError: `num_heads` does not divide the channels.
    """

    def __init__(self, num_heads: int, **kwargs):
        super().__init__(**kwargs)
        self.num_heads = num_heads

    def split(self, tokens):
        """[N, T, C] to [N, T, H, C / H]."""
        channels = tokens.shape[-1]
        if channels % self.num_heads:
            raise ValueError(
                f"`num_heads` must divide the channels. Received: num_heads={self.num_heads}, {channels} channels."
            )
        return ops.reshape(tokens, (-1, tokens.shape[1], self.num_heads, channels // self.num_heads))

    def get_config(self):
        return {**super().get_config(), "num_heads": self.num_heads}


@keras.saving.register_keras_serializable("hub")
class DotProductAttention(HeadedLayer):
    """softmax(q k^T / sqrt(d)) v in each head: [q, k, v] of [N, Tq, C] and twice [N, Tk, C] to [N, Tq, C]."""

    def call(self, inputs):
        q, k, v = (self.split(tokens) for tokens in inputs)
        mixed = ops.dot_product_attention(q, k, v)
        return ops.reshape(mixed, (-1, *inputs[0].shape[1:]))

    def compute_output_shape(self, input_shape):
        return input_shape[0]


@keras.saving.register_keras_serializable("hub")
class AttentionScores(HeadedLayer):
    """q k^T / sqrt(d) in each head: [q, k] of [N, Tq, C] and [N, Tk, C] to [N, H, Tq, Tk]."""

    def call(self, inputs):
        q, k = (self.split(tokens) for tokens in inputs)
        scaled = q * q.shape[-1] ** -0.5
        return ops.matmul(ops.transpose(scaled, (0, 2, 1, 3)), ops.transpose(k, (0, 2, 3, 1)))

    def compute_output_shape(self, input_shape):
        (batch, queries, _), (_, keys, _) = input_shape
        return batch, self.num_heads, queries, keys


@keras.saving.register_keras_serializable("hub")
class AttentionValues(HeadedLayer):
    """Values weighted in each head: weights [N, H, Tq, Tk] and v [N, Tk, C] to [N, Tq, C]."""

    def call(self, inputs):
        weights, v = inputs
        mixed = ops.matmul(weights, ops.transpose(self.split(v), (0, 2, 1, 3)))
        return ops.reshape(ops.transpose(mixed, (0, 2, 1, 3)), (-1, weights.shape[2], v.shape[-1]))

    def compute_output_shape(self, input_shape):
        (batch, _, queries, _), (_, _, channels) = input_shape
        return batch, queries, channels

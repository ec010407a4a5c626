"""Talking heads: attention heads exchange what they attend to.

Paper: Shazeer et al., "Talking-Heads Attention", 2020, arXiv:2003.02436; with biases, as in Touvron et al., "Going
  deeper with Image Transformers", ICCV 2021, arXiv:2103.17239
Slug: cait
Idea: a learned linear map over the heads, before the softmax and another one after it, lets few heads act as many.
Differs: one layer is one of the two maps. It has a bias (CaiT's has, the first paper's has none); before the softmax
  the bias cancels and does not learn. As many heads come out as go in.
Checked: CaiT's blocks with it equal timm's (tests/parity/test_timm_tokens.py); equals slow NumPy loops
  (tests/test_token_networks.py).
"""

import keras
from keras import ops

from hub.registry import register


@register("talking_heads")
@keras.saving.register_keras_serializable("hub")
class TalkingHeads(keras.layers.Layer):
    """Mix the heads of attention scores or weights: [N, H, Tq, Tk] to the same shape; Tq and Tk are known."""

    def build(self, input_shape):
        heads = input_shape[1]
        self.kernel = self.add_weight((heads, heads), keras.initializers.TruncatedNormal(stddev=0.02), name="kernel")
        self.bias = self.add_weight((heads,), "zeros", name="bias")

    def call(self, inputs):
        _, heads, queries, keys = inputs.shape
        flat = ops.reshape(inputs, (-1, heads, queries * keys))
        mixed = ops.matmul(ops.transpose(self.kernel), flat) + self.bias[:, None]
        return ops.reshape(mixed, (-1, heads, queries, keys))

    def compute_output_shape(self, input_shape):
        return input_shape

"""A learned token in front of the others, which gathers what a classifier needs."""

import keras
from keras import ops


@keras.saving.register_keras_serializable("hub")
class ClassToken(keras.layers.Layer):
    """Put one learned token, the same for all examples, before the tokens: [N, T, C] to [N, 1 + T, C]."""

    def build(self, input_shape):
        initializer = keras.initializers.TruncatedNormal(stddev=0.02)
        self.bias = self.add_weight((input_shape[-1],), initializer, name="bias")

    def call(self, inputs):
        shape = (ops.shape(inputs)[0], 1, inputs.shape[-1])
        return ops.concatenate([ops.broadcast_to(self.bias, shape), inputs], axis=1)

    def compute_output_shape(self, input_shape):
        batch, tokens, channels = input_shape
        return batch, None if tokens is None else tokens + 1, channels

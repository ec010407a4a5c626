"""Class activation head: logits, and the map of evidence that each of them is the mean of.

Paper: Zhou et al., "Learning Deep Features for Discriminative Localization", CVPR 2016, arXiv:1512.04150
Slug: cam
Idea: a dense layer after average pooling is a 1 x 1 convolution before it, so one kernel answers what and where.
Differs: the maps leave as an output beside the logits, so that an exported model explains itself; the paper reads them
  from the weights afterwards.
Checked: the maps' mean plus bias is the logit; weights of a pooled dense head give its logits; equals Grad-CAM's sum
  before the positive part; the two outputs survive TFLite (tests/test_explain.py).
"""

import keras
from keras import ops

from hub.registry import register


@register("class_activation_head", units=3)
@keras.saving.register_keras_serializable("hub")
class ClassActivationHead(keras.layers.Layer):
    """Features [N, h, w, C] to logits [N, units] and maps [N, h, w, units], float32 whatever the policy.

    The mean of a map over its positions plus the unit's bias is the unit's logit. Maps have no bounds; the positive
    values speak for the unit. Weights are those of `keras.layers.Dense` after global average pooling: kernel
    [C, units], bias [units].

    Args:
        units: number of logits.
        kernel_initializer: as in `keras.layers.Dense`.
        kernel_regularizer: as in `keras.layers.Dense`.

    Raises:
        ValueError: `units` is not positive; the input is not [N, h, w, C] with known C.
    """

    def __init__(self, units: int, kernel_initializer="glorot_uniform", kernel_regularizer=None, **kwargs):
        super().__init__(**{"dtype": "float32", **kwargs})
        if units < 1:
            raise ValueError(f"`units` must be at least 1. Received: units={units}.")
        self.units = units
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)

    def build(self, input_shape):
        self.compute_output_shape(input_shape)
        self.kernel = self.add_weight(
            shape=(input_shape[-1], self.units),
            initializer=self.kernel_initializer,
            regularizer=self.kernel_regularizer,
            name="kernel",
        )
        self.bias = self.add_weight(shape=(self.units,), initializer="zeros", name="bias")

    def call(self, inputs):
        logits = ops.matmul(ops.mean(inputs, axis=(1, 2)), self.kernel) + self.bias
        kernel = ops.reshape(self.kernel, (1, 1, *self.kernel.shape))
        return logits, ops.conv(inputs, kernel, data_format="channels_last")  # eq. 2

    def compute_output_shape(self, input_shape):
        if len(input_shape) != 4 or input_shape[-1] is None:
            raise ValueError(f"A class activation head takes [N, h, w, C], C known. Received: shape {input_shape}.")
        return (input_shape[0], self.units), (*input_shape[:-1], self.units)

    def get_config(self):
        return {
            **super().get_config(),
            "units": self.units,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "kernel_regularizer": keras.regularizers.serialize(self.kernel_regularizer),
        }

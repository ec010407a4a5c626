"""Class activation head: logits, and the map of evidence that each of them is the mean of.

Paper: Zhou et al., "Learning Deep Features for Discriminative Localization", CVPR 2016, arXiv:1512.04150
Slug: cam
Idea: a dense layer after average pooling is a 1 x 1 convolution before it, so one kernel answers what and where.
Differs: the maps leave as an output beside the logits, so that an exported model explains itself; the paper reads them
  from the weights afterwards. `sharpness` pools the evidence by log-sum-exp, as Wang et al., "ChestX-ray8", CVPR 2017,
  arXiv:1705.02315, equation 1, pools features: findings of a few positions are not averaged away.
Checked: the maps' mean plus bias is the logit; weights of a pooled dense head give its logits; equals Grad-CAM's sum
  before the positive part; sharp pooling lies between mean and maximum and tends to both; the two outputs survive
  TFLite (tests/test_explain.py).
"""

import keras
from keras import ops

from hub.registry import register


@register("class_activation_head", units=3)
@keras.saving.register_keras_serializable("hub")
class ClassActivationHead(keras.layers.Layer):
    """Features [N, h, w, C] to logits [N, units] and maps [N, h, w, units], float32 whatever the policy.

    The mean of a map over its positions plus the unit's bias is the unit's logit; with a `sharpness` r above 0 it is
    log(mean(exp(r map))) / r instead of the mean, which is nearer to the largest value the larger r. Maps have no
    bounds; the positive values speak for the unit. Weights are those of `keras.layers.Dense` after global average
    pooling: kernel [C, units], bias [units].

    Args:
        units: number of logits.
        sharpness: r of the pooling, per unit of logit; 0 is the paper's mean.
        kernel_initializer: as in `keras.layers.Dense`.
        kernel_regularizer: as in `keras.layers.Dense`.

    Raises:
        ValueError: `units` is not positive or `sharpness` negative; the input is not [N, h, w, C] with known C.
    """

    def __init__(
        self, units: int, sharpness: float = 0.0, kernel_initializer="glorot_uniform", kernel_regularizer=None, **kwargs
    ):
        super().__init__(**{"dtype": "float32", **kwargs})
        if units < 1 or sharpness < 0:
            raise ValueError(
                "`units` must be at least 1 and `sharpness` not negative. "
                f"Received: units={units}, sharpness={sharpness}."
            )
        self.units = units
        self.sharpness = sharpness
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
        kernel = ops.reshape(self.kernel, (1, 1, *self.kernel.shape))
        maps = ops.conv(inputs, kernel, data_format="channels_last")  # eq. 2
        if not self.sharpness:
            return ops.matmul(ops.mean(inputs, axis=(1, 2)), self.kernel) + self.bias, maps
        scaled = self.sharpness * maps
        largest = ops.max(scaled, axis=(1, 2), keepdims=True)
        pooled = ops.log(ops.mean(ops.exp(scaled - largest), axis=(1, 2))) + largest[:, 0, 0]
        return pooled / self.sharpness + self.bias, maps

    def compute_output_shape(self, input_shape):
        if len(input_shape) != 4 or input_shape[-1] is None:
            raise ValueError(f"A class activation head takes [N, h, w, C], C known. Received: shape {input_shape}.")
        return (input_shape[0], self.units), (*input_shape[:-1], self.units)

    def get_config(self):
        return {
            **super().get_config(),
            "units": self.units,
            "sharpness": self.sharpness,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "kernel_regularizer": keras.regularizers.serialize(self.kernel_regularizer),
        }

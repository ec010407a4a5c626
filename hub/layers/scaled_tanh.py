"""Scaled hyperbolic tangent: an activation with f(1) = 1 and f(-1) = -1.

Paper: Ciresan et al., "High-Performance Neural Networks for Visual Object Classification", 2011, arXiv:1102.0183; the
  function is that of LeCun et al., "Efficient BackProp", 1998
Slug: ciresan_cnn
Idea: 1.7159 tanh(2 x / 3) bends most at the targets -1 and 1 and keeps a variance of about one from layer to layer.
Differs: nothing.
Checked: values, slope and the fixed points 1 and -1 against closed forms (tests/test_ciresan.py).
"""

import keras
from keras import ops

from hub.registry import register


@register("scaled_tanh")
@keras.saving.register_keras_serializable("hub")
class ScaledTanh(keras.layers.Layer):
    """1.7159 tanh(2 x / 3), any shape to the same shape."""

    def call(self, inputs: keras.KerasTensor) -> keras.KerasTensor:
        return 1.7159 * ops.tanh(inputs * (2 / 3))

    def compute_output_shape(self, input_shape):
        return input_shape

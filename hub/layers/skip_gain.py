"""A learned scalar on a residual, zero at first (SkipInit: De and Smith 2020, arXiv:2002.10444)."""

import keras


@keras.saving.register_keras_serializable("hub")
class SkipGain(keras.layers.Layer):
    """Multiply [N, ...] by a constant and one learned scalar; put it before the addition of a residual.

    Args:
        scale: the constant.
        initial: the scalar at first.
    """

    def __init__(self, scale: float = 1.0, initial: float = 0.0, **kwargs):
        super().__init__(**kwargs)
        self.scale = scale
        self.initial = initial

    def build(self, input_shape):
        self.gamma = self.add_weight((), keras.initializers.Constant(self.initial), name="gamma")

    def call(self, inputs):
        return inputs * (self.scale * self.gamma)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "scale": self.scale, "initial": self.initial}

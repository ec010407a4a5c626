"""LayerScale: a learned factor for each channel of a residual, small at first.

Paper: Touvron et al., "Going deeper with Image Transformers", ICCV 2021, arXiv:2103.17239
Slug: cait
Idea: blocks that start next to the identity let transformers of 36 and 48 layers train.
Differs: nothing (eq. 4).
Checked: CaiT's blocks with it equal timm's (tests/parity/test_timm_tokens.py); a factor of zero makes a network's
  blocks identities (tests/test_token_networks.py).
"""

import keras

from hub.registry import register


@register("layer_scale")
@keras.saving.register_keras_serializable("hub")
class LayerScale(keras.layers.Layer):
    """Multiply the channels of [N, ..., C] by learned factors; put it before the addition of a residual.

    Args:
        initial: factor that all channels start with (the paper: 0.1 up to 18 layers, 1e-5 up to 24, 1e-6 beyond).
    """

    def __init__(self, initial: float = 1e-5, **kwargs):
        super().__init__(**kwargs)
        self.initial = initial

    def build(self, input_shape):
        self.gamma = self.add_weight((input_shape[-1],), keras.initializers.Constant(self.initial), name="gamma")

    def call(self, inputs):
        return inputs * self.gamma

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "initial": self.initial}

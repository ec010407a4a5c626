"""IBN: one half of the channels normalised per picture, the other per batch.

Paper: Pan et al., "Two at Once: Enhancing Learning and Generalization Capacities via IBN-Net", ECCV 2018,
  arXiv:1807.09441
Slug: ibn_net
Idea: instance normalisation removes what is style (brightness, contrast, colour) and batch normalisation keeps what is
  content; shallow layers get both, deep ones batch normalisation alone.
Differs: nothing in the layer. The paper's IBN-b puts a plain instance normalisation behind a block's addition, which is
  `keras.layers.GroupNormalization(groups=-1, epsilon=1e-5)`; its variants c and d are not built.
Checked: equals slow NumPy loops in training and inference, moving statistics too; the first half ignores a picture's
  brightness and contrast, the second does not (tests/test_layers_spd_ibn_rkan.py).
"""

import keras
from keras import layers, ops

from hub.registry import register


@register("ibn")
@keras.saving.register_keras_serializable("hub")
class IBN(layers.Layer):
    """Instance and batch normalisation side by side, [N, ..., C] to the same shape, in place of a BatchNormalization.

    IBN-a puts it behind the first convolution of a residual block, in all stages but the last.

    Args:
        ratio: share of the channels, 0..1, that are normalised per picture, training or not; rounded down.
        instance_first: whether they are the first channels (ResNet) or the last (DenseNet).
        momentum: of the other channels' moving mean and variance.
        epsilon: added to every variance.

    Raises:
        ValueError: `ratio` leaves one of the two halves without a channel.
    """

    def __init__(
        self,
        ratio: float = 0.5,
        instance_first: bool = True,
        momentum: float = 0.9,
        epsilon: float = 1e-5,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.ratio = ratio
        self.instance_first = instance_first
        self.momentum = momentum
        self.epsilon = epsilon
        bare = {"epsilon": epsilon, "center": False, "scale": False, "dtype": self.dtype_policy}
        self.instance = layers.GroupNormalization(-1, **bare, name="instance")
        self.batch = layers.BatchNormalization(momentum=momentum, **bare, name="batch")

    def build(self, input_shape):
        *rest, channels = input_shape
        count = int(channels * self.ratio)
        if not 0 < count < channels:
            raise ValueError(
                f"IBN needs a channel on either side. Received: {channels} channels, ratio={self.ratio}, "
                f"which normalises {count} of them per picture."
            )
        self.cut = count if self.instance_first else channels - count
        self.instance.build((*rest, count))
        self.batch.build((*rest, channels - count))
        self.gamma = self.add_weight(shape=(channels,), initializer="ones", name="gamma")
        self.beta = self.add_weight(shape=(channels,), initializer="zeros", name="beta")

    def call(self, x, training=False):
        first, last = x[..., : self.cut], x[..., self.cut :]
        if self.instance_first:
            halves = [self.instance(first), self.batch(last, training=training)]
        else:
            halves = [self.batch(first, training=training), self.instance(last)]
        x = ops.concatenate(halves, axis=-1)
        return x * ops.cast(self.gamma, x.dtype) + ops.cast(self.beta, x.dtype)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {
            **super().get_config(),
            "ratio": self.ratio,
            "instance_first": self.instance_first,
            "momentum": self.momentum,
            "epsilon": self.epsilon,
        }

"""BNSR: batch normalisation that also reduces the skewness of each channel.

Paper: Ding, Martin and Li, "Improving Batch Normalization with Skewness Reduction for Deep Neural Networks", ICPR 2020,
  pp. 7165-7172
Slug: bnsr
Idea: channels of equal mean and variance still differ in shape; a power below one pulls in long tails, so that the
  channels become more alike.
Differs: a reconstruction from the paper's summary, which names no formula: the signed power, its exponent 0.8 and the
  second standardisation behind it are choices made here, as is the power of Yeo and Johnson (Biometrika 2000). The
  paper's accuracies on CIFAR-100 and ImageNet are not repeated.
Checked: equals Keras's BatchNormalization at power 1 and SciPy's Yeo-Johnson transform; skewness of exponential samples
  falls from 2.0 to the figures computed for each power (tests/test_layers_bnsr_align.py).
"""

import math

import keras
from keras import layers, ops

from hub.registry import register


def skewness(x, axis, keepdims: bool = False):
    """Third central moment over the deviation cubed, along `axis`; 0 for what is constant."""
    centred = x - ops.mean(x, axis=axis, keepdims=True)
    variance = ops.mean(ops.square(centred), axis=axis, keepdims=keepdims)
    third = ops.mean(centred * ops.square(centred), axis=axis, keepdims=keepdims)
    return third / ops.maximum(variance, 1e-12) ** 1.5


@register("batch_normalization_sr")
@keras.saving.register_keras_serializable("hub")
class BatchNormalizationSR(layers.Layer):
    """Standardise, bend, standardise again, scale and shift each channel of [N, ..., C], in BatchNormalization's place.

    Args:
        power: exponent of the signed power sgn(x) ((|x| + offset)**power - offset**power); below 1 it shortens tails.
        learnable: the exponent is a weight between 0.5 and 1 that starts at `power`.
        transform: "power", or "yeo_johnson" with the exponent 0.5 for channels whose moving skewness is positive, and
            1.5 for the others (`power` has no part then).
        offset: keeps the slope at 0 finite.
        renorm: standardise again after bending.
        momentum: of the moving statistics.
        epsilon: added to the variance.

    Raises:
        ValueError: another `transform`; `power` is not positive, or not between 0.5 and 1 where it is learned.
    """

    def __init__(
        self,
        power: float = 0.8,
        learnable: bool = False,
        transform: str = "power",
        offset: float = 0.01,
        renorm: bool = True,
        momentum: float = 0.99,
        epsilon: float = 1e-5,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if transform not in ("power", "yeo_johnson"):
            raise ValueError(f'`transform` is "power" or "yeo_johnson". Received: transform={transform!r}.')
        if power <= 0 or (learnable and not 0.5 < power < 1):
            raise ValueError(f"`power` must be positive, and within 0.5..1 if learned. Received: power={power}.")
        self.power = power
        self.learnable = learnable
        self.transform = transform
        self.offset = offset
        self.renorm = renorm
        self.momentum = momentum
        self.epsilon = epsilon
        bare = {"momentum": momentum, "epsilon": epsilon, "center": False, "scale": False, "dtype": "float32"}
        self.before = layers.BatchNormalization(**bare, name="before")
        self.after = layers.BatchNormalization(**bare, name="after") if renorm else None

    def build(self, input_shape):
        shape = (input_shape[-1],)
        self.before.build(input_shape)
        if self.after:
            self.after.build(input_shape)
        if self.transform == "yeo_johnson":
            self.moving_skewness = self.add_weight(
                shape=shape, initializer="zeros", trainable=False, name="moving_skewness"
            )
        elif self.learnable:  # power = 0.5 + 0.5 sigmoid(bend)
            start = keras.initializers.Constant(math.log((self.power - 0.5) / (1 - self.power)))
            self.bend = self.add_weight(shape=(), initializer=start, name="bend")
        self.gamma = self.add_weight(shape=shape, initializer="ones", name="gamma")
        self.beta = self.add_weight(shape=shape, initializer="zeros", name="beta")

    def call(self, inputs, training=False):
        x = self.before(ops.cast(inputs, "float32"), training=training)  # |x|**power underflows in 16 bits
        x = self._yeo_johnson(x, training) if self.transform == "yeo_johnson" else self._signed_power(x)
        if self.after:
            x = self.after(x, training=training)
        return ops.cast(x * self.gamma + self.beta, self.compute_dtype)

    def _signed_power(self, x):
        power = 0.5 + 0.5 * ops.sigmoid(self.bend) if self.learnable else self.power
        floor = self.offset**power if self.offset else 0.0
        return ops.sign(x) * ((ops.abs(x) + self.offset) ** power - floor)

    def _yeo_johnson(self, x, training):
        if training and self.trainable:
            now = ops.stop_gradient(skewness(x, tuple(range(len(x.shape) - 1))))
            self.moving_skewness.assign(self.moving_skewness * self.momentum + now * (1 - self.momentum))
        right = ops.cast(ops.convert_to_tensor(self.moving_skewness) > 0, "float32")
        up, down = ops.maximum(x, 0.0), ops.maximum(-x, 0.0)

        # exponent 0.5: ((x+1)**e - 1) / e above 0, -((1-x)**(2-e) - 1) / (2-e) below; exponent 1.5: the mirror image
        def root(v):
            return 2 * (ops.sqrt(v + 1) - 1)

        def rise(v):
            return ((v + 1) ** 1.5 - 1) / 1.5

        return right * (root(up) - rise(down)) + (1 - right) * (rise(up) - root(down))

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        names = ("power", "learnable", "transform", "offset", "renorm", "momentum", "epsilon")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}

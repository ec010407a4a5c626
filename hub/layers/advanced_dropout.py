"""Advanced dropout: a soft mask whose distribution the network learns.

Paper: Xie et al., "Advanced Dropout: A Model-free Methodology for Bayesian Dropout Optimization", IEEE TPAMI 2021,
  arXiv:2010.05244
Slug: advanced_dropout
Idea: the logit of the mask is normal; its mean and deviation are predicted from the batch and trained by the ordinary
  loss through the reparameterised draw, so no dropout rate has to be chosen.
Differs: nothing for vectors, but pi where the authors' code has 3.14. For feature maps, which the paper does not treat,
  mean and deviation are read from the channels' means and every element draws for itself.
Checked: equals the equations in NumPy on the same draws; mean of mask and output over many draws; nothing flows through
  the divisor; identity in inference (tests/test_layers_dropout_heads.py).
"""

import math

import keras
from keras import ops

from hub.registry import register


class UniformHundredth(keras.initializers.Initializer):
    """Uniform in 0..0.01."""

    def __call__(self, shape, dtype=None):
        return keras.random.uniform(shape, 0.0, 0.01, dtype=dtype)


@register("advanced_dropout", reduction=3)
@keras.saving.register_keras_serializable("hub")
class AdvancedDropout(keras.layers.Layer):
    """Multiply [N, ..., C] by a soft random mask of expectation 1 while training; the identity otherwise.

    The mask is sigmoid(mu + sigma e) / E with e standard normal per element and E the mask's expected value; mu and
    sigma are two numbers that the whole batch shares, so in training the examples see each other.

    Args:
        reduction: C / reduction hidden units predict mu and sigma.
        init_mu, init_sigma: their biases at first; sigma's goes through softplus, so 1.2 starts it at about 1.46.
        seed: of the draws; None takes the global one.

    Raises:
        ValueError: `init_sigma` is not positive.
    """

    def __init__(
        self,
        reduction: int = 16,
        init_mu: float = 0.0,
        init_sigma: float = 1.2,
        seed: int | None = None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if init_sigma <= 0:
            raise ValueError(f"`init_sigma` must be positive. Received: init_sigma={init_sigma}.")
        self.reduction = reduction
        self.init_mu = init_mu
        self.init_sigma = init_sigma
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)

    def build(self, input_shape):
        channels = input_shape[-1]
        hidden = max(channels // self.reduction, 1)

        def add(shape, start, name):
            return self.add_weight(shape=shape, initializer=start, name=name, dtype="float32")

        constant = keras.initializers.Constant
        self.hidden_kernel = add((channels, hidden), UniformHundredth(), "hidden_kernel")
        self.hidden_bias = add((), UniformHundredth(), "hidden_bias")
        self.mu_kernel = add((hidden,), UniformHundredth(), "mu_kernel")
        self.mu_bias = add((), constant(self.init_mu), "mu_bias")
        self.sigma_kernel = add((hidden,), UniformHundredth(), "sigma_kernel")
        self.sigma_bias = add((), constant(self.init_sigma), "sigma_bias")

    def moments(self, inputs):
        """mu and sigma, two float32 scalars, that the batch `inputs` gives rise to."""
        x = ops.cast(inputs, "float32")
        if len(x.shape) > 2:
            x = ops.mean(x, axis=tuple(range(1, len(x.shape) - 1)))
        h = ops.matmul(x, self.hidden_kernel) + self.hidden_bias
        mu = ops.mean(ops.sum(h * self.mu_kernel, axis=-1) + self.mu_bias)
        sigma = ops.mean(ops.softplus(ops.sum(h * self.sigma_kernel, axis=-1) + self.sigma_bias))
        return mu, sigma

    def keep_rate(self, inputs):
        """Expected value of the mask before it is divided by it, 0..1 (the probit approximation of the paper)."""
        mu, sigma = self.moments(inputs)
        return ops.sigmoid(mu / ops.sqrt(1 + math.pi / 8 * ops.square(sigma)))

    def call(self, inputs, training=False):
        if not training:
            return inputs
        mu, sigma = self.moments(inputs)
        draws = keras.random.normal(ops.shape(inputs), dtype="float32", seed=self.seed_generator)
        mask = ops.sigmoid(mu + sigma * draws) / ops.stop_gradient(self.keep_rate(inputs))
        return inputs * ops.cast(mask, inputs.dtype)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        names = ("reduction", "init_mu", "init_sigma", "seed")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}

"""MAGNet: a small network that generates convolution kernels from coordinates.

Paper: Knigge et al., "Modelling Long Range Dependencies in ND: From Task-Specific to a General Purpose CNN", ICLR 2023,
  arXiv:2301.10540
Slug: ccnn
Idea: products of anisotropic Gabor filters have any frequency at any place, so that a continuous function of the
  position can be what a table of weights was.
Differs: nothing (section 3.2; the scales of the first weights are those of the authors' code).
Checked: equals slow NumPy loops point by point in 1, 2 and 3 dimensions; the distributions of its first weights
  (tests/test_ccnn.py).
"""

import math

import keras
import numpy as np
from keras import layers, ops

from hub.registry import register


@register("magnet", units=5)
@keras.saving.register_keras_serializable("hub")
class MAGNet(layers.Layer):
    """Multiplicative anisotropic Gabor network: coordinates [..., D] in -1..1 to values [..., units] (section 3.2).

    With g_l(x) = exp(-|gamma_l (x - mu_l)|**2 / 2) sin(W_l x + b_l), h_0 = g_0 and h_l = g_l (A_l h_(l-1) + a_l), the
    values are linear in h_depth.

    Args:
        units: number of values.
        hidden: width of every h.
        depth: how many h follow on h_0.
        omega: scale of the frequencies W at first; thousands, so compute in float32.
        spread: the windows' centres lie within -spread..spread at first; causal: within 1 - spread..1.
        gain: the variance of the last linear layer is this over its width.
    """

    def __init__(
        self,
        units: int,
        hidden: int = 32,
        depth: int = 3,
        omega: float = 1000.0,
        spread: float = 1.0,
        gain: float = 1.0,
        causal: bool = False,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.units = units
        self.hidden = hidden
        self.depth = depth
        self.omega = omega
        self.spread = spread
        self.gain = gain
        self.causal = causal

    def build(self, input_shape):
        dimensions, filters = input_shape[-1], (self.depth + 1, self.hidden, input_shape[-1])
        uniform, full = keras.initializers.RandomUniform, math.sqrt(3 / self.hidden)
        low = 1 - self.spread if self.causal else -self.spread
        edge = 2 * math.pi * self.omega / math.sqrt(dimensions)
        alpha = np.array([6 / (layer + 1) for layer in range(self.depth + 1)], "float32")[:, None, None]

        def gamma(shape, dtype=None):
            return keras.random.gamma(shape, np.broadcast_to(alpha, shape), dtype=dtype)

        def frequency(shape, dtype=None):
            return keras.random.uniform(shape, -edge, edge, dtype=dtype) * ops.convert_to_tensor(self.gamma)

        self.mu = self.add_weight(filters, uniform(low, 1 if self.causal else self.spread), name="mu")
        self.gamma = self.add_weight(filters, gamma, name="gamma")
        self.frequency = self.add_weight(filters, frequency, name="frequency")
        self.phase = self.add_weight(filters[:2], "zeros", name="phase")
        square = (self.depth, self.hidden, self.hidden)
        self.linear = self.add_weight(square, uniform(-full, full), name="linear")
        self.linear_bias = self.add_weight(square[:2], "ones", name="linear_bias")
        last = full * math.sqrt(self.gain)
        self.output_kernel = self.add_weight((self.hidden, self.units), uniform(-last, last), name="output_kernel")
        self.output_bias = self.add_weight((self.units,), "zeros", name="output_bias")

    def call(self, x):
        # products, not a matrix product: accelerators would round phases of thousands of radians to 10 bits
        columns = [x[..., d : d + 1] for d in range(x.shape[-1])]
        mu, gamma, frequency = (ops.reshape(w, (-1, w.shape[-1])) for w in (self.mu, self.gamma, self.frequency))
        distance = sum(ops.square(gamma[:, d] * (t - mu[:, d])) for d, t in enumerate(columns))
        phase = sum(frequency[:, d] * t for d, t in enumerate(columns)) + ops.reshape(self.phase, (-1,))
        filters = ops.split(ops.exp(-0.5 * distance) * ops.sin(phase), self.depth + 1, axis=-1)
        h = filters[0]
        for layer in range(self.depth):
            h = filters[layer + 1] * (ops.matmul(h, self.linear[layer]) + self.linear_bias[layer])
        return ops.matmul(h, self.output_kernel) + self.output_bias

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.units)

    def get_config(self):
        names = ("units", "hidden", "depth", "omega", "spread", "gain", "causal")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}


def contract_example(make):
    return make(), np.random.default_rng(0).uniform(-1, 1, size=(2, 7, 2)).astype("float32")

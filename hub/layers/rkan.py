"""RKAN: a residual branch of polynomial convolutions around a whole stage.

Paper: Yu, Wu and Gui, "Residual Kolmogorov-Arnold Network for Enhanced Deep Learning", arXiv:2410.05500 (2024)
Slug: rkan
Idea: a narrow branch whose convolution learns a polynomial of every pixel, added to a stage's output, gives a common
  network non-linearities of its own at little cost.
Differs: follows the authors' later code: SiLU behind both 1x1 convolutions, half the channels within. Of its bases the
  three orthogonal families that need no further constant are here; Jacobi, radial and spline bases are not.
Checked: equals slow loops for every basis, stride and odd size; T_n(cos a) = cos(n a); without the polynomial it is a
  tied depthwise convolution; adds the authors' parameters to ResNet-18 and 50 (tests/test_layers_spd_ibn_rkan.py).
"""

import keras
from keras import layers, ops

from hub.registry import register

NEXT = {  # (t, p_n-1, p_n-2, n) -> p_n; p_0 = 1, p_1 = t, for Hermite 2t
    "chebyshev": lambda t, last, before, n: 2 * t * last - before,
    "legendre": lambda t, last, before, n: ((2 * n - 1) * t * last - (n - 1) * before) / n,
    "hermite": lambda t, last, before, n: 2 * t * last - 2 * (n - 1) * before,
}


def polynomials(t, basis: str, degree: int) -> list:
    """p_0(t) ... p_degree(t) of one of the families in `NEXT`, each of the shape of `t`."""
    found = [ops.ones_like(t), 2 * t if basis == "hermite" else t]
    for n in range(2, degree + 1):
        found.append(NEXT[basis](t, found[-1], found[-2], n))
    return found[: degree + 1]


@register("kan_conv_2d", strides=2)
@keras.saving.register_keras_serializable("hub")
class KANConv2D(layers.Layer):
    """One learned function of a window, the same for every channel: [N, H, W, C] to [N, ceil(H / s), ceil(W / s), C].

    With u_i the pixels of a window, padded by zeros, the result is sum_i b_i u_i + s_i sum_n w_in p_n(tanh u_i).

    Args:
        kernel_size: side of the window, odd.
        strides: step between windows.
        degree: highest degree of the polynomials.
        basis: "chebyshev", "legendre" or "hermite".
        linear: whether the linear term b has a part.

    Raises:
        ValueError: an even window, a negative degree or another basis.
    """

    def __init__(
        self,
        kernel_size: int = 3,
        strides: int = 1,
        degree: int = 3,
        basis: str = "chebyshev",
        linear: bool = True,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if kernel_size % 2 == 0 or degree < 0 or basis not in NEXT:
            raise ValueError(
                f"KANConv2D takes an odd `kernel_size`, a `degree` of 0 or more and a `basis` of {', '.join(NEXT)}. "
                f"Received: kernel_size={kernel_size}, degree={degree}, basis={basis!r}."
            )
        self.kernel_size = kernel_size
        self.strides = strides
        self.degree = degree
        self.basis = basis
        self.linear = linear

    def build(self, input_shape):
        side, terms = self.kernel_size, self.degree + 1
        normal = keras.initializers.RandomNormal(stddev=(side**2 * terms) ** -0.5)
        self.coefficients = self.add_weight(shape=(side, side, terms), initializer=normal, name="coefficients")
        self.scale = self.add_weight(shape=(side, side), initializer="ones", name="scale")
        if self.linear:
            he = keras.initializers.RandomNormal(stddev=(2 / side**2) ** 0.5)
            self.kernel = self.add_weight(shape=(side, side), initializer=he, name="kernel")

    def call(self, x):
        edge = self.kernel_size // 2
        x = ops.pad(x, ((0, 0), (edge, edge), (edge, edge), (0, 0)))
        maps = polynomials(ops.tanh(x), self.basis, self.degree)  # padded first: p_0 and p_2 of zero are not zero
        weights = self.coefficients * self.scale[..., None]
        kernels = [weights[..., n] for n in range(self.degree + 1)]
        if self.linear:
            maps, kernels = [*maps, x], [*kernels, self.kernel]
        return sum(self._tied(m, k) for m, k in zip(maps, kernels, strict=True))

    def _tied(self, x, kernel):
        kernel = ops.repeat(ops.cast(kernel, x.dtype)[:, :, None, None], x.shape[-1], axis=2)
        return ops.depthwise_conv(x, kernel, self.strides, "valid", "channels_last")

    def compute_output_shape(self, input_shape):
        n, height, width, channels = input_shape
        return (n, height and -(-height // self.strides), width and -(-width // self.strides), channels)

    def get_config(self):
        names = ("kernel_size", "strides", "degree", "basis", "linear")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}


@register("rkan_block")
@keras.saving.register_keras_serializable("hub")
class RKANBlock(layers.Layer):
    """Add the branch to a stage: (input [N, H, W, C], output [N, H', W', D]) of the stage to [N, H', W', D].

    Args:
        strides: by how much the stage shrinks the map.
        reduction: the branch has C / reduction channels.
        last: whether the stage is the network's last, whose branch ends in a second, quadratic KANConv2D.
        mechanism: how branch r meets output y: "addition" y + r, "gating" y g + r (1 - g) with g = sigmoid(conv(r)),
            or "se" y + squeeze-and-excite(r).

    Raises:
        ValueError: another `mechanism`.
    """

    def __init__(self, strides: int = 2, reduction: int = 2, last: bool = True, mechanism: str = "addition", **kwargs):
        super().__init__(**kwargs)
        if mechanism not in ("addition", "gating", "se"):
            raise ValueError(f'`mechanism` is "addition", "gating" or "se". Received: mechanism={mechanism!r}.')
        self.strides = strides
        self.reduction = reduction
        self.last = last
        self.mechanism = mechanism

    def build(self, input_shape):
        (*_, narrow), (*_, wide) = input_shape
        he = {"kernel_initializer": "he_normal", "dtype": self.dtype_policy}
        norm = {"momentum": 0.9, "epsilon": 1e-5, "dtype": self.dtype_policy}
        self.branch = [
            layers.Conv2D(narrow // self.reduction, 1, activation="silu", use_bias=False, **he, name="reduce"),
            KANConv2D(strides=self.strides, dtype=self.dtype_policy, name="kan1"),
            layers.BatchNormalization(**norm, name="bn1"),
            layers.Conv2D(wide, 1, activation="silu", use_bias=False, **he, name="expand"),
            *([KANConv2D(degree=2, dtype=self.dtype_policy, name="kan2")] if self.last else []),
            layers.BatchNormalization(**norm, name="bn2"),
        ]
        self.gate = []
        if self.mechanism == "gating":
            self.gate = [layers.Conv2D(wide, 1, activation="sigmoid", dtype=self.dtype_policy, name="gate")]
        elif self.mechanism == "se":
            self.gate = [
                layers.GlobalAveragePooling2D(keepdims=True, dtype=self.dtype_policy),
                layers.Conv2D(max(wide // 16, 1), 1, activation="relu", use_bias=False, **he, name="squeeze"),
                layers.Conv2D(wide, 1, activation="sigmoid", use_bias=False, dtype=self.dtype_policy, name="excite"),
            ]
        shape = input_shape[0]
        for layer in self.branch:
            layer.build(shape)
            shape = layer.compute_output_shape(shape)
        for layer in self.gate:
            layer.build(shape)
            shape = layer.compute_output_shape(shape)

    def call(self, inputs, training=False):
        residual, y = inputs
        for layer in self.branch:
            normal = isinstance(layer, layers.BatchNormalization)
            residual = layer(residual, training=training) if normal else layer(residual)
        gate = residual
        for layer in self.gate:
            gate = layer(gate)
        if self.mechanism == "gating":
            return y * gate + residual * (1 - gate)
        return y + (residual * gate if self.mechanism == "se" else residual)

    def compute_output_shape(self, input_shape):
        return tuple(input_shape[1])

    def get_config(self):
        names = ("strides", "reduction", "last", "mechanism")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}


def contract_example(make):
    import numpy as np

    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, 9, 8, 6)).astype("float32")
    return make(), x if make.func is KANConv2D else [x, rng.normal(size=(2, 5, 4, 12)).astype("float32")]

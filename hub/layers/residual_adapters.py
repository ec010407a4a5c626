"""Residual adapters: small convolutions and normalisations of their own for each domain of a shared network.

Paper: Rebuffi, Bilen and Vedaldi, "Learning multiple visual domains with residual adapters", NeurIPS 2017,
  arXiv:1705.08045; in parallel: "Efficient parametrization of multi-domain deep neural networks", CVPR 2018,
  arXiv:1803.10082
Slug: residual_adapters
Idea: a 1x1 convolution beside or behind each 3x3 one, and its batch normalisation, are all that a new domain trains;
  the rest is shared and frozen, so that nothing already learned is forgotten.
Differs: a domain is chosen by a number in the call, `layer(x, domain=1)`, fixed when the graph is built: one model per
  domain over shared layers. The paper's dropout and decathlon score are not part of it.
Checked: equal slow NumPy loops; a network of 26 layers has the parameters of the authors' code with either kind and
  with normalisation alone; training one domain leaves the other's outputs bit for bit as they were
  (tests/test_layers_adapters_attention.py).
"""

import keras
from keras import layers, ops

from hub.registry import register


class PerDomain(layers.Layer):
    """Something of which every domain has its own; `domains` counts them."""

    def __init__(self, domains: int = 1, **kwargs):
        super().__init__(**kwargs)
        if domains < 1:
            raise ValueError(f"`domains` must be at least 1. Received: domains={domains}.")
        self.domains = domains

    def pick(self, members: list, domain: int):
        if not 0 <= domain < self.domains:
            raise ValueError(f"`domain` must lie in 0..{self.domains - 1}. Received: domain={domain!r}.")
        return members[domain]

    def get_config(self):
        return {**super().get_config(), "domains": self.domains}


@register("domain_batch_normalization")
@keras.saving.register_keras_serializable("hub")
class DomainBatchNormalization(PerDomain):
    """Batch normalisation with weights and statistics of its own per domain, [N, ..., C] to the same shape.

    Args:
        domains: how many.
        momentum: of the moving statistics.
        epsilon: added to the variance.

    Raises:
        ValueError: no domain, or a call for one that is not there.
    """

    def __init__(self, domains: int = 1, momentum: float = 0.9, epsilon: float = 1e-5, **kwargs):
        super().__init__(domains, **kwargs)
        self.momentum = momentum
        self.epsilon = epsilon
        self.norms = [
            layers.BatchNormalization(momentum=momentum, epsilon=epsilon, dtype=self.dtype_policy, name=f"domain{d}")
            for d in range(domains)
        ]

    def build(self, input_shape):
        for norm in self.norms:
            norm.build(input_shape)

    def call(self, x, domain=0, training=False):
        return self.pick(self.norms, domain)(x, training=training)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "momentum": self.momentum, "epsilon": self.epsilon}


@register("residual_adapter")
@keras.saving.register_keras_serializable("hub")
class ResidualAdapter(PerDomain):
    """A 1x1 convolution per domain, in series behind a shared one or parallel to it; put `domain` into the call.

    In series it maps the convolution's output z, [N, H, W, C], to z + W norm(z) of the same shape (2017, eq. 2). In
    parallel it maps the convolution's input x, [N, H, W, C], to W x, [N, ceil(H / strides), ceil(W / strides),
    filters], to be added to the convolution's output. A `DomainBatchNormalization` follows either.

    Args:
        mode: "series" or "parallel".
        filters, strides: of the convolution it is parallel to.
        domains: how many.
        kernel_initializer: of W; "zeros" starts a new domain with a network that has no adapter.

    Raises:
        ValueError: another `mode`; "parallel" without `filters`, "series" with them or with strides.
    """

    def __init__(
        self,
        mode: str = "series",
        filters: int | None = None,
        strides: int = 1,
        domains: int = 1,
        kernel_initializer="he_normal",
        **kwargs,
    ):
        super().__init__(domains, **kwargs)
        parallel = mode == "parallel" and filters
        if not parallel and (mode != "series" or filters or strides != 1):
            raise ValueError(
                '`mode` is "series" without filters and strides, or "parallel" with `filters`. '
                f"Received: mode={mode!r}, filters={filters}, strides={strides}."
            )
        self.mode = mode
        self.filters = filters
        self.strides = strides
        self.kernel_initializer = keras.initializers.get(kernel_initializer)

    def build(self, input_shape):
        channels = input_shape[-1]
        each = {"use_bias": False, "dtype": self.dtype_policy}
        self.convs, self.norms = [], []
        for d in range(self.domains):
            draw = self.kernel_initializer.clone()  # an initializer repeats itself when called twice
            conv = layers.Conv2D(
                self.filters or channels, 1, self.strides, kernel_initializer=draw, **each, name=f"conv{d}"
            )
            conv.build(input_shape)
            self.convs.append(conv)
            if self.mode == "series":
                norm = layers.BatchNormalization(momentum=0.9, epsilon=1e-5, dtype=self.dtype_policy, name=f"norm{d}")
                norm.build(input_shape)
                self.norms.append(norm)

    def call(self, x, domain=0, training=False):
        conv = self.pick(self.convs, domain)
        if self.mode == "parallel":
            return conv(x)
        return ops.add(x, conv(self.norms[domain](x, training=training)))

    def compute_output_shape(self, input_shape):
        n, height, width, channels = input_shape
        return (n, height and -(-height // self.strides), width and -(-width // self.strides), self.filters or channels)

    def get_config(self):
        return {
            **super().get_config(),
            "mode": self.mode,
            "filters": self.filters,
            "strides": self.strides,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
        }


def train_only(model: keras.Model, domain: int) -> None:
    """Freeze all of `model` but what belongs to `domain`, and the layer `logits`; call it before `compile`.

    Frozen normalisations use their moving statistics in training too, so nothing of another domain moves.
    """
    for layer in model.layers:
        layer.trainable = isinstance(layer, PerDomain) or layer.name == "logits"
        if isinstance(layer, PerDomain):
            for members in (getattr(layer, "norms", []), getattr(layer, "convs", [])):
                for d, member in enumerate(members):
                    member.trainable = d == domain

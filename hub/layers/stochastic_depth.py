"""Stochastic depth: the residual of a block is left out at random while training.

Paper: Huang et al., "Deep Networks with Stochastic Depth", ECCV 2016, arXiv:1603.09382
Slug: stochastic_depth
Idea: a network that is short in expectation while it trains and deep when it is used: gradients have shorter ways, and
  the blocks cannot lean on each other.
Differs: by default each example draws for itself and what survives is divided by its probability, as EfficientNet and
  timm do; the paper draws once per batch and multiplies by the probability when testing (`mode="batch"`,
  `inverted=False`). A residual is computed before it is left out, so no time is saved. `resnet110_sd` is the paper's
  network of 110 layers with the row convention; its error rates are not repeated.
Checked: means and variances of both modes and conventions over many draws, rates 0 and 1, gradients, seeds, the
  expected depth of the paper's 110-layer network (tests/test_stochastic_depth.py); EfficientNet takes it.
"""

import keras
from keras import ops

from hub.registry import register


def linear_decay(blocks: int, last: float, first: float | None = None) -> tuple[float, ...]:
    """Drop rates of `blocks` residual blocks that rise linearly to `last`, each in 0..1 (eq. 4).

    The paper's first block has `last / blocks`, which is the default; `first=0` spares it, as in vision transformers.

    Raises:
        ValueError: there are no blocks, or a rate lies outside 0..1.
    """
    if blocks < 1 or not 0 <= last <= 1 or not 0 <= (first or 0) <= 1:
        raise ValueError(
            "`linear_decay` needs at least 1 block and rates within 0..1. "
            f"Received: blocks={blocks}, last={last}, first={first}."
        )
    first = last / blocks if first is None else first
    return tuple(last - (last - first) * (blocks - i) / max(blocks - 1, 1) for i in range(1, blocks + 1))


@register("stochastic_depth", rate=0.2)
@keras.saving.register_keras_serializable("hub")
class StochasticDepth(keras.layers.Layer):
    """A residual [N, ...], dropped whole at random while training; the shape stays. Put it before the addition.

    Args:
        rate: probability of being dropped, 0..1.
        mode: "row" drops examples one by one, "batch" all of them together.
        inverted: survivors are divided by `1 - rate`, so that inference changes nothing; otherwise they stay as they
            are and inference multiplies by `1 - rate`.
        seed: of the draws; None takes the global one.

    Raises:
        ValueError: `rate` lies outside 0..1; `mode` is neither "row" nor "batch".
    """

    def __init__(self, rate: float, mode: str = "row", inverted: bool = True, seed: int | None = None, **kwargs):
        super().__init__(**kwargs)
        if not 0 <= rate <= 1:
            raise ValueError(f"`rate` must lie within 0..1. Received: rate={rate}.")
        if mode not in ("row", "batch"):
            raise ValueError(f'`mode` must be "row" or "batch". Received: mode={mode!r}.')
        self.rate = rate
        self.mode = mode
        self.inverted = inverted
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)

    def call(self, inputs, training=False):
        survival = 1 - self.rate
        if not training:
            return inputs if self.inverted else survival * inputs
        draws = ops.shape(inputs)[0] if self.mode == "row" else 1
        shape = (draws, *[1] * (len(inputs.shape) - 1))
        # float32 whatever the policy: 16 bits would round the probability
        kept = keras.random.uniform(shape, dtype="float32", seed=self.seed_generator) < survival
        return ops.where(kept, inputs / survival if self.inverted and survival else inputs, ops.zeros_like(inputs))

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {
            **super().get_config(),
            "rate": self.rate,
            "mode": self.mode,
            "inverted": self.inverted,
            "seed": self.seed,
        }

"""Dynamic paths: a controller that switches the branches of residual blocks on or off for each image.

Paper: Su et al., "Dynamic Multi-Path Neural Network", ICPR 2020, arXiv:1902.10949
Slug: dmnn
Idea: which parts of a network an image needs depends on the image; one recurrent controller looks at every block's
  input, remembers what it decided before, and pays for what it uses.
Differs: a reconstruction; of the paper only the outline is at hand. Widths, the straight-through Gumbel draw, the
  squared distance from the target cost and their values are choices made here.
Checked: share of draws that are on, gradient of the draw, inference without chance, cost and penalty in closed form
  (tests/test_dmnn.py).
"""

import keras
from keras import layers, ops

from hub.registry import register


@register("path_controller", paths=2)
@keras.saving.register_keras_serializable("hub")
class PathController(layers.Layer):
    """(summary [N, D], state [N, units]) to (gates [N, paths] of 0 or 1, the next state).

    Used once per block with the same weights, it is a GRU over the depth of the network; a summary alone starts it, at
    a state of zeros. Gates are drawn while training (Gumbel's way, with the gradient of the softmax at temperature
    `tau`); in inference a path is on where that is the likelier.

    Args:
        paths: number of gates.
        units: width of the state.
        tau: temperature of the gradient, above 0.
        bias: how much likelier, in logits, a path is on than off at first.
        seed: of the draws; None takes the global one.

    Raises:
        ValueError: a count or the temperature is not positive.
    """

    def __init__(
        self, paths: int, units: int = 32, tau: float = 1.0, bias: float = 1.0, seed: int | None = None, **kwargs
    ):
        super().__init__(**kwargs)
        if min(paths, units, tau) <= 0:
            raise ValueError(
                "PathController takes positive `paths`, `units` and `tau`. "
                f"Received: paths={paths}, units={units}, tau={tau}."
            )
        self.paths = paths
        self.units = units
        self.tau = tau
        self.bias = bias
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)
        self.cell = layers.GRUCell(units, dtype=self.dtype_policy, name="cell")
        self.decide = layers.Dense(
            paths, bias_initializer=keras.initializers.Constant(bias), dtype=self.dtype_policy, name="decide"
        )

    def build(self, input_shape):
        pair = isinstance(input_shape[0], tuple | list)
        self.cell.build(input_shape[0] if pair else input_shape)
        self.decide.build((None, self.units))

    def call(self, inputs, training=False):
        if isinstance(inputs, tuple | list):
            summary, state = inputs
        else:
            summary, state = inputs, ops.zeros((ops.shape(inputs)[0], self.units), self.compute_dtype)
        _, (state,) = self.cell(summary, [state])
        # on against off: the difference of two logits, and of two Gumbel draws, which is logistic
        score = ops.cast(self.decide(state), "float32")
        if training:
            draw = keras.random.uniform(ops.shape(score), 1e-6, 1 - 1e-6, dtype="float32", seed=self.seed_generator)
            score = score + ops.log(draw) - ops.log(1 - draw)
        hard = ops.cast(score > 0, "float32")
        if training:
            soft = ops.sigmoid(score / self.tau)
            hard = soft + ops.stop_gradient(hard - soft)
        return ops.cast(hard, self.compute_dtype), state

    def compute_output_shape(self, input_shape):
        batch = input_shape[0][0] if isinstance(input_shape[0], tuple | list) else input_shape[0]
        return (batch, self.paths), (batch, self.units)

    def get_config(self):
        names = ("paths", "units", "tau", "bias", "seed")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}


@register("gated_sum")
@keras.saving.register_keras_serializable("hub")
class GatedSum(layers.Layer):
    """(gates [N, paths], one branch [N, H, W, C] per path) to the sum of each branch times its gate."""

    def call(self, inputs):
        gates, *branches = inputs
        return sum(gates[:, i, None, None, None] * branch for i, branch in enumerate(branches))

    def compute_output_shape(self, input_shape):
        return input_shape[1]


@register("path_budget", costs=((3.0, 1.0),), target=0.6)
@keras.saving.register_keras_serializable("hub")
class PathBudget(layers.Layer):
    """(x, one tensor of gates [N, paths] per block) to x; while training, weight * (mean share - target)**2 is a loss.

    Args:
        costs: for each block, the cost of its paths, in any unit.
        target: the share of the full cost to aim at, on average over the batch, 0..1.
        weight: of the loss.

    Raises:
        ValueError: costs are not positive, or `target` lies outside 0..1.
    """

    def __init__(self, costs: tuple[tuple[float, ...], ...], target: float = 0.6, weight: float = 1.0, **kwargs):
        super().__init__(**kwargs)
        if min((cost for block in costs for cost in block), default=0) <= 0 or not 0 <= target <= 1:
            raise ValueError(
                f"`costs` must be positive and `target` within 0..1. Received: costs={costs}, target={target}."
            )
        self.costs = tuple(tuple(block) for block in costs)
        self.target = target
        self.weight = weight

    def share(self, gates):
        """The share of the full cost, [N] in 0..1, that each example's gates spend."""
        total = sum(map(sum, self.costs))
        each = (
            ops.sum(ops.cast(block, "float32") * ops.array([cost / total for cost in costs], "float32"), axis=-1)
            for block, costs in zip(gates, self.costs, strict=True)
        )
        return sum(each)

    def call(self, inputs, training=False):
        x, *gates = inputs
        if training:
            self.add_loss(self.weight * ops.square(ops.mean(self.share(gates)) - self.target))
        return x

    def compute_output_shape(self, input_shape):
        return input_shape[0]

    def get_config(self):
        return {**super().get_config(), "costs": self.costs, "target": self.target, "weight": self.weight}


def contract_example(make):
    import numpy as np

    def array(*shape):
        return np.random.default_rng(0).normal(size=shape).astype("float32")

    inputs = {
        PathController: [array(3, 5), array(3, 32)],
        GatedSum: [array(3, 2), array(3, 4, 5, 6), array(3, 4, 5, 6)],
        PathBudget: [array(3, 4, 5, 6), array(3, 2)],
    }
    return make(), inputs[make.func]

"""Scheduled drop path: every path of a cell is dropped at random, the more often the longer the network has trained.

Paper: Zoph et al., "Learning Transferable Architectures for Scalable Image Recognition", CVPR 2018, arXiv:1707.07012
Slug: nasnet_a
Idea: dropping paths at a constant rate spoils cells of many paths; a rate that rises linearly from 0 over the training
  lets them find their parts first and regularises them later.
Differs: nothing; as in the authors' released code, each example draws for itself and what survives is divided by its
  probability. How the rate grows with depth is left to the network (hub/models/nasnet.py).
Checked: the rate by the step, its mean and limits over many draws, the counter through fit and a saved file
  (tests/test_nasnet.py).
"""

import keras
from keras import ops

from hub.registry import register


@register("scheduled_drop_path", rate=0.3, steps=1000)
@keras.saving.register_keras_serializable("hub")
class ScheduledDropPath(keras.layers.Layer):
    """A path [N, ...], dropped example by example while training; the shape stays. Put it before the addition.

    The weight `step` counts the training steps that the layer has seen, so that a saved network resumes its schedule.

    Args:
        rate: probability of being dropped at the end of the schedule, 0..1.
        steps: number of training steps over which the probability rises from 0 to `rate`; it stays there.
        seed: of the draws; None takes the global one.

    Raises:
        ValueError: `rate` lies outside 0..1, or there are no steps.
    """

    def __init__(self, rate: float, steps: int, seed: int | None = None, **kwargs):
        super().__init__(**kwargs)
        if not 0 <= rate <= 1 or steps < 1:
            raise ValueError(
                f"`rate` must lie within 0..1 and `steps` be at least 1. Received: rate={rate}, steps={steps}."
            )
        self.rate = rate
        self.steps = steps
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)

    def build(self, input_shape):
        self.step = self.add_weight(shape=(), initializer="zeros", dtype="int32", trainable=False, name="step")

    def call(self, inputs, training=False):
        if not training:
            return inputs
        # float32 whatever the policy: 16 bits would round probability and step
        progress = ops.minimum(ops.cast(self.step, "float32") / self.steps, 1.0)
        survival = 1 - self.rate * progress
        self.step.assign(self.step + 1)
        shape = (ops.shape(inputs)[0], *[1] * (len(inputs.shape) - 1))
        kept = keras.random.uniform(shape, dtype="float32", seed=self.seed_generator) < survival
        scale = ops.cast(1 / ops.maximum(survival, keras.config.epsilon()), inputs.dtype)
        return ops.where(kept, inputs * scale, ops.zeros_like(inputs))

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "rate": self.rate, "steps": self.steps, "seed": self.seed}

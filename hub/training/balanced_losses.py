"""Loss balancer: several losses added with learned weights.

Paper: Sovrasov and Sidnev, "Building Computationally Efficient and Well-Generalizing Person Re-Identification Models
  with Metric Learning", ICPR 2020, arXiv:2003.07618
Slug: metric_reid
Idea: sum_i exp(-w_i) L_i + w_i / 2: a loss that stays large is weighed down, and the term w_i keeps it from vanishing.
Differs: nothing; the w_i start at 0, a plain sum. A loss that stays at 0 has no best w_i: the sum falls without end.
Checked: one step moves each w_i by the formula's derivative, and with frozen w_i the network trains as under the plain
  sum (tests/test_metric_reid_losses.py).
"""

from collections.abc import Sequence

import keras
from keras import ops

from hub.registry import register


@register("balanced_losses")
class BalancedLosses(keras.Model):
    """A model that trains `network` on several losses of the same labels; compile it without a loss.

    `fit` takes (images, labels); predictions are the network's, and `network` itself is what one saves and exports.

    Args:
        network: functional, one output per loss; an output that two losses read is listed twice.
        losses: of `labels` and the output in the same place.

    Raises:
        ValueError: not one loss per output.
    """

    def __init__(self, network: keras.Model, losses: Sequence[keras.losses.Loss], **kwargs):
        super().__init__(**kwargs)
        if len(network.outputs) != len(losses):
            raise ValueError(
                f"One loss per output would do. Received: {len(losses)} losses, {len(network.outputs)} outputs."
            )
        self.network = network
        self.terms = list(losses)
        self.log_weights = self.add_weight((len(losses),), "zeros", name="log_weights")

    def call(self, inputs, training=None):
        return self.network(inputs, training=training)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        outputs = y_pred if isinstance(y_pred, list | tuple) else [y_pred]
        values = [loss(y, output, sample_weight) for loss, output in zip(self.terms, outputs, strict=True)]
        w = ops.convert_to_tensor(self.log_weights)
        return ops.sum(ops.exp(-w) * ops.stack(values) + w / 2) + sum(self.losses)

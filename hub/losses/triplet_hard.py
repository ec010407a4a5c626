"""Batch-hard triplet loss: the farthest positive and the nearest negative of each anchor.

Paper: Hermans, Beyer and Leibe, "In Defense of the Triplet Loss for Person Re-Identification", 2017, arXiv:1703.07737;
  FaceNet, whose own choice is semi-hard, names the choice and why it collapses early (section 3.2)
Slug: facenet
Idea: in a batch of P identities with K pictures each, the hardest triplet of every anchor says what is left to learn.
Differs: the edges are those of tensorflow-addons 0.23, as is the default margin 1.0: an anchor alone of its identity
  has a positive at distance 0, and in a batch of a single identity the farthest example stands for the negative.
  The soft margin does not overflow.
Checked: values equal tensorflow-addons 0.23's on 18 batches (tests/golden/triplet.npz) and slow loops over triplets,
  with and without the soft margin; gradients by finite differences (tests/test_triplet_losses.py).
"""

from collections.abc import Callable

import keras
from keras import ops

from hub.losses._pairs import but_self, check_metric, pairwise_distances, same_label
from hub.losses.triplet_semihard import contract_example as semihard_example
from hub.registry import register


@register("triplet_hard_loss")
@keras.saving.register_keras_serializable("hub")
class TripletHardLoss(keras.losses.Loss):
    """[max D(a, p) - min D(a, n) + margin]+, or with `soft` log(1 + exp(max D(a, p) - min D(a, n))), per anchor a.

    Identities [N] or [N, 1] whole numbers below 2^24, embeddings [N, d]; positives p and negatives n are the others of
    the batch.

    Args:
        margin: in units of the distance; the soft margin has none.
        soft: the soft margin, which keeps pulling where the margin is kept.
        distance_metric: D, "L2", "squared-L2" or "angular" (1 - cosine).

    Raises:
        ValueError: another `distance_metric`.
    """

    def __init__(
        self,
        margin: float = 1.0,
        soft: bool = False,
        distance_metric: str = "L2",
        reduction: str = "sum_over_batch_size",
        name: str = "triplet_hard_loss",
    ):
        super().__init__(reduction=reduction, name=name)
        check_metric(distance_metric)
        self.margin = margin
        self.soft = soft
        self.distance_metric = distance_metric

    def call(self, y_true, y_pred):
        distances = pairwise_distances(y_pred, self.distance_metric)
        same = same_label(y_true)
        nearest, farthest = ops.min(distances, axis=-1, keepdims=True), ops.max(distances, axis=-1, keepdims=True)
        positive = ops.max(ops.where(but_self(same), distances, nearest), axis=-1)
        negative = ops.min(ops.where(same, farthest, distances), axis=-1)
        gap = positive - negative
        return ops.softplus(gap) if self.soft else ops.relu(gap + self.margin)

    def get_config(self):
        own = {"margin": self.margin, "soft": self.soft, "distance_metric": self.distance_metric}
        return {**super().get_config(), **own}


def contract_example(make: Callable) -> tuple:
    """As for semi-hard triplets; opposite places count where the margin is reached."""
    return semihard_example(make)

"""Triplet loss with semi-hard negatives: of all in the batch, the nearest that is farther than the positive.

Paper: Schroff, Kalenichenko and Philbin, "FaceNet: A Unified Embedding for Face Recognition and Clustering", CVPR 2015,
  arXiv:1503.03832
Slug: facenet
Idea: every pair of one identity should be closer than any other identity by a margin; negatives that are violated, but
  farther than the positive, teach without letting the embedding collapse.
Differs: as in tensorflow-addons 0.23, the negative may lie beyond the margin (then the pair costs nothing), a pair
  without a farther negative takes the farthest one there is, and the loss is the mean over pairs (the paper: a sum).
  Defaults are the paper's, margin 0.2 and squared distances (addons: 1.0 and "L2"). A batch without any pair costs 0
  (addons: NaN). Memory grows with N^2 (addons: N^3), so that the paper's batch of
  1,800 fits. The harmonic loss between two versions of an embedding is not built.
Checked: values equal tensorflow-addons 0.23's on 18 batches (tests/golden/triplet.npz) and slow loops over triplets,
  ties and empty windows included; gradients by finite differences (tests/test_triplet_losses.py).
"""

from collections.abc import Callable

import keras
from keras import ops

from hub.losses._pairs import but_self, check_metric, mean_over, pairwise_distances, same_label
from hub.registry import register


@register("triplet_semihard_loss")
@keras.saving.register_keras_serializable("hub")
class TripletSemiHardLoss(keras.losses.Loss):
    """Mean over pairs (a, p) of one identity of [D(a, p) - D(a, n) + margin]+, with n mined from the batch.

    n is the nearest example of another identity with D(a, n) > D(a, p), else the farthest one; in a batch of a single
    identity D(a, n) counts as 0. Identities [N] or [N, 1] whole numbers below 2^24, embeddings [N, d], by FaceNet of
    length 1. An anchor's value is the sum over its pairs times N / (pairs in the batch), so that the mean over anchors
    is the mean over pairs; a `sample_weight` weighs anchors.

    Args:
        margin: alpha, in units of the distance.
        distance_metric: D, "L2", "squared-L2" or "angular" (1 - cosine).

    Raises:
        ValueError: another `distance_metric`.
    """

    def __init__(
        self,
        margin: float = 0.2,
        distance_metric: str = "squared-L2",
        reduction: str = "sum_over_batch_size",
        name: str = "triplet_semihard_loss",
    ):
        super().__init__(reduction=reduction, name=name)
        check_metric(distance_metric)
        self.margin = margin
        self.distance_metric = distance_metric

    def call(self, y_true, y_pred):
        distances = pairwise_distances(y_pred, self.distance_metric)
        same = same_label(y_true)
        positive = but_self(same)
        # Each row by distance; of equal ones the negatives first: the second sort keeps the order of the first.
        by_kind = ops.argsort(ops.cast(same, "int32"), axis=-1)
        order = ops.argsort(ops.take_along_axis(distances, by_kind, axis=-1), axis=-1)
        order = ops.take_along_axis(by_kind, order, axis=-1)
        distances, positive, same = (ops.take_along_axis(x, order, axis=-1) for x in (distances, positive, same))
        # What follows the k-th negative has the negative k + 1 as the nearest that is farther.
        kind = ops.cast(ops.logical_not(same), "int32")
        passed, negatives = ops.cumsum(kind, axis=-1), ops.sum(kind, axis=-1, keepdims=True)
        by_distance = ops.take_along_axis(distances, ops.argsort(1 - kind, axis=-1), axis=-1)
        semi_hard = ops.take_along_axis(by_distance, ops.minimum(passed, ops.maximum(negatives - 1, 0)), axis=-1)
        semi_hard = ops.where(negatives > 0, semi_hard, distances[:, :1])
        return mean_over(positive, ops.relu(distances - semi_hard + self.margin))

    def get_config(self):
        return {**super().get_config(), "margin": self.margin, "distance_metric": self.distance_metric}


def contract_example(make: Callable) -> tuple:
    """Three identities, two faces each; faces of one at one place; faces of one at opposite places."""
    import numpy as np

    good = np.repeat(np.eye(3, dtype="float32"), 2, axis=0)
    return make(), (np.array([0, 0, 1, 1, 2, 2]), good, good * np.array([[1], [-1]] * 3, "float32"))

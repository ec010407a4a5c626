"""Contrastive losses: what is alike is pulled together, what is not is pushed apart until a margin lies between.

Paper: Hadsell, Chopra and LeCun, "Dimensionality Reduction by Learning an Invariant Mapping", CVPR 2006
Slug: siamese_writer_id
Idea: a network that sees two inputs needs no classes, only whether they belong together: y d^2 + (1 - y) [m - d]+^2 of
  their distance d.
Differs: the paper halves both terms and counts the other way, its y is 1 for a pair that differs. Here both are as in
  tensorflow-addons 0.23. Its `ContrastiveLoss` sees the pairs that it is handed; `AllPairsContrastive` takes every pair
  that a batch holds.
Checked: each pair's value and the batch's equal tensorflow-addons 0.23's (tests/golden/contrastive.npz); all pairs
  equal slow NumPy loops, gradients finite differences (tests/test_contrastive.py).
"""

from collections.abc import Callable

import keras
from keras import ops

from hub.losses._pairs import but_self, mean_over, pairwise_distances, same_label
from hub.registry import register


def pair_costs(distance, margin: float):
    """What a pair at `distance` costs if it is alike, and if it is not."""
    return ops.square(distance), ops.square(ops.relu(margin - distance))


@register("contrastive_loss")
@keras.saving.register_keras_serializable("hub")
class ContrastiveLoss(keras.losses.Loss):
    """y d^2 + (1 - y) [margin - d]+^2 of N pairs: y [N] or [N, 1] is 1 for a pair that is alike and 0 for another, d,
    of the same number of values, its distance, 0 and up. Of more values to a pair, [N, ...], the mean is taken.

    Args:
        margin: distance from which a pair that is not alike costs nothing.
    """

    def __init__(self, margin: float = 1.0, reduction: str = "sum_over_batch_size", name: str = "contrastive_loss"):
        super().__init__(reduction=reduction, name=name)
        self.margin = margin

    def call(self, y_true, y_pred):
        y_true = ops.reshape(y_true, ops.shape(y_pred))  # [N] beside [N, 1] would spread to [N, N]
        alike, apart = pair_costs(y_pred, self.margin)
        costs = ops.reshape(y_true * alike + (1 - y_true) * apart, (ops.shape(y_pred)[0], -1))
        return ops.mean(costs, axis=-1)

    def get_config(self):
        return {**super().get_config(), "margin": self.margin}


@register("all_pairs_contrastive_loss")
@keras.saving.register_keras_serializable("hub")
class AllPairsContrastive(keras.losses.Loss):
    """Mean of y d^2 + (1 - y) [margin - d]+^2 over the N (N - 1) ordered pairs of a batch.

    Identities [N] or [N, 1] whole numbers below 2^24, embeddings [N, d], d their Euclidean distances. An example's
    value is its share times N, so that the mean over examples is that over pairs; a `sample_weight` weighs examples.

    Args:
        margin: distance from which examples of two identities cost nothing; those of unit length are at most 2 apart.
        balanced: pairs of one identity, rare in a batch of many, weigh as much as all the others together.
    """

    def __init__(
        self,
        margin: float = 1.0,
        balanced: bool = False,
        reduction: str = "sum_over_batch_size",
        name: str = "all_pairs_contrastive_loss",
    ):
        super().__init__(reduction=reduction, name=name)
        self.margin = margin
        self.balanced = balanced

    def call(self, y_true, y_pred):
        centred = y_pred - ops.mean(y_pred, axis=0)  # near ones are told apart wherever they lie
        same = same_label(y_true)
        alike, apart = pair_costs(pairwise_distances(centred, "L2"), self.margin)
        if self.balanced:
            return (mean_over(but_self(same), alike) + mean_over(ops.logical_not(same), apart)) / 2
        return mean_over(but_self(ops.ones_like(same)), ops.where(same, alike, apart))

    def get_config(self):
        return {**super().get_config(), "margin": self.margin, "balanced": self.balanced}


def contract_example(make: Callable) -> tuple:
    """Pairs well placed and the other way round, or three identities of two embeddings each."""
    import numpy as np

    if isinstance(loss := make(), ContrastiveLoss):
        target = np.array([1, 1, 0, 0])
        return loss, (target, 1.5 * (1 - target), 1.5 * target)
    good = np.repeat(np.eye(3, 4, dtype="float32"), 2, axis=0)
    return loss, (np.array([0, 0, 1, 1, 2, 2]), good, good * np.array([1, -1] * 3, "float32")[:, None])

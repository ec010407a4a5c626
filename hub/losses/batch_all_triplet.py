"""Batch-all triplet loss over strips: every triplet of a batch that is not yet told apart, for each strip by itself.

Paper: Hermans, Beyer and Leibe, "In Defense of the Triplet Loss for Person Re-Identification", 2017, arXiv:1703.07737
  (BA+ there); used strip by strip by Chao et al., "GaitSet", AAAI 2019, arXiv:1811.06186
Slug: gaitset
Idea: the mean runs over the triplets that still cost something; those that are told apart, soon most of them, would
  water it down.
Differs: an anchor is not its own positive; in the authors' code and in OpenGait the pair of an anchor with itself, at
  distance 0, counts among the positives of both choices. An anchor alone of its identity costs nothing here, nor does a
  batch of one identity, with either `mining`.
Checked: values of both choices equal slow NumPy loops over triplets, with ties, lone anchors and a single identity;
  gradients by finite differences; 128 clips of 62 strips need no table of triplets (tests/test_batch_all_triplet.py).
"""

from collections.abc import Callable

import keras
from keras import ops

from hub.losses._pairs import but_self, same_label
from hub.registry import register

MINING = ("all", "hard")


@register("batch_all_triplet_loss")
@keras.saving.register_keras_serializable("hub")
class BatchAllTriplet(keras.losses.Loss):
    """Mean over strips of the mean of [margin + d(a, p) - d(a, n)]+ over the triplets where it is not zero.

    Identities [N] or [N, 1] whole numbers below 2^24, embeddings [N, strips, d], d the Euclidean distance of one strip.
    An anchor's value is its share times N, so that the mean over anchors is the paper's; a `sample_weight` weighs
    anchors. Sorting each anchor's distances takes O(strips N^2) numbers and O(strips N^2 log N) steps, where a table of
    triplets would take O(strips N^3).

    Args:
        margin: in units of the distance.
        mining: "all", or "hard": only the farthest positive and the nearest negative of each anchor, and the mean over
            anchors, zeros included. From scratch that tends to collapse: see `hub/training/collapse_guard.py`.

    Raises:
        ValueError: another `mining`.
    """

    def __init__(
        self,
        margin: float = 0.2,
        mining: str = "all",
        reduction: str = "sum_over_batch_size",
        name: str = "batch_all_triplet_loss",
    ):
        super().__init__(reduction=reduction, name=name)
        if mining not in MINING:
            raise ValueError(f'`mining` is "all" or "hard". Received: mining={mining!r}.')
        self.margin = margin
        self.mining = mining

    def call(self, y_true, y_pred):
        distances = strip_distances(y_pred)
        same = same_label(y_true)
        choose = self._hard if self.mining == "hard" else self._all
        return ops.mean(choose(distances, but_self(same), ops.logical_not(same)), axis=0)

    def _hard(self, distances, positive, negative):
        farthest = ops.max(ops.where(positive, distances, -float("inf")), axis=-1)
        nearest = ops.min(ops.where(negative, distances, float("inf")), axis=-1)
        both = ops.logical_and(ops.any(positive, axis=-1), ops.any(negative, axis=-1))
        gap = ops.where(both, farthest, 0.0) - ops.where(both, nearest, 0.0)
        return ops.where(both, ops.relu(gap + self.margin), 0.0)

    def _all(self, distances, positive, negative):
        """A positive costs something against the negatives nearer than its threshold, margin + d(a, p).

        With thresholds and negatives in one ascending row, those are the negatives before it: their number and sum tell
        the cost of all its triplets.
        """
        shape = ops.shape(distances)
        # Thresholds first: the second sort keeps the order of equal ones, and a negative on the edge costs nothing.
        first = ops.argsort(ops.cast(negative, "int32"), axis=-1)
        kinds = ops.where(negative, 2, ops.cast(positive, "int32"))  # 0 is the anchor itself
        kinds = ops.broadcast_to(ops.take_along_axis(kinds, first, axis=-1), shape)
        values = ops.take_along_axis(distances, ops.broadcast_to(first, shape), axis=-1)
        values = values + ops.where(kinds == 1, self.margin, 0.0)
        order = ops.argsort(values, axis=-1)
        values, kinds = (ops.take_along_axis(x, order, axis=-1) for x in (values, kinds))
        nearer = ops.cumsum(ops.cast(kinds == 2, values.dtype), axis=-1)
        total = ops.cumsum(ops.where(kinds == 2, values, 0.0), axis=-1)
        costs = ops.sum(ops.where(kinds == 1, ops.relu(nearer * values - total), 0.0), axis=-1)
        triplets = ops.sum(ops.where(kinds == 1, nearer, 0.0), axis=(1, 2))
        return costs * ops.divide_no_nan(ops.cast(shape[1], values.dtype), triplets)[:, None]

    def get_config(self):
        return {**super().get_config(), "margin": self.margin, "mining": self.mining}


def strip_distances(x):
    """[strips, N, N] Euclidean distances of embeddings [N, strips, d]; the slope at distance 0 is 0."""
    x = ops.transpose(x, (1, 0, 2))
    x = x - ops.mean(x, axis=1, keepdims=True)  # near ones are told apart wherever they lie
    squares = ops.sum(ops.square(x), axis=-1)
    squared = squares[:, :, None] + squares[:, None, :] - 2 * ops.matmul(x, ops.transpose(x, (0, 2, 1)))
    apart = squared > 0  # rounding may leave equal ones a little below, and the diagonal, which no triplet has, above
    return ops.where(apart, ops.sqrt(ops.where(apart, squared, 1.0)), 0.0)


def contract_example(make: Callable) -> tuple:
    """Three identities, two clips of two strips each; clips of one at one place; clips of one at opposite places."""
    import numpy as np

    good = np.repeat(np.eye(3, 4, dtype="float32"), 2, axis=0)[:, None].repeat(2, axis=1)
    return make(), (np.array([0, 0, 1, 1, 2, 2]), good, good * np.array([1, -1] * 3, "float32")[:, None, None])

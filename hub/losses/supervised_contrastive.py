"""Supervised contrastive loss: every example picks out the others of its identity among all of the batch.

Paper: Khosla et al., "Supervised Contrastive Learning", NeurIPS 2020, arXiv:2004.11362
Slug: siamese_writer_id
Idea: a softmax over the cosines to the rest of the batch; all of one identity are right answers, and hard ones among
  them and among the others weigh most by themselves.
Differs: the temperature is 0.1 (the authors' code: 0.07, its loss scaled by temperature / 0.07); embeddings are brought
  to length 1 here. An example alone of its identity costs nothing and leaves the mean, where the paper, whose batches
  hold two views of each picture, has none; it stays one of those to tell apart.
Checked: values equal slow NumPy loops over eq. 2 (the sum outside the logarithm), with identities alone and a batch of
  one; gradients by finite differences (tests/test_contrastive.py).
"""

from collections.abc import Callable

import keras
from keras import ops

from hub.losses._pairs import but_self, mean_over, same_label, unit
from hub.losses.triplet_semihard import contract_example as semihard_example
from hub.registry import register


@register("supervised_contrastive_loss")
@keras.saving.register_keras_serializable("hub")
class SupervisedContrastiveLoss(keras.losses.Loss):
    """-1 / |P| sum over p in P of log(exp(z.p / t) / sum over a in A of exp(z.a / t)), per example z: L_out.

    A are the others of the batch, P those of z's identity. Identities [N] or [N, 1] whole numbers below 2^24,
    embeddings [N, d]. The mean over examples runs over those that have a P.

    Args:
        temperature: t, above 0; the lower, the more the hardest decide.

    Raises:
        ValueError: a `temperature` that is not above 0.
    """

    def __init__(
        self,
        temperature: float = 0.1,
        reduction: str = "sum_over_batch_size",
        name: str = "supervised_contrastive_loss",
    ):
        super().__init__(reduction=reduction, name=name)
        if not temperature > 0:
            raise ValueError(f"`temperature` is above 0. Received: temperature={temperature}.")
        self.temperature = temperature

    def call(self, y_true, y_pred):
        z = unit(y_pred)
        positive = but_self(same_label(y_true))
        others = but_self(ops.ones_like(positive))
        logits = ops.matmul(z, ops.transpose(z)) / self.temperature
        logits = ops.where(others, logits, -1e9)
        surprise = ops.logsumexp(logits, axis=-1, keepdims=True) - logits
        count = ops.sum(ops.cast(positive, logits.dtype), axis=-1, keepdims=True)
        each = ops.divide_no_nan(ops.sum(ops.where(positive, surprise, 0.0), axis=-1, keepdims=True), count)
        return mean_over(count > 0, each)

    def get_config(self):
        return {**super().get_config(), "temperature": self.temperature}


def contract_example(make: Callable) -> tuple:
    """As for semi-hard triplets."""
    return semihard_example(make)

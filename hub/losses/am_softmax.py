"""AM-Softmax: cross-entropy of cosines, the right one handicapped by a margin.

Paper: Sovrasov and Sidnev, "Building Computationally Efficient and Well-Generalizing Person Re-Identification Models
  with Metric Learning", ICPR 2020, arXiv:2003.07618; the loss is Wang et al., "Additive Margin Softmax for Face
  Verification", 2018, arXiv:1801.05599
Slug: metric_reid
Idea: a class has to win by a margin between angles, so that features of one identity gather and can be compared where
  the classes of training no longer exist; a penalty on confidence keeps it from overfitting few identities.
Differs: nothing. The cosines come from the model: the layer `cosine_dense`.
Checked: without margin it is the cross-entropy of scaled cosines; slow NumPy loops, the penalty included
  (tests/test_metric_reid_losses.py).
"""

from collections.abc import Callable

import keras
from keras import ops

from hub.losses._pairs import mean_over
from hub.registry import register


@register("am_softmax")
@keras.saving.register_keras_serializable("hub")
class AMSoftmaxLoss(keras.losses.Loss):
    """-log softmax_y(s (cos - m e_y)) of classes y [N] or [N, 1] and cosines [N, K]; one value per example.

    Args:
        margin: m, taken from the cosine of the right class.
        scale: s, the length that features have in effect.
        confidence_penalty: beta; with it the loss is the mean of [cross-entropy - beta * entropy]+ over the examples
            where that is positive, an example's value being its share of that mean times N. 0 leaves it out.
    """

    def __init__(
        self,
        margin: float = 0.35,
        scale: float = 30.0,
        confidence_penalty: float = 0.0,
        reduction: str = "sum_over_batch_size",
        name: str = "am_softmax",
    ):
        super().__init__(reduction=reduction, name=name)
        self.margin = margin
        self.scale = scale
        self.confidence_penalty = confidence_penalty

    def call(self, y_true, y_pred):
        target = ops.one_hot(ops.cast(ops.reshape(y_true, (-1,)), "int32"), y_pred.shape[-1], dtype=y_pred.dtype)
        log_p = ops.log_softmax(self.scale * (y_pred - self.margin * target), axis=-1)
        cross_entropy = -ops.sum(target * log_p, axis=-1)
        if not self.confidence_penalty:
            return cross_entropy
        entropy = -ops.sum(ops.exp(log_p) * log_p, axis=-1)
        left = cross_entropy - self.confidence_penalty * entropy
        return mean_over(left[:, None] > 0, left[:, None])

    def get_config(self):
        own = {"margin": self.margin, "scale": self.scale, "confidence_penalty": self.confidence_penalty}
        return {**super().get_config(), **own}


def contract_example(make: Callable) -> tuple:
    """Four classes; the cosine of the right one is 1 and of the others -1; the opposite."""
    import numpy as np

    good = 2 * np.eye(4, dtype="float32") - 1
    return make(), (np.arange(4), good, -good)

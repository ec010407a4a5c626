"""Centre and push losses: features near the centre of their class and, by a margin, nearer than to what is not theirs.

Paper: Sovrasov and Sidnev, "Building Computationally Efficient and Well-Generalizing Person Re-Identification Models
  with Metric Learning", ICPR 2020, arXiv:2003.07618
Slug: metric_reid
Idea: a classifier only asks which class is nearest; these terms ask how near, which is what retrieval compares.
Differs: the centres are the weights of the layer `cosine_dense`, so the model's optimizer moves them, while the authors
  keep separate ones with their own step (SGD, rate 0.5). The margin of `GlobalPushPlusLoss` is constant, while theirs
  grows from 0.15 to its value during the first 40,000 steps.
Checked: equal slow loops over pairs; without any violated pair they cost nothing (tests/test_metric_reid_losses.py).
"""

from collections.abc import Callable

import keras
from keras import ops

from hub.losses._pairs import mean_over, same_label, unit
from hub.registry import register


def of_class(y_true, cosines):
    """One-hot classes [N, K] of y_true [N] or [N, 1], and each example's cosine [N, 1] to the centre of its class."""
    target = ops.one_hot(ops.cast(ops.reshape(y_true, (-1,)), "int32"), cosines.shape[-1], dtype=cosines.dtype)
    return target, ops.sum(target * cosines, axis=-1, keepdims=True)


@register("cosine_center_loss")
@keras.saving.register_keras_serializable("hub")
class CosineCenterLoss(keras.losses.Loss):
    """1 - cos(f, c_y) of classes y [N] or [N, 1] and cosines [N, K] to the centres; one value per example, 0..2."""

    def __init__(self, reduction: str = "sum_over_batch_size", name: str = "cosine_center_loss"):
        super().__init__(reduction=reduction, name=name)

    def call(self, y_true, y_pred):
        return 1 - of_class(y_true, y_pred)[1][:, 0]


class Push(keras.losses.Loss):
    """What both push losses share: the margin in cosines."""

    def __init__(self, margin: float = 0.7, reduction: str = "sum_over_batch_size", name: str | None = None):
        super().__init__(reduction=reduction, name=name)
        self.margin = margin

    def violated(self, others, own, foreign):
        """[m + d(f, c_y) - d(f, other)]+ = [m + cos(f, other) - cos(f, c_y)]+, averaged over the violated pairs.

        `others` [N, M] are the cosines to what lies in the way, `own` [N, 1] those to c_y; `foreign` [N, M] tells which
        of the others are of another class. An example's value is its part of that mean, times N.
        """
        excess = self.margin + others - own
        return mean_over(ops.logical_and(foreign, excess > 0), excess)

    def get_config(self):
        return {**super().get_config(), "margin": self.margin}


@register("global_push_plus_loss")
@keras.saving.register_keras_serializable("hub")
class GlobalPushPlusLoss(Push):
    """[m + d(f, c_y) - d(f, c_j)]+ over all other centres j, d = 1 - cosine, averaged over the violated pairs.

    Classes [N] or [N, 1], cosines [N, K] to the centres.

    Args:
        margin: m, in cosines.
    """

    def call(self, y_true, y_pred):
        target, own = of_class(y_true, y_pred)
        return self.violated(y_pred, own, target < 0.5)


@register("push_plus_loss", num_classes=3)
@keras.saving.register_keras_serializable("hub")
class PushPlusLoss(Push):
    """[m + d(f, c_y) - d(f, f')]+ over the examples f' of other classes, d = 1 - cosine, averaged over violated pairs.

    Classes [N] or [N, 1]; predictions [N, K + d] are the cosines to the K centres and behind them the features, of any
    length: `Concatenate()([cosines, features])`.

    Args:
        num_classes: K.
        margin: m, in cosines.

    Raises:
        ValueError: the predictions have no room for features.
    """

    def __init__(self, num_classes: int, margin: float = 0.7, reduction="sum_over_batch_size", name=None):
        super().__init__(margin, reduction, name)
        self.num_classes = num_classes

    def call(self, y_true, y_pred):
        if y_pred.shape[-1] <= self.num_classes:
            raise ValueError(
                f"{self.num_classes} cosines and features behind them would do. Received: shape {tuple(y_pred.shape)}."
            )
        own = of_class(y_true, y_pred[:, : self.num_classes])[1]
        features = unit(y_pred[:, self.num_classes :])
        others = ops.matmul(features, ops.transpose(features))
        return self.violated(others, own, ops.logical_not(same_label(y_true)))

    def get_config(self):
        return {**super().get_config(), "num_classes": self.num_classes}


def contract_example(make: Callable) -> tuple:
    """Three classes, two features each, at their centres and at those of the next class."""
    import numpy as np

    classes = np.array([0, 0, 1, 1, 2, 2])
    loss = make()
    places = np.eye(3, dtype="float32")
    good, bad = places[classes], places[(classes + np.arange(6) % 2) % 3]
    if isinstance(loss, PushPlusLoss):
        good, bad = (np.concatenate([x, x], axis=-1) for x in (good, bad))
    return loss, (classes, good, bad)

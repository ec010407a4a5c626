"""Multiclass squared hinge: the right class must beat each other class by a margin of one.

Paper: Lee et al., "Deeply-Supervised Nets", AISTATS 2015, arXiv:1409.5185
Slug: deeply_supervised
Idea: sum over k != y of max(0, 1 - (s_y - s_k))^2: only differences of scores count, and a rival beaten by the margin
  costs nothing.
Differs: nothing from the paper's formula. The authors' public code uses another one, each class against the rest, which
  is `l2_svm`.
Checked: equals NumPy loops and K times torch.nn.MultiMarginLoss(p=2), gradients included; does not change when all
  scores move together (tests/test_deeply_supervised.py, tests/parity/test_torch_multi_margin.py).
"""

from collections.abc import Callable

import keras
from keras import ops

from hub.losses._one_hot import one_hot
from hub.registry import register


@register("multiclass_squared_hinge")
@keras.saving.register_keras_serializable("hub")
class MulticlassSquaredHinge(keras.losses.Loss):
    """sum_{k != y} max(0, 1 - (s_y - s_k))^2 over scores [N, K], one value per example.

    Labels are classes [N] or [N, 1] in 0..K-1, or one-hot [N, K].

    Raises:
        ValueError: labels and scores have other shapes.
    """

    def __init__(self, reduction: str = "sum_over_batch_size", name: str = "multiclass_squared_hinge"):
        super().__init__(reduction=reduction, name=name)

    def call(self, y_true, y_pred):
        right = one_hot(y_true, y_pred)
        score = ops.sum(right * y_pred, axis=-1, keepdims=True)
        return ops.sum((1 - right) * ops.square(ops.relu(1 - score + y_pred)), axis=-1)


def contract_example(make: Callable) -> tuple:
    """Four classes; scores that keep every margin, and their opposites."""
    import numpy as np

    target = np.arange(4)
    good = 3 * np.eye(4, dtype="float32")
    return make(), (target, good, -good)

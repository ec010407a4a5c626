"""L2-SVM: the squared hinge of every class against the rest, as a loss for the last layer of a network.

Paper: Agarap, "An Architecture Combining Convolutional Neural Network (CNN) and Support Vector Machine (SVM) for Image
  Classification", 2017, arXiv:1712.03541; the loss is that of Tang, "Deep Learning using Linear Support Vector
  Machines", 2013, arXiv:1306.0239
Slug: cnn_svm
Idea: C sum_k max(0, 1 - t_k s_k)^2 with t = 1 for the right class and -1 for the others; a score beyond its margin
  costs nothing and moves nothing.
Differs: 1/2 |w|^2 is not in the loss but in the head's `kernel_regularizer=keras.regularizers.L2(0.5)`, as `cnn_svm`
  has it. Examples are averaged, as in the author's code; the paper's formula adds them.
Checked: equals NumPy loops, and K times keras.losses.SquaredHinge; with a head so penalised, scikit-learn's LinearSVC
  (tests/test_cnn_svm.py).
"""

from collections.abc import Callable

import keras

from hub.losses._one_hot import one_hot
from hub.registry import register


@register("l2_svm")
@register("l1_svm", squared=False)
@keras.saving.register_keras_serializable("hub")
class SVMLoss(keras.losses.Loss):
    """C sum_k max(0, 1 - t_k s_k) or its squares over scores [N, K], one value per example.

    Labels are classes [N] or [N, 1] in 0..K-1, or one-hot [N, K].

    Args:
        cost: C, the price of the margins against that of the weights.
        squared: the L2-SVM; without, the L1-SVM.

    Raises:
        ValueError: `cost` is not positive, or labels and scores have other shapes.
    """

    def __init__(
        self,
        cost: float = 1.0,
        squared: bool = True,
        reduction: str = "sum_over_batch_size",
        name: str = "svm_loss",
    ):
        super().__init__(reduction=reduction, name=name)
        if not cost > 0:
            raise ValueError(f"`cost` must be positive. Received: cost={cost}.")
        self.cost = cost
        self.squared = squared

    def call(self, y_true, y_pred):
        signs = 2 * one_hot(y_true, y_pred) - 1
        hinge = keras.losses.squared_hinge if self.squared else keras.losses.hinge
        return self.cost * y_pred.shape[-1] * hinge(signs, y_pred)  # Keras takes the mean of the classes

    def get_config(self):
        return {**super().get_config(), "cost": self.cost, "squared": self.squared}


def contract_example(make: Callable) -> tuple:
    """Four classes; scores on the right side of every margin, and their opposites."""
    import numpy as np

    target = np.arange(4)
    good = 3 * (2 * np.eye(4, dtype="float32") - 1)
    return make(), (target, good, -good)

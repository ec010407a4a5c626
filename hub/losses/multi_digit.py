"""Multi-digit loss: negative log-likelihood of a number under a length head and one head per digit.

Paper: Goodfellow et al., "Multi-digit Number Recognition from Street View Imagery using Deep Convolutional Neural
    Networks", ICLR 2014, arXiv:1312.6082
Slug: multi_digit_recognition
Idea: -log P(L=n) - sum_{i<=n} log P(S_i=s_i); a digit head learns nothing from a number that does not reach it.
Differs: nothing; a number of more than L digits trains the length head alone.
Checked: equals a double loop, and absent heads get a gradient of exactly 0 (tests/test_multi_digit.py).
"""

from collections.abc import Callable

import keras
from keras import ops

from hub.registry import register


@register("multi_digit_loss")
@keras.saving.register_keras_serializable("hub")
class MultiDigitLoss(keras.losses.Loss):
    """Loss of labels [N, 1 + L] = (length, d_1 ... d_L) and packed logits [N, (L + 2) + L * C], one value per example.

    A digit is 0 ... C - 1; what stands beyond the length, by custom -1, is not read. Length L + 1 says "more than L".

    Args:
        max_length: L, the longest number that is read.
        num_symbols: C, the size of the alphabet.

    Raises:
        ValueError: labels or logits are not as wide as `max_length` and `num_symbols` ask.
    """

    def __init__(
        self,
        max_length: int = 5,
        num_symbols: int = 10,
        reduction: str = "sum_over_batch_size",
        name: str = "multi_digit_loss",
    ):
        super().__init__(reduction=reduction, name=name)
        self.max_length = max_length
        self.num_symbols = num_symbols

    def call(self, y_true, y_pred):
        lengths, symbols = self.max_length + 2, self.max_length * self.num_symbols
        if y_true.shape[-1] != 1 + self.max_length or y_pred.shape[-1] != lengths + symbols:
            raise ValueError(
                f"max_length={self.max_length} and num_symbols={self.num_symbols} need {1 + self.max_length} labels "
                f"and {lengths + symbols} packed logits per example. "
                f"Received: shapes {tuple(y_true.shape)} and {tuple(y_pred.shape)}."
            )
        y_true = ops.cast(y_true, "int32")
        length, digits = y_true[:, :1], y_true[:, 1:]
        present = ops.logical_and(ops.arange(self.max_length, dtype="int32") < length, length <= self.max_length)
        of_length = ops.sparse_categorical_crossentropy(length[:, 0], y_pred[:, :lengths], from_logits=True)
        of_digits = ops.sparse_categorical_crossentropy(
            ops.where(present, digits, 0),
            ops.reshape(y_pred[:, lengths:], (-1, self.max_length, self.num_symbols)),
            from_logits=True,
        )
        return of_length + ops.sum(ops.where(present, of_digits, 0.0), axis=-1)

    def get_config(self):
        return {**super().get_config(), "max_length": self.max_length, "num_symbols": self.num_symbols}


def contract_example(make: Callable) -> tuple:
    """Labels of no digits, some, all and too many; logits that read them; logits that read anything else."""
    import numpy as np

    target = np.array([[0, -1, -1, -1, -1, -1], [2, 1, 7, -1, -1, -1], [5, 0, 3, 9, 2, 4], [6, -1, -1, -1, -1, -1]])
    digits = target[:, 1:, None] == np.arange(10)
    good = 20 * np.concatenate([np.eye(7)[target[:, 0]], digits.reshape(4, 50)], axis=1, dtype="float32")
    return make(), (target, good, -good)

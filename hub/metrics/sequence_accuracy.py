"""Sequence, digit and length accuracy of a reader of numbers.

Paper: Goodfellow et al., "Multi-digit Number Recognition from Street View Imagery using Deep Convolutional Neural
    Networks", ICLR 2014, arXiv:1312.6082
Slug: multi_digit_recognition
Idea: a number is right when all of it is, its length included; there is no partial credit.
Differs: a number of more than L digits is right when it is refused; the paper leaves such numbers out.
Checked: equals loops over the numbers as strings, in halves as in one piece (tests/test_multi_digit.py).
"""

from collections.abc import Callable

import keras
from keras import ops

from hub.layers.sequence_decoder import decode, present
from hub.registry import register


class _Decoded(keras.metrics.Mean):
    """Mean over labels [N, 1 + L] and packed logits [N, (L + 2) + L * C] of what `scores` says of the best numbers."""

    def __init__(self, max_length: int = 5, num_symbols: int = 10, name: str | None = None, dtype=None):
        super().__init__(name=name or self.called, dtype=dtype)
        self.max_length = max_length
        self.num_symbols = num_symbols

    def update_state(self, y_true, y_pred, sample_weight=None):
        y_true = ops.cast(y_true, "int32")
        number = decode(ops.convert_to_tensor(y_pred), self.max_length, self.num_symbols)
        scores, counted = self.scores(y_true, number)
        counted = ops.cast(counted, self.dtype)
        if sample_weight is not None:
            counted *= ops.reshape(ops.cast(sample_weight, self.dtype), (-1, 1))
        super().update_state(ops.ravel(ops.cast(scores, self.dtype)), ops.ravel(counted))

    def get_config(self):
        return {**super().get_config(), "max_length": self.max_length, "num_symbols": self.num_symbols}


@register("sequence_accuracy")
@keras.saving.register_keras_serializable("hub")
class SequenceAccuracy(_Decoded):
    """Share of numbers read right as a whole, in 0 ... 1."""

    called = "sequence_accuracy"

    def scores(self, y_true, number):
        right = read_right(y_true, number)[:, None]
        return right, ops.ones_like(right)


@register("digit_accuracy")
@keras.saving.register_keras_serializable("hub")
class DigitAccuracy(_Decoded):
    """Share of the true digits that the best number has at their position, in 0 ... 1.

    A digit that the best number adds beyond the true length costs nothing here, one that it leaves out counts as
    wrong. Numbers of more than L digits have no digits to compare.
    """

    called = "digit_accuracy"

    def scores(self, y_true, number):
        return number["digits"] == y_true[:, 1:], present(y_true[:, :1], self.max_length)


@register("length_accuracy")
@keras.saving.register_keras_serializable("hub")
class LengthAccuracy(_Decoded):
    """Share of numbers whose best reading has the true length, in 0 ... 1."""

    called = "length_accuracy"

    def scores(self, y_true, number):
        right = number["length"][:, None] == y_true[:, :1]
        return right, ops.ones_like(right)


def read_right(y_true, number: dict):
    """Whether each decoded number [N] is the true one, labels int32 [N, 1 + L]: same length, same digits."""
    digits = ops.all(number["digits"] == y_true[:, 1:], axis=1)
    return ops.logical_and(digits, number["length"] == y_true[:, 0])


def contract_example(make: Callable) -> tuple:
    """Labels of no digits, some, all and too many; logits that read them; logits that misread three of four."""
    import numpy as np

    target = np.array([[0, -1, -1, -1, -1, -1], [2, 1, 7, -1, -1, -1], [5, 0, 3, 9, 2, 4], [6, -1, -1, -1, -1, -1]])
    digits = target[:, 1:, None] == np.arange(10)
    good = 20 * np.concatenate([np.eye(7)[target[:, 0]], digits.reshape(4, 50)], axis=1, dtype="float32")
    return make(), (target, good, good[[0, 0, 1, 1]])

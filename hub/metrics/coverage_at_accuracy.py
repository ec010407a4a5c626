"""Coverage at accuracy: how many numbers a confidence threshold keeps when the kept must be this accurate.

Paper: Goodfellow et al., "Multi-digit Number Recognition from Street View Imagery using Deep Convolutional Neural
    Networks", ICLR 2014, arXiv:1312.6082
Slug: multi_digit_recognition
Idea: a reader that may abstain is judged by the share it answers at the accuracy of a human operator, 98 %.
Differs: confidences are counted in 10,000 bins, so that the state has a fixed size; never above the exact figure.
Checked: equals the exact figure where no bin mixes confidences, else at most it (tests/test_multi_digit.py).
"""

import keras
from keras import ops

from hub.layers.sequence_decoder import decode
from hub.metrics.sequence_accuracy import contract_example, read_right
from hub.registry import register

__all__ = ["CoverageAtAccuracy", "contract_example"]
BINS = 10_000
LIMIT = 17.0  # log-odds of the largest float32 below 1 are 16.6


@register("coverage_at_accuracy")
@keras.saving.register_keras_serializable("hub")
class CoverageAtAccuracy(keras.metrics.Metric):
    """Largest share, in 0 ... 1, kept by a confidence threshold such that at least `accuracy` of the kept is right.

    Labels [N, 1 + L], packed logits [N, (L + 2) + L * C]. Equal confidences are kept or left together. A refusal
    ("more than L digits") is an answer like another. `hub.evaluation.coverage` has the exact curve: the bins are
    0.0034 wide in log-odds, about 3 per mille of the chance of an error.

    Args:
        accuracy: the share of the kept that must be right, in 0 ... 1.
        max_length: L, the longest number that is read.
        num_symbols: C, the size of the alphabet.

    Raises:
        ValueError: `accuracy` is not in 0 ... 1.
    """

    def __init__(
        self,
        accuracy: float = 0.98,
        max_length: int = 5,
        num_symbols: int = 10,
        name: str = "coverage_at_accuracy",
        dtype=None,
    ):
        super().__init__(name=name, dtype=dtype)
        if not 0 <= accuracy <= 1:
            raise ValueError(f"`accuracy` must be in 0 ... 1. Received: accuracy={accuracy}.")
        self.accuracy = accuracy
        self.max_length = max_length
        self.num_symbols = num_symbols
        self.counted = self.add_variable((BINS,), initializer="zeros", name="counted")
        self.right = self.add_variable((BINS,), initializer="zeros", name="right")

    def update_state(self, y_true, y_pred, sample_weight=None):
        number = decode(ops.convert_to_tensor(y_pred), self.max_length, self.num_symbols)
        right = ops.cast(read_right(ops.cast(y_true, "int32"), number), self.dtype)
        weight = ops.ones_like(right)
        if sample_weight is not None:
            weight *= ops.reshape(ops.cast(sample_weight, self.dtype), (-1,))
        bins = _bins(number["confidence"])
        self.counted.assign_add(ops.segment_sum(weight, bins, num_segments=BINS))
        self.right.assign_add(ops.segment_sum(weight * right, bins, num_segments=BINS))

    def result(self):
        kept = ops.cumsum(ops.flip(self.counted))
        accuracy = ops.divide_no_nan(ops.cumsum(ops.flip(self.right)), kept)
        kept_enough = ops.where(accuracy >= self.accuracy, kept, ops.zeros_like(kept))
        return ops.divide_no_nan(ops.max(kept_enough), kept[-1])

    def get_config(self):
        config = {"accuracy": self.accuracy, "max_length": self.max_length, "num_symbols": self.num_symbols}
        return {**super().get_config(), **config}


def _bins(confidence):
    """Bins [N] of equal width in log-odds; certainty has the last bin to itself."""
    log_odds = ops.clip(ops.log(confidence) - ops.log1p(-confidence), -LIMIT, LIMIT)
    return ops.cast((log_odds + LIMIT) * ((BINS - 1) / (2 * LIMIT)), "int32")

"""Sequence decoder: the most probable number under a length head and one head per digit.

Paper: Goodfellow et al., "Multi-digit Number Recognition from Street View Imagery using Deep Convolutional Neural
    Networks", ICLR 2014, arXiv:1312.6082
Slug: multi_digit_recognition
Idea: P(S|X) = P(L=n|X) prod_{i<=n} P(S_i=s_i|X) is maximised exactly, in a time linear in the longest length.
Differs: nothing; "longer than the longest length" competes with its own probability and has no digits.
Checked: equals a search of all 111,111 sequences, and the appendix's number 175 (tests/test_multi_digit.py).
"""

from collections.abc import Callable

import keras
from keras import ops

from hub.registry import register


@register("sequence_decoder")
@keras.saving.register_keras_serializable("hub")
class SequenceDecoder(keras.layers.Layer):
    """Packed logits [N, (L + 2) + L * C] to a dictionary of probabilities and the best number.

    The logits are those of the lengths 0 ... L and "more than L", then those of the symbols, position by position.
    The result holds `length_logp` [N, L + 2] and `digit_logp` [N, L, C], log-probabilities; `digits` int32 [N, L],
    -1 where there is none; `length` int32 [N], L + 1 for "more than L"; `confidence` [N], the number's probability.

    Args:
        max_length: L, the longest number that is read.
        num_symbols: C, the size of the alphabet.
        dtype: float32 whatever the policy: sixteen bits cannot tell apart the confidences near 1.

    Raises:
        ValueError: the last axis is not as long as `max_length` and `num_symbols` ask.
    """

    def __init__(self, max_length: int = 5, num_symbols: int = 10, dtype="float32", **kwargs):
        super().__init__(dtype=dtype, **kwargs)
        self.max_length = max_length
        self.num_symbols = num_symbols

    def call(self, inputs):
        return decode(inputs, self.max_length, self.num_symbols)

    def get_config(self):
        return {**super().get_config(), "max_length": self.max_length, "num_symbols": self.num_symbols}


def decode(logits, max_length: int, num_symbols: int) -> dict:
    """What `SequenceDecoder` returns, as a function."""
    length_logp, digit_logp = log_probabilities(logits, max_length, num_symbols)
    symbol_logp, symbol = (best[..., 0] for best in ops.top_k(digit_logp, k=1))  # Keras's argmax has no LiteRT builtin
    no_digits = ops.zeros_like(symbol_logp[:, :1])  # of the lengths 0 and "more than L"
    joint = length_logp + ops.concatenate([no_digits, ops.cumsum(symbol_logp, axis=1), no_digits], axis=1)
    best, length = ops.top_k(joint, k=1)
    length = ops.cast(length, "int32")
    return {
        "length_logp": length_logp,
        "digit_logp": digit_logp,
        "digits": ops.where(present(length, max_length), ops.cast(symbol, "int32"), -1),
        "length": length[:, 0],
        "confidence": ops.exp(best[:, 0]),
    }


def log_probabilities(logits, max_length: int, num_symbols: int) -> tuple:
    """log P(L) [N, L + 2] and log P(S_i) [N, L, C] of packed logits."""
    lengths = max_length + 2
    if logits.shape[-1] != lengths + max_length * num_symbols:
        raise ValueError(
            f"max_length={max_length} and num_symbols={num_symbols} need {lengths + max_length * num_symbols} packed "
            f"logits per example. Received: logits of shape {tuple(logits.shape)}."
        )
    digits = ops.reshape(logits[:, lengths:], (-1, max_length, num_symbols))
    return ops.log_softmax(logits[:, :lengths], axis=-1), ops.log_softmax(digits, axis=-1)


def present(length, max_length: int):
    """Which positions [N, L] hold a digit, for int32 lengths [N, 1]; none do in a number of more than L."""
    return ops.logical_and(ops.arange(max_length, dtype="int32") < length, length <= max_length)


def contract_example(make: Callable) -> tuple:
    """A decoder, and logits for it."""
    import numpy as np

    return make(), np.random.default_rng(0).normal(scale=3, size=(8, 57)).astype("float32")

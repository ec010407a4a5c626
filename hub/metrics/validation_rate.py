"""Validation rate: the share of genuine pairs that a threshold accepts while it lets few impostors in.

Paper: Schroff, Kalenichenko and Philbin, "FaceNet: A Unified Embedding for Face Recognition and Clustering", CVPR 2015,
  arXiv:1503.03832
Slug: facenet
Idea: accuracy hides what matters at a door: VAL(d) accepts genuine pairs at distance d and less, FAR(d) impostors, and
  VAL is reported where FAR is 0.001.
Differs: distances are counted in 10,000 bins, so that the state has a fixed size; thresholds are edges of bins, so the
  figure is never above the exact one.
Checked: equals the exact figure where no bin mixes distances, else at most it and at least that of a threshold one bin
  lower (tests/test_validation_rate.py).
"""

from collections.abc import Callable

import keras
from keras import ops

from hub.registry import register

BINS = 10_000


@register("validation_rate")
@keras.saving.register_keras_serializable("hub")
class ValidationRate(keras.metrics.Metric):
    """The largest VAL(d), in 0..1, of all thresholds d with FAR(d) <= `far` (eq. 7 to 10).

    Labels [N] or [N, 1] say whether a pair is genuine (1) or not (0), predictions of the same shape how far apart its
    embeddings are. Without a genuine pair the result is 0, without an impostor every pair is accepted.

    Args:
        far: the share of impostors that may be accepted, in 0..1.
        max_distance: distances are counted from 0 to here; 4 is the largest square between vectors of length 1.

    Raises:
        ValueError: `far` is not in 0..1, or `max_distance` is not positive.
    """

    def __init__(self, far: float = 1e-3, max_distance: float = 4.0, name: str = "validation_rate", dtype=None):
        super().__init__(name=name, dtype=dtype)
        if not 0 <= far <= 1 or not max_distance > 0:
            raise ValueError(
                f"`far` lies in 0..1 and `max_distance` above 0. Received: far={far}, max_distance={max_distance}."
            )
        self.far = far
        self.max_distance = max_distance
        self.genuine = self.add_variable((BINS,), initializer="zeros", name="genuine")
        self.impostors = self.add_variable((BINS,), initializer="zeros", name="impostors")

    def update_state(self, y_true, y_pred, sample_weight=None):
        genuine = ops.reshape(ops.cast(y_true, self.dtype), (-1,))
        distance = ops.reshape(ops.cast(y_pred, self.dtype), (-1,))
        weight = ops.ones_like(genuine)
        if sample_weight is not None:
            weight *= ops.reshape(ops.cast(sample_weight, self.dtype), (-1,))
        bins = ops.cast(ops.clip(distance * (BINS / self.max_distance), 0, BINS - 1), "int32")
        self.genuine.assign_add(ops.segment_sum(weight * genuine, bins, num_segments=BINS))
        self.impostors.assign_add(ops.segment_sum(weight * (1 - genuine), bins, num_segments=BINS))

    def result(self):
        accepted, admitted = ops.cumsum(self.genuine), ops.cumsum(self.impostors)
        far = ops.divide_no_nan(admitted, admitted[-1])
        return ops.divide_no_nan(ops.max(ops.where(far <= self.far, accepted, 0.0)), accepted[-1])

    def get_config(self):
        return {**super().get_config(), "far": self.far, "max_distance": self.max_distance}


def contract_example(make: Callable) -> tuple:
    """Four genuine pairs and four others; near and far; the other way round."""
    import numpy as np

    genuine = np.array([1, 0, 1, 0, 0, 1, 0, 1], "float32")
    return make(), (genuine, 3.5 - 3 * genuine, 0.5 + 3 * genuine)

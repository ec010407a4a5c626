"""Group codes: the mean code of each group of patches, weighed so that plain distances are saliency-weighted scores.

Paper: Kumar and Sundaram, "Siamese based Neural Network for Offline Writer Identification on Word Level Data", 2022,
  arXiv:2211.14443
Slug: siamese_writer_id
Idea: patches of one scale have sparse directions of their own; what a word says on them, each direction divided by its
  spread within writers and weighed by its saliency, is one vector of a length that does not depend on the word.
Differs: a reconstruction, as hub/evaluation/saliency_sparse_pca.py, whose arrays it takes; the paper scores writers and
  has no such vector. A group without patches gives zeros, the background's mean.
Checked: equal to slow NumPy loops with padding and absent groups, and squared distances to the score of
  `SaliencySparsePCA`; converts to TFLite (tests/test_group_codes.py).
"""

from collections.abc import Callable
from typing import Any

import keras
from keras import layers, ops

from hub.registry import register


@register("group_codes")
@keras.saving.register_keras_serializable("hub")
class GroupCodes(layers.Layer):
    """[embeddings [N, P, D], group int [N, P]] to [N, S C]; a group below 0 or from S on marks padding.

    Weights, none of which trains: `means` [S, D], `encoders` [S, D, C] and `scale` [S, C]. With x the mean embedding of
    the patches of group s, its code is ((x - means[s]) encoders[s]) scale[s].

    Args:
        groups: S.
        codes: C, of each group.

    Raises:
        ValueError: `groups` or `codes` below 1.
    """

    def __init__(self, groups: int = 3, codes: int = 32, **kwargs):
        super().__init__(**kwargs)
        if min(groups, codes) < 1:
            raise ValueError(f"`groups` and `codes` are at least 1. Received: groups={groups}, codes={codes}.")
        self.groups = groups
        self.codes = codes

    def build(self, input_shape):
        width = input_shape[0][-1]
        self.means = self._fixed((self.groups, width), "zeros", "means")
        self.encoders = self._fixed((self.groups, width, self.codes), "glorot_uniform", "encoders")
        self.scale = self._fixed((self.groups, self.codes), "ones", "scale")

    def _fixed(self, shape, initializer, name):
        return self.add_weight(shape, initializer, trainable=False, name=name)

    def call(self, inputs):
        x, group = inputs
        member = ops.cast(ops.equal(ops.expand_dims(group, -1), ops.arange(self.groups, dtype=group.dtype)), x.dtype)
        member = ops.transpose(member, (0, 2, 1))  # [N, S, P]
        count = ops.sum(member, axis=-1, keepdims=True)
        mean = ops.matmul(member, x) / ops.maximum(count, 1)
        centred = mean - ops.cast(self.means, x.dtype) * ops.cast(count > 0, x.dtype)
        encoders = ops.cast(self.encoders, x.dtype)
        found = [ops.matmul(centred[:, s], encoders[s]) for s in range(self.groups)]
        return ops.concatenate([code * ops.cast(self.scale[s], x.dtype) for s, code in enumerate(found)], axis=-1)

    def compute_output_shape(self, input_shape):
        return (input_shape[0][0], self.groups * self.codes)

    def get_config(self):
        return {**super().get_config(), "groups": self.groups, "codes": self.codes}


def contract_example(make: Callable) -> tuple[Any, Any]:
    """Patches of two groups of three, and padding."""
    import numpy as np

    x = np.random.default_rng(0).normal(size=(4, 6, 5)).astype("float32")
    group = np.array([[0, 2, 0, -1, -1, -1]] * 4, "int32")
    return make(codes=3), [x, group]

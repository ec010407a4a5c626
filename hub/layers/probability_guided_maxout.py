"""Probability guided maxout: the surer the network is of the truth, the more of its strongest features it loses.

Paper: Ferrari, Berretti and Del Bimbo, "Probability Guided Maxout", ICPR 2020
Slug: probability_guided_maxout
Idea: dropout that aims: an example recognised with certainty has its most active features removed while training, up to
  half of them, so that the others learn; a doubtful one keeps all.
Differs: nothing known; written from the authors' code as described by others. Its figures rest on a test split that the
  code reads from the training data, and are not quoted.
Checked: equals slow NumPy loops; how many and which features fall, at certainty 0 to 1 and with ties; inference is the
  plain classifier, with and without labels (tests/test_layers_dropout_heads.py).
"""

import keras
from keras import layers, ops

from hub.registry import register


@register("pg_maxout_head", num_classes=5)
@keras.saving.register_keras_serializable("hub")
class PGMaxoutHead(layers.Layer):
    """A classifier that sees labels in training: features [N, D], not negative, to float32 logits [N, num_classes].

    Call it with the pair (features, labels [N], integers) for the training graph and with the features alone for
    inference; both share the weights. In inference it is a dense layer, and labels have no part.

    Args:
        num_classes: how many.
        max_drop: share of the features, 0..1, that an example of certain label loses.

    Raises:
        ValueError: `max_drop` lies outside 0..1.
    """

    def __init__(self, num_classes: int, max_drop: float = 0.5, **kwargs):
        super().__init__(**{"dtype": "float32", **kwargs})
        if not 0 <= max_drop <= 1:
            raise ValueError(f"`max_drop` must lie within 0..1. Received: max_drop={max_drop}.")
        self.num_classes = num_classes
        self.max_drop = max_drop

    def build(self, input_shape):
        (*_, width) = input_shape[0] if isinstance(input_shape[0], (tuple, list)) else input_shape
        shape = (width, self.num_classes)
        self.kernel = self.add_weight(shape=shape, initializer="glorot_uniform", name="kernel")
        self.bias = self.add_weight(shape=(self.num_classes,), initializer="zeros", name="bias")
        self.scale = self.add_weight(shape=(), initializer="ones", name="scale")

    def call(self, inputs, training=False):
        if not isinstance(inputs, (tuple, list)):
            return self.classify(inputs)
        features, labels = inputs
        return self.classify(self.mask(features, labels) if training else features)

    def classify(self, features):
        return ops.matmul(features, self.kernel) + self.bias

    def mask(self, features, labels):
        """The features without each example's most active ones, times scale over the share that is kept."""
        truth = ops.one_hot(ops.cast(labels, "int32"), self.num_classes, dtype=features.dtype)
        certainty = ops.sum(ops.softmax(self.classify(features)) * truth, axis=-1, keepdims=True)
        kept = ops.stop_gradient(1 - self.max_drop * certainty)
        order = ops.argsort(ops.stop_gradient(features), axis=-1)
        rank = ops.cast(ops.argsort(order, axis=-1), features.dtype)
        smallest = ops.cast(rank < ops.round(kept * features.shape[-1]), features.dtype)
        return features * smallest * self.scale / ops.maximum(kept, 1e-6)

    def compute_output_shape(self, input_shape):
        first = input_shape[0] if isinstance(input_shape[0], (tuple, list)) else input_shape
        return (*first[:-1], self.num_classes)

    def get_config(self):
        return {**super().get_config(), "num_classes": self.num_classes, "max_drop": self.max_drop}


def contract_example(make):
    import numpy as np

    rng = np.random.default_rng(0)
    return make(), [np.abs(rng.normal(size=(6, 16))).astype("float32"), rng.integers(0, 5, 6).astype("int32")]

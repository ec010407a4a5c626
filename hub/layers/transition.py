"""Transition matrices: from the probabilities of the true class to those of each annotator's label.

Paper: Zeng, Shan and Chen, "Facial Expression Recognition with Inconsistently Annotated Datasets", ECCV 2018
Slug: ltnet
Idea: an annotator who confuses classes does so in a pattern; one row-stochastic matrix per annotator holds it,
  T[j, k, m] = P(j says m | the truth is k), and leaves the network to say what the truth is.
Differs: the authors' matrices are free, clipped at a floor and their rows divided by their sums in every pass; here a
  row is a softmax, positive without clipping. Theirs begin with 999 on the diagonal, here c = ln 999 = 6.9 would be
  that; 5 is the default, since a row far out on the softmax hardly moves.
Checked: against NumPy, plain and in logarithms; rows sum to one; both initialisations; `speed` multiplies Adam's
  steps; extreme inputs stay finite (tests/test_ltnet.py).
"""

import keras
import numpy as np
from keras import ops

from hub.registry import register

FLOOR = 1e-5  # of a given matrix, so that its logarithm is finite


@register("transition_matrix", annotators=3)
@keras.saving.register_keras_serializable("hub")
class TransitionMatrix(keras.layers.Layer):
    """p [N, L] of the true class -> q [N, annotators, L] of each annotator's label, q_j = p T_j.

    Args:
        annotators: how many, A.
        initial: a number c: at first every matrix is the row softmax of c on the diagonal and 0 beside it; or the
            matrices [A, L, L] at first, each row of which sums to one (entries below 1e-5 count as 1e-5).
        log: the inputs are log p and the outputs log q, without loss where probabilities vanish; an array
            [N, A, L, L] is held then.
        speed: the logits of the matrices are this number times the weights, so that an optimizer of Adam's kind moves
            them that much faster than the network (plain gradient descent: its square).

    Raises:
        ValueError: less than one annotator, a speed that is not positive, matrices of another shape or with rows that
            are no probabilities.
    """

    def __init__(self, annotators: int, initial=5.0, log: bool = False, speed: float = 1.0, **kwargs):
        super().__init__(**kwargs)
        if annotators < 1 or not 0 < speed < float("inf"):
            raise ValueError(
                f"At least one annotator and a positive speed would do. Received: annotators={annotators}, "
                f"speed={speed}."
            )
        self.annotators = annotators
        self.initial = np.asarray(initial, "float64").tolist()
        self.log = log
        self.speed = speed

    def build(self, input_shape):
        classes = input_shape[-1]
        shape = (self.annotators, classes, classes)
        initial = np.asarray(self.initial)
        if initial.ndim == 0:
            logits = np.broadcast_to(initial * np.eye(classes), shape)
        elif initial.shape != shape:
            raise ValueError(f"`initial` is a number or matrices {shape}. Received: shape {initial.shape}.")
        elif not ((initial >= 0).all() and np.allclose(initial.sum(-1), 1, atol=1e-3)):
            raise ValueError("Every row of `initial` holds probabilities that sum to one; some rows do not.")
        else:
            logits = np.log(np.maximum(initial, FLOOR))
        first = logits / self.speed
        self.matrix = self.add_weight(shape, lambda shape, dtype: ops.convert_to_tensor(first, dtype), name="matrix")

    def log_matrices(self):
        """log T [A, L, L]."""
        return ops.log_softmax(self.speed * ops.convert_to_tensor(self.matrix), axis=-1)

    @property
    def transitions(self) -> np.ndarray:
        """T [A, L, L], float32; T[j, k] is what annotator j says of the true class k."""
        return np.exp(ops.convert_to_numpy(self.log_matrices()).astype("float32"))

    def call(self, inputs):
        if self.log:
            return ops.logsumexp(inputs[:, None, :, None] + self.log_matrices()[None], axis=2)
        return ops.einsum("nk,jkm->njm", inputs, ops.exp(self.log_matrices()))

    def compute_output_shape(self, input_shape):
        return (input_shape[0], self.annotators, input_shape[-1])

    def get_config(self):
        own = {"annotators": self.annotators, "initial": self.initial, "log": self.log, "speed": self.speed}
        return {**super().get_config(), **own}


def contract_example(make):
    """A layer and the probabilities of five classes for four examples."""
    p = np.random.default_rng(0).dirichlet(np.ones(5), 4)
    return make(), p.astype("float32")

"""LTNet: a classifier of the latent truth, learned from annotators who do not agree.

Paper: Zeng, Shan and Chen, "Facial Expression Recognition with Inconsistently Annotated Datasets", ECCV 2018
Slug: ltnet
Idea: the network says what is true, p, and a matrix per annotator what that person makes of it, p T_j; the likelihood
  of the labels given, - sum_j w_j log (p T_j)[y_j], fits both, so that a habit of an annotator is not learned as truth.
Differs: log q once; the authors' prototxt sends the mixed probabilities through a second softmax. Their loss averages
  over the labels that each annotator gave, here annotators are added and pictures averaged, so one who labelled half
  of them counts half. They start from a network trained on the mixture of the labels and matrices near the identity,
  which often stay there; matrices from the mixture's confusions (`transitions_from`) and a fresh network are ours. The
  paper's other steps are in hub/training/noisy_labels.py.
Checked: the loss against a loop, plain cross entropy for an identity, missing labels against the subset, files, the
  recovery of known matrices and of the classes on scikit-learn's digits (tests/test_ltnet.py); Fashion-MNIST with
  simulated annotators (benchmarks/claims/ltnet.py).
"""

import keras
import numpy as np
from keras import ops
from numpy.typing import ArrayLike

from hub.layers.transition import TransitionMatrix
from hub.registry import register


@register("ltnet")
@keras.saving.register_keras_serializable("hub")
class LatentTruthNet(keras.Model):
    """`classifier` and a transition matrix per annotator; images -> log q [N, annotators, L].

    The labels are ints [N, annotators], -1 where there is none. Afterwards keep `classifier`, whose logits are those
    of the truth; it is trained in place.

        targets, counts = mixture_targets(labels, 7)  # one network learns from all labels alike; then a fresh one:
        mixture.fit(x, targets, sample_weight=counts)
        net = LatentTruthNet(classifier, 3, transitions_from(mixture.predict(x), labels))
        net.compile("adam", MaskedNLL())
        net.fit(x, labels, validation_data=(held_out, their_labels),
                callbacks=[keras.callbacks.EarlyStopping("val_loss", patience=3, restore_best_weights=True)])
        truth = classifier.predict(new).argmax(1)

    Labels fix the truth up to a renaming of the classes alone, so the start decides. Where annotators share the habit
    of turning a class into a certain other one in more than about half of the cases, some or all classes may come out
    renamed (with 0.7 they mostly do), and with fewer now and then one. The likelihood of the labels tells the better of
    two runs only while the habit is the rarer answer; beyond that, nothing but pictures of known truth does.

    Args:
        classifier: its output is logits [N, L], without softmax; a fresh one, or one that has seen the mixture of the
            labels, as the authors' had. A network that has learned the annotators' habits may keep them.
        annotators: how many, A.
        transitions: a number for near-identity matrices, or matrices [A, L, L]; see `TransitionMatrix`.
        speed: of the matrices' learning against the network's under Adam (its square under plain gradient descent).
            With a learning rate of 1e-3, at 1 a network can learn the annotators' habits before the matrices do; from
            0.1 on for the product, single classes may end up renamed.

    Raises:
        ValueError: the classifier ends in a softmax or has another kind of output; what `TransitionMatrix` refuses.
    """

    def __init__(self, classifier: keras.Model, annotators: int, transitions=5.0, speed: float = 10.0, **kwargs):
        super().__init__(autocast=False, **kwargs)
        output = getattr(classifier, "output", None)
        if not keras.backend.is_keras_tensor(output) or len(output.shape) != 2:
            raise ValueError(f"A functional classifier with one output, logits [N, L], would do. Received: {output}.")
        last = classifier.layers[-1]
        if isinstance(last, keras.layers.Softmax) or getattr(last, "activation", None) is keras.activations.softmax:
            raise ValueError(f"The classifier should give logits; its last layer, {last.name!r}, is a softmax.")
        self.classifier = classifier
        self.transition = TransitionMatrix(
            annotators, transitions, log=True, speed=speed, dtype="float32", name="transition"
        )
        self.transition.build(output.shape)

    @property
    def transitions(self) -> np.ndarray:
        """T [A, L, L], float32."""
        return self.transition.transitions

    def call(self, inputs, training=None):
        logits = self.classifier(inputs, training=training)
        return self.transition(ops.log_softmax(ops.cast(logits, "float32")))

    def get_config(self):
        layer = self.transition
        return {
            "name": self.name,
            "classifier": keras.saving.serialize_keras_object(self.classifier),
            "annotators": layer.annotators,
            "transitions": layer.initial,
            "speed": layer.speed,
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        classifier = keras.saving.deserialize_keras_object(config["classifier"], custom_objects=custom_objects)
        return cls(**{**config, "classifier": classifier})


@keras.saving.register_keras_serializable("hub")
class MaskedNLL(keras.losses.Loss):
    """- sum_j w_j log q[n, j, y_j] of labels y [N, A] and log q [N, A, L]: one value per picture, then their mean.

    A label of -1 adds nothing; a picture without labels costs 0, and is counted in the mean. Any other number that is
    no class makes the loss NaN.

    Args:
        weights: w, one per annotator, 1 by default. The authors trained expressions with 3 for people and 0.5 and 0.1
            for models.

    Raises:
        ValueError: weights that are negative or not one per annotator; labels that do not fit log q.
    """

    def __init__(self, weights: ArrayLike | None = None, name="masked_nll", **kwargs):
        super().__init__(name=name, **kwargs)
        self.weights = None if weights is None else np.asarray(weights, "float64").tolist()
        if self.weights is not None and (np.ndim(self.weights) != 1 or min(self.weights, default=-1) < 0):
            raise ValueError(f"`weights` holds a number from 0 on for each annotator. Received: {weights}.")

    def call(self, y_true, y_pred):
        annotators = y_pred.shape[1]
        if len(y_true.shape) != 2 or y_true.shape[1] != annotators:
            raise ValueError(
                f"Labels [N, {annotators}], one column per annotator, would do. Received: {tuple(y_true.shape)}."
            )
        if self.weights is not None and len(self.weights) != annotators:
            raise ValueError(f"One weight for each of {annotators} annotators would do. Received: {self.weights}.")
        labels = ops.cast(y_true, "int32")
        classes = y_pred.shape[2]
        column = ops.clip(labels, 0, classes - 1)
        log_q = ops.squeeze(ops.take_along_axis(y_pred, column[:, :, None], axis=2), axis=2)
        each = ops.where(labels == -1, 0.0, -log_q)
        each = ops.where((labels < -1) | (labels >= classes), float("nan"), each)
        if self.weights is not None:
            each = each * ops.convert_to_tensor(self.weights, each.dtype)
        return ops.sum(each, axis=1)

    def get_config(self):
        return {**super().get_config(), "weights": self.weights}

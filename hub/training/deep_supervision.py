"""Deep supervision: hidden layers get classifiers of their own while the network trains.

Paper: Lee et al., "Deeply-Supervised Nets", AISTATS 2015, arXiv:1409.5185
Slug: deeply_supervised
Idea: L + sum_m alpha [ |w_m|^2 + l_m - gamma ]_+ : features that already separate the classes help the layers above,
  and early layers get a gradient of their own; a companion that is good enough (gamma) falls silent, and its weight
  alpha falls with the epochs.
Differs: the paper prints the rule alpha 0.1 (1 - t/N) -> alpha; applied again and again it would switch the companions
  off within a few epochs, so alpha (1 - t/N) is the weight of epoch t here and 0.1 is the default alpha. |w_out|^2 is
  left to the regularisers of the model. The paper's loss is the pairwise one (the default), the authors' code uses
  `l2_svm`.
Checked: the loss equals NumPy on both sides of gamma; alpha 0 trains exactly as the plain model does, Dropout and
  regularisers included; the gate is on the mean of the batch; prediction and evaluation are the plain model's; alpha
  falls as printed (tests/test_deeply_supervised.py).
"""

from collections.abc import Sequence

import keras
from keras import layers, ops

from hub.losses.squared_hinge import MulticlassSquaredHinge
from hub.registry import register


@register("deep_supervision")
@keras.saving.register_keras_serializable("hub")
class DeepSupervision(keras.Model):
    """`model` with companion classifiers, to be compiled and fitted in its place; afterwards keep `model`.

    Only training sees the companions: prediction, evaluation and the metrics are those of `model`, whose weights are
    shared. `compile(loss=...)` sets the loss of the output alone.

    Args:
        model: functional, with one output of scores or logits [N, K].
        layer_names: hidden layers of `model` to supervise, with outputs [N, H, W, C].
        head: "flatten" for a classifier of the whole map, as the paper's; "gap" for one of its mean per channel.
        alpha: weight of each companion, a variable; the callback `CompanionDecay` lowers it.
        gamma: a companion whose objective is below this number does not count.
        penalty: factor of |w_m|^2, 1 in the paper.
        companion_loss: l, taking the labels of `fit` and scores [N, K]; by default `MulticlassSquaredHinge`.

    Raises:
        ValueError: another `head`, or `model` has no layer of such a name.
    """

    def __init__(
        self,
        model: keras.Model,
        layer_names: Sequence[str],
        head: str = "flatten",
        alpha: float = 0.1,
        gamma: float = 0.0,
        penalty: float = 1.0,
        companion_loss: keras.losses.Loss | None = None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if head not in ("flatten", "gap"):
            raise ValueError(f'`head` is "flatten" or "gap". Received: head={head!r}.')
        hidden = [model.get_layer(name).output for name in layer_names]
        self.model = model
        self.with_hidden = keras.Model(model.inputs, [*model.outputs, *hidden])
        self.squeeze = layers.Flatten() if head == "flatten" else layers.GlobalAveragePooling2D()
        self.companions = []
        for name, features in zip(layer_names, hidden, strict=True):
            companion = layers.Dense(model.outputs[0].shape[-1], dtype="float32", name=f"companion_{name}")
            companion.build(self.squeeze(features).shape)
            self.companions.append(companion)
        self.alpha = self.add_weight(
            shape=(), initializer=keras.initializers.Constant(alpha), trainable=False, name="alpha"
        )
        self.initial_alpha = alpha
        self.gamma = gamma
        self.penalty = penalty
        self.companion_loss = companion_loss or MulticlassSquaredHinge()

    def call(self, inputs, training=False):
        """The output of the model; while training, a list of it and the scores of every companion."""
        if not training:
            return self.model(inputs, training=False)
        output, *hidden = self.with_hidden(inputs, training=True)
        pairs = zip(self.companions, hidden, strict=True)
        return [output, *(companion(self.squeeze(features)) for companion, features in pairs)]

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        output, *scores = y_pred if isinstance(y_pred, list) else [y_pred]
        loss = super().compute_loss(x, y, output, sample_weight, training)
        for companion, score in zip(self.companions, scores, strict=False):
            norm = ops.sum(ops.square(ops.convert_to_tensor(companion.kernel)))
            objective = self.penalty * norm + self.companion_loss(y, score, sample_weight)
            loss = loss + self.alpha * ops.relu(objective - self.gamma)
        return loss

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        return super().compute_metrics(x, y, y_pred[0] if isinstance(y_pred, list) else y_pred, sample_weight)


class CompanionDecay(keras.callbacks.Callback):
    """Sets the companions' weight to alpha (1 - t / N) at the start of epoch t of the N of `fit`, t from 0."""

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        self.model.alpha.assign(self.model.initial_alpha * (1 - epoch / self.params["epochs"]))

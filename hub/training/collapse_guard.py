"""Collapse guard: training stops when all embeddings have run together.

Paper: Hermans, Beyer and Leibe, "In Defense of the Triplet Loss for Person Re-Identification", 2017, arXiv:1703.07737
  (section 3.2: training on hard triplets gets stuck with all embeddings at one point and the loss at the margin)
Slug: gaitset
Idea: at one point every triplet costs the margin and pulls nowhere, so nothing but more hours follows; the sign is a
  loss at the margin while embeddings have no distance.
Differs: the paper looks at such curves by eye. The bounds 1e-3 and 1e-4 are ours, after a report of a loss that stayed
  at 0.20000003 (issue 16 of GaitSet's authors).
Checked: batch-hard training from collapsed embeddings stops within `patience` steps, healthy training and a loss at the
  margin with distances do not, whatever the length of the epoch (tests/test_batch_all_triplet.py).
"""

from typing import Any

import keras
import numpy as np

from hub.registry import register

DISTANCE = 1e-3
LOSS = 1e-4


@register("collapse_guard")
class CollapseGuard(keras.callbacks.Callback):
    """`model.fit(..., callbacks=[CollapseGuard(inputs)])` raises when training by triplets has collapsed.

    That is: for `patience` steps the loss was within 1e-4 of the margin, and the mean Euclidean distance between the
    embeddings of `inputs` below 1e-3. The network is asked only at steps with such a loss, so that healthy training
    pays nothing.

    Args:
        inputs: a batch of what the model takes, of several people.
        margin: of the loss.
        patience: steps in a row; with `steps_per_execution` as many times as the callback hears of them.
        monitor: the triplet loss in the logs; "embedding_loss" in a model that has logits too. Regularisers count
            among "loss" and would hide the margin.

    Raises:
        ValueError: `patience` is below 1; while training, the collapse, or there is no such loss.
    """

    def __init__(self, inputs: Any, margin: float = 0.2, patience: int = 10, monitor: str = "loss"):
        super().__init__()
        if patience < 1:
            raise ValueError(f"`patience` is a number of steps, 1 or more. Received: patience={patience}.")
        self.inputs = inputs
        self.margin = margin
        self.patience = patience
        self.monitor = monitor

    def on_train_begin(self, logs=None):
        self.pinned = 0

    def on_epoch_begin(self, epoch, logs=None):
        self.steps, self.mean = 0, 0.0

    def on_train_batch_end(self, batch, logs=None):
        if self.monitor not in (logs or {}):
            raise ValueError(f"`monitor` is one of {', '.join(logs or {})}. Received: monitor={self.monitor!r}.")
        # The logs hold the mean since the epoch's first step, in float32.
        steps, mean = batch + 1, float(logs[self.monitor])
        loss = (steps * mean - self.steps * self.mean) / (steps - self.steps)
        self.steps, self.mean = steps, mean
        near = abs(loss - self.margin) < LOSS + 3e-7 * steps * self.margin
        distance = mean_distance(self._embeddings()) if near else np.inf
        self.pinned = self.pinned + 1 if distance < DISTANCE else 0
        if self.pinned >= self.patience:
            raise ValueError(
                f"Training has collapsed: for {self.pinned} steps the loss has been the margin, {self.margin}, and the "
                f"mean distance between embeddings is {distance:.1e}; batch-all mining, a lower learning rate or "
                "weights from earlier training would do."
            )

    def _embeddings(self) -> np.ndarray:
        outputs = self.model(self.inputs, training=False)
        return keras.ops.convert_to_numpy(outputs["embedding"] if isinstance(outputs, dict) else outputs)


def mean_distance(embeddings: np.ndarray) -> float:
    """Mean Euclidean distance, of each strip by itself, between any two of `embeddings` [N, strips, d] or [N, d]."""
    x = np.asarray(embeddings, "float64").reshape(len(embeddings), -1, embeddings.shape[-1]).swapaxes(0, 1)
    x = x - x.mean(axis=1, keepdims=True)  # near ones are told apart wherever they lie
    squares = np.sum(x**2, axis=-1)
    squared = squares[:, :, None] + squares[:, None, :] - 2 * x @ x.swapaxes(1, 2)
    return float(np.sqrt(np.maximum(squared[:, ~np.eye(x.shape[1], dtype=bool)], 0)).mean())

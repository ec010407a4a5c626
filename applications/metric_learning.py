"""What is watched while embeddings train: how often the nearest is somebody else."""

from typing import Any


def missed(y_true: Any, y_pred: Any) -> Any:
    """Per example of a batch, whether the nearest other one is of another identity: [N], [N, ...] to 0 or 1 [N]."""
    from keras import ops

    flat = ops.reshape(y_pred, (ops.shape(y_pred)[0], -1))
    squares = ops.sum(ops.square(flat), axis=-1)
    distances = squares[:, None] + squares[None] - 2 * ops.matmul(flat, ops.transpose(flat))
    distances = ops.where(ops.eye(ops.shape(flat)[0], dtype="bool"), float("inf"), distances)
    labels = ops.reshape(y_true, (-1,))
    nearest = ops.take(labels, ops.argmin(distances, axis=-1))
    return ops.cast(nearest != labels, "float32")

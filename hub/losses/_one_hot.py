"""Labels as the losses over classes want them."""

import keras
from keras import ops


def one_hot(y_true: keras.KerasTensor, y_pred: keras.KerasTensor) -> keras.KerasTensor:
    """Classes [N] or [N, 1], or one-hot labels [N, K], as one-hot labels in the type of the scores `y_pred` [N, K].

    Raises:
        ValueError: the scores are not [N, K] with K of 2 or more, or the labels have another shape.
    """
    shapes = tuple(y_true.shape), tuple(y_pred.shape)
    if len(shapes[1]) != 2 or shapes[1][1] < 2 or len(shapes[0]) not in (1, 2) or shapes[0][1:] not in (
        (), (1,), shapes[1][1:]
    ):  # fmt: skip
        raise ValueError(
            "Scores [N, K] of 2 classes or more, with classes [N] or one-hot labels [N, K], would do. "
            f"Received: labels of shape {shapes[0]}, scores of shape {shapes[1]}."
        )
    if shapes[0][1:] == shapes[1][1:]:
        return ops.cast(y_true, y_pred.dtype)
    return ops.one_hot(ops.cast(ops.reshape(y_true, (-1,)), "int32"), shapes[1][1], dtype=y_pred.dtype)

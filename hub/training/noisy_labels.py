"""Labels of several annotators as training sees them: mixture, majority, confusions, and those that models add.

Labels are ints [N, A], one column per annotator, -1 where there is none. The steps of Zeng, Shan and Chen (ECCV 2018)
before `hub.training.ltnet`. Whether a model labels its own training set again is told in two ways; here it does not.
"""

import numpy as np
from numpy.typing import ArrayLike


def transitions_from(scores: ArrayLike, labels: ArrayLike, smoothing: float = 0.5) -> np.ndarray:
    """T [A, L, L], float32: how often annotator j said m where a model said k, rows divided by their sums.

    The initialisation to take after training on the mixture of the labels.

    Args:
        scores: [N, L] of the model, logits or probabilities.
        labels: ints [N, A], -1 where there is none.
        smoothing: added to every count, so that nothing is impossible and a row without counts is uniform.

    Raises:
        ValueError: other shapes, a label that is no class, or smoothing that is not positive.
    """
    scores = np.asarray(scores)
    labels, classes = _checked(labels, scores.shape[-1])
    if scores.ndim != 2 or len(scores) != len(labels) or not smoothing > 0:
        raise ValueError(
            "Scores [N, L] for labels [N, A] and smoothing above 0 would do. "
            f"Received: shapes {scores.shape} and {labels.shape}, smoothing={smoothing}."
        )
    n, j = np.nonzero(labels >= 0)
    annotators = labels.shape[1]
    place = (j * classes + scores.argmax(1)[n]) * classes + labels[n, j]
    counts = np.bincount(place, minlength=annotators * classes**2).reshape(annotators, classes, classes) + smoothing
    return (counts / counts.sum(-1, keepdims=True)).astype("float32")


def mixture_targets(labels: ArrayLike, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """What training on the mixture of all labels sees: shares [N, classes] of each picture's labels, and their number.

    With the numbers [N] as `sample_weight`, the categorical cross entropy is that of every label as an example of its
    own. A picture without labels has the number 0.

    Raises:
        ValueError: a label that is neither -1 nor a class.
    """
    labels, classes = _checked(labels, classes)
    votes = _votes(labels, classes)
    given = votes.sum(1)
    return (votes / np.maximum(given, 1)[:, None]).astype("float32"), given.astype("float32")


def majority_vote(labels: ArrayLike, classes: int, seed: int = 0) -> np.ndarray:
    """The most frequent label of each picture, int64 [N], ties broken at random by `seed`; -1 without labels.

    Raises:
        ValueError: a label that is neither -1 nor a class.
    """
    labels, classes = _checked(labels, classes)
    votes = _votes(labels, classes)
    lots = np.random.default_rng(seed).random(votes.shape)  # below 1, so they decide ties and nothing else
    return np.where(votes.any(1), (votes + lots).argmax(1), -1)


def pseudo_annotate(models, images: ArrayLike, labels: ArrayLike, batch_size: int = 128) -> np.ndarray:
    """Labels [N, 2 A] of A groups of people and of A models, one trained on each group's labels (steps 1 and 2).

    The people's labels are kept as they are; model j labels every picture that group j left without a label.

    Args:
        models: A classifiers, the j-th trained on `labels[:, j]`.
        images: [N, ...], those of all data sets and pictures that nobody has labelled.
        labels: ints [N, A]; column j holds the labels of data set j on its own pictures, -1 elsewhere.
        batch_size: of the predictions.

    Raises:
        ValueError: not one model per column, or not one row of labels per image.
    """
    labels = np.asarray(labels)
    if labels.ndim != 2 or labels.shape != (len(images), len(models)):
        raise ValueError(
            f"Labels [{len(images)}, {len(models)}], a row per image and a column per model, would do. "
            f"Received: {labels.shape}."
        )
    said = np.full(labels.shape, -1, "int64")
    for j, model in enumerate(models):
        if (rows := np.flatnonzero(labels[:, j] < 0)).size:
            said[rows, j] = model.predict(np.asarray(images)[rows], batch_size=batch_size, verbose=0).argmax(1)
    return np.concatenate([labels, said], axis=1)


def _votes(labels: np.ndarray, classes: int) -> np.ndarray:
    """How often each picture got each class, [N, classes]."""
    n, j = np.nonzero(labels >= 0)
    return np.bincount(n * classes + labels[n, j], minlength=len(labels) * classes).reshape(-1, classes)


def _checked(labels: ArrayLike, classes: int) -> tuple[np.ndarray, int]:
    labels = np.asarray(labels)
    if labels.ndim != 2 or labels.dtype.kind not in "iu":
        raise ValueError(f"Labels are ints [N, annotators]. Received: {labels.dtype} of shape {labels.shape}.")
    labels = labels.astype("int64")
    if labels.size and not -1 <= labels.min() <= labels.max() < classes:
        raise ValueError(f"Labels are 0 to {classes - 1}, or -1 for none. Received: {labels.min()} to {labels.max()}.")
    return labels, classes

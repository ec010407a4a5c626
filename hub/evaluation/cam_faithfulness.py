"""Faithfulness of maps: how sure the model stays when it sees only what the map lights up.

Paper: Chattopadhyay et al., "Grad-CAM++: Improved Visual Explanations for Deep Convolutional Networks", WACV 2018,
  arXiv:1710.11063
Slug: grad_cam_plus_plus
Idea: multiply the image by its map; a faithful map loses little confidence, and sometimes the model grows surer.
Differs: nothing; a tie between two explanations is no win, which the paper leaves open.
Checked: against loops over images, one image at a time (tests/test_explain.py).
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from hub.registry import register


class CamFaithfulness(NamedTuple):
    """Figures in per cent: the first is better low, the others high; the last is NaN without a rival."""

    average_drop: float
    increase_in_confidence: float
    win_percentage: float


@register("cam_faithfulness")
def cam_faithfulness(
    model: Callable[[Any], Any],
    images: Any,
    maps: Any,
    classes: Any = None,
    *,
    rival: Any = None,
    batch_size: int = 32,
) -> CamFaithfulness:
    """Compare the confidence in N images with that in the same images seen through their maps.

    Args:
        model: a Keras model or any function: images [M, H, W, C] -> probabilities [M, K], in 0..1. Logits are refused:
            a share of them means nothing.
        images: [N, H, W, C] in the range that the model takes; what a map covers becomes 0.
        maps: [N, H, W] in 0..1.
        classes: [N] integers, the class explained in each. Default: the one most probable for the whole image.
        rival: maps [N, H, W] of another explanation, over which `maps` wins where it keeps more confidence.
        batch_size: images that pass through the model at once.

    Raises:
        ValueError: shapes do not fit, maps leave 0..1, outputs are no probabilities, or a whole image has confidence 0.
    """
    images, maps = np.asarray(images, "float32"), _checked(maps, images)
    outputs = _predict(model, images, batch_size)
    classes = (outputs.argmax(-1) if classes is None else np.asarray(classes)).reshape(-1, 1)
    if classes.shape != (len(images), 1) or not ((classes >= 0) & (classes < outputs.shape[1])).all():
        raise ValueError(f"`classes` holds one of {outputs.shape[1]} classes per image. Received: {classes.ravel()}.")

    def confidence(outputs: np.ndarray) -> np.ndarray:
        return np.take_along_axis(outputs, classes, axis=1)[:, 0]

    whole, seen = confidence(outputs), confidence(_predict(model, images * maps[..., None], batch_size))
    if not (whole > 0).all():
        raise ValueError("A drop is a share of the whole image's confidence. Received: an image with confidence 0.")
    win = float("nan")
    if rival is not None:
        others = confidence(_predict(model, images * _checked(rival, images)[..., None], batch_size))
        win = 100 * float((seen > others).mean())
    drop = np.maximum(whole - seen, 0) / whole
    return CamFaithfulness(100 * float(drop.mean()), 100 * float((seen > whole).mean()), win)


def _checked(maps: Any, images: Any) -> np.ndarray:
    maps = np.asarray(maps, "float32")
    if np.ndim(images) != 4 or maps.shape != np.shape(images)[:3] or not len(maps):
        raise ValueError(f"Images are [N, H, W, C], maps [N, H, W]. Received: {np.shape(images)} and {maps.shape}.")
    if not ((maps >= 0) & (maps <= 1)).all():
        raise ValueError(f"Maps lie in 0..1. Received: {maps.min()} to {maps.max()}.")
    return maps


def _predict(model: Callable, images: np.ndarray, batch_size: int) -> np.ndarray:
    import keras

    inference = {"training": False} if isinstance(model, keras.Model) else {}
    starts = range(0, len(images), batch_size)
    outputs = [model(images[start : start + batch_size], **inference) for start in starts]
    outputs = np.concatenate([keras.ops.convert_to_numpy(o) for o in outputs]).astype("float64")
    if outputs.ndim != 2 or not ((outputs >= 0) & (outputs <= 1)).all():
        raise ValueError(
            f"`model` gives probabilities [M, K] in 0..1. Received: shape {outputs.shape}, or other values."
        )
    return outputs


def contract_example(make: Callable) -> None:
    """A model whose confidence is the mean pixel: half the light is half the confidence."""
    images, half = np.full((2, 2, 2, 1), 0.8), np.full((2, 2, 2), 0.5)
    figures = make(lambda x: np.asarray(x).mean((1, 2)), images, half, rival=half / 2)
    np.testing.assert_allclose(figures, (50, 0, 100), atol=1e-5)

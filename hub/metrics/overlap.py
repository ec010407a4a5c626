"""Overlap of segmented and true masks: the Dice score and the Jaccard index of each image.

Paper: Taha and Hanbury, "Metrics for evaluating 3D medical image segmentation: analysis, selection, and tool",
  BMC Medical Imaging 2015, doi:10.1186/s12880-015-0068-x
Slug: overlap_metrics
Idea: 2 TP / (2 TP + FP + FN) and TP / (TP + FP + FN) ignore the background that both masks leave out.
Differs: an image whose two masks are both empty scores 1; the formulas leave it open. Keras's BinaryIoU pools the
  pixels of all images and averages over the two classes; these are averages over images, as the field reports them.
Checked: equals scikit-learn's f1_score and jaccard_score per image, and loops over the pixels (tests/test_dice.py).
"""

import math
from collections.abc import Callable

import keras
from keras import ops

from hub.registry import register


class _Overlap(keras.metrics.Mean):
    """Mean over images of a TP / (a TP + FP + FN), where a is `agreement`."""

    def __init__(self, threshold: float = 0.5, from_logits: bool = True, name: str | None = None, dtype=None):
        super().__init__(name=name or self.called, dtype=dtype)
        if not 0 < threshold < 1:
            raise ValueError(f"`threshold` is a probability between 0 and 1. Received: threshold={threshold}.")
        self.threshold = threshold
        self.from_logits = from_logits

    def update_state(self, y_true, y_pred, sample_weight=None):
        y_true, y_pred = (ops.convert_to_tensor(x, self.dtype) for x in (y_true, y_pred))
        if len(y_true.shape) != 4 or y_true.shape[-1] != 1 or len(y_pred.shape) != 4 or y_pred.shape[-1] not in (1, 2):
            raise ValueError(
                "Masks [N, H, W, 1] and predictions [N, H, W, 1] or [N, H, W, 2] would do. "
                f"Received: shapes {tuple(y_true.shape)} and {tuple(y_pred.shape)}."
            )
        if y_pred.shape[-1] == 2:  # softmax of two is the sigmoid of their difference
            y_pred = y_pred[..., 1:] - y_pred[..., :1] if self.from_logits else y_pred[..., 1:]
        cut = math.log(self.threshold / (1 - self.threshold)) if self.from_logits else self.threshold
        true, found = (ops.cast(mask, self.dtype) for mask in (y_true > 0.5, y_pred > cut))
        weight, counted = ops.ones_like(true), None
        if sample_weight is not None:
            counted = ops.convert_to_tensor(sample_weight, self.dtype)
            if len(counted.shape) > 2:
                weight = ops.reshape(counted, ops.shape(true))
                counted = ops.any(weight > 0, axis=(1, 2, 3))
            counted = ops.reshape(counted, (-1,))
        both = ops.sum(weight * true * found, axis=(1, 2, 3))
        differ = ops.sum(weight * ops.abs(true - found), axis=(1, 2, 3))
        most = self.agreement * both + differ
        super().update_state(ops.where(most > 0, ops.divide_no_nan(self.agreement * both, most), 1.0), counted)

    def get_config(self):
        return {**super().get_config(), "threshold": self.threshold, "from_logits": self.from_logits}


@register("dice_score")
@keras.saving.register_keras_serializable("hub")
class DiceScore(_Overlap):
    """Dice score 2 TP / (2 TP + FP + FN) of each image, averaged over images, in 0 ... 1.

    Masks [N, H, W, 1], of which 1 is foreground; predictions [N, H, W, 1], or [N, H, W, 2] for (background,
    foreground). `sample_weight` is one number per image, or one per pixel, [N, H, W] or [N, H, W, 1]; an image whose
    pixels all weigh nothing does not count.

    Args:
        threshold: a pixel is foreground where its probability is above it, in 0 ... 1.
        from_logits: whether predictions are logits; else they are probabilities.

    Raises:
        ValueError: `threshold` is not between 0 and 1, or masks and predictions do not have these shapes.
    """

    called, agreement = "dice_score", 2


@register("jaccard_index")
@keras.saving.register_keras_serializable("hub")
class JaccardIndex(_Overlap):
    """Jaccard index (intersection over union) TP / (TP + FP + FN) of each image, averaged over images, in 0 ... 1.

    Arguments, shapes and errors are those of `DiceScore`.
    """

    called, agreement = "jaccard_index", 1


def contract_example(make: Callable) -> tuple:
    """A disc, nothing, half and a dot; logits that draw them; logits that miss the first and the last."""
    import numpy as np

    rows, columns = np.mgrid[:16, :16] - 7.5
    masks = np.stack([rows**2 + columns**2 < 20, rows > 9, rows < 0, rows**2 + columns**2 < 1])
    masks = masks[..., None].astype("float32")
    good = 20 * (2 * masks - 1)
    return make(), (masks, good, good[[1, 1, 2, 2]])

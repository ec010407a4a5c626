"""Binary cross-entropy plus soft Dice: a segmentation loss for pictures in which one class is small.

Paper: Milletari et al., "V-Net: Fully Convolutional Neural Networks for Volumetric Medical Image Segmentation",
  3DV 2016, arXiv:1606.04797
Slug: vnet
Idea: 1 - Dice counts overlap, not pixels, so that a large background cannot drown a small foreground.
Differs: the denominator adds plain probabilities, as the Dice of masks does (the paper squares them); both sides are
  smoothed, so that an empty mask left empty costs nothing; cross-entropy is added, which the paper does not do.
Checked: equals loops over the pixels, with weights and at extreme logits, and keras.losses.Dice where that is defined
  (tests/test_dice.py).
"""

from collections.abc import Callable

import keras
from keras import ops

from hub.registry import register


@register("bce_dice")
@keras.saving.register_keras_serializable("hub")
class BinaryCrossentropyDice(keras.losses.Loss):
    """Mean binary cross-entropy plus 1 - (2 sum p y + s) / (sum p + sum y + s), one value per example.

    Masks y [N, H, W, 1] in 0 ... 1, logits [N, H, W, 1], or [N, H, W, 2] whose softmax gives (background, foreground).
    `sample_weight` is one number per example, 0 for a picture without a mask, or one per pixel, [N, H, W] or
    [N, H, W, 1]: the sums run over weighted pixels, the cross-entropy is the weighted mean, and an example whose pixels
    all weigh nothing costs nothing.

    Args:
        smooth: s, which counts as that many pixels of agreement.

    Raises:
        ValueError: masks and logits do not have these shapes, or `smooth` is not positive.
    """

    def __init__(
        self,
        smooth: float = 1.0,
        reduction: str = "sum_over_batch_size",
        name: str = "bce_dice",
    ):
        super().__init__(reduction=reduction, name=name)
        if not smooth > 0:
            raise ValueError(f"`smooth` must be positive, else an empty mask is 0 / 0. Received: smooth={smooth}.")
        self.smooth = smooth

    def __call__(self, y_true, y_pred, sample_weight=None):
        if sample_weight is not None:
            sample_weight = ops.convert_to_tensor(sample_weight, self.dtype)
            if len(sample_weight.shape) > 2:  # Keras weighs examples, `call` weighs pixels
                weight = ops.reshape(sample_weight, ops.shape(y_true))
                return super().__call__((y_true, weight), y_pred)
            sample_weight = ops.reshape(sample_weight, (-1,))
        return super().__call__(y_true, y_pred, sample_weight)

    def call(self, y_true, y_pred):
        y_true, weight = y_true if isinstance(y_true, tuple) else (y_true, ops.ones_like(y_true))
        if len(y_true.shape) != 4 or y_true.shape[-1] != 1 or len(y_pred.shape) != 4 or y_pred.shape[-1] not in (1, 2):
            raise ValueError(
                "Masks [N, H, W, 1] and logits [N, H, W, 1] or [N, H, W, 2] would do. "
                f"Received: shapes {tuple(y_true.shape)} and {tuple(y_pred.shape)}."
            )
        if y_pred.shape[-1] == 2:  # softmax of two is the sigmoid of their difference
            y_pred = y_pred[..., 1:] - y_pred[..., :1]

        def total(x):
            return ops.sum(weight * x, axis=(1, 2, 3))

        p = ops.sigmoid(y_pred)
        dice = (2 * total(p * y_true) + self.smooth) / (total(p) + total(y_true) + self.smooth)
        entropy = ops.binary_crossentropy(y_true, y_pred, from_logits=True)
        return ops.divide_no_nan(total(entropy), ops.sum(weight, axis=(1, 2, 3))) + 1 - dice

    def get_config(self):
        return {**super().get_config(), "smooth": self.smooth}


def contract_example(make: Callable) -> tuple:
    """A disc, nothing, half and a dot; logits that draw them; logits that draw their opposites."""
    import numpy as np

    rows, columns = np.mgrid[:16, :16] - 7.5
    masks = np.stack([rows**2 + columns**2 < 20, rows > 9, rows < 0, rows**2 + columns**2 < 1])
    masks = masks[..., None].astype("float32")
    good = 20 * (2 * masks - 1)
    return make(), (masks, good, -good)

"""Class activation map: the evidence of each position in a network that pools its last feature map.

Paper: Zhou et al., "Learning Deep Features for Discriminative Localization", CVPR 2016, arXiv:1512.04150
Slug: cam
Idea: pooling and a dense layer commute: the dense layer applied to each position gives maps whose mean is the logit.
Differs: the positive part, divided by its maximum, so that it compares with Grad-CAM, which equals it on such networks;
  the paper shows the map itself. `class_activation_head` gives that one, inside the model.
Checked: equals loops over positions, and Grad-CAM on a pooled linear head (tests/test_explain.py).
"""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

from hub.explain.feature_maps import forward, positive_maps, recorded, row_scores, walk
from hub.registry import register


@register("cam")
class CAM:
    """Explains a network that ends in global average pooling and one dense layer; one forward pass, on any backend.

    Args:
        layer: name of the layer whose output, [N, h, w, K], is pooled; layers of nested models are found too. Default:
            the last layer with a feature map of more than one position.
    """

    def __init__(self, layer: str | None = None):
        self.layer = layer

    def __call__(self, model: keras.Model, images: Any, score: Callable[[Any], Any] | None = None) -> np.ndarray:
        """Maps [N, H, W], float32 in 0..1: the largest value of each is 1, or all are 0 where nothing speaks for it.

        Args:
            model: any Keras model; it runs in inference mode and is left as it was.
            images: [N, H, W, C] in the range that the model takes.
            score: logits [M, classes] of the dense layer -> one number each, [M], linear in them, such as one class's
                column or the difference of two. Default: the class of the largest logit.

        Raises:
            ValueError: the last dense layer is not fed by the layer's mean over positions; the score does not fit.
        """
        images = ops.convert_to_tensor(images)
        heads = [layer for layer in walk(model) if isinstance(layer, keras.layers.Dense)]
        if not heads:
            raise ValueError(f"CAM reads the last dense layer's weights, and model {model.name!r} has no dense layer.")
        head = heads[-1]
        with recorded(head) as outputs:
            features = ops.cast(forward(model, images, self.layer)[1], "float32")
        pooled = ops.mean(features, axis=(1, 2))
        if not outputs or pooled.shape[-1] != head.kernel.shape[0]:
            raise ValueError(_unfit(head, f"{features.shape[-1]} channels for a kernel {tuple(head.kernel.shape)}"))
        logits = ops.matmul(pooled, ops.cast(head.kernel, "float32"))
        full = logits if head.bias is None else logits + ops.cast(head.bias, "float32")
        expected, got = (ops.convert_to_numpy(ops.cast(t, "float32")) for t in (head.activation(full), outputs[-1]))
        if expected.shape != got.shape or np.abs(expected - got).max() > 1e-2 * max(1e-6, np.abs(got).max()):
            raise ValueError(_unfit(head, "other outputs than the mean's"))
        n, height, width, channels = features.shape
        positions = ops.matmul(ops.reshape(features, (-1, channels)), ops.cast(head.kernel, "float32"))  # eq. 2
        scores = row_scores(score, full)(positions, np.repeat(np.arange(n), height * width))
        return positive_maps(ops.reshape(scores, (n, height, width)), images.shape[1:3])


def _unfit(head: keras.Layer, received: str) -> str:
    return (
        f"CAM needs dense layer {head.name!r} to take the layer's mean over positions; "
        f"name another `layer` or use Grad-CAM. Received: {received}."
    )

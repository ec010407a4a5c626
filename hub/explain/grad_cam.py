"""Grad-CAM: where in the picture the evidence for a score lies.

Paper: Selvaraju et al., "Grad-CAM: Visual Explanations from Deep Networks via Gradient-based Localization", ICCV 2017,
  arXiv:1610.02391
Slug: grad_cam
Idea: weigh each feature map by the mean gradient of the score with respect to it, add them up, keep the positive part.
Differs: each map is divided by its own maximum after bilinear resizing; the paper leaves the scale to the figure.
Checked: equals the closed form of a pooled linear head, finds planted patches (tests/test_grad_cam.py).
"""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

from hub.explain.feature_maps import feature_gradient, positive_maps
from hub.registry import register


@register("grad_cam")
class GradCAM:
    """Explains a model's score by a map over each image.

    The gradient is TensorFlow's (`tf.GradientTape`), so this needs `KERAS_BACKEND=tensorflow`; the model itself may use
    any layer. Feature maps are channels-last.

    Args:
        layer: name of the layer whose output, [N, h, w, K], is weighed; layers of nested models are found too. Default:
            the last layer with a feature map of more than one position.
    """

    def __init__(self, layer: str | None = None):
        self.layer = layer

    def __call__(self, model: keras.Model, images: Any, score: Callable[[Any], Any] | None = None) -> np.ndarray:
        """Maps [N, H, W], float32 in 0..1: the largest value of each is 1, or all are 0 where nothing speaks for it.

        Args:
            model: any Keras model; it runs in inference mode and is left as it was.
            images: [N, H, W, C] in the range that the model takes.
            score: the model's outputs -> one number per image, [N]; give logits, not probabilities, whose gradient
                fades as they saturate. Default: the largest of outputs [N, classes].

        Raises:
            ValueError: the layer, its output or the score does not fit.
            NotImplementedError: another backend than TensorFlow is running.
        """
        images = ops.convert_to_tensor(images)
        features, gradient = feature_gradient(model, images, self.layer, score)
        weights = ops.mean(gradient, axis=(1, 2))  # eq. 1
        return positive_maps(ops.einsum("nhwk,nk->nhw", features, weights), images.shape[1:3])  # eq. 2

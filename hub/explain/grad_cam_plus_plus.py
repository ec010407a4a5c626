"""Grad-CAM++: Grad-CAM that does not let a large object hide a small one.

Paper: Chattopadhyay et al., "Grad-CAM++: Improved Visual Explanations for Deep Convolutional Networks", WACV 2018,
  arXiv:1710.11063
Slug: grad_cam_plus_plus
Idea: average a map's gradient over the positions that carry it, by second and third derivatives, not over all.
Differs: exp(S), the score whose derivatives the paper takes, is never formed: it cancels in the coefficients, and its
  factor in the weights leaves when each map is divided by its maximum. Its derivatives assume, as the paper does, that
  S is piecewise linear in the maps (a ReLU network).
Checked: equals second and third derivatives of exp(S) by automatic differentiation, shows a small object beside a large
  one where Grad-CAM does not (tests/test_explain.py).
"""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

from hub.explain.feature_maps import feature_gradient, positive_maps
from hub.registry import register


@register("grad_cam_plus_plus")
class GradCAMPlusPlus:
    """Explains a model's score by a map over each image; needs `KERAS_BACKEND=tensorflow`.

    Args:
        layer: name of the layer whose output, [N, h, w, K], is weighed; the method is meant for maps after a ReLU.
            Layers of nested models are found too. Default: the last layer with a feature map of more than one position.
    """

    def __init__(self, layer: str | None = None):
        self.layer = layer

    def __call__(self, model: keras.Model, images: Any, score: Callable[[Any], Any] | None = None) -> np.ndarray:
        """Maps [N, H, W], float32 in 0..1: the largest value of each is 1, or all are 0 where nothing speaks for it.

        Args:
            model: any Keras model; it runs in inference mode and is left as it was.
            images: [N, H, W, C] in the range that the model takes.
            score: the model's outputs -> one number per image, [N]; give logits. Default: the largest of outputs
                [N, classes].

        Raises:
            ValueError: the layer, its output or the score does not fit.
            NotImplementedError: another backend than TensorFlow is running.
        """
        images = ops.convert_to_tensor(images)
        features, gradient = feature_gradient(model, images, self.layer, score)
        # eq. 19 divided by g^2, so that no power of a small gradient underflows; where g is 0, eq. 5 drops the position
        below = 2 + ops.sum(features, axis=(1, 2), keepdims=True) * gradient
        alpha = ops.divide_no_nan(ops.ones_like(below), below)
        weights = ops.sum(alpha * ops.relu(gradient), axis=(1, 2))  # eq. 5
        return positive_maps(ops.einsum("nhwk,nk->nhw", features, weights), images.shape[1:3])

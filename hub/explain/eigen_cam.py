"""Eigen-CAM: the main direction of a layer's activations, whatever the class.

Paper: Muhammad and Yeasin, "Eigen-CAM: Class Activation Map using Principal Components", IJCNN 2020, arXiv:2008.00299
Slug: eigen_cam
Idea: what the layer responds to most is the projection of its activations on their first right singular vector.
Differs: activations are centred over the positions unless `center=False`, the paper's formula, whose map is often a
  mere mean; the sign, which a singular vector leaves open, is chosen so that the larger values are positive.
Checked: equals NumPy's singular value decomposition, a rank-one map comes back exactly (tests/test_explain.py).
"""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

from hub.explain.feature_maps import divided, forward, resized
from hub.registry import register


@register("eigen_cam", skip={"aligned": "Eigen-CAM asks for no class: the maps of two classes are the same by design"})
class EigenCAM:
    """Shows what a layer responds to, on any backend; one forward pass, no gradient, no class.

    Args:
        layer: name of the layer whose output, [N, h, w, K], is projected; layers of nested models are found too.
            Default: the last layer with a feature map of more than one position.
        center: subtract each channel's mean over the positions first.
    """

    def __init__(self, layer: str | None = None, center: bool = True):
        self.layer = layer
        self.center = center

    def __call__(self, model: keras.Model, images: Any, score: Callable[[Any], Any] | None = None) -> np.ndarray:
        """Maps [N, H, W], float32, each stretched to 0..1; all 0 where the layer's output is the same everywhere.

        Args:
            model: any Keras model; it runs in inference mode and is left as it was.
            images: [N, H, W, C] in the range that the model takes.
            score: taken so that all explanations are called alike, and not used.

        Raises:
            ValueError: the layer or its output does not fit.
        """
        images = ops.convert_to_tensor(images)
        features = ops.convert_to_numpy(ops.cast(forward(model, images, self.layer)[1], "float32"))
        n, height, width, channels = features.shape
        rows = features.reshape(n, height * width, channels).astype("float64")
        if self.center:
            rows -= rows.mean(axis=1, keepdims=True)
        maps = _first_component(rows).reshape(n, height, width)
        maps = resized(maps, images.shape[1:3])
        maps -= maps.min((1, 2), keepdims=True)
        return divided(maps, maps.max((1, 2), keepdims=True))


def _first_component(rows: np.ndarray) -> np.ndarray:
    """Projections [N, P] of rows [N, P, K] on their first right singular vector, from the smaller Gram matrix."""
    across = np.swapaxes(rows, 1, 2)
    if rows.shape[1] <= rows.shape[2]:
        values, vectors = np.linalg.eigh(rows @ across)
        component = vectors[..., -1] * np.sqrt(np.maximum(values[:, -1:], 0))
    else:
        component = (rows @ np.linalg.eigh(across @ rows)[1][..., -1:])[..., 0]
    larger_below = component.max(1) < -component.min(1)
    return np.where(larger_below[:, None], -component, component)

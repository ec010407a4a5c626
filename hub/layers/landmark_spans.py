"""Landmark spans: Khan's features inside a graph, from landmarks to distances over that of the eyes.

Paper: Khan, "Facial Expression Recognition using Facial Landmark Detection and Feature Extraction via Neural Networks",
  2018, arXiv:1812.04510
Slug: fer_landmarks
Idea: every distance is the length of a fixed combination of landmarks, so that one matrix product, a length and a
  division make the features, and landmarks and expression can be served as one network.
Differs: a reconstruction, as hub/data/landmark_features.py, whose matrices it is given. Eyes that lie on each other
  give large numbers here, where there an error is raised.
Checked: equal to `landmark_distances` on random faces; converts to TFLite (tests/test_landmark_spans.py).
"""

from collections.abc import Callable
from typing import Any

import keras
from keras import layers, ops

from hub.registry import register


@register("landmark_spans")
@keras.saving.register_keras_serializable("hub")
class LandmarkSpans(layers.Layer):
    """Landmarks [N, 2 P], x and y of each point in turn, to features [N, distances + offsets].

    Weights, none of which trains: `spans` [P, distances + offsets], the combinations of points, and `eyes` [P, 1],
    from one eye to the other. The first are lengths, the last how far down a span reaches at right angles to the eyes.

    Args:
        points: P.
        distances: how many lengths.
        offsets: how many signed offsets.

    Raises:
        ValueError: `points` or `distances` below 1, or `offsets` below 0.
    """

    def __init__(self, points: int = 68, distances: int = 22, offsets: int = 3, **kwargs):
        super().__init__(**kwargs)
        if min(points, distances) < 1 or offsets < 0:
            raise ValueError(
                "`points` and `distances` are at least 1, `offsets` 0. "
                f"Received: points={points}, distances={distances}, offsets={offsets}."
            )
        self.points = points
        self.distances = distances
        self.offsets = offsets

    def build(self, input_shape):
        every = self.distances + self.offsets
        self.spans = self.add_weight((self.points, every), "glorot_uniform", trainable=False, name="spans")
        self.eyes = self.add_weight((self.points, 1), "glorot_uniform", trainable=False, name="eyes")

    def call(self, landmarks):
        x = ops.transpose(ops.reshape(landmarks, (-1, self.points, 2)), (0, 2, 1))  # [N, 2, P]
        spans, eyes = ops.matmul(x, ops.cast(self.spans, x.dtype)), ops.matmul(x, ops.cast(self.eyes, x.dtype))
        apart = ops.sqrt(ops.sum(ops.square(eyes), axis=1) + 1e-12)  # [N, 1]
        across, down = spans[:, 0] / apart, spans[:, 1] / apart
        lengths = ops.sqrt(ops.square(across) + ops.square(down) + 1e-12)
        along, fall = eyes[:, 0] / apart, eyes[:, 1] / apart
        below = down * along - across * fall
        return ops.concatenate([lengths[:, : self.distances], below[:, self.distances :]], axis=-1)

    def compute_output_shape(self, input_shape):
        return (input_shape[0], self.distances + self.offsets)

    def get_config(self):
        own = {"points": self.points, "distances": self.distances, "offsets": self.offsets}
        return {**super().get_config(), **own}


def contract_example(make: Callable) -> tuple[Any, Any]:
    """Five points."""
    import numpy as np

    return make(points=5, distances=3, offsets=2), np.random.default_rng(0).normal(size=(4, 10)).astype("float32")

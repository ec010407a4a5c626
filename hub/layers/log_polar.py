"""LogPolar: an image as a retina sees it, rings by angles around a point of fixation.

Paper: Jérémie, Daucé and Perrinet, "Foveated Retinotopy Improves Classification and Localization in CNNs", 2024,
  arXiv:2402.15480
Slug: foveated_retinotopy
Idea: with exponentially growing radii, turning the image about the fixation shifts the columns and zooming shifts the
  rows, which a convolution follows; what is off the fixation is coarse, so it matters where one looks.
Differs: the smallest radius, 0.03 of half the side, is a guess (the summary at hand gives none). Pixels are read
  bilinearly whatever the ring's width, so that far rings alias. The circle stays one on oblong images.
Checked: equals SciPy's bilinear interpolation, for centres of each example too; quarter turns shift the columns
  exactly, and turns and zooms of smooth images shift columns and rows to the figures given (tests/test_log_polar.py).
"""

import math

import keras
import numpy as np
from keras import layers, ops

from hub.registry import register


@register("log_polar", n_rho=12, n_theta=16)
@keras.saving.register_keras_serializable("hub")
class LogPolar(layers.Layer):
    """Sample images [N, H, W, C] on `n_rho` rings by `n_theta` angles: [N, n_rho, n_theta, C].

    Row i lies on the radius exp(linspace(log(r_min), log(r_max), n_rho))[i], column j at the angle 2 pi j / n_theta
    from the right towards the bottom. Lengths are in halves of the shorter side: a radius of 1 touches the border of
    an image fixated in the middle. What is outside the image is 0.

    Called on (images, centers), it looks at `centers` [N, 2], the row and column of each image's fixation as lengths
    from its middle.

    Args:
        n_rho: number of rings.
        n_theta: number of angles.
        r_min: radius of the first ring.
        r_max: radius of the last ring.
        center: row and column of the fixation, as lengths from the middle, where no `centers` are given.

    Raises:
        ValueError: the radii do not grow, there are fewer than 2 rings or no angle, or sizes are unknown.
    """

    def __init__(
        self,
        n_rho: int = 224,
        n_theta: int = 224,
        r_min: float = 0.03,
        r_max: float = 1.0,
        center: tuple[float, float] = (0.0, 0.0),
        **kwargs,
    ):
        super().__init__(**kwargs)
        if not 0 < r_min < r_max or n_rho < 2 or n_theta < 1:
            raise ValueError(
                "LogPolar needs 0 < r_min < r_max, 2 rings and 1 angle or more. "
                f"Received: r_min={r_min}, r_max={r_max}, n_rho={n_rho}, n_theta={n_theta}."
            )
        self.n_rho = n_rho
        self.n_theta = n_theta
        self.r_min = r_min
        self.r_max = r_max
        self.center = tuple(center)

    def build(self, input_shape):
        images = input_shape[0] if isinstance(input_shape[0], tuple | list) else input_shape
        if None in images[1:3]:
            raise ValueError(f"LogPolar needs images of a known height and width. Received: shape {tuple(images)}.")
        self.size = tuple(images[1:3])
        radii = np.exp(np.linspace(math.log(self.r_min), math.log(self.r_max), self.n_rho))
        angles = 2 * math.pi * np.arange(self.n_theta) / self.n_theta
        around = radii[:, None, None] * np.stack([np.sin(angles), np.cos(angles)], -1)
        self.around = around.reshape(-1, 2).astype("float32")  # row and column of each point, from the fixation

    def call(self, inputs):
        images, centers = inputs if isinstance(inputs, tuple | list) else (inputs, None)
        given = ops.array([self.center], "float32") if centers is None else ops.cast(centers, "float32")
        height, width = self.size
        last = ops.array([height - 1, width - 1], "float32")
        # in pixels from the centre of the top left one, [N or 1, n_rho * n_theta, 2]
        points = (ops.array(self.around) + given[:, None]) * (min(self.size) / 2) + last / 2
        corner = ops.floor(points)
        pixels = ops.reshape(images, (-1, height * width, images.shape[-1]))
        total = 0
        for down in (0, 1):
            for right in (0, 1):
                near = corner + ops.array([down, right], "float32")
                inside = ops.all(ops.logical_and(near >= 0, near <= last), axis=-1, keepdims=True)
                weight = ops.prod(1 - ops.abs(points - near), axis=-1, keepdims=True) * ops.cast(inside, "float32")
                near = ops.cast(near, "int32")
                at = ops.clip(near[..., 0], 0, height - 1) * width + ops.clip(near[..., 1], 0, width - 1)
                if centers is None:
                    found = ops.take(pixels, at[0], axis=1)
                else:
                    found = ops.take_along_axis(pixels, at[..., None], axis=1)
                total = total + found * ops.cast(weight, pixels.dtype)
        return ops.reshape(total, (-1, self.n_rho, self.n_theta, images.shape[-1]))

    def compute_output_shape(self, input_shape):
        images = input_shape[0] if isinstance(input_shape[0], tuple | list) else input_shape
        return (images[0], self.n_rho, self.n_theta, images[-1])

    def get_config(self):
        names = ("n_rho", "n_theta", "r_min", "r_max", "center")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}

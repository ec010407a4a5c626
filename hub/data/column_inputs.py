"""Column inputs: the versions of an image that the columns of a committee are trained on.

Paper: Ciresan, Meier and Schmidhuber, "Multi-column Deep Neural Networks for Image Classification", CVPR 2012,
  arXiv:1202.2745
Slug: mcdnn
Idea: the same digit at six widths, the same traffic sign at four contrasts: columns that saw different versions err
  differently.
Differs: the paper used MATLAB; how it resampled, and how it treated colour, is not certain. Here widths are changed by
  averaging over areas, and each channel's contrast by itself. The tiles of `adapthisteq`, the 1 % of `imadjust` and
  the 5 pixels of `conorm` are recalled from the paper. `adapthisteq` is Keras's layer; `histeq` is not, since that of
  Keras 3.15 draws one histogram for a whole batch.
Checked: a normalised digit is exactly as wide as asked, centred, and keeps its mean row by row; equals slow loops;
  contrasts against NumPy and scipy (tests/test_mcdnn.py).
"""

from collections.abc import Callable

import numpy as np

from hub.registry import register

WIDTHS = (10, 12, 14, 16, 18, 20)  # of MNIST's columns, beside the original
CONTRASTS = ("imadjust", "histeq", "adapthisteq", "conorm")  # of GTSRB's, beside the original


@register("width_normalize")
def width_normalize(images: np.ndarray, width: int) -> np.ndarray:
    """Digits on an empty (0) ground, each stretched so that its ink is `width` pixels wide, and centred.

    Heights stay. An output pixel is the mean of what it covers of the original; an image without ink stays empty.

    Args:
        images: [N, H, W] or [N, H, W, 1], ink above 0, any type.
        width: of the ink, in pixels, 1..W.

    Returns:
        float32, the shape of `images`.

    Raises:
        ValueError: `images` has another shape or `width` does not fit.
    """
    images = np.asarray(images)
    if images.ndim not in (3, 4) or images.shape[3:] not in ((), (1,)) or not 1 <= width <= images.shape[2]:
        raise ValueError(
            f"Images [N, H, W] or [N, H, W, 1] and a width of 1..W would do. Received: {images.shape}, width={width}."
        )
    flat = images.reshape(images.shape[:3]).astype(np.float64)
    count, height, full = flat.shape
    ink = (flat > 0).any(1)
    left = ink.argmax(1)
    right = full - ink[:, ::-1].argmax(1)  # one past the last column of ink
    edges = left[:, None] + (right - left)[:, None] * np.arange(width + 1) / width  # [N, width + 1], of output pixels
    total = np.concatenate([np.zeros((count, height, 1)), flat.cumsum(2)], 2)  # integral of a row up to each column
    whole = np.minimum(edges.astype(int), full - 1)[:, None]
    low, high = np.take_along_axis(total, whole, 2), np.take_along_axis(total, whole + 1, 2)
    until = low + (edges[:, None] - whole) * (high - low)
    out = np.zeros(flat.shape, np.float32)
    start = (full - width) // 2
    out[:, :, start : start + width] = np.diff(until, axis=2) * (width / (right - left))[:, None, None]
    return out.reshape(images.shape)


@register("contrast_normalize")
def contrast_normalize(images: np.ndarray, method: str) -> np.ndarray:
    """Images with another contrast, channel by channel.

    "imadjust" stretches so that 1 % of the pixels saturate at either end; "histeq" makes the histogram flat;
    "adapthisteq" does so in 8 by 8 tiles, limited; "conorm" keeps edges only: the difference of a Gaussian of 1 and one
    of 2 pixels, in a 5 by 5 window, around 127.5.

    Args:
        images: [N, H, W, C] in 0..255; at least 8 pixels each way for "adapthisteq".
        method: one of these four.

    Returns:
        float32 [N, H, W, C] in 0..255.

    Raises:
        ValueError: another `method`, or images of another rank.
    """
    images = np.asarray(images, np.float32)
    if method not in CONTRASTS or images.ndim != 4:
        raise ValueError(
            f"Images [N, H, W, C] and one of {', '.join(CONTRASTS)} would do. Received: {images.shape}, {method!r}."
        )
    if method == "imadjust":
        low, high = np.percentile(images, (1, 99), axis=(1, 2), keepdims=True)
        return np.clip((images - low) / np.maximum(high - low, 1e-6) * 255, 0, 255).astype(np.float32)
    if method == "conorm":
        from scipy import ndimage

        def blur(sigma):
            return ndimage.gaussian_filter(images, (0, sigma, sigma, 0), radius=(0, 2, 2, 0))

        return np.clip(127.5 + blur(1) - blur(2), 0, 255)
    if method == "histeq":
        count, height, width, channels = images.shape
        grey = np.clip(images, 0, 255).astype(np.int64)
        grey += 256 * np.arange(count * channels).reshape(count, 1, 1, channels)  # a range for each histogram
        until = np.bincount(grey.ravel(), minlength=256 * count * channels).reshape(-1, 256).cumsum(1)
        darkest = np.where(until > 0, until, height * width).min(1, keepdims=True)
        share = (until - darkest) / np.maximum(height * width - darkest, 1)
        return (255 * np.maximum(share, 0)).astype(np.float32).ravel()[grey]
    import keras

    layer = keras.layers.ContrastLimitedAdaptiveHistogramEqualization()
    parts = np.array_split(images, max(len(images) // 64, 1))  # the tiles' histograms take 1 kB per value
    return np.concatenate([keras.ops.convert_to_numpy(layer(part)) for part in parts]).astype(np.float32)


def contract_example(make: Callable) -> None:
    """A bar of ink gets the width that was asked for; a flat picture has no contrast to gain."""
    if make.func is width_normalize:
        bar = np.zeros((1, 6, 12), np.uint8)
        bar[:, 1:5, 2:5] = 200
        wide = make(bar, 8)
        assert (np.flatnonzero(wide[0, 2]) == np.arange(2, 10)).all() and np.allclose(wide[0, 1:5, 2:10], 200)
    else:
        assert np.allclose(make(np.full((1, 16, 16, 1), 90), "conorm"), 127.5)

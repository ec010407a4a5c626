"""Faces shown a little differently each time: turned, shifted, scaled, mirrored, lighter, with their points."""

from typing import Any

TURN, SCALE, SHIFT = 12.0, 0.12, 0.08  # degrees, logarithm, share of the side
CONTRAST, LIGHT = 0.3, 0.15  # shares
# Place of each of iBUG's 68 points in a mirrored face.
MIRRORED = (
    *range(16, -1, -1), *range(26, 16, -1), *range(27, 31), *range(35, 30, -1),
    45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40,
    *range(54, 47, -1), *range(59, 54, -1), *range(64, 59, -1), *range(67, 64, -1),
)  # fmt: skip


def augment(images: Any, points: Any, seed: Any) -> tuple[Any, Any]:
    """A batch shown differently; the same seed gives the same.

    Args:
        images: float32 [N, H, W, 1] in 0..255.
        points: float32 [N, 68, 2] in 0..1 of the picture.
        seed: int32 or int64 [2].
    """
    import tensorflow as tf

    count, side = tf.shape(images)[0], tf.cast(tf.shape(images)[2], tf.float32)
    draws = tf.random.stateless_uniform((7, count), seed, -1.0, 1.0)
    angle, scale = draws[0] * (TURN * 3.14159265 / 180), tf.exp(draws[1] * SCALE)
    flip = tf.where(draws[4] > 0, 1.0, -1.0)
    # what is shown at x comes from A x + b, both from the middle, in shares of the side
    cosine, sine = tf.cos(angle) * scale, tf.sin(angle) * scale
    across, down = draws[2] * SHIFT, draws[3] * SHIFT
    middle, half = (side - 1) / 2, side / 2
    a0, a1, b0, b1 = cosine * flip, -sine, sine * flip, cosine
    zero = tf.zeros_like(angle)
    rows = [
        a0, a1, middle - (a0 + a1) * middle + 2 * half * across,
        b0, b1, middle - (b0 + b1) * middle + 2 * half * down, zero, zero,
    ]  # fmt: skip
    shown = tf.raw_ops.ImageProjectiveTransformV3(
        images=images,
        transforms=tf.stack(rows, axis=1),
        output_shape=tf.shape(images)[1:3],
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="NEAREST",
    )
    gain = (1 + CONTRAST * draws[5])[:, None, None, None]
    light = (255 * LIGHT * draws[6])[:, None, None, None]
    mean = tf.reduce_mean(shown, axis=(1, 2, 3), keepdims=True)
    shown = tf.clip_by_value((shown - mean) * gain + mean + light, 0.0, 255.0)
    x, y = points[..., 0] - 0.5 - across[:, None], points[..., 1] - 0.5 - down[:, None]
    norm = (scale * scale * flip)[:, None]  # the determinant of A
    moved = tf.stack(
        [(b1[:, None] * x - a1[:, None] * y) / norm + 0.5, (a0[:, None] * y - b0[:, None] * x) / norm + 0.5], axis=-1
    )
    mirrored = tf.gather(moved, tf.constant(MIRRORED), axis=1)
    return shown, tf.where((flip < 0)[:, None, None], mirrored, moved)

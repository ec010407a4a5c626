"""Patches as another pen would have left them: sharper or softer, fainter or fuller, with grain."""

from typing import Any

SOFT, GAIN, GRAIN = 1.0, 0.3, 0.15  # shares of a blurred patch, of the ink, of noise on the ink


def other_pen(patches: Any, seed: Any) -> Any:
    """Ink float32 [N, H, W, 1] in 0..1, each patch drawn with a pen of its own; the same seed gives the same."""
    import tensorflow as tf

    count = tf.shape(patches)[0]
    soft, gain, grain = tf.unstack(tf.random.stateless_uniform((3, count, 1, 1, 1), seed, -1.0, 1.0))
    row = tf.constant([0.25, 0.5, 0.25])
    kernel = tf.reshape(row[:, None] * row, (3, 3, 1, 1))
    blurred = tf.nn.depthwise_conv2d(patches, kernel, [1, 1, 1, 1], "SAME")
    shown = patches + SOFT * soft * (blurred - patches)
    noise = tf.random.stateless_normal(tf.shape(patches), seed + 1)
    shown = shown * (1 + GAIN * gain) * (1 + GRAIN * tf.abs(grain) * noise)
    return tf.clip_by_value(shown, 0.0, 1.0)

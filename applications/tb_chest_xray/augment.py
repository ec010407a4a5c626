"""Random views of films: small turns, scales and shifts (the paper's), and the looks of other machines (ours)."""

from typing import Any

TURN, SCALE, SHIFT = 5.0, 0.05, 0.05  # degrees; share; share of the side: the lower ends of the paper's ranges


def augment(image: Any, mask: Any, seed: Any) -> tuple[Any, Any]:
    """One random view of each film; the same `seed` gives the same views.

    Args:
        image: [B, S, S, 1] in 0..255, any dtype.
        mask: [B, S, S, 1] in 0..1, moved with the film.
        seed: int32 [2].

    Returns:
        float32 image in 0..255 and mask.
    """
    import tensorflow as tf

    moved = move(tf.concat([tf.cast(image, tf.float32), 255.0 * tf.cast(mask, tf.float32)], axis=-1), seed)
    return look(moved[..., :1], seed + 1), moved[..., 1:] / 255.0


def move(image: Any, seed: Any) -> Any:
    """A turn, a scale and a shift about the middle; zeros where the film ends."""
    import tensorflow as tf

    count, side = tf.shape(image)[0], tf.cast(tf.shape(image)[1], tf.float32)
    draw = tf.random.stateless_uniform([count, 5], seed, -1.0, 1.0)
    angle = draw[:, 0] * TURN * 3.14159265 / 180
    wide, high = 1 + SCALE * draw[:, 1], 1 + SCALE * draw[:, 2]
    a, b = tf.cos(angle) / wide, -tf.sin(angle) / wide
    c, d = tf.sin(angle) / high, tf.cos(angle) / high
    middle = (side - 1) / 2
    x = middle - a * middle - b * middle + draw[:, 3] * SHIFT * side
    y = middle - c * middle - d * middle + draw[:, 4] * SHIFT * side
    zero = tf.zeros_like(a)
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=image,
        transforms=tf.stack([a, b, x, c, d, y, zero, zero], axis=1),
        output_shape=tf.shape(image)[1:3],
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="CONSTANT",
    )


def look(image: Any, seed: Any) -> Any:
    """Gamma, contrast, brightness, blur and noise at random; 0..255."""
    import tensorflow as tf

    count = tf.shape(image)[0]
    draw = tf.random.stateless_uniform([count, 6, 1, 1, 1], seed)
    gamma = tf.exp((draw[:, 0] - 0.5) * 0.6)  # 0.74 to 1.35
    x = tf.pow(tf.clip_by_value(image / 255.0, 0.0, 1.0), gamma)
    x = (x - 0.5) * (0.85 + 0.3 * draw[:, 1]) + 0.5 + 0.15 * (draw[:, 2] - 0.5)
    blurred = tf.nn.avg_pool2d(x, 3, 1, "SAME")
    x += tf.where(draw[:, 3] < 0.2, blurred - x, tf.zeros_like(x))
    x += 0.03 * draw[:, 4] * tf.random.stateless_normal(tf.shape(x), seed + 1)
    return 255.0 * tf.clip_by_value(x, 0.0, 1.0)

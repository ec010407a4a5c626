"""The network that reads a number: a backbone of the hub, or the paper's own, with heads for length and digits."""

from typing import Any

from applications.street_number.config import CROP, MAX_LENGTH, SYMBOLS, VIEW
from hub import registry

PAPER = "multi_digit_recognition"  # slug of the networks that bring their own heads


def build(name: str, crop: bool = False, decode: bool = False) -> Any:
    """Pixels in, logits out; the same weights in the same order whatever `crop` and `decode` say.

    Args:
        name: a model of the hub.
        crop: take 64x64 crops and look at their centre, as evaluation and serving do; else 54x54 views.
        decode: return what `SequenceDecoder` makes of the logits instead of the packed logits.

    Returns:
        `keras.Model` from `image` `[N, side, side, 3]`, 0..255, to packed logits `[N, 7 + 5 * 10]`.
    """
    import keras

    from hub.layers.sequence_decoder import SequenceDecoder

    entry = registry.info(name)
    side = CROP if crop else VIEW
    image = x = keras.Input((side, side, 3), name="image")
    if crop:
        x = keras.layers.Cropping2D((CROP - VIEW) // 2, name="centre")(x)
    x = keras.layers.Rescaling(1 / 255, name="rescale")(x)
    if entry.slug == PAPER:
        x = keras.layers.Subtract(name="remove_mean")([x, keras.layers.GlobalAveragePooling2D(keepdims=True)(x)])
        x = registry.build(entry.name, input_shape=(VIEW, VIEW, 3))(x)
    else:
        x = keras.layers.LayerNormalization(axis=(1, 2, 3), center=False, scale=False, name="standardise")(x)
        x = registry.build(entry.name, input_shape=(VIEW, VIEW, 3), num_classes=0)(x)
        x = keras.layers.Conv2D(NECK, 1, use_bias=False, name="neck")(x)
        x = keras.layers.BatchNormalization(momentum=0.9, name="neck_norm")(x)
        x = keras.layers.ReLU(name="features")(x)
        x = keras.layers.Dropout(0.1, name="dropout")(keras.layers.Flatten(name="flatten")(x))
        x = keras.layers.Dense(MAX_LENGTH + 2 + MAX_LENGTH * SYMBOLS, dtype="float32", name="logits")(x)
    if decode:
        x = SequenceDecoder(MAX_LENGTH, SYMBOLS, dtype="float32", name="decode")(x)
    return keras.Model(image, x, name="street_number")


NECK = 24  # channels that the heads read; positions are kept, for the heads differ by position

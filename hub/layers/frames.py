"""Frames of many clips as one batch of images, and back; networks over sets of silhouettes share it.

`keras.layers.TimeDistributed` loops over time, which TFLite has no operation for; folded frames are convolved at once.
"""

import keras
from keras import layers, ops


@keras.saving.register_keras_serializable("hub")
class FoldFrames(layers.Layer):
    """Clips [N, T, H, W, C] to images [N * T, H, W, C]; N and T are free, the other sizes known."""

    def call(self, clips):
        return ops.reshape(clips, (-1, *clips.shape[2:]))

    def compute_output_shape(self, input_shape):
        clips, frames = input_shape[:2]
        return (clips * frames if clips and frames else None, *input_shape[2:])


@keras.saving.register_keras_serializable("hub")
class UnfoldFrames(layers.Layer):
    """Maps [N * T, H, W, C] and the clips [N, T, ...] that they were folded from to [N, T, H, W, C]."""

    def call(self, inputs):
        maps, clips = inputs
        return ops.reshape(maps, (*ops.shape(clips)[:2], *maps.shape[1:]))

    def compute_output_shape(self, input_shape):
        maps, clips = input_shape
        return (*clips[:2], *maps[1:])


def clip_inputs(input_shape: tuple[int | None, int, int, int]) -> dict[str, keras.KerasTensor]:
    """What a network over sets takes: `silhouettes` [N, *input_shape] and `length` [N], how many frames are real.

    Raises:
        ValueError: `input_shape` is not (frames or None, height, width, channels).
    """
    if len(input_shape) != 4 or None in input_shape[1:]:
        raise ValueError(
            "A set of silhouettes has `input_shape` (None, height, width, channels), where None stands for any number "
            f"of frames. Received: input_shape={input_shape}."
        )
    return {
        "silhouettes": keras.Input(input_shape, name="silhouettes"),
        "length": keras.Input((), dtype="int32", name="length"),
    }


def contract_inputs(model: keras.Model) -> dict:
    """Two clips of 5 and 3 frames for `model`, whose inputs are `clip_inputs`; the second one's padding is noise."""
    import numpy as np

    shape = (2, 5, *model.input["silhouettes"].shape[2:])
    silhouettes = np.random.default_rng(0).normal(size=shape).astype("float32")
    return {"silhouettes": silhouettes, "length": np.array([5, 3], "int32")}

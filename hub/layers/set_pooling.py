"""Set pooling: what the frames of a clip say together, whatever their number and order.

Paper: Chao et al., "GaitSet: Regarding Gait as a Set for Cross-View Gait Recognition", AAAI 2019, arXiv:1811.06186
Slug: gaitset
Idea: a gait is a set of silhouettes; a statistic over the set needs no order, no fixed number and no gap-free video.
Differs: the median of an even number of frames is the lower of the middle two, as `torch.median` in the authors' code,
  which has max and median only. The others are built from the paper's description: joint_conv has no bias, like the
  network's other convolutions; attention reads max, mean and median beside the frame, its sigmoid and the absence of a
  bias are our reconstruction, the residual and the final max are the paper's. A length is counted, not cut: padded
  frames cost time but enter no statistic.
Checked: every mode equals slow NumPy loops over sets of 1 to 6 frames whose padding is noise or infinite; order does
  not matter, for max and median not a bit, nor does repetition; all modes convert to TFLite (tests/test_gaitset.py).
"""

from collections.abc import Callable

import keras
from keras import layers, ops

from hub.registry import register

MODES = ("max", "mean", "median", "joint_sum", "joint_conv", "attention")


@register("set_pooling")
@keras.saving.register_keras_serializable("hub")
class SetPooling(layers.Layer):
    """[features [N, T, H, W, C], length [N]] to [N, H, W, C], over the first `length` of the T frames of each set.

    Lengths are whole numbers from 1 up, of which T count at most; an empty set has no statistic: refuse it before. H, W
    and C are known, N and T free.

    Args:
        mode: the statistic of each position and channel, "max", "mean" or "median"; "joint_sum", the sum of the three;
            "joint_conv", a 1x1 convolution over the three; or "attention", the max over frames of
            x + x sigmoid(conv [x, max, mean, median]), the convolution 1x1.

    Raises:
        ValueError: another `mode`.
    """

    def __init__(self, mode: str = "max", **kwargs):
        super().__init__(**kwargs)
        if mode not in MODES:
            raise ValueError(f"`mode` is one of {', '.join(MODES)}. Received: mode={mode!r}.")
        self.mode = mode

    def build(self, input_shape):
        channels = input_shape[0][-1]
        maps = {"joint_conv": 3, "attention": 4}.get(self.mode, 0)
        if maps:
            self.kernel = self.add_weight((maps * channels, channels), "glorot_uniform", name="kernel")

    def call(self, inputs):
        features, length = inputs
        clips, frames = ops.shape(features)[:2]
        sizes = features.shape[2:]
        x = ops.reshape(features, (clips, frames, sizes[0] * sizes[1] * sizes[2]))  # LiteRT sorts few axes only
        real = ops.arange(frames, dtype="int32")[None, :, None] < ops.cast(length, "int32")[:, None, None]
        found = self._joint(features, x, real) if self.mode in ("joint_conv", "attention") else self._plain(x, real)
        return ops.reshape(found, (clips, *sizes))

    def _plain(self, x, real):
        modes = ("max", "mean", "median") if self.mode == "joint_sum" else (self.mode,)
        return sum(STATISTICS[mode](x, real) for mode in modes)

    def _joint(self, features, x, real):
        channels = features.shape[-1]
        clips, frames = ops.shape(features)[:2]
        positions = features.shape[2] * features.shape[3]
        every = [ops.reshape(STATISTICS[mode](x, real), (clips, positions, channels)) for mode in STATISTICS]
        kernel = ops.cast(self.kernel, x.dtype)
        if self.mode == "joint_conv":
            return ops.matmul(ops.concatenate(every, axis=-1), kernel)
        # the convolution over the concatenation is the sum of one over the frame and one over the set
        of_frame = ops.matmul(ops.reshape(x, (clips, frames * positions, channels)), kernel[:channels])
        of_set = ops.matmul(ops.concatenate(every, axis=-1), kernel[channels:])
        scores = ops.reshape(of_frame, ops.shape(x)) + ops.reshape(of_set, (clips, 1, positions * channels))
        return largest(x + x * ops.sigmoid(scores), real)

    def compute_output_shape(self, input_shape):
        shape = input_shape[0]
        return (shape[0], *shape[2:])

    def get_config(self):
        return {**super().get_config(), "mode": self.mode}


def largest(x, real):
    """[N, D], the largest of the frames [N, T, D] that are `real` [N, T, 1]."""
    return ops.max(ops.where(real, x, x[:, :1]), axis=1)  # a frame twice; int8 has no place for infinity


def mean(x, real):
    """[N, D]; its sum runs in float32."""
    total = ops.sum(ops.cast(ops.where(real, x, 0.0), "float32"), axis=1)
    return ops.cast(total / ops.sum(ops.cast(real, "float32"), axis=1), x.dtype)


def median(x, real):
    """[N, D], the lower one of an even number."""
    ascending = ops.sort(ops.where(real, x, largest(x, real)[:, None]), axis=1)
    middle = (ops.sum(ops.cast(real, "int32"), axis=1, keepdims=True) - 1) // 2
    chosen = ops.equal(ops.arange(ops.shape(x)[1], dtype="int32")[None, :, None], middle)
    return ops.sum(ops.where(chosen, ascending, 0.0), axis=1)


STATISTICS = {"max": largest, "mean": mean, "median": median}


def contract_example(make: Callable) -> tuple:
    """Attention, which has weights; sets of 4 and 2 frames, the second padded."""
    import numpy as np

    features = np.random.default_rng(0).normal(size=(2, 4, 4, 3, 5)).astype("float32")
    return make(mode="attention"), [features, np.array([4, 2], "int32")]

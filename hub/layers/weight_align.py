"""WeightAlign: convolutions whose kernels, not their outputs, are normalised.

Paper: Shi, Li, Liu and van Gemert, "WeightAlign: Normalizing Activations by Weight Alignment", ICPR 2020,
  arXiv:2010.07160
Slug: weight_align
Idea: filters of zero mean and a variance that keeps the signal's make activations comparable without any statistics of
  batch or picture, so the batch may be of any size and inference is the training graph.
Differs: the factor n/2 follows from the variance of He et al. (2015), on which the paper builds; recalled, not
  re-checked against its code. Centred filters drop the positive mean that a ReLU leaves, so that form loses a factor
  1 - 1/pi of variance per layer, here 1e-5 after 30; `gain="relu"` makes up for it and is not the paper's.
Checked: mean and variance of aligned filters in closed form; the variance after 30 layers for each gain; no example
  sees its neighbours; a plain convolution with `layer.kernel` gives the same outputs
  (tests/test_layers_bnsr_align.py).
"""

import math

import keras
from keras import layers, ops

from hub.registry import register

GAINS = {"he": 1 / 2, "relu": (1 - 1 / math.pi) / 2, "linear": 1.0}  # variance that leaves, over fan-in times Var(w)


def weight_align(kernel, gain: str = "he", epsilon: float = 1e-5):
    """(w - mean) / sqrt(gain n Var(w) + epsilon) of each filter of [..., filters], with n the size of a filter.

    `gain` is "he" for the paper's n/2, "relu" to keep the variance from one ReLU to the next, "linear" for none.
    """
    axes = tuple(range(len(kernel.shape) - 1))
    size = math.prod(kernel.shape[:-1])
    mean = ops.mean(kernel, axis=axes, keepdims=True)
    variance = ops.mean(ops.square(kernel - mean), axis=axes, keepdims=True)
    return (kernel - mean) / ops.sqrt(GAINS[gain] * size * variance + epsilon)


class Aligned:
    """What the two layers share: `kernel` is the aligned one, gamma times `weight_align` of the trained weights."""

    def __init__(self, *args, gain: str = "he", epsilon: float = 1e-5, **kwargs):
        super().__init__(*args, **kwargs)
        if gain not in GAINS:
            raise ValueError(f"`gain` is one of {', '.join(GAINS)}. Received: gain={gain!r}.")
        self.gain = gain
        self.epsilon = epsilon

    def build(self, input_shape):
        super().build(input_shape)
        self.gamma = self.add_weight(shape=(self._kernel.shape[-1],), initializer="ones", name="gamma")
        self.built = True

    @property
    def kernel(self):
        """The kernel that is applied; give it to a plain layer to fold the alignment away."""
        if not self.built or getattr(self, "gamma", None) is None:
            raise AttributeError("The kernel exists once the layer is built.")
        return weight_align(ops.convert_to_tensor(self._kernel), self.gain, self.epsilon) * self.gamma

    def save_own_variables(self, store):
        for i, variable in enumerate(self._own()):
            store[str(i)] = variable

    def load_own_variables(self, store):
        for i, variable in enumerate(self._own()):
            variable.assign(store[str(i)])

    def _own(self):
        return [self._kernel, self.gamma, *([self.bias] if self.use_bias else [])]

    def get_config(self):
        return {**super().get_config(), "gain": self.gain, "epsilon": self.epsilon}


@register("weight_align_conv_2d", filters=8, kernel_size=3, strides=2)
@keras.saving.register_keras_serializable("hub")
class WeightAlignConv2D(Aligned, layers.Conv2D):
    """A `keras.layers.Conv2D` with aligned filters, in place of convolution and normalisation or below one.

    Args:
        *args, **kwargs: of `keras.layers.Conv2D`.
        gain: "he", "relu" or "linear", see `weight_align`; networks without shortcuts or normalisation need "relu".
        epsilon: added to the variance.

    Raises:
        ValueError: another `gain`.
    """


@register("weight_align_dense", units=8)
@keras.saving.register_keras_serializable("hub")
class WeightAlignDense(Aligned, layers.Dense):
    """A `keras.layers.Dense` with aligned weights; arguments and errors as in `WeightAlignConv2D`."""

"""Deconvnet: what in the picture excited one unit, by running the network backwards from it.

Paper: Zeiler and Fergus, "Visualizing and Understanding Convolutional Networks", ECCV 2014, arXiv:1311.2901
Slug: zfnet_deconvnet
Idea: all activations of a layer but one are set to zero and sent down: a pool puts each value where its maximum came
  from (the switches), a ReLU keeps what is positive of the signal, a convolution applies its filters transposed.
Differs: the three steps are one backward pass with another rule at the ReLUs, as the gradient of a pool and of a
  convolution is exactly the unpooling and the transposed filter. Where windows overlap and share their maximum the
  signals add up; contrast normalisation passes its own gradient, the paper does not say how it is undone.
Checked: equals explicit unpooling with switches and transposed convolutions (tests/test_zfnet_deconvnet.py), and
  PyTorch with hooks on its ReLUs (tests/parity/test_relu_rules_torch.py).
"""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from hub.explain.feature_maps import check_images, forward, row_scores, tensorflow
from hub.explain.relu_rule import magnitude_maps, relu_rule
from hub.registry import register


@register("deconvnet")
class Deconvnet:
    """Projects an activation, or a score, back to the pixels; needs `KERAS_BACKEND=tensorflow`.

    Args:
        layer: name of the layer whose strongest activation is projected; layers of nested models are found too.
            Default: none, the score itself is, as later papers use the method.
        channel: the feature map of `layer` to take the activation from. Default: that of the strongest in the image.

    Raises:
        ValueError: a `channel` without a `layer`.
    """

    def __init__(self, layer: str | None = None, channel: int | None = None):
        if channel is not None and layer is None:
            raise ValueError(f"A `channel` is one of a `layer`: name that too. Received: channel={channel}.")
        self.layer = layer
        self.channel = channel

    def __call__(self, model: keras.Model, images: Any, score: Callable[[Any], Any] | None = None) -> np.ndarray:
        """Maps [N, H, W], float32 in 0..1: the largest value of each is 1, or all are 0 where no signal arrives.

        Arguments and errors are those of `signal`.
        """
        return magnitude_maps(self.signal(model, images, score))

    def signal(self, model: keras.Model, images: Any, score: Callable[[Any], Any] | None = None) -> np.ndarray:
        """The projection, [N, H, W, C], float32, of either sign: the paper's picture before it is scaled for print.

        Args:
            model: any Keras model; it runs in inference mode and is left as it was.
            images: [N, H, W, C] in the range that the model takes.
            score: used without a `layer` only: the model's outputs -> one number per image, [N]; give logits. Default:
                the largest of outputs [N, classes].

        Raises:
            ValueError: images, layer, channel or score do not fit, no ReLU is found, or no signal reaches the pixels.
            NotImplementedError: another backend than TensorFlow is running.
        """
        tf = tensorflow()
        check_images(images)
        images = tf.cast(tf.convert_to_tensor(images), "float32")
        start = None
        with relu_rule(model, "deconvnet"), tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(images)
            if self.layer is None:
                outputs = model(images, training=False)
                top = row_scores(score, outputs)(outputs, np.arange(len(images)))
            else:
                top = forward(model, images, self.layer)[1]
                start = tf.cast(self._strongest(top.numpy().astype("float32")), top.dtype)
        signal = tape.gradient(top, images, output_gradients=start)
        if signal is None:
            raise ValueError("No signal reaches the pixels: the model must be differentiable up to where it starts.")
        return signal.numpy()

    def _strongest(self, features: np.ndarray) -> np.ndarray:
        """Features [N, h, w, K], all but one activation of each image set to zero."""
        seen = features
        if self.channel is not None:
            if not 0 <= self.channel < features.shape[-1]:
                raise ValueError(
                    f"Layer {self.layer!r} has {features.shape[-1]} feature maps. Received: channel={self.channel}."
                )
            seen = np.full_like(features, -np.inf)
            seen[..., self.channel] = features[..., self.channel]
        rows, places = np.arange(len(features)), seen.reshape(len(features), -1).argmax(1)
        kept = np.zeros((len(features), features[0].size), "float32")
        kept[rows, places] = features.reshape(len(features), -1)[rows, places]
        return kept.reshape(features.shape)

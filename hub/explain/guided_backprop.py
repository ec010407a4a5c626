"""Guided backpropagation: the pixels that push a score up, by a gradient that keeps only what is positive on its way.

Paper: Springenberg et al., "Striving for Simplicity: The All Convolutional Net", ICLR 2015 workshop, arXiv:1412.6806;
  its plain gradient is Simonyan et al., arXiv:1312.6034, its deconvnet Zeiler and Fergus, arXiv:1311.2901
Slug: all_cnn
Idea: backwards through a ReLU, the signal passes only where the unit was on, as in the gradient, and only where the
  signal itself is positive, as in a deconvnet; what held the score down does not blur the picture.
Differs: the map is the signal's magnitude summed over the channels, over its maximum; `signal` is the paper's picture.
Checked: a hand-masked network of two layers, ReLUs in every place they can stand, and PyTorch with hooks on its ReLUs
  (tests/test_all_cnn.py, tests/parity/test_relu_rules_torch.py).
"""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from hub.explain.feature_maps import check_images, row_scores, tensorflow
from hub.explain.relu_rule import RULES, magnitude_maps, relu_rule
from hub.registry import register


@register("guided_backprop")
class GuidedBackprop:
    """Explains a model's score by a signal sent back to the pixels; needs `KERAS_BACKEND=tensorflow`.

    Args:
        rule: how the signal R passes a ReLU whose output is f: "guided" [f > 0] [R > 0] R, "deconvnet" [R > 0] R,
            "gradient" [f > 0] R. ReLUs of every layer and nested model are seen, those inside a custom layer are not.

    Raises:
        ValueError: `rule` is another.
    """

    def __init__(self, rule: str = "guided"):
        if rule not in RULES:
            raise ValueError(f"`rule` is one of {', '.join(RULES)}. Received: rule={rule!r}.")
        self.rule = rule

    def __call__(self, model: keras.Model, images: Any, score: Callable[[Any], Any] | None = None) -> np.ndarray:
        """Maps [N, H, W], float32 in 0..1: the largest value of each is 1, or all are 0 where no signal arrives.

        Arguments and errors are those of `signal`.
        """
        return magnitude_maps(self.signal(model, images, score))

    def signal(self, model: keras.Model, images: Any, score: Callable[[Any], Any] | None = None) -> np.ndarray:
        """What arrives at the pixels, [N, H, W, C], float32, of either sign.

        Args:
            model: any Keras model; it runs in inference mode and is left as it was.
            images: [N, H, W, C] in the range that the model takes.
            score: the model's outputs -> one number per image, [N]; give logits. Default: the largest of outputs
                [N, classes].

        Raises:
            ValueError: images or the score do not fit, the model has no ReLU, or no signal reaches the pixels.
            NotImplementedError: another backend than TensorFlow is running.
        """
        tf = tensorflow()
        check_images(images)
        images = tf.cast(tf.convert_to_tensor(images), "float32")
        with relu_rule(model, self.rule), tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(images)
            outputs = model(images, training=False)
            scores = row_scores(score, outputs)(outputs, np.arange(len(images)))
        signal = tape.gradient(scores, images)
        if signal is None:
            raise ValueError("No signal reaches the pixels: the model must be differentiable and `score` use it.")
        return signal.numpy()

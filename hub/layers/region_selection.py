"""Region selection: a classifier's head that pools the few regions which speak for one class only.

Paper: Zhang et al., "Less yet robust: crucial region selection for scene recognition", 2024, arXiv:2409.14741
Slug: less_yet_robust
Idea: a learned mask over the last feature map keeps few regions, decides clearly, and lets go of those that many
  classes share, so that what else is in the scene has no say.
Differs: a reconstruction; the paper's summary asks for weights of regions, a term that sharpens the key ones and a
  term against regions shared by classes, without formulas. Mask, terms and weights are the least that does the three.
Checked: logits and all terms equal slow loops; a uniform mask is average pooling; the terms fall for clear masks and
  rise for ambiguous regions, whose logits alone they move; what training does to planted patches
  (tests/test_region_selection.py). The paper prints no figure that could be repeated.
"""

import math

import keras
from keras import layers, ops

from hub.registry import register


@register("region_selection", units=3)
@keras.saving.register_keras_serializable("hub")
class RegionSelection(layers.Layer):
    """Features [N, H, W, C] to (logits [N, units], mask [N, H, W, 1] in 0..1), float32 whatever the policy.

    The mask is the sigmoid of a 1x1 convolution plus a learned map of positions; the features' mean weighted by it
    goes through a dense layer. While training, two terms join the loss:
    `significance` (mean m + 0.1 mean entropy of m, few regions and each clearly in or out) and
    `ambiguity` (the mean of u r weighted by m, over regions; u in 0..1 is the entropy of the classes that the dense
    layer sees in a region, r in 0..1 the length of its features over the image's largest; both are held fixed).

    Args:
        units: number of logits.
        significance: weight of the first term.
        ambiguity: weight of the second.
        positions: height and width of the learned map, stretched bilinearly to the features' size; None takes the
            size of the features when built, which then must be known.

    Raises:
        ValueError: fewer than 2 units, a negative weight, or no size for the map.
    """

    def __init__(
        self,
        units: int,
        significance: float = 0.01,
        ambiguity: float = 0.1,
        positions: tuple[int, int] | None = None,
        **kwargs,
    ):
        super().__init__(**{"dtype": "float32", **kwargs})
        if units < 2 or min(significance, ambiguity) < 0:
            raise ValueError(
                "RegionSelection takes at least 2 units and weights of 0 or more. "
                f"Received: units={units}, significance={significance}, ambiguity={ambiguity}."
            )
        self.units = units
        self.significance = significance
        self.ambiguity = ambiguity
        self.positions = positions

    def build(self, input_shape):
        size = tuple(self.positions or input_shape[1:3])
        if None in size:
            raise ValueError(f"Features of unknown size need `positions`, a height and width. Received: {input_shape}.")
        channels = input_shape[-1]
        self.mask_kernel = self.add_weight(shape=(channels, 1), initializer="glorot_uniform", name="mask_kernel")
        self.mask_bias = self.add_weight(shape=(1,), initializer="zeros", name="mask_bias")
        self.map = self.add_weight(shape=(*size, 1), initializer="zeros", name="map")
        self.kernel = self.add_weight(shape=(channels, self.units), initializer="glorot_uniform", name="kernel")
        self.bias = self.add_weight(shape=(self.units,), initializer="zeros", name="bias")

    def call(self, features, training=False):
        where = ops.convert_to_tensor(self.map)
        if tuple(features.shape[1:3]) != tuple(where.shape[:2]):
            size = ops.shape(features)[1:3]
            where = ops.image.resize(where, size, interpolation="bilinear", data_format="channels_last")
        scores = ops.matmul(features, self.mask_kernel) + self.mask_bias + where
        mask = ops.sigmoid(scores)
        chosen = ops.sum(mask, axis=(1, 2)) + 1e-6
        logits = ops.matmul(ops.sum(mask * features, axis=(1, 2)) / chosen, self.kernel) + self.bias
        if training:
            # entropy of a sigmoid from its logit: softplus(s) - m s
            entropy = ops.softplus(scores) - mask * scores
            self.add_loss(self.significance * (ops.mean(mask) + 0.1 * ops.mean(entropy)))
            shared = ops.sum(mask * ops.stop_gradient(self.shared(features)), axis=(1, 2)) / chosen
            self.add_loss(self.ambiguity * ops.mean(shared))
        return logits, mask

    def shared(self, features):
        """How strongly each region speaks for several classes, [N, H, W, 1] in 0..1."""
        each = ops.log_softmax(ops.matmul(features, self.kernel) + self.bias, axis=-1)
        ambiguous = -ops.sum(ops.exp(each) * each, axis=-1, keepdims=True) / math.log(self.units)
        length = ops.sqrt(ops.sum(ops.square(features), axis=-1, keepdims=True))
        return ambiguous * length / (ops.max(length, axis=(1, 2), keepdims=True) + 1e-6)

    def compute_output_shape(self, input_shape):
        return (input_shape[0], self.units), (*input_shape[:-1], 1)

    def get_config(self):
        names = ("units", "significance", "ambiguity", "positions")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}


def with_region_selection(backbone: keras.Model, num_classes: int, **options) -> keras.Model:
    """A classifier: `backbone`, images to [N, h, w, C], and the logits of a `RegionSelection`.

    The layer is called `region_selection`; its second output is the mask, for a model that shows it.

    Args:
        backbone: a model that ends in a feature map, such as `hub.load(NAME, num_classes=0)`; it is shared, not copied.
        num_classes: number of logits.
        **options: of `RegionSelection`.
    """
    logits, _ = RegionSelection(num_classes, **options, name="region_selection")(backbone.output)
    return keras.Model(backbone.inputs, logits, name=f"{backbone.name}_region_selection")

"""Siamese patch network: pieces of handwriting become places on a sphere, near where one hand wrote them.

Paper: Kumar and Sundaram, "Siamese based Neural Network for Offline Writer Identification on Word Level Data", 2022,
  arXiv:2211.14443
Slug: siamese_writer_id
Idea: trained on pairs to say whether one writer made both patches, the network needs no list of writers: people whom it
  never saw are told apart by the distance of their patches.
Differs: a reconstruction; only the paper's abstract could be read, so that widths, depth, patch size and length of the
  embedding are ours. Of the two equal towers one is built: distances are taken outside, which lets a loss see all pairs
  of a batch (hub/losses/contrastive.py). `siamese_resnet18` shows another backbone; the paper's results are not
  repeated.
Checked: parameters worked out by hand, the embedding against slow NumPy loops, length 1, no infinite slope on a blank
  patch, backbones by name and as models (tests/test_siamese.py). There is no reference implementation.
"""

import keras
from keras import layers

from hub import registry
from hub.registry import register

CONTRACT_SIZE = {"input_shape": (32, 32, 1)}


def patch_cnn(inputs: keras.KerasTensor, channels: tuple[int, ...]) -> keras.KerasTensor:
    """3x3 convolution, ReLU and a pool that halves, for each of `channels`; the pools are `stage1`, `stage2`, ..."""
    x = inputs
    for i, filters in enumerate(channels, 1):
        x = layers.Conv2D(
            filters, 3, padding="same", activation="relu", kernel_initializer="he_normal", name=f"conv{i}"
        )(x)
        x = layers.MaxPooling2D(2, name=f"stage{i}")(x)
    return x


@register("siamese_tiny", channels=(4, 6, 8), units=5)
@register("siamese_patch")
@register("siamese_patch_large", channels=(32, 64, 128, 256), units=128)
@register("siamese_resnet18", backbone="resnet18", units=128)
def siamese(
    backbone: str | keras.Model | None = None,
    channels: tuple[int, ...] = (16, 32, 48, 64),
    units: int = 64,
    input_shape: tuple[int | None, int | None, int] = (32, 32, 1),
    num_classes: int | None = None,
    name: str = "siamese",
) -> keras.Model:
    """Build one tower of a Siamese network over patches [N, H, W, C]; both inputs of a pair go through it.

    Args:
        backbone: what looks at a patch, in place of the patch network: a registered name, or a model, whose output is a
            map [N, h, w, C] or a vector [N, C]; a model brings its own input (`input_shape` is not read) and shares its
            weights. A map is averaged before `units`; the patch network's is taken whole, each place for itself.
        channels: filters of the patch network's convolutions; not read where a backbone is given.
        units: d, numbers that describe a patch.
        input_shape: the patch network needs a known size of at least 2**len(channels) pixels.
        num_classes: None returns float32 `embedding` [N, d] of length 1 (0 where the network sees nothing); a number
            returns that many float32 `logits` on the embedding before it is scaled, for a softmax over the writers
            trained on; 0 leaves out the head and returns the backbone's map.

    Raises:
        ValueError: a patch of unknown size or too small, or a backbone without one output of such a shape.
    """
    if backbone is None:
        least = 2 ** len(channels)
        if any(size is None or size < least for size in input_shape[:2]):
            raise ValueError(
                f"The patch network halves patches {len(channels)} times: height and width must be known and at least "
                f"{least}. Received: input_shape={tuple(input_shape)}."
            )
        inputs = keras.Input(input_shape)
        x = patch_cnn(inputs, channels)
    else:
        if isinstance(backbone, str):
            backbone = registry.build(backbone, input_shape=input_shape, num_classes=0)
        shape = getattr(backbone, "output_shape", None)
        if (
            len(getattr(backbone, "inputs", None) or []) != 1
            or not isinstance(shape, tuple)
            or len(shape) not in (2, 4)
        ):
            raise ValueError(
                "`backbone` needs one input and one output, a map [N, h, w, C] or a vector [N, C]. "
                f"Received: {getattr(backbone, 'name', backbone)} with an output of shape {shape}."
            )
        inputs, x = backbone.inputs[0], backbone.outputs[0]
    if num_classes != 0:
        if len(x.shape) == 4:
            x = layers.Flatten(name="flatten")(x) if backbone is None else layers.GlobalAveragePooling2D(name="pool")(x)
        x = layers.Dense(units, name="project")(x)
        if num_classes is None:
            x = layers.UnitNormalization(dtype="float32", name="embedding")(x)
        else:
            x = layers.Dense(num_classes, dtype="float32", name="logits")(x)
    return keras.Model(inputs, x, name=name)

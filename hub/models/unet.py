"""U-Net: a contracting and an expanding path that share their maps, for segmentation from few pictures.

Paper: Ronneberger et al., "U-Net: Convolutional Networks for Biomedical Image Segmentation", MICCAI 2015,
  arXiv:1505.04597
Slug: unet
Idea: on its way back to full size each level also sees the encoder's map of that size: context from below, position
  from the side.
Differs: convolutions pad with zeros, so the output is as large as the input (the paper crops); no dropout; one logit
  per pixel by default (the paper: two). `unet_modified` reconstructs the second segmenter of Rahman et al. (IEEE
  Access 2020), whose details could not be read: BatchNorm after each convolution, two logits; 32 filters are our
  choice, as all of `unet_small` is. With a backbone the decoder is segmentation_models_pytorch's: maps are enlarged by
  repetition, and the head is 3x3; over VGG it has a full-size skip, and nothing between the paths.
Checked: on the same weights, logits equal a PyTorch U-Net's, and over timm's encoder a PyTorch decoder's, to 1e-4
  (tests/parity/test_torch_unet.py); slow NumPy loops, other encoders, sizes, training (tests/test_unet.py). Parameters
  over ResNet, MobileNetV2 and DenseNet are segmentation_models_pytorch 0.6's.
"""

import math
import re
from collections.abc import Iterable

import keras
from keras import layers

from hub import registry
from hub.layers.symmetric_conv import symmetric_conv
from hub.registry import register

PROBE = 512  # pixels; a picture large enough to tell the strides of a backbone of unknown input size

encoded = {"filters": 16, "normalize": True, "input_shape": (256, 256, 3)}


def double_conv(x: keras.KerasTensor, filters: int, normalize: bool, name: str) -> keras.KerasTensor:
    """Two 3x3 convolutions, each followed by ReLU (fig. 1); the second ReLU is the layer `name`."""
    for i in (1, 2):
        at = f"{name}_{i}"
        if normalize:
            x = symmetric_conv(x, filters, 3, name=f"{at}_conv")
            x = layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name=f"{at}_bn")(x)
        else:
            x = layers.Conv2D(filters, 3, padding="same", kernel_initializer="he_normal", name=f"{at}_conv")(x)
        x = layers.ReLU(name=f"{at}_relu" if i == 1 else name)(x)
    return x


def contracting_path(
    inputs: keras.KerasTensor, filters: int, depth: int, normalize: bool
) -> tuple[keras.KerasTensor, dict[int, keras.KerasTensor]]:
    """The lowest map, `stage{depth + 1}`, and level -> map of those above; level 1 is full size."""
    x, skips = inputs, {}
    for level in range(1, depth + 1):
        skips[level] = double_conv(x, filters * 2 ** (level - 1), normalize, f"stage{level}")
        x = layers.MaxPooling2D(2, name=f"stage{level}_pool")(skips[level])
    return double_conv(x, filters * 2**depth, normalize, f"stage{depth + 1}"), skips


def encoder_path(backbone: keras.Model) -> tuple[keras.KerasTensor, dict[int, keras.KerasTensor], int]:
    """The last stage of `backbone`, level -> map to concatenate on the way up, and the number of levels.

    Level l has stride 2**(l - 1), and its last stage serves. Where there is none, or the stages are pools, the last
    layer of that size does: a ResNet's stem, the convolutions of a VGG.
    """
    stages = [layer.name for layer in backbone.layers if re.fullmatch(r"stage\d+", layer.name)]
    stages.sort(key=lambda name: int(name.removeprefix("stage")))
    inputs = getattr(backbone, "inputs", None) or []
    if not stages or len(inputs) != 1:
        raise ValueError(
            "`backbone` needs one input and layers named stage1 ... stageN. "
            f"Received: {backbone.name} with {len(inputs)} inputs and stages {stages}."
        )
    bottom = stages[-1]
    maps = {
        layer.name: layer.output
        for layer in keras.Model(inputs[0], backbone.get_layer(bottom).output).layers[1:]
        if isinstance(layer.output, keras.KerasTensor) and layer.output.ndim == 4
    }
    *size, channels = inputs[0].shape[1:]
    shapes = {name: output.shape for name, output in maps.items()}
    if None in size:
        size = [pixels or PROBE for pixels in size]
        shapes = keras.Model(inputs[0], maps).compute_output_shape((1, *size, channels))
    depth = max(round(math.log2(size[0] / shapes[bottom][1])), 0)
    check_size(inputs[0].shape[1:], 2**depth)

    def at(level: int, names: Iterable[str]) -> list[str]:
        return [n for n in names if tuple(shapes[n][1:3]) == tuple(pixels >> level - 1 for pixels in size)]

    if not at(depth + 1, [bottom]):
        raise ValueError(
            "`backbone` must halve its maps exactly, padding its convolutions. "
            f"Received: {backbone.name}, whose {bottom} is {shapes[bottom][1:3]} of {tuple(size)} pixels."
        )
    unpooled = [name for name in stages if not isinstance(backbone.get_layer(name), layers.MaxPooling2D)]
    skips = {}
    for level in range(1, depth + 1):
        if known := at(level, unpooled) or at(level, maps):
            skips[level] = maps[known[-1]]
    return maps[bottom], skips, depth


def check_size(input_shape: tuple[int | None, ...], total: int) -> None:
    """Refuse a known size that `total`, the stride of the bottom map, does not divide."""
    height, width = (pixels and max(round(pixels / total), 1) * total for pixels in input_shape[:2])
    if (height, width) != tuple(input_shape[:2]):
        raise ValueError(
            f"Height and width must be divisible by {total}, the stride of the lowest map; "
            f"({height}, {width}, {input_shape[-1]}) would do. Received: input_shape={tuple(input_shape)}."
        )


@register("unet_tiny", filters=4)
@register("unet", params=31_030_593)
@register("unet_modified", filters=32, normalize=True, num_classes=2)
@register("unet_small", filters=8, depth=3, normalize=True)
@register("unet_resnet18", **encoded, backbone="resnet18", params=14_328_209)
@register("unet_resnet34", **encoded, backbone="resnet34", params=24_436_369)
@register("unet_resnet50", **encoded, backbone="resnet50", params=32_521_105)
@register("unet_mobilenet_v2", **encoded, backbone="mobilenet_v2", params=6_628_945)
@register("unet_densenet121", **encoded, backbone="densenet121", params=13_607_633)
@register("unet_vgg16", **encoded, backbone="vgg16")
def unet(
    filters: int = 64,
    depth: int = 4,
    normalize: bool = False,
    backbone: str | keras.Model | None = None,
    input_shape: tuple[int | None, int | None, int] = (256, 256, 1),
    num_classes: int = 1,
    name: str = "unet",
) -> keras.Model:
    """Build a U-Net over images [N, H, W, C]; its output, float32 [N, H, W, num_classes], is one logit per class and
    pixel: for one class a sigmoid makes the probability, for several a softmax.

    Height and width are divisible by the stride of the lowest map, 2**depth or the backbone's; None leaves them open.

    Args:
        filters: of the finest level; each level below has twice as many.
        depth: number of times that the maps are halved; not read where a backbone is given.
        normalize: whether BatchNormalization follows each 3x3 convolution of the U-Net's own, instead of a bias.
        backbone: encoder with layers `stage1 ... stageN`: a registered name, or a model, which brings its own input
            (`input_shape` is not read) and shares its weights. The U-Net's own path has `stage1 ... stage{depth + 1}`.
        num_classes: channels of the layer `logits`; 0 leaves it out and returns the map `decode1`.

    Raises:
        ValueError: the stride does not divide the size, or the backbone has no stages to decode from.
    """
    if backbone is None:
        check_size(input_shape, 2**depth)
        inputs = keras.Input(input_shape)
        x, skips = contracting_path(inputs, filters, depth, normalize)
    else:
        if isinstance(backbone, str):
            backbone = registry.build(backbone, input_shape=input_shape, num_classes=0)
        x, skips, depth = encoder_path(backbone)
        inputs = backbone.inputs[0]
    for level in range(depth, 0, -1):
        width, at = filters * 2 ** (level - 1), f"decode{level}"
        if backbone is None:
            x = layers.Conv2DTranspose(width, 2, 2, kernel_initializer="he_normal", name=f"{at}_up")(x)
        else:
            x = layers.UpSampling2D(2, name=f"{at}_up")(x)
        if level in skips:
            x = layers.Concatenate(name=f"{at}_concat")([x, skips[level]])
        x = double_conv(x, width, normalize, at)
    if num_classes:
        kernel_size = 1 if backbone is None else 3
        x = layers.Conv2D(num_classes, kernel_size, padding="same", dtype="float32", name="logits")(x)
    return keras.Model(inputs, x, name=name)

"""VGG: deep stacks of 3x3 convolutions for image classification.

Paper: Simonyan and Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition", ICLR 2015,
  arXiv:1409.1556
Slug: vgg
Idea: two or three 3x3 convolutions see as far as one 5x5 or 7x7 with fewer weights and more nonlinearities, so depth
  alone, 11 to 19 layers of one kind, lowers the error.
Differs: BatchNorm (`_bn`) is later than the paper, after torchvision's networks; the small head for 32x32 images
  (`_cifar`) is a common one, not the paper's. Kernels start He-normal, where the paper starts deep networks from a
  trained shallow one.
Checked: on the same weights, logits and stage features equal torchvision's and timm's to 1e-4 of their scale
  (tests/parity/test_torchvision_vgg_squeezenet.py); parameters and multiply-adds are the published ones; dense and
  convolutional head agree, LRN equals a slow loop, configuration C counts as in the paper (tests/test_vgg.py).
"""

from collections.abc import Iterable

import keras
from keras import layers

from hub.layers.local_response_normalization import LocalResponseNormalization
from hub.registry import register

TORCH_IGNORED = (r"(classifier|pre_logits|head)\..*",)  # the head of torchvision's VGG and of timm's


def torch_names(model: keras.Model, tensors: Iterable[str]) -> tuple[tuple[str, str], ...]:
    """Both number convolutions, norms, activations and pools as they come; timm's dense layers are convolutions."""
    body = [layer.name for layer in model.layers if layer.name.startswith("stage")]
    timm = {"fc6": "pre_logits.fc1", "fc7": "pre_logits.fc2", "logits": "head.fc"}
    torchvision = {"fc6": "classifier.0", "fc7": "classifier.3", "logits": "classifier.6"}
    head = timm if "head.fc.weight" in tensors else torchvision
    return (*((name, f"features.{i}") for i, name in enumerate(body)), *head.items())


TORCH_NAMES = torch_names


def fully_connected(units: int, kernel_size: int | None, **options) -> layers.Layer:
    """A dense layer, or the convolution that is the same at every place."""
    return layers.Conv2D(units, kernel_size, **options) if kernel_size else layers.Dense(units, **options)


A, B, D, E = (1, 1, 2, 2, 2), (2, 2, 2, 2, 2), (2, 2, 3, 3, 3), (2, 2, 4, 4, 4)
HEADS = {"dense": (None, None, None), "conv": (7, 1, 1), "gap": (None, None)}  # kernel sizes, None for dense


@register("vgg_tiny", depths=A, width=8, units=32, norm="batch")
@register("vgg11", depths=A, params=132_863_336, gmacs=7.609,
    weights={"imagenet": {"url": "https://download.pytorch.org/models/vgg11-8a719046.pth",
        "sha256": "8a719046", "license": "bsd-3-clause"}})  # fmt: skip
@register("vgg11_lrn", depths=A, norm="response", params=132_863_336, gmacs=7.609)
@register("vgg13", depths=B, params=133_047_848, gmacs=11.308,
    weights={"imagenet": {"url": "https://download.pytorch.org/models/vgg13-19584684.pth",
        "sha256": "19584684", "license": "bsd-3-clause"}})  # fmt: skip
@register("vgg16", depths=D, params=138_357_544, gmacs=15.47,
    weights={"imagenet": {"url": "https://download.pytorch.org/models/vgg16-397923af.pth",
        "sha256": "397923af", "license": "bsd-3-clause"}})  # fmt: skip
@register("vgg16c", depths=D, third_kernel=1, params=133_638_952)
@register("vgg19", depths=E, params=143_667_240, gmacs=19.632,
    weights={"imagenet": {"url": "https://download.pytorch.org/models/vgg19-dcbb9e9d.pth",
        "sha256": "dcbb9e9d", "license": "bsd-3-clause"}})  # fmt: skip
@register("vgg11_bn", depths=A, norm="batch", params=132_868_840, gmacs=7.609,
    weights={"imagenet": {"url": "https://download.pytorch.org/models/vgg11_bn-6002323d.pth",
        "sha256": "6002323d", "license": "bsd-3-clause"}})  # fmt: skip
@register("vgg13_bn", depths=B, norm="batch", params=133_053_736, gmacs=11.308,
    weights={"imagenet": {"url": "https://download.pytorch.org/models/vgg13_bn-abd245e5.pth",
        "sha256": "abd245e5", "license": "bsd-3-clause"}})  # fmt: skip
@register("vgg16_bn", depths=D, norm="batch", params=138_365_992, gmacs=15.47,
    weights={"imagenet": {"url": "https://download.pytorch.org/models/vgg16_bn-6c64b313.pth",
        "sha256": "6c64b313", "license": "bsd-3-clause"}})  # fmt: skip
@register("vgg19_bn", depths=E, norm="batch", params=143_678_248, gmacs=19.632,
    weights={"imagenet": {"url": "https://download.pytorch.org/models/vgg19_bn-c79401a0.pth",
        "sha256": "c79401a0", "license": "bsd-3-clause"}})  # fmt: skip
@register("vgg16_bn_cifar", depths=D, norm="batch", head="gap", units=512, input_shape=(32, 32, 3), num_classes=10)
def vgg(
    depths: tuple[int, ...],
    width: int = 64,
    units: int = 4096,
    norm: str | None = None,
    third_kernel: int = 3,
    head: str = "dense",
    dropout: float = 0.5,
    input_shape: tuple[int | None, int | None, int] = (224, 224, 3),
    num_classes: int = 1000,
    name: str = "vgg",
) -> keras.Model:
    """Build a VGG over images [N, H, W, C], of at least 32 pixels each way; published weights expect RGB in 0..1, less
    ImageNet's mean (0.485, 0.456, 0.406), over its deviation (0.229, 0.224, 0.225).

    Args:
        depths: convolutions per stage; stage s has `width * min(2**(s - 1), 8)` filters and ends in a pool by 2, the
            layer `stage{s}`.
        units: width of the hidden layers `fc6` and `fc7`.
        norm: "batch" after every convolution, "response" (A-LRN) after the first only, or None.
        third_kernel: kernel size of a stage's third convolution; 1 makes configuration C.
        head: "dense" over the flattened map, so for the size it was built for; "conv", the same weights slid over maps
            of 7x7 and more, of any size, and its scores averaged (section 3.2); "gap", average first, then `fc6`.
        dropout: share of the hidden units that a training step leaves out.
        num_classes: units of the float32 layer `logits`; 0 leaves out the head and returns the map of the last stage.

    Raises:
        ValueError: `norm` or `head` is another, or a dense head has no fixed size.
    """
    if head not in HEADS or norm not in (None, "batch", "response"):
        raise ValueError(
            '`head` is "dense", "conv" or "gap", and `norm` is "batch", "response" or None. '
            f"Received: head={head!r}, norm={norm!r}."
        )
    if head == "dense" and num_classes and None in input_shape:
        raise ValueError(f'head="dense" needs a fixed size; head="conv" takes any. Received: {input_shape}.')
    x = inputs = keras.Input(input_shape)
    for stage, depth in enumerate(depths, 1):
        for i in range(1, depth + 1):
            at = f"stage{stage}_{i}"
            filters, kernel_size = width * min(2 ** (stage - 1), 8), third_kernel if i == 3 else 3
            x = layers.Conv2D(filters, kernel_size, padding="same", kernel_initializer="he_normal", name=f"{at}_conv")(
                x
            )
            if norm == "batch":
                x = layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name=f"{at}_bn")(x)
            x = layers.ReLU(name=f"{at}_relu")(x)
            if norm == "response" and stage == i == 1:
                x = LocalResponseNormalization(name=f"{at}_lrn")(x)
        x = layers.MaxPooling2D(2, name=f"stage{stage}")(x)
    if not num_classes:
        return keras.Model(inputs, x, name=name)
    if head == "dense":
        x = layers.Flatten(name="flatten")(x)
    elif head == "gap":
        x = layers.GlobalAveragePooling2D(name="pool")(x)
    *hidden, last = HEADS[head]
    for i, kernel_size in enumerate(hidden, 6):
        x = fully_connected(units, kernel_size, kernel_initializer="he_normal", name=f"fc{i}")(x)
        x = layers.ReLU(name=f"fc{i}_relu")(x)
        x = layers.Dropout(dropout, name=f"fc{i}_dropout")(x)
    x = fully_connected(num_classes, last, dtype="float32", name="logits")(x)
    if head == "conv":
        x = layers.GlobalAveragePooling2D(dtype="float32", name="pool")(x)
    return keras.Model(inputs, x, name=name)

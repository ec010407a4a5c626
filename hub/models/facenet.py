"""FaceNet: networks whose output is a place on a sphere, near for one person and far for two.

Paper: Schroff, Kalenichenko and Philbin, "FaceNet: A Unified Embedding for Face Recognition and Clustering", CVPR 2015,
  arXiv:1503.03832
Slug: facenet
Idea: the network is trained on what it is used for, distances between 128 numbers, instead of on classes whose last but
  one layer is then compared; a threshold verifies, neighbours recognise, clusters group.
Differs: the paper says "not in the higher layers" of NN4's 5x5 convolutions; here its last two modules have none. It
  gives no constants of the response normalisation (AlexNet's are taken), no borders (all windows reach over the edge by
  half), and its L2 pooling is the root of the mean square. NN1's size, 224 or 220 in the paper, is its table's 220. The
  small networks NNS1 and NNS2 have no table. No weights: none by its authors are public. Its results (99.63 % on LFW)
  are not repeated.
Checked: parameters and multiply-adds of every row of the paper's tables 1 and 2; a module and the poolings against slow
  NumPy loops (tests/test_facenet.py).
"""

from collections.abc import Callable

import keras
from keras import layers, ops

from hub.layers.local_response_normalization import LocalResponseNormalization
from hub.layers.maxout import Maxout
from hub.registry import register

CONTRACT_SIZE = {"input_shape": (64, 64, 3)}
NN2 = {  # table 2: filters of 1x1, of 3x3 and its reduction, of 5x5 and its reduction, and what is pooled and projected
    "3a": (64, (96, 128), (16, 32), ("max", 32)),
    "3b": (64, (96, 128), (32, 64), ("l2", 64)),
    "3c": (0, (128, 256), (32, 64), ("max", 0)),
    "4a": (256, (96, 192), (32, 64), ("l2", 128)),
    "4b": (224, (112, 224), (32, 64), ("l2", 128)),
    "4c": (192, (128, 256), (32, 64), ("l2", 128)),
    "4d": (160, (144, 288), (32, 64), ("l2", 128)),
    "4e": (0, (160, 256), (64, 128), ("max", 0)),
    "5a": (384, (192, 384), (48, 128), ("l2", 128)),
    "5b": (384, (192, 384), (48, 128), ("max", 128)),
}
NN4 = {**NN2, "5a": (384, (192, 384), (), ("l2", 128)), "5b": (384, (192, 384), (), ("max", 128))}


@keras.saving.register_keras_serializable("hub")
class L2Pooling(layers.Layer):
    """Root mean square of each 3x3 window, [N, H, W, C] to the same shape; only pixels inside the map count."""

    def call(self, x):
        squares = ops.square(ops.cast(x, "float32"))  # 16 bits have no room for squares
        mean = ops.average_pool(squares, 3, strides=1, padding="same", data_format="channels_last")
        return ops.cast(ops.sqrt(mean + 1e-12), x.dtype)  # the root's slope at 0 is infinite

    def compute_output_shape(self, input_shape):
        return input_shape


def conv(x: keras.KerasTensor, filters: int, kernel_size: int, strides: int = 1, *, name: str) -> keras.KerasTensor:
    return layers.Conv2D(
        filters, kernel_size, strides, "same", activation="relu", kernel_initializer="he_normal", name=name
    )(x)


def max_pool(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
    return layers.MaxPooling2D(3, 2, "same", name=name)(x)


def inception(x: keras.KerasTensor, columns: tuple, width: int, name: str, out: str | None) -> keras.KerasTensor:
    """A row of table 2; one without 1x1 column halves the map."""
    one, three, five, (kind, projected) = columns
    strides = 1 if one else 2
    found = [conv(x, one * width // 64, 1, name=f"{name}_1x1")] if one else []
    for size, pair in ((3, three), (5, five)):
        if pair:
            y = conv(x, pair[0] * width // 64, 1, name=f"{name}_{size}x{size}_reduce")
            found.append(conv(y, pair[1] * width // 64, size, strides, name=f"{name}_{size}x{size}"))
    if kind == "l2":
        y = L2Pooling(name=f"{name}_pool")(x)
    else:
        y = layers.MaxPooling2D(3, strides, "same", name=f"{name}_pool")(x)
    found.append(conv(y, projected * width // 64, 1, name=f"{name}_project") if projected else y)
    return layers.Concatenate(name=out or name)(found)


def finish(
    inputs: keras.KerasTensor, x: keras.KerasTensor, head: Callable, num_classes: int | None, name: str
) -> keras.Model:
    """The map x itself, or what `head` makes of it: the embedding on the unit sphere, or logits."""
    if num_classes != 0:
        x = layers.Dense(128, name="embedding")(head(x))
        if num_classes is None:
            x = layers.UnitNormalization(dtype="float32", name="unit")(x)
        else:
            x = layers.Dense(num_classes, dtype="float32", name="logits")(x)
    return keras.Model(inputs, x, name=name)


@register("facenet_tiny", modules={name: NN2[name] for name in ("3a", "3c", "4a", "4e", "5b")}, width=8)
@register("facenet_nn2", params=7_456_304)
@register("facenet_nn3", input_shape=(160, 160, 3), params=7_456_304)
@register("facenet_nn4", input_shape=(96, 96, 3), modules=NN4)
def facenet(
    modules: dict[str, tuple] = NN2,
    width: int = 64,
    input_shape: tuple[int | None, int | None, int] = (224, 224, 3),
    num_classes: int | None = None,
    name: str = "facenet",
) -> keras.Model:
    """Build one of FaceNet's Inception networks over faces [N, H, W, C] of any size.

    Args:
        modules: their names, the stage first, and their columns as in table 2.
        width: filters of the first convolution; the others keep their proportions to its 64.
        num_classes: None returns embeddings [N, 128] of length 1, float32; a number returns that many float32 `logits`
            on the embedding before it is scaled; 0 leaves out pooling and head and returns the last map. `stage1` to
            `stage5` are the last layers of 1/2, 1/4, ... of height and width.
    """
    inputs = keras.Input(input_shape)
    x = conv(inputs, width, 7, 2, name="stage1")
    x = LocalResponseNormalization(name="norm1")(max_pool(x, "pool1"))
    x = conv(conv(x, width, 1, name="conv2_reduce"), 3 * width, 3, name="conv2")
    x = max_pool(LocalResponseNormalization(name="stage2")(x), "pool2")
    names = list(modules)
    for at, follower in zip(names, [*names[1:], None], strict=True):
        halved = not modules[at][0]  # the map is of the next stage then
        stage = int(at[0]) + halved
        last = follower is None or stage < int(follower[0]) + (not modules[follower][0])
        x = inception(x, modules[at], width, f"inception{at}", f"stage{stage}" if last else None)
    return finish(inputs, x, layers.GlobalAveragePooling2D(name="pool"), num_classes, name)


@register("facenet_nn1_tiny", width=4)
@register("facenet_nn1", params=140_025_664)
def facenet_nn1(
    width: int = 64,
    input_shape: tuple[int | None, int | None, int] = (220, 220, 3),
    num_classes: int | None = None,
    name: str = "facenet_nn1",
) -> keras.Model:
    """Build NN1, a network of Zeiler and Fergus's kind with 1x1 convolutions, over faces [N, H, W, C] of one size.

    Args:
        width: filters of the first convolution; the others and the hidden units keep their proportions to its 64.
        num_classes: as for `facenet`; `stage5` is the last, pooled map.
    """
    inputs = keras.Input(input_shape)
    x = max_pool(conv(inputs, width, 7, 2, name="stage1"), "pool1")
    x = LocalResponseNormalization(name="norm1")(x)
    x = conv(conv(x, width, 1, name="conv2a"), 3 * width, 3, name="conv2")
    x = max_pool(LocalResponseNormalization(name="stage2")(x), "pool2")
    x = conv(conv(x, 3 * width, 1, name="conv3a"), 6 * width, 3, name="stage3")
    x = max_pool(x, "pool3")
    x = conv(conv(x, 6 * width, 1, name="conv4a"), 4 * width, 3, name="conv4")
    x = conv(conv(x, 4 * width, 1, name="conv5a"), 4 * width, 3, name="conv5")
    x = conv(conv(x, 4 * width, 1, name="conv6a"), 4 * width, 3, name="stage4")

    def head(x: keras.KerasTensor) -> keras.KerasTensor:
        x = layers.Flatten(name="flatten")(x)
        for at in ("fc1", "fc2"):
            x = layers.Dense(128 * width, kernel_initializer="he_normal", name=at)(x)
            x = Maxout(64 * width, name=f"{at}_maxout")(x)
        return x

    return finish(inputs, max_pool(x, "stage5"), head, num_classes, name)

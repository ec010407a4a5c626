"""3x3 poolings that halve a map, with or without the zeros around it, alike on every backend."""

import keras
from keras import layers


def border_pooling(
    x: keras.KerasTensor, kind: str, size: int, strides: int, zeros: bool = False, *, name: str
) -> keras.KerasTensor:
    """The "mean" or "max" of windows: [N, H, W, C] to [N, ceil(H / strides), ceil(W / strides), C].

    Windows lie as TensorFlow's "same" lays them. Maps of unknown size take that padding itself, which Keras on PyTorch
    fills with copies of the last pixels where the map is even: there, and only there, such means differ.

    Args:
        size: side of the window, odd.
        strides: 1 or 2.
        zeros: with strides, the zeros around the map count too; the size must be known.
    """
    pooling = {"mean": layers.AveragePooling2D, "max": layers.MaxPooling2D}[kind]
    sides = x.shape[1:3]
    if strides == 1 or (not zeros and (kind == "max" or None in sides)):
        return pooling(size, strides, "same", name=f"{name}_pool")(x)
    if zeros:
        half = size // 2
        x = layers.ZeroPadding2D([(half - 1 + n % 2, half) for n in sides], name=f"{name}_pad")(x)
        return pooling(size, strides, name=f"{name}_pool")(x)
    # the windows' centres are every second pixel, the last of the map among them
    x = pooling(size, 1, "same", name=f"{name}_pool")(x)
    x = layers.Cropping2D([(1 - n % 2, 0) for n in sides], name=f"{name}_crop")(x)
    return layers.MaxPooling2D(1, strides, name=f"{name}_subsample")(x)

"""What the later Inception networks are made of: tables of parallel branches of normalised convolutions.

A branch is a tuple of steps that follow one another; a step is "average" or "max" (3x3 poolings), a convolution
(filters[, kernel size[, strides, padding]]), or a fork: a dictionary, letter -> convolution, of which each sees the
same map.
"""

import keras
from keras import layers


def conv_bn(
    x: keras.KerasTensor,
    filters: int,
    kernel_size: int | tuple[int, int] = 1,
    strides: int = 1,
    padding: str = "same",
    *,
    width: float = 1.0,
    scale: bool = True,
    name: str,
    out: str | None = None,
) -> keras.KerasTensor:
    """Convolution to `width * filters` channels, batch normalisation (with a learned scale or none), ReLU.

    The layers are `{name}_conv`, `{name}_bn` and `out`, or else `{name}_relu`.
    """
    x = layers.Conv2D(
        int(width * filters),
        kernel_size,
        strides,
        padding,
        use_bias=False,
        kernel_initializer="he_normal",
        name=f"{name}_conv",
    )(x)
    x = layers.BatchNormalization(momentum=0.9, epsilon=1e-3, scale=scale, name=f"{name}_bn")(x)
    return layers.ReLU(name=out or f"{name}_relu")(x)


def branches(
    x: keras.KerasTensor, table: tuple[tuple, ...], *, width: float = 1.0, scale: bool = True, name: str,
    out: str | None = None
) -> keras.KerasTensor:  # fmt: skip
    """The branches of `table` over [N, H, W, C], concatenated; the last layer is `out`, or else `name`.

    Means leave the zeros around the map out and keep its size; maxima halve it, [N, (H - 1) // 2, (W - 1) // 2, C].
    Convolutions are named `{name}_branch{b}` with `_{step}` behind where the branch has several steps, both counted
    from 0, and with its letter behind in a fork.
    """
    options = {"width": width, "scale": scale}
    ends = []
    for b, steps in enumerate(table):
        y = x
        for i, step in enumerate(steps):
            place = f"{name}_branch{b}" + (f"_{i}" if len(steps) > 1 else "")
            if step == "average":
                y = layers.AveragePooling2D(3, 1, "same", name=f"{place}_pool")(y)
            elif step == "max":
                y = layers.MaxPooling2D(3, 2, name=f"{place}_pool")(y)
            elif isinstance(step, dict):
                tines = [conv_bn(y, *tine, name=f"{place}{letter}", **options) for letter, tine in step.items()]
                y = layers.Concatenate(name=f"{place}_concat")(tines)
            else:
                y = conv_bn(y, *step, name=place, **options)
        ends.append(y)
    return layers.Concatenate(name=out or name)(ends)

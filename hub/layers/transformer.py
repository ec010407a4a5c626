"""What networks of tokens are made of: patches, projections, perceptrons, residuals, and stages that are maps again."""

from collections.abc import Iterator

import keras
from keras import layers

from hub.layers.attention import DotProductAttention
from hub.layers.stochastic_depth import StochasticDepth


def embed_patches(images: keras.KerasTensor, width: int, patch_size: int) -> keras.KerasTensor:
    """[N, H, W, C] to the map [N, H / patch_size, W / patch_size, width], the layer `patch_embed`.

    Raises:
        ValueError: height or width is unknown, or no multiple of `patch_size`.
    """
    size = images.shape[1:3]
    if None in size or any(pixels % patch_size or not pixels for pixels in size):
        raise ValueError(
            f"Height and width must be known multiples of the patch size {patch_size}. "
            f"Received: input_shape={tuple(images.shape[1:])}."
        )
    return layers.Conv2D(width, patch_size, patch_size, name="patch_embed")(images)


def to_tokens(features: keras.KerasTensor, name: str) -> keras.KerasTensor:
    """[N, h, w, C] to [N, h * w, C]."""
    _, height, width, channels = features.shape
    return layers.Reshape((height * width, channels), name=name)(features)


def normalize(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
    """Layer normalisation over channels, with the epsilon of the published vision transformers."""
    return layers.LayerNormalization(epsilon=1e-6, name=name)(x)


def project(x: keras.KerasTensor, units: int, name: str, activation: str | None = None) -> keras.KerasTensor:
    """Dense layer over channels."""
    initializer = keras.initializers.TruncatedNormal(stddev=0.02)
    return layers.Dense(units, activation, kernel_initializer=initializer, name=name)(x)


def classify(x: keras.KerasTensor, num_classes: int, name: str = "logits") -> keras.KerasTensor:
    """float32 logits [N, num_classes] of [N, C]."""
    initializer = keras.initializers.TruncatedNormal(stddev=0.02)
    return layers.Dense(num_classes, kernel_initializer=initializer, dtype="float32", name=name)(x)


def query_key_value(x: keras.KerasTensor, name: str) -> list[keras.KerasTensor]:
    """Queries, keys and values [N, T, C] of tokens [N, T, C], from the one projection `{name}_qkv`."""
    return keras.ops.split(project(x, 3 * x.shape[-1], f"{name}_qkv"), 3, axis=-1)


def self_attention(x: keras.KerasTensor, num_heads: int, name: str) -> keras.KerasTensor:
    """Multi-head self-attention, [N, T, C] to the same shape; layers `{name}_qkv` and `{name}_proj`."""
    y = DotProductAttention(num_heads, name=f"{name}_attention")(query_key_value(x, name))
    return project(y, x.shape[-1], f"{name}_proj")


def mlp(x: keras.KerasTensor, hidden: int, name: str) -> keras.KerasTensor:
    """Perceptron over the last axis, exact GELU between its layers `{name}_fc1` and `{name}_fc2`."""
    y = project(x, hidden, f"{name}_fc1", "gelu")
    return project(y, x.shape[-1], f"{name}_fc2")


def residual(x: keras.KerasTensor, y: keras.KerasTensor, drop_path: float, name: str) -> keras.KerasTensor:
    """x + y, the layer `name`; y is left out at the rate `drop_path` while training."""
    if drop_path:
        y = StochasticDepth(drop_path, name=f"{name}_drop")(y)
    return layers.Add(name=name)([x, y])


def in_stages(depth: int) -> Iterator[tuple[int, str | None]]:
    """Each block's number and, for the last one of each quarter, the name of the stage that ends there.

    Raises:
        ValueError: `depth` is no positive multiple of 4.
    """
    if depth < 4 or depth % 4:
        raise ValueError(f"`depth` must be a multiple of 4, four stages being alike. Received: depth={depth}.")
    quarter = depth // 4
    return ((i, None if (i + 1) % quarter else f"stage{(i + 1) // quarter}") for i in range(depth))


def through_map(x: keras.KerasTensor, grid: tuple[int, int], name: str) -> tuple[keras.KerasTensor, keras.KerasTensor]:
    """The patches among the tokens [N, p + h * w, C] as a map [N, h, w, C], the layer `name`; and the tokens again.

    What follows is computed from the map, so that a score's gradient with respect to it exists. The first p tokens,
    those of classes, go around it.
    """
    height, width = grid
    prefix = x.shape[1] - height * width
    patches = layers.Cropping1D((prefix, 0), name=f"{name}_patches")(x) if prefix else x
    features = layers.Reshape((height, width, x.shape[-1]), name=name)(patches)
    tokens = to_tokens(features, f"{name}_tokens")
    if prefix:
        first = layers.Cropping1D((0, height * width), name=f"{name}_class")(x)
        tokens = layers.Concatenate(axis=1, name=f"{name}_all")([first, tokens])
    return features, tokens


def pick(x: keras.KerasTensor, index: int, name: str) -> keras.KerasTensor:
    """Token number `index` of [N, T, C], as [N, C]."""
    tokens, channels = x.shape[1:]
    one = layers.Cropping1D((index, tokens - 1 - index), name=f"{name}_crop")(x) if tokens > 1 else x
    return layers.Reshape((channels,), name=name)(one)

"""ViT-ResNAS: vision transformers in three stages, their heads and hidden units found by a search.

Paper: Liao, Karaman and Sze, "Searching for Efficient Multi-Stage Vision Transformers", 2021, arXiv:2109.00642
Slug: vit_resnas
Idea: as in a convolutional network, later stages have fewer and wider tokens; a residual around each reduction lets the
  deep network train, and each block has as many heads and hidden units as an evolutionary search gave it.
Differs: the networks alone, without weights. The super-network, its search and the authors' second head over patches
  (0.7 to 0.9 million parameters, in use while training on mixed tokens only) are not built yet.
Checked: parameters follow from the authors' definitions, and multiply-adds, attention included, are the published 1.8,
  2.8 and 4.5 billion; logits and stages equal slow NumPy loops to 1e-4 of their scale (tests/test_vit_resnas.py).
"""

import keras
from keras import layers

from hub.layers.attention import DotProductAttention
from hub.layers.class_token import ClassToken
from hub.layers.mobile_conv import conv_norm
from hub.layers.position_embedding import PositionEmbedding
from hub.layers.residual_spatial_reduction import ResidualSpatialReduction
from hub.layers.stochastic_depth import linear_decay
from hub.layers.transformer import (
    classify,
    embed_patches,
    mlp,
    normalize,
    pick,
    project,
    residual,
    through_map,
    to_tokens,
)
from hub.registry import register

CONTRACT_SIZE = {"input_shape": (56, 112, 3), "num_classes": 10}
REFERENCE = (((3, 768),) * 4, ((6, 1536),) * 4, ((12, 3072),) * 4)  # per stage, per block: heads, hidden units
TINY = (
    ((3, 704), (3, 576), (3, 640), (4, 576), (4, 704)),
    ((10, 1408), (8, 1408), (8, 1280), (8, 1408), (10, 1280), (10, 1024)),
    ((10, 2560), (10, 1792), (10, 2816), (8, 2816), (8, 2560)),
)
SMALL = (
    ((5, 880), (5, 880), (7, 800), (5, 720), (5, 720), (5, 720)),
    ((10, 1760), (10, 1440), (10, 1920), (10, 1600), (12, 1600), (12, 1440)),
    ((16, 3200), (12, 3200), (16, 2880), (12, 2240), (14, 2560)),
)
MEDIUM = (
    ((7, 960), (6, 960), (7, 800), (8, 960), (7, 880), (8, 880), (6, 800)),
    ((10, 1120), (14, 1760), (14, 1920), (16, 1760), (14, 1440), (16, 1760), (16, 1920)),
    ((16, 3200), (10, 3840), (16, 3840), (12, 3200), (16, 3520), (14, 3520)),
)


def stem(images: keras.KerasTensor, width: int, filters: int = 24) -> keras.KerasTensor:
    """Three convolutions, the last two a residual, and patches of 7 of their pixels, 14 of the image's."""
    x = conv_norm(images, filters, 3, 2, "relu", name="stem1")
    y = conv_norm(x, filters, 3, activation="relu", name="stem2")
    y = conv_norm(y, filters, 3, activation="relu", name="stem3")
    return embed_patches(layers.Add(name="stem_add")([y, x]), width, 7)


def attend(x: keras.KerasTensor, num_heads: int, head_width: int, name: str) -> keras.KerasTensor:
    """Self-attention [N, T, C] with heads of `head_width` channels, whatever C is."""
    qkv = project(x, 3 * num_heads * head_width, f"{name}_qkv")
    y = DotProductAttention(num_heads, name=f"{name}_attention")(keras.ops.split(qkv, 3, axis=-1))
    return project(y, x.shape[-1], f"{name}_proj")


@register("vit_res_tiny_tiny", widths=(16, 24, 32), head_widths=(4, 6, 8), blocks=(((2, 32),), ((3, 40),), ((5, 48),)))
@register("vit_res_tiny", widths=(192, 384, 768), head_widths=(64, 64, 64), blocks=REFERENCE, params=42_012_736)
@register("vit_resnas_tiny", widths=(176, 352, 704), blocks=TINY, params=40_793_552)
@register("vit_resnas_small", widths=(220, 440, 880), blocks=SMALL, params=63_724_108)
@register("vit_resnas_medium", widths=(240, 640, 880), blocks=MEDIUM, params=96_442_672)
def vit_resnas(
    widths: tuple[int, ...],
    blocks: tuple[tuple[tuple[int, int], ...], ...],
    head_widths: tuple[int, ...] = (32, 48, 64),
    drop_path: float = 0.0,
    input_shape: tuple[int, int, int] = (224, 224, 3),
    num_classes: int = 1000,
    name: str = "vit_resnas",
) -> keras.Model:
    """Build a ViT-ResNAS over images [N, H, W, C] whose sides are multiples of 56 (14, doubled between stages).

    `stage1` to `stage3` are the patches as maps [N, h, w, width] behind the last block of a stage; the last one leads
    to no logits, as they see the class token only, and is there for `num_classes=0` alone.

    Args:
        widths: channels of a token, per stage.
        blocks: (heads, hidden units) of each block, per stage.
        head_widths: channels of a head, per stage.
        drop_path: rate at which the last block's residuals are left out while training; earlier ones less, linearly
            (the paper: 0.2, and 0.3 for the two larger).
        num_classes: units of the float32 layer `logits`; 0 leaves out the head and returns the normalised patch tokens
            as a map, without the class token.

    Raises:
        ValueError: height or width is unknown or does not fit.
    """
    step = 14 * 2 ** (len(blocks) - 1)
    if any(size is None or size % step for size in input_shape[:2]):
        raise ValueError(f"Height and width must be known multiples of {step}. Received: input_shape={input_shape}.")
    inputs = keras.Input(input_shape)
    x = stem(inputs, widths[0])
    grid = x.shape[1:3]
    x = ClassToken(name="class_token")(to_tokens(x, "patch_tokens"))
    x = PositionEmbedding(name="position_embedding")(x)
    rates = iter(linear_decay(sum(map(len, blocks)), drop_path, first=0))
    for stage, (width, head_width, sizes) in enumerate(zip(widths, head_widths, blocks, strict=True), 1):
        if stage > 1:
            x = ResidualSpatialReduction(width, grid, name=f"reduction{stage}")(x)
            grid = tuple(size // 2 for size in grid)
        for i, (num_heads, hidden) in enumerate(sizes):
            at, rate = f"stage{stage}_block{i}", next(rates)
            y = attend(normalize(x, f"{at}_norm1"), num_heads, head_width, at)
            x = residual(x, y, rate, f"{at}_add")
            last = x = residual(x, mlp(normalize(x, f"{at}_norm2"), hidden, at), rate, at)
        features, x = through_map(x, grid, f"stage{stage}")
    if not num_classes:
        return keras.Model(inputs, normalize(features, "norm"), name=name)
    token = pick(last, 0, "class_features")
    return keras.Model(inputs, classify(normalize(token, "norm"), num_classes), name=name)

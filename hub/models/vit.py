"""ViT and DeiT: transformers over image patches.

Paper: Dosovitskiy et al., "An Image is Worth 16x16 Words: Transformers for Image Recognition at Scale", ICLR 2021,
  arXiv:2010.11929; the rows `deit_*` are Touvron et al., "Training data-efficient image transformers & distillation
  through attention", ICML 2021, arXiv:2012.12877
Slug: vit
Idea: an image is a sentence whose words are patches, read by a plain transformer encoder; a learned token collects what
  the classifier needs. Distilled DeiT has a second such token, whose head learns from a teacher.
Differs: the head starts with small random weights (ViT: zeros), the paper's dropout is left out, and ViT-Tiny and
  ViT-Small are DeiT's sizes, as in timm. A table of positions is resampled bicubically to other image sizes, smoothed
  where it shrinks, as timm does (ViT: without smoothing); the patches stay as large as they are. The distilled rows
  return the mean of both heads' logits in training too: for distillation take the layers `class_logits` and
  `distilled_logits`.
Checked: on the same weights, logits and every block's tokens equal timm's to 1e-4 of their scale, other image sizes,
  gray images and both heads included, and parameters and multiply-adds are the same (tests/parity/test_timm_tokens.py);
  published multiply-adds, which count attention too, and what an image of another size means
  (tests/test_token_networks.py).
"""

import keras
from keras import layers

from hub.layers.class_token import ClassToken
from hub.layers.position_embedding import PositionEmbedding, fit_timm_tokens
from hub.layers.stochastic_depth import linear_decay
from hub.layers.transformer import (
    classify,
    embed_patches,
    in_stages,
    mlp,
    normalize,
    pick,
    residual,
    self_attention,
    through_map,
    to_tokens,
)
from hub.registry import register


def torch_names(model: keras.Model, tensors: dict) -> tuple[tuple[str, str], ...]:
    """Layer -> module of timm's VisionTransformer; its bare parameters in `tensors` are fitted to `model`."""
    fit_timm_tokens(model, tensors)
    return (
        (r"patch_embed", "patch_embed.proj"),
        (r"class_token", "cls_token"),
        (r"distillation_token", "dist_token"),
        (r"position_embedding", "pos_embed"),
        (r"block(\d+)_(norm\d)", r"blocks.\1.\2"),
        (r"block(\d+)_(qkv|proj)", r"blocks.\1.attn.\2"),
        (r"block(\d+)_(fc\d)", r"blocks.\1.mlp.\2"),
        (r"norm", "norm"),
        (r"logits|class_logits", "head"),
        (r"distilled_logits", "head_dist"),
    )


TORCH_NAMES = torch_names
TORCH_IGNORED = (r"head_dist\..*",)

tiny = {"width": 192, "num_heads": 3}
small = {"width": 384, "num_heads": 6}
base = {"width": 768, "num_heads": 12}
large = {"width": 1024, "num_heads": 16, "depth": 24}


def block(x: keras.KerasTensor, num_heads: int, mlp_ratio: float, drop_path: float, name: str) -> keras.KerasTensor:
    """Attention between tokens, then a perceptron on each, both pre-normalised residuals (eq. 2 and 3)."""
    y = self_attention(normalize(x, f"{name}_norm1"), num_heads, name)
    x = residual(x, y, drop_path, f"{name}_add")
    y = mlp(normalize(x, f"{name}_norm2"), int(mlp_ratio * x.shape[-1]), name)
    return residual(x, y, drop_path, name)


@register("vit_tiny_tiny", width=32, num_heads=2, depth=4)
@register("vit_tiny_patch16", **tiny, params=5_717_416,
    weights={"imagenet": {"repo": "timm/vit_tiny_patch16_224.augreg_in21k_ft_in1k", "file": "model.safetensors",
        "license": "apache-2.0", "mean": 0.5, "std": 0.5}})  # fmt: skip
@register("vit_small_patch16", **small, params=22_050_664,
    weights={"imagenet": {"repo": "timm/vit_small_patch16_224.augreg_in21k_ft_in1k", "file": "model.safetensors",
        "license": "apache-2.0", "mean": 0.5, "std": 0.5}})  # fmt: skip
@register("vit_base_patch16", **base, params=86_567_656,
    weights={"imagenet": {"repo": "timm/vit_base_patch16_224.augreg2_in21k_ft_in1k", "file": "model.safetensors",
        "license": "apache-2.0", "mean": 0.5, "std": 0.5}})  # fmt: skip
@register("vit_base_patch32", **base, patch_size=32, params=88_224_232,
    weights={"imagenet": {"repo": "timm/vit_base_patch32_224.augreg_in21k_ft_in1k", "file": "model.safetensors",
        "license": "apache-2.0", "mean": 0.5, "std": 0.5}})  # fmt: skip
@register("vit_large_patch16", **large, params=304_326_632,
    weights={"imagenet": {"repo": "timm/vit_large_patch16_224.augreg_in21k_ft_in1k", "file": "model.safetensors",
        "license": "apache-2.0", "mean": 0.5, "std": 0.5}})  # fmt: skip
@register("deit_tiny", **tiny, params=5_717_416,
    weights={"imagenet": {"repo": "timm/deit_tiny_patch16_224.fb_in1k", "file": "model.safetensors",
        "license": "apache-2.0"}})  # fmt: skip
@register("deit_small", **small, params=22_050_664,
    weights={"imagenet": {"repo": "timm/deit_small_patch16_224.fb_in1k", "file": "model.safetensors",
        "license": "apache-2.0"}})  # fmt: skip
@register("deit_base", **base, params=86_567_656,
    weights={"imagenet": {"repo": "timm/deit_base_patch16_224.fb_in1k", "file": "model.safetensors",
        "license": "apache-2.0"}})  # fmt: skip
@register("deit_tiny_distilled", **tiny, distilled=True, params=5_910_800,
    weights={"imagenet": {"repo": "timm/deit_tiny_distilled_patch16_224.fb_in1k", "file": "model.safetensors",
        "license": "apache-2.0"}})  # fmt: skip
@register("deit_small_distilled", **small, distilled=True, params=22_436_432,
    weights={"imagenet": {"repo": "timm/deit_small_distilled_patch16_224.fb_in1k", "file": "model.safetensors",
        "license": "apache-2.0"}})  # fmt: skip
@register("deit_base_distilled", **base, distilled=True, params=87_338_192,
    weights={"imagenet": {"repo": "timm/deit_base_distilled_patch16_224.fb_in1k", "file": "model.safetensors",
        "license": "apache-2.0"}})  # fmt: skip
def vit(
    width: int,
    num_heads: int,
    depth: int = 12,
    patch_size: int = 16,
    mlp_ratio: float = 4.0,
    distilled: bool = False,
    drop_path: float = 0.0,
    input_shape: tuple[int, int, int] = (224, 224, 3),
    num_classes: int = 1000,
    name: str = "vit",
) -> keras.Model:
    """Build a ViT over images [N, H, W, C] whose sides are multiples of `patch_size`; published weights expect RGB in
    0..1, those of `vit_*` less 0.5 over 0.5, those of `deit_*` less ImageNet's mean (0.485, 0.456, 0.406) over its
    deviation (0.229, 0.224, 0.225).

    Block i ends in the layer `block{i}`, tokens [N, 1 + h * w, width], the class token first (two with `distilled`).
    After each quarter of the blocks the patches are a map [N, h, w, width], the layers `stage1` to `stage4`; the last
    one does not lead to the logits, as they see the class tokens only, and is there for `num_classes=0` alone.

    Args:
        width: channels of a token.
        num_heads: attention heads; divides `width`.
        depth: blocks, a multiple of 4.
        patch_size: side of a patch in pixels.
        mlp_ratio: hidden units of a block's perceptron per channel.
        distilled: DeiT's second token with a head of its own; the layer `logits` is the mean of both heads'.
        drop_path: rate at which the last block's residuals are left out while training; earlier ones less, linearly.
        num_classes: units of the float32 layer `logits`; 0 leaves out the head and returns the normalised patch tokens
            as a map [N, h, w, width], without the class tokens.

    Raises:
        ValueError: a size does not fit: of the image, the depth, or the heads.
    """
    inputs = keras.Input(input_shape)
    x = embed_patches(inputs, width, patch_size)
    grid = x.shape[1:3]
    x = to_tokens(x, "patch_tokens")
    if distilled:
        x = ClassToken(name="distillation_token")(x)
    x = ClassToken(name="class_token")(x)
    x = PositionEmbedding(name="position_embedding")(x)  # eq. 1
    rates = linear_decay(depth, drop_path, first=0)
    for i, stage in in_stages(depth):
        last = x = block(x, num_heads, mlp_ratio, rates[i], f"block{i}")
        if stage:
            features, x = through_map(x, grid, stage)
    if not num_classes:
        return keras.Model(inputs, normalize(features, "norm"), name=name)
    patches = grid[0] * grid[1]
    tokens = normalize(layers.Cropping1D((0, patches), name="class_tokens")(last), "norm")  # eq. 4

    def head(index: int, at: str) -> keras.KerasTensor:
        return classify(pick(tokens, index, f"{at}_token"), num_classes, at)

    if not distilled:
        return keras.Model(inputs, head(0, "logits"), name=name)
    heads = [head(0, "class_logits"), head(1, "distilled_logits")]
    return keras.Model(inputs, layers.Average(dtype="float32", name="logits")(heads), name=name)

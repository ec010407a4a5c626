"""CaiT: deep vision transformers with scaled residuals and attention of the class token in layers of its own.

Paper: Touvron et al., "Going deeper with Image Transformers", ICCV 2021, arXiv:2103.17239
Slug: cait
Idea: residuals that start small make depth trainable (LayerScale), and a class token that enters late and only reads
  spares the patches the double task of attending and summarising (class attention).
Differs: nothing in the networks; their training (distilled, 400 epochs) is not repeated here. `cait_tiny` starts with a
  scale of 1, lest one step in float32 leaves weights behind it unmoved.
Checked: on the same weights, logits and every block's tokens equal timm's to 1e-4 of their scale,
  and parameters are the same (tests/parity/test_timm_tokens.py); published multiply-adds, which count
  attention too; residuals scaled by zero leave the tokens as they are (tests/test_token_networks.py).
"""

import keras
from keras import layers

from hub.layers.attention import AttentionScores, AttentionValues, DotProductAttention
from hub.layers.class_token import ClassToken
from hub.layers.layer_scale import LayerScale
from hub.layers.position_embedding import PositionEmbedding, fit_timm_tokens
from hub.layers.talking_heads import TalkingHeads
from hub.layers.transformer import (
    classify,
    embed_patches,
    in_stages,
    mlp,
    normalize,
    pick,
    project,
    query_key_value,
    residual,
    through_map,
    to_tokens,
)
from hub.registry import register


def torch_names(model: keras.Model, tensors: dict) -> tuple[tuple[str, str], ...]:
    """Layer -> module of timm's Cait; its bare parameters in `tensors` are fitted to `model`."""
    fit_timm_tokens(model, tensors)
    for name in [name for name in tensors if "gamma_" in name]:
        tensors[f"{name}.weight"] = tensors.pop(name)
    return (
        (r"patch_embed", "patch_embed.proj"),
        (r"class_token", "cls_token"),
        (r"position_embedding", "pos_embed"),
        (r"class(\d+)_(norm\d)", r"blocks_token_only.\1.\2"),
        (r"class(\d+)_([qkv]|proj)", r"blocks_token_only.\1.attn.\2"),
        (r"class(\d+)_(fc\d)", r"blocks_token_only.\1.mlp.\2"),
        (r"class(\d+)_scale(\d)", r"blocks_token_only.\1.gamma_\2"),
        (r"block(\d+)_(norm\d)", r"blocks.\1.\2"),
        (r"block(\d+)_(qkv|proj)", r"blocks.\1.attn.\2"),
        (r"block(\d+)_talk1", r"blocks.\1.attn.proj_l"),
        (r"block(\d+)_talk2", r"blocks.\1.attn.proj_w"),
        (r"block(\d+)_(fc\d)", r"blocks.\1.mlp.\2"),
        (r"block(\d+)_scale(\d)", r"blocks.\1.gamma_\2"),
        (r"norm", "norm"),
        (r"logits", "head"),
    )


TORCH_NAMES = torch_names
TORCH_IGNORED = (r"cls_token\.bias", r"blocks_token_only\..*")  # all that `num_classes=0` leaves out

xxs = {"width": 192, "num_heads": 4}
xs = {"width": 288, "num_heads": 6}
small = {"width": 384, "num_heads": 8}
medium = {"width": 768, "num_heads": 16}
at_384 = {"input_shape": (384, 384, 3)}


def talking_head_attention(x: keras.KerasTensor, num_heads: int, name: str) -> keras.KerasTensor:
    q, k, v = query_key_value(x, name)
    weights = TalkingHeads(name=f"{name}_talk1")(AttentionScores(num_heads, name=f"{name}_scores")([q, k]))
    weights = TalkingHeads(name=f"{name}_talk2")(layers.Softmax(name=f"{name}_softmax")(weights))
    y = AttentionValues(num_heads, name=f"{name}_attention")([weights, v])
    return project(y, x.shape[-1], f"{name}_proj")


def class_attention(x: keras.KerasTensor, num_heads: int, name: str) -> keras.KerasTensor:
    """The first of the tokens [N, T, C] reads all of them: [N, 1, C] (eq. 5 to 7)."""
    tokens, channels = x.shape[1:]
    first = layers.Cropping1D((0, tokens - 1), name=f"{name}_query")(x)
    q, k, v = (project(y, channels, f"{name}_{role}") for role, y in (("q", first), ("k", x), ("v", x)))
    return project(DotProductAttention(num_heads, name=f"{name}_attention")([q, k, v]), channels, f"{name}_proj")


def scaled_mlp(x: keras.KerasTensor, initial: float, drop_path: float, name: str) -> keras.KerasTensor:
    y = mlp(normalize(x, f"{name}_norm2"), 4 * x.shape[-1], name)
    return residual(x, LayerScale(initial, name=f"{name}_scale2")(y), drop_path, name)


@register("cait_tiny", width=32, num_heads=8, depth=4, layer_scale=1.0)
@register("cait_xxs24", **xxs, depth=24, params=11_956_264,
    weights={"imagenet": {"repo": "timm/cait_xxs24_224.fb_dist_in1k", "file": "model.safetensors",
        "license": "apache-2.0"}})  # fmt: skip
@register("cait_xxs36", **xxs, depth=36, params=17_299_720,
    weights={"imagenet": {"repo": "timm/cait_xxs36_224.fb_dist_in1k", "file": "model.safetensors",
        "license": "apache-2.0"}})  # fmt: skip
@register("cait_xs24", **xs, **at_384, depth=24, params=26_670_088,
    weights={"imagenet": {"repo": "timm/cait_xs24_384.fb_dist_in1k", "file": "model.safetensors",
        "license": "apache-2.0"}})  # fmt: skip
@register("cait_s24", **small, depth=24, params=46_916_200,
    weights={"imagenet": {"repo": "timm/cait_s24_224.fb_dist_in1k", "file": "model.safetensors",
        "license": "apache-2.0"}})  # fmt: skip
@register("cait_s36", **small, **at_384, depth=36, layer_scale=1e-6, params=68_366_632,
    weights={"imagenet": {"repo": "timm/cait_s36_384.fb_dist_in1k", "file": "model.safetensors",
        "license": "apache-2.0"}})  # fmt: skip
@register("cait_m36", **medium, **at_384, depth=36, layer_scale=1e-6, params=271_221_352,
    weights={"imagenet": {"repo": "timm/cait_m36_384.fb_dist_in1k", "file": "model.safetensors",
        "license": "apache-2.0"}})  # fmt: skip
@register("cait_m48", **medium, depth=48, layer_scale=1e-6, input_shape=(448, 448, 3), params=356_460_520,
    weights={"imagenet": {"repo": "timm/cait_m48_448.fb_dist_in1k", "file": "model.safetensors",
        "license": "apache-2.0"}})  # fmt: skip
def cait(
    width: int,
    num_heads: int,
    depth: int,
    class_depth: int = 2,
    patch_size: int = 16,
    layer_scale: float = 1e-5,
    drop_path: float = 0.0,
    input_shape: tuple[int, int, int] = (224, 224, 3),
    num_classes: int = 1000,
    name: str = "cait",
) -> keras.Model:
    """Build a CaiT over images [N, H, W, C] whose sides are multiples of `patch_size`; published weights expect RGB in
    0..1, less ImageNet's mean (0.485, 0.456, 0.406), over its deviation (0.229, 0.224, 0.225).

    Block i ends in the layer `block{i}`, tokens [N, h * w, width]; after each quarter of the blocks they are a map
    [N, h, w, width], the layers `stage1` to `stage4`. Layer i of class attention ends in `class{i}`, [N, 1, width].

    Args:
        width: channels of a token.
        num_heads: attention heads; divides `width`.
        depth: blocks of self-attention, a multiple of 4.
        class_depth: layers of class attention.
        patch_size: side of a patch in pixels.
        layer_scale: factor that every residual starts with.
        drop_path: rate at which each block's residuals are left out while training (the paper: 0.05 for xxs24, more
            for larger ones); the class token's never are.
        num_classes: units of the float32 layer `logits`; 0 leaves out class attention and head and returns the
            normalised tokens as a map [N, h, w, width].

    Raises:
        ValueError: a size does not fit: of the image, the depth, or the heads.
    """
    inputs = keras.Input(input_shape)
    x = embed_patches(inputs, width, patch_size)
    grid = x.shape[1:3]
    x = PositionEmbedding(name="position_embedding")(to_tokens(x, "patch_tokens"))
    for i, stage in in_stages(depth):
        at = f"block{i}"
        y = talking_head_attention(normalize(x, f"{at}_norm1"), num_heads, at)
        x = residual(x, LayerScale(layer_scale, name=f"{at}_scale1")(y), drop_path, f"{at}_add")
        x = scaled_mlp(x, layer_scale, drop_path, at)
        if stage:
            features, x = through_map(x, grid, stage)
    if not num_classes:
        return keras.Model(inputs, normalize(features, "norm"), name=name)
    both = ClassToken(name="class_token")(x)
    first = layers.Cropping1D((0, x.shape[1]), name="class_first")(both)
    for i in range(class_depth):
        at = f"class{i}"
        if i:
            both = layers.Concatenate(axis=1, name=f"{at}_both")([first, x])
        y = class_attention(normalize(both, f"{at}_norm1"), num_heads, at)
        first = residual(first, LayerScale(layer_scale, name=f"{at}_scale1")(y), 0.0, f"{at}_add")
        first = scaled_mlp(first, layer_scale, 0.0, at)
    first = pick(normalize(first, "norm"), 0, "class_features")
    return keras.Model(inputs, classify(first, num_classes), name=name)

"""MLP-Mixer: perceptrons across patches and perceptrons across channels, in turn.

Paper: Tolstikhin et al., "MLP-Mixer: An all-MLP Architecture for Vision", NeurIPS 2021, arXiv:2105.01601
Slug: mlp_mixer
Idea: neither convolution nor attention is needed: one perceptron, shared by all channels, mixes places, another, shared
  by all places, mixes channels.
Differs: the head starts with small random weights (the paper: zeros). The number of places is fixed, so weights fit one
  image size only; the paper's block-diagonal start for larger images is not built.
Checked: on the same weights, logits and every block's tokens equal timm's to 1e-4 of their scale, gray images included
  (tests/parity/test_timm_tokens.py); a permutation of the patches, undone in the weights that mix them, changes nothing
  (tests/test_token_networks.py). mixer_h14 has the paper's 431 million parameters before its head, and no other check.
"""

import keras
from keras import layers

from hub.layers.stochastic_depth import linear_decay
from hub.layers.transformer import classify, embed_patches, in_stages, mlp, normalize, residual, through_map, to_tokens
from hub.registry import register

TORCH_NAMES = (  # layer -> module of timm's MlpMixer; hub.weights reads it
    (r"patch_embed", "stem.proj"),
    (r"block(\d+)_(norm\d)", r"blocks.\1.\2"),
    (r"block(\d+)_(tokens|channels)_(fc\d)", r"blocks.\1.mlp_\2.\3"),
    (r"norm", "norm"),
    (r"logits", "head"),
)

small = {"width": 512, "depth": 8}
base = {"width": 768, "depth": 12}
large = {"width": 1024, "depth": 24}


def block(x: keras.KerasTensor, drop_path: float, name: str) -> keras.KerasTensor:
    """Eq. 1; the hidden layers have half and four times as many units as there are channels (table 1)."""
    width = x.shape[-1]
    y = layers.Permute((2, 1), name=f"{name}_places_last")(normalize(x, f"{name}_norm1"))
    y = layers.Permute((2, 1), name=f"{name}_channels_last")(mlp(y, width // 2, f"{name}_tokens"))
    x = residual(x, y, drop_path, f"{name}_add")
    y = mlp(normalize(x, f"{name}_norm2"), 4 * width, f"{name}_channels")
    return residual(x, y, drop_path, name)


@register("mixer_tiny", width=32, depth=4)
@register("mixer_s32", **small, patch_size=32, params=19_104_624, gmacs=1.0)
@register("mixer_s16", **small, params=18_528_264, gmacs=3.79)
@register("mixer_b32", **base, patch_size=32, params=60_293_428, gmacs=3.24)
@register("mixer_b16", **base, params=59_880_472, gmacs=12.62,
    weights={"imagenet": {"repo": "timm/mixer_b16_224.goog_in21k_ft_in1k", "file": "model.safetensors",
        "license": "apache-2.0", "mean": 0.5, "std": 0.5}})  # fmt: skip
@register("mixer_l32", **large, patch_size=32, params=206_939_264, gmacs=11.27)
@register("mixer_l16", **large, params=208_196_168, gmacs=44.60,
    weights={"imagenet": {"repo": "timm/mixer_l16_224.goog_in21k_ft_in1k", "file": "model.safetensors",
        "license": "apache-2.0", "mean": 0.5, "std": 0.5}})  # fmt: skip
@register("mixer_h14", width=1280, depth=32, patch_size=14)
def mlp_mixer(
    width: int,
    depth: int,
    patch_size: int = 16,
    drop_path: float = 0.0,
    input_shape: tuple[int, int, int] = (224, 224, 3),
    num_classes: int = 1000,
    name: str = "mlp_mixer",
) -> keras.Model:
    """Build an MLP-Mixer over images [N, H, W, C] whose sides are multiples of `patch_size`; published weights expect
    RGB in 0..1, less 0.5, over 0.5, of 224x224 pixels.

    Block i ends in the layer `block{i}`, tokens [N, h * w, width]; after each quarter of the blocks they are a map
    [N, h, w, width], the layers `stage1` to `stage4`.

    Args:
        width: channels of a token.
        depth: blocks, a multiple of 4.
        patch_size: side of a patch in pixels.
        drop_path: rate at which the last block's residuals are left out while training; earlier ones less, linearly.
        num_classes: units of the float32 layer `logits`; 0 leaves out pooling and head and returns the normalised
            tokens as a map [N, h, w, width].

    Raises:
        ValueError: a size does not fit, of the image or the depth.
    """
    inputs = keras.Input(input_shape)
    x = embed_patches(inputs, width, patch_size)
    grid = x.shape[1:3]
    x = to_tokens(x, "patch_tokens")
    rates = linear_decay(depth, drop_path, first=0)
    for i, stage in in_stages(depth):
        x = block(x, rates[i], f"block{i}")
        if stage:
            features, x = through_map(x, grid, stage)
    x = normalize(features, "norm")
    if num_classes:
        x = layers.GlobalAveragePooling2D(name="pool")(x)
        x = classify(x, num_classes)
    return keras.Model(inputs, x, name=name)

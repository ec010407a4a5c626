"""The same weights in timm's token networks and in ours: the same logits and the same tokens after every block."""

import numpy as np
import pytest
from same_weights import agree, loaded, outputs_of, pictures

from hub import contract, registry
from hub.layers.position_embedding import resampled

pytestmark = pytest.mark.parity
WHOLE = {  # name -> timm's; one of each family at its full size
    "vit_tiny_patch16": "vit_tiny_patch16_224",
    "mixer_s32": "mixer_s32_224",
    "cait_xxs24": "cait_xxs24_224",
}
SHORT = {  # networks of four blocks, by the same rows
    "vit_base_patch32": "vit_base_patch32_224",
    "deit_small": "deit_small_patch16_224",
    "deit_tiny_distilled": "deit_tiny_distilled_patch16_224",
    "mixer_s16": "mixer_s16_224",
    "cait_xs24": "cait_xs24_384",
}
COUNTS = {
    **{f"vit_{size}": f"vit_{size}_224" for size in ("tiny_patch16", "small_patch16", "base_patch16", "base_patch32")},
    "vit_large_patch16": "vit_large_patch16_224",
    **{f"deit_{size}": f"deit_{size}_patch16_224" for size in ("tiny", "small", "base")},
    **{f"deit_{size}_distilled": f"deit_{size}_distilled_patch16_224" for size in ("tiny", "small", "base")},
    **{f"mixer_{size}": f"mixer_{size}_224" for size in ("s32", "s16", "b32", "b16", "l32", "l16")},
    **{f"cait_{size}": f"cait_{size}_224" for size in ("xxs24", "xxs36", "s24")},
    **{f"cait_{size}": f"cait_{size}_384" for size in ("xs24", "s36", "m36")},
    "cait_m48": "cait_m48_448",
}


def randomised(timm, name, **options):
    """timm's network with weights that keep every part of it audible: nothing is at its start of zero or one."""
    import torch

    torch.manual_seed(0)
    if "mixer" in name and options:  # its variants take no depth; the class's defaults are those of mixer_s16
        network = timm.models.MlpMixer(num_blocks=options.pop("depth"), **options).eval()
    else:
        network = timm.create_model(name, **options).eval()
    for key, value in network.named_parameters():
        if "norm" in key and key.endswith("weight"):
            torch.nn.init.uniform_(value, 0.5, 1.5)
        elif "gamma" in key:
            torch.nn.init.uniform_(value, 0.1, 0.5)
        elif value.ndim > 1 and not key.endswith(("token", "embed")):
            torch.nn.init.normal_(value, std=value[0].numel() ** -0.5)
        else:
            torch.nn.init.normal_(value, std=0.2)
    return network


def tokens_of(network, model, images):
    """Logits, and the tokens after each block, of class attention too; as maps where `model` has a stage."""
    patch = {f"block{i}": f"blocks.{i}" for i in range(len(network.blocks))}
    classes = {f"class{i}": f"blocks_token_only.{i}" for i in range(len(getattr(network, "blocks_token_only", ())))}
    found = outputs_of(network, patch | classes, images)
    for stage in (1, 2, 3, 4):
        if any(layer.name == f"stage{stage}" for layer in model.layers):
            shape = model.get_layer(f"stage{stage}").output.shape[1:]
            tokens = found[f"block{stage * len(patch) // 4 - 1}"]
            found[f"stage{stage}"] = tokens[:, -shape[0] * shape[1] :].reshape(-1, *shape)
    return found


@pytest.mark.parametrize("name", WHOLE)
def test_same_logits_and_tokens(timm, tmp_path, name):
    network = randomised(timm, WHOLE[name])
    images = pictures(224, 224, 3)
    model = loaded(name, network.state_dict(), tmp_path, images)
    agree(name, model, tokens_of(network, model, images), images, reference="timm")

    def spent():
        import torch

        total = []
        for module in network.modules():
            if isinstance(module, torch.nn.Conv2d):
                module.register_forward_hook(lambda m, _i, out: total.append(m.weight.numel() * out[0, 0].numel()))
            elif isinstance(module, torch.nn.Linear):
                module.register_forward_hook(
                    lambda m, _i, out: total.append(m.weight.numel() * out[0].numel() // out.shape[-1])
                )
        with torch.inference_mode():
            network(torch.zeros(1, 3, 224, 224))
        return sum(total)

    if "cait" not in name:  # its linear maps between heads run over positions of a map here, over scores there
        assert contract.multiply_adds(model) == spent()


@pytest.mark.parametrize("name", SHORT)
def test_short_networks(timm, tmp_path, name):
    network = randomised(timm, SHORT[name], img_size=64, depth=4, num_classes=7)
    images, options = pictures(64, 64, 3), {"depth": 4, "num_classes": 7}
    model = loaded(name, network.state_dict(), tmp_path, images, **options)
    agree(name, model, tokens_of(network, model, images), images, reference="timm", **options)


@pytest.mark.parametrize("name", ["vit_tiny_patch16", "deit_tiny_distilled"])
@pytest.mark.parametrize("size", [(160, 48), (64, 32)])
def test_other_image_sizes(timm, tmp_path, name, size):
    """timm resamples the positions itself, at run time."""
    other = {**WHOLE, **SHORT}[name]
    network = randomised(timm, other, img_size=80, depth=4, dynamic_img_size=True)
    images = pictures(*size, 3)
    model = loaded(name, network.state_dict(), tmp_path, images, depth=4)
    agree(name, model, tokens_of(network, model, images), images, reference="timm", depth=4)


@pytest.mark.parametrize("prefix", [0, 1, 2])
@pytest.mark.parametrize("grid", [(24, 24), (7, 7), (10, 31), (1, 2)])
def test_positions_are_resampled_as_timm_does(timm, prefix, grid):
    import torch
    from timm.layers import resample_abs_pos_embed

    table = np.random.default_rng(0).normal(size=(prefix + 14 * 14, 5)).astype("float32")
    theirs = resample_abs_pos_embed(torch.from_numpy(table[None]), list(grid), num_prefix_tokens=prefix)[0].numpy()
    np.testing.assert_allclose(resampled(table, prefix, grid), theirs, atol=1e-5)  # PyTorch keeps the scale in float32


@pytest.mark.parametrize("name", ["vit_tiny_patch16", "deit_tiny_distilled", "mixer_s16", "cait_xxs24"])
def test_gray_features_of_a_whole_checkpoint(timm, tmp_path, name):
    """With `num_classes=0`: the normalised patch tokens; heads and class attention are passed over."""
    network = randomised(timm, {**WHOLE, **SHORT}[name], img_size=64, depth=4)
    gray, options = pictures(64, 64, 1), {"depth": 4, "num_classes": 0}
    model = loaded(name, network.state_dict(), tmp_path, gray, **options)
    network.forward = network.forward_features
    theirs = tokens_of(network, model, np.repeat(gray, 3, axis=-1))
    theirs = {part: value for part, value in theirs.items() if not part.startswith("class")}
    theirs["output"] = theirs["output"][:, -16:].reshape(2, 4, 4, -1)
    agree(name, model, theirs, gray, reference="timm", **options)


def test_a_new_head_and_a_wrong_checkpoint(timm, tmp_path):
    network = randomised(timm, "deit_tiny_distilled_patch16_224", img_size=64, depth=4)
    images, options = pictures(64, 64, 3), {"depth": 4, "num_classes": 3}
    with pytest.warns(UserWarning, match="keeps its own values"):
        model = loaded("deit_tiny_distilled", network.state_dict(), tmp_path, images, **options)
    theirs = tokens_of(network, model, images)
    del theirs["output"]  # our heads are new
    ours = outputs_of(model, {part: part for part in theirs}, images)
    agree("deit_tiny_distilled", ours, theirs, images, reference="timm", **options)
    with pytest.raises(ValueError, match=r"does not fit vit.*dist_token"):
        loaded("deit_tiny", network.state_dict(), tmp_path, images, depth=4)


@pytest.mark.parametrize("name", COUNTS)
def test_published_parameters(timm, name):
    import torch

    with torch.device("meta"):
        network = timm.create_model(COUNTS[name])
    assert sum(p.numel() for p in network.parameters()) == registry.info(name).params

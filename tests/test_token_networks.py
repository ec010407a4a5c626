"""Token networks: attention against loops, what their parts promise, and published multiply-adds."""

import keras
import numpy as np
import pytest

from hub import contract, registry
from hub.layers.attention import AttentionScores, AttentionValues, DotProductAttention
from hub.layers.position_embedding import bicubic_matrix, resampled
from hub.layers.talking_heads import TalkingHeads

SMALL = {"input_shape": (64, 32, 3), "num_classes": 5}
TINY = ["vit_tiny_tiny", "mixer_tiny", "cait_tiny"]


def numpy_of(x):
    return keras.ops.convert_to_numpy(x)


def pictures(model, count=2, seed=0):
    return np.random.default_rng(seed).normal(size=(count, *model.input_shape[1:])).astype("float32")


def at(model, names, images, **options):
    taps = {name: model.get_layer(name).output for name in names}
    return {k: numpy_of(v) for k, v in keras.Model(model.input, taps)(images, **options).items()}


def build(name, seed=0, **options):
    keras.utils.set_random_seed(seed)
    return registry.build(name, **{**SMALL, **options})


def slow_attention(q, k, v, num_heads, before=np.eye, after=np.eye):
    """Loops over examples, heads and queries; `before` and `after` mix the heads."""
    size = q.shape[-1] // num_heads
    out = np.zeros(q.shape)
    for n in range(len(q)):
        for i in range(q.shape[1]):
            heads = [slice(h * size, (h + 1) * size) for h in range(num_heads)]
            scores = np.array([[q[n, i, at] @ row[at] / np.sqrt(size) for row in k[n]] for at in heads])
            scores = before(num_heads) @ scores
            weights = np.array([np.exp(row) / np.exp(row).sum() for row in scores])
            weights = after(num_heads) @ weights
            for h, at in enumerate(heads):
                out[n, i, at] = sum(weight * row[at] for weight, row in zip(weights[h], v[n], strict=True))
    return out


def test_attention_equals_loops():
    rng = np.random.default_rng(0)
    q = rng.normal(size=(2, 3, 12)).astype("float32")
    k, v = rng.normal(size=(2, 2, 7, 12)).astype("float32")
    np.testing.assert_allclose(numpy_of(DotProductAttention(4)([q, k, v])), slow_attention(q, k, v, 4), atol=1e-5)

    first, second = TalkingHeads(), TalkingHeads()
    weights = keras.ops.softmax(first(AttentionScores(4)([q, k])))
    mix = rng.normal(size=(2, 4, 4)).astype("float32")
    second.build((None, 4, 3, 7))
    first.set_weights([mix[0].T, np.zeros(4)])
    second.set_weights([mix[1].T, np.zeros(4)])
    weights = second(keras.ops.softmax(first(AttentionScores(4)([q, k]))))
    expected = slow_attention(q, k, v, 4, before=lambda _: mix[0], after=lambda _: mix[1])
    np.testing.assert_allclose(numpy_of(AttentionValues(4)([weights, v])), expected, atol=1e-4)


def test_heads_that_do_not_divide():
    tokens = np.zeros((1, 3, 10), "float32")
    with pytest.raises(ValueError, match=r"num_heads=4, 10 channels"):
        DotProductAttention(4)([tokens] * 3)


@pytest.mark.parametrize(
    ("name", "published"), [("vit_tiny_patch16", 1.26), ("deit_tiny_distilled", 1.27), ("cait_xxs24", 2.53)]
)
def test_published_multiply_adds(name, published):
    """timm's benchmark tables count the products of attention too, which are no layer with a kernel."""
    model = registry.build(name)
    spent = 0
    for layer in model.layers:
        if isinstance(layer, DotProductAttention | AttentionScores | AttentionValues):
            shapes = [tensor.shape for tensor in layer.input]
            keys = shapes[1][1]
            products = 2 if isinstance(layer, DotProductAttention) else 1
            spent += products * layer.output.shape[-2] * keys * shapes[-1][-1]
        elif isinstance(layer, TalkingHeads):  # each position of the map of scores costs H * H
            _, heads, queries, keys = layer.output.shape
            spent += heads * heads * queries * keys - heads * heads * heads * queries
    np.testing.assert_allclose((contract.multiply_adds(model) + spent) / 1e9, published, rtol=0.008)


def test_positions_of_another_grid():
    rng = np.random.default_rng(0)
    table = rng.normal(size=(2 + 25, 3))
    assert resampled(table, 2, (5, 5)) is table
    assert resampled(table, 1, (4, 4)) is table  # 26 are no square
    for grid in ((7, 3), (10, 10), (2, 9)):
        there = resampled(table, 2, grid)
        assert there.shape == (2 + grid[0] * grid[1], 3)
        np.testing.assert_array_equal(there[:2], table[:2])
    constant = resampled(np.ones((16, 1)), 0, (9, 3))
    np.testing.assert_allclose(constant, 1)
    for old, new in ((14, 24), (24, 14), (1, 3)):
        matrix = bicubic_matrix(old, new)
        np.testing.assert_allclose(matrix, matrix[::-1, ::-1], atol=1e-12)  # mirrored, the same
        ramp = matrix @ np.arange(old)
        inside = slice(new // 3, new - new // 3)
        np.testing.assert_allclose(ramp[inside], ((np.arange(new) + 0.5) * old / new - 0.5)[inside], atol=0.05)


@pytest.mark.parametrize("name", TINY)
def test_stages_are_the_blocks_as_maps(name):
    """Four blocks, four stages of 4 x 2 patches; the first patch of the second row lies below the first."""
    model = build(name)
    stages = range(3 if "vit" in name else 4)
    found = at(model, [f"block{i}" for i in stages] + [f"stage{i + 1}" for i in stages], pictures(model))
    for i in stages:
        tokens = found[f"block{i}"][:, -8:]
        np.testing.assert_array_equal(found[f"stage{i + 1}"], tokens.reshape(2, 4, 2, 32))


@pytest.mark.parametrize("name", TINY)
def test_features_without_a_head(name):
    full, features = build(name), build(name, num_classes=0)
    own = {w.path: w for w in full.weights}
    for weight in features.weights:
        weight.assign(own[weight.path])
    images = pictures(full)
    last = at(full, ["block3"], images)["block3"][:, -8:].reshape(2, 4, 2, 32)
    deviation = np.sqrt(last.var(-1, keepdims=True) + 1e-6)
    np.testing.assert_allclose(numpy_of(features(images)), (last - last.mean(-1, keepdims=True)) / deviation, atol=1e-4)


def test_a_mixer_knows_no_neighbours():
    """Patches in another order, and the weights that mix them reordered alike, give the same logits."""
    model = build("mixer_tiny")
    images = pictures(model)
    before = numpy_of(model(images))
    order = np.random.default_rng(1).permutation(8)
    patches = images.reshape(2, 4, 16, 2, 16, 3).transpose(0, 1, 3, 2, 4, 5).reshape(2, 8, 16, 16, 3)[:, order]
    images = patches.reshape(2, 4, 2, 16, 16, 3).transpose(0, 1, 3, 2, 4, 5).reshape(2, 64, 32, 3)
    assert np.abs(numpy_of(model(images)) - before).max() > 1e-4
    for i in range(4):
        first, second = (model.get_layer(f"block{i}_tokens_fc{j}") for j in (1, 2))
        first.kernel.assign(numpy_of(first.kernel)[order])
        second.kernel.assign(numpy_of(second.kernel)[:, order])
        second.bias.assign(numpy_of(second.bias)[order])
    np.testing.assert_allclose(numpy_of(model(images)), before, atol=1e-5)


def test_residuals_of_no_scale_change_nothing():
    model = build("cait_tiny", layer_scale=0.0)
    found = at(model, ["position_embedding", "block3", "class_first", "class1"], pictures(model))
    np.testing.assert_array_equal(found["block3"], found["position_embedding"])
    np.testing.assert_array_equal(found["class1"], found["class_first"])


def test_dropped_paths():
    """CaiT drops at one rate in all blocks, never on the class token; the others drop from nothing up to the rate."""
    model = build("cait_tiny", drop_path=1.0)
    names = ["position_embedding", "block3", "class_first", "class1"]
    found = at(model, names, pictures(model), training=True)
    np.testing.assert_array_equal(found["block3"], found["position_embedding"])
    assert np.abs(found["class1"] - found["class_first"]).max() > 1e-3
    for name in TINY[:2]:
        model = build(name, drop_path=0.3)
        rates = [layer.rate for layer in model.layers if layer.name.endswith("_drop")]
        np.testing.assert_allclose(rates, [0.1, 0.1, 0.2, 0.2, 0.3, 0.3])
        plain = build(name)
        for weight, dropped in zip(plain.trainable_weights, model.trainable_weights, strict=True):
            weight.assign(dropped)
        images = pictures(model)
        np.testing.assert_array_equal(numpy_of(model(images)), numpy_of(plain(images)))


def test_a_distilled_network_averages_two_heads(tmp_path):
    model = build("vit_tiny_tiny", distilled=True)
    images = pictures(model)
    found = at(model, ["class_logits", "distilled_logits", "logits", "block3"], images)
    np.testing.assert_allclose(found["logits"], (found["class_logits"] + found["distilled_logits"]) / 2, atol=1e-6)
    assert np.abs(found["class_logits"] - found["distilled_logits"]).max() > 1e-3
    assert found["block3"].shape == (2, 2 + 8, 32)
    model.save(tmp_path / "m.keras")
    again = keras.saving.load_model(tmp_path / "m.keras")
    np.testing.assert_allclose(numpy_of(again(images)), found["logits"], atol=1e-6)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="the gradient is TensorFlow's")
def test_logits_depend_on_the_last_map_that_leads_to_them():
    from hub.explain.grad_cam import GradCAM

    model = build("vit_tiny_tiny")
    maps = GradCAM()(model, pictures(model), lambda logits: logits[:, 1] - logits[:, 2])
    assert maps.shape == (2, 64, 32) and maps.max() == 1 and maps.std() > 0.01


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"input_shape": (60, 64, 3)}, r"multiples of the patch size 16.*\(60, 64, 3\)"),
        ({"input_shape": (None, 64, 3)}, r"multiples of the patch size 16.*None"),
        ({"depth": 6}, r"multiple of 4.*depth=6"),
        ({"depth": 0}, r"multiple of 4|at least 1 block"),
    ],
)
def test_sizes_that_do_not_fit(options, told):
    for name in TINY:
        with pytest.raises(ValueError, match=told):
            registry.build(name, **{**SMALL, **options})

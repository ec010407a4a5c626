"""Residual adapters and 2-D attention: slow loops, published counts, what must not move."""

import itertools

import keras
import numpy as np
import pytest

from hub.layers.attention_2d import CBAM, SelfAttention2D
from hub.layers.residual_adapters import DomainBatchNormalization, ResidualAdapter, train_only
from hub.registry import build


def array(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def close(a, b, tolerance=1e-5):
    a, b = np.asarray(a), np.asarray(b)
    assert a.shape == b.shape
    np.testing.assert_allclose(a, b, atol=tolerance * max(np.abs(b).max(), 1), rtol=0)


def count(weights):
    return sum(int(np.prod(w.shape)) for w in weights)


def test_adapters_equal_slow_loops():
    x = array(2, 5, 4, 3)
    series = ResidualAdapter(domains=2)
    got = series(x, domain=1)
    w = np.asarray(series.convs[1].kernel)[0, 0]
    close(got, x + x / np.sqrt(1 + 1e-5) @ w)
    parallel = ResidualAdapter("parallel", filters=6, strides=2, domains=2)
    close(parallel(x), x[:, ::2, ::2] @ np.asarray(parallel.convs[0].kernel)[0, 0])
    assert np.abs(np.asarray(series.convs[0].kernel) - np.asarray(series.convs[1].kernel)).max() > 0
    close(ResidualAdapter(kernel_initializer="zeros")(x), x, 0)


@pytest.mark.parametrize("wrong", [{"mode": "both"}, {"mode": "parallel"}, {"filters": 4}, {"strides": 2}])
def test_adapter_arguments(wrong):
    with pytest.raises(ValueError, match=r'"series" without filters'):
        ResidualAdapter(**wrong)


def test_unknown_domain():
    with pytest.raises(ValueError, match=r"0\.\.1"):
        DomainBatchNormalization(2)(array(1, 2, 2, 3), domain=2)


WIDTHS = (3, 32, *[64] * 8, *[128] * 8, *[256] * 8)  # the 25 convolutions of the ResNet-26 of the paper


@pytest.mark.parametrize(("mode", "parameters"), [("series", 706_698), ("parallel", 655_530), (None, 10_314)])
def test_a_new_domain_costs_what_the_authors_code_costs(mode, parameters):
    """One adapter and normalisation per convolution, a last normalisation, and a classifier of ten."""
    total = 2 * 256 + 256 * 10 + 10
    for before, after in itertools.pairwise(WIDTHS):
        norm = DomainBatchNormalization()
        norm.build((None, 8, 8, after))
        total += count(norm.trainable_weights)
        if mode:
            adapter = ResidualAdapter(mode, filters=after if mode == "parallel" else None)
            adapter.build((None, 8, 8, after if mode == "series" else before))
            total += count(adapter.trainable_weights)
    assert total == parameters


@pytest.mark.parametrize("mode", ["series", "parallel"])
def test_training_one_domain_leaves_the_other_as_it_was(mode):
    x = array(8, 16, 16, 3) * 2 + 1
    size = {"mode": mode, "domains": 2, "num_classes": 2, "depths": (1, 1), "width": 4, "input_shape": (16, 16, 3)}
    first = build("resnet26_adapters", **size)
    second = build("resnet26_adapters", **size, domain=1, like=first)
    assert first.get_layer("stem_conv") is second.get_layer("stem_conv")
    before = np.asarray(first(x)), np.asarray(second(x))
    train_only(second, 1)
    assert not second.get_layer("stem_conv").trainable_weights
    second.compile(keras.optimizers.SGD(0.5, weight_decay=0.1), "mse")
    second.fit(x, array(8, 2, seed=1), verbose=0)
    np.testing.assert_array_equal(first(x), before[0])
    assert np.abs(np.asarray(second(x)) - before[1]).max() > 1e-2


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


@pytest.mark.parametrize("heads", [None, 1, 2])
def test_attention_equals_slow_loops(heads):
    x = array(2, 3, 4, 6)
    layer = SelfAttention2D(heads, "ones")
    got = layer(x)
    maps = []
    for conv in layer.convs:
        conv.bias.assign(array(6, seed=len(maps) + 5))
        maps.append(lambda v, conv=conv: v @ np.asarray(conv.kernel)[0, 0] + np.asarray(conv.bias))
    got = layer(x)
    flat = x.reshape(2, 12, 6)
    query, key, value = (m(flat) for m in maps[:3])
    wide, y = 6 // (heads or 1), np.zeros_like(flat)
    for n in range(2):
        for h in range(heads or 1):
            of = slice(h * wide, (h + 1) * wide)
            for i in range(12):
                scores = np.array([query[n, i, of] @ key[n, j, of] for j in range(12)]) * (wide**-0.5 if heads else 1)
                y[n, i, of] = softmax(scores) @ value[n, :, of]
    y = maps[3](y) if heads else y
    close(got, x + y.reshape(x.shape), 1e-4)
    close(SelfAttention2D(heads)(x), x, 0)


def test_cbam_equals_slow_loops():
    x = array(2, 5, 4, 16)
    layer = CBAM()
    got = layer(x)
    down, up, kernel = (np.asarray(w) for w in (layer.squeeze.kernel, layer.excite.kernel, layer.spatial.kernel))
    layer.spatial.bias.assign([0.3])
    got = layer(x)

    def sigmoid(v):
        return 1 / (1 + np.exp(-v))

    gate = sum(np.maximum(p @ down, 0) @ up for p in (x.mean((1, 2)), x.max((1, 2))))
    y = x * sigmoid(gate)[:, None, None]
    pooled = np.pad(np.stack([y.max(-1), y.mean(-1)], -1), ((0, 0), (3, 3), (3, 3), (0, 0)))
    seen = np.zeros((2, 5, 4))
    for n, i, j in np.ndindex(seen.shape):
        seen[n, i, j] = (pooled[n, i : i + 7, j : j + 7] * kernel[..., 0]).sum() + 0.3
    close(got, x + y * sigmoid(seen)[..., None], 1e-4)
    inner = CBAM(residual=False)
    inner.build(x.shape)
    inner.set_weights(layer.get_weights())
    close(inner(x), np.asarray(got) - x, 1e-4)


@pytest.mark.parametrize(
    ("make", "parameters"),
    [(SelfAttention2D, 286_189), (lambda: SelfAttention2D(8), 291_677), (CBAM, 271_363)],
    ids=["self_attention", "mha", "cbam"],
)
def test_parameters_beside_the_paper_s_resnet20(make, parameters):
    """269,722 without; one module behind each group, of 16, 32 and 64 channels."""
    modules = [make() for _ in range(3)]
    for module, channels in zip(modules, (16, 32, 64), strict=True):
        module.build((None, 8, 8, channels))
    assert 269_722 + sum(count(m.trainable_weights) for m in modules) == parameters


def test_heads_divide_channels():
    with pytest.raises(ValueError, match="divide"):
        SelfAttention2D(4)(array(1, 2, 2, 6))


def test_attention_leaves_the_backbone_as_it_is_at_first():
    size = {"input_shape": (8, 8, 3), "depths": (1, 1, 1)}
    plain, model = build("resnet20_cifar", **size), build("resnet20_mha", **size)
    assert [layer.name for layer in model.layers if "attention" in layer.name] == [
        f"stage{s}_attention" for s in (1, 2, 3)
    ]
    for layer in plain.layers[1:]:
        model.get_layer(layer.name).set_weights(layer.get_weights())
    x = array(2, 8, 8, 3)
    close(model(x), plain(x))
    model.get_layer("stage1_attention").gamma.assign(1.0)
    assert np.abs(np.asarray(model(x)) - np.asarray(plain(x))).max() > 1e-3

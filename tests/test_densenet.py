"""DenseNet's connections by perturbation, its layers against slow NumPy loops, and its edges; Inception v3's edges."""

import itertools

import keras
import numpy as np
import pytest

from hub import registry
from hub.models.densenet import basic, bottleneck, densenet


def weights_of(model):
    return {
        f"{layer.name}/{w.name}": keras.ops.convert_to_numpy(w).astype("float64")
        for layer in model.layers
        for w in layer.weights
    }


def with_random_weights(model):
    """`model` with every weight random, variances positive."""
    rng = np.random.default_rng(3)
    for w in model.weights:
        scale = 1 / np.sqrt(np.prod(w.shape[:-1])) if "kernel" in w.name else 0.5
        w.assign(np.abs(rng.normal(1, 0.3, w.shape)) if "variance" in w.name else rng.normal(0, scale, w.shape))
    return model


def tapped(model, names, images):
    outputs = keras.Model(model.input, {at: model.get_layer(at).output for at in names})(images, training=False)
    return {at: keras.ops.convert_to_numpy(x) for at, x in outputs.items()}


def pictures(*shape):
    return np.random.default_rng(0).normal(size=shape).astype("float32")


@pytest.mark.parametrize("block", [basic, bottleneck], ids=lambda x: x.__name__)
def test_a_block_of_five_layers_has_fifteen_connections(block):
    """Section 3: with every layer but two silenced, the later one still follows the earlier: they touch directly."""
    depth = 5
    model = with_random_weights(densenet((depth,), growth=3, width=4, block=block, stem="cifar", input_shape=(6, 6, 3)))
    last = "1" if block is basic else "2"
    convs = ["stem_conv", *(f"stage1_layer{i}_{last}_conv" for i in range(1, depth + 1))]
    images = pictures(1, 6, 6, 3)
    before = [keras.ops.convert_to_numpy(model.get_layer(name).kernel) for name in convs]
    connections = set()
    for source, target in itertools.permutations(range(depth + 1), 2):
        for i, name in enumerate(convs):
            model.get_layer(name).kernel.assign(before[i] * (i in (source, target)))
        calm = tapped(model, convs[target : target + 1], images)
        model.get_layer(convs[source]).kernel.assign(2 * before[source])
        if np.abs(tapped(model, convs[target : target + 1], images)[convs[target]] - calm[convs[target]]).max() > 1e-4:
            connections.add((source, target))
    assert connections == set(itertools.combinations(range(depth + 1), 2))
    assert len(connections) == depth * (depth + 1) / 2


class Naive:
    """A DenseNet by definition, one output position at a time."""

    def __init__(self, model):
        self.of = weights_of(model)

    def conv(self, name, x, strides=1):
        kernel = self.of[f"{name}_conv/kernel"]
        size, half = kernel.shape[0], kernel.shape[0] // 2
        padded = np.pad(x, ((0, 0), (half, half), (half, half), (0, 0)))
        height, width = (-(-n // strides) for n in x.shape[1:3])
        out = np.zeros((len(x), height, width, kernel.shape[-1]))
        for i, j in itertools.product(range(height), range(width)):
            window = padded[:, i * strides : i * strides + size, j * strides : j * strides + size]
            out[:, i, j] = np.einsum("nhwc,hwcf->nf", window, kernel)
        return out

    def norm_relu(self, name, x):
        gamma, beta, mean, variance = (
            self.of[f"{name}_bn/{w}"] for w in ("gamma", "beta", "moving_mean", "moving_variance")
        )
        return np.maximum(gamma * (x - mean) / np.sqrt(variance + 1e-5) + beta, 0)

    def norm_relu_conv(self, name, x):
        return self.conv(name, self.norm_relu(name, x))

    def outputs(self, x, depths, convolutions, stem):
        found = {}
        if stem == "cifar":
            x = self.conv("stem", x)
        else:
            x = self.norm_relu("stem", self.conv("stem", x, 2))
            x = pool(np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=-np.inf), 3, np.max)
        for stage, depth in enumerate(depths, 1):
            if stage > 1:
                x = pool(self.norm_relu_conv(f"transition{stage - 1}", x), 2, np.mean)
            seen = [x]
            for i in range(1, depth + 1):
                y = np.concatenate(seen, axis=-1)
                for k in range(1, convolutions + 1):
                    y = self.norm_relu_conv(f"stage{stage}_layer{i}_{k}", y)
                seen.append(y)
            x = found[f"stage{stage}"] = np.concatenate(seen, axis=-1)
        x = found[f"stage{len(depths)}"] = self.norm_relu("tail", x)
        return {**found, "logits": x.mean((1, 2)) @ self.of["logits/kernel"] + self.of["logits/bias"]}


def pool(x, size, reduce):
    """`reduce` over windows at every second pixel, as far as they fit."""
    rows, columns = (range(0, n - size + 1, 2) for n in x.shape[1:3])
    return np.stack(
        [np.stack([reduce(x[:, i : i + size, j : j + size], axis=(1, 2)) for j in columns], 1) for i in rows], 1
    )


@pytest.mark.parametrize("size", [(17, 22), (24, 19)], ids=str)
@pytest.mark.parametrize(
    ("block", "convolutions", "compression", "stem"),
    [(basic, 1, 1.0, "cifar"), (bottleneck, 2, 0.5, "cifar"), (bottleneck, 2, 0.5, "imagenet")],
    ids=lambda x: getattr(x, "__name__", str(x)),
)
def test_equals_slow_loops(block, convolutions, compression, stem, size):
    depths = (2, 1, 2)
    model = densenet(
        depths, 3, 5, block, compression, dropout=0.3, stem=stem, input_shape=(*size, 3), num_classes=4
    )  # an odd width: theta * m is rounded down
    images = pictures(2, *size, 3)
    expected = Naive(with_random_weights(model)).outputs(images, depths, convolutions, stem)
    for at, value in tapped(model, expected, images).items():
        np.testing.assert_allclose(value, expected[at], atol=1e-4 * np.abs(expected[at]).max(), err_msg=at)


@pytest.mark.parametrize(
    ("name", "trainable"),
    [("densenet40_k12", 1_060_132), ("densenet_bc100_k12", 800_032)],
)
def test_parameters_for_a_hundred_classes(name, trainable):
    assert sum(np.size(w) for w in registry.build(name, num_classes=100).trainable_weights) == trainable


def test_dropout_acts_in_training_only():
    model = with_random_weights(registry.build("densenet_tiny", dropout=0.5, input_shape=(32, 32, 3)))
    images = pictures(2, 32, 32, 3)
    calm = [keras.ops.convert_to_numpy(model(images, training=False)) for _ in range(2)]
    np.testing.assert_array_equal(*calm)
    assert sum("dropout" in layer.name for layer in model.layers) == 2 * 8 + 3, (
        "each layer's two, each transition's one"
    )


@pytest.mark.parametrize(
    ("name", "size", "maps"),
    [
        ("densenet_tiny", (61, 50), [(16, 13), (8, 6), (4, 3), (2, 1)]),
        ("densenet_tiny", (29, 29), [(8, 8), (4, 4), (2, 2), (1, 1)]),
        ("densenet_bc100_k12", (4, 7), [(4, 7), (2, 3), (1, 1)]),
        ("inception_v3_tiny", (75, 75), [(35, 35), (15, 15), (7, 7), (3, 3), (1, 1)]),
        ("inception_v3_tiny", (107, 90), [(51, 42), (23, 18), (11, 8), (5, 3), (2, 1)]),
    ],
)
def test_a_model_of_free_size_takes_any_down_to_the_least(name, size, maps):
    model = registry.build(name, input_shape=(None, None, 5), num_classes=0)
    stages = [f"stage{s}" for s in range(1, len(maps) + 1)]
    out = tapped(model, stages, pictures(1, *size, 5))
    assert [out[at].shape[1:3] for at in stages] == maps
    assert model.output.shape[-1] == out[stages[-1]].shape[-1]


@pytest.mark.parametrize(
    ("name", "options", "told"),
    [
        ("densenet_tiny", {"input_shape": (28, 64, 3)}, r"29 pixels .* Received: input_shape=\(28, 64, 3\)"),
        ("densenet_bc100_k12", {"input_shape": (None, 3, 3)}, r"4 pixels .* Received: input_shape=\(None, 3, 3\)"),
        ("densenet_tiny", {"stem": "deep"}, "Received: stem='deep'"),
        ("inception_v3_tiny", {"input_shape": (74, 299, 3)}, r"75 pixels .* Received: input_shape=\(74, 299, 3\)"),
    ],
)
def test_bad_arguments_are_named(name, options, told):
    with pytest.raises(ValueError, match=told):
        registry.build(name, **options)

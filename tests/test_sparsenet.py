"""SparseNet's offsets and connections, its layers against slow NumPy loops, its gradients, and its edges."""

import itertools
import math

import keras
import numpy as np
import pytest
from keras import layers

from hub import registry
from hub.models.sparsenet import basic, bottleneck, sparse_aggregate, sparsenet


def pictures(*shape):
    return np.random.default_rng(0).normal(size=shape).astype("float32")


@pytest.mark.parametrize("base", [2, 3])
def test_offsets_are_the_powers(base):
    for n in range(1, 130):
        chosen = sparse_aggregate(list(range(n)), base)
        powers = [base**i for i in range(10)]
        assert chosen == [n - d for d in powers if d <= n]
        assert len(chosen) == next(i for i in range(10) if base ** (i + 1) > n) + 1


@pytest.mark.parametrize(("outs", "base", "told"), [([1, 2], 1, "2 outputs, base=1"), ([], 2, "0 outputs, base=2")])
def test_no_offsets(outs, base, told):
    with pytest.raises(ValueError, match=f"Received: {told}"):
        sparse_aggregate(outs, base)


def test_a_layer_has_logarithmically_many_inputs():
    """Layer l of a stage sees floor(log2 l) + 1 maps of its 3 channels; a dense one would see l."""
    model = sparsenet(17, (3,), input_shape=(4, 4, 3))
    for layer in range(1, 18):
        kernel = model.get_layer(f"stage1_layer{layer}_1_conv").kernel
        assert kernel.shape[2] == 3 * (math.floor(math.log2(layer)) + 1)
    assert model.get_layer("stage1").output.shape[-1] == 3 * (math.floor(math.log2(18)) + 1)


def with_random_weights(model):
    rng = np.random.default_rng(3)
    for w in model.weights:
        scale = 1 / np.sqrt(np.prod(w.shape[:-1])) if "kernel" in w.name else 0.5
        w.assign(np.abs(rng.normal(1, 0.3, w.shape)) if "variance" in w.name else rng.normal(0, scale, w.shape))
    return model


class Naive:
    """A SparseNet by definition: every layer looks for its inputs among all maps of its stage, by their numbers."""

    def __init__(self, model):
        self.of = {
            f"{layer.name}/{w.name}": keras.ops.convert_to_numpy(w).astype("float64")
            for layer in model.layers
            for w in layer.weights
        }

    def conv(self, name, x):
        kernel = self.of[f"{name}_conv/kernel"]
        size, half = kernel.shape[0], kernel.shape[0] // 2
        padded = np.pad(x, ((0, 0), (half, half), (half, half), (0, 0)))
        out = np.zeros((*x.shape[:3], kernel.shape[-1]))
        for i, j in itertools.product(range(x.shape[1]), range(x.shape[2])):
            out[:, i, j] = np.einsum("nhwc,hwcf->nf", padded[:, i : i + size, j : j + size], kernel)
        return out

    def norm_relu(self, name, x):
        gamma, beta, mean, variance = (
            self.of[f"{name}_bn/{w}"] for w in ("gamma", "beta", "moving_mean", "moving_variance")
        )
        return np.maximum(gamma * (x - mean) / np.sqrt(variance + 1e-5) + beta, 0)

    def outputs(self, x, stages, depth, convolutions, join):
        found = {}
        x = self.conv("stem", x)
        for stage in range(1, stages + 1):
            if stage > 1:
                x = self.conv(f"transition{stage - 1}", self.norm_relu(f"transition{stage - 1}", x))
                x = np.stack([[p[i : i + 2, j : j + 2].mean((0, 1)) for i in range(0, p.shape[0] - 1, 2)
                               for j in range(0, p.shape[1] - 1, 2)] for p in x]
                             ).reshape(len(x), x.shape[1] // 2, x.shape[2] // 2, -1)  # fmt: skip
            maps = {0: x}
            for layer in range(1, depth + 2):
                y = join([maps[layer - d] for d in (1, 2, 4, 8, 16) if layer - d >= 0])
                if layer > depth:
                    break
                for k in range(1, convolutions + 1):
                    at = f"stage{stage}_layer{layer}_{k}"
                    y = self.conv(at, self.norm_relu(at, y))
                maps[layer] = y
            x = found[f"stage{stage}"] = y
        x = self.norm_relu("tail", x)
        return {**found, "logits": x.mean((1, 2)) @ self.of["logits/kernel"] + self.of["logits/bias"]}


@pytest.mark.parametrize(
    ("block", "convolutions", "compression", "merge", "join"),
    [
        (basic, 1, 1.0, layers.Concatenate, lambda maps: np.concatenate(maps, -1)),
        (bottleneck, 2, 0.5, layers.Concatenate, lambda maps: np.concatenate(maps, -1)),
        (basic, 1, 1.0, layers.Add, sum),
    ],
    ids=["concat", "compressed", "sum"],
)
def test_equals_slow_loops(block, convolutions, compression, merge, join):
    depth, growth = 5, (2, 3)
    model = sparsenet(depth, growth, block, compression, merge, input_shape=(9, 6, 3), num_classes=4)
    images = pictures(2, 9, 6, 3)
    expected = Naive(with_random_weights(model)).outputs(images, len(growth), depth, convolutions, join)
    tapped = keras.Model(model.input, {at: model.get_layer(at).output for at in expected})(images, training=False)
    for at, value in expected.items():
        found = keras.ops.convert_to_numpy(tapped[at])
        np.testing.assert_allclose(found, value, atol=1e-4 * np.abs(value).max(), err_msg=at)


def test_gradients_reach_the_first_of_sixty_four_layers():
    """The offsets' reason: the way back takes log n steps, so layer 1 learns about as fast as the last."""
    keras.utils.set_random_seed(0)
    model = sparsenet(64, (4,), input_shape=(8, 8, 3), num_classes=5)
    kernels = [model.get_layer(f"stage1_layer{i}_1_conv").kernel for i in (1, 64)]
    before = [keras.ops.convert_to_numpy(kernel) for kernel in kernels]
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(1.0), loss, run_eagerly=True)  # one step is not worth a compilation
    model.fit(pictures(16, 8, 8, 3), np.arange(16) % 5, batch_size=16, verbose=0)
    first, last = (
        np.sqrt(np.mean((keras.ops.convert_to_numpy(now) - old) ** 2)) for now, old in zip(kernels, before, strict=True)
    )
    assert np.isfinite(first) and first > 0.1 * last > 0


def test_dropout_leaves_out_channels_in_training_only():
    model = registry.build("sparsenet_tiny", dropout=0.5, input_shape=(8, 8, 3))
    assert sum("dropout" in layer.name for layer in model.layers) == 9, "one for each convolution of the blocks"
    images = pictures(2, 8, 8, 3)
    calm = [keras.ops.convert_to_numpy(model(images, training=False)) for _ in range(2)]
    np.testing.assert_array_equal(*calm)
    dropped = model.get_layer("stage1_layer1_1_dropout")
    ones = keras.ops.convert_to_numpy(dropped(np.ones((20, 3, 3, 4), "float32"), training=True))
    assert (ones == ones[:, :1, :1]).all() and set(np.unique(ones)) == {0.0, 2.0}


def test_too_small_images_are_named():
    model = registry.build("sparsenet_tiny", input_shape=(None, None, 3), num_classes=0)
    assert model(pictures(1, 4, 7, 3)).shape[1:3] == (1, 1)
    with pytest.raises(ValueError, match=r"4 pixels .* Received: input_shape=\(3, 8, 3\)"):
        registry.build("sparsenet_tiny", input_shape=(3, 8, 3))

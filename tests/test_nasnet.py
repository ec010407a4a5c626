"""NASNet-A's cells against slow NumPy loops, its zeros at the border, its maps at any size; scheduled drop path."""

import itertools

import keras
import numpy as np
import pytest

import hub
from hub import registry
from hub.layers.border_pooling import border_pooling
from hub.layers.scheduled_drop_path import ScheduledDropPath


def array(x):
    return keras.ops.convert_to_numpy(x)


def pictures(*shape):
    return np.random.default_rng(0).normal(size=shape).astype("float32")


def with_random_weights(model):
    """`model` with every weight random, variances positive."""
    rng = np.random.default_rng(3)
    for w in model.weights:
        scale = 1 / np.sqrt(np.prod(w.shape[:-1])) if "kernel" in w.name else 0.5
        w.assign(np.abs(rng.normal(1, 0.3, w.shape)) if "variance" in w.name else rng.normal(0, scale, w.shape))
    return model


class Naive:
    """Section 3 and appendix A of the paper and figure 4, written out; one window at a time."""

    def __init__(self, model, epsilon):
        self.of = {f"{x.name}/{w.name}": array(w).astype("float64") for x in model.layers for w in x.weights}
        self.epsilon = epsilon

    def windows(self, x, size, stride, reduce):
        """`reduce` over what of each window lies on the map: (pixels [N, n, C], their places in the window)."""
        height, width = (-(-n // stride) for n in x.shape[1:3])
        before = [max((-(-n // stride) - 1) * stride + size - n, 0) // 2 for n in x.shape[1:3]]
        rows = []
        for i, j in itertools.product(range(height), range(width)):
            places = [
                (a, b)
                for a, b in itertools.product(range(size), repeat=2)
                if 0 <= i * stride + a - before[0] < x.shape[1] and 0 <= j * stride + b - before[1] < x.shape[2]
            ]
            pixels = [x[:, i * stride + a - before[0], j * stride + b - before[1]] for a, b in places]
            rows.append(reduce(np.stack(pixels, 1), places))
        return np.stack(rows, 1).reshape(len(x), height, width, -1)

    def bn(self, x, name):
        gamma, beta, mean, variance = (
            self.of[f"{name}_bn/{w}"] for w in ("gamma", "beta", "moving_mean", "moving_variance")
        )
        return gamma * (x - mean) / np.sqrt(variance + self.epsilon) + beta

    def one(self, x, name):
        return self.bn(x @ self.of[f"{name}_conv/kernel"][0, 0], name)

    def sep(self, x, size, stride, name):
        for part in (1, 2):
            kernel = self.of[f"{name}_{part}_depthwise/kernel"][..., 0]

            def weigh(pixels, places, kernel=kernel):
                return sum(pixels[:, k] * kernel[a, b] for k, (a, b) in enumerate(places))

            x = self.windows(np.maximum(x, 0), size, stride, weigh)
            x = self.bn(x @ self.of[f"{name}_{part}_pointwise/kernel"][0, 0], f"{name}_{part}")
            stride = 1
        return x

    def mean(self, x, stride=1):
        return self.windows(x, 3, stride, lambda pixels, _: pixels.mean(1))

    def max(self, x, stride):
        return self.windows(x, 3, stride, lambda pixels, _: pixels.max(1))

    def halve(self, p, name):
        p = np.maximum(p, 0)
        moved = np.pad(p, ((0, 0), (0, 1), (0, 1), (0, 0)))[:, 1:, 1:]
        paths = [y[:, ::2, ::2] @ self.of[f"{name}_path{i}_conv/kernel"][0, 0] for i, y in ((1, p), (2, moved))]
        return self.bn(np.concatenate(paths, -1), f"{name}_paths")

    def fit(self, p, name):
        return self.one(np.maximum(p, 0), name)

    def normal(self, x, p, name):
        h = self.fit(x, f"{name}_input")
        filters = h.shape[-1]

        def same(y, at):  # the first cell's `p` is the stem, of another width
            return y if y.shape[-1] == filters else self.one(y, f"{name}_{at}")

        identity = same(np.maximum(p, 0), "2_right") if p.shape[-1] != filters else p
        sums = [
            self.sep(h, 5, 1, f"{name}_0_left") + self.sep(p, 3, 1, f"{name}_0_right"),
            self.sep(p, 5, 1, f"{name}_1_left") + self.sep(p, 3, 1, f"{name}_1_right"),
            self.mean(h) + identity,
            same(self.mean(p), "3_left") + same(self.mean(p), "3_right"),
            self.sep(h, 3, 1, f"{name}_4_left") + h,
        ]
        return np.concatenate([same(p, "kept"), *sums], -1)

    def reduction(self, x, p, name):
        h = self.fit(x, f"{name}_input")
        first = self.sep(h, 5, 2, f"{name}_0_left") + self.sep(p, 7, 2, f"{name}_0_right")
        second = self.max(h, 2) + self.sep(p, 7, 2, f"{name}_1_right")
        third = self.mean(h, 2) + self.sep(p, 5, 2, f"{name}_2_right")
        fourth = self.mean(first) + second
        fifth = self.sep(first, 3, 1, f"{name}_4_left") + self.max(h, 2)
        return np.concatenate([second, third, fourth, fifth], -1)


@pytest.mark.parametrize("skip", [False, True])
def test_equals_slow_loops(skip):
    """All cells of a network for CIFAR, an odd and an even side; the cell behind a reduction sees either map."""
    model = with_random_weights(
        registry.build("nasnet_a_tiny", depths=(2, 1), width=2, stem=3, epsilon=1e-5, skip_reduction=skip,
                       input_shape=(5, 6, 3))
    )  # fmt: skip
    images = pictures(2, 5, 6, 3)
    naive = Naive(model, 1e-5)
    kernel = naive.of["stem_conv/kernel"]
    stem = naive.windows(images, 3, 1, lambda pixels, at: sum(pixels[:, k] @ kernel[a] for k, a in enumerate(at)))
    stem = naive.bn(stem, "stem")
    zero = naive.normal(stem, stem, "cell_0")
    one = naive.normal(zero, naive.fit(stem, "cell_1_previous"), "cell_1")
    reduced = naive.reduction(one, naive.fit(zero, "reduction_cell_0_previous"), "reduction_cell_0")
    two = naive.normal(reduced, naive.halve(zero if skip else one, "cell_2_previous"), "cell_2")
    expected = {"stage1": np.maximum(one, 0), "stage2": np.maximum(two, 0)}
    expected["logits"] = expected["stage2"].mean((1, 2)) @ naive.of["logits/kernel"] + naive.of["logits/bias"]
    found = keras.Model(model.input, {at: model.get_layer(at).output for at in expected})(images, training=False)
    for at, value in expected.items():
        np.testing.assert_allclose(array(found[at]), value, atol=1e-4 * np.abs(value).max(), err_msg=at)


def test_zeros_at_the_border_of_strided_poolings():
    """By hand: maps of -1, even and odd; a window at the border has 6 pixels of 9, at the corner 4."""
    for size, border in (((4, 4), -1), ((5, 5), (0, -1))):
        model = registry.build("nasnet_a_tiny", zeros=("mean", "max"), input_shape=(*size, 3))
        inputs = model.get_layer("reduction_cell_0_2_left_pad").input
        poolings = [model.get_layer(f"reduction_cell_0_{at}_pool") for at in ("2_left", "1_left", "4_right")]
        pools = keras.Model(inputs, [layer.output for layer in poolings])
        mean, *maxima = (array(x)[0, :, :, 0] for x in pools(-np.ones((1, *inputs.shape[1:]), "float32")))
        edge = np.zeros(mean.shape, bool)
        edge[border, :] = edge[:, border] = True
        corner = np.ix_(np.atleast_1d(border), np.atleast_1d(border))
        expected = np.where(edge, -6 / 9, -1)
        expected[corner] = -4 / 9
        np.testing.assert_allclose(mean, expected, rtol=1e-6)
        for maximum in maxima:
            np.testing.assert_array_equal(maximum, np.where(edge, 0, -1))


@pytest.mark.parametrize("strides", [1, 2])
@pytest.mark.parametrize("kind", ["mean", "max"])
def test_poolings_see_pixels_only(kind, strides):
    """Against slow loops at odd and even sides, the size known and unknown."""
    for size in ((4, 5), (1, 6)):
        images = pictures(2, *size, 3)
        expected = Naive.windows(None, images, 3, strides, lambda pixels, _: getattr(np, kind)(pixels, axis=1))
        for known in (size, (None, None)):
            inputs = keras.Input((*known, 3))
            model = keras.Model(inputs, border_pooling(inputs, kind, 3, strides, name="p"))
            np.testing.assert_allclose(array(model(images)), expected, atol=1e-6)


@pytest.mark.parametrize(
    ("stem_cells", "size", "maps"),
    [
        (0, (7, 10), [(7, 10), (4, 5)]),
        (2, (35, 38), [(17, 18), (9, 9), (5, 5), (3, 3)]),
        (2, (3, 3), [(1, 1), (1, 1), (1, 1), (1, 1)]),
    ],
)
def test_a_model_of_free_size_takes_any(stem_cells, size, maps):
    model = registry.build("nasnet_a_tiny", width=8, stem_cells=stem_cells, input_shape=(None, None, 2), num_classes=0)
    stages = [model.get_layer(f"stage{s}").output for s in range(1, len(maps) + 1)]
    out = keras.Model(model.input, stages)(pictures(1, *size, 2))
    assert [x.shape[1:3] for x in out] == maps
    assert [x.shape[-1] for x in out] == [12, 8, 48, 96][-len(maps) :]


def test_the_rates_rise_with_depth_and_spare_identities():
    """Three cells; in a normal cell eight operations are no identity, in a reduction nine are not."""
    model = registry.build("nasnet_a_tiny", drop_path=0.6, drop_path_steps=50)
    rates = {}
    for layer in model.layers:
        if isinstance(layer, ScheduledDropPath):
            assert layer.steps == 50
            rates.setdefault(layer.name.rsplit("_", 3)[0], []).append(layer.rate)
    found = sorted((round(values[0], 6), len(values), len(set(values))) for values in rates.values())
    assert found == [(0.2, 8, 1), (0.4, 9, 1), (0.6, 8, 1)]


def test_free_sizes_are_refused_with_zeros():
    with pytest.raises(ValueError, match=r"fixed size. Received: input_shape=\(None, 32, 3\)"):
        registry.build("nasnet_a_tiny", zeros=("mean",), input_shape=(None, 32, 3))


def dropped(layer, draws=20_000):
    """The share of examples that `layer` drops at its next step; the others are scaled alike, and as wholes."""
    out = array(layer(np.ones((draws, 2, 2), "float32"), training=True))
    assert (out == out[:, :1, :1]).all()
    survival = (out > 0).all((1, 2)).mean()
    if survival:
        np.testing.assert_allclose(out.max(), 1 / survival, rtol=0.05)
        np.testing.assert_allclose(np.unique(out[out > 0]).size, 1)
    return 1 - survival


def test_the_rate_rises_linearly_and_stays():
    """keep = 1 - step / steps * rate, at steps 0, 1, ...; four standard errors."""
    layer = ScheduledDropPath(0.8, steps=4, seed=1)
    for step in range(7):
        rate = 0.8 * min(step / 4, 1)
        error = 4 * np.sqrt(rate * (1 - rate) / 20_000)
        np.testing.assert_allclose(dropped(layer), rate, atol=error, err_msg=f"step {step}")
    assert int(layer.step) == 7


def test_inference_neither_drops_nor_counts():
    layer = ScheduledDropPath(1.0, steps=1)
    images = pictures(50, 3)
    np.testing.assert_array_equal(array(layer(images)), images)
    assert int(layer.step) == 0
    assert dropped(layer) == 0 and dropped(layer) == 1, "everything from the end of the schedule on"
    assert np.isfinite(array(layer(np.full((50, 3), np.inf, "float32"), training=True))).all()


def test_a_saved_network_resumes_its_schedule(tmp_path):
    inputs = keras.Input((3,))
    x = ScheduledDropPath(0.5, steps=10, name="drop")(keras.layers.Dense(3)(inputs))
    model = keras.Model(inputs, keras.layers.Add()([inputs, x]))
    model.compile("sgd", "mse")
    model.fit(pictures(12, 3), np.zeros((12, 3)), batch_size=4, epochs=2, verbose=0)
    model.predict(pictures(4, 3), verbose=0)
    model.save(tmp_path / "m.keras")
    again = hub.load(str(tmp_path / "m.keras"))
    assert int(model.get_layer("drop").step) == int(again.get_layer("drop").step) == 6
    again.fit(pictures(4, 3), np.zeros((4, 3)), verbose=0)
    assert int(again.get_layer("drop").step) == 7


@pytest.mark.parametrize(("rate", "steps"), [(1.1, 3), (-0.1, 3), (0.5, 0)])
def test_bad_arguments_are_named(rate, steps):
    with pytest.raises(ValueError, match=f"Received: rate={rate}, steps={steps}"):
        ScheduledDropPath(rate, steps)

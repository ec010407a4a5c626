"""MCDNN: the notation, one column against slow loops, the committee, the versions of an image."""

import itertools

import numpy as np
import pytest
from scipy import ndimage

import hub
from hub.data.column_inputs import contrast_normalize, width_normalize
from hub.models.mcdnn import mcdnn, multi_column, parse


def array(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def test_notation():
    shape, pieces = parse("3x48x40-100C7-MP2-300N-43N")
    assert shape == (40, 48, 3)
    assert pieces == [("C", 100, 7), ("MP", 0, 2), ("N", 300, 0), ("N", 43, 0)]


@pytest.mark.parametrize(
    "wrong", ["1x29x29", "29x29-10N", "1x29x29-20C4-MP2", "1x9x9-9N-20C4-10N", "1x9x9-MP-9N", "1x9x9-4c3-9N", ""]
)
def test_what_is_no_column(wrong):
    with pytest.raises(ValueError, match="reads like 1x29x29"):
        parse(wrong)


def test_a_kernel_too_large():
    with pytest.raises(ValueError, match="does not fit into convolution 2"):
        mcdnn("1x9x9-2C4-MP2-2C4-3N")


def test_sides():
    def sides(name):
        model = hub.load(name)
        return [x.output.shape[1] for x in model.layers if x.name.endswith("_conv") or x.name.startswith("stage")][::3]

    assert sides("mcdnn_mnist") == [26, 9]
    gtsrb, cifar = hub.load("mcdnn_gtsrb"), hub.load("mcdnn_cifar10")
    assert [gtsrb.get_layer(f"stage{i}").output.shape[1] for i in (1, 2, 3)] == [21, 9, 3]
    assert [cifar.get_layer(f"stage{i}").output.shape[1] for i in (1, 2, 3, 4)] == [15, 7, 3, 1]
    assert hub.load("mcdnn_mnist", num_classes=47).output_shape == (None, 47)


def test_forward_equals_slow_loops():
    """With a pool whose last window is cut short."""
    model = mcdnn("2x9x8-3C2-MP3-4N-5N")
    conv, conv_bias, fc, fc_bias, head, head_bias = (
        np.asarray(w.assign(array(*w.shape, seed=i) / 2)) for i, w in enumerate(model.weights)
    )
    x = array(1, 8, 9, 2)
    y = np.zeros((7, 8, 3))
    for i, j in np.ndindex(7, 8):
        y[i, j] = np.einsum("ijc,ijcf->f", x[0, i : i + 2, j : j + 2], conv) + conv_bias
    y = 1.7159 * np.tanh(2 / 3 * y)
    # 7 rows in windows of 3: one pixel lacks before and one after; 8 columns: one after
    rows, columns = [(0, 2), (2, 5), (5, 7)], [(0, 3), (3, 6), (6, 8)]
    y = np.stack([[y[a:b, c:d].max((0, 1)) for c, d in columns] for a, b in rows]).ravel()
    y = 1.7159 * np.tanh(2 / 3 * (y @ fc + fc_bias)) @ head + head_bias
    np.testing.assert_allclose(np.asarray(model(x))[0], y, atol=1e-5)


def softmax(x):
    e = np.exp(np.float64(x) - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def test_the_committee_averages(tmp_path):
    columns = [hub.load("mcdnn_tiny", name=f"column{i}") for i in range(4)]
    for i, column in enumerate(columns):
        column.set_weights([array(*w.shape, seed=i) for w in column.get_weights()])
    x, y = array(3, 13, 13, 1), array(3, 13, 13, 1, seed=1)
    model = multi_column(columns[:2], columns[2:])
    got = np.asarray(model([x, y]))
    votes = [softmax(np.asarray(c(v))) for c, v in zip(columns, (x, x, y, y), strict=True)]
    np.testing.assert_allclose(softmax(got), np.mean(votes, 0), atol=1e-6)
    np.testing.assert_allclose(got, np.log(np.mean(votes, 0)), atol=1e-4)
    np.testing.assert_allclose(multi_column(columns[3:1:-1], columns[1::-1])([y, x]), got, atol=1e-5)
    model.save(tmp_path / "committee.keras")
    np.testing.assert_allclose(hub.load(str(tmp_path / "committee.keras"))([x, y]), got, atol=1e-5)


def test_the_committee_at_extreme_logits():
    """Columns so sure that every softmax is 0 or 1, and of different opinions."""
    columns = [hub.load("mcdnn_tiny", name=f"column{i}") for i in range(3)]
    for column, sure in zip(columns, (0, 0, 1), strict=True):
        column.get_layer("logits").set_weights([np.zeros((8, 10)), 1e4 * np.eye(10)[sure]])
    got = np.asarray(multi_column(columns)(array(1, 13, 13, 1)))
    assert np.isfinite(got).all()
    np.testing.assert_allclose(softmax(got)[0, :3], [2 / 3, 1 / 3, 0], atol=1e-6)


def test_committees_that_cannot_be():
    one, other = hub.load("mcdnn_tiny", name="a"), hub.load("mcdnn_tiny", name="b", num_classes=3)
    for wrong in ([one],), ([one, other],):
        with pytest.raises(ValueError, match="two columns or more"):
            multi_column(*wrong)


def digits():
    """Blots with gaps in them, one touching both borders, one a single pixel wide, one empty."""
    images = np.zeros((5, 12, 20), np.uint8)
    images[0, 2:9, 3:9] = np.random.default_rng(0).integers(0, 256, (7, 6))
    images[0, 2, [3, 8]] = 200
    images[1, 5, ::2] = 90
    images[1, 6, [0, 19]] = 255
    images[2, :, 19] = 7
    images[3, 4:6, 2:15] = 128
    return images


@pytest.mark.parametrize("width", [1, 5, 6, 13, 20])
def test_widths_equal_slow_loops(width):
    images = digits()
    got = width_normalize(images, width)
    wanted = np.zeros(images.shape)
    start = (20 - width) // 2
    for n in range(4):
        ink = np.flatnonzero(images[n].any(0))
        left, wide = ink[0], ink[-1] + 1 - ink[0]
        for j, i in itertools.product(range(width), range(wide)):
            shared = min((j + 1) / width, (i + 1) / wide) - max(j / width, i / wide)
            wanted[n, :, start + j] += max(shared, 0) * width * images[n, :, left + i]
    np.testing.assert_allclose(got, wanted, atol=1e-3)
    for n in range(4):
        ink = np.flatnonzero((got[n] > 1e-4).any(0))
        assert (ink[0], ink[-1] - ink[0] + 1) == (start, width)
    np.testing.assert_array_equal(width_normalize(images[..., None], width)[..., 0], got)


@pytest.mark.parametrize("wrong", [(digits(), 21), (digits(), 0), (digits()[0], 5), (np.zeros((2, 9, 9, 3)), 5)])
def test_width_errors(wrong):
    with pytest.raises(ValueError, match=r"width of 1\.\.W"):
        width_normalize(*wrong)


def test_contrasts():
    rng = np.random.default_rng(0)
    dull = (110 + 8 * ndimage.gaussian_filter(rng.normal(size=(3, 48, 48, 3)), (0, 2, 2, 0)) * 7).astype("float32")
    spread = {name: contrast_normalize(dull, name) for name in ("imadjust", "histeq", "adapthisteq", "conorm")}
    for name, image in spread.items():
        assert image.shape == dull.shape and image.dtype == np.float32, name
        assert image.min() >= 0 and image.max() <= 255, name
    share = [(spread["imadjust"] == limit).mean((1, 2)) for limit in (0, 255)]
    np.testing.assert_allclose(share, 0.01, atol=0.003)
    for n, c in np.ndindex(3, 3):  # each grey becomes the share of pixels that are not lighter
        levels = dull[n, ..., c].astype(int)
        counts = np.bincount(levels.ravel(), minlength=256).cumsum()
        darkest = counts[counts > 0][0]
        wanted = 255 * (counts[levels] - darkest) / (48 * 48 - darkest)
        np.testing.assert_allclose(spread["histeq"][n, ..., c], wanted, atol=1e-3)
    tile = np.s_[:, 12:18, 12:18]
    assert (np.ptp(spread["adapthisteq"][tile], (1, 2)) > np.ptp(dull[tile], (1, 2))).all()
    steps = np.arange(-2, 3)
    bells = [np.exp(-(steps**2) / (2 * s * s)) for s in (1, 2)]
    hat = np.subtract(*(np.outer(b, b) / b.sum() ** 2 for b in bells))
    wanted = 127.5 + ndimage.correlate(dull, hat[None, :, :, None], mode="reflect")
    np.testing.assert_allclose(spread["conorm"], wanted, atol=1e-2)
    for name, image in spread.items():
        np.testing.assert_allclose(contrast_normalize(dull[1:2], name), image[1:2], atol=1e-3)  # sees no neighbour
    for name in ("imadjust", "histeq"):
        np.testing.assert_array_equal(contrast_normalize(np.full((1, 9, 9, 1), 40), name), 0)
    with pytest.raises(ValueError, match="imadjust, histeq"):
        contrast_normalize(dull, "clahe")

"""Layers that Keras 3 users lost, against the libraries that had them (tests/golden/tensorflow_addons.py)."""

import collections
import pathlib

import keras
import numpy as np
import pytest

from hub.layers.locally_connected import LocallyConnected2D
from hub.layers.maxout import Maxout

GOLDEN = pathlib.Path(__file__).parent / "golden"


def cases(name: str) -> list[dict[str, np.ndarray]]:
    """The cases of one golden file; keys read `CASE/WHAT`."""
    found = collections.defaultdict(dict)
    with np.load(GOLDEN / f"{name}.npz", allow_pickle=False) as stored:
        for key in stored.files:
            case, _, what = key.partition("/")
            if what:
                found[case][what] = stored[key]
    return list(found.values())


def test_golden_files_are_there():
    assert len(cases("maxout")) >= 6 and len({int(case["axis"]) for case in cases("maxout")}) >= 4
    assert {str(case["padding"]) for case in cases("locally_connected")} == {"valid", "same"}


@pytest.mark.parametrize("case", cases("maxout"), ids=lambda case: f"{case['input'].shape}-axis{case['axis']}")
def test_maxout_equals_tfa_exactly(case):
    layer = Maxout(int(case["units"]), axis=int(case["axis"]))
    np.testing.assert_array_equal(np.asarray(layer(case["input"])), case["output"])
    assert layer.compute_output_shape(case["input"].shape) == case["output"].shape


@pytest.mark.parametrize("case", cases("locally_connected"), ids=lambda case: f"{case['padding']}-{case['strides']}")
def test_locally_connected_equals_keras_2(case):
    strides, size, padding = int(case["strides"]), int(case["kernel_size"]), str(case["padding"])
    layer = LocallyConnected2D(case["output"].shape[-1], size, strides, padding)
    layer.build(case["input"].shape)
    kernel = case["kernel"] if padding == "valid" else windows_of(case["kernel"], size, strides)
    layer.set_weights([kernel, case["bias"]])
    np.testing.assert_allclose(np.asarray(layer(case["input"])), case["output"], rtol=0, atol=1e-5)


def windows_of(full: np.ndarray, size: int, strides: int) -> np.ndarray:
    """Our kernel out of Keras 2's `[H, W, C, H', W', F]`, which joins every input pixel to every output pixel."""
    height, width, channels, rows, columns, filters = full.shape
    kernel = np.zeros((rows, columns, size, size, channels, filters), "float32")
    for row, column, i, j in np.ndindex(rows, columns, size, size):
        y, x = row * strides - size // 2 + i, column * strides - size // 2 + j
        if 0 <= y < height and 0 <= x < width:
            kernel[row, column, i, j] = full[y, x, :, row, column]
    return kernel.reshape(rows * columns, size * size * channels, filters)


@pytest.mark.parametrize("channels, units, axis", [(7, 3, -1), (None, 2, -1)])
def test_maxout_refuses_channels_it_cannot_group(channels, units, axis):
    with pytest.raises(ValueError, match=rf"Received: {channels} channels .*units={units}"):
        Maxout(units, axis)(keras.Input((4, channels)))


def test_maxout_refuses_no_units():
    with pytest.raises(ValueError, match="Received: units=0"):
        Maxout(0)

"""SpaRTAN's two layers against slow loops and Python's complex numbers."""

import keras
import numpy as np
import pytest

from hub.layers.spartan_mixers import ComplexScale, PeakAggregation
from hub.registry import build


def array(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def test_the_strongest_channel_picks_a_wave():
    x, wave = array(2, 3, 4, 5), array(2, 3, 4, 10, seed=1)
    x[0, 0, 0] = [1, 3, 3, 0, 3]  # the first of equals
    x[0, 0, 1] = -7
    slow = wave.copy()
    for n, i, j in np.ndindex(2, 3, 4):
        strongest = list(x[n, i, j]).index(max(x[n, i, j]))
        slow[n, i, j] += wave[n, i, j, strongest]
    np.testing.assert_allclose(PeakAggregation()([x, wave]), slow, atol=1e-6)


def test_a_wave_with_too_few_channels():
    with pytest.raises(ValueError, match="at least the channels"):
        PeakAggregation()([array(1, 2, 2, 5), array(1, 2, 2, 4)])


@pytest.mark.parametrize("shape", [(2, 3, 4, 6), (3, 2)])
def test_pairs_are_complex_numbers(shape):
    x = array(*shape)
    layer = ComplexScale()
    y = np.asarray(layer(x))
    factor = np.asarray(layer.factor)
    for at in np.ndindex(*shape[:-1]):
        for k in range(shape[-1] // 2):
            z = complex(*x[at][2 * k : 2 * k + 2]) * complex(*factor[k])
            np.testing.assert_allclose(y[at][2 * k : 2 * k + 2], [z.real, z.imag], atol=1e-5)


def test_a_turn_by_a_right_angle_keeps_lengths():
    x = array(2, 3, 3, 8)
    layer = ComplexScale()
    layer.build(x.shape)
    layer.factor.assign(np.tile([[0.0, 2.0]], (4, 1)))
    y = np.asarray(layer(x))
    np.testing.assert_allclose(y[..., 0::2], -2 * x[..., 1::2], atol=1e-6)
    np.testing.assert_allclose(y[..., 1::2], 2 * x[..., 0::2], atol=1e-6)


def test_an_odd_channel_has_no_partner():
    with pytest.raises(ValueError, match="even number"):
        ComplexScale()(array(1, 2, 2, 5))


def test_residuals_of_nothing_leave_stem_and_steps():
    """Without its residuals a stage passes on what it got."""
    model = build("spartan_tiny", input_shape=(40, 33, 3), layer_scale=0.0, num_classes=0)
    before = ("stem2_gelu", "down1_silu")
    pairs = [(model.get_layer(at).output, model.get_layer(f"stage{s}").output) for s, at in enumerate(before, 1)]
    for a, b in keras.Model(model.input, pairs)(array(1, 40, 33, 3)):
        np.testing.assert_array_equal(a, b)
    assert [b.shape[1:3] for _, b in pairs] == [(10, 9), (5, 4)]


def test_drop_path_rises_towards_its_rate():
    model = build("spartan_tiny", drop_path=0.2, depths=(1, 2), input_shape=(32, 32, 3))
    rates = [layer.rate for layer in model.layers if type(layer).__name__ == "StochasticDepth"]
    np.testing.assert_allclose(rates, np.repeat([0.2 / 3, 0.4 / 3], 2))


def test_width_is_a_multiple_of_8():
    with pytest.raises(ValueError, match="multiple of 8"):
        build("spartan_tiny", width=12)

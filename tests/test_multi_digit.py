"""The multi-digit reader: its layers, loss, metrics, network and coverage, each against slow loops or the paper."""

import itertools
import os
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest
import scipy.ndimage

import hub.registry
from hub.evaluation.coverage import coverage_at, coverage_curve, threshold_at
from hub.layers.locally_connected import LocallyConnected2D
from hub.layers.sequence_decoder import SequenceDecoder
from hub.layers.subtractive_normalization import SubtractiveNormalization
from hub.losses.multi_digit import MultiDigitLoss
from hub.metrics.coverage_at_accuracy import CoverageAtAccuracy
from hub.metrics.sequence_accuracy import DigitAccuracy, LengthAccuracy, SequenceAccuracy

L, C = 5, 10
PACKED = (L + 2) + L * C
LONGER = L + 1  # the length "more than L"


def random_logits(count: int, seed: int = 0, scale: float = 3.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(scale=scale, size=(count, PACKED)).astype("float32")


def random_labels(count: int, seed: int = 0) -> np.ndarray:
    """Labels of every length 0 ... L + 1."""
    random = np.random.default_rng([seed, 1])
    length = random.integers(0, L + 2, count)
    digits = random.integers(0, C, (count, L))
    digits[(np.arange(L) >= length[:, None]) | (length[:, None] > L)] = -1
    return np.concatenate([length[:, None], digits], axis=1).astype("int32")


def log_softmax(x: np.ndarray) -> np.ndarray:
    x = x.astype(float) - x.max()
    return x - np.log(np.exp(x).sum())


def heads(logits: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
    """log P(L) and log P(S_1) ... log P(S_L) of one example."""
    return log_softmax(logits[: L + 2]), [log_softmax(logits[L + 2 + i * C :][:C]) for i in range(L)]


def packed(lengths: dict[int, float], digits: list[dict[int, float]]) -> np.ndarray:
    """Logits of given probabilities; what is left of 1 is shared out evenly."""

    def spread(given, size):
        rest = (1 - sum(given.values())) / (size - len(given))
        return np.log([given.get(i, rest) for i in range(size)])

    digits = digits + [{}] * (L - len(digits))
    return np.concatenate([spread(lengths, L + 2), *(spread(d, C) for d in digits)]).astype("float32")


def decoded(logits: np.ndarray) -> dict[str, np.ndarray]:
    return {key: np.asarray(value) for key, value in SequenceDecoder()(logits).items()}


def as_text(length: int, digits) -> str:
    return f">{L}" if length > L else "".join(map(str, digits[:length]))


# --- Loss ---


def test_loss_equals_double_loop():
    logits, labels = random_logits(200), random_labels(200)
    expected = []
    for row, (length, *digits) in zip(logits, labels, strict=True):
        length_logp, digit_logp = heads(row)
        value = -length_logp[length]
        if length <= L:
            for i in range(length):
                value -= digit_logp[i][digits[i]]
        expected.append(value)
    assert set(labels[:, 0]) == set(range(L + 2))
    each = MultiDigitLoss(reduction=None)(labels, logits)
    np.testing.assert_allclose(np.asarray(each), expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(np.asarray(MultiDigitLoss()(labels, logits)), np.mean(expected), rtol=1e-5)


def test_absent_heads_get_exactly_no_gradient():
    import tensorflow as tf

    logits, labels = tf.constant(random_logits(300)), random_labels(300)
    with tf.GradientTape() as tape:
        tape.watch(logits)
        total = tf.reduce_sum(MultiDigitLoss(reduction=None)(labels, logits))
    gradient = tape.gradient(total, logits).numpy()
    for row, logit, (length, *digits) in zip(gradient, logits.numpy(), labels, strict=True):
        length_logp, digit_logp = heads(logit)
        np.testing.assert_allclose(row[: L + 2], np.exp(length_logp) - np.eye(L + 2)[length], atol=1e-6)
        for i, head in enumerate(row[L + 2 :].reshape(L, C)):
            if i < length <= L:
                np.testing.assert_allclose(head, np.exp(digit_logp[i]) - np.eye(C)[digits[i]], atol=1e-6)
            else:
                assert (head == 0).all()


def test_what_stands_beyond_the_length_is_not_read():
    logits, labels = random_logits(100), random_labels(100)
    other = np.where(labels == -1, 7, labels)
    assert (other != labels).any()
    loss = MultiDigitLoss(reduction=None)
    np.testing.assert_array_equal(np.asarray(loss(labels, logits)), np.asarray(loss(other, logits)))


@pytest.mark.parametrize("size", [0.0, 1e4, 1e30])
def test_loss_and_gradient_stay_finite(size):
    import tensorflow as tf

    labels = random_labels(50)
    logits = tf.constant(np.sign(random_logits(50)) * np.float32(size))
    with tf.GradientTape() as tape:
        tape.watch(logits)
        loss = MultiDigitLoss(reduction=None)(labels, logits)
    assert np.isfinite(loss).all() and (loss.numpy() >= 0).all() and np.isfinite(tape.gradient(loss, logits)).all()


def test_certain_truth_costs_nothing_and_certain_error_much():
    truth = np.array([[3, 1, 7, 5, -1, -1]])
    right = packed({3: 1 - 1e-9}, [{1: 1 - 1e-9}, {7: 1 - 1e-9}, {5: 1 - 1e-9}])[None]
    wrong = packed({3: 1 - 1e-9}, [{1: 1 - 1e-9}, {7: 1 - 1e-9}, {6: 1 - 1e-9}])[None]
    assert float(MultiDigitLoss()(truth, right)) < 1e-5 < 10 < float(MultiDigitLoss()(truth, wrong))


@pytest.mark.parametrize("labels, logits", [((2, L), (2, PACKED)), ((2, 1 + L), (2, PACKED - 1))])
def test_wrong_widths_are_named(labels, logits):
    with pytest.raises(ValueError, match="Received: "):
        MultiDigitLoss()(np.zeros(labels), np.zeros(logits))


# --- Decoding ---


def test_decoder_equals_search_of_all_sequences():
    logits = random_logits(40)
    logits[:, L + 2 :] *= 2  # digits sure enough that long numbers win too
    number, seen = decoded(logits), set()
    for row, length, digits, confidence in zip(
        logits, number["length"], number["digits"], number["confidence"], strict=True
    ):
        length_logp, digit_logp = heads(row)
        best, searched = (length_logp[LONGER], LONGER, ()), 0
        for n in range(L + 1):
            joint = np.full((), length_logp[n])
            for i in range(n):
                joint = joint[..., None] + digit_logp[i]  # score of every sequence of n digits: [10] * n
            searched += joint.size
            best = max(best, (joint.max(), n, np.unravel_index(joint.argmax(), joint.shape)))
        assert searched == 111_111
        assert (length, tuple(digits[: len(best[2])])) == best[1:]
        assert (digits[len(best[2]) :] == -1).all()
        np.testing.assert_allclose(confidence, np.exp(best[0]), rtol=1e-5)
        seen.add(int(length))
    assert len(seen) >= 5 and LONGER in seen


def test_decoder_on_the_number_of_the_appendix():
    """175 at a log-probability of -0.42144: that of four independent answers of 0.9."""
    number = decoded(packed({3: 0.9}, [{1: 0.9}, {7: 0.9}, {5: 0.9}])[None])
    assert number["length"] == [3] and number["digits"].tolist() == [[1, 7, 5, -1, -1]]
    np.testing.assert_allclose(np.log(number["confidence"]), [-0.42144], atol=1e-5)


def test_doubtful_digits_shorten_the_number():
    """A length of 2 is likelier, but its second digit is so doubtful that the number of one digit wins."""
    number = decoded(packed({1: 0.4, 2: 0.59}, [{3: 0.99}, {}])[None])
    assert number["length"] == [1] and number["digits"].tolist() == [[3, -1, -1, -1, -1]]
    np.testing.assert_allclose(number["confidence"], [0.4 * 0.99], rtol=1e-4)


def test_too_long_is_refused_with_the_probability_of_being_too_long():
    number = decoded(packed({LONGER: 0.7}, [{1: 0.999}] * L)[None])
    assert number["length"] == [LONGER] and (number["digits"] == -1).all()
    np.testing.assert_allclose(number["confidence"], [0.7], rtol=1e-5)


def test_joint_decoding_is_right_at_least_as_often_as_greedy():
    """Numbers drawn from the heads' own probabilities; greedy takes the likeliest length first."""
    count, random = 20_000, np.random.default_rng(0)
    logits = random_logits(count, seed=2, scale=1.5)

    def drawn(x):
        return (x + random.gumbel(size=x.shape)).argmax(-1)

    length, digits = drawn(logits[:, : L + 2]), drawn(logits[:, L + 2 :].reshape(-1, L, C))
    absent = (np.arange(L) >= length[:, None]) | (length[:, None] > L)
    labels = np.concatenate([length[:, None], np.where(absent, -1, digits)], axis=1)

    number = decoded(logits)
    joint = np.concatenate([number["length"][:, None], number["digits"]], axis=1)
    n = logits[:, : L + 2].argmax(1)[:, None]
    best = logits[:, L + 2 :].reshape(-1, L, C).argmax(-1)
    greedy = np.concatenate([n, np.where((np.arange(L) < n) & (n <= L), best, -1)], axis=1)
    right, right_greedy = (labels == joint).all(1).mean(), (labels == greedy).all(1).mean()
    print(f"\nexact numbers: joint {right:.4f}, greedy {right_greedy:.4f}")
    assert right >= right_greedy
    np.testing.assert_allclose(right, number["confidence"].mean(), atol=0.01)  # and the confidence is calibrated


def test_decoder_stays_in_float32_under_a_16_bit_policy():
    logits = random_logits(20)
    expected = decoded(logits)
    keras.config.set_dtype_policy("mixed_float16")
    try:
        found = decoded(logits)
    finally:
        keras.config.set_dtype_policy("float32")
    assert found["confidence"].dtype == np.float32
    for key, value in expected.items():
        np.testing.assert_array_equal(found[key], value)


# --- Metrics ---


def test_accuracies_equal_loops_over_strings():
    logits, labels = random_logits(300, scale=1.0), random_labels(300)
    logits += 4 * one_hot_answers(labels) * (np.arange(300) % 3 > 0)[:, None]  # two of three are mostly right
    number = decoded(logits)
    whole = lengths = digits_right = digits_all = 0
    for (length, *digits), read_length, read in zip(labels, number["length"], number["digits"], strict=True):
        truth, answer = as_text(length, digits), as_text(read_length, read)
        whole += truth == answer
        lengths += length == read_length
        if length <= L:
            pairs = list(itertools.zip_longest(truth, "" if answer == f">{L}" else answer[: len(truth)]))
            digits_all += len(pairs)
            digits_right += sum(a == b for a, b in pairs)
    expected = {SequenceAccuracy: whole / 300, LengthAccuracy: lengths / 300, DigitAccuracy: digits_right / digits_all}
    for make, value in expected.items():
        metric = make()
        metric.update_state(labels, logits)
        assert 0.1 < value < 0.95
        np.testing.assert_allclose(float(metric.result()), value, rtol=1e-6)


def one_hot_answers(labels: np.ndarray) -> np.ndarray:
    """1 at the logit of every true answer, packed."""
    digits = np.where(labels[:, 1:, None] == np.arange(C), 1.0, 0.0).reshape(len(labels), -1)
    return np.concatenate([np.eye(L + 2)[labels[:, 0]], digits], axis=1).astype("float32")


METRICS = [SequenceAccuracy, DigitAccuracy, LengthAccuracy, CoverageAtAccuracy]


@pytest.mark.parametrize("make", METRICS)
def test_two_halves_are_one_whole_and_weights_count(make):
    labels = random_labels(400)
    logits = random_logits(400) + 4 * one_hot_answers(labels)
    settings = {"accuracy": 0.9} if make is CoverageAtAccuracy else {}
    whole, halves, weighted = (make.from_config({**make().get_config(), **settings}) for _ in range(3))
    whole.update_state(labels, logits)
    for part in (slice(150), slice(150, None)):
        halves.update_state(labels[part], logits[part])
    weight = (np.arange(400) < 150).astype("float32")
    weighted.update_state(labels, logits, sample_weight=weight)
    first = make.from_config(whole.get_config())
    first.update_state(labels[:150], logits[:150])
    assert 0 < float(whole.result()) < 1
    assert float(halves.result()) == float(whole.result()) != float(first.result()) == float(weighted.result())
    whole.reset_state()
    assert float(whole.result()) == 0


def zero_or_wrong(confidence: np.ndarray, correct: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Labels and logits whose best number is "", of confidence over 0.5, right where `correct`."""
    logits = np.stack([packed({0: c}, []) for c in confidence])
    labels = np.full((len(confidence), 1 + L), -1)
    labels[:, 0] = np.where(correct, 0, LONGER)
    return labels, logits


def test_coverage_metric_equals_the_exact_one_where_bins_do_not_mix():
    odds = np.random.default_rng(0).permutation(np.arange(0.5, 9, 0.05))
    correct = np.random.default_rng(1).random(odds.size) < 1 - 0.5 * np.exp(-odds / 2)
    labels, logits = zero_or_wrong(1 / (1 + np.exp(-odds)), correct)
    confidence = decoded(logits)["confidence"]
    found = set()
    for accuracy in (0.0, 0.9, 0.95, 0.97, 0.98, 0.99, 1.0):
        metric = CoverageAtAccuracy(accuracy)
        metric.update_state(labels, logits)
        found.add(float(metric.result()))
        np.testing.assert_allclose(float(metric.result()), coverage_at(confidence, correct, accuracy), rtol=1e-6)
    assert len(found) >= 3


def test_coverage_metric_is_at_most_the_exact_one():
    confidence = np.random.default_rng(0).beta(8, 0.3, 6000).clip(0.6, 1)
    correct = np.random.default_rng(1).random(6000) < confidence
    labels, logits = zero_or_wrong(confidence.clip(max=1 - 1e-12), correct)
    metric = CoverageAtAccuracy(0.98)
    metric.update_state(labels, logits)
    exact = coverage_at(decoded(logits)["confidence"], correct, 0.98)
    print(f"\ncoverage at 98 %: bins {float(metric.result()):.4f}, exact {exact:.4f}")
    assert exact - 0.005 <= float(metric.result()) <= exact + 1e-6
    assert 0.3 < exact < 1


def test_coverage_metric_keeps_certain_answers_together():
    labels, logits = zero_or_wrong(np.full(50, 1 - 1e-12), np.arange(50) != 20)
    for accuracy, expected in ((0.98, 1), (0.99, 0)):
        metric = CoverageAtAccuracy(accuracy)
        metric.update_state(labels, logits)
        assert float(metric.result()) == expected


# --- Coverage ---


def test_coverage_by_hand():
    confidence, correct = [0.8, 0.9, 0.6, 0.8, 0.7], [1, 1, 1, 0, 1]
    thresholds, coverage, accuracy = coverage_curve(confidence, correct)
    np.testing.assert_allclose(thresholds, [0.9, 0.8, 0.7, 0.6])
    np.testing.assert_allclose(coverage, [1 / 5, 3 / 5, 4 / 5, 1])
    np.testing.assert_allclose(accuracy, [1, 2 / 3, 3 / 4, 4 / 5])
    assert coverage_at(confidence, correct, 0.98) == 0.2 and threshold_at(confidence, correct, 0.98) == 0.9
    assert coverage_at(confidence, correct, 0.8) == 1 and threshold_at(confidence, correct, 0.8) == 0.6
    assert coverage_at([0.9, 0.9], [1, 0], 0.98) == 0 and threshold_at([0.9, 0.9], [1, 0], 0.98) == np.inf
    assert coverage_at([0.9] * 50, [0] + [1] * 49, 0.98) == 1  # 49 / 50 is 98 %
    assert coverage_at([], [], 0.98) == 0


def test_coverage_equals_search_of_all_thresholds():
    random = np.random.default_rng(0)
    for _ in range(50):
        confidence = random.integers(1, 20, 40) / 20
        correct = random.random(40) < confidence
        best = 0.0
        for threshold in set(confidence):
            kept = [c for s, c in zip(confidence, correct, strict=True) if s >= threshold]
            if sum(kept) / len(kept) >= 0.8:
                best = max(best, len(kept) / 40)
        assert coverage_at(confidence, correct, 0.8) == best
        assert best == (confidence >= threshold_at(confidence, correct, 0.8)).mean()


@pytest.mark.parametrize("confidence, correct", [([0.1], [1, 0]), ([np.nan], [1]), ([[0.1]], [[1]])])
def test_coverage_refuses_what_is_not_two_vectors(confidence, correct):
    with pytest.raises(ValueError, match="Received: "):
        coverage_curve(confidence, correct)


# --- Layers ---


@pytest.mark.parametrize("size", [3, 5])
def test_subtractive_normalization_equals_scipy(size):
    x = np.random.default_rng(0).normal(size=(2, 9, 7, 3)).astype("float32")
    window = (0, size, size, 0)
    inside = scipy.ndimage.uniform_filter(np.ones_like(x), window, mode="constant")
    expected = x - scipy.ndimage.uniform_filter(x, window, mode="constant") / inside
    found = np.asarray(SubtractiveNormalization(size)(x))
    np.testing.assert_allclose(found, expected, atol=1e-5)
    r = size // 2
    plain = x - scipy.ndimage.uniform_filter(x, window)
    np.testing.assert_allclose(found[:, r:-r, r:-r], plain[:, r:-r, r:-r], atol=1e-5)
    assert np.abs(found - plain).max() > 0.1  # at the border the two rules differ
    np.testing.assert_allclose(np.asarray(SubtractiveNormalization(size)(np.full_like(x, 5.0))), 0, atol=1e-5)


@pytest.mark.parametrize("size", [0, 2, -1])
def test_subtractive_normalization_refuses_even_windows(size):
    with pytest.raises(ValueError, match=f"Received: size={size}"):
        SubtractiveNormalization(size)


@pytest.mark.parametrize("strides", [1, 2, 3])
@pytest.mark.parametrize("padding", ["valid", "same"])
def test_locally_connected_equals_loops(padding, strides):
    random = np.random.default_rng(0)
    x = random.normal(size=(2, 6, 7, 3)).astype("float32")
    layer = LocallyConnected2D(4, 3, strides, padding, activation="relu")
    shape = layer.compute_output_shape(x.shape)
    layer.build(x.shape)
    layer.set_weights([random.normal(size=w.shape) for w in layer.weights])
    kernel, bias = layer.get_weights()
    (_, height, width, _), before = shape, [0, 0]
    if padding == "same":
        before = [
            max((out - 1) * strides + 3 - size, 0) // 2 for out, size in zip((height, width), (6, 7), strict=True)
        ]
    expected = np.zeros(shape)
    for n, row, column, f in np.ndindex(shape):
        total = bias[row, column, f]
        for i, j, c in np.ndindex(3, 3, 3):
            y, z = row * strides + i - before[0], column * strides + j - before[1]
            if 0 <= y < 6 and 0 <= z < 7:
                total += x[n, y, z, c] * kernel[row * width + column, (i * 3 + j) * 3 + c, f]
        expected[n, row, column, f] = max(total, 0)
    np.testing.assert_allclose(np.asarray(layer(x)), expected, atol=1e-4)


@pytest.mark.parametrize("size", [2, 3, 5])
@pytest.mark.parametrize("strides", [1, 2])
@pytest.mark.parametrize("padding", ["valid", "same"])
def test_locally_connected_with_one_kernel_is_a_convolution(padding, strides, size):
    x = np.random.default_rng(0).normal(size=(2, 8, 7, 3)).astype("float32")
    convolution = keras.layers.Conv2D(4, size, strides, padding)
    expected = np.asarray(convolution(x))
    layer = LocallyConnected2D(4, size, strides, padding)
    layer.build(x.shape)
    kernel = np.asarray(convolution.kernel).reshape(1, -1, 4)
    layer.set_weights([np.repeat(kernel, layer.kernel.shape[0], axis=0), np.zeros(layer.bias.shape)])
    np.testing.assert_allclose(np.asarray(layer(x)), expected, atol=1e-5)


def test_locally_connected_starts_different_everywhere_at_the_fan_in_of_one_position():
    layer = LocallyConnected2D(64, 3)
    layer.build((None, 8, 8, 16))
    kernel = np.asarray(layer.kernel)
    np.testing.assert_allclose(kernel.std(axis=(1, 2)), np.sqrt(2 / (9 * 16)), rtol=0.05)
    assert np.abs(kernel[0] - kernel[1]).max() > 0.1


@pytest.mark.parametrize("shape, said", [((None, 4, 3), "known"), ((2, 4, 3), "does not fit"), ((4, 4), "known")])
def test_locally_connected_refuses_maps_it_cannot_cover(shape, said):
    with pytest.raises(ValueError, match=f"{said}.*Received: input shape"):
        LocallyConnected2D(2, 3)(keras.Input(shape))


# --- Network ---

LAYERS = [  # worked out from the paper's description: side of the map that leaves the layer, channels, parameters
    (27, 48, 10_944),
    (27, 64, 76_864),
    (14, 128, 204_928),
    (14, 160, 512_160),
    (7, 192, 768_192),
    (7, 192, 921_792),
    (4, 192, 921_792),
    (4, 192, 921_792),
    (4, 192, 14_748_672),
]


def test_network_has_the_layers_of_the_paper():
    model = hub.registry.build("multi_digit")
    counts = [layer.count_params() for layer in model.layers if layer.count_params()]
    assert counts[:9] == [parameters for _, _, parameters in LAYERS]
    assert sum(counts[9:11]) == 18_880_512 and counts[11:] == [175_161]
    assert model.count_params() == hub.registry.info("multi_digit").params == 38_142_809
    shapes = [model.get_layer(f"stage{i}").output.shape for i in range(1, 10)]
    assert shapes == [(None, side, side, channels) for side, channels, _ in LAYERS]
    pools = [layer.strides[0] for layer in model.layers if isinstance(layer, keras.layers.MaxPooling2D)]
    assert pools == [2, 1] * 4
    kinds = [type(layer).__name__ for layer in model.layers]
    assert kinds.count("SubtractiveNormalization") == 8 and kinds.count("Maxout") == 1
    assert kinds.count("Dropout") == 11 and kinds[1] == "Conv2D"  # after every hidden layer, not on the input
    assert model.output_shape == (None, PACKED) and model.output.dtype == "float32"


@pytest.mark.parametrize("depth, side", [(2, 27), (4, 14), (6, 7)])
def test_depth_takes_the_first_convolutions(depth, side):
    model = hub.registry.build(
        "multi_digit", filters=(4, 4, 6, 6, 8, 8), depth=depth, kernel_size=3, local_filters=0, units=(8,)
    )
    convolutions = [layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D)]
    assert len(convolutions) == depth and model.get_layer(f"stage{depth}").output.shape[1:3] == (side, side)
    assert model.output_shape == (None, PACKED)


@pytest.mark.parametrize("depth", [0, 9, -1])
def test_depth_is_checked(depth):
    with pytest.raises(ValueError, match=rf"1 \.\.\. 8.*Received: depth={depth}"):
        hub.registry.build("multi_digit", depth=depth)


def test_heads_and_inputs_can_change():
    def shape(**settings):
        return hub.registry.build("multi_digit_tiny", **settings).output_shape

    assert shape(num_classes=0, input_shape=(30, 61, 1)) == (None, 8, 16, 8)
    assert shape(num_classes=12) == (None, 12)
    assert shape(max_length=8, num_symbols=36, input_shape=(35, 195, 1)) == (None, 10 + 8 * 36)


def test_fit_learns_and_its_metrics_agree_with_predict():
    """Bars at places that spell the number: the tiny network and everything around it, in the graph of `fit`."""
    keras.utils.set_random_seed(0)
    labels = random_labels(64)
    images = np.random.default_rng(0).normal(scale=0.1, size=(64, 27, 27, 3)).astype("float32")
    for image, (length, *digits) in zip(images, labels, strict=True):
        image[:3, : 4 * length] += 1
        for i, digit in enumerate(digits):
            image[4 + 4 * i :][:3, 2 * digit : 2 * digit + 3] += digit >= 0
    model = hub.registry.build(
        "multi_digit_tiny", conv_dropout=0.0, dropout=0.0, units=(64,), input_shape=images.shape[1:]
    )
    metrics = [SequenceAccuracy(), DigitAccuracy(), LengthAccuracy(), CoverageAtAccuracy(0.9)]
    model.compile(keras.optimizers.Adam(5e-3), MultiDigitLoss(), metrics=metrics)
    losses = model.fit(images, labels, batch_size=32, epochs=25, verbose=0).history["loss"]
    found = model.evaluate(images, labels, batch_size=24, verbose=0, return_dict=True)
    print(f"\nloss {losses[0]:.2f} to {losses[-1]:.2f}; {found}")
    assert losses[-1] < 0.3 * losses[0]
    number = decoded(model.predict(images, verbose=0))
    right = (np.concatenate([number["length"][:, None], number["digits"]], axis=1) == labels).all(1)
    np.testing.assert_allclose(found["sequence_accuracy"], right.mean(), rtol=1e-6)
    np.testing.assert_allclose(
        found["coverage_at_accuracy"], coverage_at(number["confidence"], right, 0.9), rtol=1e-6, atol=1 / 64
    )


def reader(seed: int = 0) -> tuple[keras.Model, np.ndarray]:
    """The tiny network with its decoder, spread out so that it answers with many numbers, and images for it."""
    keras.utils.set_random_seed(seed)
    model = hub.registry.build("multi_digit_tiny")
    kernel, bias = model.get_layer("logits").get_weights()
    model.get_layer("logits").set_weights([kernel * 30, bias])
    images = np.random.default_rng(seed).normal(size=(16, 54, 54, 3)).astype("float32")
    return keras.Model(model.inputs, SequenceDecoder()(model.output)), images


def test_reader_survives_a_keras_file(tmp_path):
    model, images = reader()
    model.save(tmp_path / "reader.keras")
    again = keras.models.load_model(tmp_path / "reader.keras")
    for key, value in model.predict(images, verbose=0).items():
        np.testing.assert_array_equal(again.predict(images, verbose=0)[key], value)


def test_reader_converts_to_litert_builtins():
    import tensorflow as tf
    from ai_edge_litert.interpreter import Interpreter

    model, images = reader()
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    runner = Interpreter(model_content=converter.convert()).get_signature_runner()
    (argument,) = runner.get_input_details()
    expected = model.predict(images, verbose=0)
    assert len(np.unique(expected["length"])) >= 3 and expected["digits"].max() > 0
    for size in (1, 16):
        found = runner(**{argument: images[:size]})
        errors = {key: np.abs(value - expected[key][:size].astype(float)).max() for key, value in found.items()}
        print(f"\nLiteRT, batch {size}: largest difference {errors}")
        assert set(found) == set(expected) and errors["digits"] == errors["length"] == 0
        assert max(errors.values()) < 1e-4


ELSEWHERE = """
import sys
import numpy as np, keras
from hub import registry
given = dict(np.load(sys.argv[1]))
model = registry.build("multi_digit_tiny")
model.set_weights([given[f"w{i}"] for i in range(len(model.weights))])
logits, labels, found = given["logits"], given["labels"], {"packed": model.predict(given["images"], verbose=0)}
found |= {k: keras.ops.convert_to_numpy(v) for k, v in registry.build("sequence_decoder")(logits).items()}
loss = registry.build("multi_digit_loss", reduction=None)
found["loss"] = keras.ops.convert_to_numpy(loss(labels, logits))
if keras.backend.backend() == "jax":
    import jax
    found["gradient"] = jax.grad(lambda x: loss(labels, x).sum())(logits)
else:
    import torch
    x = torch.tensor(logits, requires_grad=True)
    loss(labels, x).sum().backward()
    found["gradient"] = x.grad.numpy()
for name in ("sequence_accuracy", "digit_accuracy", "length_accuracy", "coverage_at_accuracy"):
    metric = registry.build(name)
    metric.update_state(labels, logits)
    found[name] = float(metric.result())
model.compile("sgd", registry.build("multi_digit_loss"), metrics=[registry.build("coverage_at_accuracy")])
assert np.isfinite(model.fit(given["images"], labels[:16], verbose=0).history["loss"]).all()
np.savez(sys.argv[2], **found)
"""


@pytest.mark.backends
@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_other_backends_agree(backend, tmp_path):
    pytest.importorskip(backend)
    model, images = reader()
    model = keras.Model(model.inputs, model.get_layer("logits").output)
    labels = random_labels(200)
    logits = random_logits(200, scale=1.0) + 4 * one_hot_answers(labels)
    weights = {f"w{i}": w for i, w in enumerate(model.get_weights())}
    np.savez(tmp_path / "given.npz", images=images, logits=logits, labels=labels, **weights)
    root = pathlib.Path(hub.registry.__file__).parents[1]
    subprocess.run(
        [sys.executable, "-c", ELSEWHERE, tmp_path / "given.npz", tmp_path / "found.npz"],
        env={**os.environ, "KERAS_BACKEND": backend, "PYTHONPATH": str(root)},
        check=True,
    )
    found = np.load(tmp_path / "found.npz")
    np.testing.assert_allclose(found["packed"], model.predict(images, verbose=0), rtol=1e-3, atol=1e-4)
    for key, value in decoded(logits).items():
        np.testing.assert_allclose(found[key], value, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(found["loss"], MultiDigitLoss(reduction=None)(labels, logits), rtol=1e-4, atol=1e-6)
    length, gradient = labels[:, :1], found["gradient"][:, L + 2 :].reshape(-1, L, C)
    absent = (np.arange(L) >= length) | (length > L)
    assert (gradient[absent] == 0).all() and (gradient[~absent] != 0).any()
    for make in METRICS:
        metric = make()
        metric.update_state(labels, logits)
        np.testing.assert_allclose(found[metric.name], float(metric.result()), rtol=1e-6)

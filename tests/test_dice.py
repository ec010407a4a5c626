"""The segmentation loss and the overlap metrics against loops over the pixels, Keras and scikit-learn."""

import keras
import numpy as np
import pytest
from sklearn.metrics import f1_score, jaccard_score

from hub.losses.dice import BinaryCrossentropyDice
from hub.metrics.overlap import DiceScore, JaccardIndex

SHAPE = (5, 4, 6, 1)


def drawn(seed=0, channels=1, scale=3.0):
    """Masks, of which the last is empty, logits, and weights of which some pixels and one whole image have none."""
    rng = np.random.default_rng(seed)
    masks = (rng.uniform(size=SHAPE) < 0.4).astype("float32")
    masks[-1] = 0
    weights = rng.uniform(0.2, 2, size=SHAPE) * (rng.uniform(size=SHAPE) < 0.7)
    weights[1] = 0
    logits = rng.normal(scale=scale, size=(*SHAPE[:3], channels))
    return masks, logits.astype("float32"), weights.astype("float32")


def naive_loss(mask, logits, weight, smooth):
    entropy = overlap = both = pixels = 0.0
    for y, row, w in zip(mask.ravel(), logits.reshape(-1, logits.shape[-1]), weight.ravel(), strict=True):
        if len(row) == 1:
            p = 1 / (1 + np.exp(-float(row[0])))
        else:
            p = np.exp(float(row[1])) / (np.exp(float(row[0])) + np.exp(float(row[1])))
        entropy += w * -np.log(p if y else 1 - p)
        overlap += w * p * y
        both += w * (p + y)
        pixels += w
    return (entropy / pixels if pixels else 0.0) + 1 - (2 * overlap + smooth) / (both + smooth)


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("smooth", [1.0, 1e-3])
def test_equals_a_loop_over_the_pixels(channels, smooth):
    masks, logits, weights = drawn(channels=channels)
    loss = BinaryCrossentropyDice(smooth, reduction="none")
    expected = [naive_loss(m, x, np.ones_like(m), smooth) for m, x in zip(masks, logits, strict=True)]
    np.testing.assert_allclose(loss(masks, logits), expected, rtol=1e-5)
    np.testing.assert_allclose(loss(masks.astype(bool), logits), expected, rtol=1e-5)
    weighted = [naive_loss(m, x, w, smooth) for m, x, w in zip(masks, logits, weights, strict=True)]
    np.testing.assert_allclose(loss(masks, logits, weights), weighted, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(loss(masks, logits, weights[..., 0]), weighted, rtol=1e-5, atol=1e-6)
    assert weighted[1] == 0
    each = np.array([1, 0, 0.5, 2, 0])
    np.testing.assert_allclose(loss(masks, logits, each), each * expected, rtol=1e-5)
    np.testing.assert_allclose(loss(masks, logits, each[:, None]), each * expected, rtol=1e-5)


def test_equals_keras_where_keras_is_defined():
    masks, logits, _ = drawn()
    p = keras.ops.sigmoid(logits)
    ours = BinaryCrossentropyDice(1e-7, reduction="none")(masks, logits)
    entropy = np.mean(keras.losses.BinaryCrossentropy(reduction="none")(masks, p), axis=(1, 2))
    theirs = keras.losses.Dice(axis=(1, 2, 3), reduction="none")(masks, p) + entropy
    np.testing.assert_allclose(ours, theirs, rtol=1e-5)


def test_an_empty_mask_left_empty_costs_nothing():
    empty = np.zeros(SHAPE, "float32")
    assert float(BinaryCrossentropyDice()(empty, empty - 30)) == pytest.approx(0, abs=1e-6)
    assert float(keras.losses.Dice(axis=(1, 2, 3))(empty, keras.ops.sigmoid(empty - 30))) == 1
    costs = [float(BinaryCrossentropyDice()(empty, empty + x)) for x in (-30, -3, 0, 3, 30)]
    assert costs == sorted(costs)


def gradient(loss, masks, logits, weights=None):
    import tensorflow as tf

    logits = tf.constant(logits)
    with tf.GradientTape() as tape:
        tape.watch(logits)
        value = loss(masks, logits, weights)
    return float(value), tape.gradient(value, logits).numpy()


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("scale", [0.0, 1e-30, 1e2, 1e4, 1e30])
def test_extreme_logits(channels, scale):
    masks, logits, weights = drawn(channels=channels, scale=1.0)
    for weight in (None, weights, weights[:, 0, 0, 0]):
        value, slope = gradient(BinaryCrossentropyDice(), masks, logits * np.float32(scale), weight)
        assert np.isfinite(value) and np.isfinite(slope).all()
        assert slope.any()


def test_what_weighs_nothing_teaches_nothing():
    masks, logits, weights = drawn()
    _, slope = gradient(BinaryCrossentropyDice(), masks, logits, weights)
    assert ((slope == 0) == (weights == 0)).all()
    _, slope = gradient(BinaryCrossentropyDice(), masks, logits, np.array([0, 1, 0, 1, 1], "float32"))
    assert (slope.any(axis=(1, 2, 3)) == [False, True, False, True, True]).all()


@pytest.mark.parametrize(("ours", "theirs"), [(DiceScore, f1_score), (JaccardIndex, jaccard_score)])
def test_metrics_equal_scikit_learn(ours, theirs):
    masks, logits, weights = drawn()
    logits[-1] -= 100  # empty, and left empty
    p = 1 / (1 + np.exp(-logits.astype("float64")))

    def score(threshold=0.5, image_weights=None, **kwargs):
        each = [
            theirs(m.ravel(), q.ravel() > threshold, zero_division=1.0, **{k: v[i].ravel() for k, v in kwargs.items()})
            for i, (m, q) in enumerate(zip(masks, p, strict=True))
        ]
        return np.average(each, weights=image_weights)

    def measured(predictions, weight=None, **kwargs):
        metric = ours(**kwargs)
        metric.update_state(masks, predictions, weight)
        return float(metric.result())

    pair = np.concatenate([0.5 - logits, 0.5 + 0 * logits], -1)
    assert 0.2 < score() < 0.8
    assert measured(logits) == pytest.approx(score())
    assert measured(pair) == pytest.approx(score())
    assert measured(logits.astype("float16"), threshold=0.9) == pytest.approx(score(0.9))
    assert measured(p.astype("float32"), threshold=0.2, from_logits=False) == pytest.approx(score(0.2))
    both = np.concatenate([1 - p, p], -1)
    assert measured(both, threshold=0.2, from_logits=False) == pytest.approx(score(0.2))
    each = np.array([1, 0, 0.5, 2, 3])
    assert measured(logits, each) == measured(logits, each[:, None]) == pytest.approx(score(image_weights=each))
    counted = weights.any(axis=(1, 2, 3))
    expected = score(image_weights=counted, sample_weight=weights + 1e-9)  # scikit-learn divides by the weights
    assert measured(logits, weights) == measured(logits, weights[..., 0]) == pytest.approx(expected, rel=1e-5)


def test_metrics_by_hand():
    """Two of three true pixels found, one too many: TP 2, FN 1, FP 1."""
    masks = np.array([1, 1, 1, 0, 0, 0], "float32").reshape(1, 2, 3, 1)
    found = np.array([1, 1, 0, 1, 0, 0], "float32").reshape(1, 2, 3, 1)
    dice, jaccard = DiceScore(from_logits=False), JaccardIndex(from_logits=False)
    assert float(dice(masks, found)) == pytest.approx(4 / 6)
    assert float(jaccard(masks, found)) == pytest.approx(2 / 4)
    assert float(dice(masks * 0, found)) == pytest.approx((4 / 6 + 0) / 2)
    assert float(dice(masks * 0, found * 0)) == pytest.approx((4 / 6 + 0 + 1) / 3)


@pytest.mark.parametrize("make", [DiceScore, BinaryCrossentropyDice])
def test_shapes_that_do_not_fit(make):
    for masks, predictions in ((SHAPE[:3], SHAPE), (SHAPE, (*SHAPE[:3], 3)), ((*SHAPE[:3], 2), (*SHAPE[:3], 2))):
        with pytest.raises(ValueError, match=r"would do\. Received: shapes"):
            make()(np.zeros(masks, "float32"), np.zeros(predictions, "float32"))
    for wrong in (0.0, -1.0, float("nan")):
        with pytest.raises(ValueError, match=f"Received: .*={wrong}"):
            make(wrong)


@pytest.mark.parametrize("per_pixel", [True, False])
def test_fit_takes_weights_per_example_and_per_pixel(per_pixel):
    """One convolution learns to copy; half of the masks lie, and weigh nothing."""
    keras.utils.set_random_seed(0)
    masks = (np.random.default_rng(0).uniform(size=(64, 8, 8, 1)) < 0.5).astype("float32")
    images, weights = 2 * masks - 1, np.ones_like(masks)
    masks[::2], weights[::2] = 1 - masks[::2], 0
    weights = weights if per_pixel else weights[:, 0, 0, 0]
    model = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Conv2D(1, 1)])
    model.compile(keras.optimizers.Adam(0.3), BinaryCrossentropyDice(), weighted_metrics=[DiceScore()])
    history = model.fit(images, masks, sample_weight=weights, epochs=10, batch_size=16, verbose=0)
    assert history.history["dice_score"][-1] > 0.99
    assert model.predict(images[:1], verbose=0)[images[:1] > 0].min() > 1

"""CNN-SVM: the loss against loops, Keras and scikit-learn; the penalty and where it lies."""

import keras
import numpy as np
import pytest
from sklearn.svm import LinearSVC

from hub.losses.l2_svm import SVMLoss
from hub.registry import build


def array(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def slow(labels, scores, cost, power):
    total = []
    for y, row in zip(labels, scores, strict=True):
        total.append(cost * sum(max(0.0, 1 - (1 if k == y else -1) * s) ** power for k, s in enumerate(row)))
    return total


@pytest.mark.parametrize(("squared", "power", "keras_loss"), [
    (True, 2, keras.losses.SquaredHinge), (False, 1, keras.losses.Hinge)
])  # fmt: skip
@pytest.mark.parametrize("classes", [2, 7])
def test_loss_equals_slow_loops_and_keras(squared, power, keras_loss, classes):
    scores, labels = array(9, classes) * 2, np.arange(9) % classes
    hot = np.eye(classes)[labels]
    loss = SVMLoss(2.5, squared, reduction=None)
    wanted = slow(labels, scores, 2.5, power)
    for target in (labels, labels[:, None], labels.astype("float32"), hot, hot.astype(bool)):
        np.testing.assert_allclose(loss(target, scores), wanted, rtol=1e-5)
    mean = keras_loss()(2 * hot - 1, scores)
    np.testing.assert_allclose(SVMLoss(squared=squared)(labels, scores), classes * np.asarray(mean), rtol=1e-5)
    assert float(loss(labels, 1.0 * np.float32(2 * hot - 1))[0]) == 0


@pytest.mark.parametrize(
    ("labels", "scores"), [(np.zeros(3), np.zeros((3, 1))), (np.zeros((3, 4)), np.zeros((3, 5))), (0, np.zeros(5))]
)
def test_shapes_that_do_not_fit(labels, scores):
    with pytest.raises(ValueError, match="one-hot"):
        SVMLoss()(labels, scores)


def test_cost_is_positive():
    with pytest.raises(ValueError, match="cost=0"):
        SVMLoss(0)


@pytest.mark.parametrize("cost", [0.5, 20.0])
def test_the_head_alone_reaches_what_linear_svc_reaches(cost):
    """1/2 |w|^2 + C mean of sums here is scikit-learn's objective at C / N, class against the rest."""
    x, labels = array(60, 5), np.random.default_rng(1).integers(0, 3, 60)
    head = keras.layers.Dense(3, use_bias=False, kernel_regularizer=keras.regularizers.L2(0.5))
    model = keras.Sequential([keras.Input((5,)), head])
    model.compile(keras.optimizers.SGD(0.3 / (1 + 2 * cost), momentum=0.9), SVMLoss(cost))
    model.fit(np.tile(x, (400, 1)), np.tile(labels, 400), batch_size=60, shuffle=False, verbose=0)
    svc = LinearSVC(C=cost / 60, fit_intercept=False, dual=False, tol=1e-10, max_iter=10_000).fit(x, labels)

    def objective(w):
        return 0.5 * (w**2).sum() + np.mean(slow(labels, x @ w, cost, 2))

    ours = np.asarray(head.kernel)
    assert objective(ours) <= objective(svc.coef_.T) * (1 + 1e-4)
    np.testing.assert_allclose(ours, svc.coef_.T, atol=2e-3)
    np.testing.assert_allclose(model.evaluate(x, labels, batch_size=60, verbose=0), objective(ours), rtol=1e-4)


def test_the_penalty_is_on_the_head_only():
    model = build("cnn_svm_tiny")
    kernel = np.asarray(model.get_layer("logits").kernel)
    np.testing.assert_allclose(model.losses, [0.5 * (kernel**2).sum()], rtol=1e-5)
    assert build("cnn_softmax", filters=(2,), units=4).losses == []


def test_sides():
    model = build("cnn_svm_tiny", input_shape=(28, 28, 1))
    assert [model.get_layer(f"stage{i}").output.shape[1] for i in (1, 2)] == [14, 7]

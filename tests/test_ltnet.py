"""Transition matrices, the masked likelihood and LTNet: against loops, plain training and matrices that are known."""

import keras
import numpy as np
import pytest
from keras import ops
from sklearn.datasets import load_digits

from hub.evaluation.annotators import total_variation
from hub.layers.transition import TransitionMatrix
from hub.training.ltnet import LatentTruthNet, MaskedNLL
from hub.training.noisy_labels import majority_vote, mixture_targets, pseudo_annotate, transitions_from

CLASSES = 4


def some(n=12, annotators=3, missing=0.3, seed=0):
    """p [n, L], matrices [annotators, L, L], labels [n, annotators] with -1."""
    rng = np.random.default_rng(seed)
    labels = np.where(rng.random((n, annotators)) < missing, -1, rng.integers(CLASSES, size=(n, annotators)))
    p = rng.dirichlet(np.ones(CLASSES), n)
    return p.astype("float32"), rng.dirichlet(np.ones(CLASSES), (annotators, CLASSES)).astype("float32"), labels


def values(tensor):
    return ops.convert_to_numpy(tensor)


def classifier(width=5, classes=CLASSES):
    inputs = keras.Input((width,))
    return keras.Model(inputs, keras.layers.Dense(classes, name="logits")(inputs))


@pytest.mark.parametrize("speed", [1.0, 10.0])
def test_transition_is_the_loop_plain_and_in_logarithms(speed):
    p, matrices, _ = some()
    expected = np.empty((12, 3, CLASSES))
    for n, j, m in np.ndindex(expected.shape):
        expected[n, j, m] = sum(float(p[n, k]) * float(matrices[j, k, m]) for k in range(CLASSES))
    layer = TransitionMatrix(3, matrices, speed=speed)
    np.testing.assert_allclose(values(layer(p)), expected, atol=1e-6)
    np.testing.assert_allclose(layer.transitions, matrices, atol=1e-6)
    in_log = TransitionMatrix(3, matrices, log=True, speed=speed)(np.log(p))
    np.testing.assert_allclose(values(in_log), np.log(expected), atol=1e-5)


def test_near_identity_at_first():
    layer = TransitionMatrix(2, np.log(999))
    layer.build((None, CLASSES))
    expected = np.where(np.eye(CLASSES), 999, 1) / (999 + CLASSES - 1)
    np.testing.assert_allclose(layer.transitions, np.stack([expected] * 2), rtol=1e-5)


def test_logarithms_stay_finite_where_probabilities_vanish():
    layer = TransitionMatrix(1, 200.0, log=True)  # off the diagonal 0 in float32
    logits = np.array([[300.0, 0, 0, 0]], "float32")
    log_q = values(layer(ops.log_softmax(logits)))
    np.testing.assert_allclose(log_q[0, 0], [0, -200, -200, -200], rtol=1e-3)


def test_speed_multiplies_adams_steps():
    moved = []
    for speed in (1.0, 10.0):
        net = LatentTruthNet(classifier(), 3, 2.0, speed)
        before = net.transition.log_matrices()
        logits = before - ops.mean(before, -1, keepdims=True)
        net.compile(keras.optimizers.Adam(1e-4), MaskedNLL(), run_eagerly=True)
        net.fit(np.ones((12, 5), "float32"), some(missing=0)[2], batch_size=12, verbose=0)
        after = net.transition.log_matrices()
        moved.append(np.abs(values(after - ops.mean(after, -1, keepdims=True) - logits)).max())
    np.testing.assert_allclose(moved[1] / moved[0], 10, rtol=0.01)


@pytest.mark.parametrize("weights", [None, [3.0, 0.5, 0.1]])
def test_the_loss_is_the_loop(weights):
    p, matrices, labels = some()
    labels[4] = -1
    expected = np.zeros(12)
    for n, j in np.ndindex(labels.shape):
        if labels[n, j] != -1:
            q = p[n].astype("float64") @ matrices[j].astype("float64")
            expected[n] -= (weights or [1, 1, 1])[j] * np.log(q[labels[n, j]])
    log_q = TransitionMatrix(3, matrices, log=True)(np.log(p))
    loss = MaskedNLL(weights)
    np.testing.assert_allclose(
        values(MaskedNLL(weights, reduction="none")(labels, log_q)), expected, rtol=1e-4, atol=1e-6
    )
    np.testing.assert_allclose(float(loss(labels, log_q)), expected.mean(), rtol=1e-4)
    assert expected[4] == 0
    assert MaskedNLL.from_config(loss.get_config()).get_config() == loss.get_config()


def test_identity_and_one_annotator_are_plain_cross_entropy():
    """A second softmax would give other values; large logits, that nothing is lost before the logarithm."""
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(scale=20, size=(32, CLASSES)).astype("float32"), rng.integers(CLASSES, size=32)
    log_q = TransitionMatrix(1, 1e4, log=True)(ops.log_softmax(logits))
    plain = keras.losses.SparseCategoricalCrossentropy(from_logits=True)(labels, logits)
    np.testing.assert_allclose(float(MaskedNLL()(labels[:, None], log_q)), float(plain), rtol=1e-6)


def test_missing_labels_have_no_gradient():
    """One step with them is one step on the labels that are there, bit by bit in what they reach."""
    x = np.random.default_rng(1).normal(size=(12, 5)).astype("float32")
    _, matrices, labels = some()
    labels[:5] = -1
    labels[5:, 1] = -1

    def step(images, labels):
        keras.utils.set_random_seed(0)
        net = LatentTruthNet(classifier(), 3, matrices, 1.0)
        before = [values(w) for w in net.trainable_weights]
        net.compile(keras.optimizers.SGD(0.1), MaskedNLL(reduction="sum"), run_eagerly=True)
        net.fit(images, labels, batch_size=12, verbose=0)
        return [values(w) - b for w, b in zip(net.trainable_weights, before, strict=True)]

    for all_rows, subset in zip(step(x, labels), step(x[5:], labels[5:]), strict=True):
        np.testing.assert_allclose(all_rows, subset, atol=1e-6)
        assert np.abs(subset).max() > 1e-3
    *_, matrix = step(x, labels)
    assert (matrix[1] == 0).all() and (matrix[[0, 2]] != 0).any((1, 2)).all()
    assert all((moved == 0).all() for moved in step(x, np.full_like(labels, -1)))


def test_a_label_that_is_no_class_shows():
    p, matrices, labels = some()
    log_q = TransitionMatrix(3, matrices, log=True)(np.log(p))
    for wrong in (CLASSES, -2):
        labels[0, 0] = wrong
        assert np.isnan(float(MaskedNLL()(labels, log_q)))


def test_saved_and_reloaded(tmp_path):
    import hub

    x = np.random.default_rng(1).normal(size=(12, 5)).astype("float32")
    _, matrices, labels = some()
    net = LatentTruthNet(classifier(), 3, matrices)
    net.compile("adam", MaskedNLL([3, 1, 0]), run_eagerly=True)
    net.fit(x, labels, epochs=2, verbose=0)
    net.save(tmp_path / "net.keras")
    again = hub.load(str(tmp_path / "net.keras"))
    np.testing.assert_allclose(values(again(x)), values(net(x)), atol=1e-6)
    np.testing.assert_allclose(again.transitions, net.transitions)
    again.run_eagerly = True
    assert again.evaluate(x, labels, verbose=0) == pytest.approx(net.evaluate(x, labels, verbose=0))
    net.classifier.save(tmp_path / "classifier.keras")
    alone = hub.load(str(tmp_path / "classifier.keras"))
    assert alone.count_params() == 6 * CLASSES
    np.testing.assert_allclose(values(alone(x)), values(net.classifier(x)), atol=1e-6)


def test_mixed_precision():
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        net = LatentTruthNet(classifier(), 3)  # even logits of 16 bits
        net.compile("adam", MaskedNLL(), run_eagerly=True)
        x, labels = np.full((12, 5), 1000.0, "float32"), some()[2]
        net.fit(x, labels, verbose=0)
        log_q = net(x)
        assert keras.backend.standardize_dtype(log_q.dtype) == "float32"
        np.testing.assert_allclose(np.exp(values(log_q)).sum(-1), 1, atol=1e-5)
    finally:
        keras.config.set_dtype_policy(policy)


def annotated_digits(rates=((0.4, 1), (0.4, 1), (0.15, 4)), seed=0):
    """Pixels of scikit-learn's digits, classes, what three annotators say, their matrices [3, 10, 10]."""
    digits = load_digits()
    same = np.eye(10)
    matrices = np.stack([(1 - rate) * same + rate * np.roll(same, shift, 1) for rate, shift in rates])
    lots = np.random.default_rng(seed).random((len(digits.target), 3, 1))
    labels = (lots > matrices.cumsum(-1)[:, digits.target].transpose(1, 0, 2)).sum(-1)
    return (digits.data / 16).astype("float32"), digits.target, np.minimum(labels, 9), matrices


def test_shared_habits_are_told_from_the_truth():
    """Softmax regression, two annotators who call two fifths of each class the next: matrices and classes come back."""
    images, truth, labels, matrices = annotated_digits()
    train, test = np.split(np.random.default_rng(0).permutation(len(truth)), [1200])

    def scores(model, rows):
        return values(model(images[rows]))

    def right(model):
        return (scores(model, test).argmax(1) == truth[test]).mean()

    keras.utils.set_random_seed(0)
    mixture = classifier(64, 10)
    mixture.compile(keras.optimizers.Adam(0.03), keras.losses.CategoricalCrossentropy(from_logits=True))
    targets, counts = mixture_targets(labels[train], 10)
    mixture.fit(images[train], targets, sample_weight=counts, batch_size=64, epochs=12, verbose=0)
    start = transitions_from(scores(mixture, train), labels[train])
    net = LatentTruthNet(classifier(64, 10), 3, start, speed=3.0)
    net.compile(keras.optimizers.Adam(0.03), MaskedNLL())
    net.fit(images[train], labels[train], batch_size=64, epochs=15, verbose=0)
    assert total_variation(net.transitions, matrices).max() <= 0.12 < total_variation(start, matrices).max()
    assert right(net.classifier) > max(0.93, right(mixture) + 0.08)


def test_confusions_are_counted_and_smoothed():
    scores = np.array([[9, 0], [9, 0], [0, 9]])
    labels = np.array([[0, -1], [1, -1], [1, -1]])
    expected = [[[0.5, 0.5], [0.25, 0.75]], [[0.5, 0.5], [0.5, 0.5]]]
    np.testing.assert_allclose(transitions_from(scores, labels), expected)
    np.testing.assert_allclose(transitions_from(scores, labels, 1.0)[0], [[0.5, 0.5], [1 / 3, 2 / 3]], rtol=1e-6)


def test_mixture_is_every_label_as_an_example_of_its_own():
    _, _, labels = some()
    labels[3] = -1
    logits = np.random.default_rng(2).normal(size=(12, CLASSES)).astype("float32")
    targets, counts = mixture_targets(labels, CLASSES)
    n, j = np.nonzero(labels >= 0)
    each = keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction="sum")(labels[n, j], logits[n])
    loss = keras.losses.CategoricalCrossentropy(from_logits=True, reduction="sum")
    np.testing.assert_allclose(float(loss(targets, logits, counts)), float(each), rtol=1e-5)
    assert counts[3] == 0 and (targets[3] == 0).all()


def test_majority_vote():
    labels = np.array([[2, 1, 2], [-1, -1, 0], [-1, -1, -1], [3, 3, 1]])
    assert majority_vote(labels, CLASSES).tolist() == [2, 0, -1, 3]
    ties = np.tile([1, 3, -1], (400, 1))
    votes = majority_vote(ties, CLASSES, seed=1)
    assert set(votes.tolist()) == {1, 3} and 150 < (votes == 1).sum() < 250
    assert (votes == majority_vote(ties, CLASSES, seed=1)).all()
    assert (votes != majority_vote(ties, CLASSES, seed=2)).any()


def test_models_become_annotators():
    x = np.eye(5, dtype="float32")
    models = [classifier(), classifier()]
    for shift, model in enumerate(models):  # the first says k, the second k + 1
        model.set_weights([np.roll(np.eye(5, CLASSES), shift, 1), np.zeros(CLASSES)])
    people = np.array([[3, -1], [3, -1], [-1, 0], [-1, -1], [-1, -1]])
    said = pseudo_annotate(models, x, people)
    assert said.tolist() == [[3, -1, -1, 1], [3, -1, -1, 2], [-1, 0, 2, -1], [-1, -1, 3, 0], [-1, -1, 0, 0]]


def test_refusals():
    inputs = keras.Input((5,))
    softmax = keras.Model(inputs, keras.layers.Dense(CLASSES, "softmax")(inputs))
    _, matrices, labels = some()
    cases = [
        (lambda: LatentTruthNet(softmax, 3), "softmax"),
        (lambda: LatentTruthNet(keras.Sequential([keras.layers.Dense(3)]), 3), "functional classifier"),
        (lambda: LatentTruthNet(classifier(), 0), "one annotator"),
        (lambda: LatentTruthNet(classifier(), 2, matrices), "shape"),
        (lambda: LatentTruthNet(classifier(), 3, matrices * 2), "sum to one"),
        (lambda: MaskedNLL([1, -1]), "weights"),
        (lambda: MaskedNLL([1.0])(labels, np.zeros((12, 3, CLASSES))), "One weight"),
        (lambda: MaskedNLL()(labels[:, 0], np.zeros((12, 3, CLASSES))), "one column per annotator"),
        (lambda: majority_vote(labels, CLASSES - 1), "0 to 2"),
        (lambda: mixture_targets(labels[:, 0], CLASSES), "ints"),
        (lambda: transitions_from(np.zeros((3, CLASSES)), labels), "Scores"),
        (lambda: pseudo_annotate([softmax], np.zeros((12, 5)), labels), "column per model"),
    ]
    for call, said in cases:
        with pytest.raises(ValueError, match=said):
            call()

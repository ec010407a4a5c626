"""The multiclass squared hinge against PyTorch's, gradients included."""

import keras
import numpy as np
import pytest

from hub.losses.squared_hinge import MulticlassSquaredHinge

pytestmark = pytest.mark.parity


@pytest.mark.parametrize("classes", [2, 10])
def test_multiclass_squared_hinge(classes):
    import tensorflow as tf
    import torch

    rng = np.random.default_rng(classes)
    scores, labels = rng.normal(size=(32, classes)).astype("float32") * 2, rng.integers(0, classes, 32)
    theirs = torch.tensor(scores, requires_grad=True)
    loss = classes * torch.nn.MultiMarginLoss(p=2)(theirs, torch.tensor(labels))
    loss.backward()
    ours = keras.Variable(scores)
    with tf.GradientTape() as tape:
        value = MulticlassSquaredHinge()(labels, ours.value)
    np.testing.assert_allclose(float(value), loss.item(), rtol=1e-5)
    np.testing.assert_allclose(tape.gradient(value, ours.value), theirs.grad.numpy(), atol=1e-6)

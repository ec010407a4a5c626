"""CNN-SVM: a small convolutional network that ends in a linear support vector machine instead of a softmax.

Paper: Agarap, "An Architecture Combining Convolutional Neural Network (CNN) and Support Vector Machine (SVM) for Image
  Classification", 2017, arXiv:1712.03541
Slug: cnn_svm
Idea: the last layer is trained for margin, 1/2 |w|^2 plus the squared hinge of every class against the rest (the loss
  `l2_svm`), its gradient flows into the convolutions; the twin `cnn_softmax` is the same network with cross-entropy.
Differs: 28x28 images and pools by 2, as in the author's code; the paper's list says 32x32 and a pool of stride 1. The
  paper found the softmax slightly better: 99.23 % against 99.04 % on MNIST, 91.86 % against 90.72 % on Fashion-MNIST.
Checked: 3,274,634 parameters (arithmetic on the paper's layers); the head alone, trained on fixed features, reaches
  the objective of scikit-learn's LinearSVC; the penalty is on the head only (tests/test_cnn_svm.py).
"""

import keras
from keras import layers

from hub.registry import register

CONTRACT_SIZE = {"input_shape": (28, 28, 1), "num_classes": 10}


@register("cnn_svm_tiny", filters=(4, 6), units=16)
@register("cnn_svm", params=3_274_634)
@register("cnn_softmax", penalty=0.0, params=3_274_634)
def cnn_svm(
    filters: tuple[int, ...] = (32, 64),
    units: int = 1024,
    penalty: float = 0.5,
    dropout: float = 0.5,
    input_shape: tuple[int, int, int] = (28, 28, 1),
    num_classes: int = 10,
    name: str = "cnn_svm",
) -> keras.Model:
    """Build the network over images [N, H, W, C] in 0..1. Train `cnn_svm` with `hub.load("l2_svm")` and `cnn_softmax`
    with cross-entropy from logits; the paper: Adam at 1e-3, batches of 128, 10,000 steps.

    Args:
        filters: of the 5x5 convolutions; each is followed by a pool by 2, the layer `stage{i}`.
        units: width of the dense layer.
        penalty: factor of |w|^2 of the head's kernel, added to the loss; 0 for none.
        dropout: rate before the head.
        num_classes: units of the float32 layer `logits`, one margin per class; 0 leaves out the dense layers and
            returns the last feature map.
    """
    inputs = x = keras.Input(input_shape)
    for i, width in enumerate(filters, 1):
        x = layers.Conv2D(width, 5, padding="same", activation="relu", name=f"stage{i}_conv")(x)
        x = layers.MaxPooling2D(2, padding="same", name=f"stage{i}")(x)
    if num_classes:
        x = layers.Dense(units, activation="relu", name="fc")(layers.Flatten(name="flatten")(x))
        x = layers.Dropout(dropout, name="dropout")(x)
        margin = keras.regularizers.L2(penalty) if penalty else None
        x = layers.Dense(num_classes, kernel_regularizer=margin, dtype="float32", name="logits")(x)
    return keras.Model(inputs, x, name=name)

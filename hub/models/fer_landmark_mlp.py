"""Expression from landmarks: Khan's multilayer perceptron over distances between points of the face.

Paper: Khan, "Facial Expression Recognition using Facial Landmark Detection and Feature Extraction via Neural Networks",
  2018, arXiv:1812.04510
Slug: fer_landmarks
Idea: where the points are known, seven expressions need no picture: 25 distances and one hidden layer tell them apart.
Differs: a reconstruction, as sizes and activation could not be read: 25-32-7 with tanh and an L2 penalty of 0.01. The
  features are standardised in the network, so that an exported one takes them as they are; one that hardly varied in
  the training set is divided by a hundredth of the distance of the eyes. The softmax stays outside.
Checked: standardised features, weights assigned after building, seven classes that distances tell apart
  (tests/test_face_landmarks.py).
"""

import keras
from keras import layers, ops

from hub.registry import register

CONTRACT_SIZE = {"input_shape": (25,), "num_classes": 7}
LEAST_DEVIATION = 1e-2


@keras.saving.register_keras_serializable("hub")
class Standardise(layers.Normalization):
    """Keras's layer, with a least deviation; weights that are assigned after it was built count as adapted ones do."""

    def call(self, inputs):
        deviation = ops.maximum(ops.sqrt(self.adapt_variance), LEAST_DEVIATION)
        return (ops.cast(inputs, self.compute_dtype) - self.adapt_mean) / deviation


@register("fer_landmark_mlp", skip={
        "headless": "takes vectors: its features are [N, 32], not a map",
        "viewed": "takes vectors and has no maps and no channels",
        "exported": "export is for images and for inputs that are named in a dictionary",
    })  # fmt: skip
def fer_landmark_mlp(
    units: int = 32,
    activation: str = "tanh",
    l2: float = 1e-2,
    input_shape: tuple[int] = (25,),
    num_classes: int = 7,
    name: str = "fer_landmark_mlp",
) -> keras.Model:
    """Build the network over features [N, F], those of `landmark_distances` by default, to float32 `logits`.

    Before `fit`, `model.get_layer("standardise").adapt(features)` with those of the training set, [N, F].

    Args:
        units: of the hidden layer, `hidden`.
        activation: of the hidden layer.
        l2: penalty on both kernels.
        input_shape: the number of features.
        num_classes: 0 leaves `logits` out and returns the hidden layer [N, units].

    Raises:
        ValueError: `input_shape` is no number of features.
    """
    if len(input_shape) != 1 or input_shape[0] is None:
        raise ValueError(f"Features are a vector: `input_shape` is (features,). Received: input_shape={input_shape}.")
    penalty = keras.regularizers.L2(l2)
    inputs = keras.Input(input_shape)
    x = Standardise(name="standardise")(inputs)
    x = layers.Dense(units, activation, kernel_regularizer=penalty, name="hidden")(x)
    if num_classes:
        x = layers.Dense(num_classes, kernel_regularizer=penalty, dtype="float32", name="logits")(x)
    return keras.Model(inputs, x, name=name)

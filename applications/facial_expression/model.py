"""The networks of the application: on pixels, of landmarks, on their features, and all of them as one graph."""

from typing import Any

from applications.facial_expression.config import Config
from applications.facial_expression.recognize import SIZE
from hub import registry

LUMA = (0.299, 0.587, 0.114)  # of red, green and blue
CLASSES = 7


def pixels(config: Config) -> Any:
    """`keras.Model` from grey crops [N, 112, 112, 1] in 0..255 to `logits` [N, 7]."""
    import keras

    inputs = keras.Input((SIZE, SIZE, 1), name="crop")
    x = keras.layers.Rescaling(1 / 127.5, -1, name="scale")(inputs)
    if config.size != SIZE:
        x = keras.layers.Resizing(config.size, config.size, name="resize")(x)
    network = registry.build(config.model, input_shape=(config.size, config.size, 1), num_classes=CLASSES)
    return keras.Model(inputs, network(x), name="expression")


def landmarks(config: Config) -> Any:
    """`keras.Model` from grey crops [N, 112, 112, 1] in 0..255 to `landmarks` [N, 136], in 0..1 of the crop."""
    import keras

    inputs = keras.Input((SIZE, SIZE, 1), name="crop")
    x = keras.layers.Concatenate(name="colours")([inputs] * 3)
    network = registry.build(config.landmark_model, input_shape=(SIZE, SIZE, 3))
    return keras.Model(inputs, network(x), name="points")


def spans() -> Any:
    """The layer from landmarks [N, 136] to Khan's 25 features, with its matrices."""
    import numpy as np

    from hub.data import landmark_features as known
    from hub.layers.landmark_spans import LandmarkSpans

    layer = LandmarkSpans(68, len(known.DISTANCES), len(known.OFFSETS), dtype="float32", name="features")
    layer.build((None, 136))
    matrices = (known.SPANS @ known.EIGHTEEN, (known.BETWEEN_EYES @ known.EIGHTEEN)[None])
    layer.set_weights([np.ascontiguousarray(matrix.T, "float32") for matrix in matrices])
    return layer


def whole(see: Any, temperature: float, place: Any = None, judge: Any = None) -> Any:
    """What is served: `image` [N, 112, 112, 3] in 0..255, a face cut out as `hub.data.face_detection.crop` does with a
    margin of 0.2, to `probabilities` [N, 7]; and where landmarks were learned `landmarks` [N, 136], x and y in 0..1 of
    the crop, and `landmark_probabilities` [N, 7].

    Args:
        see: what `pixels` built.
        temperature: by which its logits are divided.
        place: what `landmarks` built.
        judge: the perceptron on features.
    """
    import keras
    import numpy as np

    image = keras.Input((SIZE, SIZE, 3), name="image")
    grey = keras.layers.Conv2D(1, 1, use_bias=False, trainable=False, name="grey")
    crop = grey(image)
    grey.set_weights([np.reshape(LUMA, (1, 1, 3, 1)).astype("float32")])
    logits = keras.layers.Rescaling(1 / temperature, dtype="float32", name="calibrate")(see(crop))
    outputs = {"probabilities": keras.layers.Softmax(dtype="float32", name="probabilities")(logits)}
    if place is not None:
        outputs["landmarks"] = at = place(crop)
        outputs["landmark_probabilities"] = keras.layers.Softmax(dtype="float32", name="landmark_probabilities")(
            judge(spans()(at))
        )
    return keras.Model(image, outputs, name="facial_expression")

"""The networks: one outlines the lungs, one reads what is inside, and a whole that does both and shows its evidence."""

from typing import Any

from hub import registry

LOW, HIGH = 0.25, 0.75  # lung probabilities below and above which a pixel counts not at all, and fully
SHARPNESS = 2.0  # of pooling; a small finding is not averaged away over two lungs
DILATION = 3  # pixels at 128; the lungs' rim belongs to the lungs


def segmenter(name: str, size: int) -> Any:
    """Films [N, size, size, 1] in 0..255 to lung logits [N, size, size, 1]."""
    import keras

    image = keras.Input((size, size, 1), name="image")
    x = keras.layers.LayerNormalization(axis=(1, 2, 3), center=False, scale=False, name="standardise")(image)
    return keras.Model(image, registry.build(name, input_shape=(size, size, 1), num_classes=1)(x), name="segmenter")


def reader(name: str, size: int, weights: str = "") -> Any:
    """Standardised views [N, size, size, 1] to the logit of tuberculosis [N, 1] and its map [N, h, w, 1].

    The log-mean-exp of the map over its positions, plus the head's bias, is the logit.
    """
    import keras

    import hub
    from hub.layers.class_activation_map import ClassActivationHead

    view = keras.Input((size, size, 1), name="view")
    chosen = {"weights": weights} if weights else {}
    features = hub.load(name, input_shape=(size, size, 1), num_classes=0, **chosen)(view)
    features = keras.layers.Dropout(0.2, name="dropout")(features)
    logit, evidence = ClassActivationHead(1, sharpness=SHARPNESS, dtype="float32", name="head")(features)
    return keras.Model(view, [logit, evidence], name="reader")


def classifier(core: Any, segmented: bool) -> Any:
    """Films in 0..255, and with `segmented` masks in 0..1 beside them, to logits [N, 1]; what training sees."""
    import keras

    from hub.layers.masked_standardise import MaskedStandardise

    image = keras.Input(core.input_shape[1:], name="image")
    mask = keras.Input(core.input_shape[1:], name="mask")
    if segmented:
        view = MaskedStandardise(name="standardise_lungs")([image, mask])
        return keras.Model([image, mask], core(view)[0], name="classifier")
    view = keras.layers.LayerNormalization(axis=(1, 2, 3), center=False, scale=False, name="standardise")(image)
    return keras.Model(image, core(view)[0], name="classifier")


def soft_mask(logits: Any, size: int) -> Any:
    """Lung logits to a mask in 0..1 that is exactly 0 away from the lungs, its rim grown by a few pixels."""
    import keras

    x = keras.layers.Activation("sigmoid", dtype="float32", name="lungs")(logits)
    x = keras.layers.Rescaling(1 / (HIGH - LOW), -LOW / (HIGH - LOW), name="mask_scale")(x)
    x = keras.layers.ReLU(max_value=1.0, name="mask_clip")(x)
    window = 2 * round(DILATION * size / 128) + 1
    return keras.layers.MaxPooling2D(window, 1, padding="same", name="mask_dilate")(x)


def masker(lungs: Any) -> Any:
    """Films to masks, as the whole network makes them."""
    import keras

    size = lungs.input_shape[1]
    return keras.Model(lungs.input, soft_mask(lungs.output, size), name="masker")


def whole(lungs: Any, core: Any, segmented: bool, scale: float = 1.0, offset: float = 0.0) -> Any:
    """The exported network: films [N, size, size, 1] in 0..255 to a dict.

    `probability` [N, 1] calibrated, `logit` [N, 1] as trained, `lungs` [N, size, size, 1] in 0..1, and `heat`
    [N, size, size, 1], the evidence for tuberculosis by position, 0 and above.

    Args:
        scale, offset: of the calibration: probability = sigmoid(scale * logit + offset).
    """
    import keras

    from hub.layers.masked_standardise import MaskedStandardise

    size = core.input_shape[1]
    image = keras.Input((size, size, 1), name="image")
    found = lungs(image)
    mask = soft_mask(found, size)
    if segmented:
        view = MaskedStandardise(name="standardise_lungs")([image, mask])
    else:
        view = keras.layers.LayerNormalization(axis=(1, 2, 3), center=False, scale=False, name="standardise")(image)
    logit, evidence = core(view)
    calibrated = keras.layers.Rescaling(scale, offset, dtype="float32", name="calibrate")(logit)
    heat = keras.layers.Resizing(size, size, name="heat_resize")(keras.layers.ReLU(name="heat_relu")(evidence))
    outputs = {
        "probability": keras.layers.Activation("sigmoid", dtype="float32", name="probability")(calibrated),
        "logit": logit,
        "lungs": keras.layers.Activation("sigmoid", dtype="float32", name="lung_probability")(found),
        "heat": heat,
    }
    return keras.Model(image, outputs, name="tb_chest_xray")

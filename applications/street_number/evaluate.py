"""The field's protocol: whole numbers right, digits right, and how much can be read at 98 % accuracy."""

from typing import Any

from applications.street_number.config import CROP, MAX_LENGTH, SYMBOLS, VIEW
from applications.street_number.dataset import Split
from applications.street_number.result import Result

TARGET = 0.98  # the paper's operating point
GALLERY = 16  # pictures with a heat map in the report
TOO_LONG = ">5"


def evaluate(model: Any, data: Split, name: str, threshold: float) -> Result:
    """Read every crop of `data` and measure.

    Args:
        model: 64x64 crops to packed logits.
        data: crops and targets.
        name: what the figures are called in the report.
        threshold: confidence below which the application abstains, chosen on validation.

    Returns:
        Figures with 95 % bootstrap intervals, each `{"value", "low", "high"}`, and the cases worth looking at.
    """
    import numpy as np

    from hub.evaluation.bootstrap import bootstrap_interval
    from hub.evaluation.coverage import coverage_at

    answer = read(model, data.images)
    right = correct(answer, data.targets)
    truth_length = data.targets[:, 0]
    there = data.targets[:, 1:] >= 0
    digit_right = (answer["digits"] == data.targets[:, 1:]) & there
    kept = answer["confidence"] >= threshold

    def digit_share(hits: Any, count: Any) -> Any:
        return hits.sum(axis=-1) / np.maximum(count.sum(axis=-1), 1)

    def coverage(confidence: Any, hit: Any) -> Any:
        return np.array([coverage_at(c, h, TARGET) for c, h in zip(confidence, hit, strict=True)])

    metrics = {
        "sequence_accuracy": bootstrap_interval(right),
        "digit_accuracy": bootstrap_interval((digit_right.sum(1), there.sum(1)), digit_share),
        "length_accuracy": bootstrap_interval(answer["length"] == truth_length),
        "coverage_at_98": bootstrap_interval((answer["confidence"], right), coverage, resamples=500),
        "coverage_at_threshold": bootstrap_interval(kept),
    }
    if kept.any():
        metrics["accuracy_at_threshold"] = bootstrap_interval(right[kept])
    order = np.argsort(np.where(right, 1 - answer["confidence"], -1 - answer["confidence"]))  # surest mistakes first
    half = GALLERY // 2
    wrong = order[: (~right).sum()][:half]
    shown = np.concatenate([wrong, np.random.default_rng(0).permutation(np.flatnonzero(right))[: GALLERY - len(wrong)]])
    maps = heat(model, data.images[shown])
    return Result(
        name=name,
        images=data.images,
        truth=[text(row[0], row[1:]) for row in data.targets],
        predicted=[text(n, row) for n, row in zip(answer["length"], answer["digits"], strict=True)],
        confidence=answer["confidence"],
        metrics={key: {k: round(v, 6) for k, v in value._asdict().items()} for key, value in metrics.items()},
        threshold=threshold,
        heat=maps,
        heat_index=shown[: len(maps)],
    )


def read(model: Any, images: Any, batch_size: int = 256) -> dict[str, Any]:
    """`SequenceDecoder`'s answers for 64x64 crops, as NumPy arrays."""
    from hub.layers.sequence_decoder import SequenceDecoder

    logits = model.predict(images, batch_size=batch_size, verbose=0)
    return {k: _numpy(v) for k, v in SequenceDecoder(MAX_LENGTH, SYMBOLS)(logits).items()}


def correct(answer: dict[str, Any], targets: Any) -> Any:
    """Whether length and every digit are right, `[N]`."""
    return (answer["length"] == targets[:, 0]) & (answer["digits"] == targets[:, 1:]).all(axis=1)


def choose_threshold(model: Any, validation: Split) -> float:
    """The smallest confidence above which `TARGET` of the validation answers are right; 1 if there is none."""
    from hub.evaluation.coverage import coverage_curve

    answer = read(model, validation.images)
    thresholds, coverage, accuracy = coverage_curve(answer["confidence"], correct(answer, validation.targets))
    good = accuracy >= TARGET
    return float(thresholds[good][coverage[good].argmax()]) if good.any() else 1.0


def text(length: int, digits: Any) -> str:
    """The number as read: digits, "" where there is none, ">5" where there are more than five."""
    return TOO_LONG if length > MAX_LENGTH else "".join(str(int(d)) for d in digits if d >= 0)


def heat(model: Any, images: Any) -> Any:
    """Grad-CAM of the read number's joint log-probability, `[N, 64, 64]`; nothing where TensorFlow is not the backend.

    The maps are of the view that the network sees, and zero around it.
    """
    import keras
    import numpy as np

    if keras.backend.backend() != "tensorflow" or not len(images):
        return np.zeros((0, *images.shape[1:3]), "float32")
    import tensorflow as tf

    from hub.explain.grad_cam import GradCAM
    from hub.layers.sequence_decoder import SequenceDecoder

    decoder = SequenceDecoder(MAX_LENGTH, SYMBOLS)
    seeing = keras.Model(model.get_layer("centre").output, model.output)
    margin = (CROP - VIEW) // 2
    views = images[:, margin : margin + VIEW, margin : margin + VIEW].astype("float32")
    maps = GradCAM()(seeing, views, lambda logits: tf.math.log(decoder(logits)["confidence"]))
    return np.pad(maps, ((0, 0), (margin, margin), (margin, margin)))


def _numpy(value: Any) -> Any:
    import keras

    return keras.ops.convert_to_numpy(value)

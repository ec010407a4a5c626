"""Every way of telling the expression on the same faces; how far landmarks lie off; what annotators said."""

import pathlib
from typing import Any

from applications.facial_expression.cropped import Cropped
from applications.facial_expression.dataset import Source
from applications.facial_expression.recognize import MARGIN
from applications.facial_expression.result import Annotators, Landmarks, Method, Result, Shown

CLASSES = 7
THUMB = 16  # pixels each way of the simple baseline
SHOWN = 18  # faces of the gallery
AT_ONCE = 128


def answers(network: Any, data: Cropped) -> dict[str, Any]:
    """What the exported network says of every face: `probabilities`, and `landmarks` where it has them."""
    import keras
    import numpy as np

    parts = []
    for start in range(0, len(data), AT_ONCE):
        images = np.repeat(data.crops[start : start + AT_ONCE, ..., None], 3, -1).astype("float32")
        parts.append(network.predict_on_batch(images))
    return {name: np.concatenate([keras.ops.convert_to_numpy(part[name]) for part in parts]) for name in network.output}


def features(points: Any) -> Any:
    """Khan's 25 features of points [N, 18, 2]; faces whose eyes lie on each other get those of an average face."""
    import numpy as np

    from hub.data.landmark_features import FEATURES, landmark_distances

    apart = np.linalg.norm(points[:, :2].mean(axis=1) - points[:, 4:6].mean(axis=1), axis=-1)
    usable = apart > 1e-3 * np.ptp(points, axis=1).max(axis=-1)
    found = np.zeros((len(points), len(FEATURES)), np.float32)
    found[usable] = landmark_distances(points[usable])
    found[~usable] = found[usable].mean(axis=0) if usable.any() else 0
    return found


def evaluate(network: Any, classical: Any, source: Source, name: str, about: dict[str, Any]) -> Result:
    """Measure on the faces that test.

    Args:
        network: what `model.whole` built.
        classical: the perceptron on features of classical landmarks.
        source: the data.
        name: what the figures are called in the report.
        about: the run's `run.json`.
    """
    import numpy as np

    from hub.evaluation.calibration import expected_calibration_error

    test = source.test
    found = answers(network, test)
    told = {about["model"]: found["probabilities"]}
    if "landmarks" in found:
        told["learned landmarks + MLP"] = found["landmark_probabilities"]
    logits = classical.predict(features(test.points), verbose=0)
    told["classical landmarks + MLP"] = np.exp(logits - logits.max(axis=1, keepdims=True))
    told[f"{THUMB}x{THUMB} pixels, linear"] = _linear(source)
    groups = test.subject if (test.subject != "").all() else None
    raw = _softened(found["probabilities"], about["temperature"])
    return Result(
        name=name,
        faces=len(test),
        people=0 if groups is None else len(np.unique(groups)),
        undetected=source.undetected,
        notes=source.notes,
        chance=float(np.bincount(test.label).max() / len(test)),
        methods=[method(words, scores.argmax(axis=1), test.label, groups) for words, scores in told.items()],
        landmarks=_landmarks(found, test, groups),
        calibration={
            "ece_before": float(expected_calibration_error(raw, test.label)),
            "ece_after": float(expected_calibration_error(found["probabilities"], test.label)),
            "temperature": about["temperature"],
        },
        annotators=_annotators(about),
        shown=_shown(found, test),
    )


def method(name: str, answer: Any, label: Any, groups: Any = None) -> Method:
    """Figures of one way, people redrawn where they are known."""
    import numpy as np

    from hub.evaluation.bootstrap import bootstrap_interval

    confusion = np.bincount(label * CLASSES + answer, minlength=CLASSES**2).reshape(CLASSES, CLASSES)
    precision, recall, f1 = _per_class(confusion[None])

    def of_classes(which: int) -> Any:
        def statistic(label: Any, answer: Any) -> Any:
            flat = label * CLASSES + answer
            tables = np.stack([np.bincount(row, minlength=CLASSES**2) for row in flat])
            return np.nanmean(_per_class(tables.reshape(-1, CLASSES, CLASSES))[which], axis=1)

        return bootstrap_interval((label, answer), statistic, groups=groups, resamples=1000)

    right = (answer == label).astype(float)
    metrics = {
        "accuracy": bootstrap_interval(right, groups=groups),
        "mean_class_accuracy": of_classes(1),
        "macro_f1": of_classes(2),
    }
    rounded = {k: {n: round(float(v), 6) for n, v in i._asdict().items()} for k, i in metrics.items()}
    return Method(name, rounded, confusion, precision[0], recall[0], f1[0])


def _per_class(tables: Any) -> tuple[Any, Any, Any]:
    """Precision, recall and F1 [R, 7] of confusion matrices [R, 7, 7]; a class without faces has NaN."""
    import numpy as np

    right = np.diagonal(tables, axis1=1, axis2=2).astype(float)
    given, there = tables.sum(axis=1), tables.sum(axis=2)
    with np.errstate(invalid="ignore", divide="ignore"):
        f1 = 2 * right / (given + there)
        return right / given, right / there, np.where(there > 0, f1, np.nan)


def _linear(source: Source) -> Any:
    """Probabilities by logistic regression on small pictures."""
    import cv2
    import numpy as np
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    def small(data: Cropped) -> Any:
        return np.stack([cv2.resize(one, (THUMB, THUMB), interpolation=cv2.INTER_AREA).ravel() for one in data.crops])

    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=300))
    model.fit(small(source.train), source.train.label)
    found = np.zeros((len(source.test), CLASSES))
    found[:, model.classes_] = model.predict_proba(small(source.test))
    return found


def _softened(probabilities: Any, temperature: float) -> Any:
    """What they were before the temperature: p^T over its sum."""
    import numpy as np

    logits = temperature * np.log(np.maximum(probabilities.astype("float64"), 1e-30))
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    return shares / shares.sum(axis=1, keepdims=True)


def _landmarks(found: dict[str, Any], test: Cropped, groups: Any) -> list[Landmarks]:
    import numpy as np

    from hub.data.face_detection import to_crop
    from hub.data.landmark_features import eighteen
    from hub.evaluation.landmark_error import landmark_error

    rows = test.placed
    if not rows.any():
        return []
    known, who = test.landmarks[rows], None if groups is None else groups[rows]
    placed = []
    if "landmarks" in found:
        learned = found["landmarks"][rows].reshape(-1, 68, 2)
        placed.append(Landmarks("learned, 68 points", landmark_error(learned, known, subjects=who)))
        placed.append(Landmarks("learned, 18 points", landmark_error(eighteen(learned), eighteen(known), subjects=who)))
    edges = np.stack([
        to_crop(at, tuple(box), MARGIN) for at, box in zip(test.points[rows], test.boxes[rows], strict=True)
    ])  # fmt: skip
    placed.append(Landmarks("classical, 18 points", landmark_error(edges, eighteen(known), subjects=who)))
    return placed


def _annotators(about: dict[str, Any]) -> Annotators | None:
    import numpy as np

    from hub.evaluation.annotators import agreement, report

    kept = about.get("annotators")
    if not kept:
        return None
    labels, matrices = np.array(kept["labels"]), np.array(kept["transitions"])
    return Annotators(kept["names"], agreement(labels), report(labels, kept["names"], matrices), matrices)


def _shown(found: dict[str, Any], test: Cropped) -> list[Shown]:
    """Faces of different people and expressions, two thirds told right."""
    import numpy as np

    from hub.data.face_images import EXPRESSIONS

    answer = found["probabilities"].argmax(axis=1)
    order = np.random.default_rng(0).permutation(len(test))
    right = order[(answer == test.label)[order]]
    right = np.concatenate([right[test.label[right] == c][: SHOWN * 2 // 21 + 1] for c in range(CLASSES)])
    rows = np.concatenate([right[: SHOWN * 2 // 3], order[(answer != test.label)[order]][: SHOWN // 3]])
    shown = []
    for row in rows.astype(int):
        picture = test.crops[row]
        side = round(picture.shape[0] * MARGIN / (1 + MARGIN) / 2)
        at = found["landmarks"][row].reshape(68, 2) * picture.shape[0] if "landmarks" in found else None
        whom = f", {test.subject[row]}" if test.subject[row] else ""
        shown.append(
            Shown(
                f"{EXPRESSIONS[test.label[row]]}{whom}",
                picture,
                (side, side, picture.shape[1] - 2 * side, picture.shape[0] - 2 * side),
                at,
                int(test.label[row]),
                found["probabilities"][row],
            )
        )
    return shown


def annotations(path: pathlib.Path, data: Cropped) -> tuple[Any, list[str]]:
    """Labels int [N, A] of the faces by the names of their pictures, and the annotators' names.

    Raises:
        ValueError: what the reader raises, or no face of the data is in the table.
    """
    import numpy as np

    from hub.data.annotations import read
    from hub.data.face_images import EXPRESSIONS

    table = read(path, EXPRESSIONS)
    rows = {pathlib.PurePath(image).stem: n for n, image in enumerate(table.images)}
    labels = np.full((len(data), len(table.annotators)), -1, "int64")
    known = [(n, rows[name]) for n, name in enumerate(data.faces.name) if name in rows]
    if not known:
        raise ValueError(
            f"{path} names none of the training faces; the first one is {data.faces.name[0]}, and the table's first "
            f"image {table.images[0]}."
        )
    for n, row in known:
        labels[n] = table.labels[row]
    return labels, list(table.annotators)

"""The field's protocol: ROC, an operating point chosen on validation, calibration, overlap of the lungs, evidence."""

from typing import Any

import numpy as np

from applications.tb_chest_xray.result import Result

PREDICT = 64  # films per prediction step
GALLERY = 12  # films with heat maps in the report
LIFTED = 24  # films of tuberculosis on which the heat's lift is measured
METHODS = ("score_cam", "grad_cam", "grad_cam_plus_plus", "eigen_cam", "smooth_grad")
REDRAWS = 200  # of validation, for the band of the threshold
USUAL = 0.995  # share of films left out of the fit that are no farther from it than what is called usual


def answers(model: Any, images: Any) -> dict[str, np.ndarray]:
    """What the whole network says of films [N, S, S, 1]: `probability` [N], `logit` [N], `lungs` uint8 [N, S, S]."""
    parts = [
        {k: np.asarray(v) for k, v in model.predict_on_batch(images[i : i + PREDICT].astype("float32")).items()}
        for i in range(0, len(images), PREDICT)
    ]
    return {
        "probability": np.concatenate([p["probability"][:, 0] for p in parts]).astype("float64"),
        "logit": np.concatenate([p["logit"][:, 0] for p in parts]).astype("float64"),
        "lungs": np.concatenate([np.rint(255 * p["lungs"][..., 0]).astype("uint8") for p in parts]),
    }


def operating_point(probability: Any, label: Any, patient: Any, sensitivity: float, seed: int = 0) -> dict[str, Any]:
    """The threshold that validation asks for, and the band in which redrawn patients would have put it."""
    from hub.evaluation.operating_point import choose_threshold

    chosen = choose_threshold(probability, label, sensitivity)
    members = [np.flatnonzero(np.asarray(patient) == who) for who in sorted(set(patient))]
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(REDRAWS):
        rows = np.concatenate([members[i] for i in rng.integers(len(members), size=len(members))])
        if len(set(label[rows].tolist())) == 2:
            found.append(choose_threshold(probability[rows], label[rows], sensitivity).threshold)
    low, high = np.quantile(found, (0.025, 0.975)) if found else (chosen.threshold, chosen.threshold)
    return {
        "threshold": float(chosen.threshold),
        "band": [float(min(low, chosen.threshold)), float(max(high, chosen.threshold))],
        "target_sensitivity": sensitivity,
        "validation": {"positives": int((label == 1).sum()), "negatives": int((label == 0).sum())},
        "note": chosen.note,
    }


def evaluate(model: Any, films: Any, name: str, about: dict[str, Any], prevalence: float) -> Result:
    """Read every film and measure.

    Args:
        model: the whole network.
        films: `Films`; those without label count for the lungs only.
        name: what the figures are called in the report.
        about: of the run: `threshold`, `band`.
        prevalence: for predictive values.
    """
    from hub.evaluation.operating_point import threshold_table
    from hub.evaluation.subgroups import by_group

    said = answers(model, films.images)
    dice, iou = overlaps(said["lungs"], films)
    known = films.label >= 0
    label, score, patient = films.label[known], said["probability"][known], np.asarray(films.patient)[known]
    metrics = {**_lung_figures(dice, iou), **_class_figures(label, score, said["logit"][known], patient, about)}
    both = len(set(label.tolist())) == 2
    shown = _gallery(films.label, said["probability"], about["threshold"])
    return Result(
        name=name,
        films=films,
        **said,
        dice=dice,
        iou=iou,
        threshold=about["threshold"],
        band=tuple(about["band"]),
        metrics=_rounded(metrics),
        table=threshold_table(score, label, prevalence) if both else [],
        subgroups=by_group(score, label, about["threshold"], _groups(films, known), patients=patient) if both else [],
        probes=probes(films),
        shown=shown,
        heat={method: explain(model, films.images[shown], method) for method in METHODS},
        lift=lifts(model, films, said["lungs"]),
    )


def evaluate_lungs(model: Any, films: Any, name: str, about: dict[str, Any], prevalence: float) -> Result:
    """Outline the lungs of every film and measure; a `Result` whose films have no answer.

    Args:
        model: `pipeline.lungs_alone`.
    """
    del about, prevalence  # nothing is classified
    batches = (films.images[i : i + PREDICT].astype("float32") for i in range(0, len(films), PREDICT))
    lungs = np.concatenate([np.rint(255 * np.asarray(model.predict_on_batch(b)["lungs"])[..., 0]) for b in batches])
    dice, iou = overlaps(lungs, films)
    nothing = np.full(len(films), np.nan)
    figures = _rounded(_lung_figures(dice, iou))
    return Result(name, films, nothing, nothing, lungs.astype("uint8"), dice, iou, np.nan, (np.nan, np.nan), figures)


def overlaps(lungs: Any, films: Any) -> tuple[np.ndarray, np.ndarray]:
    """Dice and IoU of each film's lungs, [N] each, NaN where the film has no mask."""
    seen, true = lungs > 127, films.masks[..., 0] > 0
    both, one = (seen & true).sum((1, 2)), (seen | true).sum((1, 2))
    dice = 2 * both / np.maximum(both + one, 1)
    iou = both / np.maximum(one, 1)
    return np.where(films.has_mask, dice, np.nan), np.where(films.has_mask, iou, np.nan)


def _rounded(figures: dict[str, Any]) -> dict[str, dict[str, float]]:
    return {k: {n: round(float(v), 6) for n, v in m._asdict().items()} for k, m in figures.items()}


def _lung_figures(dice: Any, iou: Any) -> dict[str, Any]:
    from hub.evaluation.bootstrap import bootstrap_interval

    there = np.isfinite(dice)
    if not there.any():
        return {}
    return {"lung_dice": bootstrap_interval(dice[there]), "lung_iou": bootstrap_interval(iou[there])}


def _class_figures(label: Any, score: Any, logit: Any, patient: Any, about: dict[str, Any]) -> dict[str, Any]:
    from hub.evaluation.bootstrap import bootstrap_interval, wilson_interval
    from hub.evaluation.calibration import brier, expected_calibration_error
    from hub.evaluation.roc import auc_interval

    if not len(label):
        return {}
    sick, called = label == 1, score >= about["threshold"]
    figures = {"accuracy": wilson_interval(int((sick == called).sum()), len(label))}
    if sick.any():
        figures["sensitivity"] = wilson_interval(int((sick & called).sum()), int(sick.sum()))
    if (~sick).any():
        figures["specificity"] = wilson_interval(int((~sick & ~called).sum()), int((~sick).sum()))
    if sick.any() and (~sick).any():
        figures = {"auc": auc_interval(score, label, patient), **figures}
    raw = 1 / (1 + np.exp(-logit))

    def each(measure: Any) -> Any:
        return lambda p, y: np.array([measure(a, b) for a, b in zip(p, y, strict=True)])

    for key, probability, measure in (
        ("calibration_error_before", raw, expected_calibration_error),
        ("calibration_error", score, expected_calibration_error),
        ("brier_before", raw, brier),
        ("brier", score, brier),
    ):
        found = bootstrap_interval((probability, label), each(measure), resamples=300, groups=patient)
        figures[key] = found._replace(low=min(found.low, found.value))  # redrawn calibration errors are too large
    return figures


def _groups(films: Any, known: Any) -> dict[str, np.ndarray]:
    """Name of a grouping -> the group of each film whose label is known."""
    from hub.evaluation.subgroups import age_bands

    ages = np.where(np.asarray(films.age) < 0, np.nan, films.age)
    groups = {"sex": np.asarray(films.sex), "age": age_bands(ages, (0, 15, 35, 55)), "source": np.asarray(films.source)}
    return {name: values[known] for name, values in groups.items() if len(set(values.tolist())) > 1}


def probes(films: Any) -> dict[str, Any]:
    """What 16x16 thumbnails alone tell: the archive of films without tuberculosis, and the diagnosis.

    Each is a `SourceProbe`, left out where there are not two kinds of ten patients.
    """
    from hub.evaluation.source_probe import source_probe

    label, source, patient = np.asarray(films.label), np.asarray(films.source), np.asarray(films.patient)
    asked = {"archive": (label == 0, source), "diagnosis": (label >= 0, np.where(label == 1, "tb", "other"))}
    found = {}
    for name, (rows, answer) in asked.items():
        kinds = [len(set(patient[rows & (answer == kind)])) for kind in sorted(set(answer[rows]))]
        if len(kinds) > 1 and min(kinds) >= 10:
            found[name] = source_probe(films.images[rows], answer[rows], patient[rows])
    return found


def _gallery(label: Any, probability: Any, threshold: float) -> np.ndarray:
    """Half of the films shown are the surest mistakes where there are so many; the rest are drawn, sick and not."""
    called = probability >= threshold
    wrong = np.flatnonzero((label >= 0) & (called != (label == 1)))
    wrong = wrong[np.argsort(-np.abs(probability[wrong] - threshold), kind="stable")][: GALLERY // 2]
    rng = np.random.default_rng(0)
    right = np.setdiff1d(np.flatnonzero((label >= 0) & (called == (label == 1))), wrong)
    sick, well = (rng.permutation(right[label[right] == kind]) for kind in (1, 0))
    rest = GALLERY - len(wrong)
    return np.concatenate([wrong, sick[: rest - rest // 3], well[: rest // 3]]).astype(int)


def views(model: Any) -> tuple[Any, Any]:
    """(film -> what the reader sees, reader: view -> logit [N, 1])."""
    import keras

    core = model.get_layer("reader")
    seen = next(layer for layer in model.layers if layer.name in ("standardise_lungs", "standardise"))
    return keras.Model(model.input, seen.output), keras.Model(core.input, core.outputs[0])


def explain(model: Any, images: Any, method: str) -> np.ndarray:
    """Maps [N, S, S] in 0..1 of the evidence for tuberculosis, of the logit; [0, S, S] without TensorFlow."""
    import keras

    from hub import registry

    if keras.backend.backend() != "tensorflow" or not len(images):
        return np.zeros((0, *images.shape[1:3]), "float32")
    see, read = views(model)
    options = {"max_maps": 32} if method == "score_cam" else {}
    view = see.predict_on_batch(images.astype("float32"))
    return registry.build(method, **options)(read, view, lambda logits: logits[:, 0])


def features(model: Any, images: Any) -> np.ndarray:
    """What the reader's head averages, [N, C]."""
    import keras

    core = model.get_layer("reader")
    see, _ = views(model)
    pooled = keras.layers.GlobalAveragePooling2D()(core.get_layer("dropout").output)
    deep = keras.Model(core.input, pooled)
    batches = (images[i : i + PREDICT].astype("float32") for i in range(0, len(images), PREDICT))
    return np.concatenate([np.asarray(deep.predict_on_batch(see.predict_on_batch(batch))) for batch in batches])


def lifts(model: Any, films: Any, lungs: Any) -> dict[str, dict[str, float]]:
    """Share of the heat over share of the area, inside the lungs, by method: mean over films of tuberculosis."""
    from hub.evaluation.bootstrap import bootstrap_interval
    from hub.evaluation.heat_lift import heat_lift

    rows = np.flatnonzero(films.label == 1)[:LIFTED]
    inside = np.where(films.has_mask[rows, None, None], films.masks[rows, ..., 0] > 0, lungs[rows] > 127)
    found = {}
    for method in METHODS:
        maps = explain(model, films.images[rows], method)
        lift = heat_lift(maps, inside[: len(maps)]) if len(maps) else np.zeros(0)
        if (there := np.isfinite(lift)).any():
            found[method] = {k: round(float(v), 4) for k, v in bootstrap_interval(lift[there])._asdict().items()}
    return found

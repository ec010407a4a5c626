"""The stages of the application, in order: faces, networks, temperature, evaluation, export, report."""

import pathlib
import shlex
import shutil
import sys
from typing import Any

from applications import runs, training
from applications.facial_expression import dataset
from applications.facial_expression import evaluate as protocol
from applications.facial_expression import model as models
from applications.facial_expression import train as trainer
from applications.facial_expression.config import Config
from applications.facial_expression.cropped import Cropped

APP = "facial_expression"
CLASSICAL = "classical.keras"  # the perceptron on features of classical landmarks
REPRESENTATIVE = "representative.npy"  # training faces on which int8 measures its ranges
GOLDEN = 64  # test faces on which every exported format must agree
# Shares of the outputs' scale: features are ratios of short distances, which rounding moves more than the points.
TOLERANCE = {"float32": 1e-3, "float16": 0.05}


def run(config: Config, data: str | None, out: pathlib.Path, resume: bool) -> dict[str, Any]:
    """Everything, to `OUT/facial_expression/VERSION`; returns the metrics by test set and the paths written."""
    work = train(config, data, out, resume)
    folder = export(out, work)
    return {
        **runs.read_json(folder / "run.json")["metrics"],
        "folder": str(folder),
        "report": str(folder / "report.html"),
    }


def train(config: Config, data: str | None, out: pathlib.Path, resume: bool) -> pathlib.Path:
    """Train in a work folder and leave `model.keras` and the classical perceptron there."""
    import keras
    import numpy as np

    from hub.evaluation.calibration import fit_temperature

    path = dataset.prepare(data, config, runs.say)
    source = dataset.load(path, config, runs.say)  # before there is a folder: wrong data leave nothing behind
    kept, held = source.train, source.validation
    labels, names = None, []
    if config.annotations:
        labels, names = protocol.annotations(pathlib.Path(config.annotations), kept)
    work = runs.work_folder(out, APP, resume)
    device = training.start(config)
    histories = {}
    place = judge = None
    try:
        if config.landmark_epochs and kept.placed.any() and held.placed.any():
            runs.say(f"Training {config.landmark_model} on {kept.placed.sum():,} faces in {work} ({device})")
            place, histories[config.landmark_model] = trainer.landmarks(config, kept, held, work / "landmarks", resume)
        runs.say(f"Training {config.model} on {len(kept):,} faces in {work} ({device})")
        see, histories[config.model], matrices = trainer.pixels(config, kept, held, work / "pixels", labels, resume)
    except KeyboardInterrupt:
        runs.say(f"Stopped. The best epoch is kept in {work}; the same command with --resume goes on.")
        raise
    keras.config.set_dtype_policy("float32")
    if place is not None:
        judge = trainer.perceptron(*learned(place, kept), learned(place, held), config.seed)
    classical = trainer.perceptron(
        protocol.features(kept.points), kept.label, (protocol.features(held.points), held.label), config.seed
    )
    images = held.crops[..., None].astype("float32")
    temperature = float(fit_temperature(see.predict(images, verbose=0), held.label))
    models.whole(see, temperature, place, judge).save(work / "model.keras")
    classical.save(work / CLASSICAL)
    np.save(work / REPRESENTATIVE, colours(kept, 128))
    about = {
        "application": APP,
        "data": data and str(path.resolve()),
        "kind": source.kind,
        "command": shlex.join(["hub", *sys.argv[1:]]),
        "device": device,
        "model": config.model,
        "faces": {"train": len(kept), "validation": len(held)},
        "temperature": temperature,
        **dataset.about(path),
    }
    if labels is not None:
        about["annotators"] = {"names": names, "labels": labels.tolist(), "transitions": matrices.tolist()}
    training.write_json(work / "config.json", {**runs.read_json(work / "pixels" / "config.json")})
    training.write_json(work / "history.json", histories)
    training.write_json(work / "run.json", about)
    return work


def learned(place: Any, data: Cropped) -> tuple[Any, Any]:
    """Features of what the network `place` sees in the faces, and their labels."""
    from hub.data.landmark_features import eighteen

    at = place.predict(data.crops[..., None].astype("float32"), verbose=0)
    return protocol.features(eighteen(at.reshape(-1, 68, 2))), data.label


def colours(data: Cropped, count: int) -> Any:
    """`count` faces, drawn, as the exported network takes them: uint8 [count, 112, 112, 3]."""
    import numpy as np

    rows = np.random.default_rng(0).permutation(len(data))[:count]
    return np.repeat(data.crops[rows][..., None], 3, axis=-1)


def evaluate(folder: pathlib.Path, data: str | None) -> dict[str, Any]:
    """The metrics of the finished run in `folder` by method, on `data` or on what it was tested on."""
    return metrics(_result(folder, data)[0])


def metrics(result: Any) -> dict[str, dict[str, Any]]:
    """Method -> figures; landmark errors as `inter_ocular_error`."""
    found = {method.name: method.metrics for method in result.methods}
    for placed in result.landmarks:
        error = {name: round(float(value), 6) for name, value in placed.error.mean._asdict().items()}
        found[f"landmarks, {placed.name}"] = {"inter_ocular_error": error}
    return found


def _result(folder: pathlib.Path, data: str | None) -> tuple[Any, dataset.Source]:
    import hub

    about = runs.read_json(folder / "run.json")
    config = Config(**runs.read_json(folder / "config.json"))
    path = dataset.prepare(data or about["data"], config, runs.say)
    source = dataset.load(path, config, runs.say)
    synthetic = dataset.about(path)["synthetic"]
    name = f"people never trained on ({'synthetic' if synthetic else source.kind})"
    if source.kind != "CK+":
        name = f"test part ({source.kind})"
    network, classical = (hub.load(str(folder / file)) for file in ("model.keras", CLASSICAL))
    return protocol.evaluate(network, classical, source, name, about), source


def export(out: pathlib.Path, work: pathlib.Path | None) -> pathlib.Path:
    """Evaluate the run in `work`, export it and write its report; the version appears only when whole."""
    import numpy as np

    import hub
    from applications.facial_expression import report
    from hub.export import export as write_formats
    from hub.export.manifest import staged

    work = work or runs.work_folder(out, APP, resume=True)
    if not (work / "model.keras").is_file():
        raise ValueError(f"{work} holds no model.keras; `hub train {APP} --resume` finishes its training.")
    about = runs.read_json(work / "run.json")
    config = runs.read_json(work / "config.json")
    runs.say("Evaluating")
    result, source = _result(work, None)
    about["metrics"] = metrics(result)
    about["chance"], about["calibration"] = result.chance, result.calibration
    final = runs.final_folder(work)
    with staged(final) as folder:
        runs.say("Exporting SavedModel and TFLite, each checked in its own runtime")
        write_formats(
            hub.load(str(work / "model.keras")),
            folder,
            golden=colours(source.test, GOLDEN),
            representative=np.load(work / REPRESENTATIVE),
            tolerance=TOLERANCE,
        )
        for name in ("model.keras", "config.json", "history.json", CLASSICAL):
            shutil.copy2(work / name, folder / name)
        training.write_json(folder / "run.json", about)
        report.write(
            folder / "report.html",
            config=config,
            history=runs.read_json(work / "history.json"),
            results={result.name: result},
            device=about["device"],
            command=about["command"],
            versions=runs.package_versions(),
            notes=notes(about),
        )
    runs.finish(work)
    return final


def notes(about: dict[str, Any]) -> list[str]:
    """What a reader of the report must know of the data and of the answers."""
    said = [
        "An expression is not a feeling: the networks name what a face looks like, and people and cultures differ.",
        "Never judge anybody by these answers; in many places doing so at work or in schools is unlawful.",
    ]
    if about["synthetic"]:
        drawn = (
            "The faces are drawn: figures on them show that the pipeline works; never set them beside published ones."
        )
        return [drawn, *said]
    return said

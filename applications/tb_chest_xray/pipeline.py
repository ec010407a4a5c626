"""The stages of the application, in order: data, lungs, classifier, calibration, evaluation, export, report."""

import dataclasses
import pathlib
import shlex
import shutil
import sys
from typing import Any

from applications import runs, training
from applications.tb_chest_xray import dataset
from applications.tb_chest_xray import evaluate as protocol
from applications.tb_chest_xray import model as models
from applications.tb_chest_xray import train as trainer
from applications.tb_chest_xray.config import Config

APP = "tb_chest_xray"
LUNGS = "tb_chest_xray_lungs"  # where a run of --experiment segmentation goes
REPRESENTATIVE = "representative.npy"  # training films on which int8 measures its ranges
# Shares of the outputs' scale: rounding may move the rim of a lung, where probability is steep, and the evidence there.
TOLERANCE = {"saved_model": 1e-3, "float32": 1e-3, "float16": 0.1}
REFERENCE = "reference.npz"  # what films usually look like to the reader


def run(config: Config, data: str | None, out: pathlib.Path, resume: bool) -> dict[str, Any]:
    """The experiment of `config` from data to report; returns its figures and the paths written."""
    if config.experiment in ("table", "sources"):
        if resume:
            raise ValueError(f"--experiment {config.experiment} cannot be resumed; start it anew without --resume.")
        from applications.tb_chest_xray import experiments

        return experiments.run(config, data, out)
    work = train(config, data, out, resume)
    folder = export(out, work)
    return {
        **runs.read_json(folder / "run.json")["metrics"],
        "folder": str(folder),
        "report": str(folder / "report.html"),
    }


def train(config: Config, data: str | None, out: pathlib.Path, resume: bool) -> pathlib.Path:
    """Train in a work folder and leave `model.keras` there.

    Raises:
        ValueError: the experiment compares runs; it has no one model to train.
    """
    import keras
    import numpy as np

    if config.experiment in ("table", "sources"):
        raise ValueError(f"--experiment {config.experiment} belongs to `hub run`: it leaves figures, not a model.")
    source = dataset.prepare(data, config, runs.say)
    device = training.start(config)
    trainer.check(config)
    parts = dataset.splits(source, config)  # before there is a folder: wrong data leave nothing behind
    work = runs.work_folder(out, LUNGS if config.experiment == "segmentation" else APP, resume)
    _same_data(work, data and str(source.resolve()), resume)
    training.write_json(work / "config.json", dataclasses.asdict(config))
    runs.say(f"Training on {len(parts['train']):,} films in {work} ({device})")
    try:
        model, found = fit(config, parts, work, resume)
    except KeyboardInterrupt:
        runs.say(f"Stopped. The best epoch is kept in {work}; the same command with --resume goes on.")
        raise
    keras.config.set_dtype_policy("float32")
    model.save(work / "model.keras")
    np.save(work / REPRESENTATIVE, parts["train"].images[:200])
    history = {
        f"{part}: {key}": values
        for part in ("segmentation", "classification")
        if (work / part).is_dir()
        for key, values in runs.read_json(work / part / "history.json").items()
    }
    training.write_json(work / "history.json", history)
    about = {
        "application": work.parent.name,
        "data": data and str(source.resolve()),
        "command": shlex.join(["hub", *sys.argv[1:]]),
        "device": device,
        "films": {name: len(films) for name, films in parts.items()},
        **found,
        "ct": "real anatomy, synthetic disease",
        **dataset.about(source),
    }
    training.write_json(work / "run.json", about)
    return work


def _same_data(work: pathlib.Path, data: str | None, resume: bool) -> None:
    """Keep the name of the data beside a run that begins; refuse to go on with others."""
    path = work / "data.json"
    was = runs.read_json(path)["data"] if resume and path.exists() else data
    if was != data:
        said = f"--data {was}" if was else "the synthetic sample, without --data"
        raise ValueError(f"The run in {work} was started with {said}; resume it with the same. Received: {data!r}.")
    training.write_json(path, {"data": data})


def fit(
    config: Config, parts: dict[str, Any], work: pathlib.Path, resume: bool = False, verbose: Any = "auto"
) -> tuple[Any, dict[str, Any]]:
    """The whole network, calibrated on validation, and what validation decided: threshold, band, calibration."""
    import numpy as np

    from hub.evaluation.calibration import fit_platt, fit_temperature
    from hub.evaluation.mahalanobis import FeatureDistance

    lungs = trainer.segmentation(
        config, parts["train"], parts["validation"], work / "segmentation", resume, verbose=verbose
    )
    if config.experiment == "segmentation":
        return lungs_alone(lungs), {}
    segmented = config.experiment == "segmented"
    core = trainer.classification(
        config,
        parts["train"],
        parts["validation"],
        lungs if segmented else None,
        work / "classification",
        resume,
        verbose=verbose,
    )
    validation = parts["validation"]
    said = protocol.answers(models.whole(lungs, core, segmented), validation.images)
    platt = fit_platt(said["logit"], validation.label)
    model = models.whole(lungs, core, segmented, *platt)
    probability = protocol.answers(model, validation.images)["probability"]
    usual = FeatureDistance.fit(
        protocol.features(model, validation.images), validation.label, groups=validation.patient
    )
    np.savez(work / REFERENCE, **usual.to_arrays())
    return model, {
        **protocol.operating_point(probability, validation.label, validation.patient, config.sensitivity),
        "calibration": {**platt._asdict(), "temperature": fit_temperature(said["logit"], validation.label)},
        "unusual": usual.threshold(protocol.USUAL),
    }


def lungs_alone(lungs: Any) -> Any:
    """The segmenter with its probability: films to a dict of `lungs` [N, size, size, 1]."""
    import keras

    image = keras.Input(lungs.input_shape[1:], name="image")
    out = keras.layers.Activation("sigmoid", dtype="float32", name="lung_probability")(lungs(image))
    return keras.Model(image, {"lungs": out}, name=LUNGS)


def evaluate(folder: pathlib.Path, data: str | None) -> dict[str, dict]:
    """The metrics of a finished run on every test set of `data`."""
    return {name: result.metrics for name, result in _results(folder, data).items()}


def _results(folder: pathlib.Path, data: str | None) -> dict[str, Any]:
    import hub

    about = runs.read_json(folder / "run.json")
    config = Config(**runs.read_json(folder / "config.json"))
    source = dataset.prepare(data or about["data"], config, runs.say)
    model = hub.load(str(folder / "model.keras"))
    kinds = {"sample": "synthetic", "ct": "real anatomy, synthetic disease"}
    measure = protocol.evaluate_lungs if config.experiment == "segmentation" else protocol.evaluate
    return {
        name: measure(model, films, f"{name} ({kinds.get(name, 'real')})", about, config.prevalence)
        for name, films in dataset.test_sets(source, config, runs.say).items()
    }


def export(out: pathlib.Path, work: pathlib.Path | None) -> pathlib.Path:
    """Evaluate the run in `work`, export it and write its report; the version appears only when whole."""
    import numpy as np

    import hub
    from applications.tb_chest_xray import report
    from hub.export import export as write_formats
    from hub.export.manifest import staged

    work = work or runs.work_folder(out, APP, resume=True)
    if not (work / "model.keras").is_file():
        raise ValueError(f"{work} holds no model.keras; `hub train {APP} --resume` finishes its training.")
    about = runs.read_json(work / "run.json")
    config = runs.read_json(work / "config.json")
    runs.say("Evaluating")
    results = _results(work, None)
    about["metrics"] = {name: result.metrics for name, result in results.items()}
    about["lift"] = {name: result.lift for name, result in results.items()}
    model = hub.load(str(work / "model.keras"))
    golden = np.concatenate([result.films.images[:40] for result in results.values()])
    write_report = report.write_lungs if config["experiment"] == "segmentation" else report.write
    final = runs.final_folder(work)
    with staged(final) as folder:
        runs.say("Exporting SavedModel and TFLite, each checked in its own runtime")
        representative = np.load(work / REPRESENTATIVE)
        write_formats(model, folder, golden=golden, representative=representative, tolerance=TOLERANCE)
        for name in ("model.keras", "config.json", "history.json", REFERENCE):
            if (work / name).exists():
                shutil.copy2(work / name, folder / name)
        training.write_json(folder / "run.json", about)
        write_report(
            folder / "report.html",
            config=config,
            history=runs.read_json(work / "history.json"),
            results=results,
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
        "Not a medical device: for research and teaching. No film may be read, and no patient treated, by it alone.",
    ]
    if about["synthetic"]:
        said += [
            "The films are synthetic: figures on them show that the pipeline works; never set them beside published "
            "ones.",
            "ct, where it is shown, are projections of one real patient's CT with synthetic disease drawn into it; "
            "none was trained on.",
        ]
    else:
        said.append(
            "Public films of tuberculosis and normal films come from different archives; a network can tell archives "
            "instead of diseases. See the probe, and try `--experiment sources`."
        )
    return said + ([about["note"]] if about.get("note") else [])

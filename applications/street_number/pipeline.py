"""The stages of the application, in order: data, training, evaluation, export, report."""

import pathlib
import shlex
import shutil
import sys
from typing import Any

from applications import runs, training
from applications.street_number import dataset
from applications.street_number import evaluate as protocol
from applications.street_number import train as trainer
from applications.street_number.config import Config
from applications.street_number.model import build

REPRESENTATIVE = "representative.npy"  # training crops on which int8 measures its ranges


def run(config: Config, data: str | None, out: pathlib.Path, resume: bool) -> dict[str, Any]:
    """Everything, to `OUT/street_number/VERSION`; returns the metrics by test set and the paths written."""
    work = train(config, data, out, resume)
    folder = export(out, work)
    return {
        **runs.read_json(folder / "run.json")["metrics"],
        "folder": str(folder),
        "report": str(folder / "report.html"),
    }


def train(config: Config, data: str | None, out: pathlib.Path, resume: bool) -> pathlib.Path:
    """Train in a work folder and leave `model.keras` there."""
    import keras
    import numpy as np

    source = dataset.prepare(data, config, runs.say)
    work = runs.work_folder(out, "street_number", resume)
    device = training.start(config)
    parts = dataset.training_splits(source, config)
    runs.say(f"Training {config.model} on {len(parts['train'].images):,} images in {work} ({device})")
    try:
        model, _ = trainer.train(config, parts["train"], parts["validation"], work, resume, verbose="auto")
    except KeyboardInterrupt:
        runs.say(f"Stopped. The best epoch is kept in {work}; the same command with --resume goes on.")
        raise
    keras.config.set_dtype_policy("float32")
    model.save(work / "model.keras")
    np.save(work / REPRESENTATIVE, parts["train"].images[:300])
    about = {
        "application": "street_number",
        "data": data and str(source.resolve()),
        "command": shlex.join(["hub", *sys.argv[1:]]),
        "device": device,
        "threshold": protocol.choose_threshold(model, parts["validation"]),
        **dataset.about(source),
    }
    training.write_json(work / "run.json", about)
    return work


def evaluate(folder: pathlib.Path, data: str | None) -> dict[str, dict]:
    """The metrics of a finished run on every test split of `data`."""
    return {name: result.metrics for name, result in _results(folder, data).items()}


def _results(folder: pathlib.Path, data: str | None) -> dict[str, Any]:
    import hub

    about = runs.read_json(folder / "run.json")
    config = Config(**runs.read_json(folder / "config.json"))
    source = dataset.prepare(data or about["data"], config, runs.say)
    model = hub.load(str(folder / "model.keras"))
    said = dataset.about(source)
    results = {}
    for name, split in dataset.test_splits(source).items():
        note = said.get("real_ink") if name == "real_ink" else "synthetic" if said["synthetic"] else "SVHN layout"
        results[name] = protocol.evaluate(model, split, f"{name} ({note})", about["threshold"])
    return results


def export(out: pathlib.Path, work: pathlib.Path | None) -> pathlib.Path:
    """Evaluate the run in `work`, export it and write its report; the version appears only when whole."""
    import numpy as np

    import hub
    from applications.street_number import report
    from hub.export import export as write_formats
    from hub.export.manifest import staged

    work = work or runs.work_folder(out, "street_number", resume=True)
    if not (work / "model.keras").is_file():
        raise ValueError(f"{work} holds no model.keras; `hub train street_number --resume` finishes its training.")
    about = runs.read_json(work / "run.json")
    config = runs.read_json(work / "config.json")
    runs.say("Evaluating")
    results = _results(work, None)
    model = hub.load(str(work / "model.keras"))
    serving = build(config["model"], crop=True, decode=True)
    serving.set_weights(model.get_weights())
    examples = next(iter(results.values())).images
    about["metrics"] = {name: result.metrics for name, result in results.items()}
    final = runs.final_folder(work)
    with staged(final) as folder:
        runs.say("Exporting SavedModel and TFLite, each checked in its own runtime")
        write_formats(serving, folder, golden=examples[:200], representative=np.load(work / REPRESENTATIVE))
        shutil.copy2(work / "model.keras", folder / "model.keras")
        for name in ("config.json", "history.json"):
            shutil.copy2(work / name, folder / name)
        training.write_json(folder / "run.json", about)
        report.write(
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
    """What a reader of the report must know of the data."""
    if not about["synthetic"]:
        return []
    return [
        "The sample is synthetic: figures on it show that the pipeline works; never set them beside published ones.",
        f"real_ink shows real handwriting ({about['real_ink']}) on synthetic walls; no real ink was trained on.",
    ]

"""The stages of the application, in order: walks, training, threshold, evaluation, export, report."""

import pathlib
import shlex
import shutil
import sys
from typing import Any

from applications import runs, training
from applications.gait_recognition import dataset
from applications.gait_recognition import evaluate as protocol
from applications.gait_recognition import train as trainer
from applications.gait_recognition.config import Config

APP = "gait_recognition"
REPRESENTATIVE = "representative.npz"  # training sets on which int8 measures its ranges
GOLDEN = 24  # test walks on which every exported format must agree
FRAMES = 30  # of these


def run(config: Config, data: str | None, out: pathlib.Path, resume: bool) -> dict[str, Any]:
    """Everything, to `OUT/gait_recognition/VERSION`; returns the metrics by test set and the paths written."""
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

    path = dataset.prepare(data, config, runs.say)
    source = dataset.load(path, config, runs.say)  # before there is a folder: wrong data leave nothing behind
    kept, held = dataset.validation(source.train, config)
    work = runs.work_folder(out, APP, resume)
    device = training.start(config)
    people = len(set(kept.subject.tolist()))
    runs.say(f"Training {config.model} on {len(kept):,} walks of {people} people in {work} ({device})")
    try:
        model, _ = trainer.train(config, kept, held, work, resume)
    except KeyboardInterrupt:
        runs.say(f"Stopped. The best stretch is kept in {work}; the same command with --resume goes on.")
        raise
    keras.config.set_dtype_policy("float32")
    model.save(work / "model.keras")
    np.savez(work / REPRESENTATIVE, **sets(kept, 64, config.frames))
    about = {
        "application": APP,
        "data": data and str(path.resolve()),
        "kind": source.kind,
        "command": shlex.join(["hub", *sys.argv[1:]]),
        "device": device,
        "people": {"train": people, "validation": config.validation_people},
        **protocol.choose_thresholds(model, held, config.far),
        **dataset.about(path),
    }
    training.write_json(work / "run.json", about)
    return work


def sets(walks: dataset.Walks, count: int, frames: int) -> dict[str, Any]:
    """`count` walks, drawn, with their first frames, as the exported network takes them; shorter ones are padded."""
    import numpy as np

    rows = np.random.default_rng(0).permutation(len(walks))[:count]
    clips = [protocol.clips_of(walks)[row][:frames] for row in rows]
    silhouettes = np.zeros((len(clips), frames, *walks.frames.shape[1:], 1), np.uint8)
    for place, clip in zip(silhouettes, clips, strict=True):
        place[: len(clip), ..., 0] = clip
    return {"silhouettes": silhouettes, "length": np.array([len(clip) for clip in clips], np.int32)}


def evaluate(folder: pathlib.Path, data: str | None) -> dict[str, dict]:
    """The metrics of a finished run on the people of `data` that test."""
    return {name: result.metrics for name, (result, _) in _results(folder, data).items()}


def _results(folder: pathlib.Path, data: str | None) -> dict[str, tuple[Any, dataset.Walks]]:
    import hub

    about = runs.read_json(folder / "run.json")
    config = Config(**runs.read_json(folder / "config.json"))
    path = dataset.prepare(data or about["data"], config, runs.say)
    source = dataset.load(path, config, runs.say)
    model = hub.load(str(folder / "model.keras"))
    synthetic = dataset.about(path)["synthetic"]
    name = "sample" if synthetic else "test"
    words = f"{name} (synthetic)" if synthetic else f"{name} ({source.kind} layout)"
    result = protocol.evaluate(model, source.test, source.protocol, words, about, source.notes)
    return {name: (result, source.test)}


def export(out: pathlib.Path, work: pathlib.Path | None) -> pathlib.Path:
    """Evaluate the run in `work`, export it and write its report; the version appears only when whole."""
    import numpy as np

    import hub
    from applications.gait_recognition import report
    from hub.export import export as write_formats
    from hub.export.manifest import staged

    work = work or runs.work_folder(out, APP, resume=True)
    if not (work / "model.keras").is_file():
        raise ValueError(f"{work} holds no model.keras; `hub train {APP} --resume` finishes its training.")
    about = runs.read_json(work / "run.json")
    config = runs.read_json(work / "config.json")
    runs.say("Evaluating")
    results = _results(work, None)
    about["metrics"] = {name: result.metrics for name, (result, _) in results.items()}
    about["at_threshold"] = {name: result.chosen for name, (result, _) in results.items()}
    model = hub.load(str(work / "model.keras"))
    golden = sets(next(iter(results.values()))[1], GOLDEN, FRAMES)
    final = runs.final_folder(work)
    with staged(final) as folder:
        runs.say("Exporting SavedModel and TFLite, each checked in its own runtime")
        representative = dict(np.load(work / REPRESENTATIVE))
        write_formats(model, folder, golden=golden, representative=representative, image_bytes=False)
        for name in ("model.keras", "config.json", "history.json"):
            shutil.copy2(work / name, folder / name)
        training.write_json(folder / "run.json", about)
        report.write(
            folder / "report.html",
            config=config,
            history=runs.read_json(work / "history.json"),
            results={name: result for name, (result, _) in results.items()},
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
        "Identical views are excluded: a walk is looked for among walks filmed from another angle. Only the open-set "
        "search, as a gallery in use, has all angles.",
        "Recognising people without their consent is unlawful in many places; ask before you enrol anybody.",
    ]
    if about["synthetic"]:
        drawn = (
            "The walkers are drawn: figures on them show that the pipeline works; never set them beside published ones."
        )
        return [drawn, *said]
    return said

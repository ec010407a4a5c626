"""The stages of the application, in order: words, training, codes and thresholds, evaluation, export, report."""

import pathlib
import shlex
import shutil
import sys
from typing import Any

from applications import runs, training
from applications.writer_identification import dataset, scorer
from applications.writer_identification import evaluate as protocol
from applications.writer_identification import train as trainer
from applications.writer_identification.config import Config
from applications.writer_identification.written import Written

APP = "writer_identification"
SCORER = "scorer.npz"  # what `Scorer` is made of
REPRESENTATIVE = "representative.npz"  # training words on which int8 measures its ranges
GOLDEN = 24  # words looked for on which every exported format must agree


def run(config: Config, data: str | None, out: pathlib.Path, resume: bool) -> dict[str, Any]:
    """Everything, to `OUT/writer_identification/VERSION`; returns the metrics by test set and the paths written."""
    work = train(config, data, out, resume)
    folder = export(out, work)
    return {
        **runs.read_json(folder / "run.json")["metrics"],
        "folder": str(folder),
        "report": str(folder / "report.html"),
    }


def train(config: Config, data: str | None, out: pathlib.Path, resume: bool) -> pathlib.Path:
    """Train in a work folder and leave `model.keras` and the scorer there."""
    import keras
    import numpy as np

    from applications.writer_identification import model as models

    path = dataset.prepare(data, config, runs.say)
    source = dataset.load(path, config, runs.say)  # before there is a folder: wrong data leave nothing behind
    kept, held = source.background, source.validation
    people = len(np.unique(kept.writer))
    work = runs.work_folder(out, APP, resume)
    device = training.start(config)
    runs.say(f"Training {config.model} on {len(kept):,} words of {people} writers in {work} ({device})")
    try:
        encode, _ = trainer.train(config, kept, held.written, work, resume)
    except KeyboardInterrupt:
        runs.say(f"Stopped. The best stretch is kept in {work}; the same command with --resume goes on.")
        raise
    keras.config.set_dtype_policy("float32")
    runs.say("Fitting the codes of each scale, choosing thresholds")
    fitted = scorer.fit(scorer.embed(encode, kept.patches), kept, config)
    chosen = protocol.choose(fitted, scorer.embed(encode, held.written.patches), held, config.far)
    models.whole(encode, fitted.arrays()).save(work / "model.keras")
    np.savez(work / SCORER, share=fitted.share, **fitted.fit.to_arrays())
    np.savez(work / REPRESENTATIVE, **words(kept, 64, config.patches))
    about = {
        "application": APP,
        "data": data and str(path.resolve()),
        "kind": source.kind,
        "command": shlex.join(["hub", *sys.argv[1:]]),
        "device": device,
        "writers": {"train": people, "validation": len(np.unique(held.written.writer))},
        **chosen,
        **dataset.about(path),
    }
    training.write_json(work / "run.json", about)
    return work


def words(written: Written, count: int, patches: int) -> dict[str, Any]:
    """`count` words, drawn, as the exported network takes them; a word with fewer patches is padded."""
    import numpy as np

    some = np.flatnonzero(np.diff(written.starts))
    rows = np.random.default_rng(0).permutation(some)[:count]
    shown = np.zeros((len(rows), patches, *written.patches.shape[1:], 1), np.uint8)
    scale = np.full((len(rows), patches), -1, np.int32)
    for place, row in enumerate(rows):
        own = slice(written.starts[row], min(written.starts[row + 1], written.starts[row] + patches))
        shown[place, : own.stop - own.start, ..., 0] = written.patches[own]
        scale[place, : own.stop - own.start] = written.bins[own]
    return {"patches": shown, "scale": scale}


def evaluate(folder: pathlib.Path, data: str | None) -> dict[str, Any]:
    """The metrics of the finished run in `folder`, on `data` or on what it was tested on."""
    return {name: result.metrics for name, (result, _) in _results(folder, data).items()}


def _results(folder: pathlib.Path, data: str | None) -> dict[str, tuple[Any, dataset.Search]]:
    import hub
    from applications.writer_identification.embed import open_scorer

    about = runs.read_json(folder / "run.json")
    config = Config(**runs.read_json(folder / "config.json"))
    path = dataset.prepare(data or about["data"], config, runs.say)
    source = dataset.load(path, config, runs.say)
    encode, fitted = open_scorer(hub.load(str(folder / "model.keras")), folder / SCORER)
    found = {}
    for search in source.tests:
        runs.say(f"Evaluating: {search.name}")
        words = f"{search.name} ({'synthetic' if dataset.about(path)['synthetic'] else source.kind})"
        found[search.name] = protocol.evaluate(fitted, encode, search, config, about, words, source.notes), search
    return found


def export(out: pathlib.Path, work: pathlib.Path | None) -> pathlib.Path:
    """Evaluate the run in `work`, export it and write its report; the version appears only when whole."""
    import numpy as np

    import hub
    from applications.writer_identification import report
    from hub.export import export as write_formats
    from hub.export.manifest import staged

    work = work or runs.work_folder(out, APP, resume=True)
    if not (work / "model.keras").is_file():
        raise ValueError(f"{work} holds no model.keras; `hub train {APP} --resume` finishes its training.")
    about = runs.read_json(work / "run.json")
    config = runs.read_json(work / "config.json")
    found = _results(work, None)
    results = {name: result for name, (result, _) in found.items()}
    about["metrics"] = {name: result.metrics for name, result in results.items()}
    about["at_threshold"] = {name: result.chosen for name, result in results.items()}
    about["over_words"] = {name: result.over_words for name, result in results.items()}
    final = runs.final_folder(work)
    with staged(final) as folder:
        runs.say("Exporting SavedModel and TFLite, each checked in its own runtime")
        write_formats(
            hub.load(str(work / "model.keras")),
            folder,
            golden=words(next(iter(found.values()))[1].written, GOLDEN, config["patches"]),
            representative=dict(np.load(work / REPRESENTATIVE)),
            image_bytes=False,
        )
        for name in ("model.keras", "config.json", "history.json", SCORER):
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
            notes=notes(config, about),
        )
    runs.finish(work)
    return final


def notes(config: dict[str, Any], about: dict[str, Any]) -> list[str]:
    """What a reader of the report must know of the data and of the answers."""
    met = "never trained on" if config["protocol"] == "writers" else "trained on, by other pages"
    said = [
        f"The writers looked for were {met}; no page is on both sides.",
        "A likeness of hands is no proof of who wrote: never decide about anybody on it alone.",
    ]
    if about["synthetic"]:
        drawn = (
            "The hands are drawn: figures on them show that the pipeline works; never set them beside published ones."
        )
        return [drawn, *said]
    return said

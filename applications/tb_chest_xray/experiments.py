"""Experiments that compare runs: the paper's table over backbones, and archives left out in turn.

Each leaves `OUT/tb_chest_xray/NAME-N/` with `figures.json` and `report.html`; no model is kept.
"""

import dataclasses
import pathlib
import shlex
import shutil
import sys
from collections.abc import Iterator
from typing import Any

from applications import runs, training
from applications.tb_chest_xray import dataset
from applications.tb_chest_xray import evaluate as protocol
from applications.tb_chest_xray import model as models
from applications.tb_chest_xray import train as trainer
from applications.tb_chest_xray.config import Config

FIGURES = ("accuracy", "precision", "sensitivity", "f1", "specificity")  # weighted by class frequency, as the paper's


def run(config: Config, data: str | None, out: pathlib.Path) -> dict[str, Any]:
    """Run the experiment of `config` and write its figures and report."""
    from applications.tb_chest_xray import report
    from hub.data.chest_films import read_films
    from hub.export.manifest import staged

    source = dataset.prepare(data, config, runs.say)
    device = training.start(config)
    films = read_films(source, config.size)
    films = films.take((films.label >= 0).nonzero()[0])
    _refuse(config, films, source)
    base = out / "tb_chest_xray"
    number = 1 + max((int(p.name.rpartition("-")[2]) for p in base.glob(f"{config.experiment}-*")), default=0)
    final = base / f"{config.experiment}-{number}"
    with staged(final) as folder:
        work = folder / "work"
        compare = table if config.experiment == "table" else sources
        figures = {
            "experiment": config.experiment,
            "command": shlex.join(["hub", *sys.argv[1:]]),
            "device": device,
            "config": dataclasses.asdict(config),
            "films": len(films),
            **dataset.about(source),
            "rows": compare(config, films, work),
        }
        shutil.rmtree(work, ignore_errors=True)
        training.write_json(folder / "figures.json", figures)
        report.write_figures(folder / "report.html", figures)
    return {**figures, "folder": str(final), "report": str(final / "report.html")}


def _refuse(config: Config, films: Any, source: pathlib.Path) -> None:
    """What cannot end well, before anything is written. Raises ValueError."""
    counts = [len(set(films.patient[films.label == kind])) for kind in (0, 1)]
    if not min(counts):
        raise ValueError(f"{source} holds films of one class only; both normal and tuberculosis are needed.")
    if not films.has_mask.any():
        raise ValueError(f"{source} has no lung masks: add ManualMask/ (Montgomery), mask/ (Shenzhen) or masks/.")
    if config.experiment == "table" and min(counts) < config.folds:
        raise ValueError(
            f"folds must be at most the patients of the smaller class, {min(counts)}. Received: folds={config.folds}."
        )
    if config.experiment == "sources" and len(names := sorted(set(films.source))) < 2:
        raise ValueError(f"Leaving sources out needs two archives or more. Received: {', '.join(names)} only.")


def table(config: Config, films: Any, work: pathlib.Path) -> list[dict[str, Any]]:
    """One row per backbone and kind of film: the paper's figures pooled over the test folds, with the area under ROC.

    A fold's segmenter and classifiers learn from its training films alone.
    """
    names = config.backbones.split(",")
    pooled: dict[tuple[str, str], list] = {(name, kind): [] for name in names for kind in ("whole", "segmented")}
    for fold, rows in enumerate(folds(films, config)):
        parts = {part: films.take(chosen) for part, chosen in rows.items()}
        lungs = trainer.segmentation(config, parts["train"], parts["validation"], work / f"{fold}-lungs", verbose=0)
        for name, kind in pooled:
            runs.say(f"Fold {fold + 1} of {config.folds}: {name} on {kind} films")
            one = dataclasses.replace(config, model=name)
            pooled[name, kind].append(_scores(one, parts, lungs, kind == "segmented", work / f"{fold}-{name}-{kind}"))
    return [
        {"backbone": name, "films": kind, **_figures(*map(_joined, zip(*folds, strict=True)))}
        for (name, kind), folds in pooled.items()
    ]


def folds(films: Any, config: Config) -> Iterator[dict[str, Any]]:
    """Rows of `train`, `validation` (a fifth of what is not tested) and `test`, whole patients, alike in classes."""
    import numpy as np
    from sklearn.model_selection import StratifiedGroupKFold

    from hub.data.patient_split import patient_split

    cut = StratifiedGroupKFold(config.folds, shuffle=True, random_state=config.seed)
    for rest, test in cut.split(np.zeros(len(films)), films.label, films.patient):
        inner = patient_split(films.take(rest), {"train": 0.8, "validation": 0.2}, config.seed)
        yield {**{part: rest[rows] for part, rows in inner.items()}, "test": test}


def sources(config: Config, films: Any, work: pathlib.Path) -> list[dict[str, Any]]:
    """One row per archive: the network trained on the others and tested on it, beside one that knew the archive."""
    import numpy as np

    from hub.data.patient_split import patient_split

    names = sorted(set(films.source))
    parts = {part: films.take(rows) for part, rows in patient_split(films, dataset.SHARES, config.seed).items()}
    found = []
    for left in ("", *names):
        runs.say(f"Training without {left}" if left else "Training on all archives")
        seen = {part: f.take(np.flatnonzero(np.asarray(f.source) != left)) for part, f in parts.items()}
        folder = work / (left or "all")
        lungs = trainer.segmentation(config, seen["train"], seen["validation"], folder / "lungs", verbose=0)
        for name in (left,) if left else names:
            tested = parts["test"].take(np.flatnonzero(np.asarray(parts["test"].source) == name))
            scored = _scores(config, {**seen, "test": tested}, lungs, True, folder / f"reader-{name}")
            found.append({"tested_on": name, "trained_on": f"without {left}" if left else "all", **_figures(*scored)})
    return found


def _scores(
    config: Config, parts: dict[str, Any], lungs: Any, segmented: bool, folder: pathlib.Path
) -> tuple[Any, Any, Any]:
    """Probabilities, labels and patients of the test films of one freshly trained network."""
    core = trainer.classification(
        config, parts["train"], parts["validation"], lungs if segmented else None, folder, verbose=0
    )
    said = protocol.answers(models.whole(lungs, core, segmented), parts["test"].images)
    return said["probability"], parts["test"].label, parts["test"].patient


def _joined(parts: tuple) -> Any:
    import numpy as np

    return np.concatenate([np.asarray(part) for part in parts])


def _figures(probability: Any, label: Any, patient: Any) -> dict[str, Any]:
    """The paper's weighted figures at one half, accuracy's Wilson interval, and the area under ROC with its own."""
    import numpy as np

    from hub.evaluation.bootstrap import wilson_interval
    from hub.evaluation.roc import auc_interval
    from hub.evaluation.weighted_figures import weighted_figures

    label = np.asarray(label)
    called = (np.asarray(probability) >= 0.5).astype(int)
    weighted = weighted_figures(label, called)._asdict()
    return {
        "n": len(label),
        **{name: round(float(weighted[name]), 4) for name in FIGURES},
        "accuracy_interval": [round(v, 4) for v in wilson_interval(int((called == label).sum()), len(label))[1:]],
        "auc": {k: round(float(v), 4) for k, v in auc_interval(probability, label, patient)._asdict().items()},
        "always_largest_class": round(float(np.bincount(label).max() / len(label)), 4),
    }

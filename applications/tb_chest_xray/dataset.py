"""Chest films in their public layouts, or a synthetic sample written in two of these layouts."""

import pathlib
from collections.abc import Callable
from typing import Any

from applications.runs import read_json
from applications.tb_chest_xray.config import Config
from applications.training import write_json
from hub import cache

SHARES = {"train": 0.64, "validation": 0.16, "test": 0.2}  # the paper's: a fifth for the test, of the rest a fifth
SAMPLE_SIZE = 192  # side of the films of the sample
SAMPLE_VERSION = 1  # of the generator: a new one gets a new folder
CT_FILMS = 300  # projections of a real CT, where a package that ships one is installed


def prepare(data: str | None, config: Config, report: Callable[[str], None] = print) -> pathlib.Path:
    """The folder to read: `data` itself, or a sample in the user's cache, generated when it is not there yet.

    Raises:
        ValueError: `data` is not a folder.
    """
    if data is None:
        return sample(config.sample_films, report)
    folder = pathlib.Path(data).expanduser()
    if not data or not folder.is_dir():
        raise ValueError(f"--data must be a folder of chest films. Received: {data!r}.")
    return folder


def sample(count: int, report: Callable[[str], None] = print) -> pathlib.Path:
    """`count` synthetic films: three fifths in Montgomery's layout, the rest, of another look, in Shenzhen's."""
    from hub.data import thorax_phantom

    folder = cache.folder("tb_chest_xray", f"sample-{SAMPLE_VERSION}-{count}")
    if not (folder / "sample.json").exists():
        report(f"Drawing {count:,} synthetic chest films in the layouts of Montgomery and Shenzhen in {folder}")
        first = count * 3 // 5
        if not (folder / "MontgomerySet").exists():
            thorax_phantom.write_montgomery(folder, first, seed=1, size=SAMPLE_SIZE)
        if not (folder / "ChinaSet_AllFiles").exists():
            thorax_phantom.write_shenzhen(folder, count - first, seed=2, size=SAMPLE_SIZE)
        write_json(folder / "sample.json", {"synthetic": True})
    return folder


def projections(report: Callable[[str], None] = print) -> pathlib.Path | None:
    """Films projected from a real CT, in Montgomery's layout; None where no installed package ships one."""
    from hub.data import ct_projection

    if not ct_projection.available():
        return None
    folder = cache.folder("tb_chest_xray", f"ct-{SAMPLE_VERSION}-{CT_FILMS}")
    if not (folder / "MontgomerySet").exists():
        report(f"Projecting {CT_FILMS} films of a real CT to {folder}")
        ct_projection.write_montgomery(folder, CT_FILMS, seed=3, size=SAMPLE_SIZE)
    return folder


def splits(folder: pathlib.Path, config: Config) -> dict[str, Any]:
    """`train`, `validation` and `test`: `Films`, no patient in two of them, films without a label left out.

    An archive that comes with its own split keeps it; one that is all test is not trained on. Where its test films have
    no labels, as TBX11K's, its validation films are the test; validation is then drawn from its training films.

    Raises:
        ValueError: no films, one class only, no masks, a split for some films only, or a patient or file in two parts.
    """
    import numpy as np

    from hub.data.chest_films import read_films
    from hub.evaluation.leakage import refuse_leakage

    films = read_films(folder, config.size)
    classes = 0 if config.experiment == "segmentation" else 2
    if classes:
        films = films.take((films.label >= 0).nonzero()[0])
        if len(set(films.label.tolist())) < classes:
            raise ValueError(f"{folder} holds films of one class only; both normal and tuberculosis are needed.")
    parts = {name: films.take(rows) for name, rows in _rows(films, config.seed).items()}
    if config.limit:  # drawn: a folder's first films are often of one class
        order = np.random.default_rng(config.seed).permutation(len(parts["train"]))
        parts["train"] = parts["train"].take(np.sort(order[: config.limit]))
    refuse_leakage(**parts)
    for name, part in parts.items():
        if not len(part):
            raise ValueError(f"{folder} leaves no film for {name}; see the column split of patients.csv.")
        if name != "test" and len(set(part.label.tolist())) < classes:
            limit = f" and limit={config.limit}" if config.limit else ""
            raise ValueError(f"With {len(films)} films{limit} {name} has one class only; more films are needed.")
        if name != "test" and not part.has_mask.any():
            raise ValueError(
                f"{folder} has no lung masks for {name}: add ManualMask/ (Montgomery), mask/ (Shenzhen) or masks/ "
                "(plain folders)."
            )
    return parts


def _rows(films: Any, seed: int) -> dict[str, Any]:
    """Rows of each part, archive by archive."""
    import numpy as np

    from hub.data.patient_split import patient_split

    found: dict[str, list] = {name: [] for name in SHARES}
    for source in sorted(set(films.source)):
        rows = np.flatnonzero(films.source == source)
        own = {name: rows[films.split[rows] == name] for name in ("train", "val", "test")}
        if marked := sum(map(len, own.values())):
            if marked < len(rows):
                raise ValueError(
                    f"{source} names a split for some films and none for {len(rows) - marked} films; name it for all "
                    "or none."
                )
            test, val = (own["test"], own["val"]) if len(own["test"]) else (own["val"], own["test"])
            if len(own["train"]) and not len(val):
                inner = patient_split(films.take(own["train"]), {"train": 0.8, "validation": 0.2}, seed)
                own["train"], val = (own["train"][inner[name]] for name in ("train", "validation"))
            chosen = {"train": own["train"], "validation": val, "test": test}
        else:
            chosen = {name: rows[part] for name, part in patient_split(films.take(rows), SHARES, seed).items()}
        for name, part in chosen.items():
            found[name].append(part)
    return {name: np.concatenate(parts) for name, parts in found.items()}


def test_sets(folder: pathlib.Path, config: Config, report: Callable[[str], None] = print) -> dict[str, Any]:
    """`sample` or `test`, and `ct` where a real CT can be projected and the rest is synthetic."""
    from hub.data.chest_films import read_films

    synthetic = about(folder)["synthetic"]
    parts = {"sample" if synthetic else "test": splits(folder, config)["test"]}
    if synthetic and (ct := projections(report)):
        parts["ct"] = read_films(ct, config.size)
    return parts


def about(folder: pathlib.Path) -> dict:
    """What is known of the data: whether they are `synthetic`."""
    path = folder / "sample.json"
    return read_json(path) if path.exists() else {"synthetic": False}

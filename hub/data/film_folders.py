"""A user's own chest films: one folder per class, lung masks and a table of patients if there are any.

Paper: Rahman et al., "Reliable Tuberculosis Detection Using Chest X-Ray With Deep Learning, Segmentation and
    Visualization", IEEE Access 8, 2020, arXiv:2007.14895
Slug: tb_chest_xray
Idea: the published copy of the paper's films has two folders, Normal and Tuberculosis; so have most home collections.
Differs: `normal` and `tb` will do as well; DICOM, PNG, JPEG and BMP; `masks` with the films' names; `patients.csv`
    (columns name, patient and, if wanted, sex, age, finding, split) says which films are one patient's.
Checked: folders with and without masks and tables, damaged ones included (tests/test_chest_films.py).
"""

import csv
import pathlib
from collections import Counter
from collections.abc import Callable

import numpy as np

from hub.data import chest_film, dicom
from hub.data.film_builder import SUFFIXES, Film, FilmBuilder
from hub.registry import register

_CLASSES = {"normal": 0, "tb": 1, "tuberculosis": 1}
_SPLITS = ("", "train", "val", "test")


@register("film_folders")
class FilmFolders(FilmBuilder):
    """Films of one folder per class.

    A film's patient is what `patients.csv` says, else its DICOM header; else every film is a patient of its own.
    """

    HOMEPAGE = "https://ieeexplore.ieee.org/document/9224622"
    LAYOUT = "normal/ and tb/ (or Tuberculosis/) with films and, if wanted, masks/ with files of the same names"

    @classmethod
    def holds(cls, folder: pathlib.Path) -> bool:
        return bool(_classes(folder))

    @classmethod
    def source(cls, folder: pathlib.Path) -> str:
        return folder.name

    @classmethod
    def films(cls, folder: pathlib.Path) -> list[Film]:
        classes = _classes(folder)
        if {label for _, label in classes} != {0, 1}:
            raise ValueError(f"{folder} has no folder {'tb' if classes else 'normal'}; it must hold {cls.LAYOUT}.")
        pairs = [(path, label) for base, label in classes for path in sorted(base.iterdir())]
        pairs = [(path, label) for path, label in pairs if path.suffix.lower() in SUFFIXES and path.name[0] != "."]
        for base, _ in classes:
            if not any(path.parent == base for path, _ in pairs):
                raise ValueError(f"{base} has no films; DICOM, PNG, JPEG and BMP files are read.")
        stems = Counter(path.stem for path, _ in pairs)
        rows = _table(folder / "patients.csv", {path.name for path, _ in pairs})
        found = []
        for path, label in pairs:
            film = Film(path, f"{path.parent.name}/{path.name}", label, f"{folder.name}/{path.parent.name}/{path.stem}")
            film = film._replace(masks=_mask(folder, path, stems[path.stem] > 1))
            with open(path, "rb") as file:
                head = file.read(132)
            if chest_film.is_dicom(path, head):
                facts = dicom.read_facts(path)
                film = film._replace(patient=facts.patient or film.patient, sex=facts.sex, age=facts.age)
            found.append(film._replace(**rows.get(path.name, {})))
        return found


def _classes(folder: pathlib.Path) -> list[tuple[pathlib.Path, int]]:
    if not folder.is_dir():
        return []
    return [
        (p, _CLASSES[p.name.lower()]) for p in sorted(folder.iterdir()) if p.is_dir() and p.name.lower() in _CLASSES
    ]


def _mask(folder: pathlib.Path, path: pathlib.Path, twice: bool) -> tuple[pathlib.Path, ...]:
    """The film's mask: masks/CLASS/NAME.png, else masks/NAME.png or masks/NAME_mask.png; none is no error."""
    own = folder / "masks" / path.parent.name / f"{path.stem}.png"
    if own.is_file():
        return (own,)
    for name in (f"{path.stem}.png", f"{path.stem}_mask.png"):
        if (folder / "masks" / name).is_file():
            if twice:
                raise ValueError(f"{folder / 'masks' / name} could be of two films; put masks into folders by class.")
            return (folder / "masks" / name,)
    return ()


def _table(path: pathlib.Path, films: set[str]) -> dict[str, dict]:
    """File name -> what the table says of it; an empty cell says nothing."""
    if not path.is_file():
        return {}
    with open(path, newline="", encoding="utf-8-sig", errors="replace") as file:
        reader = csv.DictReader(file)
        rows = list(reader)
    if not {"name", "patient"} <= set(reader.fieldnames or ()):
        raise ValueError(f"{path} has the columns {reader.fieldnames}; it must have name and patient.")
    said: dict[str, dict] = {}
    for row in rows:
        name, age, split = row["name"], row.get("age") or "", row.get("split") or ""
        if name not in films or name in said:
            raise ValueError(f"{path} names {name!r}, {'twice' if name in said else 'which is no film of the folder'}.")
        if split not in _SPLITS or (age and not age.isdecimal()):
            raise ValueError(f"{path} gives {name} the split {split!r}, age {age!r}; train, val or test, and years.")
        said[name] = {key: row[key] for key in ("patient", "sex", "finding", "split") if row.get(key)}
        if age:
            said[name]["age"] = int(age)
    return said


def contract_example(make: Callable) -> None:
    """Two classes, one mask, two films of one patient."""
    import tempfile

    from PIL import Image

    rng = np.random.default_rng(0)
    films = {name: rng.integers(0, 256, (64, 64), "uint8") for name in ("normal/a", "tb/b", "tb/c")}
    mask = np.pad(np.full((32, 32), 255, "uint8"), 16)
    with tempfile.TemporaryDirectory() as base:
        for name, pixels in {**films, "masks/b": mask}.items():
            path = pathlib.Path(base, f"{name}.png")
            path.parent.mkdir(exist_ok=True)
            Image.fromarray(pixels).save(path)
        pathlib.Path(base, "patients.csv").write_text("name,patient,age\nb.png,P7,41\nc.png,P7,\n")
        builder = make(manual_dir=base, data_dir=pathlib.Path(base, "prepared"), size=64)
        builder.download_and_prepare()
        examples = list(builder.as_dataset(split="films").as_numpy_iterator())
    assert np.array_equal([example["image"][..., 0] for example in examples], list(films.values()))
    assert [(e["label"], e["age"], bool(e["has_mask"])) for e in examples] == [(0, -1, 0), (1, 41, 1), (1, -1, 0)]
    assert np.array_equal(examples[1]["mask"][..., 0], mask // 255)
    assert [example["patient"] for example in examples[1:]] == [b"P7", b"P7"]

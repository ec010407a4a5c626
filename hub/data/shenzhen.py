"""Shenzhen chest films: 662 frontal films of one hospital, half of them with tuberculosis.

Paper: Jaeger et al., "Two public chest X-ray datasets for computer-aided screening of pulmonary diseases",
    Quantitative Imaging in Medicine and Surgery 4(6), 2014
Slug: montgomery
Idea: 326 normal films and 336 with tuberculosis, each with a reading; lung masks of 566 were drawn later by others.
Differs: films and masks come at one small size; masks may lie in the folder or beside it; image = patient here.
Checked: folders in the published layout with awkward readings, read back film by film (tests/test_chest_films.py).
"""

import pathlib
import re
from collections.abc import Callable

import numpy as np

from hub.data.film_builder import Film, FilmBuilder, read_reading
from hub.registry import register

_NAME = re.compile(r"CHNCXR_(\d+)_([01])\.png", re.I)


@register("shenzhen")
class Shenzhen(FilmBuilder):
    """The Shenzhen set: film, lung mask where there is one, label (1 tuberculosis), sex, age, finding."""

    HOMEPAGE = "https://lhncbc.nlm.nih.gov/LHC-downloads/downloads.html#tuberculosis-image-data-sets"
    LAYOUT = (
        "what the archive unpacks to: ChinaSet_AllFiles/CXR_png/CHNCXR_0001_0.png, ClinicalReadings and, if wanted, "
        "mask/CHNCXR_0001_0_mask.png in it or beside it (name the folder ChinaSet_AllFiles)"
    )

    @classmethod
    def holds(cls, folder: pathlib.Path) -> bool:
        return folder.name == "ChinaSet_AllFiles" or any(folder.glob("CXR_png/CHNCXR_*"))

    @classmethod
    def films(cls, folder: pathlib.Path) -> list[Film]:
        if not (folder / "CXR_png").is_dir():
            raise ValueError(f"{folder} has no CXR_png; it must hold {cls.LAYOUT}.")
        found = []
        for path in sorted((folder / "CXR_png").glob("[!.]*.[pP][nN][gG]")):
            named = _NAME.fullmatch(path.name)
            if not named:
                raise ValueError(f"{path} is not named like CHNCXR_0001_0.png, whose last digit is the label.")
            masks = (base / "mask" / f"{path.stem}_mask.png" for base in (folder, folder.parent))
            there = tuple(mask for mask in masks if mask.is_file())[:1]
            reading = read_reading(folder / "ClinicalReadings" / f"{path.stem}.txt")
            found.append(Film(path, path.name, int(named[2]), f"shenzhen/{named[1]}", there, *reading))
        return found


def contract_example(make: Callable) -> None:
    """A film and its reading come back as they were written; without a mask file there is none."""
    import tempfile

    from PIL import Image

    film = np.random.default_rng(0).integers(0, 256, (64, 64), "uint8")
    with tempfile.TemporaryDirectory() as base:
        for part in ("CXR_png", "ClinicalReadings"):
            pathlib.Path(base, part).mkdir()
        Image.fromarray(film).save(pathlib.Path(base, "CXR_png", "CHNCXR_0327_1.png"))
        pathlib.Path(base, "ClinicalReadings", "CHNCXR_0327_1.txt").write_text("male 35yrs\nbilateral PTB")
        builder = make(manual_dir=base, data_dir=pathlib.Path(base, "prepared"), size=64)
        builder.download_and_prepare()
        (example,) = builder.as_dataset(split="films").as_numpy_iterator()
    assert np.array_equal(example["image"][..., 0], film)
    assert not example["has_mask"] and not example["mask"].any()
    assert (example["label"], example["sex"], example["age"]) == (1, b"M", 35)
    assert example["finding"] == b"bilateral PTB"

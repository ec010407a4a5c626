"""Montgomery County chest films: 138 frontal films of a tuberculosis programme, with manual lung masks.

Paper: Jaeger et al., "Two public chest X-ray datasets for computer-aided screening of pulmonary diseases",
    Quantitative Imaging in Medicine and Surgery 4(6), 2014
Slug: montgomery
Idea: 80 normal films and 58 with tuberculosis from one American county, each with a mask per lung and a reading.
Differs: films and masks come at one small size; the two masks are one; image and patient are the same here.
Checked: folders in the published layout with awkward readings, read back film by film (tests/test_chest_films.py).
"""

import pathlib
import re
from collections.abc import Callable

import numpy as np

from hub.data.film_builder import Film, FilmBuilder, read_reading
from hub.registry import register

_NAME = re.compile(r"MCUCXR_(\d+)_([01])\.png", re.I)


@register("montgomery")
class Montgomery(FilmBuilder):
    """The Montgomery set: film, lung mask, label (1 tuberculosis), sex, age, finding."""

    HOMEPAGE = "https://lhncbc.nlm.nih.gov/LHC-downloads/downloads.html#tuberculosis-image-data-sets"
    LAYOUT = (
        "what the archive unpacks to: MontgomerySet/CXR_png/MCUCXR_0001_0.png, ManualMask/leftMask and rightMask, "
        "ClinicalReadings (name the folder MontgomerySet)"
    )

    @classmethod
    def holds(cls, folder: pathlib.Path) -> bool:
        return folder.name == "MontgomerySet" or any(folder.glob("CXR_png/MCUCXR_*"))

    @classmethod
    def films(cls, folder: pathlib.Path) -> list[Film]:
        if not (folder / "CXR_png").is_dir():
            raise ValueError(f"{folder} has no CXR_png; it must hold {cls.LAYOUT}.")
        found = []
        for path in sorted((folder / "CXR_png").glob("[!.]*.[pP][nN][gG]")):
            named = _NAME.fullmatch(path.name)
            if not named:
                raise ValueError(f"{path} is not named like MCUCXR_0001_0.png, whose last digit is the label.")
            masks = tuple(folder / "ManualMask" / side / path.name for side in ("leftMask", "rightMask"))
            there = tuple(mask for mask in masks if mask.is_file())
            if len(there) == 1:
                lacking = masks[there[0] == masks[0]]
                raise ValueError(f"{lacking} does not exist, but the mask of the other lung does.")
            reading = read_reading(folder / "ClinicalReadings" / f"{path.stem}.txt")
            found.append(Film(path, path.name, int(named[2]), f"montgomery/{named[1]}", there, *reading))
        return found


def contract_example(make: Callable) -> None:
    """A film, its two masks and its reading come back as they were written."""
    import tempfile

    from PIL import Image

    film = np.random.default_rng(0).integers(0, 256, (64, 64), "uint8")
    left, right = (np.pad(np.full((40, 16), 255, "uint8"), ((12, 12), (at, 48 - at))) for at in (8, 40))
    with tempfile.TemporaryDirectory() as base:
        for part, pixels in (("CXR_png", film), ("ManualMask/leftMask", left), ("ManualMask/rightMask", right)):
            pathlib.Path(base, part).mkdir(parents=True)
            Image.fromarray(pixels).save(pathlib.Path(base, part, "MCUCXR_0104_1.png"))
        pathlib.Path(base, "ClinicalReadings").mkdir()
        reading = "Patient's Sex: F\nPatient's Age: 026Y\ncavity in the right apex\n"
        pathlib.Path(base, "ClinicalReadings", "MCUCXR_0104_1.txt").write_text(reading)
        builder = make(manual_dir=base, data_dir=pathlib.Path(base, "prepared"), size=64)
        builder.download_and_prepare()
        (example,) = builder.as_dataset(split="films").as_numpy_iterator()
    assert np.array_equal(example["image"][..., 0], film)
    assert np.array_equal(example["mask"][..., 0], (left | right) // 255)
    assert (example["label"], example["sex"], example["age"]) == (1, b"F", 26)
    assert example["finding"] == b"cavity in the right apex"

"""TBX11K: 11,200 chest films, healthy, sick without tuberculosis, and with tuberculosis.

Paper: Liu et al., "Rethinking Computer-aided Tuberculosis Diagnosis", CVPR 2020
Slug: tbx11k
Idea: the classes that matter in screening: other lung disease is no tuberculosis, however ill the lungs look.
Differs: films come at one small size without boxes; active and obsolete tuberculosis are both label 1, told apart in
    `finding` where the annotations are there; the test split has no labels (-1); what `extra/` repeats of other
    archives (Montgomery, Shenzhen and more) is not read.
Checked: folders in the published layout, lists with the names that mislead included (tests/test_chest_films.py).
"""

import json
import pathlib
from collections.abc import Callable

import numpy as np

from hub.data.film_builder import Film, FilmBuilder
from hub.registry import register

_LISTS = {"train": "TBX11K_train.txt", "val": "TBX11K_val.txt", "test": "all_test.txt"}
_CLASSES = {"health": (0, "normal"), "sick": (0, "sick"), "tb": (1, "tuberculosis"), "test": (-1, "")}


@register("tbx11k")
class Tbx11k(FilmBuilder):
    """TBX11K in its own splits train, val and test: film, label (1 tuberculosis), finding."""

    HOMEPAGE = "https://mmcheng.net/tb"
    LAYOUT = (
        "what the archive unpacks to: TBX11K/imgs/health, sick and tb, lists/TBX11K_train.txt and TBX11K_val.txt "
        "(name the folder TBX11K)"
    )

    @classmethod
    def holds(cls, folder: pathlib.Path) -> bool:
        return folder.name == "TBX11K" or ((folder / "imgs").is_dir() and (folder / "lists").is_dir())

    @classmethod
    def films(cls, folder: pathlib.Path) -> list[Film]:
        for part in ("imgs/health", "imgs/sick", "imgs/tb", "lists"):
            if not (folder / part).is_dir():
                raise ValueError(f"{folder} has no {part}; it must hold {cls.LAYOUT}.")
        found, places = [], {}
        for split, listed in _LISTS.items():
            path = folder / "lists" / listed
            if not path.is_file():
                if split == "test":
                    continue
                raise ValueError(f"{path} does not exist; {folder} must hold {cls.LAYOUT}.")
            kinds = _kinds(folder / "annotations" / "json" / f"TBX11K_{split}.json")
            for name in sorted({line.strip() for line in path.read_text().splitlines() if line.strip()}):
                kind, _, file = name.partition("/")
                if kind == "extra":
                    continue
                if kind not in _CLASSES or not file or "/" in file or "\\" in file:
                    raise ValueError(f"{path} names {name!r}; a path such as health/h0001.png is needed.")
                if name in places:
                    raise ValueError(f"{name} is in the lists of {places[name]} and of {split}; it may be in one.")
                if not (folder / "imgs" / name).is_file():
                    raise ValueError(f"{folder / 'imgs' / name} does not exist, but {path} names it.")
                places[name] = split
                label, finding = _CLASSES[kind]
                finding = ", ".join(sorted(kinds.get(name, kinds.get(file, ())))) or finding
                film = Film(folder / "imgs" / name, name, label, f"tbx11k/{pathlib.PurePath(file).stem}")
                found.append(film._replace(finding=finding, split=split))
        return found


def _kinds(path: pathlib.Path) -> dict[str, set[str]]:
    """File name -> categories of its boxes, from annotations in COCO's form; empty where the file is not there."""
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text())
        names = {image["id"]: image["file_name"] for image in content["images"]}
        categories = {category["id"]: category["name"] for category in content["categories"]}
        kinds: dict[str, set[str]] = {}
        for box in content["annotations"]:
            kinds.setdefault(names[box["image_id"]], set()).add(categories[box["category_id"]])
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is cut short, damaged or not in COCO's form; unpack the archive again.") from error
    return kinds


def contract_example(make: Callable) -> None:
    """Three films in two splits; an extra one is left out."""
    import tempfile

    from PIL import Image

    rng = np.random.default_rng(0)
    pixels = {name: rng.integers(0, 256, (64, 64), "uint8") for name in ("health/h1", "sick/s1", "tb/tb1", "extra/e1")}
    with tempfile.TemporaryDirectory() as base:
        for name, image in pixels.items():
            path = pathlib.Path(base, "imgs", f"{name}.png")
            path.parent.mkdir(parents=True)
            Image.fromarray(image).save(path)
        pathlib.Path(base, "lists").mkdir()
        pathlib.Path(base, "lists", "TBX11K_train.txt").write_text("tb/tb1.png\nhealth/h1.png\nextra/e1.png\n")
        pathlib.Path(base, "lists", "TBX11K_val.txt").write_text("sick/s1.png\n")
        builder = make(manual_dir=base, data_dir=pathlib.Path(base, "prepared"), size=64)
        builder.download_and_prepare()
        train, val = (list(builder.as_dataset(split=split).as_numpy_iterator()) for split in ("train", "val"))
    assert [(e["name"], e["label"]) for e in train] == [(b"health/h1.png", 0), (b"tb/tb1.png", 1)]
    assert [(e["name"], e["label"], e["finding"]) for e in val] == [(b"sick/s1.png", 0, b"sick")]
    assert np.array_equal(val[0]["image"][..., 0], pixels["sick/s1"])

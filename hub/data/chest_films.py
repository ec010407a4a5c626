"""All chest films under a folder as arrays, whichever public layouts lie there."""

import dataclasses
import os
import pathlib
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import tensorflow_datasets as tfds

from hub.data.film_builder import FilmBuilder
from hub.data.film_folders import FilmFolders
from hub.data.montgomery import Montgomery
from hub.data.shenzhen import Shenzhen
from hub.data.tbx11k import Tbx11k

BUILDERS: tuple[type[FilmBuilder], ...] = (Montgomery, Shenzhen, Tbx11k, FilmFolders)


@dataclass(frozen=True, eq=False)
class Films:
    """N films; every field is an array whose first axis is N."""

    images: np.ndarray  # uint8 [N, S, S, 1], 0..255, bones bright
    masks: np.ndarray  # uint8 [N, S, S, 1], 1 in the lungs; 0 where there is no mask
    has_mask: np.ndarray  # bool
    label: np.ndarray  # int64, 1 tuberculosis, 0 other, -1 unknown
    patient: np.ndarray  # str, alike only for films of one patient
    source: np.ndarray  # str, the archive
    sex: np.ndarray  # str, M, F or ""
    age: np.ndarray  # int64, full years, -1 unknown
    finding: np.ndarray  # str, the archive's words
    split: np.ndarray  # str, train, val, test, or "" where the archive does not split
    name: np.ndarray  # str, the file as the archive names it
    sha256: np.ndarray  # str, of the file

    def __len__(self) -> int:
        return len(self.label)

    def take(self, indices: np.ndarray | Iterable[int]) -> "Films":
        """The films at `indices` (integers or a mask of booleans), in their order."""
        indices = np.asarray(indices)
        indices = indices if indices.size else indices.astype(np.int64)
        return Films(*(getattr(self, field.name)[indices] for field in dataclasses.fields(self)))


def read_films(folder: str | os.PathLike, size: int = 256) -> Films:
    """Every film of the layout that `folder` is, else of each one that it has in it; prepared once, then cached.

    Args:
        folder: MontgomerySet, ChinaSet_AllFiles, TBX11K, a folder with normal/ and tb/, or the folder around some.
        size: height and width of the films and masks.

    Raises:
        ValueError: one sentence: no such folder, no layout, an incomplete one, or a file that cannot be read.
    """
    base = pathlib.Path(folder).expanduser().resolve()
    if not base.is_dir():
        raise ValueError(f"{folder} is no folder; it must be or have in it {_layouts()}.")
    found = [(make, base) for make in BUILDERS if make.holds(base)]
    if not found:
        inside = sorted(path for path in base.iterdir() if path.is_dir() and not path.name.startswith("."))
        found = [(make, place) for place in inside for make in BUILDERS if make.holds(place)]
    if not found:
        raise ValueError(f"{folder} has no chest films in a known layout; it must be or have in it {_layouts()}.")
    return join([_read(make(manual_dir=place, size=size)) for make, place in found])


def join(parts: list[Films]) -> Films:
    """The films of all parts, one after the other."""
    names = [field.name for field in dataclasses.fields(Films)]
    return Films(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


def _layouts() -> str:
    return "MontgomerySet/CXR_png, ChinaSet_AllFiles/CXR_png, TBX11K/imgs, or normal/ and tb/ with films"


def _read(builder: FilmBuilder) -> Films:
    builder.download_and_prepare()
    count = sum(split.num_examples for split in builder.info.splits.values())
    shape = (count, builder.size, builder.size, 1)
    images, masks = np.zeros(shape, np.uint8), np.zeros(shape, np.uint8)
    rest: dict[str, list] = {field.name: [] for field in dataclasses.fields(Films)[2:]}
    order = tfds.ReadConfig(interleave_cycle_length=1, try_autocache=False)
    at = 0
    for split in builder.info.splits:
        for batch in builder.as_dataset(split=split, batch_size=64, read_config=order).as_numpy_iterator():
            stop = at + len(batch["label"])
            images[at:stop] = batch["image"]
            chosen = batch["has_mask"]  # pages that nobody writes cost no memory
            masks[at:stop][chosen] = batch["mask"][chosen]
            for name, values in rest.items():
                values += batch[name].tolist()
            at = stop
    texts = {name: [v.decode() if isinstance(v, bytes) else v for v in values] for name, values in rest.items()}
    return Films(images, masks, *(np.array(values) for values in texts.values()))

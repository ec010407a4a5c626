"""SVHN in its real layout, or a synthetic sample written in the same layout."""

import functools
import pathlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from applications.runs import read_json
from applications.street_number.config import Config
from applications.training import write_json
from hub import cache

VALIDATION = 0.1  # share of the training folder on which threshold and best epoch are chosen
SAMPLE_TEST = 2_000  # synthetic test images, and as many of real ink
SAMPLE_VERSION = 1  # of the generator: a new one gets a new folder


@dataclass(frozen=True)
class Split:
    """`images` uint8 `[N, 64, 64, 3]`, `targets` int32 `[N, 6]`: length, then digits, -1 where absent."""

    images: Any
    targets: Any


def prepare(data: str | None, config: Config, report: Callable[[str], None] = print) -> pathlib.Path:
    """The folder to read: `data` itself, or a sample in the user's cache, generated when it is not there yet.

    Raises:
        ValueError: `data` is not a folder in SVHN's format 1.
    """
    if data:
        folder = pathlib.Path(data)
        if not folder.is_dir():
            raise ValueError(f"--data must be a folder with train/ and test/ of SVHN's format 1. Received: {data!r}.")
        for split in ("train", "test"):
            if not (folder / split / "digitStruct.mat").is_file():
                raise ValueError(
                    f"{folder / split} has no digitStruct.mat; unpack SVHN's train.tar.gz and test.tar.gz in {folder}."
                )
        return folder
    return sample(config.sample_images, report)


def sample(count: int, report: Callable[[str], None] = print) -> pathlib.Path:
    """A synthetic data set of `count` training images in SVHN's layout, with a test set of real ink beside it."""
    from hub.data import digit_ink, digit_struct, street_numbers

    folder = cache.folder("street_number", f"sample-{SAMPLE_VERSION}-{count}")
    if (folder / "sample.json").exists():
        return folder
    report(f"Writing a synthetic sample of {count + 2 * SAMPLE_TEST:,} images in SVHN's layout to {folder}")
    parts = {
        "train": (street_numbers.scene, count, 1),
        "test": (street_numbers.scene, SAMPLE_TEST, 2),
        "real_ink": (digit_ink.scene, SAMPLE_TEST, 3),
    }
    for name, (scene, size, seed) in parts.items():
        if not (folder / name).exists():
            digit_struct.write_format1(folder / name, _scenes(scene, size, seed, name))
    facts = {"synthetic": True, "real_ink": digit_ink.digit_ink_source()}
    write_json(folder / "sample.json", facts)
    return folder


def _scenes(scene: Callable[..., Any], count: int, seed: int, name: str) -> Iterator[Any]:
    """Scenes of a generator, drawn by all cores; scene `i` depends on `seed` and `i` alone."""
    import multiprocessing

    from tqdm.auto import tqdm

    work = functools.partial(scene, seed=seed)
    with multiprocessing.get_context("spawn").Pool(initializer=_worker) as pool:
        yield from tqdm(pool.imap(work, range(count), chunksize=100), name, count, unit=" images", leave=False)


def _worker() -> None:
    """One thread per process; Ctrl-C is the parent's business."""
    import signal

    import cv2

    cv2.setNumThreads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def training_splits(folder: pathlib.Path, config: Config) -> dict[str, Split]:
    """`train` and `validation`: a tenth of the training folder, drawn by the seed, is kept for choices."""
    import numpy as np

    whole = crops(folder, "train")
    order = np.random.default_rng(config.seed).permutation(len(whole.images))
    held = min(max(int(len(order) * VALIDATION), 1), 5_000)
    if len(order) < 2:
        raise ValueError(f"{folder / 'train'} holds {len(order)} image; training needs at least two.")
    validation, train = order[:held], order[held:]
    train = train[: config.limit or None]
    return {
        "train": Split(whole.images[train], whole.targets[train]),
        "validation": Split(whole.images[validation], whole.targets[validation]),
    }


def test_splits(folder: pathlib.Path) -> dict[str, Split]:
    """`sample` or `test`, and `real_ink` where the folder has it."""
    first = "sample" if about(folder)["synthetic"] else "test"
    parts = {first: crops(folder, "test")}
    if (folder / "real_ink").is_dir():
        parts["real_ink"] = crops(folder, "real_ink")
    return parts


def crops(folder: pathlib.Path, split: str) -> Split:
    """Every number of a split as a 64x64 crop of its box grown by 30 %, with its target."""
    import numpy as np

    from hub.data.svhn import as_dataset

    batches = list(as_dataset(folder, split).batch(512).as_numpy_iterator())
    return Split(*(np.concatenate(part) for part in zip(*batches, strict=True)))


def about(folder: pathlib.Path) -> dict:
    """What is known of the data: `synthetic`, and the source of `real_ink` where there is one."""
    path = folder / "sample.json"
    return read_json(path) if path.exists() else {"synthetic": False}

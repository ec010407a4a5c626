"""Words as patches: key points found once and kept in the user's cache."""

import pathlib
import shutil
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hub import cache

VERSION = 2  # of how patches are cut out: a new one finds them again


@dataclass(frozen=True)
class Written:
    """N words and their n patches, word by word: word i has those from `starts[i]` to `starts[i + 1]`."""

    patches: Any  # uint8 [n, 32, 32], may be a memory map
    bins: Any  # int64 [n], scale of each
    descriptors: Any  # uint8 [n, 128], SIFT's own
    starts: Any  # int64 [N + 1]
    words: Any  # hub.data.word_images.Words, N of them
    writer: Any  # str [N]
    page: Any  # str [N]

    def __len__(self) -> int:
        return len(self.writer)

    @property
    def word(self) -> Any:
        """int64 [n], the word of each patch."""
        import numpy as np

        return np.repeat(np.arange(len(self)), np.diff(self.starts))

    def take(self, rows: Any) -> "Written":
        """The words at `rows`, integers or booleans; their patches are copied."""
        import numpy as np

        rows = np.arange(len(self))[rows]
        counts = np.diff(self.starts)[rows]
        starts = np.concatenate([[0], np.cumsum(counts)])
        at = np.repeat(self.starts[:-1][rows] - starts[:-1], counts) + np.arange(starts[-1])
        patched = (column[at] for column in (self.patches, self.bins, self.descriptors))
        return Written(*patched, starts, self.words.take(rows), self.writer[rows], self.page[rows])


def patches(words: Any, limit: int, report: Callable[[str], None] = print) -> Written:
    """Key points of every word, found once and kept in the user's cache; patches come as a memory map."""
    import numpy as np

    from hub.data import word_images
    from hub.data.keypoint_patches import SIDE

    folder = cache.folder("writer_identification", f"patches-{VERSION}") / f"{word_images.state(words)}-{limit}"
    if not (folder / "rest.npz").exists():
        report(f"Finding key points in {len(words):,} words, kept in {folder}")
        _find(words, limit, folder)
    with np.load(folder / "rest.npz", allow_pickle=False) as rest:
        bins, descriptors, starts = rest["bins"], rest["descriptors"], rest["starts"]
    found = np.memmap(folder / "patches.u8", np.uint8, "r", shape=(int(starts[-1]), SIDE, SIDE))
    return Written(found, bins, descriptors, starts, words, words.writer, words.page)


def _find(words: Any, limit: int, folder: pathlib.Path) -> None:
    import numpy as np
    from tqdm.auto import tqdm

    from hub.data import word_images
    from hub.data.keypoint_patches import keypoint_patches

    def points(word: Any) -> Any:
        return keypoint_patches(word_images.read(word), limit)

    aside = folder.with_name(f".{folder.name}-{uuid.uuid4().hex[:8]}")
    aside.mkdir(parents=True)
    bins, descriptors = [], []
    try:
        with open(aside / "patches.u8", "wb") as file:
            every = word_images.read_many(words, points)
            for found in tqdm(every, "key points", len(words), unit=" words", leave=False):
                file.write(found.patches.tobytes())
                bins.append(found.bins)
                descriptors.append(found.descriptors.astype(np.uint8))
        if not sum(map(len, bins)):
            raise ValueError(f"No key point was found in any of {len(words)} words; are they dark ink on light paper?")
        np.savez(
            aside / "rest.npz",
            bins=np.concatenate(bins),
            descriptors=np.concatenate(descriptors),
            starts=np.cumsum([0, *map(len, bins)]),
        )
        shutil.rmtree(folder, ignore_errors=True)
        aside.replace(folder)
    finally:
        shutil.rmtree(aside, ignore_errors=True)

"""tfds builders over a folder that the user has: nothing is downloaded, and a changed folder is noticed."""

import contextlib
import dataclasses
import hashlib
import os
import pathlib
import sys
from collections.abc import Iterator
from typing import Any, ClassVar

import tensorflow_datasets as tfds

from hub import cache


class _LocalInfo(tfds.core.DatasetInfo):
    """What is known of a data set, from local files alone."""

    def initialize_from_bucket(self) -> None:
        """Nothing: figures of the published data sets are not looked up in the cloud."""


class LocalBuilder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """A builder over a folder on disk that never opens a connection.

    What is prepared from a folder lies under a name of the folder's state, so that a changed folder is prepared anew.

    Args:
        manual_dir: the folder; without it, the one that `download_and_prepare` is told.
        data_dir: where the prepared data go; by default the hub's cache.

    Raises:
        ValueError: the folder is missing or does not hold the layout.
    """

    VERSION = tfds.core.Version("1.0.0")
    HOMEPAGE: ClassVar[str]
    LAYOUT: ClassVar[str]  # what the folder must hold, as a clause
    url_infos = None  # no URL, so no checksums: tfds would look for them through a package it does not always install

    def __init__(
        self,
        *,
        manual_dir: str | os.PathLike | None = None,
        data_dir: str | os.PathLike | None = None,
        **kwargs: Any,
    ) -> None:
        self.manual_dir = manual_dir and pathlib.Path(manual_dir).expanduser().resolve()
        data_dir = pathlib.Path(data_dir or cache.folder("tfds"))
        super().__init__(data_dir=data_dir / self._state() if self.manual_dir else data_dir, **kwargs)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.MANUAL_DOWNLOAD_INSTRUCTIONS = f"The folder must hold {cls.LAYOUT}."

    @classmethod
    def sources(cls, folder: pathlib.Path) -> dict[str, pathlib.Path]:
        """Split -> the file that describes it. Raises ValueError where there is none."""
        raise NotImplementedError

    def features(self) -> dict[str, Any]:
        """Name -> feature of an example."""
        raise NotImplementedError

    def download_and_prepare(self, *, download_dir=None, download_config=None, **kwargs: Any) -> None:
        """Read the folder once into `data_dir`, with a progress bar; nothing is downloaded."""
        config = download_config or tfds.download.DownloadConfig()
        folder = config.manual_dir or self.manual_dir
        config = dataclasses.replace(config, manual_dir=folder, try_download_gcs=False)
        with contextlib.redirect_stdout(sys.stderr):  # a program's stdout is its answer
            super().download_and_prepare(download_dir=download_dir, download_config=config, **kwargs)

    def _info(self) -> tfds.core.DatasetInfo:
        return _LocalInfo(
            builder=self,
            description=type(self).__doc__,
            features=tfds.features.FeaturesDict(self.features()),
            homepage=self.HOMEPAGE,
            disable_shuffling=True,
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Iterator]:
        sources = self.sources(pathlib.Path(dl_manager.manual_dir))
        return {split: self._generate_examples(path) for split, path in sources.items()}

    def _state(self) -> str:
        """A short name for the state of the files, and of the folders below `manual_dir` that they are in."""
        files = self.sources(self.manual_dir).values()
        paths = {*files, *(path.parent for path in files if path.parent != self.manual_dir)}
        known = [(str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in sorted(paths)]
        return hashlib.sha256(repr(known).encode()).hexdigest()[:16]

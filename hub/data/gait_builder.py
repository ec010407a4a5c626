"""What tfds builders of gait data sets share: one example is one clip, pretreated."""

import pathlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from hub.data import gait_clips
from hub.data.gait_clips import Clips
from hub.data.local_builder import LocalBuilder
from hub.data.silhouettes import HEIGHT


class GaitBuilder(LocalBuilder, skip_registration=True):
    """Clips of silhouettes, 64 x 64; those without a person are left out.

    Args:
        manual_dir, data_dir: as `LocalBuilder`.

    Raises:
        ValueError: the folder is missing or does not hold the layout; one sentence.
    """

    HOMEPAGE = ""
    LAYOUT = "clips of one data set"

    @classmethod
    def parts(cls, folder: pathlib.Path) -> dict[str, Clips]:
        """Split -> its clips. Raises ValueError where the folder does not hold the layout."""
        raise NotImplementedError

    @classmethod
    def sources(cls, folder: pathlib.Path) -> dict[str, pathlib.Path]:
        return dict.fromkeys(cls.parts(folder), folder)

    def features(self) -> dict[str, Any]:
        text = tfds.features.Text
        frames = tfds.features.Tensor(shape=(None, HEIGHT, HEIGHT), dtype=np.uint8, encoding="zlib")
        return {"silhouettes": frames, "subject": text(), "condition": text(), "view": np.int64, "name": text()}

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Iterator]:
        parts = self.parts(pathlib.Path(dl_manager.manual_dir))
        return {split: self._generate_examples(clips) for split, clips in parts.items()}

    def _generate_examples(self, clips: Clips) -> Iterator[tuple[int, dict]]:
        for key, (clip, frames) in enumerate(zip(clips, gait_clips.read_many(clips), strict=True)):
            if len(frames):
                yield (
                    key,
                    {
                        "silhouettes": frames,
                        "subject": clip.subject,
                        "condition": clip.condition,
                        "view": clip.view,
                        "name": clip.name,
                    },
                )

    def _state(self) -> str:
        """A short name for every frame that an example is made of, so that any change is prepared anew."""
        return gait_clips.state(clip for clips in self.parts(self.manual_dir).values() for clip in clips)

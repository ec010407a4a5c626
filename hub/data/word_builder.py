"""What tfds builders of handwriting share: one example is one word as it was scanned."""

import os
import pathlib
from collections.abc import Iterator
from typing import Any

import tensorflow_datasets as tfds

from hub.data import word_images
from hub.data.local_builder import LocalBuilder
from hub.data.word_images import Words


class WordBuilder(LocalBuilder, skip_registration=True):
    """Grey words of any size, with their writers, pages and transcriptions.

    Args:
        manual_dir, data_dir: as `LocalBuilder`.

    Raises:
        ValueError: the folder is missing or does not hold the layout; one sentence.
    """

    HOMEPAGE = ""
    LAYOUT = "words of one data set"

    @classmethod
    def parts(cls, folder: pathlib.Path) -> dict[str, Words]:
        """Split -> its words. Raises ValueError where the folder does not hold the layout."""
        raise NotImplementedError

    @classmethod
    def sources(cls, folder: pathlib.Path) -> dict[str, pathlib.Path]:
        return dict.fromkeys(cls.parts(folder), folder)

    def features(self) -> dict[str, Any]:
        text = tfds.features.Text
        image = tfds.features.Image(shape=(None, None, 1), encoding_format="png")
        return {"image": image, "writer": text(), "page": text(), "text": text(), "name": text()}

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Iterator]:
        parts = self.parts(pathlib.Path(dl_manager.manual_dir))
        return {split: self._generate_examples(words) for split, words in parts.items()}

    def _generate_examples(self, words: Words) -> Iterator[tuple[int, dict]]:
        for key, (word, image) in enumerate(zip(words, word_images.read_many(words), strict=True)):
            name = os.fsencode(word.name).decode("utf-8", "replace")
            known = {"writer": word.writer, "page": word.page, "text": word.text, "name": name}
            yield key, {"image": image[..., None], **known}

    def _state(self) -> str:
        """A short name for every picture that an example is made of, so that any change is prepared anew."""
        return word_images.state(word for words in self.parts(self.manual_dir).values() for word in words)

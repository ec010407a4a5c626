"""What tfds builders of faces share: one example is one picture with its expression and what is known of it."""

import os
import pathlib
from collections.abc import Iterator
from typing import Any, ClassVar

import cv2
import numpy as np
import tensorflow_datasets as tfds

from hub.data import face_images
from hub.data.face_images import EXPRESSIONS, POINTS, Faces
from hub.data.local_builder import LocalBuilder


class FaceBuilder(LocalBuilder, skip_registration=True):
    """Pictures of faces, of any size, with expressions (-1 unknown), subjects and landmarks (NaN where there are none).

    Args:
        manual_dir, data_dir: as `LocalBuilder`.

    Raises:
        ValueError: the folder is missing or does not hold the layout; one sentence.
    """

    HOMEPAGE = ""
    LAYOUT = "faces of one data set"
    CHANNELS: ClassVar[int] = 1  # of every picture: 1 grey, 3 RGB

    @classmethod
    def parts(cls, folder: pathlib.Path) -> dict[str, Faces]:
        """Split -> its faces. Raises ValueError where the folder does not hold the layout."""
        raise NotImplementedError

    @classmethod
    def sources(cls, folder: pathlib.Path) -> dict[str, pathlib.Path]:
        return dict.fromkeys(cls.parts(folder), folder)

    def features(self) -> dict[str, Any]:
        text = tfds.features.Text
        return {
            "image": tfds.features.Image(shape=(None, None, self.CHANNELS), encoding_format="png"),
            "label": tfds.features.ClassLabel(names=EXPRESSIONS),
            "subject": text(),
            "name": text(),
            "usage": text(),
            "landmarks": tfds.features.Tensor(shape=(POINTS, 2), dtype=np.float32),  # x and y in pixels
        }

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Iterator]:
        parts = self.parts(pathlib.Path(dl_manager.manual_dir))
        return {split: self._generate_examples(faces) for split, faces in parts.items()}

    def _generate_examples(self, faces: Faces) -> Iterator[tuple[int, dict]]:
        none = np.full((POINTS, 2), np.nan, np.float32)
        for key, (face, image) in enumerate(zip(faces, face_images.read_many(faces), strict=True)):
            known = {"label": face.label, "subject": face.subject, "usage": face.usage}
            name = os.fsencode(face.name).decode("utf-8", "replace")
            points = none if face.landmarks is None else face.landmarks
            yield key, {"image": self._channels(image), "name": name, "landmarks": points, **known}

    def _channels(self, image: np.ndarray) -> np.ndarray:
        """uint8 [H, W, CHANNELS]."""
        if self.CHANNELS == 1:
            return (image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2GRAY))[..., None]
        return image if image.ndim == 3 else np.repeat(image[..., None], 3, -1)

    def _state(self) -> str:
        """A short name for every picture that an example is made of, so that any change is prepared anew."""
        return face_images.state(face for faces in self.parts(self.manual_dir).values() for face in faces)

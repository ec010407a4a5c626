"""Pictures of faces with expressions, whichever data set they come from: what is known of each, and its pixels."""

import concurrent.futures
import contextlib
import hashlib
import os
import pathlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from PIL import Image, ImageOps

from hub.data import word_images

EXPRESSIONS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")  # in the order of FER2013
POINTS = 68  # landmarks of a face in the order of iBUG
_GREY = ("1", "L", "LA", "La", "F")  # and all that begin with I
_READ_AHEAD = 256  # faces that are read together, by all cores


@dataclass(frozen=True)
class Face:
    """One face: a picture's file, or its pixels."""

    name: str  # "S005_001_00000011"
    label: int = -1  # index in EXPRESSIONS, -1 unknown
    path: pathlib.Path | None = None
    pixels: np.ndarray | None = field(default=None, repr=False, compare=False)  # uint8 [H, W] where there is no file
    subject: str = ""  # alike only for pictures of one person; "" unknown
    usage: str = ""  # what the data set means it for: Training, PublicTest, PrivateTest, train, test
    landmarks: np.ndarray | None = field(default=None, repr=False, compare=False)  # float32 [68, 2], x and y in pixels


@dataclass(frozen=True)
class Faces(Sequence[Face]):
    """N faces in order; a slice, or `take`, is a smaller `Faces` about which nothing is missing."""

    faces: tuple[Face, ...]
    missing: int = 0  # faces of the layout that are absent or unusable, and so are not among the faces
    notes: tuple[str, ...] = ()  # sentences for the user

    def __len__(self) -> int:
        return len(self.faces)

    def __getitem__(self, index: int | slice) -> "Face | Faces":
        return Faces(self.faces[index]) if isinstance(index, slice) else self.faces[index]

    def take(self, indices: np.ndarray | Iterable[int]) -> "Faces":
        """The faces at `indices` (integers, or N booleans), in their order."""
        indices = np.asarray(indices)
        indices = np.flatnonzero(indices) if indices.dtype == bool else indices.astype(np.int64)
        return Faces(tuple(self.faces[index] for index in indices))

    @property
    def label(self) -> np.ndarray:
        """int64 [N], 0 to 6 in the order of `EXPRESSIONS`, -1 unknown."""
        return np.array([face.label for face in self.faces], np.int64)

    @property
    def subject(self) -> np.ndarray:
        """str [N], "" unknown."""
        return np.array([face.subject for face in self.faces], np.str_)

    @property
    def name(self) -> np.ndarray:
        """str [N]."""
        return np.array([face.name for face in self.faces], np.str_)

    @property
    def usage(self) -> np.ndarray:
        """str [N], "" where the data set does not say."""
        return np.array([face.usage for face in self.faces], np.str_)

    @property
    def landmarks(self) -> np.ndarray | None:
        """float32 [N, 68, 2], x and y in pixels of each picture, NaN where a face has none; None if no face has any."""
        if all(face.landmarks is None for face in self.faces):
            return None
        none = np.full((POINTS, 2), np.nan, np.float32)
        return np.stack([none if face.landmarks is None else face.landmarks for face in self.faces])


def read(face: Face) -> np.ndarray:
    """The picture of a face: uint8 [H, W] grey or [H, W, 3] RGB, as large as it is stored.

    Raises:
        ValueError: one sentence: what `read_picture` raises.
    """
    return face.pixels.copy() if face.path is None else read_picture(face.path)


def read_picture(path: str | os.PathLike) -> np.ndarray:
    """Any picture of 1 to 16 bits, turned as its camera was held: uint8 [H, W] where it is stored grey, else RGB.

    What is transparent is white.

    Raises:
        ValueError: one sentence: no such file, damaged, cut short, of another kind, over 100 megapixels.
    """
    with contextlib.suppress(Exception), Image.open(path) as picture:  # what failed is said below, in one sentence
        coloured = picture.mode not in _GREY and not picture.mode.startswith("I")
        if coloured and picture.width * picture.height <= word_images.MAX_PIXELS:
            picture = ImageOps.exif_transpose(picture)
            if picture.has_transparency_data:
                picture = picture.convert("RGBA")
                picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
            return np.array(picture.convert("RGB"))
    return word_images.read_picture(path)


def read_many(faces: Sequence[Face], reader: Callable[[Face], np.ndarray] = read) -> Iterator[np.ndarray]:
    """`reader` of each face in turn, by all cores."""
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as readers:  # decoding lets other threads run
        for start in range(0, len(faces), _READ_AHEAD):
            yield from readers.map(reader, faces[start : start + _READ_AHEAD])


def state(faces: Iterable[Face]) -> str:
    """A short name for the faces, what is known of them and their files: a file that changes gives another name."""
    digest = hashlib.sha256()
    for face in faces:
        digest.update(repr((face.name, face.label, face.subject, face.usage)).encode())
        if face.path is None:
            digest.update(face.pixels.tobytes())
        else:
            found = face.path.stat()
            digest.update(repr((os.path.abspath(face.path), found.st_size, found.st_mtime_ns)).encode())
        if face.landmarks is not None:
            digest.update(face.landmarks.tobytes())
    return digest.hexdigest()[:16]

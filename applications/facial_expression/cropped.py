"""Faces cut out of pictures, with their landmarks: found once and kept in the user's cache."""

import pathlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from applications.facial_expression.recognize import MARGIN, SIZE
from hub import cache


@dataclass(frozen=True)
class Cropped:
    """N faces, cut out."""

    crops: Any  # uint8 [N, 112, 112], grey
    points: Any  # float32 [N, 18, 2], what edges and corners give, in pixels of the picture
    landmarks: Any  # float32 [N, 68, 2] in 0..1 of the crop, NaN where there are none
    boxes: Any  # int64 [N, 4]
    label: Any  # int64 [N]
    subject: Any  # str [N], "" unknown
    faces: Any  # hub.data.face_images.Faces

    def __len__(self) -> int:
        return len(self.label)

    def take(self, rows: Any) -> "Cropped":
        """The faces at `rows`, integers or booleans."""
        import numpy as np

        rows = np.arange(len(self))[rows]
        columns = (self.crops, self.points, self.landmarks, self.boxes, self.label, self.subject)
        return Cropped(*(column[rows] for column in columns), self.faces.take(rows))

    @property
    def placed(self) -> Any:
        """bool [N], whether its landmarks are known."""
        import numpy as np

        return np.isfinite(self.landmarks).all(axis=(1, 2))


def cropped(faces: Any, whole: bool, report: Callable[[str], None] = print) -> tuple[Cropped, Any]:
    """The faces found in pictures, kept in the user's cache, and which of the pictures these are, int64 [M].

    Args:
        faces: hub.data.face_images.Faces.
        whole: whether each picture is a face from edge to edge, so that none is looked for.
    """
    import numpy as np

    from hub.data import face_images

    file = cache.folder("facial_expression", "crops") / f"{face_images.state(faces)}.npz"
    if not file.exists():
        report(f"Finding {len(faces):,} faces and their landmarks, kept in {file}")
        _find(faces, whole, file)
    with np.load(file, allow_pickle=False) as kept:
        arrays = {name: kept[name] for name in kept.files}
    seen = arrays.pop("seen")
    found = faces.take(seen)
    return Cropped(**arrays, label=found.label, subject=found.subject, faces=found), seen


def look(picture: Any, whole: bool = False) -> tuple[Any, Any, Any] | None:
    """Box, grey crop [112, 112] and 18 points of the largest face in a picture; None where there is none."""
    from hub.data.face_detection import crop, detect
    from hub.data.face_landmarks import face_landmarks

    if whole:
        box = (0, 0, picture.shape[1], picture.shape[0])
    else:
        found = detect(picture, smallest=48, most=1)
        if not found:
            return None
        box = found[0].box
    return box, grey(crop(picture, box, SIZE, 0.0 if whole else MARGIN)), face_landmarks(picture, box).points


def grey(picture: Any) -> Any:
    """uint8 [H, W] of uint8 [H, W] or RGB [H, W, 3]."""
    import cv2

    return picture if picture.ndim == 2 else cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)


def _find(faces: Any, whole: bool, file: pathlib.Path) -> None:
    import numpy as np
    from tqdm.auto import tqdm

    from hub.data import face_images
    from hub.data.face_detection import to_crop

    every = face_images.read_many(faces, lambda face: look(face_images.read(face), whole))
    seen, boxes, crops, points, landmarks = [], [], [], [], []
    for row, found in enumerate(tqdm(every, "faces", len(faces), leave=False)):
        if found is not None:
            box, crop, at = found
            known = faces[row].landmarks
            margin = 0.0 if whole else MARGIN
            landmarks.append(np.full((68, 2), np.nan) if known is None else to_crop(known, box, margin))
            seen.append(row)
            boxes.append(box)
            crops.append(crop)
            points.append(at)
    if not seen:
        raise ValueError(f"No face was found in any of {len(faces)} pictures.")
    file.parent.mkdir(parents=True, exist_ok=True)
    aside = file.with_name(f".{file.name}")
    with open(aside, "wb") as out:
        np.savez(
            out,
            seen=np.array(seen),
            boxes=np.array(boxes, np.int64),
            crops=np.stack(crops),
            points=np.stack(points).astype(np.float32),
            landmarks=np.stack(landmarks).astype(np.float32),
        )
    aside.replace(file)

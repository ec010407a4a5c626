"""A face turned upright and scaled by its eyes, and the regions of one in which its parts are looked for."""

from typing import NamedTuple

import cv2
import numpy as np

from hub.data.face_regions import sobel_edges

IN_BOX = np.array([(0.31, 0.38), (0.67, 0.38)])  # where a detector's box has the eyes, in its width and height
SIZE = 192, 160  # height and width of the upright face in pixels
EYES = np.array([(48.0, 64.0), (112.0, 64.0)])  # where it has the eyes
LARGEST = 300  # pixels of a box; larger ones are reduced


class Region(NamedTuple):
    """A rectangle of the upright face."""

    rows: slice
    columns: slice
    prior: np.ndarray  # float32 [rows, columns], 0..1: how likely the part is there
    low: float  # share of Otsu's threshold from which edges beside stronger ones belong to the part


def around(
    middle: tuple[int, int], aside: int, above: int, below: int, spread: tuple[int, int], low: float = 1.0
) -> Region:
    """The region around where a part is on average (x, y), so many pixels to each side, with its deviations (x, y)."""
    (x, y), (wide, high) = middle, spread
    rows = slice(max(y - above, 0), min(y + below + 1, SIZE[0]))
    columns = slice(max(x - aside, 0), min(x + aside + 1, SIZE[1]))
    down, right = np.mgrid[rows, columns].astype(np.float32)
    return Region(rows, columns, np.exp(-0.5 * (((right - x) / wide) ** 2 + ((down - y) / high) ** 2)), low)


_SEARCH = tuple(around((int(x), int(y)), 24, 20, 20, (11, 10)) for x, y in EYES)


def upright(picture: np.ndarray, box: tuple[int, int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    """The face in a box, smoothed (3 x 3 Gaussian) and equalised (CLAHE), with its eyes at `EYES`.

    Args:
        picture: uint8 [H, W] grey or [H, W, 3] RGB.
        box: x, y, width, height; beyond the picture its last pixels are repeated.

    Returns:
        The face uint8 `SIZE`, and the matrix [2, 3] that takes its points to the picture, for `moved`.

    Raises:
        ValueError: no picture of bytes, or a box without area or altogether beside the picture.
    """
    cut, scale, origin = _cut(picture, box)
    x, y, width, height = box
    eyes = (IN_BOX * (width, height) + (x, y) - origin) * scale
    for _ in range(2):  # the second time upright and of the right size
        face, back = _turned(cut, eyes)
        eyes = moved(_eyes(face), back)
    face, back = _turned(cut, eyes)
    back = back / scale
    back[:, 2] += 0.5 / scale - 0.5 + origin  # pixels' middles are whole numbers
    return face, back


def moved(points: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Points [n, 2] under an affine matrix [2, 3]."""
    return points @ matrix[:, :2].T + matrix[:, 2]


def _cut(picture: np.ndarray, box: tuple[int, int, int, int]) -> tuple[np.ndarray, float, np.ndarray]:
    """(grey around the box, pixels of it per pixel of the picture, where it lies x, y)."""
    picture = np.asarray(picture)
    if picture.dtype != np.uint8 or picture.ndim not in (2, 3) or picture.shape[2:] not in ((), (3,)):
        raise ValueError(f"A picture is uint8 [H, W] or [H, W, 3]. Received: {picture.dtype} of shape {picture.shape}.")
    (x, y, width, height), (rows, columns) = box, picture.shape[:2]
    if min(width, height) < 1 or x >= columns or y >= rows or x + width <= 0 or y + height <= 0:
        raise ValueError(
            f"A box (x, y, width, height) lies at least partly in its picture of {columns} x {rows} pixels. "
            f"Received: {tuple(box)}."
        )
    aside, above = width // 2, height // 2
    left, top = max(x - aside, 0), max(y - above, 0)
    cut = picture[top : y + height + above, left : x + width + aside]
    scale = min(1.0, LARGEST / max(width, height))
    if scale < 1:
        size = [max(round(length * scale), 1) for length in cut.shape[1::-1]]
        cut = cv2.resize(cut, size, interpolation=cv2.INTER_AREA)
    cut = np.ascontiguousarray(cut) if cut.ndim == 2 else cv2.cvtColor(np.ascontiguousarray(cut), cv2.COLOR_RGB2GRAY)
    return cut, scale, np.array([left, top], float)


def _turned(cut: np.ndarray, eyes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(the prepared face uint8 `SIZE` with both `eyes` [2, 2] of the cut in their places, the way back [2, 3])."""
    along, across = (eyes[1] - eyes[0]) / (EYES[1, 0] - EYES[0, 0])
    turn = np.array([[along, -across], [across, along]])
    back = np.column_stack([turn, eyes[0] - turn @ EYES[0]])
    face = cv2.warpAffine(
        cut, back, SIZE[::-1], flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REPLICATE
    )
    return cv2.createCLAHE(clipLimit=2.0, tileGridSize=(8, 8)).apply(cv2.GaussianBlur(face, (3, 3), 0)), back


def _eyes(face: np.ndarray) -> np.ndarray:
    """Where the eyes are [2, 2]: many horizontal edges, and darker than what is around."""
    edges = cv2.blur(np.abs(sobel_edges(face)), (27, 13))
    plain = face.astype(np.float32)
    dark = cv2.blur(np.maximum(cv2.blur(plain, (27, 21)) - cv2.blur(plain, (11, 11)), 0), (5, 5))
    found = EYES.copy()
    for eye, (rows, columns, prior, _) in zip(found, _SEARCH, strict=True):
        _, most, _, at = cv2.minMaxLoc(edges[rows, columns] * dark[rows, columns] * prior)
        if most > 0:
            eye[:] = at[0] + columns.start, at[1] + rows.start
    return found

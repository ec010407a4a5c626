"""Blobs of a foreground mask: what may be a person, two people, or a piece of one."""

from dataclasses import dataclass

import cv2
import numpy as np

SHORTEST = 24  # pixels of the height of somebody who is followed
_UPRIGHT = (0.12, 0.85)  # width / height of one person, legs together .. mid-stride
_PIECE = 20  # pixels of the smallest piece of a person
_ABREAST = 0.4  # width / height from which two people may be in a blob


@dataclass(frozen=True, eq=False)
class Seen:
    """One person in one frame."""

    frame: int
    box: tuple[int, int, int, int]  # left, top, width, height
    silhouette: np.ndarray  # uint8 [height, width], 0 and 255
    border: bool  # touches the border of the picture


def upright_blobs(mask: np.ndarray) -> list[Seen]:
    """The blobs of a mask, uint8 [H, W], that have a person's height and proportions."""
    return [blob for blob in blobs_of(mask, 0) if upright(blob)]


def blobs_of(mask: np.ndarray, frame: int) -> list[Seen]:
    """The connected parts of a mask, uint8 [H, W], 0 and 255."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask)
    found = []
    for index in 1 + np.flatnonzero(stats[1:, cv2.CC_STAT_AREA] >= _PIECE):
        x, y, w, h = (int(value) for value in stats[index, :4])
        silhouette = (labels[y : y + h, x : x + w] == index) * np.uint8(255)
        border = x <= 1 or y <= 1 or x + w >= mask.shape[1] - 1 or y + h >= mask.shape[0] - 1
        found.append(Seen(frame, (x, y, w, h), silhouette, border))
    return found


def two_heads(one: Seen) -> bool:
    """Whether a blob has two tops in its upper third with a valley between them, as of two people abreast."""
    filled = one.silhouette > 0
    height, width = filled.shape
    if height < SHORTEST or width < _ABREAST * height:
        return False
    line = np.where(filled.any(0), filled.argmax(0), height)
    first = int(line.argmin())
    for side in (line[first:], line[first::-1]):
        valley = np.maximum.accumulate(side)
        away = np.arange(len(side)) > 0.15 * height
        if np.count_nonzero(away & (side < 0.35 * height) & (valley - side > 0.1 * height)) > 0.05 * height:
            return True
    return False


def upright(blob: Seen) -> bool:
    """Whether a blob has a person's height and proportions."""
    _, _, width, height = blob.box
    return height >= SHORTEST and _UPRIGHT[0] < width / height < _UPRIGHT[1]


def adjoin(one: tuple[int, int, int, int], two: tuple[int, int, int, int]) -> bool:
    """Whether boxes lie close: a post may part them sideways, something flat one above the other."""
    aside = max(one[0], two[0]) - min(one[0] + one[2], two[0] + two[2])
    above = max(one[1], two[1]) - min(one[1] + one[3], two[1] + two[3])
    tall = max(one[1] + one[3], two[1] + two[3]) - min(one[1], two[1])
    return aside < 0.2 * tall and above < 0.04 * tall


def union(one: Seen, two: Seen) -> Seen:
    """Both pieces as one person."""
    left, top = min(one.box[0], two.box[0]), min(one.box[1], two.box[1])
    right = max(one.box[0] + one.box[2], two.box[0] + two.box[2])
    bottom = max(one.box[1] + one.box[3], two.box[1] + two.box[3])
    whole = np.zeros((bottom - top, right - left), np.uint8)
    for part in (one, two):
        x, y, w, h = part.box
        whole[y - top : y - top + h, x - left : x - left + w] |= part.silhouette
    return Seen(one.frame, (left, top, right - left, bottom - top), whole, one.border or two.border)


def shared(one: np.ndarray, two: np.ndarray) -> np.ndarray:
    """Areas of the intersections of boxes [n, 4] and [m, 4], [n, m]."""
    low = np.maximum(one[:, None, :2], two[None, :, :2])
    high = np.minimum((one[:, :2] + one[:, 2:])[:, None], (two[:, :2] + two[:, 2:])[None])
    return np.maximum(high - low, 0).prod(-1)

"""Blobs of a foreground mask, followed from frame to frame; where two people make one blob, nobody gets its pixels."""

from dataclasses import dataclass, field

import numpy as np
from scipy.optimize import linear_sum_assignment

from hub.data.blobs import Seen, adjoin, blobs_of, shared, two_heads, union, upright

_HEIGHT = (0.7, 1.4)  # of a blob, in typical heights of its person
_NEAR = 0.2  # smallest overlap, intersection over union, of a prediction and its blob
_COVERED = 0.5  # share of a prediction that a blob covers where the person may be in it
_WIDER, _LARGER = 1.3, 1.4  # than of late: a second person has joined the blob
_CUT = 0.6  # of the typical area; less is what an obstacle leaves of a person
_BRIDGE, _TOGETHER = 0.6, 1.5  # seconds without a person, and in one blob with another, that a track outlives
_LATE = 10  # frames that typical sizes and motion are taken from
_MARGIN = 0.35  # person widths by which a link after a crossing must beat the swapped one


@dataclass(eq=False)
class Path:
    """One person from frame to frame."""

    seen: list[Seen]
    missed: int = 0  # frames since
    met: set["Path"] = field(default_factory=set)  # who was in the same blob since
    hidden: int = 0  # frames of `missed` in a blob with others

    def late(self) -> np.ndarray:
        """Boxes of late, [n, 4]."""
        return np.array([seen.box for seen in self.seen[-_LATE:]], float)

    def typical_area(self) -> float:
        """Pixels of the silhouettes of late."""
        return float(np.median([np.count_nonzero(seen.silhouette) for seen in self.seen[-_LATE:]]))

    def predicted(self) -> np.ndarray:
        """Where the person should be now: typical size, moved on at the speed of late, [4]."""
        boxes = self.late()
        first, last = self.seen[-_LATE:][0], self.seen[-1]
        ends = boxes[:, :2] + boxes[:, 2:] / 2
        speed = (ends[-1] - ends[0]) / max(last.frame - first.frame, 1) if len(boxes) > 2 else np.zeros(2)
        size = np.median(boxes[:, 2:], axis=0)
        return np.concatenate([ends[-1] + speed * (self.missed + 1) - size / 2, size])


class Tracker:
    """Feed masks one by one; paths come out as they end.

    Args:
        fps: frames a second, which turns seconds of patience into frames.
    """

    def __init__(self, fps: float) -> None:
        self.bridge, self.together = max(3, round(_BRIDGE * fps)), max(5, round(_TOGETHER * fps))
        self.open: list[Path] = []
        self.frame = -1
        self.crowded = 0  # frames in which people make one blob

    def add(self, mask: np.ndarray) -> list[Path]:
        """Take the next mask, uint8 [H, W], 0 and 255; the paths that have ended."""
        self.frame += 1
        blobs = blobs_of(mask, self.frame)
        boxes = np.array([blob.box for blob in blobs], float).reshape(-1, 4)
        told = np.array([path.predicted() for path in self.open]).reshape(-1, 4)
        common = shared(told, boxes)
        overlap = common / (told[:, 2:].prod(-1)[:, None] + boxes[:, 2:].prod(-1) - common)
        covered = common / told[:, 2:].prod(-1)[:, None]
        tall = boxes[:, 3] / told[:, 3][:, None]
        known = np.array([[len(path.seen) > 2] for path in self.open], bool).reshape(-1, 1)
        overlap[known & ((tall < _HEIGHT[0]) | (tall > _HEIGHT[1]))] = 0
        crowd = self._crowds(blobs, covered)
        self.crowded += bool(crowd)
        overlap[:, list(crowd)] = 0
        taken = self._matches(overlap, blobs, told, boxes)
        used = set(crowd) | set(taken.values())
        for row, path in enumerate(self.open):
            if row in taken:
                seen, pieces = self._whole(path, blobs, taken[row], told[row], used)
                used |= pieces
                if len(path.seen) < 3 or np.count_nonzero(seen.silhouette) > _CUT * path.typical_area():
                    path.seen.append(seen)
                    path.missed, path.hidden, path.met = 0, 0, set()
                    continue
            path.missed += 1
            for rows in crowd.values():
                if row in rows:
                    path.hidden += 1
                    path.met |= {self.open[other] for other in rows}
        over = [path for path in self.open if path.missed - path.hidden > self.bridge or path.hidden > self.together]
        self.open = [path for path in self.open if path not in over]
        self.open += [Path([blob]) for column, blob in enumerate(blobs) if column not in used and upright(blob)]
        return over

    def end(self) -> list[Path]:
        """The paths still open after the last frame."""
        self.open, over = [], self.open
        return over

    def _crowds(self, blobs: list[Seen], covered: np.ndarray) -> dict[int, list[int]]:
        """Blobs of several people, or of one known person and more: column -> the rows of those who are in them."""
        found = {}
        for column, blob in enumerate(blobs):
            rows = [row for row in range(len(covered)) if covered[row, column] > _COVERED]
            if (rows and self._too_large(blob, [self.open[row] for row in rows])) or two_heads(blob):
                found[column] = rows
        return found

    def _too_large(self, blob: Seen, paths: list[Path]) -> bool:
        _, _, width, height = blob.box
        area = np.count_nonzero(blob.silhouette)
        for path in paths:
            late = path.late()
            wide, high = width > _WIDER * late[:, 2].max(), height > 1.2 * np.median(late[:, 3])
            if len(late) < 3 or path.seen[-1].border or not (wide or high) or area < _LARGER * path.typical_area():
                return False
        return True

    def _matches(self, overlap: np.ndarray, blobs: list[Seen], told: np.ndarray, boxes: np.ndarray) -> dict[int, int]:
        """Row of a path -> column of its blob; paths that could have changed places in a crowd end instead."""
        rows, columns = linear_sum_assignment(-overlap)
        taken = {int(r): int(c) for r, c in zip(rows, columns, strict=True) if overlap[r, c] > _NEAR}
        middle = boxes[:, :2] + boxes[:, 2:] / 2
        goal = told[:, :2] + told[:, 2:] / 2
        doubtful = set()
        for row, column in taken.items():
            for other, path in enumerate(self.open):
                if other == row or path not in self.open[row].met:
                    continue
                away = np.linalg.norm(middle[:, None] - goal[None, [row, other]], axis=-1)
                loss = away[column, 1] - away[column, 0]  # what it costs to give this blob to the other one
                if other in taken:
                    loss += away[taken[other], 0] - away[taken[other], 1]
                if loss < _MARGIN * told[row, 2]:
                    doubtful |= {row, other}
        for row in doubtful:
            taken.pop(row, None)
            self.open[row].missed = self.bridge + self.open[row].hidden  # ends in this frame; what is seen begins anew
        return taken

    def _whole(
        self, path: Path, blobs: list[Seen], column: int, told: np.ndarray, used: set[int]
    ) -> tuple[Seen, set[int]]:
        """The blob of a path with the pieces of the person that a post or a belt cuts off, and which these are."""
        seen, pieces = blobs[column], set()
        high, wide = 1.15 * told[3], 1.3 * path.late()[:, 2].max()
        for index, blob in enumerate(blobs):
            if index in used or np.count_nonzero(blob.silhouette) > np.count_nonzero(seen.silhouette):
                continue
            box = np.array(blob.box, float)
            if shared(told[None], box[None])[0, 0] < 0.6 * box[2] * box[3] or not adjoin(seen.box, blob.box):
                continue
            both = union(seen, blob)
            if both.box[2] < wide and both.box[3] < high:
                seen = both
                pieces.add(index)
        return seen, pieces

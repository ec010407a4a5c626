"""Eleven cameras around the path of a drawn walker, and the outlines that they see.

View 0 is walked towards, at 90 the person walks to the image's left, at 180 away.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from hub.data.walker_body import Body
from hub.data.walker_shapes import Ball

VIEWS = tuple(range(0, 181, 18))
HEIGHT, WIDTH = 240, 320
LEVEL = 1.2  # m above the ground
NEAREST = 3.0  # m: closer, a tall person does not fit
DISTANCE = (3.0, 6.0)  # m to the middle of the path; further where a long path would not fit
FOCAL = 300.0  # pixels
HORIZON = 90.0  # row
RIM = 22  # pixels that stay free on both sides of the hips
CORNERS = 28  # of a ball's outline
SHIFT = 4  # fractional bits of cv2's corners


@dataclass(frozen=True)
class Camera:
    """Looks level at the middle of the path."""

    azimuth: float  # radians from the walking direction to the walker's left
    distance: float

    def outlines(self, solids: Sequence[Sequence[Ball]]) -> np.ndarray:
        """Convex outlines int32 [T, solids, CORNERS, 2] in 1/16 pixels; a solid is the hull of its balls.

        Corner k is the furthest point of the balls in direction k (their support), so corners come in order.
        """
        away = np.array([np.cos(self.azimuth), np.sin(self.azimuth), 0])
        right = np.array([-away[1], away[0], 0])
        balls = [ball for solid in solids for ball in solid]
        centres = np.stack([ball.centre for ball in balls], 1)  # [T, B, 3]
        halves = np.stack([np.broadcast_to(ball.halves, (len(centres), 3, 3)) for ball in balls], 1)
        scale = FOCAL / np.maximum(self.distance - centres @ away, 0.5)
        x = WIDTH / 2 + scale * (centres @ right)
        y = HORIZON - scale * (centres[..., 2] - LEVEL)
        flat = np.stack([right, [0, 0, -1]]) @ halves * scale[..., None, None]  # [T, B, 2, 3]
        turn = 2 * np.pi * np.arange(CORNERS) / CORNERS
        ways = np.stack([np.cos(turn), np.sin(turn)])  # [2, K]
        pulled = flat.swapaxes(-1, -2) @ ways  # [T, B, 3, K]
        reach = np.linalg.norm(pulled, axis=2)
        corners = (flat @ (pulled / reach[:, :, None])).swapaxes(-1, -2) + np.stack([x, y], -1)[:, :, None]
        reach += (np.stack([x, y], -1)) @ ways
        outlines, first = [], 0
        for solid in solids:
            own = slice(first, first + len(solid))
            best = reach[:, own].argmax(1)[:, None, :, None]
            outlines.append(np.take_along_axis(corners[:, own], best, 1)[:, 0])
            first += len(solid)
        return np.round(np.stack(outlines, 1) * (1 << SHIFT)).astype(np.int32)


def camera(rng: np.random.Generator, view: int, body: Body, reach: float) -> Camera:
    """The camera of `view`, far enough for a path of `reach` metres to both sides of its middle."""
    azimuth = np.radians(view + body.heading)
    along, across = reach * np.abs([np.cos(azimuth), np.sin(azimuth)])
    fits = along + max(NEAREST, across * FOCAL / (WIDTH / 2 - RIM))
    return Camera(azimuth, max(rng.uniform(*DISTANCE), fits))


def paint(outlines: np.ndarray) -> np.ndarray:
    """Silhouettes uint8 [T, HEIGHT, WIDTH], 255 inside any of the outlines [T, solids, corners, 2]."""
    frames = np.zeros((len(outlines), HEIGHT, WIDTH), np.uint8)
    for frame, solids in zip(frames, outlines, strict=True):
        for corners in solids:
            cv2.fillConvexPoly(frame, corners, 255, shift=SHIFT)
    return frames

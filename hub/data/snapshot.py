"""A camera in front of a plane: perspective, light, blur, a small sensor, noise and JPEG."""

from dataclasses import dataclass

import cv2
import numpy as np

from hub.data.house_signs import Placed, Sign, extent

HEIGHT = (8, 40)  # of a digit on the sensor, pixels: the low-resolution bottleneck
STORED = (16, 40)  # of a digit in the stored picture, pixels, unless the sensor saw more: upscaled, then compressed
TURN = 12  # degrees either way
SHEAR = 0.2  # tangent, either way
JITTER = 0.15  # of a corner, as a share of the number's frame
GAUSS = 1.8  # pixels, largest; before the bottleneck, where a digit is 48 to 72 pixels high
MOTION = 7  # pixels, largest; likewise
NOISE = 0.04  # standard deviation of the sensor noise, largest, of 0..1
JPEG = (40, 95)


@dataclass(frozen=True)
class View:
    """Where the camera stands."""

    projection: np.ndarray  # [3, 3], plane -> frame
    frame: tuple[int, int]  # width and height in pixels of the plane's scale
    window: tuple[int, int, int, int]  # left, top, right, bottom of the plane that the frame can see

    def box(self, placed: Placed) -> tuple[float, float, float, float]:
        """left, top, width, height of a glyph's ink in the frame; a projection keeps the convex hull a hull."""
        hull = cv2.convexHull(cv2.findNonZero(placed.mask)).reshape(-1, 2)
        corners = _project(self.projection, hull + np.array([placed.left, placed.top]))
        low, high = corners.min(0), corners.max(0) + 1  # a pixel reaches from its index to the next
        return (*low, *(high - low))


def view(rng: np.random.Generator, sign: Sign) -> View:
    """A random standpoint from which the whole number is in the frame, with 0.2 to 0.8 digits of room on each side."""
    left, top, right, bottom = extent(sign.digits)
    wide, high = right - left, bottom - top
    frame = np.array([(left, top), (right, top), (right, bottom), (left, bottom)], np.float32)
    frame += 0.25 * sign.height * np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)])
    jitter = rng.uniform(-1, 1, (4, 2)) * rng.uniform(0, JITTER) * (wide, high)
    turn = np.deg2rad(rng.uniform(-TURN, TURN))
    affine = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    affine = affine @ [[1, rng.uniform(-SHEAR, SHEAR)], [0, 1]]
    seen = ((frame + jitter) @ affine.T).astype(np.float32)
    projection = cv2.getPerspectiveTransform(frame.astype(np.float32), seen)
    boxes = np.array([View(projection, (0, 0), (0, 0, 0, 0)).box(placed) for placed in sign.digits])
    low, high = boxes[:, :2].min(0), (boxes[:, :2] + boxes[:, 2:]).max(0)
    room = sign.height * rng.uniform(0.2, 0.8, 4) + 0.05 * np.tile(high - low, 2)
    low, size = low - room[:2], np.ceil(high - low + room[:2] + room[2:]).astype(int)
    projection = np.array([[1, 0, -low[0]], [0, 1, -low[1]], [0, 0, 1]]) @ projection
    corners = _project(np.linalg.inv(projection), np.array([(0, 0), (size[0], 0), size, (0, size[1])]))
    window = (*np.floor(corners.min(0)).astype(int) - 2, *np.ceil(corners.max(0)).astype(int) + 3)
    return View(projection, tuple(size.tolist()), tuple(map(int, window)))


def expose(rng: np.random.Generator, plane: np.ndarray, view: View, height: float) -> tuple[np.ndarray, np.ndarray]:
    """The picture of a painted plane.

    Args:
        plane: uint8 RGB, what `view.window` shows.
        height: mean height of a digit in the frame, in pixels.

    Returns:
        uint8 RGB picture, and its scale (x, y) with respect to the frame.
    """
    shift = np.array([[1, 0, view.window[0]], [0, 1, view.window[1]], [0, 0, 1]], float)
    image = cv2.warpPerspective(plane, view.projection @ shift, view.frame, borderMode=cv2.BORDER_REFLECT_101)
    image = _blur(rng, image)
    seen = rng.uniform(*HEIGHT)
    image = cv2.resize(image, _scaled(view.frame, seen / height), interpolation=cv2.INTER_AREA)
    image = _light(rng, image.astype(np.float32) / 255)
    grain = rng.standard_normal(image.shape, np.float32)
    image += grain * np.float32(NOISE * rng.random() ** 2) * np.sqrt(0.3 + image)  # photons make bright parts noisier
    size = _scaled(view.frame, max(seen, rng.uniform(*STORED)) / height)
    image = cv2.resize(image, size, interpolation=cv2.INTER_CUBIC)
    image = np.clip(image * 255 + 0.5, 0, 255).astype(np.uint8)
    return _compress(image, int(rng.integers(JPEG[0], JPEG[1] + 1))), np.divide(size, view.frame)


def _scaled(size: tuple[int, int], factor: float) -> tuple[int, int]:
    return round(size[0] * factor), round(size[1] * factor)


def _blur(rng: np.random.Generator, image: np.ndarray) -> np.ndarray:
    """Out of focus by up to GAUSS, then moved by up to MOTION in a random direction."""
    sigma, path, angle = rng.uniform(0, GAUSS), rng.uniform(0, MOTION), rng.uniform(0, np.pi)
    if sigma > 0.25:
        image = cv2.GaussianBlur(image, (0, 0), sigma)
    if path > 1:
        kernel = np.zeros((9, 9), np.float32)
        step = path / 2 * np.array([np.cos(angle), np.sin(angle)])
        ends = [np.rint((4 + sign * step) * 16).astype(int).tolist() for sign in (-1, 1)]
        cv2.line(kernel, *ends, 1.0, 1, cv2.LINE_8, 4)
        image = cv2.filter2D(image, -1, kernel / kernel.sum())
    return image


def _light(rng: np.random.Generator, image: np.ndarray) -> np.ndarray:
    """A slow gradient; now and then the edge of a shadow, or a glare. The exposure is right for the middle."""
    high, wide = image.shape[:2]
    y, x = np.mgrid[-1 : 1 : high * 1j, -1 : 1 : wide * 1j].astype(np.float32)
    angle = rng.uniform(0, 2 * np.pi)
    light = 1 + rng.uniform(0, 0.15) * (x * np.cos(angle) + y * np.sin(angle))
    if rng.random() < 0.35:
        angle = rng.uniform(0, 2 * np.pi)
        beyond = x * np.cos(angle) + y * np.sin(angle) - rng.uniform(-0.7, 0.7)
        light *= 1 - rng.uniform(0.2, 0.6) / (1 + np.exp(-beyond / rng.uniform(0.02, 0.2)))
    light /= light[high // 5 : -high // 5, wide // 5 : -wide // 5].mean()  # exposed for the middle
    image = image * light[..., None].astype(np.float32)
    if rng.random() < 0.2:
        centre, spread = rng.uniform(-1, 1, 2), rng.uniform(0.15, 0.5, 2)
        glare = np.exp(-(((x - centre[0]) / spread[0]) ** 2) - ((y - centre[1]) / spread[1]) ** 2)
        image += (rng.uniform(0.15, 0.5) * glare[..., None]).astype(np.float32) * (1 - image)
    return image


def _compress(image: np.ndarray, quality: int) -> np.ndarray:
    """What a JPEG file of this quality keeps."""
    _, stream = cv2.imencode(".jpg", image[..., ::-1], (cv2.IMWRITE_JPEG_QUALITY, quality))
    return np.ascontiguousarray(cv2.imdecode(stream, cv2.IMREAD_COLOR)[..., ::-1])


def _project(projection: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Points [k, 2] through a homography."""
    mapped = np.column_stack([points, np.ones(len(points))]) @ projection.T
    return mapped[:, :2] / mapped[:, 2:]

"""A scanned page of handwriting into its words, in reading order.

Paper divided out, ink by one threshold, small angles straightened by the sharpest row profile, lines from the peaks of
that profile, words from the wide gaps between the connected strokes of a line. Projection profiles and gap statistics
are the classical means (Likforman-Sulem, Zahour, Taconet, "Text line segmentation of historical documents: a survey",
IJDAR 9, 2007); the numbers below are this file's own. One column of text, upright, dark on light.
"""

import itertools
from dataclasses import dataclass

import cv2
import numpy as np
import scipy.ndimage
import scipy.signal

SMALLEST = 32  # pixels of a page's shorter side
STEEPEST = 10.0  # degrees of skew that are looked for
DARK = 0.35  # a page with a larger share of ink is a photograph or inverted
ROUGH = 0.05  # of the paper's brightness, by which paper varies at most
LETTER = 6  # pixels that the highest stroke has at least
FAINT = 0.12  # of the paper's brightness, by which ink is darker at least
SIDEWAYS = 2.0  # times as uneven as lines, columns are lines of a page on its side
ONE_LINE = 6  # times as wide as high, ink is one line, whose words part columns more than it parts rows
_REDUCED = 1000  # pixels of the longer side where angles are looked for


@dataclass(frozen=True)
class PageWords:
    """The N words of a page in reading order: line by line, from left to right."""

    page: np.ndarray  # uint8 [H', W'], straightened
    boxes: np.ndarray  # int64 [N, 4]: x, y, width, height in `page`
    line: np.ndarray  # int64 [N], from 0
    angle: float  # degrees by which the page was turned counterclockwise
    to_page: np.ndarray  # float64 [2, 3]: received (x, y, 1) to straightened (x, y)

    def __len__(self) -> int:
        return len(self.boxes)

    def images(self) -> list[np.ndarray]:
        """The words, each uint8 [h, w]."""
        return [self.page[y : y + height, x : x + width].copy() for x, y, width, height in self.boxes]

    def corners(self) -> np.ndarray:
        """float64 [N, 4, 2]: the boxes' corners (x, y) in the page that was received, clockwise from top left."""
        x, y, width, height = self.boxes.T[..., None]
        corners = np.stack([x + width * [0, 1, 1, 0], y + height * [0, 0, 1, 1]], axis=-1)
        return cv2.transform(corners.astype(np.float64), cv2.invertAffineTransform(self.to_page))


def page_words(page: np.ndarray) -> PageWords:
    """The words of a page.

    Args:
        page: uint8 [H, W] grey, of any resolution at which a line is at least some 10 pixels high.

    Raises:
        ValueError: one sentence: no grey bytes, too small, blank, no lines of writing (a photograph, say), or columns
            where lines should be (a page on its side).
    """
    if getattr(page, "ndim", None) != 2 or page.dtype != np.uint8:
        got = f"{page.dtype} {page.shape}" if hasattr(page, "dtype") else type(page).__name__
        raise ValueError(f"A page is a grey picture, uint8 [height, width]. Received: {got}.")
    if min(page.shape) < SMALLEST:
        raise ValueError(f"The page has {page.shape[1]} x {page.shape[0]} pixels; {SMALLEST} or more each way are "
                         "needed.")  # fmt: skip
    even = _even(page)
    if np.ptp(page) < FAINT * 255:
        raise ValueError("The page is blank: all of it has nearly one grey level.")
    if _spread(cv2.GaussianBlur(even, (0, 0), 1.5)) > ROUGH:  # the grain of a sensor averages out, a motif does not
        raise ValueError(
            "The page is no even paper, a photograph or inverted perhaps; a scan of dark ink on light paper is needed."
        )
    mask = _strokes(even)
    if cv2.connectedComponentsWithStats(mask, connectivity=8)[2][1:, cv2.CC_STAT_HEIGHT].max(initial=0) < LETTER:
        raise ValueError("The page is blank: nothing on it is much darker than the paper and as large as a letter.")
    if (share := mask.mean()) > DARK:
        raise ValueError(f"The page has no lines of writing, {share:.0%} of it is dark; a scan of dark ink on light "
                         "paper is needed.")  # fmt: skip
    angle, sideways = _skew(mask)
    if sideways > SIDEWAYS:
        raise ValueError("The page has columns where lines should be; turn it by 90 degrees.")
    to_page, size = _turn(page.shape, angle)
    paper = float(np.median(page[mask == 0]))
    turned = cv2.warpAffine(page, to_page, size, flags=cv2.INTER_LINEAR, borderValue=paper) if angle else page.copy()
    if angle:
        mask = _strokes(cv2.warpAffine(even, to_page, size, flags=cv2.INTER_LINEAR, borderValue=1.0))
    boxes, line = _words(mask)
    return PageWords(turned, boxes, line, angle, to_page)


def _even(page: np.ndarray) -> np.ndarray:
    """float32 [H, W]: brightness over that of the paper around, which is 1 then."""
    scale = min(500 / max(page.shape), 1.0)
    small = cv2.resize(page, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    small = cv2.GaussianBlur(small, (0, 0), 1.0)
    reach = max(round(0.05 * max(small.shape)), 3) | 1
    paper = cv2.morphologyEx(small, cv2.MORPH_CLOSE, np.ones((reach, reach), np.uint8))
    paper = cv2.GaussianBlur(paper, (0, 0), reach / 2)
    even = page / np.maximum(cv2.resize(paper, page.shape[::-1], interpolation=cv2.INTER_LINEAR), 1).astype(np.float32)
    return even / max(float(np.median(even)), 1e-6)


def _spread(even: np.ndarray) -> float:
    """Standard deviation of the paper, by its median, which ink hardly moves."""
    return 1.4826 * float(np.median(np.abs(even - 1)))


def _strokes(even: np.ndarray) -> np.ndarray:
    """uint8 [H, W]: 1 where there is ink, without rules, borders of the scan and specks."""
    noise = _spread(even)
    dark = even < 1 - max(6 * noise, FAINT)
    if not dark.any():
        return dark.astype(np.uint8)
    half = (1 + np.percentile(even[dark], 25)) / 2  # of the way from paper to ink
    mask = (even < min(half, 1 - 5 * noise)).astype(np.uint8)
    (high, wide), edge = mask.shape, min(mask.shape)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    x, y, width, height, area = stats.T.astype(np.int64)
    at_edge = (x == 0) | (y == 0) | (x + width == wide) | (y + height == high)
    border = at_edge & ((width > wide / 3) | (height > high / 3))
    rule = ((width > wide / 2) & (area < 0.012 * edge * width)) | ((height > high / 2) & (area < 0.012 * edge * height))
    keep = ~border & ~rule & (area > 2)
    keep[0] = False
    return keep.astype(np.uint8)[labels]


def _skew(mask: np.ndarray) -> tuple[float, float]:
    """The angle, in degrees, by which lines fall to the right, and how much more columns stand out than lines."""
    scale = min(_REDUCED / max(mask.shape), 1.0)
    small = cv2.resize(mask.astype(np.float32), None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    y, x = np.nonzero(small)
    ink = small[y, x]

    def profile(angle: float, along: np.ndarray, across: np.ndarray) -> np.ndarray:
        turn = np.deg2rad(angle)
        place = across * np.cos(turn) - along * np.sin(turn)
        return np.bincount(np.rint(place - place.min()).astype(np.int64), ink)

    def sharpest(angles: np.ndarray, along: np.ndarray, across: np.ndarray) -> float:
        found = [(np.diff(profile(angle, along, across), prepend=0, append=0) ** 2).sum() for angle in angles]
        return float(angles[int(np.argmax(found))])

    coarse = np.arange(-STEEPEST, STEEPEST + 0.25, 0.5)
    angle = sharpest(sharpest(coarse, x, y) + np.arange(-0.5, 0.55, 0.1), x, y)
    uneven = [
        scipy.ndimage.gaussian_filter1d(profile(at, *axes), 2)
        for at, axes in ((angle, (x, y)), (sharpest(coarse, y, x), (y, x)))
    ]
    lines, columns = (float(np.var(found) / np.mean(found) ** 2) for found in uneven)
    several = np.ptp(x) < ONE_LINE * np.ptp(y)
    return (0.0 if abs(angle) < 0.15 else angle), columns / max(lines, 1e-9) if several else 0.0


def _turn(shape: tuple[int, int], angle: float) -> tuple[np.ndarray, tuple[int, int]]:
    """The turn counterclockwise by `angle` degrees onto a canvas that holds the whole page: [2, 3], (width, height)."""
    high, wide = shape
    turn = cv2.getRotationMatrix2D(((wide - 1) / 2, (high - 1) / 2), angle, 1.0)
    cosine, sine = abs(turn[0, 0]), abs(turn[0, 1])
    width, height = (int(np.ceil(wide * cosine + high * sine)), int(np.ceil(wide * sine + high * cosine)))
    turn[:, 2] += (width - wide) / 2, (height - high) / 2
    return turn, (width, height)


def _words(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Boxes int64 [N, 4] and lines int64 [N] of a straight page's strokes."""
    mask, peaks = _lines(mask)
    stats, middles = (values[1:] for values in cv2.connectedComponentsWithStats(mask, connectivity=8)[2:])
    stats = stats.astype(np.int64)
    of = np.abs(middles[:, 1:] - peaks).argmin(1)
    core = _core(mask, peaks)
    x, y, width, height, _ = stats.T
    groups, gaps = [], []
    for line in range(len(peaks)):
        own = np.flatnonzero(of == line)
        own = own[np.argsort(x[own], kind="stable")]
        reached = np.maximum.accumulate((x + width)[own])
        gap = x[own][1:] - reached[:-1]
        groups.append((own, gap))
        gaps.append(gap[gap > 0])
    limit = core * _limit(np.concatenate(gaps) / core)
    boxes, lines = [], []
    for line, (own, gap) in enumerate(groups):
        for part in np.split(own, np.flatnonzero(gap > limit) + 1):
            left, top = x[part].min(), y[part].min()
            right, bottom = (x + width)[part].max(), (y + height)[part].max()
            if max(right - left, bottom - top) >= 0.5 * core:
                boxes.append((left, top, right - left, bottom - top))
                lines.append(line)
    return np.array(boxes, np.int64).reshape(-1, 4), np.array(lines, np.int64)


def _lines(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The strokes, cut where they reach from one line into the next, and the row of each line."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    top, height, area = stats[:, 1], stats[:, 3], stats[:, 4]
    letter = float(np.median(height[1:][area[1:] >= np.median(area[1:]) / 4]))  # not the dots
    profile = scipy.ndimage.gaussian_filter1d(mask.sum(1, dtype=np.float64), 0.25 * letter, mode="constant")
    peaks, facts = scipy.signal.find_peaks(np.pad(profile, 1), distance=max(letter, 1), prominence=0)
    peaks = peaks[facts["prominences"] > 0.3 * profile[peaks - 1]] - 1
    mask = mask.copy()
    for above, below in itertools.pairwise(peaks):
        valley = above + int(np.argmin(profile[above:below]))
        across = (top < above - letter / 4) & (top + height > below + letter / 4)
        across[0] = False
        mask[valley, across[labels[valley]]] = 0
    return mask, peaks


def _core(mask: np.ndarray, peaks: np.ndarray) -> float:
    """The median height of the lines' cores, the letters without what rises above and hangs below."""
    profile = mask.sum(1, dtype=np.float64)
    heights = []
    for peak in peaks:
        low = profile > profile[max(peak - 2, 0) : peak + 3].max() / 2
        above, below = np.flatnonzero(~low[:peak]), np.flatnonzero(~low[peak:])
        heights.append((peak + below[0] if below.size else len(low)) - (above[-1] + 1 if above.size else 0))
    return float(max(np.median(heights), 2))


def _limit(gaps: np.ndarray) -> float:
    """The gap between words, in heights of a line's core, that parts the page's gaps best.

    Joined letters leave no gaps but those between words, so that what parts best may lie among those: it has bounds.
    """
    gaps = np.sort(gaps[gaps < 4])
    if len(gaps) < 4:
        return 0.6
    below = np.arange(1, len(gaps))
    first = np.cumsum(gaps)[:-1]
    between = (first / below - (gaps.sum() - first) / (len(gaps) - below)) ** 2 * below * (len(gaps) - below)
    at = int(np.argmax(between))
    return float(np.clip((gaps[at] + gaps[at + 1]) / 2, 0.4, 0.6))

"""Pages composed of drawn words, whose boxes are known, back into words; pages that are none."""

import cv2
import numpy as np
import pytest
from sklearn.datasets import load_sample_image

from hub.data.page_words import PageWords, page_words

ONE_SENTENCE = r"^[^\n]+\.$"
TEXT = (
    "the of quick brown fox jumps over lazy dog and a in harbour minister yesterday said people would agree but typing "
    "judge quality my I with which Parliament for it is was paper letters question"
)


def compose(seed=0, shape=(700, 620), scale=0.8, font=cv2.FONT_HERSHEY_SIMPLEX, angle=0.0, noise=6, paper=225, ink=50,
            thick=2, pitch=2.8, shade=0.0, lines=99):  # fmt: skip
    """(page uint8, boxes of the upright words in reading order, the turn applied [2, 3]); `angle` lowers the right."""
    rng, page, boxes = np.random.default_rng(seed), np.full(shape, 255, np.uint8), []
    letter, y = 14 * scale, int(50 * scale) + 20
    while y < shape[0] - 30 * scale and lines:
        lines -= 1
        x = int(30 + rng.uniform(0, 30))
        end = shape[1] - 30 if rng.random() > 0.2 else shape[1] * rng.uniform(0.4, 0.7)
        while True:
            word = str(rng.choice(TEXT.split()))
            if x + cv2.getTextSize(word, font, scale, thick)[0][0] > end:
                break
            alone = np.full(shape, 255, np.uint8)
            cv2.putText(alone, word, (x, int(y + rng.normal(0, 1))), font, scale, 0, thick, cv2.LINE_AA)
            rows, columns = np.nonzero(alone < 128)
            boxes.append((columns.min(), rows.min(), np.ptp(columns) + 1, np.ptp(rows) + 1))
            page = np.minimum(page, alone)
            x = columns.max() + int(letter * rng.uniform(1.0, 1.6))
        y += int(letter * pitch * rng.uniform(0.95, 1.05))
    page = page / 255 * (paper - ink) + ink
    turn = cv2.getRotationMatrix2D((shape[1] / 2, shape[0] / 2), -angle, 1.0)
    grown = 1.2 if angle else 1.0
    turn[:, 2] += (grown - 1) / 2 * shape[1], (grown - 1) / 2 * shape[0]
    size = (int(grown * shape[1]), int(grown * shape[0]))
    page = cv2.warpAffine(page, turn, size, borderValue=paper) * np.linspace(1 - shade, 1, size[0])
    return np.clip(page + rng.normal(0, noise, page.shape), 0, 255).astype(np.uint8), np.array(boxes), turn


def overlap(boxes, others):
    """Intersection over union [N, M] of boxes x, y, width, height."""
    boxes, others = boxes[:, None].astype(float), others[None].astype(float)
    low = np.maximum(boxes[..., :2], others[..., :2])
    high = np.minimum(boxes[..., :2] + boxes[..., 2:], others[..., :2] + others[..., 2:])
    shared = np.clip(high - low, 0, None).prod(-1)
    return shared / (boxes[..., 2:].prod(-1) + others[..., 2:].prod(-1) - shared)


def found_again(found: PageWords, true: np.ndarray, turn: np.ndarray) -> tuple[float, float, float]:
    """Recall and precision at an overlap of 0.7, and the share of neighbours that are in reading order."""
    middle = cv2.transform(found.corners(), cv2.invertAffineTransform(turn)).mean(1)  # where it was before the turn
    shared = overlap(np.concatenate([middle - found.boxes[:, 2:] / 2, found.boxes[:, 2:]], 1), true)
    return (shared.max(0) > 0.7).mean(), (shared.max(1) > 0.7).mean(), (np.diff(shared.argmax(1)) == 1).mean()


PAGES = {
    "plain": {},
    "serifs": {"font": cv2.FONT_HERSHEY_COMPLEX},
    "script": {"font": cv2.FONT_HERSHEY_SCRIPT_COMPLEX, "pitch": 4},
    "falling": {"angle": 3.0, "font": cv2.FONT_HERSHEY_DUPLEX},
    "rising": {"angle": -6.0},
    "shaded": {"shade": 0.35, "noise": 10},
    "pencil": {"ink": 140, "noise": 8},
    "one line": {"lines": 1, "shape": (120, 700)},
    "fine": {"scale": 0.55, "thick": 1, "shape": (500, 450)},
    "narrow": {"pitch": 2.2},
}


@pytest.mark.parametrize("name", PAGES)
def test_words_of_a_drawn_page(name):
    page, true, turn = compose(seed=3, **PAGES[name])
    found = page_words(page)
    recall, precision, order = found_again(found, true, turn)
    assert min(recall, precision, order) >= 0.9, (recall, precision, order)
    assert abs(found.angle - PAGES[name].get("angle", 0)) <= 0.5
    assert found.line[0] == 0 and set(np.diff(found.line)) <= {0, 1}
    for (x, y, width, height), image in zip(found.boxes, found.images(), strict=True):
        np.testing.assert_array_equal(image, found.page[y : y + height, x : x + width])


def test_a_page_twice_as_large_has_the_same_words():
    page, _, _ = compose(seed=1, noise=0)
    once, twice = page_words(page), page_words(cv2.resize(page, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC))
    assert len(once) == len(twice)
    assert (np.diag(overlap(2 * once.boxes, twice.boxes)) > 0.8).all()


def test_borders_and_rules_are_no_words():
    page, true, turn = compose(seed=2)
    page[:, :12] = page[:9] = 20  # the lid of the scanner
    page[40:42, 15:] = page[-30:-28, 15:] = 60
    recall, precision, _ = found_again(page_words(page), true, turn)
    assert min(recall, precision) >= 0.9


def told(words, page):
    with pytest.raises(ValueError, match=ONE_SENTENCE) as raised:
        page_words(page)
    assert words in str(raised.value), raised.value


def test_pages_that_are_none_get_one_sentence():
    rng = np.random.default_rng(0)
    for blank in (np.full((400, 300), 255), np.zeros((400, 300)), rng.normal(220, 6, (400, 300)),
                  rng.normal(np.linspace(120, 230, 300), 4, (400, 300))):  # fmt: skip
        told("is blank", np.clip(blank, 0, 255).astype(np.uint8))
    dust = np.full((400, 300), 230, np.uint8)
    dust[rng.integers(0, 400, 20), rng.integers(0, 300, 20)] = 30
    dust[50:53, 60:62] = 30
    told("is blank", dust)
    for name in ("china.jpg", "flower.jpg"):
        photo = cv2.cvtColor(load_sample_image(name), cv2.COLOR_RGB2GRAY)
        told("photograph", photo)
        told("photograph", photo[100:300, 200:400])
    told("photograph", cat())
    told("photograph", rng.integers(0, 256, (300, 300), np.uint8))
    told("32 or more", np.full((1, 1), 200, np.uint8))
    for bad in (np.zeros((50, 50)), np.zeros((50, 50, 3), np.uint8), None):
        told("uint8 [height, width]", bad)


@pytest.mark.parametrize("angle", [0.0, 4.0])
def test_a_page_on_its_side_gets_one_sentence(angle):
    page, _, _ = compose(seed=4, angle=angle)
    told("turn it by 90 degrees", np.ascontiguousarray(page.T))
    told("turn it by 90 degrees", np.rot90(page).copy())


def cat() -> np.ndarray:
    """A photograph's likeness: soft fur of all greys, ears, eyes, whiskers."""
    rng = np.random.default_rng(1)
    fur = (
        cv2.GaussianBlur(rng.normal(0, 1, (480, 640)), (0, 0), 12) * 400
        + cv2.GaussianBlur(rng.normal(0, 1, (480, 640)), (0, 0), 1.5) * 60
    )
    picture = np.clip(150 + fur, 0, 255).astype(np.uint8)
    cv2.ellipse(picture, (320, 280), (150, 130), 0, 0, 360, 90, -1)
    for side in (-1, 1):
        corners = np.array([(320 + side * 140, 220), (320 + side * 110, 90), (320 + side * 40, 170)])
        cv2.fillPoly(picture, [corners], 80)
        cv2.circle(picture, (320 + side * 55, 250), 22, 200, -1)
        cv2.line(picture, (320 + side * 30, 320), (320 + side * 170, 300), 230, 2)
    return cv2.GaussianBlur(cv2.add(picture, rng.integers(0, 30, picture.shape, np.uint8)), (0, 0), 1.0)

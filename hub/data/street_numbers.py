"""Street numbers: an endless, labelled sample of house-number photographs drawn from a seed (generator H).

Paper: Goodfellow et al., "Multi-digit Number Recognition from Street View Imagery using Deep Convolutional Neural
    Networks", ICLR 2014, arXiv:1312.6082
Slug: multi_digit_recognition
Idea: compose printed and handwritten digits with walls, plates, light, perspective, blur, a small sensor and JPEG.
Differs: the paper photographs houses; here they are drawn, with SVHN's law of lengths and exact digit boxes.
Checked: ink within its box, law of lengths, contrast and digit heights within their ranges, seed and order independence
    (tests/test_street_numbers.py).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from hub.data import house_signs, number_faces, snapshot
from hub.registry import register

LENGTHS = np.array([5137, 18130, 8691, 1434, 9, 1]) / 33402  # of 1..6 digits, the training part of SVHN


@dataclass(frozen=True)
class Scene:
    """One photograph with its digits in reading order."""

    image: np.ndarray  # uint8 [H, W, 3] RGB
    boxes: np.ndarray  # float32 [n, 4] left, top, width, height in pixels; may leave the image
    labels: tuple[int, ...]  # n digits 0..9

    @property
    def text(self) -> str:
        """The number as it is read."""
        return "".join(map(str, self.labels))


@register("street_numbers")
def street_numbers(count: int, seed: int, *, ink: number_faces.Ink | None = None) -> Iterator[Scene]:
    """Scenes 0..count - 1 of `seed`. Scene i is `scene(i, seed)`, so that processes can share the work.

    Args:
        count: how many.
        seed: non-negative; another seed gives other numbers on other walls.
        ink: draws the digits, `(rng, digits, height in pixels) -> glyphs`; the default prints 65 % and handwrites 35 %.
    """
    if count < 0 or seed < 0:
        raise ValueError(f"`count` and `seed` must not be negative. Received: count={count}, seed={seed}.")
    return (scene(index, seed, ink=ink) for index in range(count))


def scene(index: int, seed: int, *, ink: number_faces.Ink | None = None) -> Scene:
    """Scene `index` of `seed`, whatever was drawn before."""
    rng = np.random.default_rng([seed, index])
    labels = number(rng)
    sign = house_signs.sign(rng, labels, ink or number_faces.written)
    view = snapshot.view(rng, sign)
    boxes = np.array([view.box(placed) for placed in sign.digits])
    plane = house_signs.paint(rng, sign, view.window)
    image, scale = snapshot.expose(rng, plane, view, float(boxes[:, 3].mean()))
    return Scene(image, (boxes * np.tile(scale, 2)).astype(np.float32), labels)


def number(rng: np.random.Generator) -> tuple[int, ...]:
    """The digits of a number: a length of SVHN's law, every digit equally likely at every place."""
    return tuple(rng.integers(10, size=1 + rng.choice(len(LENGTHS), p=LENGTHS)).tolist())


def contract_example(make: Callable) -> None:
    """One box per digit, inside or near the picture; scene 2 does not depend on scenes 0 and 1."""
    scenes = list(make(3, 5))
    assert np.array_equal(scenes[2].image, scene(2, 5).image) and scenes[2].labels == scene(2, 5).labels
    for drawn in scenes:
        assert drawn.image.dtype == np.uint8 and drawn.image.ndim == 3
        assert drawn.boxes.shape == (len(drawn.labels), 4) and (drawn.boxes[:, 2:] > 1).all()

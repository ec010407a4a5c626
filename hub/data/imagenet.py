"""ImageNet's thousand classes, and pictures prepared as networks trained on them expect.

The classes are those of ILSVRC 2012 in the order of their WordNet numbers, each with WordNet's first word for it.
"""

import functools
import pathlib

import numpy as np
import tensorflow as tf

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of the training pictures, RGB in 0..1
CROP = 0.875  # share of the shorter side that is seen


@functools.cache
def classes() -> tuple[tuple[str, str], ...]:
    """(WordNet number, word) of each class, in the order of the logits; two words, crane and maillot, occur twice."""
    text = pathlib.Path(__file__).with_name("imagenet_classes.tsv").read_text(encoding="utf-8")
    return tuple(tuple(line.split("\t")) for line in text.splitlines())


def prepare(
    picture: np.ndarray,
    size: tuple[int, int],
    mean: float | tuple[float, ...] = MEAN,
    std: float | tuple[float, ...] = STD,
) -> np.ndarray:
    """The middle of `picture`, RGB uint8 [height, width, 3], standardised: float32 [*size, 3].

    Height and width are scaled alike (bicubic, smoothed where it shrinks) until `size` covers 7/8 of the shorter one.

    Args:
        size: height and width of the result.
        mean: subtracted from values in 0..1, of each colour or of all.
        std: the remainder is divided by it.
    """
    height, width = picture.shape[:2]
    scale = max(size[0] / height, size[1] / width) / CROP
    shape = [max(round(height * scale), size[0]), max(round(width * scale), size[1])]
    image = tf.image.resize(picture, shape, tf.image.ResizeMethod.BICUBIC, antialias=True).numpy()
    top, left = (shape[0] - size[0]) // 2, (shape[1] - size[1]) // 2
    image = np.clip(np.rint(image[top : top + size[0], left : left + size[1]]), 0, 255) / np.float32(255)
    return (image - np.float32(mean)) / np.float32(std)

"""ImageNet's classes, and pictures prepared as published networks expect."""

import numpy as np
import pytest
from PIL import Image

from hub.data import imagenet


def test_a_thousand_classes_in_the_order_of_wordnet():
    classes = imagenet.classes()
    assert len(classes) == 1000 and sorted(classes) == list(classes)
    assert classes[0] == ("n01440764", "tench") and classes[207][1] == "golden retriever"
    assert classes[999][1] == "toilet tissue"


@pytest.mark.parametrize(("height", "width"), [(300, 500), (640, 480), (100, 90), (224, 224)])
def test_the_middle_of_a_picture_as_pillow_cuts_it(height, width):
    """7/8 of the shorter side, whatever the shape; Pillow's bicubic kernel is TensorFlow's but for its parameter."""
    ramp = np.linspace(0, 255, height)[:, None, None] * 0.5 + np.linspace(0, 120, width)[:, None]
    picture = np.broadcast_to(ramp, (height, width, 3)).round().astype("uint8")
    found = imagenet.prepare(picture, (64, 48), mean=0.5, std=0.5)
    assert found.shape == (64, 48, 3) and found.dtype == np.float32 and np.abs(found).max() <= 1
    scale = max(64 / height, 48 / width) / imagenet.CROP
    tall, wide = max(round(height * scale), 64), max(round(width * scale), 48)
    image = Image.fromarray(picture).resize((wide, tall), Image.BICUBIC)
    left, top = (wide - 48) // 2, (tall - 64) // 2
    theirs = np.asarray(image.crop((left, top, left + 48, top + 64)), "float32") / 127.5 - 1
    assert np.abs(found - theirs).max() < 3 / 127.5


def test_colours_are_standardised_each():
    gray = np.full((50, 50, 3), 255, "uint8")
    found = imagenet.prepare(gray, (32, 32))
    np.testing.assert_allclose(found[5, 5], (1 - np.array(imagenet.MEAN)) / imagenet.STD, rtol=1e-5)

"""idx files as MNIST and its relatives are published, whole and broken."""

import gzip
import struct

import numpy as np
import pytest

from hub.data import idx_images


def idx(array):
    return bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (7, 28, 28), "uint8"), rng.integers(0, 10, 7, "uint8")
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(images)))
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(idx(labels))
    return tmp_path, images, labels


def test_what_was_written_is_read(folder):
    path, images, labels = folder
    found = idx_images.split(path, "train")
    np.testing.assert_array_equal(found[0], images)
    np.testing.assert_array_equal(found[1], labels)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "begins with nothing"),
        (b"\x89PNG\r\n", "89504e47"),
        (idx(np.zeros((7, 28, 28), "uint8"))[:-1], "5,488. Received: 5,487"),
        (idx(np.zeros((7, 28, 28), "uint8")) + b"x", "Received: 5,489"),
        (gzip.compress(idx(np.zeros((7, 28, 28), "uint8")))[:-9], "damaged gzip"),
        (idx(np.zeros((6, 28, 28), "uint8")), "images of shape"),
        (bytes([0, 0, 13, 1]) + b"\0" * 8, "no idx file of bytes"),
    ],
)
def test_what_is_broken_is_told(folder, content, told):
    path, _, _ = folder
    (path / "train-images-idx3-ubyte.gz").write_bytes(content)
    with pytest.raises(ValueError, match=told):
        idx_images.split(path, "train")


def test_what_is_missing_is_told(folder):
    with pytest.raises(ValueError, match=r"neither t10k-images-idx3-ubyte\.gz nor t10k-images-idx3-ubyte"):
        idx_images.split(folder[0], "test")
    with pytest.raises(ValueError, match="train and test"):
        idx_images.split(folder[0], "validation")

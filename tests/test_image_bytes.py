"""Encoded pictures to pixels: Pillow is the oracle, and training and serving must agree to the last bit."""

import io
import struct

import cv2
import numpy as np
import pytest
import tensorflow as tf
from awkward_images import awkward_images, broken_images, encode, exif, huge_image, scene, upright
from PIL import Image, ImageOps

from hub.export import image_bytes

AWKWARD = awkward_images()
BROKEN = broken_images()


def pillow(data: bytes) -> np.ndarray:
    """float `[H, W, 3]` by Pillow: upright, RGB, transparency laid on white; by OpenCV the 16 bits that Pillow cuts."""
    if data.startswith(b"\x89PNG") and data[24] == 16:
        deep = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
        return (cv2.cvtColor(deep, cv2.COLOR_GRAY2RGB) if deep.ndim == 2 else deep[..., ::-1]) / 257
    image = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    if image.mode in ("LA", "RGBA") or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return np.array(image.convert("RGB"), np.float64)


@pytest.fixture(scope="module")
def served(tmp_path_factory) -> tf.types.experimental.GenericFunction:
    """A SavedModel's signature that decodes and resizes, loaded again from disk."""
    folder = str(tmp_path_factory.mktemp("served"))
    module = tf.Module()

    @tf.function(input_signature=[tf.TensorSpec((None,), tf.string, name="image_bytes")])
    def pixels(strings):
        return {"pixels": image_bytes.decode_batch(strings, 64, 64)}

    module.pixels = pixels
    tf.saved_model.save(module, folder, signatures={"serving_bytes": pixels})
    loaded = tf.saved_model.load(folder)
    signature = loaded.signatures["serving_bytes"]
    signature.owner = loaded  # a signature does not keep its model alive
    return signature


@pytest.mark.parametrize("name", AWKWARD)
def test_pixels_are_pillows(name):
    ours, theirs = image_bytes.decode(tf.constant(AWKWARD[name])).numpy(), pillow(AWKWARD[name])
    assert ours.dtype == np.float32
    assert ours.shape == theirs.shape
    assert np.abs(ours - theirs).max() <= 1


def test_every_orientation_gives_the_same_upright_picture():
    """Turned by NumPy, tagged with the inverse turn: each must come back as it was."""
    image = scene()
    stored = {
        1: image,
        2: image[:, ::-1],
        3: image[::-1, ::-1],
        4: image[::-1],
        5: image.transpose(1, 0, 2),
        6: np.rot90(image),  # shown turned by 90 degrees clockwise
        7: image[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(image, -1),
    }
    for value, pixels in stored.items():
        data = encode(Image.fromarray(np.ascontiguousarray(pixels)), "JPEG", quality=100, subsampling=0)
        app1 = exif(value)
        data = data[:2] + b"\xff\xe1" + struct.pack(">H", 2 + len(app1)) + app1 + data[2:]
        assert np.abs(image_bytes.read_image(data) - image).max() <= 6, value  # JPEG's own loss; a wrong turn costs 200


@pytest.mark.parametrize("value", [0, 9, 255])
def test_an_orientation_out_of_range_is_ignored(value):
    data = encode(Image.fromarray(scene()), "JPEG", exif=exif(value))
    assert image_bytes.read_image(data).shape == (37, 53, 3)


def test_exif_of_an_unknown_byte_order_is_ignored():
    upright, turned = (encode(Image.fromarray(scene()), "JPEG", exif=exif(value)) for value in (1, 6))
    np.testing.assert_array_equal(
        image_bytes.read_image(turned.replace(b"Exif\0\0II*", b"Exif\0\0II+")), image_bytes.read_image(upright)
    )


def test_damaged_exif_never_costs_the_picture():
    data = next(data for name, data in upright().items() if name == "exif_6_ii.jpg")
    start = data.index(b"Exif")
    want = {(37, 53, 3), (53, 37, 3)}
    rng = np.random.default_rng(0)
    for _ in range(60):
        broken = bytearray(data)
        for at in rng.integers(start, start + 32, 3):
            broken[at] = rng.integers(256)
        assert image_bytes.read_image(bytes(broken)).shape in want


def test_training_and_serving_pixels_are_identical(served):
    """`tf.data`, the SavedModel's signature and Python see one picture, for every awkward one."""
    encoded = list(AWKWARD.values())
    dataset = tf.data.Dataset.from_tensor_slices(encoded)
    dataset = dataset.map(lambda data: image_bytes.resize(image_bytes.decode(data), 64, 64), num_parallel_calls=2)
    training = np.stack([image.numpy() for image in dataset])
    serving = served(image_bytes=tf.constant(encoded))["pixels"].numpy()
    np.testing.assert_array_equal(training, serving)
    python = np.stack([image_bytes.resize(image_bytes.read_image(data), 64, 64) for data in encoded])
    np.testing.assert_array_equal(training, python)
    np.testing.assert_array_equal(serving, serving.astype(np.uint8))  # whole grey levels: storing them loses nothing
    for name, data, image in zip(AWKWARD, encoded, serving, strict=True):
        theirs = Image.fromarray(np.uint8(np.round(pillow(data)))).resize((64, 64), Image.Resampling.BILINEAR)
        assert np.abs(image - np.array(theirs, np.float64)).max() <= 1, name


def test_a_huge_picture_is_one_like_any_other(served):
    data = huge_image()
    ours = served(image_bytes=tf.constant([data]))["pixels"].numpy()[0]
    theirs = np.array(Image.open(io.BytesIO(data)).resize((64, 64), Image.Resampling.BILINEAR), np.float64)
    assert np.abs(ours - theirs).max() <= 1


def test_shrinking_averages_instead_of_picking():
    """Stripes one pixel wide, shrunk eightfold, are the gray between them: plain bilinear would give stripes."""
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2] = 200
    shrunk = image_bytes.resize(stripes, 8, 8).numpy()
    assert np.abs(shrunk[:, 1:-1] - 100).max() <= 2
    np.testing.assert_array_equal(image_bytes.resize(stripes, 64, 64), stripes)


def test_resize_against_slow_loops():
    """The triangle filter of half-pixel centres, widened by the scale when shrinking, in plain Python."""

    def weights(size: int, new: int) -> np.ndarray:
        scale = size / new
        reach = max(scale, 1)
        rows = [[max(0, 1 - abs((out + 0.5) * scale - 0.5 - at) / reach) for at in range(size)] for out in range(new)]
        return np.array([[w / sum(row) for w in row] for row in rows])

    image = scene(23, 41)
    for height, width in ((7, 90), (50, 11), (23, 41), (1, 1)):
        want = np.einsum("hy,wx,yxc->hwc", weights(23, height), weights(41, width), image.astype(float))
        assert np.abs(image_bytes.resize(image, height, width).numpy() - want).max() <= 0.501


def test_an_empty_batch_stays_a_batch(served):
    assert served(image_bytes=tf.constant([], tf.string))["pixels"].shape == (0, 64, 64, 3)


@pytest.mark.parametrize("name", BROKEN)
def test_broken_files_get_one_sentence(name, tmp_path):
    path = tmp_path / name
    path.write_bytes(BROKEN[name])
    with pytest.raises(ValueError, match=r"^[^\n]+\.$") as raised:
        image_bytes.read_image(path)
    assert str(raised.value).startswith(str(path))


@pytest.mark.parametrize("name", BROKEN)
def test_broken_strings_fail_in_the_graph(name, served):
    good = AWKWARD["rgb.png"]
    with pytest.raises(tf.errors.InvalidArgumentError):
        served(image_bytes=tf.constant([good, BROKEN[name]]))


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("empty.png", "0 bytes"),
        ("text.jpg", "a text file"),
        ("noise.png", "not a picture"),
        ("cut.png", "cut short"),
        ("cut.jpg", "cut short"),
        ("bad_checksum.png", "damaged"),
        ("bomb.png", "more than 100 megapixels"),
        ("animation.gif", "a GIF file"),
        ("scan.tif", "a TIFF file"),
        ("web.webp", "a WebP file"),
    ],
)
def test_the_sentence_says_what_is_wrong(name, words):
    with pytest.raises(ValueError, match=words):
        image_bytes.read_image(BROKEN[name])


def test_the_sentence_of_the_graph_is_readable(served):
    with pytest.raises(tf.errors.InvalidArgumentError, match="neither a JPEG nor a PNG nor a BMP file"):
        served(image_bytes=tf.constant([BROKEN["text.jpg"]]))
    with pytest.raises(tf.errors.InvalidArgumentError, match="more than 100 megapixels"):
        served(image_bytes=tf.constant([BROKEN["bomb.png"]]))


def test_missing_files_and_folders_get_one_sentence(tmp_path):
    with pytest.raises(ValueError, match=r"nowhere\.png does not exist; name a JPEG, PNG or BMP file\.$"):
        image_bytes.read_image(tmp_path / "nowhere.png")
    with pytest.raises(ValueError, match=r"is a folder; name a picture in it\.$"):
        image_bytes.read_image(tmp_path)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "BMP"])
def test_too_many_pixels_of_any_format_are_refused(kind, monkeypatch):
    monkeypatch.setattr(image_bytes, "MAX_PIXELS", 37 * 53 - 1)
    data = encode(Image.fromarray(scene()), kind)
    with pytest.raises(ValueError, match="megapixels"):
        image_bytes.read_image(data)
    monkeypatch.setattr(image_bytes, "MAX_PIXELS", 37 * 53)
    assert image_bytes.read_image(data).shape == (37, 53, 3)

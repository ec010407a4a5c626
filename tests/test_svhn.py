"""SVHN in its real layouts: MATLAB's structure, the tfds builders, the crop, and what bad folders are told."""

import contextlib
import shutil
import socket
import subprocess
import sys
import time

import h5py
import numpy as np
import pytest
import scipy.io
import tensorflow as tf
import tensorflow_datasets as tfds
from awkward_images import awkward_images, scene
from PIL import Image

from hub import registry
from hub.data import digit_struct, svhn
from hub.data.digit_struct import Box
from hub.data.number_crop import labels_to_target, number_crop
from hub.data.street_numbers import Scene

FIELDS = ("height", "left", "top", "width", "label")  # in the order of the published files


def matlab_like(path, rows) -> None:
    """The published structure by h5py's objects, one data set per number, labels 1..10: nothing of ours is used."""
    with h5py.File(path, "w") as file:
        top, heap = file.create_group("digitStruct"), file.create_group("#refs#")
        names = top.create_dataset("name", (len(rows), 1), dtype=h5py.ref_dtype)
        boxes = top.create_dataset("bbox", (len(rows), 1), dtype=h5py.ref_dtype)
        for at, (name, columns) in enumerate(rows):
            names[at, 0] = heap.create_dataset(f"n{at}", data=np.array([[ord(c)] for c in name], np.uint16)).ref
            group = heap.create_group(f"b{at}")
            boxes[at, 0] = group.ref
            for field in FIELDS:
                values = columns[field]
                if len(values) == 1:
                    group[field] = np.array([values], float)
                else:
                    data = group.create_dataset(field, (len(values), 1), dtype=h5py.ref_dtype)
                    for i, value in enumerate(values):
                        data[i, 0] = heap.create_dataset(f"v{at}{field}{i}", data=[[float(value)]]).ref


def slow_read(path) -> list:
    """The same structure read by h5py's objects, labels 1..10."""
    found = []
    with h5py.File(path) as file:
        for name, box in zip(file["digitStruct/name"][:, 0], file["digitStruct/bbox"][:, 0], strict=True):
            columns = {}
            for field in FIELDS:
                data = file[box][field]
                plain = data.dtype.kind == "f"
                columns[field] = [data[0, 0]] if plain else [file[each][0, 0] for each in data[:, 0]]
            found.append(("".join(map(chr, file[name][:, 0])), columns))
    return found


def columns(boxes) -> dict:
    stored = [box._replace(label=box.label or 10) for box in boxes]
    return {field: [float(getattr(box, field)) for box in stored] for field in FIELDS}


def numbers(count: int, seed: int = 0) -> list[Scene]:
    """Pictures of noise with 1 to 7 boxes, some of which leave the picture."""
    rng, found = np.random.default_rng(seed), []
    for at in range(count):
        height, width, digits = *rng.integers(20, 90, 2), 1 + at % 7
        boxes = np.stack([rng.integers(-4, width, digits), rng.integers(-4, height - 5, digits)], axis=-1)
        boxes = np.concatenate([boxes, rng.integers(3, 30, (digits, 2))], axis=-1).astype(np.float32)
        image = scene(int(height), int(width), seed=at)
        found.append(Scene(image, boxes, tuple(rng.integers(0, 10, digits).tolist())))
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """train, test and real_ink in format 1."""
    base = tmp_path_factory.mktemp("svhn")
    for name, seed, count in (("train", 0, 23), ("test", 1, 8), ("real_ink", 2, 7)):
        digit_struct.write_format1(base / name, iter(numbers(count, seed)))
    return base


@pytest.fixture(scope="module")
def builder(folder, tmp_path_factory):
    with offline():
        made = registry.build("svhn_format1", manual_dir=folder, data_dir=tmp_path_factory.mktemp("prepared"))
        made.download_and_prepare()
    return made


@contextlib.contextmanager
def offline():
    """Opening a connection, or a bucket, is an error."""

    def refuse(*args, **kwargs):
        raise AssertionError(f"the network was asked for: {args[1:]}")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", refuse)
        patch.setattr(socket, "getaddrinfo", refuse)
        patch.setattr(tfds.core.utils.gcs_utils, "_is_gcs_disabled", False)
        patch.setattr(tfds.core.utils.gcs_utils, "exists", refuse)
        yield


# digitStruct.mat


def test_reader_reads_the_published_structure(tmp_path):
    """Both encodings of a box: a number for one digit, references for more; label 10 is 0."""
    one = {"height": [32], "left": [77], "top": [29], "width": [23], "label": [10]}
    two = {"height": [219, 219], "left": [-2, 323], "top": [77, 81], "width": [81, 96], "label": [1, 9]}
    six = {field: list(range(1, 7)) for field in FIELDS}
    matlab_like(tmp_path / "a.mat", [("1.png", two), ("2.png", one), ("30001.png", six)])
    assert digit_struct.count(tmp_path / "a.mat") == 3
    assert list(digit_struct.read(tmp_path / "a.mat")) == [
        ("1.png", [Box(-2, 77, 81, 219, 1), Box(323, 81, 96, 219, 9)]),
        ("2.png", [Box(77, 29, 23, 32, 0)]),
        ("30001.png", [Box(n, n, n, n, n) for n in range(1, 7)]),
    ]


def test_writer_writes_the_published_structure(tmp_path):
    """Read by a reader that shares no code, encodings included."""
    rng = np.random.default_rng(0)
    rows = [
        (f"{at}.png", [Box(*map(float, rng.integers(-9, 300, 4)), int(rng.integers(10))) for _ in range(1 + at % 6)])
        for at in range(40)
    ]
    path = tmp_path / "digitStruct.mat"
    digit_struct.write(path, rows)
    assert slow_read(path) == [(name, columns(boxes)) for name, boxes in rows]
    assert list(digit_struct.read(path)) == rows
    with h5py.File(path) as file:
        for (_, boxes), reference in zip(rows, file["digitStruct/bbox"][:, 0], strict=True):
            data = file[reference]["left"]
            assert data.shape == (len(boxes), 1)
            assert (data.dtype.kind == "f") == (len(boxes) == 1)
    with pytest.raises(NotImplementedError, match=r"v7\.3"):  # SciPy knows the version by the file's first bytes
        scipy.io.loadmat(path)


def test_a_picture_without_digits_keeps_its_place(tmp_path):
    rows = [("1.png", []), ("2.png", [Box(1, 2, 3, 4, 5)])]
    digit_struct.write(tmp_path / "a.mat", rows)
    assert list(digit_struct.read(tmp_path / "a.mat")) == rows


def test_the_same_rows_give_the_same_bytes(tmp_path):
    rows = [("1.png", [Box(1, 2, 3, 4, 5)] * 2)]
    for name in ("a.mat", "b.mat"):
        digit_struct.write(tmp_path / name, rows)
        time.sleep(1.05)  # HDF5's own time stamps count seconds
    assert (tmp_path / "a.mat").read_bytes() == (tmp_path / "b.mat").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.mat", "b.mat"]


# a folder of format 1


def test_a_folder_holds_the_scenes(folder):
    rows = list(digit_struct.read(folder / "train" / "digitStruct.mat"))
    assert [name for name, _ in rows] == [f"{n}.png" for n in range(1, 24)]
    for (name, boxes), made in zip(rows, numbers(23), strict=True):
        np.testing.assert_array_equal(np.array(Image.open(folder / "train" / name)), made.image)
        np.testing.assert_array_equal(np.array([box[:4] for box in boxes], np.float32), made.boxes)
        assert tuple(box.label for box in boxes) == made.labels


def test_an_interrupted_folder_leaves_nothing(tmp_path):
    def interrupted():
        yield from numbers(3)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        digit_struct.write_format1(tmp_path / "train", interrupted())
    assert not list(tmp_path.iterdir())


def test_a_folder_is_never_overwritten(tmp_path):
    digit_struct.write_format1(tmp_path / "train", numbers(1))
    with pytest.raises(ValueError, match=r"exists already; remove it or name another folder\.$"):
        digit_struct.write_format1(tmp_path / "train", numbers(2))
    assert digit_struct.count(tmp_path / "train" / "digitStruct.mat") == 1
    with pytest.raises(ValueError, match="No scene"):
        digit_struct.write_format1(tmp_path / "empty", [])
    assert [path.name for path in tmp_path.iterdir()] == ["train"]


# builders


def test_importing_the_hub_imports_no_builder():
    code = "import hub, sys; hub.info('svhn-format1'); sys.exit('tensorflow_datasets' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_splits_are_the_folders_that_exist(builder):
    assert {name: split.num_examples for name, split in builder.info.splits.items()} == {
        "train": 23,
        "test": 8,
        "real_ink": 7,
    }


def test_examples_are_the_files(builder, folder):
    """In their order, the picture's bytes untouched, numbers of more than five digits included."""
    examples = builder.as_dataset(split="train", decoders={"image": tfds.decode.SkipDecoding()})
    examples = list(examples.as_numpy_iterator())
    assert [example["file_name"].decode() for example in examples] == [f"{n}.png" for n in range(1, 24)]
    for example, made in zip(examples, numbers(23), strict=True):
        assert example["image"] == (folder / "train" / example["file_name"].decode()).read_bytes()
        np.testing.assert_array_equal(example["boxes"], made.boxes)
        assert tuple(example["labels"]) == made.labels
    decoded = next(iter(builder.as_dataset(split="train").as_numpy_iterator()))
    np.testing.assert_array_equal(decoded["image"], numbers(1)[0].image)


def test_the_folder_may_come_with_the_call(folder, tmp_path):
    """As tfds does it: `tfds.load(..., download_and_prepare_kwargs=...)` builds without a folder."""
    data = tfds.load(
        "svhn_format1",
        split="test",
        data_dir=tmp_path,
        download_and_prepare_kwargs={"download_config": tfds.download.DownloadConfig(manual_dir=folder)},
    )
    assert data.cardinality() == 8


def test_a_changed_folder_is_prepared_anew(tmp_path):
    digit_struct.write_format1(tmp_path / "data" / "train", numbers(3))

    def count() -> int:
        made = registry.build("svhn_format1", manual_dir=tmp_path / "data", data_dir=tmp_path / "prepared")
        made.download_and_prepare()
        return made.info.splits["train"].num_examples

    assert count() == 3
    shutil.rmtree(tmp_path / "data" / "train")
    digit_struct.write_format1(tmp_path / "data" / "train", numbers(4))
    assert count() == 4


def test_format_2(tmp_path):
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (32, 32, 3, 12), np.uint8), 1 + np.arange(12, dtype=np.uint8) % 10
    for split in ("train", "test"):
        scipy.io.savemat(tmp_path / f"{split}_32x32.mat", {"X": images, "y": labels[:, None]})
    with offline():
        made = registry.build("svhn_format2", manual_dir=tmp_path, data_dir=tmp_path / "prepared")
        made.download_and_prepare()
    assert set(made.info.splits) == {"train", "test"}
    for at, example in enumerate(made.as_dataset(split="test").as_numpy_iterator()):
        np.testing.assert_array_equal(example["image"], images[..., at])
        assert example["label"] == labels[at] % 10
    assert at == 11


# crop and target


def slow_crop(image: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Cut by hand, resized by Pillow."""
    height, width = image.shape[:2]
    left, top = min(b[0] for b in boxes), min(b[1] for b in boxes)
    right, bottom = max(b[0] + b[2] for b in boxes), max(b[1] + b[3] for b in boxes)
    centre_x, centre_y, half_x, half_y = (left + right) / 2, (top + bottom) / 2, (right - left) / 2, (bottom - top) / 2
    columns = [x for x in range(width) if centre_x - 1.3 * half_x - 1 < x < centre_x + 1.3 * half_x]
    rows = [y for y in range(height) if centre_y - 1.3 * half_y - 1 < y < centre_y + 1.3 * half_y]
    cut = np.array([[image[y, x] for x in columns] for y in rows])
    return np.array(Image.fromarray(cut).resize((64, 64), Image.Resampling.BILINEAR))


def test_crop_against_slow_loops():
    """Boxes that are negative or leave the picture are cut at its edges."""
    for made in numbers(21, seed=3):
        ours = number_crop(made.image, made.boxes)
        assert (ours.shape, ours.dtype) == ((64, 64, 3), tf.uint8)
        assert np.abs(ours.numpy().astype(int) - slow_crop(made.image, made.boxes.astype(float))).max() <= 1


def test_crop_grows_by_thirty_percent():
    """A box of 20 x 40 in the middle of a wide picture gives 26 x 52: the ink outside that does not show."""
    image = np.full((100, 100, 3), 255, np.uint8)
    image[24:76, 37:63] = 10
    crop = number_crop(image, [[40.0, 30.0, 20.0, 40.0]])
    np.testing.assert_array_equal(crop, np.full((64, 64, 3), 10))
    image[24, 37:63] = 255
    assert number_crop(image, [[40.0, 30.0, 20.0, 40.0]]).numpy().max() > 10


@pytest.mark.parametrize(
    "boxes",
    [[], [[-50, -50, 10, 10]], [[500, 500, 9, 9]], [[3, 3, 0, 0]], [[-1e6, -1e6, 2e6, 2e6]], [[10, 10, -4, -4]]],
)
def test_crop_of_extreme_boxes_is_a_crop(boxes):
    image = scene()
    crop = number_crop(image, tf.reshape(tf.constant(boxes, tf.float32), (-1, 4)))
    assert crop.shape == (64, 64, 3)
    if not boxes or boxes[0][2] == 2e6:
        theirs = Image.fromarray(image).resize((64, 64), Image.Resampling.BILINEAR)
        assert np.abs(crop.numpy().astype(int) - np.array(theirs)).max() <= 1


@pytest.mark.parametrize(
    ("labels", "target"),
    [
        ([], [0, -1, -1, -1, -1, -1]),
        ([0], [1, 0, -1, -1, -1, -1]),
        ([1, 7, 5], [3, 1, 7, 5, -1, -1]),
        ([9, 8, 7, 6, 5], [5, 9, 8, 7, 6, 5]),
        ([1, 2, 3, 4, 5, 6], [6, -1, -1, -1, -1, -1]),
        ([1] * 9, [6, -1, -1, -1, -1, -1]),
    ],
)
def test_targets(labels, target):
    made = labels_to_target(tf.constant(labels, tf.int64))
    assert made.dtype == tf.int32
    assert made.numpy().tolist() == target


def test_target_of_another_length():
    assert labels_to_target(tf.constant([1, 2, 3]), max_length=2).numpy().tolist() == [3, -1, -1]
    assert labels_to_target(tf.constant([1, 2]), max_length=2).numpy().tolist() == [2, 1, 2]


def test_dataset_is_crop_and_target_of_each_file(builder):
    data = svhn.as_dataset(builder, "train")
    assert data.element_spec == (tf.TensorSpec((64, 64, 3), tf.uint8), tf.TensorSpec((6,), tf.int32))
    assert data.cardinality() == 23
    for (image, target), made in zip(data.as_numpy_iterator(), numbers(23), strict=True):
        np.testing.assert_array_equal(image, number_crop(made.image, made.boxes))
        np.testing.assert_array_equal(target, labels_to_target(made.labels))
    assert svhn.as_dataset(builder, "train+real_ink").cardinality() == 30
    with pytest.raises(ValueError, match=r"Unknown split.*nowhere"):
        svhn.as_dataset(builder, "nowhere")


def test_dataset_of_a_folder_uses_the_cache(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("HUB_CACHE", str(tmp_path))
    first = [image for image, _ in svhn.as_dataset(folder, "test").as_numpy_iterator()]
    written = sorted(path.stat().st_mtime_ns for path in tmp_path.rglob("*.tfrecord*"))
    again = [image for image, _ in svhn.as_dataset(str(folder), "test").as_numpy_iterator()]
    np.testing.assert_array_equal(first, again)
    assert written == sorted(path.stat().st_mtime_ns for path in tmp_path.rglob("*.tfrecord*"))


def test_awkward_pictures_train_as_they_are_served(tmp_path):
    """A user's folder whose PNGs are gray, transparent, 16-bit or turned JPEGs: no skew to the string signature."""
    from hub.export import image_bytes

    pictures = [data for name, data in awkward_images().items() if not name.endswith(".bmp")]
    rows = []
    (tmp_path / "data" / "train").mkdir(parents=True)
    for at, data in enumerate(pictures):
        (tmp_path / "data" / "train" / f"{at}.png").write_bytes(data)
        rows.append((f"{at}.png", [Box(-500, -500, 2000, 2000, 3)]))  # all of the picture
    digit_struct.write(tmp_path / "data" / "train" / "digitStruct.mat", rows)
    made = registry.build("svhn_format1", manual_dir=tmp_path / "data", data_dir=tmp_path / "prepared")
    trained = np.stack([image for image, _ in svhn.as_dataset(made, "train").as_numpy_iterator()])
    served = image_bytes.decode_batch(tf.constant(pictures), 64, 64).numpy()
    np.testing.assert_array_equal(trained, served)


# bad input


def cut(path, keep=0.7):
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * keep)])


def blank(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 3 : len(data) // 3 + 3000] = bytes(3000)
    path.write_bytes(data)


def relabel(path, name="1.png", label=11):
    matlab_like(path, [(name, {field: [5] for field in FIELDS} | {"label": [label]})])


def without_digit_struct(path):
    with h5py.File(path, "w") as file:
        file["other"] = 1


FORMAT1 = {
    "missing mat": (lambda f: (f / "train" / "digitStruct.mat").unlink(), r"train has no digitStruct\.mat; "),
    "missing picture": (
        lambda f: (f / "train" / "2.png").unlink(),
        r"2\.png does not exist, but .*Struct\.mat names it",
    ),
    "cut picture": (lambda f: cut(f / "train" / "3.png"), r"3\.png is cut short or damaged"),
    "empty picture": (
        lambda f: (f / "train" / "3.png").write_bytes(b""),
        r"3\.png is cut short or damaged \(0 bytes\)",
    ),
    "text picture": (lambda f: (f / "train" / "3.png").write_text("words"), r"3\.png is cut short or damaged"),
    "cut mat": (lambda f: cut(f / "train" / "digitStruct.mat"), r"Struct\.mat is cut short or is no MATLAB v7\.3 file"),
    "text mat": (lambda f: (f / "train" / "digitStruct.mat").write_text("words"), r"is no MATLAB v7\.3 file"),
    "holes in mat": (lambda f: blank(f / "train" / "digitStruct.mat"), r"Struct\.mat is damaged"),
    "other mat": (lambda f: without_digit_struct(f / "train" / "digitStruct.mat"), r"has no digitStruct with a name"),
    "label 11": (lambda f: relabel(f / "train" / "digitStruct.mat"), r"gives 1\.png the label 11; labels are 1\.\.10"),
    "label 2.5": (lambda f: relabel(f / "train" / "digitStruct.mat", label=2.5), r"the label 2\.5; labels are 1\.\.10"),
    "path for a name": (
        lambda f: relabel(f / "train" / "digitStruct.mat", name="../train/1.png", label=1),
        r"names the picture '\.\./train/1\.png'; a file name without a folder",
    ),
    "no split": (
        lambda f: shutil.rmtree(f / "train"),
        r"has no split of SVHN's format 1; it must hold .*train\.tar\.gz",
    ),
    "no folder": (lambda f: shutil.rmtree(f), r"is no folder; it must hold .*train\.tar\.gz"),
}


@pytest.mark.parametrize("name", FORMAT1)
def test_bad_format_1_gets_one_sentence(name, tmp_path):
    spoil, words = FORMAT1[name]
    digit_struct.write_format1(tmp_path / "data" / "train", numbers(9))
    spoil(tmp_path / "data")
    with pytest.raises(ValueError, match=r"^[^\n]+\.$") as raised:
        made = registry.build("svhn_format1", manual_dir=tmp_path / "data", data_dir=tmp_path / "prepared")
        made.download_and_prepare()
    assert raised.match(words)
    assert not list((tmp_path / "prepared").rglob("*.tfrecord*"))  # nothing half-written


def test_the_folder_of_one_split_names_its_parent(folder):
    with pytest.raises(ValueError, match=rf"train is one split; name the folder around it, {folder}\.$"):
        registry.build("svhn_format1", manual_dir=folder / "train")


GOOD = {"X": np.zeros((32, 32, 3, 4), np.uint8), "y": np.array([[1], [10], [3], [4]], np.uint8)}
FORMAT2 = {
    "no y": ({"X": GOOD["X"]}, r"has no X and y"),
    "label 11": (GOOD | {"y": np.array([[1], [11], [3], [4]])}, r"has the label 11; labels are 1\.\.10"),
    "label 0": (GOOD | {"y": np.array([[1], [0], [3], [4]])}, r"has the label 0; labels are 1\.\.10"),
    "fewer labels": (GOOD | {"y": GOOD["y"][:3]}, r"must hold X, uint8 \(32, 32, 3, N\).*Received: .*3 labels"),
    "floats": (GOOD | {"X": GOOD["X"].astype(float)}, r"Received: X float64 \(32, 32, 3, 4\)"),
}


@pytest.mark.parametrize("name", [*FORMAT2, "cut", "text", "nothing"])
def test_bad_format_2_gets_one_sentence(name, tmp_path):
    content, words = FORMAT2.get(name, (GOOD, r"is cut short, damaged"))
    path = tmp_path / "data" / "train_32x32.mat"
    path.parent.mkdir()
    scipy.io.savemat(path, content)
    if name == "cut":
        cut(path)
    elif name == "text":
        path.write_text("words")
    elif name == "nothing":
        path.unlink()
        words = r"has no file of SVHN's format 2; it must hold train_32x32\.mat"
    with pytest.raises(ValueError, match=words) as raised:
        made = registry.build("svhn_format2", manual_dir=tmp_path / "data", data_dir=tmp_path / "prepared")
        made.download_and_prepare()
    assert "\n" not in str(raised.value)
    assert not list((tmp_path / "prepared").rglob("*.tfrecord*"))

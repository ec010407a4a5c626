"""Chest films: one file as training and serving see it, the public layouts, awkward readings, bad folders."""

import hashlib
import io
import json
import shutil
import socket

import cv2
import numpy as np
import pytest
import tensorflow as tf
from awkward_images import awkward_images, broken_images, encode
from PIL import Image
from test_dicom import stored, write

from hub import registry
from hub.data import chest_film
from hub.data.chest_film import FilmError, read_film
from hub.data.chest_films import Films, read_films
from hub.data.film_builder import read_reading
from hub.export import image_bytes

ONE_SENTENCE = r"^[^\n]+\.$"


def scan(height=80, width=100, seed=0) -> np.ndarray:
    """uint8 [height, width], smooth, with some noise."""
    rng = np.random.default_rng(seed)
    image = cv2.resize(rng.integers(20, 236, (5, 6)).astype(np.uint8), (width, height), interpolation=cv2.INTER_CUBIC)
    return np.clip(image + rng.normal(0, 4, image.shape), 0, 255).astype(np.uint8)


def sides(height=80, width=100) -> tuple[np.ndarray, np.ndarray]:
    """A mask per lung."""
    left, right = np.zeros((2, height, width), np.uint8)
    left[height // 4 : -height // 4, width // 8 : width * 3 // 8] = 255
    right[height // 4 : -height // 4, width * 5 // 8 : width * 7 // 8] = 255
    return left, right


def save(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".dcm":
        path.write_bytes(write(pixels.astype(np.uint16) * 16, WindowCenter=2040.5, WindowWidth=4081))
    else:
        Image.fromarray(pixels).save(path)


def served(data: bytes, size: int) -> np.ndarray:
    """What the string signature of an exported one-channel model computes."""
    pixels = image_bytes.decode_batch(tf.constant([data]), size, size)
    return tf.round(tf.image.rgb_to_grayscale(pixels)).numpy()[0, :, :, 0]


# one film


def tinted(gray: np.ndarray) -> np.ndarray:
    """A scan on blue film base."""
    unit = gray[..., None] / 255.0
    return (255 * unit ** [1.2, 1.05, 0.9] * [0.75, 0.85, 1]).astype(np.uint8)


def films_as_files() -> dict[str, bytes]:
    gray = scan(90, 110)
    deep = gray.astype(np.uint16) * 257 + np.random.default_rng(0).integers(0, 200, gray.shape).astype(np.uint16)
    return {
        "gray.png": encode(Image.fromarray(gray), "PNG"),
        "deep.png": cv2.imencode(".png", deep)[1].tobytes(),
        "gray.jpg": encode(Image.fromarray(gray), "JPEG", quality=85),
        "rgb.bmp": encode(Image.fromarray(gray).convert("RGB"), "BMP"),
        "tinted.png": encode(Image.fromarray(tinted(gray)), "PNG"),
        "tinted.jpg": encode(Image.fromarray(tinted(gray)), "JPEG", quality=40),
        "1_bit.png": encode(Image.fromarray(gray).convert("1"), "PNG"),
    }


@pytest.mark.parametrize("name", films_as_files())
def test_training_sees_the_pixels_that_are_served(name, tmp_path):
    """Smaller, larger and of broken proportion to the file's 110 x 90."""
    data = films_as_files()[name]
    (tmp_path / name).write_bytes(data)
    for size in (32, 160):
        film = read_film(tmp_path / name, size)
        assert (film.shape, film.dtype) == ((size, size), np.float32)
        np.testing.assert_array_equal(film, served(data, size))


def test_16_bits_keep_their_fractions():
    deep = np.arange(80 * 100, dtype=np.uint16).reshape(80, 100) * 8
    film = read_film(cv2.imencode(".png", deep)[1].tobytes())
    assert film.shape == (80, 100)
    np.testing.assert_allclose(film, deep / 257, rtol=1e-6)


def test_dicom_is_known_by_its_magic_or_its_name(tmp_path):
    pixels = scan().astype(np.uint16) * 16
    data = write(pixels, WindowCenter=2048, WindowWidth=4096)
    for name in ("film.dcm", "film.DCM", "film", "film.png"):
        (tmp_path / name).write_bytes(data)
        np.testing.assert_allclose(read_film(tmp_path / name), pixels / 4095 * 255, atol=2e-3)
    (tmp_path / "gray.dcm").write_bytes(films_as_files()["gray.png"])
    with pytest.raises(FilmError, match="no DICOM file") as raised:
        read_film(tmp_path / "gray.dcm")
    assert raised.value.code == -2


def photo() -> np.ndarray:
    """Patches of many colours."""
    return np.random.default_rng(0).integers(0, 256, (8, 8, 3)).repeat(16, 0).repeat(16, 1).astype(np.uint8)


def test_a_coloured_label_on_a_film_passes():
    film = np.repeat(scan(200, 200)[..., None], 3, axis=-1)
    film[10:30, 10:60] = (255, 0, 0)
    assert read_film(encode(Image.fromarray(film), "PNG")).shape == (200, 200)


OTHERS = {
    "photo": (lambda: encode(Image.fromarray(photo()), "JPEG", quality=90), -1, "is a coloured picture"),
    "one pixel": (lambda: awkward_images()["one_pixel.png"], -1, r"has 1 x 1 pixels; a film has 64 or more"),
    "narrow": (lambda: encode(Image.fromarray(scan(500, 63)), "PNG"), -1, r"has 63 x 500 pixels"),
    "black": (lambda: encode(Image.fromarray(np.zeros((99, 99), np.uint8)), "PNG"), -1, "nearly all .* grey level 0"),
    "white": (lambda: encode(Image.fromarray(np.full((99, 99), 255, np.uint8)), "PNG"), -1, "grey level 255"),
    "nearly black": (
        lambda: encode(Image.fromarray(np.pad(np.full((9, 9), 255, np.uint8), 90)), "PNG"),
        -1,
        "is empty",
    ),
    "black DICOM": (lambda: write(np.zeros((99, 99), np.uint16)), -1, "is empty"),
    "lateral": (lambda: write(stored(), ViewPosition="LL"), -1, "a film in view LL; a frontal one, PA"),
    "lateral in words": (lambda: write(stored(), ViewPosition="LATERAL"), -1, "in view LATERAL"),
    "hand": (lambda: write(stored(), BodyPartExamined="HAND"), -1, "shows HAND; a film of the CHEST"),
    "CT": (lambda: write(stored(), Modality="CT"), -1, "is of modality CT"),
    "child": (lambda: write(stored(), PatientAge="014Y"), -2, "aged 14; computer-aided reading is for 15 years"),
    "baby": (lambda: write(stored(), PatientAge="011M"), -2, "aged 0;"),
    "bomb": (lambda: broken_images()["bomb.png"], -3, "more than 100 megapixels"),
    "GIF": (lambda: broken_images()["animation.gif"], -3, "is a GIF file"),
    "cut": (lambda: broken_images()["cut.png"], -3, "is damaged, cut short"),
    "nothing": (lambda: b"", -3, r"is empty \(0 bytes\)"),
}


@pytest.mark.parametrize("name", OTHERS)
def test_what_is_no_film_gets_a_code_and_one_sentence(name, tmp_path):
    make, code, words = OTHERS[name]
    (tmp_path / "film").write_bytes(make())
    for size in (None, 64):
        with pytest.raises(FilmError, match=ONE_SENTENCE) as raised:
            read_film(tmp_path / "film", size)
        assert raised.match(words) and str(tmp_path / "film") in str(raised.value)
        assert raised.value.code == code


FRONTAL = {
    "PA": {},
    "AP": {"ViewPosition": "AP"},
    "port": {"BodyPartExamined": "PORT CHEST"},
    "DX": {"Modality": "DX"},
    "no part": {"BodyPartExamined": None},
    "15 years": {"PatientAge": "015Y"},
    "no age": {"PatientAge": None},
}


@pytest.mark.parametrize("facts", FRONTAL.values(), ids=FRONTAL)
def test_frontal_chest_films_pass(facts):
    assert read_film(write(stored(), **facts)).shape == (70, 90)


def test_places_that_hold_no_film(tmp_path):
    for path, words in ((tmp_path, "is a folder; name a film in it"), (tmp_path / "no.png", "no.png does not exist")):
        with pytest.raises(FilmError, match=words) as raised:
            read_film(path)
        assert raised.value.code == -3


def test_colour_of_tints_and_photos():
    """The threshold lies between, by a factor of two on either side."""
    gray = scan(200, 200)
    stream = io.BytesIO(encode(Image.fromarray(tinted(gray)), "JPEG", quality=40))
    assert chest_film._colour(np.asarray(Image.open(stream), np.float32)) < chest_film.COLOUR / 2
    assert chest_film._colour(photo().astype(np.float32)) > chest_film.COLOUR * 2


# readings

READINGS = {
    "Patient's Sex: F\nPatient's Age: 026Y\nnormal": ("F", 26, "normal"),
    "Patient's Sex: M\r\nPatient's Age: 031Y\r\nimproved. still extensive infiltrates\r\n":
        ("M", 31, "improved. still extensive infiltrates"),
    "Patient's Sex: F \nPatient's Age: 048Y \nbilateral apical scars;\nmiliary pattern":
        ("F", 48, "bilateral apical scars miliary pattern"),
    "Sex: male\nAge: 70\nPTB in the upper field": ("M", 70, "PTB in the upper field"),
    "patients sex F\npatients age 9 months\nnormal": ("F", 0, "normal"),
    "male 35yrs\nbilateral PTB": ("M", 35, "bilateral PTB"),
    "Female 28 yrs\nright upper PTB": ("F", 28, "right upper PTB"),
    "female, 44yr.\nsecondary PTB in the left upper field": ("F", 44, "secondary PTB in the left upper field"),
    "FEMALE 20 years old normal": ("F", 20, "normal"),
    "male 41-year-old\nSTB": ("M", 41, "STB"),
    "Male,25 y\nnormal": ("M", 25, "normal"),
    "male 14months\n\nPTB": ("M", 1, "PTB"),
    "male 5 days\nnormal": ("M", 0, "normal"),
    "femal 30yrs\nnormal": ("F", 30, "normal"),
    "30yrs female\nnormal": ("F", 30, "normal"),
    "Patient's Sex: O\nPatient's Age: unknown\nnormal": ("", -1, "normal"),
    "Patient's Sex: M\nPatient's Age:\nnormal": ("M", -1, "normal"),
    "normal": ("", -1, "normal"),
    "Sex: F\nAge: 50Y\n2 cm nodule, unchanged for 3 years": ("F", 50, "2 cm nodule, unchanged for 3 years"),
    "female 50yrs\nmass of 3 cm after 10 days of fever": ("F", 50, "mass of 3 cm after 10 days of fever"),
    "": ("", -1, ""),
}  # fmt: skip


@pytest.mark.parametrize("text", READINGS)
@pytest.mark.parametrize("coding", ["utf-8", "utf-8-sig", "utf-16"])
def test_readings_in_every_spelling(text, coding, tmp_path):
    (tmp_path / "a.txt").write_bytes(text.encode(coding))
    assert read_reading(tmp_path / "a.txt") == READINGS[text]


def test_a_missing_reading_says_nothing(tmp_path):
    assert read_reading(tmp_path / "a.txt") == ("", -1, "")


def test_a_binary_reading_is_no_error(tmp_path):
    (tmp_path / "a.txt").write_bytes(np.random.default_rng(0).bytes(3000))
    assert len(read_reading(tmp_path / "a.txt").finding) >= 0


# layouts


def montgomery(base):
    folder = base / "MontgomerySet"
    for number, label in ((1, 0), (2, 0), (104, 1)):
        name = f"MCUCXR_{number:04d}_{label}"
        save(folder / "CXR_png" / f"{name}.png", scan(seed=number))
        for side, mask in zip(("leftMask", "rightMask"), sides(), strict=True):
            save(folder / "ManualMask" / side / f"{name}.png", mask)
        (folder / "ClinicalReadings").mkdir(exist_ok=True)
        text = f"Patient's Sex: F\nPatient's Age: 0{number % 100 + 20}Y\n{'TB' if label else 'normal'}\n"
        (folder / "ClinicalReadings" / f"{name}.txt").write_text(text)
    (folder / "CXR_png" / "Thumbs.db").write_bytes(b"x")
    (folder / "CXR_png" / "._MCUCXR_0001_0.png").write_bytes(b"x")
    return folder


def shenzhen(base, beside=False):
    folder = base / "ChinaSet_AllFiles"
    for number, label in ((1, 0), (327, 1)):
        name = f"CHNCXR_{number:04d}_{label}"
        save(folder / "CXR_png" / f"{name}.png", scan(seed=1000 + number))
        (folder / "ClinicalReadings").mkdir(exist_ok=True)
        (folder / "ClinicalReadings" / f"{name}.txt").write_text("male 35yrs\nPTB" if label else "Female 28yrs\nnormal")
    left, right = sides()
    save((base if beside else folder) / "mask" / "CHNCXR_0327_1_mask.png", left | right)
    return folder


def tbx11k(base, annotated=True):
    """TBX11K_trainval.txt must not pass for TBX11K_train.txt, nor all_trainval.txt for any."""
    folder = base / "TBX11K"
    names = ["health/h0001.png", "health/h0002.png", "sick/s0001.png", "tb/tb0001.png", "tb/tb0003.png",
             "test/t0001.png", "extra/MCUCXR_0001_0.png"]  # fmt: skip
    for at, name in enumerate(names):
        save(folder / "imgs" / name, scan(96, 96, seed=2000 + at))
    lists = {
        "TBX11K_train": names[:1] + names[3:4],
        "TBX11K_val": [names[2], names[4]],
        "TBX11K_trainval": names[:5],
        "all_train": [*names[:1], names[6]],
        "all_val": names[2:3],
        "all_trainval": names,
        "all_test": names[5:6],
    }
    (folder / "lists").mkdir()
    for name, rows in lists.items():
        (folder / "lists" / f"{name}.txt").write_text("\n".join(rows) + "\n")
    if annotated:
        content = {
            "images": [{"id": 7, "file_name": "tb/tb0003.png"}, {"id": 8, "file_name": "sick/s0001.png"}],
            "categories": [{"id": 1, "name": "ActiveTuberculosis"}, {"id": 2, "name": "ObsoletePulmonaryTuberculosis"}],
            "annotations": [{"image_id": 7, "category_id": 2}, {"image_id": 7, "category_id": 1}],
        }
        (folder / "annotations" / "json").mkdir(parents=True)
        (folder / "annotations" / "json" / "TBX11K_val.json").write_text(json.dumps(content))
    return folder


def folders(base):
    folder = base / "own"
    save(folder / "Normal" / "a.png", scan(seed=3000))
    save(folder / "Normal" / "b.jpg", scan(seed=3001))
    save(folder / "Tuberculosis" / "c.dcm", scan(seed=3002))
    save(folder / "Tuberculosis" / "d.bmp", scan(seed=3003))
    left, right = sides()
    save(folder / "masks" / "a.png", left | right)
    save(folder / "masks" / "Tuberculosis" / "c.png", left)
    (folder / "Normal" / "notes.txt").write_text("words")
    return folder


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("HUB_CACHE", str(tmp_path_factory.mktemp("cache")))


def test_montgomery(tmp_path):
    folder = montgomery(tmp_path)
    films = read_films(folder, size=64)
    assert len(films) == 3 and films.images.shape == films.masks.shape == (3, 64, 64, 1)
    assert films.images.dtype == films.masks.dtype == np.uint8
    for image, name, digest in zip(films.images, films.name, films.sha256, strict=True):
        path = folder / "CXR_png" / str(name)
        np.testing.assert_array_equal(image[..., 0], served(path.read_bytes(), 64))
        assert digest == hashlib.sha256(path.read_bytes()).hexdigest()
    left, right = sides()
    whole = tf.image.resize(((left | right) / 255.0)[..., None], (64, 64), antialias=True).numpy() >= 0.5
    np.testing.assert_array_equal(films.masks, np.stack([whole] * 3))
    assert films.has_mask.all() and films.label.tolist() == [0, 0, 1]
    assert films.patient.tolist() == ["montgomery/0001", "montgomery/0002", "montgomery/0104"]
    assert set(films.sex) == {"F"} and films.age.tolist() == [21, 22, 24]
    assert films.finding.tolist() == ["normal", "normal", "TB"]
    assert set(films.source) == {"montgomery"} and set(films.split) == {""}
    assert films.name.tolist() == ["MCUCXR_0001_0.png", "MCUCXR_0002_0.png", "MCUCXR_0104_1.png"]


@pytest.mark.parametrize("beside", [False, True])
def test_shenzhen(beside, tmp_path):
    shenzhen(tmp_path, beside)
    films = read_films(tmp_path, size=64)
    assert films.name.tolist() == ["CHNCXR_0001_0.png", "CHNCXR_0327_1.png"]
    assert films.has_mask.tolist() == [False, True]
    assert not films.masks[0].any() and 0.2 < films.masks[1].mean() < 0.3 and films.masks.max() == 1
    assert films.sex.tolist() == ["F", "M"] and films.age.tolist() == [28, 35]
    assert films.finding.tolist() == ["normal", "PTB"] and films.patient[1] == "shenzhen/0327"


def test_tbx11k(tmp_path):
    films = read_films(tbx11k(tmp_path), size=64)
    assert films.name.tolist() == ["health/h0001.png", "tb/tb0001.png", "sick/s0001.png", "tb/tb0003.png",
                                   "test/t0001.png"]  # fmt: skip
    assert films.split.tolist() == ["train", "train", "val", "val", "test"]
    assert films.label.tolist() == [0, 1, 0, 1, -1]
    both = "ActiveTuberculosis, ObsoletePulmonaryTuberculosis"
    assert films.finding.tolist() == ["normal", "tuberculosis", "sick", both, ""]
    assert not films.has_mask.any() and set(films.age) == {-1}


def test_tbx11k_without_annotations_or_test_list(tmp_path):
    folder = tbx11k(tmp_path, annotated=False)
    (folder / "lists" / "all_test.txt").unlink()
    made = registry.build("tbx11k", manual_dir=folder, size=64, data_dir=tmp_path / "prepared")
    made.download_and_prepare()
    assert {name: split.num_examples for name, split in made.info.splits.items()} == {"train": 2, "val": 2}


def test_folders_of_classes(tmp_path):
    films = read_films(folders(tmp_path), size=64)
    assert films.name.tolist() == ["Normal/a.png", "Normal/b.jpg", "Tuberculosis/c.dcm", "Tuberculosis/d.bmp"]
    assert films.label.tolist() == [0, 0, 1, 1] and set(films.source) == {"own"}
    assert films.has_mask.tolist() == [True, False, True, False]
    assert films.patient.tolist() == ["own/Normal/a", "own/Normal/b", "P 1", "own/Tuberculosis/d"]
    assert films.sex.tolist() == ["", "", "F", ""] and films.age.tolist() == [-1, -1, 26, -1]
    twin = scan(seed=3002).astype(np.float32)
    dicom_film = image_bytes.resize(twin[..., None], 64, 64).numpy()
    assert np.abs(films.images[2].astype(int) - dicom_film).max() <= 1


def test_a_table_of_patients(tmp_path):
    folder = folders(tmp_path)
    rows = "name,patient,sex,age,finding,split\na.png,K7,M,61,old scar,train\nb.jpg,K7,,,,\nc.dcm,,,33,,test\n"
    (folder / "patients.csv").write_text(rows)
    films = read_films(folder, size=64)
    order = [films.name.tolist().index(n) for n in ("Normal/a.png", "Normal/b.jpg", "Tuberculosis/c.dcm")]
    films = films.take(order)
    assert films.patient.tolist() == ["K7", "K7", "P 1"] and films.age.tolist() == [61, -1, 33]
    assert films.sex.tolist() == ["M", "", "F"] and films.split.tolist() == ["train", "", "test"]
    assert films.finding[0] == "old scar"


def test_everything_under_a_folder(tmp_path):
    for make in (montgomery, shenzhen, tbx11k, folders):
        make(tmp_path)
    (tmp_path / "unrelated").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", lambda *_: pytest.fail("the network was asked for"))
        films = read_films(tmp_path, size=64)
    assert dict(zip(*np.unique(films.source, return_counts=True), strict=True)) == {
        "montgomery": 3, "shenzhen": 2, "tbx11k": 5, "own": 4}  # fmt: skip
    assert len(films) == len(films.images) == 14 and len(set(films.sha256)) == 14
    chosen = films.take([13, 0])
    assert isinstance(chosen, Films) and len(chosen) == 2
    np.testing.assert_array_equal(chosen.images, films.images[[13, 0]])
    assert len(films.take(films.label == 1)) == 6 and len(films.take([])) == 0


def test_prepared_once_and_anew_after_a_change(tmp_path, monkeypatch):
    monkeypatch.setenv("HUB_CACHE", str(tmp_path / "cache"))
    folder = montgomery(tmp_path / "data")

    def stamps():
        return {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").rglob("*.tfrecord*")}

    first, known = read_films(folder, size=64), stamps()
    again = read_films(folder.parent, size=64)
    np.testing.assert_array_equal(first.images, again.images)
    assert stamps() == known and len(known) == 1
    assert read_films(folder, size=72).images.shape == (3, 72, 72, 1)
    reading = folder / "ClinicalReadings" / "MCUCXR_0001_0.txt"
    reading.write_text(reading.read_text().replace("normal", "scar"))  # in place: no folder's time changes
    assert read_films(folder, size=64).finding[0] == "scar"
    save(folder / "CXR_png" / "MCUCXR_0001_0.png", scan(seed=77))
    assert (read_films(folder, size=64).images[0] != first.images[0]).any()


# masks


@pytest.mark.parametrize("values", [(0, 1), (0, 255), (3, 200), "1-bit", "16-bit", "RGBA"])
def test_masks_of_every_kind_are_alike(values, tmp_path):
    folder = shenzhen(tmp_path)
    path = folder / "mask" / "CHNCXR_0327_1_mask.png"
    before = read_films(folder, size=64).masks
    bright = np.asarray(Image.open(path)) > 0
    if values == "1-bit":
        Image.fromarray(bright).save(path)
    elif values == "16-bit":
        Image.fromarray(bright.astype(np.uint16) * 60000).save(path)
    elif values == "RGBA":
        Image.fromarray(bright.astype(np.uint8) * 255).convert("RGBA").save(path)
    else:
        Image.fromarray(np.where(bright, *values[::-1]).astype(np.uint8)).save(path)
    np.testing.assert_array_equal(read_films(folder, size=64).masks, before)


def test_a_mask_of_another_size_is_resized(tmp_path):
    """1.9 % of a difference in proportion passes, 2.1 % does not."""
    folder = shenzhen(tmp_path)
    path = folder / "mask" / "CHNCXR_0327_1_mask.png"
    save(folder / "CXR_png" / "CHNCXR_0327_1.png", scan(1000, 1000))
    for width, fits in ((500, True), (1019, True), (1021, False), (979, False)):
        mask = np.zeros((1000 if width > 500 else 500, width), np.uint8)
        mask[len(mask) // 4 : -len(mask) // 4, width // 4 : width // 2] = 255
        save(path, mask)
        if fits:
            assert abs(read_films(folder, size=64).masks[1].mean() - 1 / 8) < 0.01
        else:
            with pytest.raises(ValueError, match=rf"has {width} x 1000 pixels, its film 1000 x 1000; a mask must"):
                read_films(folder, size=64)


# bad folders


def rename(path, name):
    path.rename(path.with_name(name))


BAD = {
    "no CXR_png": (montgomery, lambda f: shutil.rmtree(f / "CXR_png"), r"MontgomerySet has no CXR_png; it must hold"),
    "no films": (
        montgomery,
        lambda f: [path.unlink() for path in (f / "CXR_png").iterdir()],
        r"MontgomerySet has no films; it must hold",
    ),
    "misnamed": (
        montgomery,
        lambda f: rename(f / "CXR_png" / "MCUCXR_0001_0.png", "MCUCXR_0001.png"),
        r"MCUCXR_0001\.png is not named like MCUCXR_0001_0\.png",
    ),
    "half a mask": (
        montgomery,
        lambda f: (f / "ManualMask" / "leftMask" / "MCUCXR_0002_0.png").unlink(),
        r"leftMask/MCUCXR_0002_0\.png does not exist, but the mask of the other lung does",
    ),
    "cut film": (
        montgomery,
        lambda f: (f / "CXR_png" / "MCUCXR_0002_0.png").write_bytes(b"\x89PNG\r\n\x1a\n1234"),
        r"MCUCXR_0002_0\.png is damaged, cut short",
    ),
    "black film": (
        montgomery,
        lambda f: save(f / "CXR_png" / "MCUCXR_0002_0.png", np.zeros((80, 100), np.uint8)),
        r"MCUCXR_0002_0\.png is empty: nearly all",
    ),
    "text mask": (
        montgomery,
        lambda f: (f / "ManualMask" / "leftMask" / "MCUCXR_0002_0.png").write_text("words"),
        r"leftMask/MCUCXR_0002_0\.png is no picture that can be read",
    ),
    "masks differ": (
        montgomery,
        lambda f: save(f / "ManualMask" / "leftMask" / "MCUCXR_0002_0.png", sides(40, 50)[0]),
        r"leftMask/MCUCXR_0002_0\.png and .*rightMask/MCUCXR_0002_0\.png differ in size",
    ),
    "empty mask": (
        shenzhen,
        lambda f: save(f / "mask" / "CHNCXR_0327_1_mask.png", np.zeros((80, 100), np.uint8)),
        r"CHNCXR_0327_1_mask\.png is empty; a lung mask is bright",
    ),
    "no class": (tbx11k, lambda f: shutil.rmtree(f / "imgs" / "sick"), r"TBX11K has no imgs/sick; it must hold"),
    "no list": (
        tbx11k,
        lambda f: (f / "lists" / "TBX11K_train.txt").unlink(),
        r"TBX11K_train\.txt does not exist; .* must hold",
    ),
    "listed, not there": (
        tbx11k,
        lambda f: (f / "imgs" / "tb" / "tb0003.png").unlink(),
        r"tb0003\.png does not exist, but .*TBX11K_val\.txt names it",
    ),
    "in two lists": (
        tbx11k,
        lambda f: (f / "lists" / "TBX11K_val.txt").write_text("tb/tb0001.png\n"),
        r"tb/tb0001\.png is in the lists of train and of val",
    ),
    "out of the folder": (
        tbx11k,
        lambda f: (f / "lists" / "TBX11K_val.txt").write_text("tb/../../secret.png\n"),
        r"names 'tb/\.\./\.\./secret\.png'; a path such as health/h0001\.png",
    ),
    "cut annotations": (
        tbx11k,
        lambda f: (f / "annotations" / "json" / "TBX11K_val.json").write_text('{"images": ['),
        r"TBX11K_val\.json is cut short, damaged or not in COCO's form",
    ),
    "one class": (folders, lambda f: shutil.rmtree(f / "Tuberculosis"), r"own has no folder tb; it must hold"),
    "empty class": (
        folders,
        lambda f: [path.unlink() for path in (f / "Normal").iterdir()],
        r"Normal has no films; DICOM, PNG, JPEG and BMP",
    ),
    "cut DICOM": (
        folders,
        lambda f: (f / "Tuberculosis" / "c.dcm").write_bytes((f / "Tuberculosis" / "c.dcm").read_bytes()[:3000]),
        r"c\.dcm is cut short, damaged",
    ),
    "doubtful mask": (
        folders,
        lambda f: save(f / "Tuberculosis" / "a.png", scan(seed=1)),
        r"masks/a\.png could be of two films; put masks into folders by class",
    ),
    "table of strangers": (
        folders,
        lambda f: (f / "patients.csv").write_text("name,patient\nz.png,1\n"),
        r"patients\.csv names 'z\.png', which is no film of the folder",
    ),
    "table without columns": (
        folders,
        lambda f: (f / "patients.csv").write_text("file,id\na.png,1\n"),
        r"has the columns \['file', 'id'\]; it must have name and patient",
    ),
    "table of ages": (
        folders,
        lambda f: (f / "patients.csv").write_text("name,patient,age\na.png,1,old\n"),
        r"gives a\.png the split '', age 'old'",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_folder_gets_one_sentence(name, tmp_path):
    make, spoil, words = BAD[name]
    folder = make(tmp_path / "data")
    spoil(folder)
    with pytest.raises(ValueError, match=ONE_SENTENCE) as raised:
        read_films(folder, size=64)
    assert raised.match(words)


def test_nothing_found_lists_the_layouts(tmp_path):
    words = r"MontgomerySet/CXR_png, ChinaSet_AllFiles/CXR_png, TBX11K/imgs, or normal/ and tb/ with films\.$"
    with pytest.raises(ValueError, match=rf"has no chest films in a known layout; it must be or have in it {words}"):
        read_films(tmp_path)
    with pytest.raises(ValueError, match=rf"none is no folder; it must be or have in it {words}"):
        read_films(tmp_path / "none")


def test_importing_no_builder_with_the_hub():
    entries = [registry.info(name) for name in ("montgomery", "shenzhen", "tbx11k", "film_folders")]
    assert {entry.room for entry in entries} == {"data"}

"""FER2013, FER+, CK+ and RAF-DB as they are published, whole and broken; who is in which fold."""

import io
import os
import time

import cv2
import numpy as np
import pytest
from PIL import Image

from hub import registry
from hub.data import ck_plus, face_images, fer2013, raf_db
from hub.data.face_images import EXPRESSIONS, Face, Faces

ONE_SENTENCE = r"^[^\n]+\.$"


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("HUB_CACHE", str(tmp_path_factory.mktemp("cache")))


def told(words, call, *args, **kwargs):
    with pytest.raises(ValueError, match=ONE_SENTENCE) as raised:
        call(*args, **kwargs)
    assert words in str(raised.value), raised.value


# Pictures and collections


def test_grey_stays_grey_and_colour_is_rgb(tmp_path):
    rng = np.random.default_rng(0)
    grey, colour = rng.integers(0, 256, (20, 30), np.uint8), rng.integers(0, 256, (20, 30, 3), np.uint8)
    cv2.imwrite(str(tmp_path / "deep.png"), grey.astype(np.uint16) * 257)
    for kind in ("png", "bmp", "tif"):
        Image.fromarray(grey).save(tmp_path / f"grey.{kind}")
        Image.fromarray(colour).save(tmp_path / f"colour.{kind}")
        np.testing.assert_array_equal(face_images.read_picture(tmp_path / f"grey.{kind}"), grey)
        np.testing.assert_array_equal(face_images.read_picture(tmp_path / f"colour.{kind}"), colour)
    np.testing.assert_array_equal(face_images.read_picture(tmp_path / "deep.png"), grey)
    Image.fromarray(np.dstack([colour, np.zeros_like(grey)])).save(tmp_path / "clear.png")
    assert (face_images.read_picture(tmp_path / "clear.png") == 255).all()
    turned = Image.Exif()
    turned[0x0112] = 6  # the camera was held upright
    Image.fromarray(colour).save(tmp_path / "turned.png", exif=turned)
    np.testing.assert_array_equal(face_images.read_picture(tmp_path / "turned.png"), np.rot90(colour, -1))


def test_bad_pictures_get_one_sentence(tmp_path):
    whole = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8)).save(whole, "PNG")
    for data in (b"", whole.getvalue()[: whole.tell() // 2], b"no picture"):
        (tmp_path / "face.png").write_bytes(data)
        told("cut short, damaged", face_images.read, Face("face", path=tmp_path / "face.png"))
    told("does not exist", face_images.read_picture, tmp_path / "none.png")
    told("is a folder", face_images.read_picture, tmp_path)


def test_a_collection_is_taken_apart(tmp_path):
    pixels = np.arange(5 * 6 * 6, dtype=np.uint8).reshape(5, 6, 6)
    points = np.ones((68, 2), np.float32)
    faces = Faces(tuple(Face(f"f{n}", n - 1, None, pixels[n], f"p{n % 2}", "train", points * n if n > 2 else None)
                        for n in range(5)), 2, ("Two are missing.",))  # fmt: skip
    assert faces.label.tolist() == [-1, 0, 1, 2, 3] and faces.label.dtype == np.int64
    assert (
        faces.subject.tolist() == ["p0", "p1"] * 2 + ["p0"] and faces[1].name == "f1" and set(faces.usage) == {"train"}
    )
    assert faces.landmarks.shape == (5, 68, 2) and faces.landmarks.dtype == np.float32
    assert np.isnan(faces.landmarks[:3]).all() and (faces.landmarks[4] == 4).all()
    few = faces.take(faces.label < 1)
    assert few.name.tolist() == ["f0", "f1"] and few.missing == 0 and few.notes == () and few.landmarks is None
    assert faces[3:].name.tolist() == ["f3", "f4"] and faces.take([4, 0]).label.tolist() == [3, -1]
    np.testing.assert_array_equal(np.stack(list(face_images.read_many(faces))), pixels)
    own = face_images.read(faces[0])
    own += 1
    np.testing.assert_array_equal(face_images.read(faces[0]), pixels[0])


# FER2013


def rows(count, seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 7, count), rng.integers(0, 256, (count, 48, 48), np.uint8), rng.integers(0, 3, count)


def text(image):
    return " ".join(map(str, image.ravel()))


def write_table(path, codes, images, usages, header="emotion,pixels,Usage"):
    order = [("emotion", "Usage", "pixels").index(name.strip()) for name in header.split(",")]
    with open(path, "w") as file:
        file.write(header + "\n")
        for code, image, usage in zip(codes, images, usages, strict=True):
            fields = (str(code), fer2013.USAGES[usage], text(image))
            file.write(",".join(fields[n] for n in order) + "\n")
    return path


@pytest.mark.parametrize("name, header", [("fer2013.csv", "emotion,pixels,Usage"),
                                          ("icml_face_data.csv", "emotion, Usage, pixels")])  # fmt: skip
def test_both_spellings_of_the_table(tmp_path, name, header):
    codes, images, usages = rows(12)
    path = write_table(tmp_path / name, codes, images, usages, header)
    for place in (path, tmp_path, str(path)):
        faces = fer2013.faces(place)
        assert faces.label.tolist() == codes.tolist() and faces.notes == () and faces.landmarks is None
        assert faces.usage.tolist() == [fer2013.USAGES[n] for n in usages] and set(faces.subject) == {""}
        np.testing.assert_array_equal(np.stack([face_images.read(face) for face in faces]), images)


def test_folders_of_classes(tmp_path):
    codes, images, _ = rows(14, 1)
    for n, (code, image) in enumerate(zip(codes, images, strict=True)):
        place = tmp_path / ("train" if n < 9 else "test") / EXPRESSIONS[code]
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(place / f"{n}.png")
    (tmp_path / "train/happy").mkdir(exist_ok=True)
    (tmp_path / "train/happy/empty.jpg").write_bytes(b"")
    (tmp_path / "train/happy/.hidden.jpg").write_bytes(b"x")
    (tmp_path / "train/contempt").mkdir()
    faces = fer2013.faces(tmp_path)
    assert len(faces) == 14 and (faces.usage == "Training").sum() == 9 and (faces.usage == "PrivateTest").sum() == 5
    for face in faces:
        n = int(face.path.stem)
        assert face.label == codes[n] and np.array_equal(face_images.read(face), images[n])
    assert faces.missing == 1 and len(faces.notes) == 3 and "train/contempt" in faces.notes[2]


def test_tables_that_are_not_what_they_should_be(tmp_path):
    codes, images, usages = rows(3)
    path = write_table(tmp_path / "fer2013.csv", codes, images, usages)
    good = path.read_text().splitlines()

    def broken(row, line, words):
        path.write_text("\n".join([*good[:row], line, *good[row + 1 :]]) + "\n")
        told(words, fer2013.faces, path)

    broken(0, "emotion,pixel,Usage", "has no column pixels")
    broken(0, "emotion,pixels", "has no column Usage")
    broken(2, good[2].replace(" ", "_", 1), "row 2 has 2,303 pixels")
    broken(3, f"1,{text(images[0])} 7,Training", "row 3 has 2,305 pixels")
    broken(1, f"1,{'256 ' + text(images[0]).split(' ', 1)[1]},Training", "row 1 has a pixel of 256")
    broken(1, f"1,{'-1 ' + text(images[0]).split(' ', 1)[1]},Training", "row 1 has a pixel of -1")
    broken(1, f"1,{'1.5 ' + text(images[0]).split(' ', 1)[1]},Training", "row 1 has pixels that are no whole numbers")
    broken(2, f"7,{text(images[0])},Training", "row 2: an emotion is a number from 0 to 6. Received: '7'")
    broken(2, f",{text(images[0])},Training", "Received: ''")
    broken(2, f"1,{text(images[0])},Test", "row 2: a usage is Training")
    broken(3, "1,2", "row 3: 2 of 3 fields")
    path.write_text(good[0] + "\n")
    told("has no rows", fer2013.faces, path)
    path.write_bytes(b"")
    told("has no column emotion", fer2013.faces, path)
    path.write_bytes(b"\x00\xff" * 200_000)
    told(str(path), fer2013.faces, path)
    path.unlink()
    told("has no faces of FER2013", fer2013.faces, tmp_path)
    told("does not exist", fer2013.faces, tmp_path / "none")


def test_five_thousand_rows_are_read_in_time(tmp_path):
    """So that all 35,887 take seconds; a loop over pixels would take a minute."""
    line = f"3,{text(rows(1)[1][0])},Training\n"
    (tmp_path / "fer2013.csv").write_text("emotion,pixels,Usage\n" + line * 5000)
    start = time.process_time()
    assert len(fer2013.faces(tmp_path)) == 5000
    assert time.process_time() - start < 3


def test_votes_of_fer_plus(tmp_path):
    codes, images, usages = rows(4)
    faces = fer2013.faces(write_table(tmp_path / "fer2013.csv", codes, images, usages))
    table = tmp_path / "fer2013new.csv"
    header = "Usage,Image name," + ",".join(fer2013.PLUS)
    counts = [[0, 6, 4, 0, 0, 0, 0, 0, 0, 0], [5, 0, 0, 5, 0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 1, 1, 1, 7, 0, 0],
              [0, 0, 0, 0, 9, 1, 0, 0, 0, 0]]  # fmt: skip

    def write(counts, usages):
        lines = [f"{fer2013.USAGES[u]},fer{n:07d}.png,{','.join(map(str, c))}"
                 for n, (u, c) in enumerate(zip(usages, counts, strict=True))]  # fmt: skip
        table.write_text("\n".join([header, *lines]) + "\n")

    write(counts, usages)
    for place in (table, tmp_path):
        votes = fer2013.votes(faces, place)
        assert votes.expressions.shape == (4, 7) and votes.others.tolist()[2] == [7, 0, 0]
        assert (
            votes.expressions[0, EXPRESSIONS.index("happy")] == 6
            and votes.expressions[3, EXPRESSIONS.index("angry")] == 9
        )
        assert (votes.expressions.sum(1) + votes.others.sum(1) == 10).all()
        assert votes.label.tolist() == [EXPRESSIONS.index("happy"), -1, -1, EXPRESSIONS.index("angry")]
    told("4 rows for 3 faces", fer2013.votes, faces[:3], table)
    write(counts[:3], usages[:3])
    told("3 rows for 4 faces", fer2013.votes, faces, table)
    write(counts, (usages + 1) % 3)
    told("row 1 is of", fer2013.votes, faces, table)
    write([*counts[:3], ["a"] * 10], usages)
    told("row 4: votes are whole numbers", fer2013.votes, faces, table)
    table.write_text("Usage,neutral\n")
    told("has no column happiness", fer2013.votes, faces, table)
    told("does not exist", fer2013.votes, faces, tmp_path / "none.csv")


# CK+


def write_sequence(base, subject, take, count, code=None, landmarks=True):
    stems = [f"{subject}/{take}/{subject}_{take}_{n:08d}" for n in range(1, count + 1)]
    for part in ("cohn-kanade-images", "Emotion", "Landmarks"):
        (base / part / subject / take).mkdir(parents=True, exist_ok=True)
    for n, stem in enumerate(stems):
        Image.fromarray(np.full((49, 64), n, np.uint8)).save(base / "cohn-kanade-images" / f"{stem}.png")
        if landmarks:
            lines = "".join(f"   {n + k / 8:.7e}   {k / 4:.7e}\n" for k in range(68))
            (base / "Landmarks" / f"{stem}_landmarks.txt").write_text(lines)
    if code is not None:
        stem = stems[-1] if stems else f"{subject}/{take}/{subject}_{take}_00000009"
        (base / "Emotion" / f"{stem}_emotion.txt").write_text(f"   {code:.7e}\n")


def test_ck_plus_takes_the_peak_and_the_neutral_frame(tmp_path):
    for code in range(8):
        write_sequence(tmp_path, f"S{code:03d}", "001", 11, code)
    write_sequence(tmp_path, "S999", "003", 9, 5, landmarks=False)
    faces = ck_plus.faces(tmp_path)
    assert len(faces) == 8 * 4 and "contempt" in faces.notes[0] and faces.missing == 0
    for code, name in enumerate(ck_plus.CODES):
        own = faces.take(faces.subject == f"S{code:03d}")
        if name == "contempt":
            assert not len(own)
            continue
        label = EXPRESSIONS.index(name)
        assert own.label.tolist() == [EXPRESSIONS.index("neutral"), label, label, label]
        assert own.name.tolist() == [f"S{code:03d}_001_{n:08d}" for n in (1, 9, 10, 11)]
        assert [int(face_images.read(face)[0, 0]) for face in own] == [0, 8, 9, 10]
        np.testing.assert_array_equal(own.landmarks[:, 8], [(n + 1, 2) for n in (0, 8, 9, 10)])
    assert np.isnan(faces.landmarks[-4:]).all() and not np.isnan(faces.landmarks[:-4]).any()
    kept = ck_plus.faces(tmp_path, contempt=True)
    assert kept.take(kept.subject == "S002").label.tolist() == [6, -1, -1, -1] and kept.notes == ()


def test_ck_plus_with_things_missing(tmp_path):
    base = tmp_path / "CK+"
    write_sequence(base, "S005", "001", 11, 3)
    write_sequence(base, "S005", "002", 7)  # no emotion: the folder is there and empty
    write_sequence(base, "S010", "001", 0, 7)  # a label without pictures
    write_sequence(base, "S010", "002", 3, 7)
    write_sequence(base, "S010", "003", 2, 6)
    write_sequence(base, "S010", "004", 1, 1)
    write_sequence(base, "S011", "001", 0)
    write_sequence(base, "S011", "002", 6, 4)
    write_sequence(base, "S011", "003", 6, 9)  # no such code
    images = base / "cohn-kanade-images"
    (images / "S011/.DS_Store").write_bytes(b"x")
    (images / ".DS_Store").write_bytes(b"x")
    (images / "S011/002/.DS_Store").write_bytes(b"x")
    (images / "S011/002/S011_002_00000005.png").write_bytes(b"")
    (base / "Landmarks/S011/002/S011_002_00000006_landmarks.txt").write_text("1 2 3")
    (base / "Landmarks/S005/001/S005_001_00000011_landmarks.txt").write_text("a b")
    for folder in (base, tmp_path):  # the folder around it will do
        faces = ck_plus.faces(folder)
        assert faces.name.tolist() == [
            *(f"S005_001_{n:08d}" for n in (1, 9, 10, 11)), *(f"S010_002_{n:08d}" for n in (1, 2, 3)),
            *(f"S010_003_{n:08d}" for n in (1, 2)), "S010_004_00000001", *(f"S011_002_{n:08d}" for n in (1, 3, 4, 6)),
        ]  # fmt: skip
        names = [EXPRESSIONS[label] for label in faces.label]
        assert names == ["neutral", *["disgust"] * 3, "neutral", "surprise", "surprise", "neutral", "sad", "angry",
                         "neutral", *["fear"] * 3]  # fmt: skip
        assert np.isnan(faces.landmarks).all((1, 2)).nonzero()[0].tolist() == [3, 13]
        notes = " ".join(faces.notes)
        assert faces.missing == 2
        assert "2 of 9 sequences have no pictures" in notes and "1 of 9 sequences have no emotion and" in notes
        assert "1 of 9 sequences have an emotion that cannot" in notes and "2 of 14 pictures have landmarks" in notes
    for path in (base / "Emotion").rglob("*.txt"):
        path.write_text("nothing")
    told("no sequence with pictures and an emotion", ck_plus.faces, base)
    told("is no folder", ck_plus.faces, tmp_path / "none")
    (tmp_path / "empty").mkdir()
    told("has no folder cohn-kanade-images", ck_plus.faces, tmp_path / "empty")
    (tmp_path / "empty/cohn-kanade-images").mkdir()
    told("has no folder Emotion", ck_plus.faces, tmp_path / "empty")


def published(rng, people=118):
    """Faces like CK+'s: few or many sequences a person, classes as uneven as the published ones."""
    shares = np.array([45, 59, 25, 69, 28, 83]) / 309
    found = []
    for person in range(people):
        for take in range(rng.integers(1, 6)):
            label = int(rng.choice(6, p=shares))
            found += [Face(f"{person}-{take}-{n}", 6 if n == 0 else label, subject=f"S{person:03d}") for n in range(4)]
    return Faces(tuple(found))


def test_folds_of_a_folder_share_nobody_and_hold_every_face_once(tmp_path):
    rng = np.random.default_rng(0)
    for person in range(23):
        for take in range(1, 2 + person % 4):
            write_sequence(tmp_path, f"S{person:03d}", f"{take:03d}", 4, int(rng.choice([1, 3, 4, 5, 6, 7])), False)
    faces = ck_plus.faces(tmp_path)
    fold = ck_plus.folds(faces, 10)
    assert fold.shape == (len(faces),) and fold.dtype == np.int64 and set(fold) == set(range(10))
    for person in set(faces.subject):
        assert len(set(fold[faces.subject == person])) == 1
    parts = [faces.take(fold == k) for k in range(10)]
    names = [name for part in parts for name in part.name]
    assert sorted(names) == sorted(faces.name) and len(set(names)) == len(faces)
    for k, part in enumerate(parts):
        assert not set(part.subject) & set(faces.take(fold != k).subject)


def test_folds_are_even_and_do_not_depend_on_the_order():
    for seed in range(5):
        rng = np.random.default_rng(seed)
        faces = published(rng)
        fold = ck_plus.folds(faces)
        counts = np.array([np.bincount(faces.label[fold == k], minlength=7) for k in range(10)])
        even = counts.sum(0) / 10
        chance = np.array([np.bincount(faces.label[(np.unique(faces.subject, return_inverse=True)[1] % 10) == k],
                                       minlength=7) for k in range(10)])  # fmt: skip
        assert np.abs(counts - even).max() <= 6 and counts.min() > 0  # a sequence has three frames of a class
        assert np.abs(counts - even).sum() < 0.5 * np.abs(chance - even).sum()
        order = rng.permutation(len(faces))
        np.testing.assert_array_equal(ck_plus.folds(faces.take(order)), fold[order])
    told("have no subject", ck_plus.folds, Faces((*faces[:3], Face("x"))))
    told("do not fill 10 folds", ck_plus.folds, faces.take(faces.subject < "S009"))
    told("do not fill 1 folds", ck_plus.folds, faces, 1)


# RAF-DB


def write_raf(base, aligned="aligned", suffix="_aligned"):
    place = base / "basic/Image" / aligned
    place.mkdir(parents=True)
    (base / "basic/EmoLabel").mkdir(exist_ok=True)
    lines = [f"{'train' if n < 8 else 'test'}_{n:05d}" for n in range(1, 10)]
    for n, name in enumerate(lines):
        Image.fromarray(np.full((20, 20, 3), (10 * n, 5, 200), np.uint8)).save(
            place / f"{name}{suffix}.jpg", quality=100
        )
    table = base / "basic/EmoLabel/list_patition_label.txt"
    table.write_text("".join(f"{name}.jpg {n % 7 + 1}\n" for n, name in enumerate(lines)))
    return table


@pytest.mark.parametrize("aligned, suffix", [("aligned", "_aligned"), ("original", "")])
def test_raf_db(tmp_path, aligned, suffix):
    table = write_raf(tmp_path, aligned, suffix)
    for folder in (tmp_path, tmp_path / "basic"):
        faces = raf_db.faces(folder)
        names = [EXPRESSIONS[label] for label in faces.label]
        assert names == ["surprise", "fear", "disgust", "happy", "sad", "angry", "neutral", "surprise", "fear"]
        assert faces.usage.tolist() == ["train"] * 7 + ["test"] * 2 and faces.name[8] == "test_00009"
        np.testing.assert_allclose(face_images.read(faces[3])[5, 5].astype(int), (30, 5, 200), atol=4)
        assert faces.notes == () and faces.missing == 0
    gone = tmp_path / "basic/Image" / aligned / f"train_00002{suffix}.jpg"
    gone.write_bytes(b"")
    faces = raf_db.faces(tmp_path)
    assert len(faces) == 8 and faces.missing == 1 and "train_00002 for one" in faces.notes[0]
    good = table.read_text()
    for line in ("train_00001.jpg 8", "train_00001.jpg", "../../train_00001.jpg 1", "train_00001.png 1"):
        table.write_text(f"{good}{line}\n")
        told("line 10", raf_db.faces, tmp_path)
    table.rename(table.with_name("list_partition_label.txt"))
    told("line 10", raf_db.faces, tmp_path)
    table.with_name("list_partition_label.txt").write_text("train_99999.jpg 1\n")
    told("names no picture that is there", raf_db.faces, tmp_path)
    table.with_name("list_partition_label.txt").unlink()
    told("has no EmoLabel/list_patition_label.txt", raf_db.faces, tmp_path)
    told("is no folder", raf_db.faces, tmp_path / "none")


# tfds


def test_builders_give_what_the_readers_give(tmp_path):
    write_table(tmp_path / "fer2013.csv", *rows(9))
    write_sequence(tmp_path, "S001", "001", 5, 6)
    write_sequence(tmp_path, "S002", "001", 5, 7, landmarks=False)
    write_raf(tmp_path)
    for name, parts in (("fer2013", fer2013.Fer2013.parts(tmp_path)), ("ck_plus", {"faces": ck_plus.faces(tmp_path)}),
                        ("raf_db", raf_db.RafDb.parts(tmp_path))):  # fmt: skip
        builder = registry.build(name, manual_dir=tmp_path, data_dir=tmp_path / "tfds")
        builder.download_and_prepare()
        assert set(builder.info.splits) == set(parts)
        for split, faces in parts.items():
            examples = list(builder.as_dataset(split=split).as_numpy_iterator())
            assert [example["label"] for example in examples] == faces.label.tolist()
            for example, face in zip(examples, faces, strict=True):
                pixels = face_images.read(face)
                np.testing.assert_array_equal(example["image"], pixels if pixels.ndim == 3 else pixels[..., None])
                known = [example[key].decode() for key in ("name", "subject", "usage")]
                assert known == [face.name, face.subject, face.usage]
                points = np.full((68, 2), np.nan) if face.landmarks is None else face.landmarks
                np.testing.assert_array_equal(example["landmarks"], points)


def test_a_changed_file_is_noticed(tmp_path):
    write_sequence(tmp_path, "S001", "001", 5, 6)
    faces = ck_plus.faces(tmp_path)
    before = face_images.state(faces)
    assert face_images.state(ck_plus.faces(tmp_path)) == before
    os.utime(faces[0].path, ns=(1, 1))
    assert face_images.state(ck_plus.faces(tmp_path)) != before
    codes, images, usages = rows(2)
    one = face_images.state(fer2013.faces(write_table(tmp_path / "fer2013.csv", codes, images, usages)))
    images[1, 3, 3] ^= 1
    assert face_images.state(fer2013.faces(write_table(tmp_path / "fer2013.csv", codes, images, usages))) != one

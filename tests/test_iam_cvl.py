"""IAM's and CVL's folders, pictures of words, who trains and who tests."""

import io
import os
import struct
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image

from hub import registry
from hub.data import cvl, iam, word_images, writer_splits
from hub.data.word_images import Word, Words

ONE_SENTENCE = r"^[^\n]+\.$"


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("HUB_CACHE", str(tmp_path_factory.mktemp("cache")))


def told(words, call, *args, **kwargs):
    with pytest.raises(ValueError, match=ONE_SENTENCE) as raised:
        call(*args, **kwargs)
    assert words in str(raised.value), raised.value


def drawn(text="word", seed=0, paper=230, ink=60) -> np.ndarray:
    image = np.full((50, 30 + 18 * len(text)), paper, np.uint8)
    cv2.putText(image, text, (8, 34), cv2.FONT_HERSHEY_SIMPLEX, 0.9, ink, 2, cv2.LINE_AA)
    return image + np.random.default_rng(seed).integers(0, 6, image.shape, np.uint8)


# pictures


def test_every_kind_of_picture_is_the_same_grey(tmp_path):
    grey = drawn()
    colour = np.stack([grey] * 3, -1)
    clear = np.dstack([np.zeros_like(colour), 255 - grey])  # black ink of some opacity
    deep = grey.astype(np.uint16) * 257
    kinds = {
        "grey.png": grey, "colour.png": colour, "clear.png": clear, "deep.png": deep,
        "deep colour.png": np.stack([deep] * 3, -1), "grey.tif": grey, "colour.tif": colour,
        "deep.tif": deep, "grey.bmp": grey,
    }  # fmt: skip
    for name, pixels in kinds.items():
        assert cv2.imwrite(str(tmp_path / name), pixels)
        got = word_images.read_picture(tmp_path / name)
        assert got.dtype == np.uint8 and got.shape == grey.shape
        np.testing.assert_allclose(got.astype(int), grey.astype(int), atol=1, err_msg=name)
    Image.fromarray(grey).convert("P").save(tmp_path / "palette.png")
    np.testing.assert_array_equal(word_images.read_picture(tmp_path / "palette.png"), grey)
    Image.fromarray(grey).save(tmp_path / "photo.jpg", quality=95)
    np.testing.assert_allclose(word_images.read_picture(tmp_path / "photo.jpg").astype(int), grey, atol=12)
    for compression in ("group4", "raw", "tiff_lzw"):
        Image.fromarray(grey > 128).save(tmp_path / "fax.tif", compression=compression)
        np.testing.assert_array_equal(word_images.read_picture(tmp_path / "fax.tif"), (grey > 128) * 255)


@pytest.mark.filterwarnings("ignore:Image size:PIL.Image.DecompressionBombWarning", "ignore:Corrupt EXIF")
def test_bad_pictures_get_one_sentence(tmp_path):
    for kind in ("PNG", "TIFF", "JPEG"):
        whole = io.BytesIO()
        Image.fromarray(drawn()).save(whole, kind)
        for data in (b"", whole.getvalue()[:20], whole.getvalue()[: whole.tell() // 2], b"GIF89a"):
            (tmp_path / "word").write_bytes(data)
            told("cut short, damaged", word_images.read_picture, tmp_path / "word")
    told("does not exist", word_images.read_picture, tmp_path / "none.png")
    told("is a folder", word_images.read_picture, tmp_path)
    Image.fromarray(np.zeros((4, 4), np.float32)).save(tmp_path / "fractions.tif")
    told("holds fractions", word_images.read_picture, tmp_path / "fractions.tif")
    Image.fromarray(np.full((4, 4), 70_000, np.int32)).save(tmp_path / "deep.tif")
    told("more than 16 bits", word_images.read_picture, tmp_path / "deep.tif")
    Image.fromarray(drawn()).save(tmp_path / "large.png")
    data = bytearray((tmp_path / "large.png").read_bytes())
    data[16:24] = struct.pack(">II", 12_000, 9_000)
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    (tmp_path / "large.png").write_bytes(data)
    told("more than 100 megapixels", word_images.read_picture, tmp_path / "large.png")


def test_a_box_is_cut_from_its_page(tmp_path):
    page = np.arange(200, dtype=np.uint8).reshape(10, 20)
    cv2.imwrite(str(tmp_path / "page.png"), page)
    word = Word("1", "1-1", "", tmp_path / "page.png", (3, 2, 5, 4))
    np.testing.assert_array_equal(word_images.read(word), page[2:6, 3:8])
    for box in ((16, 2, 5, 4), (3, 7, 5, 4), (-1, 2, 5, 4), (3, 2, 0, 4)):
        told("does not lie in it", word_images.read, Word("1", "1-1", "", tmp_path / "page.png", box))


def test_paper_ink_and_trimming():
    for paper, ink in ((230, 60), (200, 150), (250, 0)):
        image = drawn("letters", paper=paper, ink=ink)
        found = word_images.levels(image)
        assert abs(found.paper - paper - 2.5) <= 2 and abs(found.ink - ink - 2.5) <= 0.15 * (paper - ink)
        rows, columns = np.nonzero(image < (paper + ink) / 2)
        trimmed = word_images.trim(image, margin=0)
        assert trimmed.shape == (np.ptp(rows) + 1, np.ptp(columns) + 1)
        np.testing.assert_array_equal(trimmed, image[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1])
        np.testing.assert_array_equal(word_images.trim(trimmed, margin=5), trimmed)
        assert word_images.trim(image).shape == (trimmed.shape[0] + 4, trimmed.shape[1] + 4)
    speck = np.full((30, 40), 220, np.uint8)
    assert not word_images.ink_mask(speck).any()
    assert word_images.levels(speck) == (220, 220)
    speck[7, 9] = 20
    assert word_images.trim(speck, 0).shape == (1, 1)


@pytest.mark.parametrize("shape", [(1, 1), (40, 60)])
def test_blank_words_get_one_sentence(shape):
    for value in (0, 128, 255):
        told("is blank", word_images.trim, np.full(shape, value, np.uint8))
    told("is blank", word_images.trim, np.random.default_rng(0).integers(225, 235, shape, np.uint8))
    for bad in (np.zeros(shape), np.zeros((*shape, 3), np.uint8), np.zeros((0, 5), np.uint8), None):
        told("uint8 [height, width]", word_images.trim, bad)


# IAM

HEADER = "#--- words.txt ---\n#\n# iam database word information\n#     a01-000u-00-00 ok 154 1 408 768 27 51 AT A\n"
FORMS = {"a01-000u": "000", "a01-003": "001", "a01-007": "001", "a01-117": "001", "b02-001x": "002"}


def write_iam(base, ascii_folder=False, forms=True, lines=3):
    """Four words in each of three lines of each form; a comma and a word with a blank in it among them."""
    rows = []
    for form in FORMS:
        folder = base / "words" / form[:3] / form
        folder.mkdir(parents=True)
        for at in range(4 * lines):
            name = f"{form}-{at // 4:02d}-{at % 4:02d}"
            box = "-1 -1 -1 -1" if at == 3 else f"{400 + at} {700 + at} 27 51"
            text = (",", "don't", "B B C", "A")[at % 4]
            rows.append(f"{name} {'err' if at == 3 else 'ok'} 154 {box} AT {text}")
            cv2.imwrite(str(folder / f"{name}.png"), drawn(f"w{at}", seed=at))
    tables = base / "ascii" if ascii_folder else base
    tables.mkdir(exist_ok=True)
    (tables / "words.txt").write_text(HEADER + "\n".join(rows) + "\n")
    if forms:
        known = "".join(f"{form} {writer} 2 prt 7 5 52 36\n" for form, writer in FORMS.items())
        (tables / "forms.txt").write_text("#--- forms.txt ---\n" + known)
    return base


@pytest.mark.parametrize("ascii_folder", [False, True])
def test_iam_words(tmp_path, ascii_folder):
    words = iam.words(write_iam(tmp_path, ascii_folder))
    assert len(words) == 60 and words.missing == 0 and words.notes == ()
    assert {(page, writer) for page, writer in zip(words.page, words.writer, strict=True)} == set(FORMS.items())
    assert words[:4].text.tolist() == [",", "don't", "B B C", "A"]
    assert words[1].name == "a01-000u-00-01" and iam.line(words[5]) == "01"
    assert words.label.max() == 2 and isinstance(words[3:5], Words)
    np.testing.assert_array_equal(word_images.read(words[5]), drawn("w5", seed=5))
    some = iam.words(tmp_path, keep_err=False)
    assert len(some) == 55 and some.missing == 0 and "5 words of doubtful" in some.notes[0]


def test_iam_words_that_are_not_there(tmp_path):
    write_iam(tmp_path)
    table = tmp_path / "words.txt"
    table.write_text(
        table.read_text() + "a01-117-05-02 ok 154 1 2 3 4 NN bright\nc01-000-00-00 ok 154 1 2 3 4 NN far\n"
    )
    (tmp_path / "words/a01/a01-117/a01-117-05-02.png").write_bytes(b"broken")
    (tmp_path / "words/a01/a01-003/a01-003-00-01.png").unlink()
    (tmp_path / "words/a01/a01-003/a01-003-00-02.png").write_bytes(b"")
    for path in (tmp_path / "words/b02/b02-001x").iterdir():
        path.unlink()
    (tmp_path / "words/b02/b02-001x").rmdir()
    words = iam.words(tmp_path)
    assert len(words) == 46 and words.missing == 1 + 14 + 1
    assert words.notes == (
        "1 words whose published pictures are broken are skipped.",
        "14 of 60 words have no picture or an empty one and are skipped, a01-003-00-01 for one.",
        "1 words are on forms without a writer and are skipped, c01-000 for one.",
    )


def test_iam_writers_from_xml(tmp_path):
    write_iam(tmp_path, forms=False)
    told("neither forms.txt nor xml/", iam.words, tmp_path)
    (tmp_path / "xml").mkdir()
    for form, writer in FORMS.items():
        text = (
            f'<?xml version="1.0" encoding="iso-8859-1"?>\n<form id="{form}" writer-id="{writer}" version="2.0">\n<line'
        )
        (tmp_path / "xml" / f"{form}.xml").write_text(text)  # what follows the first element is not read
    assert dict(zip(*(getattr(iam.words(tmp_path), what) for what in ("page", "writer")), strict=True)) == FORMS
    (tmp_path / "forms.txt").write_text("a01-000u 010 2 prt 7 5 52 36\n")  # the rest is looked up in xml/
    assert set(iam.words(tmp_path).writer) == {"010", "001", "002"}
    (tmp_path / "xml/a01-003.xml").write_text("<form")
    told("a01-003.xml is damaged", iam.words, tmp_path)


BAD_LINES = {
    "a01-000u-00-00 ok 154 408 768 27 51 AT": "line 5: 8 of 9 fields, the transcription is missing",
    "a01-000u-00-00 ok 154": "line 5: 3 of 9 fields, the x is missing",
    "a01-000u-00-00": "line 5: 1 of 9 fields, the ok or err is missing",
    "a01-000u-00-00 yes 154 408 768 27 51 AT A": "line 5: the second field is ok or err. Received: 'yes'",
    "a01 ok 154 408 768 27 51 AT A": "line 5: a word is called like a01-000u-00-00",
    "../a-01-00-00 ok 154 408 768 27 51 AT A": "line 5: a word is called like",
    "a01-003-00-00 ok 1 1 1 1 1 AT A\na01-003-00-00 ok 1 1 1 1 1 AT A": "line 6: the word a01-003-00-00 is",
    "a01-000u-00-00 ok 154 408 768 27 51 AT A": "no word with a picture",
    "": "no word with a picture",
}  # fmt: skip


@pytest.mark.parametrize("text", BAD_LINES, ids=range(len(BAD_LINES)))
def test_bad_lines_get_one_sentence_with_file_and_number(text, tmp_path):
    (tmp_path / "forms.txt").write_text("a01-000u 000 2 prt 7 5 52 36\n")
    (tmp_path / "words.txt").write_text(HEADER + text)
    told(BAD_LINES[text], iam.words, tmp_path)
    told("words.txt", iam.words, tmp_path)


def test_iam_folders_that_are_not_what_they_should_be(tmp_path):
    told("is no folder", iam.words, tmp_path / "no")
    told("has no words.txt", iam.words, tmp_path)
    (tmp_path / "words.tgz").write_bytes(b"x")
    told("packed files, words.tgz", iam.words, tmp_path)
    (tmp_path / "words.txt").write_text(HEADER)
    (tmp_path / "forms.txt").write_text("# forms\na01-000u\n")
    told("forms.txt, line 2: a form and its writer", iam.words, tmp_path)


# who trains, who tests


def test_word_split_by_pages_and_by_lines(tmp_path):
    words = iam.words(write_iam(tmp_path))
    chosen = set()
    for seed in range(8):
        train, test = iam.word_split(words, seed)
        assert sorted(word.name for part in (train, test) for word in part) == sorted(word.name for word in words)
        assert set(train.writer) == set(test.writer) == {"000", "001", "002"}
        (page,) = set(test.page[test.writer == "001"])
        assert page not in train.page
        chosen.add(page)
        for writer in ("000", "002"):  # one page of three lines: the middle one trains
            assert {iam.line(word) for word in train if word.writer == writer} == {"00", "01"}
            assert {iam.line(word) for word in test if word.writer == writer} == {"02"}
        again = iam.word_split(words.take(np.arange(len(words))[::-1]), seed)[1]
        assert {word.name for word in again} == {word.name for word in test}
    assert chosen == {"a01-003", "a01-007", "a01-117"}
    alone = words.take(words.writer == "000").take(np.arange(4))
    told("leave nobody to test", iam.word_split, alone)
    assert set(iam.word_split(Words(words.words[12:] + alone.words))[1].writer) == {"001", "002"}


def test_two_documents_of_each_writer(tmp_path):
    words = iam.page_split(iam.words(write_iam(tmp_path)), seed=3)
    found = writer_splits.documents(words)
    assert found.writer.tolist().count("001") == 2
    assert {"a01-000u, lines 1", "a01-000u, lines 2", "b02-001x, lines 1", "b02-001x, lines 2"} < set(found.page)
    assert len(found.page) == 6 and np.bincount(found.of).tolist().count(4) == 2
    for word, at in zip(words, found.of, strict=True):
        assert (word.page, word.writer) == (found.page[at], found.writer[at])
    assert len({iam.page_split(iam.words(tmp_path), seed).page.tobytes() for seed in range(9)}) > 1


def test_writer_disjoint_splits():
    words = Words(tuple(Word(f"{at % 25:03d}", f"{at % 50}", "", None) for at in range(200)))
    found = writer_splits.by_writer(words, seed=1)
    assert [len(set(part.writer)) for part in found.values()] == [16, 4, 5]
    assert sum(map(len, found.values())) == 200
    assert not set.intersection(*(set(part.writer) for part in found.values()))
    shuffled = words.take(np.random.default_rng(0).permutation(200))
    assert set(writer_splits.by_writer(shuffled, seed=1)["test"].writer) == set(found["test"].writer)
    assert set(writer_splits.by_writer(words, seed=2)["test"].writer) != set(found["test"].writer)
    told("too few for 3 splits", writer_splits.by_writer, words.take(words.label < 6))
    told("add up to 1", writer_splits.by_writer, words, {"train": 0.5, "test": 0.4})


# CVL

NAMES = {
    "trainset": ["0001-1-0-0-Imagine.tif", "0001-1-0-10-a.tif", "0001-1-0-9-vast.tif", "0001-6-2-0-Mailüfterl.tif",
                 "0001-3-1-4-well-known-to-all.tif", "0001-2-0-0-.tif"],
    "testset": ["0052-1-0-0-Imagine.tif", "0052-2-0-3-etc..tif", "0052-6-11-3-Da\u0308mmerung.tif"],
}  # fmt: skip


def write_cvl(base):
    for part, names in NAMES.items():
        folder = base / "cvl-database-1-1" / part / "words" / names[0][:4]
        folder.mkdir(parents=True)
        for at, name in enumerate(names):
            Image.fromarray(np.stack([drawn(seed=at)] * 3, -1)).save(folder / name)
        (folder.parents[1] / "pages").mkdir()
        for name in (f"{names[0][:6]}.tif", f"{names[0][:6]}-cropped.tif", ".hidden"):
            Image.fromarray(drawn("page")).save(folder.parents[1] / "pages" / name, "TIFF")
    return base / "cvl-database-1-1"


def test_cvl_words(tmp_path):
    base = write_cvl(tmp_path)
    words = cvl.words(tmp_path)
    assert words.page.tolist() == ["0001-1"] * 3 + ["0001-2", "0001-3", "0001-6", "0052-1", "0052-2", "0052-6"]
    assert words.text.tolist() == ["Imagine", "vast", "a", "", "well-known-to-all", "Mailüfterl", "Imagine", "etc.",
                                   "Dämmerung"]  # fmt: skip
    assert words.notes == () and cvl.line(words[-1]) == "0011" and cvl.words(base).words == words.words
    parts = cvl.parts(base)
    assert [set(part.writer) for part in parts.values()] == [{"0001"}, {"0052"}]
    np.testing.assert_allclose(word_images.read(words[0]), drawn(), atol=1)
    train, test = cvl.word_split(words)
    assert set(train.writer) == set(test.writer) and not set(train.page) & set(test.page)
    assert cvl.pages(base).page.tolist() == ["0001-1", "0052-1"] and cvl.pages(base).writer.tolist() == ["0001", "0052"]
    np.testing.assert_array_equal(word_images.read(cvl.pages(base)[0]), drawn("page"))


def test_cvl_folders_that_are_not_what_they_should_be(tmp_path):
    told("is no folder", cvl.words, tmp_path / "no")
    told("neither trainset nor testset", cvl.words, tmp_path)
    (tmp_path / "cvl-database-1-1.zip").write_bytes(b"x")
    told("still is packed", cvl.words, tmp_path)
    base = write_cvl(tmp_path)
    folder = base / "testset/words/0052"
    (folder / "0052-3-1-1-gone.tif").write_bytes(b"")
    for name in ("0052.tif", "0052-a-0-0-x.tif", "Thumbs.db", "._0052-1-0-0-x.tif"):
        (folder / name).write_bytes(b"x")
    with open(os.fsencode(folder) + b"/0052-6-11-4-\xfcber.tif", "wb") as file:
        file.write((folder / NAMES["testset"][0]).read_bytes())
    words = cvl.parts(base)["testset"]
    assert len(words) == 4 and words[-1].text == "über" and words.missing == 1
    assert "2 pictures are not named like" in words.notes[0] and "1 pictures are empty files" in words.notes[1]
    for path in (base / "testset/words/0052").iterdir():
        path.unlink()
    assert cvl.words(base).notes == ("testset has no words and is left out.",)
    for path in (base / "trainset/words/0001").iterdir():
        path.unlink()
    told("has no words", cvl.words, base)


# tfds


@pytest.mark.parametrize("name, write, split", [("iam", write_iam, "words"), ("cvl", write_cvl, "trainset")])
def test_builders(name, write, split, tmp_path):
    write(tmp_path / "raw")
    words = iam.words(tmp_path / "raw") if name == "iam" else cvl.parts(tmp_path / "raw")["trainset"]
    builder = registry.build(name, manual_dir=tmp_path / "raw", data_dir=tmp_path / "tfds")
    builder.download_and_prepare()
    examples = list(builder.as_dataset(split=split).as_numpy_iterator())
    assert [example["text"].decode() for example in examples] == words.text.tolist()
    for example, word in list(zip(examples, words, strict=True))[::5]:
        np.testing.assert_array_equal(example["image"][..., 0], word_images.read(word))
        assert (example["writer"].decode(), example["page"].decode()) == (word.writer, word.page)
    before = word_images.state(words)
    os.utime(words[0].path, ns=(1, 1))
    assert word_images.state(words) != before

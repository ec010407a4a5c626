"""The application as a user runs it, on the smallest data that exercise every stage."""

import json
import pathlib

import cv2
import numpy as np
import pytest

from applications.writer_identification import dataset, evaluate, scorer, train, written
from applications.writer_identification import model as models
from applications.writer_identification.config import LOSSES, Config

DRAWN = {"sample_writers": 16, "sample_fonts": 2, "patches": 10}
TINY = {"model": "siamese_tiny", "epochs": 2, "steps": 3, "batch_size": 16, "writers": 8, "codes": 3, **DRAWN}
FLAGS = [part for name, value in TINY.items() for part in ("--" + name.replace("_", "-"), value)]


@pytest.fixture(scope="session")
def source():
    config = Config(**TINY)
    return dataset.load(dataset.prepare(None, config, str), config, str)


@pytest.fixture(scope="session")
def run(tmp_path_factory, hub_command, source):
    """`hub run writer_identification --json` on drawn hands."""
    out = tmp_path_factory.mktemp("models")
    done = hub_command("run", "writer_identification", "--out", out, "--json", *FLAGS)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="session")
def pages(tmp_path_factory):
    """Two pages each of three writers, as files."""
    from hub.data import hand_pages

    folder = tmp_path_factory.mktemp("pages")
    words = np.random.default_rng(0).permutation(hand_pages.word_list())
    for writer in (300, 301, 302):
        for n in range(2):
            page = hand_pages.page(writer, words[12 * n : 12 * n + 12].tolist(), instance=50 * n)
            cv2.imwrite(str(folder / f"{writer}-{n}.png"), page.image)
    return folder


def test_run_writes_everything_and_says_so(run):
    folder = pathlib.Path(run["folder"])
    for name in ("model.keras", "saved_model.pb", "model_float32.tflite", "model_float16.tflite", "model_int8.tflite",
                 "scorer.npz", "report.html", "run.json", "config.json", "history.json", "export.json"):  # fmt: skip
        assert (folder / name).is_file(), name
    assert not list(folder.parent.glob("unfinished*"))
    for name in ("new hands", "fonts held out", "within one font"):
        assert {"word_top1", "word_top5", "page_top1", "page_map", "equal_error_rate", "open_auroc"} <= set(run[name])
        for figure in run[name].values():
            assert 0 <= figure["low"] <= figure["value"] <= figure["high"] <= 1
    page = (folder / "report.html").read_text()
    assert "<script src" not in page and "http://" not in page.replace("http://www.w3.org", "")


def test_evaluate_repeats_the_figures_of_the_run(run, hub_command):
    done = hub_command("evaluate", "writer_identification", "--run", run["folder"], "--json")
    assert done.returncode == 0, done.stderr[-2000:]
    assert json.loads(done.stdout.splitlines()[-1]) == {
        name: found for name, found in run.items() if name not in ("folder", "report")
    }


def test_the_served_graph_is_the_scorer(run, source):
    """SavedModel and LiteRT, any number of words and patches, against the scorer's own vectors."""
    import tensorflow as tf
    from ai_edge_litert.interpreter import Interpreter

    import hub
    from applications.writer_identification.embed import open_scorer
    from applications.writer_identification.pipeline import words

    folder = pathlib.Path(run["folder"])
    encode, fitted = open_scorer(hub.load(str(folder / "model.keras")), folder / "scorer.npz")
    served = tf.saved_model.load(str(folder)).signatures["serving_default"]
    lite = Interpreter(str(folder / "model_float32.tflite")).get_signature_runner("serving_default")
    for count, patches in ((1, 3), (4, 10)):
        given = words(source.tests[0].written, count, patches)
        given["patches"] = given["patches"].astype("float32")
        real = given["scale"] >= 0
        embeddings = scorer.embed(encode, given["patches"][real][..., 0])
        _, alone = fitted.vectors(embeddings, given["scale"][real], np.nonzero(real)[0])
        for answer in (served(**{k: tf.constant(v) for k, v in given.items()}), lite(**given)):
            np.testing.assert_allclose(answer["vector"], alone, atol=2e-4 * np.abs(alone).max())


def test_enrol_search_verify_and_predict_pages(run, pages, hub_command, tmp_path):
    gallery = ("--gallery", tmp_path / "hands.gallery", "--run", run["folder"])
    for writer in ("300", "301"):
        done = hub_command("gallery", "add", "writer_identification", writer, pages / f"{writer}-0.png", *gallery)
        assert done.returncode == 0, done.stderr
    done = hub_command("gallery", "add", "writer_identification", "300", pages / "300-0.png", *gallery)
    assert done.returncode == 2 and "is enrolled as '300' already" in done.stderr
    done = hub_command("gallery", "search", "writer_identification", pages / "301-0.png", "--json", *gallery)
    (row,) = map(json.loads, done.stdout.splitlines())
    assert row["name"] == "301" and row["matches"][0]["distance"] < 1e-4
    done = hub_command("predict", "writer_identification", pages / "300-0.png", *gallery, "--out", tmp_path / "seen",
                       "--json")  # fmt: skip
    assert done.returncode == 0, done.stderr
    (row,) = map(json.loads, done.stdout.splitlines())
    assert row["name"] == "300" and len(row["votes"]) >= 10
    assert sum(one["probability"] for one in row["ranked"]) == pytest.approx(1, abs=1e-4)
    assert "300" in (tmp_path / "seen/300-0.html").read_text()
    with np.load(tmp_path / "seen/300-0.npz") as kept:
        assert kept["vector"].shape == (9,)
    done = hub_command("gallery", "verify", "writer_identification", pages / "300-0.png", pages / "300-0.png",
                       "--run", run["folder"])  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_a_folder_of_words_is_one_sample_and_union_is_exact(run, source, pages):
    from applications.writer_identification.embed import Embedder

    reader = Embedder(pathlib.Path(run["folder"]))
    folder = source.tests[0].written.words[0].path.parent
    (one,) = reader.embed([str(folder)])
    assert one.error is None and one.vector.shape == (reader.width,)
    pair = [str(pages / f"300-{n}.png") for n in range(2)]
    both, first, second = reader.embed_union(pair), *reader.embed(pair)
    patches, bins = (np.concatenate([getattr(x, name) for x in (first, second)]) for name in ("patches", "bins"))
    np.testing.assert_allclose(both.vector, reader._vector(patches, bins))


def test_pictures_that_are_no_writing_get_one_sentence(run, hub_command, tmp_path):
    from sklearn.datasets import load_sample_image

    from hub.data import hand_pages

    written = hand_pages.page(300, hand_pages.word_list()[:40]).image
    pictures = {
        "blank": (np.full((400, 300), 250, np.uint8), "The page is blank"),
        "dot": (np.zeros((1, 1), np.uint8), "1 x 1 pixels"),
        "photograph": (load_sample_image("china.jpg"), "photograph"),
        "turned": (written.T.copy(), "turn it by 90 degrees"),
        "absent": (None, "does not exist"),
    }
    words = {
        "one-pixel": (np.zeros((1, 1), np.uint8), "0 key points, and 24 are needed"),
        "white": (np.full((60, 200), 255, np.uint8), "0 key points, and 24 are needed"),
    }
    for kinds, flags in ((pictures, ()), (words, ("--word",))):
        for name, (picture, _) in kinds.items():
            if picture is not None:
                cv2.imwrite(str(tmp_path / f"{name}.png"), picture)
        files = [tmp_path / f"{name}.png" for name in kinds]
        done = hub_command("predict", "writer_identification", *files, "--run", run["folder"], *flags)
        assert done.returncode == 2 and done.stdout == ""
        lines = [line for line in done.stderr.splitlines() if line.startswith("hub: ")]
        for line, (name, (_, said)) in zip(lines, kinds.items(), strict=True):
            assert f"{name}.png" in line and said in line and line.endswith("."), line


def test_a_line_of_words_txt_with_missing_fields_is_named(tmp_path):
    from hub.data import hand_pages

    hand_pages.write(tmp_path / "iam", range(2), 2, 2, report=str)
    table = tmp_path / "iam/words.txt"
    lines = table.read_text().splitlines()
    table.write_text("\n".join([*lines[:2], " ".join(lines[2].split()[:5]), *lines[3:]]) + "\n")
    with pytest.raises(ValueError, match=r"words.txt.* 3"):
        dataset.load(tmp_path / "iam", Config())


@pytest.fixture(scope="session")
def iam(tmp_path_factory):
    """12 drawn writers as IAM has them, no page marked as the test."""
    from hub.data import hand_pages

    folder = tmp_path_factory.mktemp("real") / "iam"
    hand_pages.write(folder, range(12), 3, 4, held_out=0, report=str)
    return folder


@pytest.mark.parametrize("protocol", ["writers", "pages"])
def test_no_page_is_on_both_sides_and_no_stranger_is_trained_on(iam, protocol):
    found = dataset.load(iam, Config(protocol=protocol, patches=10), str)
    (test,) = found.tests
    for search in (test, found.validation):
        enrolled, probe = (set(search.written.page[rows]) for rows in (search.enrolled, ~search.enrolled))
        assert enrolled and probe and not enrolled & probe
        assert set(search.written.writer[~search.enrolled]) <= set(search.written.writer[search.enrolled])
    looked_for = set(test.written.page[~test.enrolled])
    assert not looked_for & set(found.background.page) and not looked_for & set(found.validation.written.page)
    if protocol == "writers":
        parts = [set(part.writer) for part in (found.background, found.validation.written, test.written)]
        assert sum(map(len, parts)) == len(set.union(*parts)) == 12
    else:
        assert set(found.background.writer) == set(test.written.writer)


def test_the_sample_holds_out_fonts_words_and_writers(source):
    from hub.data.hand_fonts import FONTS, font_of

    new, fonts, within = source.tests
    seen = set(source.background.writer) | set(source.validation.written.writer)
    assert not {f"strokes {name}" for name in new.written.writer} & seen
    trained = {font_of(int(name.split()[1]), list(FONTS)) for name in seen if name.startswith("fonts")}
    tested = {font_of(int(name), list(FONTS)) for name in fonts.written.writer}
    assert len(trained) == 7 and len(tested) == 4 and not trained & tested
    for search in source.tests:
        enrolled, probe = (set(search.written.words.take(rows).text) for rows in (search.enrolled, ~search.enrolled))
        assert not {text.lower() for text in enrolled} & {text.lower() for text in probe}
    assert set(within.group) == tested


def test_patches_are_kept_and_found_again(source, iam, monkeypatch):
    from hub.data import iam as layout

    words = layout.words(iam)
    first = written.patches(words, 10, str)
    monkeypatch.setattr(written, "_find", None)
    again = written.patches(words, 10, str)
    np.testing.assert_array_equal(first.patches, again.patches)
    rows = np.array([5, 2])
    some = first.take(rows)
    for at, row in enumerate(rows):
        np.testing.assert_array_equal(
            some.patches[some.starts[at] : some.starts[at + 1]],
            first.patches[first.starts[row] : first.starts[row + 1]],
        )


def test_ranks_and_sums_against_plain_loops(source):
    """Within a font, with a word that shows nothing: scores of other fonts never count, nothing is found last."""
    search = source.tests[2]
    rng = np.random.default_rng(0)
    written = search.written
    embeddings = rng.normal(size=(len(written.patches), 4)).astype("float32")
    words = scorer.word_scores(search, scorer.centroids(embeddings, written))
    centroid = {
        name: embeddings[(written.writer[written.word] == name) & search.enrolled[written.word]].mean(axis=0)
        for name in np.unique(written.writer)
    }
    for m in (0, 7, len(words.rows) - 1):
        row = words.rows[m]
        own = embeddings[written.starts[row] : written.starts[row + 1]].mean(axis=0)
        group = [name for name in centroid if search.group[written.writer == name][0] == search.group[row]]
        gaps = {name: float(((own - centroid[name]) ** 2).sum()) for name in group}
        assert words.rank[m] == 1 + sum(gap < gaps[written.writer[row]] for gap in gaps.values())
        assert words.candidates[m] == len(group) == 2
    pages = scorer.summed(words, written.page[words.rows])
    for page, total in zip(np.unique(written.page[words.rows]), pages.scores, strict=True):
        np.testing.assert_allclose(total, words.scores[written.page[words.rows] == page].sum(axis=0))
    blank = scorer.Scores(words.names, words.of, np.full_like(words.scores, -np.inf), words.writer, words.group,
                          words.rows)  # fmt: skip
    assert (blank.rank == 2).all()


def test_more_words_are_told_apart_better():
    """Noisy scores of a right writer add up."""
    rng = np.random.default_rng(0)
    pages, each, people = 40, 10, 20
    writer = np.repeat(np.arange(pages) % people, each).astype(str)
    names = np.unique(writer)
    scores = rng.normal(size=(len(writer), people)) + 0.7 * (writer[:, None] == names)
    words = scorer.Scores(names, np.zeros(people, "U1"), scores, writer, np.zeros(len(writer), "U1"),
                          np.arange(len(writer)))  # fmt: skip
    page = np.repeat(np.arange(pages), each)
    rows = evaluate._over_words(words, scorer.summed(words, page), page)
    assert [name for name, *_ in rows] == ["1", "2", "5", "page"]
    shares = [value for _, value, *_ in rows]
    assert shares == sorted(shares) and shares[0] < 0.3 < 0.7 < shares[-1]
    assert rows[0][1] == pytest.approx((words.rank == 1).mean(), abs=0.06)


@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss_trains(loss, source, tmp_path):
    config = Config(**{**TINY, "epochs": 1, "loss": loss})
    encode, history = train.train(config, source.background, source.validation.written, tmp_path, verbose=0)
    assert np.isfinite(history["loss"]).all()
    found = scorer.embed(encode, source.background.patches[:5])
    np.testing.assert_allclose((found**2).sum(axis=1), 1, atol=1e-5)


def test_a_resumed_run_ends_in_the_same_weights(source, tmp_path):
    config = Config(**TINY)

    class StopError(Exception):
        pass

    whole, _ = train.train(config, source.background, source.validation.written, tmp_path / "whole", verbose=0)
    kept = train.training.State.save

    def save(self, epoch, logs):
        kept(self, epoch, logs)
        if epoch == 0:
            raise StopError

    with pytest.MonkeyPatch.context() as patch, pytest.raises(StopError):
        patch.setattr(train.training.State, "save", save)
        train.train(config, source.background, source.validation.written, tmp_path / "cut", verbose=0)
    again, _ = train.train(
        config, source.background, source.validation.written, tmp_path / "cut", resume=True, verbose=0
    )
    for a, b in zip(whole.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_settings_that_cannot_be_are_refused_in_one_sentence():
    for wrong, said in (
        ({"model": "resnet18"}, "patch network"),
        ({"batch_size": 50}, "multiple of writers"),
        ({"far": 0.0}, "far must lie"),
        ({"steps": 0}, "steps must be at least 1"),
    ):
        with pytest.raises(ValueError, match=said):
            Config(**wrong)
    with pytest.raises(ValueError, match="--data must be the folder of IAM or CVL"):
        dataset.prepare("/nowhere", Config())


def test_the_default_network_has_the_parameters_that_the_card_says():
    assert models.encoder(models.build(Config())).count_params() == 62_832

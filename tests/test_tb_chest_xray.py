"""The tuberculosis application: its parts, and `hub run` and `hub predict` as a user types them, on a small sample."""

import json
import pathlib

import numpy as np
import pytest

from applications.tb_chest_xray import augment, dataset, lungs, model, predict, train
from applications.tb_chest_xray.config import PAPER_BACKBONES, Config

SMALL = (
    "--size",
    "64",
    "--epochs",
    "1",
    "--segmentation-epochs",
    "2",
    "--model",
    "wrn_tiny",
    "--segmenter",
    "unet_tiny",
)


@pytest.fixture(scope="module")
def films_folder(tmp_path_factory):
    """Sixty synthetic films in Montgomery's layout and forty, of another look, in Shenzhen's."""
    from hub.data import thorax_phantom

    folder = tmp_path_factory.mktemp("films")
    thorax_phantom.write_montgomery(folder, 60, seed=7, size=96)
    thorax_phantom.write_shenzhen(folder, 40, seed=8, size=96)
    return folder


@pytest.fixture(scope="module")
def run(films_folder, tmp_path_factory, hub_command):
    """`hub run tb_chest_xray --data DIR --json`, hardly trained."""
    out = tmp_path_factory.mktemp("models")
    done = hub_command("run", "tb_chest_xray", "--data", films_folder, "--out", out, "--json", *SMALL)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_run_writes_everything_and_says_so(run):
    folder = pathlib.Path(run["folder"])
    for name in ("model.keras", "saved_model.pb", "model_float32.tflite", "model_float16.tflite", "model_int8.tflite",
                 "report.html", "run.json", "config.json", "history.json", "export.json", "reference.npz",
                 "manifest.json"):  # fmt: skip
        assert (folder / name).is_file(), name
    assert not list(folder.parent.glob("unfinished*"))
    for metric in ("auc", "sensitivity", "specificity", "lung_dice", "calibration_error", "brier"):
        figure = run["test"][metric]
        assert 0 <= figure["low"] <= figure["value"] <= figure["high"] <= 1, metric
    page = (folder / "report.html").read_text()
    assert "not a medical device" in page.lower()
    assert "<script src" not in page and "http://" not in page.replace("http://www.w3.org", "")


def test_evaluate_repeats_the_figures_of_the_run(run, hub_command):
    done = hub_command("evaluate", "tb_chest_xray", "--run", run["folder"], "--json")
    assert done.returncode == 0, done.stderr[-2000:]
    assert json.loads(done.stdout.splitlines()[-1]) == {"test": run["test"]}


def test_the_served_graph_returns_answer_lungs_and_heat(run, films_folder):
    """SavedModel's three signatures and Keras agree."""
    import tensorflow as tf

    import hub
    from hub.data.chest_film import read_film

    folder = pathlib.Path(run["folder"])
    paths = sorted((films_folder / "MontgomerySet" / "CXR_png").glob("*.png"))[:3]
    images = np.stack([read_film(path, 64) for path in paths])[..., None]
    expected = hub.load(str(folder / "model.keras")).predict(images, verbose=0)
    assert set(expected) == {"probability", "logit", "lungs", "heat"}
    assert expected["heat"].shape == expected["lungs"].shape == (3, 64, 64, 1) and expected["heat"].min() >= 0
    served = tf.saved_model.load(str(folder)).signatures
    encoded = tf.constant([path.read_bytes() for path in paths])
    for name, inputs in {
        "serving_default": {"image": tf.constant(images, tf.float32)},
        "serving_uint8": {"image": tf.constant(images.astype("uint8"))},
        "serving_bytes": {"image_bytes": encoded},
    }.items():
        got = served[name](**inputs)
        for key, value in expected.items():
            np.testing.assert_allclose(
                got[key], value, atol=2e-4 * max(1, np.abs(value).max()), err_msg=f"{name} {key}"
            )


def test_predict_answers_refuses_and_reports(run, films_folder, hub_command, tmp_path):
    """A film gets an answer or a coded refusal, and a page; what is no film gets a sentence, and nothing is lost."""
    import cv2

    film = sorted((films_folder / "MontgomerySet" / "CXR_png").glob("*.png"))[0]
    black = tmp_path / "black.png"
    cv2.imwrite(str(black), np.zeros((90, 90), "uint8"))
    pages = tmp_path / "pages"
    done = hub_command("predict", "tb_chest_xray", film, black, "--run", run["folder"], "--json", "--report", pages)
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 2 and len(rows) == 2, done.stderr[-2000:]
    assert rows[1]["code"] == -1 and "black.png" in rows[1]["error"]
    assert rows[0]["code"] in (0, -1) and pathlib.Path(rows[0]["report"]).is_file()
    if rows[0]["code"] == 0:
        assert 0 <= rows[0]["probability"] <= 1
        assert rows[0]["referred"] == (rows[0]["probability"] >= rows[0]["threshold"])
    else:
        assert rows[0]["reason"]
    assert "not a medical device" in pathlib.Path(rows[0]["report"]).read_text().lower()


def test_segmentation_alone_makes_a_served_segmenter(films_folder, tmp_path, hub_command):
    done = hub_command("run", "tb_chest_xray", "--data", films_folder, "--out", tmp_path, "--json", "--experiment",
                       "segmentation", *SMALL)  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    said = json.loads(done.stdout.splitlines()[-1])
    assert set(said["test"]) == {"lung_dice", "lung_iou"}
    folder = pathlib.Path(said["folder"])
    assert folder.parent.name == "tb_chest_xray_lungs" and (folder / "model_int8.tflite").is_file()


@pytest.mark.slow
def test_the_table_and_the_sources_left_out(films_folder, tmp_path, hub_command):
    """Every named backbone, whole and segmented; every archive, known and left out; figures in range, a page each."""
    for flags, count in ((("--experiment", "table", "--backbones", "resnet_tiny,wrn_tiny", "--folds", "2"), 4),
                         (("--experiment", "sources"), 4)):  # fmt: skip
        done = hub_command("run", "tb_chest_xray", "--data", films_folder, "--out", tmp_path, "--json", *SMALL, *flags)
        assert done.returncode == 0, done.stderr[-3000:]
        said = json.loads(done.stdout.splitlines()[-1])
        assert len(said["rows"]) == count
        for row in said["rows"]:
            assert row["accuracy"] == pytest.approx(row["sensitivity"], abs=1e-4)  # weighted by frequency, they are one
            assert 0 <= row["auc"]["low"] <= row["auc"]["value"] <= row["auc"]["high"] <= 1
        assert pathlib.Path(said["report"]).is_file()


@pytest.mark.slow
@pytest.mark.parametrize("name", PAPER_BACKBONES.split(","))
def test_the_nine_backbones_train_one_step_and_export(name, tmp_path):
    """The paper's networks as readers of gray films: a step moves them, and SavedModel and TFLite agree with Keras."""
    import keras

    from hub.export import export

    size = 96
    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    core = model.reader(name, size)
    network = model.classifier(core, segmented=True)
    network.compile(keras.optimizers.SGD(1e-3), keras.losses.BinaryCrossentropy(from_logits=True))
    films = rng.uniform(0, 255, (2, size, size, 1)).astype("float32")
    masks = np.zeros_like(films)
    masks[:, 20:80, 10:86] = 1
    before = core.get_layer("head").get_weights()[1].copy()
    loss = network.train_on_batch((films, masks), np.array([[0.0], [1.0]]))
    assert np.isfinite(loss) and (core.get_layer("head").get_weights()[1] != before).all()
    whole = model.whole(model.segmenter("unet_tiny", size), core, segmented=True)
    loose = dict.fromkeys(("saved_model", "float32"), 1e-3)  # one step from random weights, rounding is still amplified
    facts = export(
        whole, tmp_path / "1", golden=np.rint(films), formats=tuple(loose), image_bytes=False, tolerance=loose
    )
    assert set(facts["formats"]) == {"saved_model", "float32"}


def test_the_map_is_where_the_logit_comes_from():
    core = model.reader("wrn_tiny", 64)
    view = np.random.default_rng(0).normal(size=(2, 64, 64, 1)).astype("float32")
    logit, evidence = core.predict(view, verbose=0)
    bias = core.get_layer("head").get_weights()[1]
    pooled = np.log(np.exp(model.SHARPNESS * evidence).mean((1, 2))) / model.SHARPNESS
    np.testing.assert_allclose(pooled + bias, logit, atol=1e-4)


def test_what_lies_outside_the_lungs_cannot_change_a_segmented_answer():
    network = model.classifier(model.reader("wrn_tiny", 64), segmented=True)
    rng = np.random.default_rng(0)
    film = rng.uniform(0, 255, (1, 64, 64, 1)).astype("float32")
    mask = np.zeros_like(film)
    mask[:, 16:48, 8:56] = 1
    marked = np.where(mask > 0, film, 255).astype("float32")
    assert network.predict([film, mask], verbose=0) == network.predict([marked, mask], verbose=0)
    whole = model.classifier(model.reader("wrn_tiny", 64), segmented=False)
    assert whole.predict(film, verbose=0) != whole.predict(marked, verbose=0)


def test_the_soft_mask_is_exactly_zero_away_from_the_lungs():
    import keras

    logits = keras.Input((64, 64, 1))
    masker = keras.Model(logits, model.soft_mask(logits, 64))
    given = np.full((1, 64, 64, 1), -2.0, "float32")
    given[0, 20:40, 20:40] = 4
    mask = masker.predict(given, verbose=0)[0, ..., 0]
    assert (mask[20:40, 20:40] == 1).all() and (mask[18:42, 18:42] == 1).all()
    mask[18:42, 18:42] = 0
    assert not mask.any()


def test_a_mask_moves_with_its_film():
    """The film *is* its mask here: wherever a view's film is bright, so is its mask."""
    mask = np.zeros((6, 64, 64, 1), "float32")
    mask[:, 20:44, 12:30] = 1
    moved = augment.move(np.concatenate([255 * mask, 255 * mask], -1), [3, 4]).numpy()
    np.testing.assert_array_equal(moved[..., 0], moved[..., 1])
    assert len({moved[i].tobytes() for i in range(6)}) == 6
    areas = moved[..., 0].sum((1, 2)) / mask[..., 0].sum((1, 2)) / 255
    assert areas.min() > 0.75 and areas.max() < 1.27  # the paper's scales, both ways
    again = augment.augment(255 * mask, mask, np.array([1, 2]))
    for a, b in zip(again, augment.augment(255 * mask, mask, np.array([1, 2])), strict=True):
        np.testing.assert_array_equal(a, b)
        assert a.numpy().min() >= 0


@pytest.mark.parametrize("balance", ["weights", "oversample", "none"])
def test_classes_weigh_the_same_when_balanced(balance):
    """Nine films of one class, one of the other."""
    images = np.zeros((40, 64, 64, 1), "uint8")
    label = (np.arange(40) % 10 == 0).astype(int)
    config = Config(balance=balance, batch_size=10, epochs=30)
    found = list(train.batches(images, images, label, True, config, 4, 0))
    truth, weight = (np.concatenate([np.asarray(b[i]).ravel() for b in found]) for i in (1, 2))
    share = weight[truth == 1].sum() / weight.sum()
    assert len(found) == 120
    assert share == pytest.approx(0.1 if balance == "none" else 0.5, abs=0.03)


def test_views_of_an_epoch_depend_on_seed_and_epoch_alone():
    images = np.random.default_rng(0).integers(0, 256, (20, 64, 64, 1), "uint8")
    config = Config(epochs=3, batch_size=5)
    whole = [b[0][0] for b in train.batches(images, images // 255, np.arange(20) % 2, True, config, 4, 0)]
    later = [b[0][0] for b in train.batches(images, images // 255, np.arange(20) % 2, True, config, 4, 2)]
    for a, b in zip(whole[8:], later, strict=True):
        np.testing.assert_array_equal(a, b)
    assert np.abs(whole[0] - whole[4]).max() > 0


def test_lungs_are_two_fields_side_by_side():
    rows, columns = np.indices((128, 128))

    def field(y, x, high=34, wide=18):
        return ((rows - y) / high) ** 2 + ((columns - x) / wide) ** 2 < 1

    both = field(60, 38) | field(60, 90)
    holed = (both & ~field(60, 38, 6, 6)) | field(120, 64, 3, 3)  # a cavity, and a stomach bubble
    assert not lungs.find(both.astype(float)).problem
    found = lungs.find(holed.astype(float))
    assert not found.problem and found.mask[60, 38] and not found.mask[120, 64]
    for film, said in (
        (np.zeros((128, 128)), "no lungs"),
        (field(60, 38), "one lung"),
        (field(30, 64, 20, 40) | field(95, 64, 20, 40), "side by side"),
        (field(64, 32, 62, 31) | field(64, 96, 62, 31), "covers"),
        (field(60, 38, 5, 5) | field(60, 90, 5, 5), "covers"),
    ):
        assert said in lungs.find(film.astype(float)).problem


def test_no_patient_and_no_file_is_in_two_parts(films_folder, tmp_path):
    parts = dataset.splits(films_folder, Config(size=64))
    assert {name: len(films) for name, films in parts.items()} == pytest.approx(
        {"train": 64, "validation": 16, "test": 20}, abs=3
    )
    patients = [set(films.patient.tolist()) for films in parts.values()]
    assert not set.intersection(*patients) and sum(map(len, patients)) == 100


def test_the_same_file_under_two_names_is_refused(films_folder, tmp_path):
    """A copied film would sit in training and in test."""
    import shutil

    copied = tmp_path / "copied"
    shutil.copytree(films_folder / "MontgomerySet", copied / "MontgomerySet")
    folder = copied / "MontgomerySet" / "CXR_png"
    for i, path in enumerate(sorted(folder.glob("*.png"))[:20]):
        name = f"MCUCXR_{900 + i:04d}_{path.stem[-1]}"
        shutil.copy(path, folder / f"{name}.png")
        for part in ("ManualMask/leftMask", "ManualMask/rightMask"):
            shutil.copy(folder.parent / part / path.name, folder.parent / part / f"{name}.png")
        shutil.copy(folder.parent / f"ClinicalReadings/{path.stem}.txt", folder.parent / f"ClinicalReadings/{name}.txt")
    with pytest.raises(ValueError, match=r"same file|identical|hash"):
        dataset.splits(copied, Config(size=64))


def test_words_say_what_to_do():
    row = {"code": 0, "probability": 0.8, "threshold": 0.4, "referred": True, "uncertain": False, "unusual": False}
    assert "refer" in predict.words(row) and "not a medical device" in predict.words(row)
    near = predict.words({**row, "probability": 0.39, "referred": False, "uncertain": True, "unusual": True})
    assert "not referred" in near and "a person should look" in near and "unlike" in near
    assert "no answer (code -1)" in predict.words({"code": -1, "reason": "one lung found instead of two"})

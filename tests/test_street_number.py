"""The application as a user runs it, on the smallest data that exercise every stage."""

import json
import pathlib

import numpy as np
import pytest

from applications import runs, training
from applications.street_number import dataset, model, predict, train
from applications.street_number.config import Config
from applications.street_number.evaluate import text


@pytest.fixture(scope="module")
def run(street_folder, tmp_path_factory, hub_command):
    """`hub run street_number --data DIR --json`, one epoch."""
    out = tmp_path_factory.mktemp("models")
    done = hub_command("run", "street_number", "--data", street_folder, "--out", out, "--json", "--epochs", "1",
                       "--model", "multi_digit_tiny")  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_run_writes_everything_and_says_so(run):
    folder = pathlib.Path(run["folder"])
    for name in ("model.keras", "saved_model.pb", "model_float32.tflite", "model_float16.tflite", "model_int8.tflite",
                 "report.html", "run.json", "config.json", "history.json", "export.json", "manifest.json"):  # fmt: skip
        assert (folder / name).is_file(), name
    assert not list(folder.parent.glob("unfinished*"))
    for metric in ("sequence_accuracy", "digit_accuracy", "length_accuracy", "coverage_at_98"):
        figure = run["test"][metric]
        assert 0 <= figure["low"] <= figure["value"] <= figure["high"] <= 1
    page = (folder / "report.html").read_text()
    assert "<script src" not in page and "http://" not in page.replace("http://www.w3.org", "")


def test_evaluate_repeats_the_figures_of_the_run(run, hub_command):
    done = hub_command("evaluate", "street_number", "--run", run["folder"], "--json")
    assert done.returncode == 0, done.stderr[-2000:]
    assert json.loads(done.stdout.splitlines()[-1]) == {"test": run["test"]}


def test_predict_answers_or_abstains(run, street_folder, hub_command, tmp_path):
    bad = tmp_path / "note.jpg"
    bad.write_text("not a picture")
    picture = street_folder / "test" / "1.png"
    done = hub_command("predict", "street_number", picture, bad, "--run", run["folder"], "--json", "--threshold", "0")
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 2 and "error" in rows[1] and len(rows) == 2
    assert rows[0]["number"].isdigit() or rows[0]["number"] in ("", ">5")
    assert 0 <= rows[0]["confidence"] <= 1


def test_the_served_models_answer_like_keras(run):
    """SavedModel's three signatures and the float TFLite file, on the same crops."""
    import tensorflow as tf

    import hub
    from applications.street_number.evaluate import read

    folder = pathlib.Path(run["folder"])
    images = np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3), "uint8")
    expected = read(hub.load(str(folder / "model.keras")), images)
    served = tf.saved_model.load(str(folder)).signatures
    encoded = tf.constant([tf.io.encode_png(image).numpy() for image in images])
    for name, inputs in {
        "serving_default": {"image": tf.constant(images, tf.float32)},
        "serving_uint8": {"image": tf.constant(images)},
        "serving_bytes": {"image_bytes": encoded},
    }.items():
        got = served[name](**inputs)
        np.testing.assert_allclose(got["digit_logp"], expected["digit_logp"], atol=1e-4, err_msg=name)
        np.testing.assert_allclose(got["confidence"], expected["confidence"], atol=1e-4, err_msg=name)


def test_views_of_an_epoch_depend_on_seed_and_epoch_alone(street_folder):
    data = dataset.Split(np.arange(40 * 64 * 64 * 3, dtype="uint32").astype("uint8").reshape(40, 64, 64, 3),
                         np.tile([1, 3, -1, -1, -1, -1], (40, 1)).astype("int32"))  # fmt: skip
    config = Config(epochs=3, batch_size=8)
    whole = [batch for batch, _ in train.views(data, config, 5, 0)]
    later = [batch for batch, _ in train.views(data, config, 5, 2)]
    assert len(whole) == 15 and len(later) == 5
    for a, b in zip(whole[10:], later, strict=True):
        np.testing.assert_array_equal(a, b)
    assert np.abs(whole[0] - whole[5]).max() > 0


def test_a_random_view_is_a_window_of_its_crop():
    crops = np.arange(2 * 64 * 64, dtype="int32").reshape(2, 64, 64, 1)
    views = train.random_views(crops, [1, 2]).numpy()
    for crop, view in zip(crops, views, strict=True):
        top, left = divmod(int(view[0, 0, 0] - crop[0, 0, 0]), 64)
        assert 0 <= top <= 10 and 0 <= left <= 10
        np.testing.assert_array_equal(view, crop[top : top + 54, left : left + 54])


@pytest.mark.parametrize("name", ["multi_digit_tiny", "wrn_tiny", "resnet_tiny"])
def test_the_same_weights_serve_views_and_crops(name):
    views, crops = model.build(name), model.build(name, crop=True)
    crops.set_weights(views.get_weights())
    images = np.random.default_rng(0).uniform(0, 255, (2, 64, 64, 3)).astype("float32")
    np.testing.assert_allclose(views(images[:, 5:59, 5:59]), crops(images), atol=1e-4)


def test_words():
    assert text(6, [-1] * 5) == ">5" and text(0, [-1] * 5) == "" and text(3, [1, 0, 7, -1, -1]) == "107"
    assert "107" in predict.words("107", 0.99, 0.9) and "no answer" not in predict.words("107", 0.99, 0.9)
    assert predict.words("107", 0.5, 0.9).startswith("no answer")
    assert predict.words(">5", 0.99, 0.9).startswith("no answer")


def test_an_unfinished_run_never_looks_like_a_version(tmp_path):
    work = runs.work_folder(tmp_path, "street_number", resume=False)
    assert runs.versions(work.parent) == [] and runs.final_folder(work).name == "1"
    assert runs.work_folder(tmp_path, "street_number", resume=True) == work
    with pytest.raises(ValueError, match="no unfinished run"):
        runs.work_folder(tmp_path, "other", resume=True)


def test_a_loss_that_is_no_number_is_one_sentence(tmp_path):
    import keras
    import tensorflow as tf

    inputs = keras.Input((2,))
    network = keras.Model(inputs, keras.layers.Dense(1)(inputs))
    network.compile("sgd", lambda y, p: keras.ops.mean(p, -1) * float("nan"))
    x = np.ones((4, 2), "float32")
    endless = tf.data.Dataset.from_tensors((x, x[:, :1])).repeat()
    with pytest.raises(ValueError, match="learning-rate"):
        training.fit(
            network, lambda first: endless, 2, (x, x[:, :1]), training.TrainConfig("m", epochs=2), tmp_path, verbose=0
        )

"""The application as a user runs it, on the smallest data that exercise every stage."""

import json
import pathlib

import numpy as np
import pytest

from applications.facial_expression import dataset, evaluate, train
from applications.facial_expression import model as models
from applications.facial_expression.augment import MIRRORED, augment
from applications.facial_expression.config import Config
from hub.data.face_images import EXPRESSIONS

TINY = {"model": "mini_xception_tiny", "size": 32, "epochs": 2, "landmark_epochs": 1, "batch_size": 16}
FLAGS = [part for name, value in TINY.items() for part in ("--" + name.replace("_", "-"), value)]


@pytest.fixture(scope="session")
def faces_folder(tmp_path_factory):
    """15 drawn people in CK+'s layout, marked as the sample marks itself."""
    from hub.data import face_sequences

    folder = tmp_path_factory.mktemp("ck") / "sample"
    folder.mkdir()
    face_sequences.write(folder / "ck", range(15), 3, frames=(4, 4), size=(200, 260), report=str)
    (folder / "sample.json").write_text('{"synthetic": true}')
    return folder


@pytest.fixture(scope="session")
def source(faces_folder):
    return dataset.load(faces_folder, Config(**TINY), str)


@pytest.fixture(scope="session")
def run(faces_folder, tmp_path_factory, hub_command):
    """`hub run facial_expression --data DIR --json`, with two annotators who disagree."""
    out = tmp_path_factory.mktemp("models")
    done = hub_command("run", "facial_expression", "--data", faces_folder, "--out", out, "--json", *FLAGS)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


def test_run_writes_everything_and_says_so(run):
    folder = pathlib.Path(run["folder"])
    for name in ("model.keras", "classical.keras", "saved_model.pb", "model_float32.tflite", "model_float16.tflite",
                 "model_int8.tflite", "report.html", "run.json", "config.json", "history.json"):  # fmt: skip
        assert (folder / name).is_file(), name
    assert not list(folder.parent.glob("unfinished*"))
    for name in ("mini_xception_tiny", "learned landmarks + MLP", "classical landmarks + MLP", "16x16 pixels, linear"):
        for figure in ("accuracy", "mean_class_accuracy", "macro_f1"):
            found = run[name][figure]
            assert 0 <= found["low"] <= found["value"] <= found["high"] <= 1
    for name in ("learned, 68 points", "learned, 18 points", "classical, 18 points"):
        assert 0 < run[f"landmarks, {name}"]["inter_ocular_error"]["value"] < 0.5
    page = (folder / "report.html").read_text()
    assert "<script src" not in page and "http://" not in page.replace("http://www.w3.org", "")
    assert "synthetic" in page


def test_evaluate_repeats_the_figures_of_the_run(run, hub_command):
    done = hub_command("evaluate", "facial_expression", "--run", run["folder"], "--json")
    assert done.returncode == 0, done.stderr[-2000:]
    assert json.loads(done.stdout) == {name: found for name, found in run.items() if name not in ("folder", "report")}


def test_the_served_graph_goes_from_a_crop_to_landmarks_and_both_answers(run, source):
    import tensorflow as tf

    import hub

    folder = pathlib.Path(run["folder"])
    network = hub.load(str(folder / "model.keras"))
    served = tf.saved_model.load(str(folder)).signatures["serving_default"]
    images = np.repeat(source.test.crops[:5, ..., None], 3, -1).astype("float32")
    keras_says, tf_says = network.predict(images, verbose=0), served(image=tf.constant(images))
    assert set(keras_says) == {"probabilities", "landmarks", "landmark_probabilities"}
    for name, values in keras_says.items():
        np.testing.assert_allclose(tf_says[name], values, atol=1e-4)
    np.testing.assert_allclose(keras_says["probabilities"].sum(axis=1), 1, atol=1e-5)


def test_recognizer_and_training_see_the_same_face(run, source):
    """A picture from the disk goes through detection, crop and network as its crop in the training data did."""
    from applications.facial_expression.recognize import Recognizer
    from hub.data import face_images

    reader = Recognizer(pathlib.Path(run["folder"]), "run")
    found = evaluate.answers(reader.network, source.test)
    for row in (0, 3, 7):
        picture = face_images.read(source.test.faces[row])
        seen = reader.look(picture)[0]
        assert seen.box == tuple(source.test.boxes[row])
        np.testing.assert_allclose(seen.probabilities, found["probabilities"][row], atol=1e-4)
        assert seen.landmarks.shape == (68, 2)


def test_one_face_and_many_get_the_same_answer(run, source):
    """Batch = single: faces tiled into one picture."""
    from applications.facial_expression.recognize import Recognizer
    from hub.data import face_images
    from hub.data.face_detection import Face

    reader = Recognizer(pathlib.Path(run["folder"]), "run")
    pictures = [face_images.read(source.test.faces[row]) for row in range(6)]
    wide = np.hstack(pictures)
    boxes = [tuple(source.test.boxes[row] + (row * 260, 0, 0, 0)) for row in range(6)]
    inside = [row for row, box in enumerate(boxes) if box[0] > row * 260 + 20 and box[0] + box[2] < row * 260 + 240]
    together = reader.at(wide, [Face(boxes[row], 1.0) for row in inside])
    for row, seen in zip(inside, together, strict=True):
        (alone,) = reader.at(wide, [Face(boxes[row], 1.0)])
        np.testing.assert_allclose(seen.probabilities, alone.probabilities, atol=1e-5)
        np.testing.assert_allclose(seen.landmarks, alone.landmarks, atol=1e-2)


def test_nobody_trains_and_tests(source):
    parts = [set(part.subject) for part in (source.train, source.validation, source.test)]
    assert all(parts) and sum(map(len, parts)) == len(set.union(*parts))


def test_every_fold_of_ck_plus_tests_other_people(faces_folder):
    tested = []
    for fold in (0, 1, 9):
        found = dataset.load(faces_folder, Config(fold=fold), str)
        tested.append(set(found.test.subject))
        assert not tested[-1] & set(found.train.subject)
    assert tested[0] != tested[2]


def test_points_move_with_the_picture():
    """A bright dot on black lands where augmentation says that its landmark is."""
    rng = np.random.default_rng(0)
    at = rng.integers(30, 82, (24, 2))
    images = np.zeros((24, 112, 112, 1), np.float32)
    for image, (x, y) in zip(images, at, strict=True):
        image[y - 2 : y + 3, x - 2 : x + 3] = 255
    points = np.repeat(((at + 0.5) / 112)[:, None], 68, axis=1).astype(np.float32)
    shown, moved = (np.asarray(x) for x in augment(images, points, [0, 1]))
    assert np.abs(moved - points).max() > 0.05
    for image, (x, y) in zip(shown[..., 0], moved[:, 0] * 112 - 0.5, strict=True):
        weight = np.maximum(image - np.median(image), 0)
        if 6 < x < 105 and 6 < y < 105:
            rows, columns = np.mgrid[:112, :112]
            middle = np.array([(columns * weight).sum(), (rows * weight).sum()]) / weight.sum()
            np.testing.assert_allclose(middle, (x, y), atol=0.6)


def test_mirrored_points_are_those_of_the_other_side():
    from hub.data import faces_drawn

    assert sorted(MIRRORED) == list(range(68)) and [MIRRORED[m] for m in MIRRORED] == list(range(68))
    face = faces_drawn.landmarks(5, 6, 0.0, 0, pose=(0.0, 0.0, 0.0))
    middle = face[27:31, 0].mean()
    other = np.stack([2 * middle - face[:, 0], face[:, 1]], axis=1)[list(MIRRORED)]
    assert np.abs(other - face).max() < 0.12 * np.ptp(face[:, 0])


def test_figures_against_plain_loops():
    rng = np.random.default_rng(0)
    label, answer = rng.integers(0, 6, 80), rng.integers(0, 7, 80)  # nobody is neutral
    found = evaluate.method("x", answer, label)
    right = [np.mean([a == y for a, y in zip(answer, label, strict=True) if y == c]) for c in range(6)]
    assert found.metrics["mean_class_accuracy"]["value"] == pytest.approx(np.mean(right), abs=1e-6)
    assert np.isnan(found.recall[6]) and np.isnan(found.f1[6]) and found.precision[6] == 0
    for c in range(6):
        p = np.mean([y == c for a, y in zip(answer, label, strict=True) if a == c])
        assert found.f1[c] == pytest.approx(2 * p * right[c] / (p + right[c]) if p + right[c] else 0)
    assert found.confusion.sum() == 80 and found.confusion[2, 3] == ((label == 2) & (answer == 3)).sum()


def test_annotations_train_ltnet_and_are_reported(source, faces_folder, hub_command, tmp_path):
    """Two annotators; the second calls every sad face happy: the run learns it."""
    rows = ["image,annotator,label"]
    for face in source.train.faces:
        name = EXPRESSIONS[face.label]
        rows += [f"{face.name}.png,ann,{name}", f"{face.name}.png,ben,{'happy' if name == 'sad' else name}"]
    (tmp_path / "said.csv").write_text("\n".join(rows) + "\n")
    done = hub_command("run", "facial_expression", "--data", faces_folder, "--out", tmp_path, "--json", *FLAGS,
                       "--annotations", tmp_path / "said.csv", "--landmark-epochs", 0)  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    folder = pathlib.Path(json.loads(done.stdout)["folder"])
    about = json.loads((folder / "run.json").read_text())
    matrices = np.array(about["annotators"]["transitions"])
    assert about["annotators"]["names"] == ["ann", "ben"] and matrices.shape == (2, 7, 7)
    np.testing.assert_allclose(matrices.sum(axis=-1), 1, atol=1e-4)
    page = (folder / "report.html").read_text()
    assert "ann" in page and "kappa" in page.lower()
    (tmp_path / "other.csv").write_text("image,annotator,label\nnobody.png,ann,happy\n")
    done = hub_command("run", "facial_expression", "--data", faces_folder, "--out", tmp_path, *FLAGS,
                       "--annotations", tmp_path / "other.csv")  # fmt: skip
    assert done.returncode == 2 and "names none of the training faces" in done.stderr


def test_fer2013_rows_are_faces_from_edge_to_edge(tmp_path):
    rng = np.random.default_rng(0)
    lines = ["emotion,pixels,Usage"]
    for n, usage in enumerate(["Training"] * 21 + ["PublicTest"] * 7 + ["PrivateTest"] * 7):
        lines.append(f"{n % 7},{' '.join(map(str, rng.integers(0, 256, 2304)))},{usage}")
    (tmp_path / "fer2013.csv").write_text("\n".join(lines) + "\n")
    found = dataset.load(tmp_path / "fer2013.csv", Config(), str)
    assert (found.kind, len(found.train), len(found.validation), len(found.test)) == ("FER2013", 21, 7, 7)
    assert found.undetected == 0 and (found.test.boxes == (0, 0, 48, 48)).all() and not found.train.placed.any()


def test_a_resumed_run_ends_in_the_same_weights(source, tmp_path):
    config = Config(**TINY)

    class StopError(Exception):
        pass

    whole, _, _ = train.pixels(config, source.train, source.validation, tmp_path / "whole", verbose=0)
    kept = train.training.State.save

    def save(self, epoch, logs):
        kept(self, epoch, logs)
        if epoch == 0:
            raise StopError

    with pytest.MonkeyPatch.context() as patch, pytest.raises(StopError):
        patch.setattr(train.training.State, "save", save)
        train.pixels(config, source.train, source.validation, tmp_path / "cut", verbose=0)
    again, _, _ = train.pixels(config, source.train, source.validation, tmp_path / "cut", resume=True, verbose=0)
    for a, b in zip(whole.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_settings_and_data_that_cannot_be_are_refused_in_one_sentence(tmp_path):
    for wrong, said in (
        ({"model": "grad_cam"}, "image classifier"),
        ({"landmark_model": "resnet18"}, "landmark_model must be one of"),
        ({"size": 8}, "size must lie in"),
        ({"fold": 10}, "fold must lie in"),
    ):
        with pytest.raises(ValueError, match=said):
            Config(**wrong)
    with pytest.raises(ValueError, match="--data must be"):
        dataset.prepare(str(tmp_path / "nothing"), Config())
    with pytest.raises(ValueError, match=r"\."):
        dataset.load(tmp_path, Config(), str)


def test_the_default_networks_have_the_parameters_that_the_card_says():
    config = Config()
    assert models.pixels(config).count_params() == 58_423
    assert models.landmarks(config).count_params() == 108_728

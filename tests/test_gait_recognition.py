"""The application as a user runs it, on the smallest data that exercise every stage."""

import json
import pathlib

import numpy as np
import pytest

from applications.gait_recognition import dataset, evaluate, pipeline, train
from applications.gait_recognition import model as models
from applications.gait_recognition.config import Config
from applications.metric_learning import missed

TINY = ("--model", "gaitset_tiny", "--epochs", "2", "--steps", "3", "--people", "2", "--batch-size", "4",
        "--frames", "4", "--validation-people", "2")  # fmt: skip

SMALL = Config(people=2, batch_size=4)


@pytest.fixture(scope="session")
def gait_folder(tmp_path_factory):
    """8 drawn people, 3 views, in CASIA-B's layout, with 005 incomplete; marked as the sample marks itself."""
    from hub.data.walker_silhouettes import write

    folder = tmp_path_factory.mktemp("casia") / "sample"
    write(folder / "GaitDatasetB-silh", range(1, 9), views=(0, 54, 90), frames=(12, 16), incomplete=5, report=str)
    (folder / "sample.json").write_text('{"synthetic": true}')
    return folder


@pytest.fixture(scope="session")
def run(gait_folder, tmp_path_factory, hub_command):
    """`hub run gait_recognition --data DIR --json`."""
    out = tmp_path_factory.mktemp("models")
    done = hub_command("run", "gait_recognition", "--data", gait_folder, "--out", out, "--json", *TINY)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_run_writes_everything_and_says_so(run):
    folder = pathlib.Path(run["folder"])
    for name in ("model.keras", "saved_model.pb", "model_float32.tflite", "model_float16.tflite", "model_int8.tflite",
                 "report.html", "run.json", "config.json", "history.json", "export.json", "manifest.json"):  # fmt: skip
        assert (folder / name).is_file(), name
    assert not list(folder.parent.glob("unfinished*"))
    figures = run["sample"]
    for kind in ("rank1", "energy_image_rank1"):
        for condition in ("nm", "bg", "cl"):
            figure = figures[f"{kind}_{condition}"]
            assert 0 <= figure["low"] <= figure["value"] <= figure["high"] <= 1
    assert 0 <= figures["equal_error_rate"]["low"] <= figures["equal_error_rate"]["high"] <= 1
    page = (folder / "report.html").read_text()
    assert "<script src" not in page and "http://" not in page.replace("http://www.w3.org", "")
    assert "of 240 sequences are absent or empty" in page


def test_evaluate_repeats_the_figures_of_the_run(run, hub_command):
    done = hub_command("evaluate", "gait_recognition", "--run", run["folder"], "--json")
    assert done.returncode == 0, done.stderr[-2000:]
    assert json.loads(done.stdout.splitlines()[-1]) == {"sample": run["sample"]}


def test_one_exported_graph_takes_any_number_of_walks_and_frames(run, gait_folder):
    """SavedModel, float and int8 TFLite: 1 to 3 walks of 1 to 9 frames, padded with noise, like Keras on each alone."""
    import tensorflow as tf
    from ai_edge_litert.interpreter import Interpreter

    import hub

    folder = pathlib.Path(run["folder"])
    network = hub.load(str(folder / "model.keras"))
    walks = dataset.load(gait_folder, SMALL).test
    served = tf.saved_model.load(str(folder)).signatures["serving_default"]
    lite = Interpreter(str(folder / "model_float32.tflite")).get_signature_runner("serving_default")
    rng = np.random.default_rng(0)
    for lengths in ([1], [9, 2, 5], [7, 7]):
        clips = [clip[:n] for clip, n in zip(evaluate.clips_of(walks), lengths, strict=False)]
        sets = rng.integers(0, 256, (len(clips), max(lengths) + 2, 64, 44, 1)).astype("float32")
        for place, clip in zip(sets, clips, strict=True):
            place[: len(clip), ..., 0] = clip
        given = {"silhouettes": sets, "length": np.array(lengths, "int32")}
        alone = np.concatenate([evaluate.embed(network, [clip]) for clip in clips])
        scale = np.abs(alone).max()
        for answer in (served(**{k: tf.constant(v) for k, v in given.items()}), lite(**given)):
            np.testing.assert_allclose(answer["embedding"], alone, atol=1e-4 * scale)
    shuffled = evaluate.embed(network, [rng.permutation(clips[0])])
    np.testing.assert_allclose(shuffled[0], alone[0], atol=1e-6 * scale)


def test_padding_and_order_of_walks_change_no_embedding(run, gait_folder):
    import hub

    network = hub.load(run["folder"] + "/model.keras")
    clips = evaluate.clips_of(dataset.load(gait_folder, SMALL).test)[:7]
    together = evaluate.embed(network, clips)
    alone = np.concatenate([evaluate.embed(network, [clip]) for clip in clips])
    np.testing.assert_allclose(together, alone, atol=1e-5 * np.abs(alone).max())


def test_enrol_search_verify_and_predict(run, gait_folder, hub_command, tmp_path):
    """A walk is found again under its person's name, from its folder and from an array."""
    base = gait_folder / "GaitDatasetB-silh"
    gallery = ("--gallery", tmp_path / "people.gallery", "--run", run["folder"])
    for who in ("006", "007"):
        done = hub_command("gallery", "add", "gait_recognition", who, base / who / "nm-01" / "054", *gallery)
        assert done.returncode == 0, done.stderr
    from hub.data import gait_clips

    walk = gait_clips.read(gait_clips.Clip("", "", 0, base / "007/nm-01/054"))
    np.save(tmp_path / "walk.npy", walk)
    done = hub_command("gallery", "search", "gait_recognition", tmp_path / "walk.npy", "--json", *gallery)
    (row,) = map(json.loads, done.stdout.splitlines())
    assert row["name"] == "007" and row["matches"][0]["distance"] < 1e-4
    done = hub_command("predict", "gait_recognition", tmp_path / "walk.npy", *gallery, "--out", tmp_path / "seen")
    assert done.returncode == 0 and "; 007 (distance 0" in done.stdout
    page = (tmp_path / "seen/walk.html").read_text()
    assert "1 walk in walk.npy" in page and "; 007 (distance 0" in page and page.count("<img") == 1
    with np.load(tmp_path / "seen/walk.npz") as kept:
        assert kept["embeddings"].shape == (1, 7 * 5 * 2) and kept["sources"].tolist() == [str(tmp_path / "walk.npy")]
    both = [base / "008/nm-01/054", base / "008/nm-01/090"]
    done = hub_command("gallery", "add", "gait_recognition", "008", *both, "--merge", *gallery)
    assert done.returncode == 0 and "frames of 2 sources; enrolled as 008" in done.stdout


def sentences(hub_command, run, *args):
    done = hub_command(*args, "--run", run["folder"])
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and done.stderr.startswith("hub: "), done.stderr
    return done.stderr


def test_walks_that_cannot_be_used_are_one_sentence_each(run, hub_command, tmp_path):
    (tmp_path / "empty").mkdir()
    shapes = {"black": np.zeros((12, 128, 88), "uint8"), "one": np.full((1, 128, 88), 255, "uint8")}
    for name, frames in shapes.items():
        np.save(tmp_path / f"{name}.npy", frames)
    (tmp_path / "walk.pkl").write_bytes(b"x")
    (tmp_path / "cut.mp4").write_bytes(b"\0\0\0\x18ftypmp42")
    for name, said in {
        "empty": "0 frames with a person",
        "black.npy": "0 frames with a person",
        "one.npy": "1 frames with a person; at least 10",
        "walk.pkl": "pickled",
        "cut.mp4": "cut.mp4",
        "absent.mp4": "is not there",
    }.items():
        assert said in sentences(hub_command, run, "predict", "gait_recognition", tmp_path / name)


def test_data_that_are_none_are_one_sentence_each(hub_command, tmp_path):
    (tmp_path / "folder").mkdir()
    table = tmp_path / "walks.csv"
    table.write_text("subject,condition,path\n")
    cases = {
        ("--data", tmp_path / "absent"): "--data must be the folder of CASIA-B or OU-MVLP, or a CSV file",
        ("--data", tmp_path / "folder"): "has no people",
        ("--data", table): "no column view",
        ("--batch-size", "25"): "multiple of people",
        ("--model", "resnet18"): "a network over sets of silhouettes",
        ("--model", "gaitbase", "--pooling", "mean"): "pooling belongs to GaitSet",
        ("--validation-people", "1"): "must be 0, or 2 and more",
    }
    for args, said in cases.items():
        done = hub_command("run", "gait_recognition", *args, "--out", tmp_path / "out")
        assert done.returncode == 2 and said in done.stderr and done.stderr.count("\n") == 1, done.stderr
    assert not (tmp_path / "out").exists()


def test_a_data_set_by_its_table(gait_folder, tmp_path):
    """Conditions of one's own: the first is enrolled, the others are looked for; people are split, none in both."""
    base = gait_folder / "GaitDatasetB-silh"
    lines = [f"{who},{day},{view},{base / who / clip / f'{view:03d}'}"
             for who in ("001", "002", "003", "004", "006", "007", "008")
             for day, clip in (("april", "nm-01"), ("may", "nm-02")) for view in (0, 90)]  # fmt: skip
    table = tmp_path / "walks.csv"
    table.write_text("\n".join(["subject,condition,view,path", *lines]))
    source = dataset.load(table, SMALL)
    assert source.kind == "own" and source.protocol == (("april",), {"may": ("may",)})
    assert not set(source.train.subject) & set(source.test.subject) and len(set(source.train.subject)) == 4
    assert len(source.train) == 16 and source.train.starts[-1] == len(source.train.frames)


def test_validation_people_are_not_trained_on(gait_folder):
    source = dataset.load(gait_folder, SMALL)
    kept, held = dataset.validation(source.train, Config(people=2, batch_size=4, validation_people=2))
    assert set(kept.subject) | set(held.subject) == set(source.train.subject) == {"001", "002", "003", "004"}
    assert not set(kept.subject) & set(held.subject)
    row = int(np.flatnonzero(source.train.subject == held.subject[0])[0])
    np.testing.assert_array_equal(evaluate.clips_of(held)[0], evaluate.clips_of(source.train)[row])
    with pytest.raises(ValueError, match="leaves fewer than the 3 of a batch"):
        dataset.validation(source.train, Config(people=3, batch_size=6, validation_people=2))


def test_a_classifying_network_trains_and_forgets_its_classes(gait_folder, tmp_path):
    """GaitBase: triplets and scaled cosines together; what is kept embeds only."""
    config = Config(model="gaitbase_tiny", epochs=1, steps=2, people=2, batch_size=4, frames=3, validation_people=2)
    source = dataset.load(gait_folder, config)
    kept, held = dataset.validation(source.train, config)
    model, history = train.train(config, kept, held, tmp_path, verbose=0)
    assert list(model.output) == ["embedding"] and np.isfinite(history["val_loss"]).all()


def test_a_resumed_run_ends_in_the_same_weights(gait_folder, tmp_path):
    config = Config(model="gaitset_tiny", epochs=3, steps=2, people=2, batch_size=4, frames=3, validation_people=2)
    source = dataset.load(gait_folder, config)
    kept, held = dataset.validation(source.train, config)
    whole, _ = train.train(config, kept, held, tmp_path / "whole", verbose=0)

    class StopError(Exception):
        pass

    import keras

    plain = train.training.State.save

    def save(self, epoch, logs):
        plain(self, epoch, logs)
        if epoch == 1:
            raise StopError

    with pytest.MonkeyPatch.context() as patch, pytest.raises(StopError):
        patch.setattr(train.training.State, "save", save)
        train.train(config, kept, held, tmp_path / "cut", verbose=0)
    keras.utils.set_random_seed(99)
    again, _ = train.train(config, kept, held, tmp_path / "cut", resume=True, verbose=0)
    for a, b in zip(whole.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_metric_counts_walks_whose_nearest_is_another_person():
    places = np.array([0.0, 1.0, 5.0, 1.4], "float32")[:, None, None]  # nearest: 1, 3, 3, 1
    np.testing.assert_array_equal(missed(np.array([0, 0, 1, 1]), places), [0, 1, 0, 1])


def test_parameters_of_the_default_network():
    network = models.build(Config(), pixels=True)
    assert network.count_params() == sum(int(np.prod(w.shape)) for w in models.build(Config()).weights)
    assert pipeline.GOLDEN <= 32 and {tensor.name for tensor in network.inputs} == {"silhouettes", "length"}

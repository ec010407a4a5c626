"""`hub.load`: names, arguments, files. What it must refuse from strangers is in tests/security."""

import functools
import json
import os
import pathlib
import re
import subprocess
import sys
import textwrap
import types
import zipfile

import keras
import numpy as np
import pytest

import hub
from hub import contract, loading, registry
from hub.export import manifest

ROOT = pathlib.Path(__file__).parents[1]


def small(name="model", **layer):
    """A model with a branch, a dictionary of outputs, an operation of `keras.ops` and a layer of the hub."""
    keras.utils.set_random_seed(3)
    inputs = keras.Input((4,), name="x")
    hidden = keras.layers.Dense(6, activation="gelu", kernel_regularizer=keras.regularizers.L2(1e-4), **layer)(inputs)
    hidden = hub.load("maxout", units=3)(hidden) + 1.0
    return keras.Model(inputs, {"logits": keras.layers.Dense(2)(hidden[:, :2]), "hidden": hidden}, name=name)


X = np.random.default_rng(0).normal(size=(5, 4)).astype("float32")


def same(model, other, x=X):
    np.testing.assert_equal(numbers(model, x), numbers(other, x))


def numbers(model, x):
    return keras.tree.map_structure(keras.ops.convert_to_numpy, model(x))


def sentence(error):
    text = str(error.value)
    assert "\n" not in text and text.endswith(".") and not re.search(r"[.!?] +(?!Received)[A-Z]", text), text
    return text


# Names


def test_names_are_read_with_good_will():
    for name in ("resnet_tiny", "ResNet-Tiny", "RESNET tiny"):
        assert hub.load(name, num_classes=3, input_shape=(32, 32, 1)).output_shape == (None, 3)
    with pytest.raises(registry.UnknownNameError, match="resnet18"):
        hub.load("resent18")


def test_omitted_arguments_are_the_entrys_own(monkeypatch):
    seen = []
    monkeypatch.setitem(registry._loaded, "resnet_tiny", functools.partial(probe(seen), width=8))
    hub.load("resnet_tiny")
    hub.load("resnet_tiny", num_classes=0, input_shape=None)
    assert seen == [{"width": 8}, {"width": 8, "num_classes": 0, "input_shape": None}]


def probe(seen):
    def factory(width, input_shape=(1,), num_classes=9):
        seen.append({k: v for k, v in locals().items() if k != "seen" and v not in ((1,), 9)})

    return factory


def test_other_rooms():
    assert type(hub.load("maxout", units=2, name="pairs")).__name__ == "Maxout"
    assert type(hub.load("multi_digit_loss", reduction="none")).__name__ == "MultiDigitLoss"
    with pytest.raises(ValueError, match="Weights are for models"):
        hub.load("maxout", weights="imagenet")


@pytest.mark.parametrize(
    ("name", "arguments", "said"),
    [
        ("resnet_tiny", {"nun_classes": 3}, "'nun_classes' (did you mean num_classes?): it takes block, depths, width"),
        ("resnet_tiny", {"zzz": 3}, "has no argument 'zzz': it takes"),
        ("maxout", {"unit": 3}, "did you mean units?"),
        ("maxout", {"trainabel": False}, "did you mean trainable?"),
        ("multi_digit_loss", {"lenght": 3}, "it takes max_length, num_symbols, reduction, name."),
        (7, {}, "Received: 7."),
        ("", {}, "Unknown name ''"),
    ],
)
def test_arguments_that_do_not_exist(name, arguments, said):
    with pytest.raises(ValueError) as error:
        hub.load(name, **arguments)
    assert said in sentence(error)


def test_arguments_that_are_missing(monkeypatch):
    monkeypatch.setitem(registry._loaded, "resnet_tiny", functools.partial(probe([])))
    with pytest.raises(ValueError, match=r"resnet_tiny needs width: it takes width, input_shape, num_classes\."):
        hub.load("resnet_tiny")


def test_weights_reach_the_model(tmp_path):
    """A tag or a path goes to `hub.weights`, with what was asked about the classes."""
    model = hub.load("resnet_tiny", num_classes=4, input_shape=(32, 32, 3))
    model.save_weights(tmp_path / "a.weights.h5")
    again = hub.load("resnet_tiny", num_classes=4, input_shape=(32, 32, 3), weights=tmp_path / "a.weights.h5")
    same(model, again, np.ones((1, 32, 32, 3)))
    with pytest.raises(ValueError):
        hub.load("resnet_tiny", weights=str(tmp_path / "none.safetensors"))


def test_keras_hub_is_optional(monkeypatch):
    monkeypatch.setitem(sys.modules, "keras_hub", None)
    with pytest.raises(ValueError, match="pip install") as error:
        hub.load("keras_hub/resnet_18_imagenet")
    sentence(error)


def test_keras_hub_passes_through(monkeypatch):
    class Kind:
        def __init__(self, name):
            self.__name__ = name

        def from_preset(self, preset, **arguments):
            if preset == "none":
                raise OSError("no such preset\n\nand a paragraph")
            return self.__name__, preset, arguments

    models = types.SimpleNamespace(ImageClassifier=Kind("ImageClassifier"), Backbone=Kind("Backbone"))
    monkeypatch.setitem(sys.modules, "keras_hub", types.SimpleNamespace(models=models))
    assert hub.load("keras_hub/a", num_classes=3) == ("ImageClassifier", "a", {"num_classes": 3})
    assert hub.load("keras_hub/a/b", num_classes=0, dtype="bfloat16") == ("Backbone", "a/b", {"dtype": "bfloat16"})
    for arguments in ({"weights": "imagenet"}, {"input_shape": (8, 8, 3)}):
        with pytest.raises(ValueError, match=next(iter(arguments))):
            hub.load("keras_hub/a", **arguments)
    with pytest.raises(ValueError, match=r"ImageClassifier: no such preset\.$"):
        hub.load("keras_hub/none")


# .keras


def test_everything_registered_loads_in_a_fresh_process(tmp_path):
    """The first row of each family, saved here, computes the same there: no imports, no custom objects."""
    expected = {}
    for entry in hub.list():
        if entry.room in ("models", "layers", "losses", "metrics") and contract._first_row(entry) == entry.order:
            model = saveable(entry)
            model.save(tmp_path / f"{entry.name}.keras")
            expected[entry.name] = answers(entry.name, model)
    assert {registry.info(name).room for name in expected} == {"models", "layers", "losses", "metrics"}
    code = """
        import json, sys, hub
        assert "keras" not in sys.modules
        models = {name: hub.load(name + ".keras") for name in json.loads(sys.argv[1])}
        import numpy, test_loading
        for name, model in models.items():
            numpy.savez(name, *test_loading.answers(name, model))
    """
    run = [sys.executable, "-c", textwrap.dedent(code), json.dumps([*expected])]
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    subprocess.run(run, cwd=tmp_path, check=True, env={**os.environ, "PYTHONPATH": path})
    for name, values in expected.items():
        with np.load(tmp_path / f"{name}.npz") as file:
            for found, value in zip(file.values(), values, strict=True):
                np.testing.assert_allclose(found, value, rtol=1e-5, atol=1e-6, err_msg=name)


def saveable(entry):
    """A model that is, contains or is compiled with what `entry` builds."""
    if entry.room == "models":
        return contract.tiny(entry)[0]
    thing, inputs = contract.example(entry)
    if entry.room == "layers":
        symbols = keras.tree.map_structure(lambda x: keras.Input(x.shape[1:], dtype=str(x.dtype)), inputs)
        return keras.Model(symbols, thing(symbols))
    prediction = keras.Input(np.shape(inputs[2])[1:])
    model = keras.Model(prediction, keras.layers.Identity()(prediction))
    model.compile("sgd", **({"loss": thing} if entry.room == "losses" else {"metrics": [thing]}))
    return model


def answers(name, model):
    """What `model` computes of the contract's example for the entry called `name`, as a list of arrays."""
    entry = registry.info(name)
    inputs = (contract.tiny if entry.room == "models" else contract.example)(entry)[1]
    if entry.room in ("models", "layers"):
        found = model(inputs)
    else:
        target, _good, bad = inputs
        found = (model.compute_loss if entry.room == "losses" else model.compute_metrics)(bad, target, model(bad))
    return [keras.ops.convert_to_numpy(value) for value in keras.tree.flatten(found)]


def test_training_goes_on_where_it_stopped(tmp_path):
    """Optimizer, schedule, losses and metrics come back: the next steps give the same weights."""
    model = small()
    rate = keras.optimizers.schedules.CosineDecay(0.1, 20)
    losses = {"logits": keras.losses.CategoricalCrossentropy(from_logits=True), "hidden": keras.losses.huber}
    model.compile(keras.optimizers.Adam(rate), loss=losses, metrics={"logits": ["accuracy"]})
    targets = {"logits": np.eye(2, dtype="float32")[[0, 1, 1, 0, 1]], "hidden": X[:, :3]}
    model.fit(X, targets, verbose=0)
    model.save(tmp_path / "m.keras")
    again = hub.load(tmp_path / "m.keras")
    assert int(again.optimizer.iterations) == 1
    for each in (model, again):
        each.fit(X, targets, epochs=2, shuffle=False, verbose=0)
    for a, b in zip(model.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert again.evaluate(X, targets, return_dict=True, verbose=0) == model.evaluate(
        X, targets, return_dict=True, verbose=0
    )


def test_what_lies_beside_in_the_archive_is_kept(tmp_path):
    """Other members of the archive, assets among them, do no harm."""
    path = tmp_path / "m.keras"
    model = small()
    model.save(path)
    with zipfile.ZipFile(path, "a") as file:
        file.writestr("labels.json", "[]")
        file.writestr("assets/labels.txt", "a\nb")
    same(model, hub.load(path))


def test_what_keras_itself_builds_is_accepted(tmp_path):
    """Nested models, wrappers, recurrent cells, vocabularies, policies, quantised layers: no false alarm."""
    text = keras.layers.StringLookup(vocabulary=["a", "b"])
    words = keras.Input((3,), dtype="string")
    quantised = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    quantised.quantize("int8")
    cells = keras.layers.RNN([keras.layers.LSTMCell(3), keras.layers.GRUCell(2)])
    sequence = [keras.Input((5, 4)), keras.layers.Bidirectional(keras.layers.LSTM(3, return_sequences=True)), cells]
    inner = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.SpectralNormalization(keras.layers.Conv2D(2, 3))])
    frames = [keras.Input((2, 8, 8, 3)), keras.layers.TimeDistributed(inner), keras.layers.Rescaling(1 / 255)]
    cases = [
        (keras.Model(words, text(words)), np.array([["a", "b", "c"]], dtype=object)),
        (quantised, X),
        (small(dtype="mixed_bfloat16"), X),
        (keras.Sequential(sequence), X[None].repeat(2, 0)),
        (keras.Sequential(frames), np.ones((1, 2, 8, 8, 3))),
        (keras.Sequential([keras.Input((8, 8, 3)), keras.layers.RandAugment(seed=1), inner]), np.ones((1, 8, 8, 3))),
    ]
    for index, (model, x) in enumerate(cases):
        model.save(tmp_path / f"{index}.keras")
        same(model, hub.load(tmp_path / f"{index}.keras"), keras.ops.convert_to_tensor(x))


def test_a_layer_that_moved_is_found(tmp_path):
    """A file names the module that a class had when it was saved; the registry knows where it is now."""
    model = small()
    model.save(tmp_path / "new.keras")
    with zipfile.ZipFile(tmp_path / "new.keras") as new, zipfile.ZipFile(tmp_path / "old.keras", "w") as old:
        for name in new.namelist():
            old.writestr(name, new.read(name).replace(b"hub.layers.maxout", b"hub.layers.maxima"))
    same(model, hub.load(tmp_path / "old.keras"))


# Damage


def test_every_truncation_is_one_sentence(tmp_path):
    small().save(tmp_path / "m.keras")
    whole = (tmp_path / "m.keras").read_bytes()
    for share in (0.0, 0.01, 0.3, 0.6, 0.9, 0.999):
        path = tmp_path / "cut.keras"
        path.write_bytes(whole[: int(share * len(whole))])
        with pytest.raises(ValueError, match=r"damaged or no \.keras archive") as error:
            hub.load(path)
        sentence(error)


def test_every_flipped_bit_is_noticed(tmp_path):
    small().save(tmp_path / "m.keras")
    whole = (tmp_path / "m.keras").read_bytes()
    with zipfile.ZipFile(tmp_path / "m.keras") as file:
        members = [(m.header_offset + 30 + len(m.filename), m.file_size) for m in file.infolist()]
    for start, size in members:
        for share in (0.1, 0.5, 0.9):
            broken = bytearray(whole)
            broken[start + int(share * size)] ^= 1
            (tmp_path / "broken.keras").write_bytes(broken)
            with pytest.raises(ValueError, match="damaged") as error:
                hub.load(tmp_path / "broken.keras")
            sentence(error)


@pytest.mark.parametrize("text", [b"", b"hello", b"\x80\x04", b"PK\x05\x06" + bytes(18), b"\x89HDF\r\n\x1a\n"])
@pytest.mark.parametrize("suffix", [".keras", ".safetensors", ".h5", ".pkl", ".txt"])
def test_what_is_no_model(text, suffix, tmp_path):
    (tmp_path / f"m{suffix}").write_bytes(text)
    with pytest.raises(ValueError) as error:
        hub.load(tmp_path / f"m{suffix}")
    sentence(error)


def test_a_manifest_is_held_to(tmp_path):
    with manifest.staged(tmp_path / "1") as folder:
        small().save(folder / "model.keras")
        (folder / "labels.txt").write_text("a")
    same(small(), hub.load(tmp_path / "1"))
    (tmp_path / "1" / "labels.txt").write_text("b")
    for path in (tmp_path, tmp_path / "1", tmp_path / "1" / "model.keras"):
        with pytest.raises(ValueError, match=r"labels\.txt has changed"):
            hub.load(path)


# Paths and folders


def test_paths_that_are_not_there(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for path in ("no/such", "m.keras", "./resnet_tiny", tmp_path / "x", "hf://user/model", "weights.PTH"):
        with pytest.raises(ValueError, match="There is no file or folder") as error:
            hub.load(path)
        sentence(error)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="holds no model") as error:
        hub.load("empty")
    sentence(error)


def test_a_name_is_a_name_in_every_folder(tmp_path, monkeypatch):
    """What a script loads does not depend on the folder it runs in."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "resnet_tiny").mkdir()
    small("mine").save(tmp_path / "resnet_tiny" / "model.keras")
    assert hub.load("resnet_tiny", num_classes=3, input_shape=(32, 32, 3)).name != "mine"
    assert hub.load("./resnet_tiny").name == "mine"


def test_the_highest_version_is_taken(tmp_path):
    for version in ("9", "10", "1"):
        (tmp_path / version).mkdir()
        small(f"model_{version}").save(tmp_path / version / "model.keras")
    (tmp_path / "11.tmp").mkdir()
    assert hub.load(tmp_path).name == "model_10"
    assert hub.load(str(tmp_path / "9")).name == "model_9"
    with pytest.raises(ValueError, match="without num_classes, weights"):
        hub.load(tmp_path, num_classes=3, weights="imagenet")


# SavedModel


def test_saved_model(tmp_path):
    import tensorflow as tf

    model = small()
    archive = keras.export.ExportArchive()
    archive.track(model)
    archive.add_endpoint("serving_default", model.call, [tf.TensorSpec((None, 4), tf.float32, name="x")])
    archive.write_out(tmp_path / "3", verbose=False)
    for path in (tmp_path, tmp_path / "3"):
        loaded = hub.load(path)
        assert loaded.input_shape == (None, 4) and loaded.inputs[0].name == "x"
        for name, value in numbers(model, X).items():
            np.testing.assert_allclose(numbers(loaded, X)[name], value, rtol=1e-5, atol=1e-6)


def test_saved_model_with_two_inputs_a_loop_and_random_numbers(tmp_path):
    """What ordinary graphs do with state is not taken for an attack."""
    import tensorflow as tf

    module = tf.Module()
    module.table = tf.lookup.StaticHashTable(tf.lookup.KeyValueTensorInitializer([1], [10.0]), 0.0)
    module.count = tf.Variable(0.0)

    @tf.function(input_signature=[tf.TensorSpec((None,), tf.int32, "a"), tf.TensorSpec((None,), tf.float32, "b")])
    def serve(a, b):
        tf.debugging.assert_all_finite(b, "b")
        looked = tf.map_fn(lambda v: module.table.lookup(v), a, fn_output_signature=tf.float32)
        noise = tf.random.uniform(tf.shape(b)) + tf.random.normal(tf.shape(b))
        module.count.assign_add(1.0)
        return {"sum": tf.cond(tf.reduce_sum(b) > 0, lambda: looked + b, lambda: looked - b) + 0.0 * noise}

    tf.saved_model.save(module, tmp_path / "1", {"serving_default": serve})
    loaded = hub.load(tmp_path)
    out = loaded({"a": np.array([1, 2], "int32"), "b": np.array([1.0, 2.0], "float32")})
    np.testing.assert_array_equal(out["sum"], [11.0, 2.0])


def test_damaged_saved_models(tmp_path):
    import tensorflow as tf

    module = tf.Module()
    module.v = tf.Variable(tf.ones(1000))
    module.f = tf.function(lambda x: x * tf.reduce_sum(module.v), [tf.TensorSpec((None,), name="x")])
    tf.saved_model.save(module, tmp_path / "1", {"serving_default": module.f})
    tf.saved_model.save(module, tmp_path / "2", {"other": module.f})
    hub.load(tmp_path / "1")
    (tmp_path / "1" / "variables" / "variables.index").write_bytes(b"")
    proto = tmp_path / "3"
    proto.mkdir()
    (proto / "saved_model.pb").write_bytes((tmp_path / "1" / "saved_model.pb").read_bytes()[:-100])
    (tmp_path / "4").mkdir()
    (tmp_path / "4" / "saved_model.pb").write_bytes(b"")
    for version in "1234":
        with pytest.raises(ValueError) as error:
            hub.load(tmp_path / version)
        sentence(error)


# safetensors


def test_safetensors_rebuild_the_model(tmp_path):
    kwargs = {"num_classes": 3, "input_shape": (32, 32, 3)}
    keras.layers.Dense(1)  # automatic names count on; the file must not depend on them
    model = hub.load("resnet_tiny", **kwargs)
    loading.save_safetensors(model, tmp_path / "m.safetensors", "ResNet-tiny", **kwargs)
    same(model, hub.load(tmp_path / "m.safetensors"), np.ones((2, 32, 32, 3)))
    assert [path.name for path in tmp_path.iterdir()] == ["m.safetensors"]


def test_safetensors_keep_every_type(tmp_path):
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("bfloat16")
    try:
        model = hub.load("resnet_tiny", num_classes=3, input_shape=(32, 32, 3))
        loading.save_safetensors(
            model, tmp_path / "m.safetensors", "resnet_tiny", num_classes=3, input_shape=(32, 32, 3)
        )
        again = hub.load(tmp_path / "m.safetensors")
    finally:
        keras.config.set_dtype_policy(policy)
    assert {str(w.dtype) for w in again.weights} >= {"bfloat16"}
    for a, b in zip(model.weights, again.weights, strict=True):
        np.testing.assert_array_equal(np.asarray(a, "float32"), np.asarray(b, "float32"))


def test_safetensors_of_another_shape_are_refused(tmp_path):
    kwargs = {"num_classes": 3, "input_shape": (32, 32, 3)}
    loading.save_safetensors(
        hub.load("resnet_tiny", **kwargs), tmp_path / "m.safetensors", "resnet_tiny", num_classes=4
    )
    with pytest.raises(ValueError, match="does not fit resnet_tiny: 2 arrays differ") as error:
        hub.load(tmp_path / "m.safetensors")
    sentence(error)


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    import safetensors.numpy

    path = tmp_path / "m.safetensors"
    path.write_text("old")

    def full_disk(arrays, aside, metadata):
        pathlib.Path(aside).write_text("half")
        raise OSError("No space left on device")

    monkeypatch.setattr(safetensors.numpy, "save_file", full_disk)
    model = hub.load("resnet_tiny", num_classes=2, input_shape=(32, 32, 3))
    with pytest.raises(OSError):
        loading.save_safetensors(model, path, "resnet_tiny")
    assert path.read_text() == "old" and len(list(tmp_path.iterdir())) == 1
    for wrong in ({"nun_classes": 3}, {"block": print}):
        with pytest.raises(ValueError):
            loading.save_safetensors(model, path, "resnet_tiny", **wrong)

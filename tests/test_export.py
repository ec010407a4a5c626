"""Exports: folded exactly, reopened in their runtimes, refused in one sentence, whole or absent."""

import json
import os
import pathlib
import signal
import subprocess
import sys

import keras
import numpy as np
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format, wrappers_pb2
from keras import layers, ops

from hub import export
from hub.export import child, fold, lint, manifest, verify
from hub.layers.sequence_decoder import SequenceDecoder

SHAPE = (16, 20, 3)


@keras.saving.register_keras_serializable("test_export")
class Fatal(layers.Layer):
    """Kills any process but the one named in the environment: a stand-in for a converter that crashes."""

    def call(self, inputs):
        if os.environ.get("FATAL_SPARES", str(os.getpid())) != str(os.getpid()):
            os.kill(os.getpid(), signal.SIGSEGV)
        return inputs


@keras.saving.register_keras_serializable("test_export")
class Warp(layers.Layer):
    def call(self, inputs):
        return ops.image.affine_transform(inputs, ops.ones((ops.shape(inputs)[0], 8)) * 0.1)


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).integers(0, 256, (5, *SHAPE)).astype("float32")


def reader():
    """Convolutions with BatchNormalization before a decoder with five named outputs."""
    inputs = x = keras.Input(SHAPE, name="image")
    x = layers.Rescaling(1 / 127.5, -1)(x)
    for filters in (8, 12):
        x = layers.Conv2D(filters, 3, strides=2, padding="same", use_bias=False)(x)
        x = layers.ReLU()(layers.BatchNormalization()(x))
    logits = layers.Dense(4 + 2 * 10, name="logits")(layers.Flatten()(x))
    return unsettle(keras.Model(inputs, SequenceDecoder(2, 10, name="decoder")(logits), name="reader"))


def unsettle(model, seed=1):
    """Random BatchNormalization statistics and affine terms, so that folding has something to do."""
    rng = np.random.default_rng(seed)
    for layer in model._flatten_layers():
        if isinstance(layer, layers.BatchNormalization):
            layer.set_weights([rng.uniform(0.5, 2, w.shape) for w in layer.get_weights()])
    return model


def outputs_of(model, images):
    return {name: ops.convert_to_numpy(value) for name, value in model(images, training=False).items()}


# --- a whole export --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def exported(tmp_path_factory, images):
    model, steps = reader(), []
    folder = tmp_path_factory.mktemp("models") / "reader" / "1"
    report = export.export(model, folder, golden=images, progress=steps.append)
    return model, folder, report, steps


def test_report_is_what_the_folder_says(exported):
    model, folder, report, steps = exported
    assert json.loads((folder / "export.json").read_text()) == report
    assert report["folded_batch_norms"] == 2 and report["golden_images"] == 5
    assert report["fingerprint"] == export.fingerprint(model) != export.fingerprint(reader_with_other_bias())
    assert {"tensorflow", "keras", "ai-edge-litert"} <= set(report["versions"])
    assert steps[0] == "load" and [s for s in steps if s.startswith("verify")] == [
        f"verify {k}" for k in export.FORMATS
    ]
    for kind, facts in report["formats"].items():
        assert facts["verified"] and facts["batch"] == "any" and facts["ops"] and facts["flex_ops"] == []
        if kind != "saved_model":
            assert facts["bytes"] == (folder / facts["file"]).stat().st_size


def reader_with_other_bias():
    model = reader()
    model.get_layer("logits").bias.assign_add([1.0] * 24)
    return model


def test_folder_is_a_servable_version_and_nothing_else(exported):
    _, folder, _, _ = exported
    assert {path.name for path in folder.iterdir()} - {"assets"} == {
        *("saved_model.pb", "fingerprint.pb", "variables", "export.json", "manifest.json"),
        *("model_float32.tflite", "model_float16.tflite", "model_int8.tflite"),
    }
    assert [path.name for path in folder.parent.iterdir()] == ["1"]


def test_differences_are_small_and_really_measured(exported, images):
    """Reopened here, by other means than the verifier's, the files give what the report says."""
    from ai_edge_litert.interpreter import Interpreter

    model, folder, report, _ = exported
    want = outputs_of(model, images)
    for kind, bound in {"float32": 1e-4, "float16": 1e-2, "int8": 0.2}.items():
        interpreter = Interpreter(str(folder / f"model_{kind}.tflite"))
        ((_, names),) = interpreter.get_signature_list().items()
        assert names["inputs"] == ["image"] and set(names["outputs"]) == set(want)
        runner = interpreter.get_signature_runner()
        dtype = np.uint8 if kind == "int8" else np.float32
        each = [runner(image=image[None].astype(dtype)) for image in images]
        found = report["formats"][kind]["signatures"]["serving_default"]
        assert found["inputs"] == {"image": {"shape": list(SHAPE), "dtype": np.dtype(dtype).name}}
        for name, expected in want.items():
            got = np.concatenate([answer[name] for answer in each])
            assert got.dtype == expected.dtype
            gap = np.abs(got.astype("float64") - expected).max()
            facts = found["outputs"][name]
            assert facts["difference"] == pytest.approx(gap, rel=0.2, abs=1e-6)
            if expected.dtype == np.float32:
                assert gap <= bound * facts["scale"]


def test_saved_model_answers_pixels_bytes_and_pictures_alike(exported, images):
    import tensorflow as tf

    model, folder, _, _ = exported
    want = outputs_of(model, images)
    signatures = tf.saved_model.load(str(folder)).signatures
    assert set(signatures) == {"serving_default", "serving_uint8", "serving_bytes"}
    pictures = [tf.io.encode_png(image).numpy() for image in images.astype("uint8")]
    for answer in (
        signatures["serving_default"](image=tf.constant(images)),
        signatures["serving_uint8"](image=tf.constant(images.astype("uint8"))),
        signatures["serving_bytes"](image_bytes=tf.constant(pictures)),
    ):
        assert set(answer) == set(want)
        for name, expected in want.items():
            np.testing.assert_allclose(answer[name], expected, rtol=1e-4, atol=1e-5)


def test_int8_is_integer_until_the_decoder_and_pixels_go_in_unscaled(exported):
    from ai_edge_litert.interpreter import Interpreter

    _, folder, report, _ = exported
    ops_ = report["formats"]["int8"]["ops"]
    assert ops_["QUANTIZE"] == 1 and ops_["DEQUANTIZE"] == 1  # in at the pixels, out at the logits
    details = Interpreter(str(folder / "model_int8.tflite")).get_signature_runner().get_input_details()
    assert details["image"]["quantization"] == (1.0, 0)


def test_int8_of_a_transformer_runs_where_a_variance_would_round_to_zero(tmp_path):
    """Layer normalisation's small variances are 0 in int8 beside large ones, and LiteRT ends a process that runs it."""
    import hub

    keras.utils.set_random_seed(0)
    model = hub.load("vit_tiny_tiny")
    golden = np.random.default_rng(0).integers(0, 256, (2, 224, 224, 3)).astype("float32")
    found = export.export(model, tmp_path / "1", golden=golden, formats=("int8",), image_bytes=False)["formats"]["int8"]
    assert found["verified"] and found["ops"]["RSQRT"] == 9


# --- the manifest ----------------------------------------------------------------------------------------------------


def test_manifest_names_the_file_that_changed_or_went(tmp_path):
    with manifest.staged(tmp_path / "m" / "3") as aside:
        (aside / "deep").mkdir()
        (aside / "deep" / "weights.bin").write_bytes(b"abc")
        (aside / "labels.txt").write_text("0 1 2")
        assert not (tmp_path / "m" / "3").exists()
        with manifest.staged(aside) as same:
            assert same == aside
    folder = tmp_path / "m" / "3"
    manifest.verify(folder)
    (folder / "notes.txt").write_text("added later")
    manifest.verify(folder)
    (folder / "deep" / "weights.bin").write_bytes(b"abd")
    with pytest.raises(ValueError, match=r"weights\.bin has changed"):
        manifest.verify(folder)
    (folder / "deep" / "weights.bin").unlink()
    with pytest.raises(ValueError, match=r"weights\.bin is missing"):
        manifest.verify(folder)
    (folder / "manifest.json").write_text("{")
    with pytest.raises(ValueError, match="damaged"):
        manifest.verify(folder)
    (folder / "manifest.json").unlink()
    with pytest.raises(ValueError, match=r"has no manifest\.json"):
        manifest.verify(folder)


@pytest.mark.parametrize("trouble", [RuntimeError, KeyboardInterrupt])
def test_staging_leaves_nothing_behind(tmp_path, trouble):
    with pytest.raises(trouble), manifest.staged(tmp_path / "1") as aside:
        (aside / "half").write_text("half")
        raise trouble
    assert list(tmp_path.iterdir()) == []


def test_staging_never_replaces(tmp_path):
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / "kept").write_text("kept")
    with pytest.raises(FileExistsError, match="choose the next version"), manifest.staged(tmp_path / "1"):
        pass
    assert (tmp_path / "1" / "kept").read_text() == "kept"


# --- what is refused -------------------------------------------------------------------------------------------------


def test_a_crashing_converter_costs_one_sentence(tmp_path, images, monkeypatch):
    monkeypatch.setenv("FATAL_SPARES", str(os.getpid()))
    inputs = keras.Input(SHAPE, name="image")
    model = keras.Model(inputs, layers.Conv2D(2, 3)(Fatal()(inputs)))
    with pytest.raises(export.ExportError, match=r"died \(SIGSEGV\) at step 'load'; nothing was written"):
        export.export(model, tmp_path / "1", golden=images, formats=["float32"])
    assert list(tmp_path.iterdir()) == []


def test_flex_is_refused_with_layer_and_remedy(tmp_path, images):
    inputs = keras.Input(SHAPE, name="image")
    x = layers.Resizing(8, 8, interpolation="bicubic", name="resize_1")(inputs)
    model = keras.Model(inputs, layers.Conv2D(2, 3)(x))
    with pytest.raises(export.ExportError) as refusal:
        export.export(model, tmp_path / "1", golden=images, formats=["float32"])
    assert str(refusal.value).startswith("`resize_1` uses bicubic resize, which needs Flex ops; use bilinear.")
    assert list(tmp_path.iterdir()) == []


def test_a_wrong_file_is_refused(tmp_path):
    """The verifier against answers that are off by more than the tolerance, by less, and by one class."""
    want = {"logits": np.array([[1.0, -4.0], [2.0, 3.0]], "float32"), "label": np.array([0, 1], "int32")}
    off = {"logits": want["logits"] + np.float32(3e-4), "label": want["label"]}
    found = verify.compare(want, off)
    assert found["logits"]["scale"] == 4 and found["logits"]["difference"] == pytest.approx(3e-4, rel=1e-3)
    assert found["logits"]["agreement"] == 1 and found["label"]["agreement"] == 1
    verify.refuse_difference("x", found, 1e-4, 0.99)
    with pytest.raises(child.ExportError, match=r"x differs from the Keras model by .* in 'logits'"):
        verify.refuse_difference("x", found, 7e-5, 0.99)
    with pytest.raises(child.ExportError, match=r"agrees .* on 50\.0%"):
        verify.refuse_difference("x", verify.compare(want, off | {"label": np.array([0, 0], "int32")}), 1e-4, 0.99)
    for broken in (np.nan, np.inf):
        found = verify.compare(want, off | {"logits": want["logits"] * np.float32(broken)})
        with pytest.raises(child.ExportError, match="differs"):
            verify.refuse_difference("x", found, 1e-4, 0.99)
    with pytest.raises(child.ExportError, match="'label' should have shape"):
        verify.compare(want, {"logits": want["logits"]})


def test_the_verifier_catches_a_file_of_another_model(exported, images, tmp_path):
    _, folder, _, _ = exported
    (tmp_path / "model_float32.tflite").write_bytes((folder / "model_float32.tflite").read_bytes())
    np.savez(tmp_path / "golden.npz", image=images)
    job = {"folder": str(tmp_path), "formats": ["float32"]}
    np.savez(tmp_path / "expected.npz", **outputs_of(exported[0], images))
    assert verify.work(job, lambda step: None)["float32"]["verified"]
    np.savez(tmp_path / "expected.npz", **outputs_of(reader_with_other_bias(), images[::-1]))
    with pytest.raises(child.ExportError, match=r"model_float32\.tflite differs"):
        verify.work(job, lambda step: None)


def test_several_inputs_by_name_with_a_free_axis(tmp_path):
    """A set of any size with its length: named in every format, alone and in a batch."""
    frames = keras.Input((None, 6, 5, 1), name="frames")
    length = keras.Input((), dtype="int32", name="length")
    mean = ops.sum(frames, axis=1) / ops.reshape(ops.cast(length, "float32"), (-1, 1, 1, 1))
    out = layers.Dense(3, name="out")(layers.Flatten()(layers.Conv2D(4, 3)(mean / 255.0)))
    model = keras.Model({"length": length, "frames": frames}, {"out": out})
    rng = np.random.default_rng(0)
    golden = {"frames": rng.integers(0, 256, (5, 7, 6, 5, 1)), "length": np.array([7, 1, 3, 7, 2])}
    report = export.export(model, tmp_path / "1", golden=golden, image_bytes=False)
    assert report["golden_images"] == 5
    for kind in export.FORMATS:
        (signature,) = report["formats"][kind]["signatures"].values()
        assert signature["inputs"]["frames"]["shape"] == [None, 6, 5, 1]
        assert signature["inputs"]["frames"]["dtype"] == ("uint8" if kind == "int8" else "float32")
        assert signature["inputs"]["length"] == {"shape": [], "dtype": "int32"}
        assert signature["outputs"]["out"]["difference"] < 0.1 * signature["outputs"]["out"]["scale"]
        assert report["formats"][kind]["batch"] == "any"
    for change, said in (
        ({"frames": golden["frames"]}, "must hold the inputs frames, length. Received: frames"),
        ({**golden, "length": golden["length"][:4]}, r"as many examples for each input. Received: \[4, 5\]"),
        ({**golden, "frames": golden["frames"] / 255}, r"pixels in 0\.\.255"),
    ):
        with pytest.raises(ValueError, match=said):
            export.export(model, tmp_path / "2", golden=change, image_bytes=False)
    assert not (tmp_path / "2").exists()


def test_bad_arguments_are_one_sentence(tmp_path, images):
    model = reader()
    gray = keras.Sequential([keras.Input((16, 20, 2)), layers.Conv2D(2, 3)])
    left, right = keras.Input(SHAPE), keras.Input(SHAPE)
    two = keras.Model([left, right], left + right)
    values, places = ops.top_k(left, 2)
    unnamed = keras.Model(left, [values, places])
    for change, said in (
        ({"golden": images[:, :4]}, r"golden must be images of shape .* Received: float32 \(5, 4, 20, 3\)"),
        ({"golden": images / 255}, r"golden must hold pixels in 0\.\.255.*from 0 to 1\."),
        ({"golden": images - 300}, r"Received: values from -300"),
        ({"golden": images * np.nan}, r"0\.\.255"),
        ({"golden": images[:0]}, r"Received: float32 \(0, 16"),
        ({"representative": images[0]}, "representative must be images"),
        ({"formats": ["onnx"]}, "formats must be some of saved_model"),
        ({"formats": "int8"}, "formats must be some of"),
        ({"formats": []}, "formats must be some of"),
        ({"model": gray}, r"pass image_bytes=False\. Received: input \(None, 16, 20, 2\)"),
        ({"model": two}, "one image input"),
        ({"model": unnamed}, "Every output needs a name"),
        ({"model": keras.Sequential([layers.Dense(2)])}, "one image input"),
    ):
        arguments = {"model": model, "folder": tmp_path / "1", "golden": images} | change
        with pytest.raises(ValueError, match=said) as refusal:
            export.export(**arguments)
        assert "\n" not in str(refusal.value)
    assert list(tmp_path.iterdir()) == []


def test_sixteen_bit_models_export_in_float32(images):
    inputs = keras.Input(SHAPE)
    inner = keras.Sequential([keras.Input(SHAPE), layers.Conv2D(4, 3, dtype="mixed_bfloat16")])
    head = layers.Dense(3, dtype="float32")(layers.Flatten(dtype="mixed_float16")(inner(inputs)))
    model = keras.Model(inputs, {"logits": head})
    twin = export._float32(model)
    assert {layer.compute_dtype for layer in twin._flatten_layers()} == {"float32"}
    for mine, theirs in zip(twin.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    assert export._float32(twin) is twin


# --- folding ---------------------------------------------------------------------------------------------------------


def image_model(build, shape=SHAPE):
    inputs = keras.Input(shape, name="image")
    return unsettle(keras.Model(inputs, build(inputs)))


def shared(x):
    conv = layers.Conv2D(3, 3, padding="same")
    return layers.BatchNormalization()(conv(x)) + conv(x)


def two_readers(x):
    y = layers.Conv2D(4, 3)(x)
    return layers.BatchNormalization()(y) + y


FOLDS = {
    "conv": (lambda x: layers.BatchNormalization()(layers.Conv2D(4, 3, bias_initializer="normal")(x)), 1),
    "no bias": (lambda x: layers.BatchNormalization()(layers.Conv2D(4, 3, use_bias=False)(x)), 1),
    "no scale": (lambda x: layers.BatchNormalization(scale=False)(layers.Conv2D(4, 3)(x)), 1),
    "no center": (lambda x: layers.BatchNormalization(center=False)(layers.Conv2D(4, 3)(x)), 1),
    "grouped": (lambda x: layers.BatchNormalization()(layers.Conv2D(6, 3, groups=3)(x)), 1),
    "depthwise": (lambda x: layers.BatchNormalization()(layers.DepthwiseConv2D(3, depth_multiplier=2)(x)), 1),
    "separable": (lambda x: layers.BatchNormalization()(layers.SeparableConv2D(5, 3)(x)), 1),
    "transpose": (lambda x: layers.BatchNormalization()(layers.Conv2DTranspose(5, 3, strides=2)(x)), 1),
    "dense": (lambda x: layers.BatchNormalization()(layers.Dense(5)(x)), 1),
    "activated": (lambda x: layers.BatchNormalization()(layers.Conv2D(4, 3, activation="relu")(x)), 0),
    "norm first": (lambda x: layers.Conv2D(4, 3)(layers.BatchNormalization()(x)), 0),
    "other axis": (lambda x: layers.BatchNormalization(axis=1)(layers.Conv2D(4, 3)(x)), 0),
    "shared": (shared, 0),
    "two readers": (two_readers, 0),
    "twice": (lambda x: layers.BatchNormalization()(layers.BatchNormalization()(layers.Conv2D(4, 3)(x))), 1),
}


@pytest.mark.parametrize("case", FOLDS)
def test_fold_changes_nothing_but_the_count(case, images):
    build, count = FOLDS[case]
    model = image_model(build)
    before = model.get_weights()
    folded, found = fold.batch_norm(model)
    assert found == count
    norms = [sum(isinstance(layer, layers.BatchNormalization) for layer in m.layers) for m in (model, folded)]
    assert norms[0] - norms[1] == count
    want, got = (ops.convert_to_numpy(m(images, training=False)) for m in (model, folded))
    assert np.abs(want - got).max() <= 1e-5 * np.abs(want).max()
    assert all((a == b).all() for a, b in zip(before, model.get_weights(), strict=True))


def test_fold_reaches_nested_and_sequential_models_and_keeps_a_tapped_convolution(images):
    def stem():
        return keras.Sequential([keras.Input((16, 20, 3)), layers.Conv2D(3, 3), layers.BatchNormalization()])

    inputs = keras.Input(SHAPE)
    tapped = layers.Conv2D(4, 3, name="tapped")(stem()(inputs))
    model = unsettle(keras.Model(inputs, {"normed": layers.BatchNormalization()(tapped), "tapped": tapped}))
    folded, count = fold.batch_norm(model)
    assert count == 1
    want, got = outputs_of(model, images), outputs_of(folded, images)
    for name in want:
        assert np.abs(want[name] - got[name]).max() <= 1e-5 * np.abs(want[name]).max()


def test_fold_leaves_no_batch_norm_in_resnet():
    import hub

    model = unsettle(hub.registry.build("resnet_tiny", input_shape=(32, 32, 3), num_classes=5))
    folded, count = fold.batch_norm(model)
    assert count == sum(isinstance(layer, layers.BatchNormalization) for layer in model.layers) > 4
    image = np.random.default_rng(0).normal(size=(2, 32, 32, 3)).astype("float32")
    want, got = (ops.convert_to_numpy(m(image, training=False)) for m in (model, folded))
    assert np.abs(want - got).max() <= 1e-5 * np.abs(want).max()


# --- lint ------------------------------------------------------------------------------------------------------------


def square(x):
    return layers.Reshape((16, 60))(x)


LINT = {  # construct -> (model body, operations found by layer name)
    "bicubic": (lambda x: layers.Resizing(8, 8, interpolation="bicubic", name="a")(x), {"a": "ResizeBicubic"}),
    "antialias": (lambda x: layers.Resizing(8, 8, antialias=True, name="a")(x), {"a": "ScaleAndTranslate"}),
    "bilinear": (lambda x: layers.Resizing(8, 8, name="a")(x), {}),
    "warp": (lambda x: Warp(name="a")(x), {"a": "ImageProjectiveTransformV3"}),
    "rolled lstm": (lambda x: layers.LSTM(3, name="a")(square(x)), {"a": "TensorListReserve"}),
    "unrolled lstm": (lambda x: layers.LSTM(3, unroll=True, name="a")(square(x)), {}),
    "rolled gru": (lambda x: layers.GRU(3, name="a")(square(x)), {"a": "TensorListReserve"}),
    "argmax": (lambda x: ops.argmax(x, -1), {"argmax": "BitwiseAnd"}),
    "top_k": (lambda x: ops.top_k(x, 1)[1], {}),
    "fft": (lambda x: ops.fft((x, x))[0], {"fft": "FFT"}),
    "roll": (lambda x: ops.roll(x, 1, axis=1), {"roll": "Roll"}),
    "gelu": (lambda x: ops.gelu(x, approximate=False), {}),
    "named like another": (
        lambda x: layers.Resizing(8, 8, name="a_1", interpolation="bicubic")(layers.ReLU(name="a")(x)),
        {"a_1": "ResizeBicubic"},
    ),
    "nested": (
        lambda x: image_model(lambda y: layers.Resizing(8, 8, interpolation="area", name="deep")(y))(x),
        {"deep": "ResizeArea"},
    ),
}


@pytest.mark.parametrize("case", LINT)
def test_lint_names_the_layer(case):
    build, found = LINT[case]
    keras.backend.clear_session()
    model = image_model(build)
    findings = lint.check(model)
    assert {finding.layer: finding.op for finding in findings} == found
    assert not any("call" in vars(operation) for operation in model.operations)


@pytest.mark.parametrize("case", ["antialias", "roll", "top_k", "unrolled lstm"])
def test_lint_and_converter_agree(case, tmp_path):
    """The lint's finding is what the converter itself says, and what the lint passes converts."""
    from hub.export import saved_model, tflite

    keras.backend.clear_session()
    model = image_model(lambda x: {"out": LINT[case][0](x)})
    saved_model.write(model, tmp_path / "m", image_bytes=False)
    try:
        tflite.convert(tmp_path / "m", "float32", {"image": np.zeros((0, *SHAPE), "float32")}, allow_flex=False)
        complaint = ""
    except Exception as error:
        complaint = str(error)
    assert bool(complaint) == bool(LINT[case][1])
    assert lint.explain(model, complaint) == lint.check(model)


# --- serving files ---------------------------------------------------------------------------------------------------


def test_serving_config_is_what_the_real_server_parses(tmp_path):
    import yaml
    from tensorflow_serving.config import model_server_config_pb2

    for name in ("street_number/1", "street_number/12", "gait/3", "no_version/latest"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "saved_model.pb").write_bytes(b"")
    (tmp_path / "README.md").write_text("")
    paths = export.write_serving_config(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == sorted(
        ["README.md", *(path.name for path in paths)]
    )
    config = text_format.Parse(paths[0].read_text(), model_server_config_pb2.ModelServerConfig())
    assert [(each.name, each.base_path, each.model_platform) for each in config.model_config_list.config] == [
        ("gait", "/models/gait", "tensorflow"),
        ("street_number", "/models/street_number", "tensorflow"),
    ]
    batching = text_format.Parse(paths[1].read_text(), batching_parameters()())
    assert 1 <= batching.max_batch_size.value <= 1024 and batching.batch_timeout_micros.value >= 0
    service = yaml.safe_load(paths[2].read_text())["services"]["serving"]
    assert service["image"].startswith("tensorflow/serving")
    mount = service["volumes"][0].split(":")[1]
    named = [each.partition("=")[2] for each in service["command"] if "_file=" in each]
    assert {f"{mount}/{path.name}" for path in paths[:2]} == set(named)


def batching_parameters():
    """The message of TensorFlow Serving's session_bundle_config.proto, whose Python module is not published."""
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(wrappers_pb2.DESCRIPTOR.serialized_pb)
    file = descriptor_pb2.FileDescriptorProto(
        name="batching.proto", package="t", syntax="proto3", dependency=[wrappers_pb2.DESCRIPTOR.name]
    )
    message = file.message_type.add(name="BatchingParameters")
    fields = ("max_batch_size", "batch_timeout_micros", "max_enqueued_batches", "num_batch_threads")
    for number, name in enumerate(fields, start=1):
        message.field.add(
            name=name, number=number, label=1, type=11, json_name=name, type_name=".google.protobuf.Int64Value"
        )
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("t.BatchingParameters"))


def test_serving_config_wants_a_model(tmp_path):
    with pytest.raises(ValueError, match="holds no <name>/<version>"):
        export.write_serving_config(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_manifest_imports_nothing_heavy():
    """`hub.load` verifies a folder before it imports a framework."""
    code = "import sys, hub.export; print(sorted({'keras', 'tensorflow', 'numpy'} & set(sys.modules)))"
    root = pathlib.Path(__file__).parent.parent
    assert subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True).stdout == "[]\n"

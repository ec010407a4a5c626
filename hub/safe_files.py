"""Checks of model files from strangers, made before anything in them is deserialised.

A file passes when it can only describe a network: every class it names is Keras's own or the hub's, every array lies
inside it, every graph operation computes on tensors. What is not known to be harmless is refused.
"""

import collections
import functools
import importlib
import importlib.util
import inspect
import io
import json
import math
import pathlib
import re
import stat
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from typing import Any

from hub import registry

EXPANSION, SLACK = 20, 2**26  # an archive or an HDF5 file may unfold to EXPANSION times its size, plus SLACK bytes
PLAIN = {"__keras_tensor__", "__tensor__", "__numpy__", "__bytes__", "__ellipsis__", "__slice__"}  # values, no classes
KERAS = re.compile(
    r"keras(\.src)?(\.(activations|constraints|dtype_policies|initializers|layers|losses|metrics|models|ops|optimizers"
    r"|quantizers|random|regularizers)(\.\w+)*)?"
    r"|keras\.src\.backend\.torch\.optimizers(\.\w+)*"  # what a model compiled on PyTorch is saved with
)
FUNCTIONS = ("activations", "losses", "metrics", "ops")  # modules of Keras whose functions only compute
UNSAFE = ("Lambda", "TFSMLayer", "JaxLayer", "FlaxLayer", "TorchModuleWrapper")  # layers that carry or fetch code
COMPUTES = re.compile(  # TensorFlow's operations with state that reach variables, tables and random numbers only
    "Anonymous(Mutable)?HashTable|Assert|Assign(Add|Sub)?VariableOp|Case|CheckNumerics(V2)?|CudnnRNNV3|DeviceIndex"
    "|DisableCopyOnRead|Empty|HashTableV2|If|InitializeTableV2|LookupTable(Export|Find|Import|Size)V2|Multinomial"
    "|Random(Gamma|Shuffle|StandardNormal|Uniform|UniformInt)|ReadVariableOp|ResourceGather(Nd)?|Rng(ReadAnd)?Skip"
    "|SampleDistortedBoundingBoxV2|Stateful[A-Z]\\w+|StatelessRandomGetAlg|TensorArray\\w*V3|TruncatedNormal|VarHandleOp"
    "|VarIsInitializedOp|VariableShape|While"
)
REACHES_OUT = re.compile(  # stateless by declaration, yet these read files, call Python or end the process
    "Abort|Dataset|Debug|File|ImmutableConst|PyFunc|Reader|Remapping|SymbolicGradient|TPU|Xla"
)
SAVER = {"MergeV2Checkpoints", "RestoreV2", "SaveV2", "ShardedFilename"}  # allowed where only a checkpoint calls them
TRUST = "pass safe_mode=False only if you trust its author"


class UnsafeFileError(ValueError):
    """The file is damaged, is not what its name says, or could do more than describe a network."""


def check_archive(path: pathlib.Path, safe_mode: bool = True) -> None:
    """Check a `.keras` file, and import the modules of the hub that its classes need.

    With `safe_mode` off the classes are left to Keras; names, sizes, checksums and arrays are checked all the same.

    Raises:
        UnsafeFileError: the archive is damaged or refused.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            _members(archive, path)
            if damaged := archive.testzip():
                raise UnsafeFileError(f"{path} is damaged: the checksum of {damaged} does not match.")
            config, weights = json.loads(archive.read("config.json")), io.BytesIO(archive.read("model.weights.h5"))
    except (
        zipfile.BadZipFile,
        zlib.error,
        EOFError,
        OSError,
        RuntimeError,
    ) as error:  # the last: encrypted, or too deep
        raise UnsafeFileError(f"{path} is damaged or no .keras archive ({error}).") from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise UnsafeFileError(f"{path} is damaged: its config.json is no JSON ({error}).") from error
    if not isinstance(config, dict) or "class_name" not in config:
        raise UnsafeFileError(f"{path} is no .keras archive: its config.json describes no model.")
    try:
        _arrays(weights, path)
    except UnsafeFileError:
        raise
    except (OSError, KeyError, TypeError, ValueError, RuntimeError, OverflowError) as error:
        raise UnsafeFileError(f"{path} is damaged: its weights cannot be read.") from error
    for reference in _references(config):
        if (reason := _objection(reference)) and safe_mode:
            raise UnsafeFileError(f"{path} is refused because {reason}.")


def _members(archive: zipfile.ZipFile, path: pathlib.Path) -> None:
    """Refuse members that would leave the folder they are unpacked to, hide others, or unfold to a huge size."""
    members = archive.infolist()
    names = collections.Counter(member.filename for member in members)
    if missing := {"config.json", "model.weights.h5"} - names.keys():
        raise UnsafeFileError(f"{path} is no .keras archive: it lacks {' and '.join(sorted(missing))}.")
    for member in members:
        name = member.filename
        if re.search(r"^/|(^|/)\.\.(/|$)|[\\:\0]", name):
            raise UnsafeFileError(f"{path} is refused because its member {name!r} lies outside the archive.")
        if stat.S_ISLNK(member.external_attr >> 16):
            raise UnsafeFileError(f"{path} is refused because its member {name!r} is a symbolic link.")
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise UnsafeFileError(f"{path} is refused because its member {name!r} is packed as Keras never does.")
        if names[name] > 1:
            raise UnsafeFileError(f"{path} is refused because it holds {name!r} twice.")
    unfolded, size = sum(member.file_size for member in members), path.stat().st_size
    if unfolded > EXPANSION * size + SLACK:
        raise UnsafeFileError(f"{path} is refused because its {size:,} bytes would unfold to {unfolded:,}.")


def _arrays(file: io.BytesIO, path: pathlib.Path) -> None:
    """Refuse HDF5 whose links or arrays lead to other files, hold no numbers, or unfold to a huge size."""
    import h5py

    with h5py.File(file, "r") as root:
        unfolded, seen, groups = 0, set(), [root]
        while groups:
            group = groups.pop()
            for name in group:
                at = f"{group.name.rstrip('/')}/{name}"
                if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                    raise UnsafeFileError(f"{path} is refused because its weights link {at!r} to another place.")
                found = group[name]
                if found in seen:  # hard links may form a ring
                    continue
                seen.add(found)
                if isinstance(found, h5py.Group):
                    groups.append(found)
                elif not isinstance(found, h5py.Dataset) or found.dtype.kind not in "biufcV":
                    raise UnsafeFileError(f"{path} is refused because its weights {at!r} are no numbers.")
                elif found.external or found.is_virtual:
                    raise UnsafeFileError(f"{path} is refused because its weights {at!r} are kept in another file.")
                else:
                    unfolded += math.prod(found.shape) * found.dtype.itemsize
        if unfolded > EXPANSION * len(file.getbuffer()) + SLACK:
            raise UnsafeFileError(f"{path} is refused because its weights would unfold to {unfolded:,} bytes.")


def _references(config: Any) -> Iterator[dict]:
    """Every dictionary in `config`, at any depth, that Keras could take for a class or a function."""
    pending = [config]
    while pending:
        value = pending.pop()
        if isinstance(value, dict):
            if {"class_name", "registered_name", "spec_name"} & value.keys():
                yield value
            pending.extend(value.values())
        elif isinstance(value, list):
            pending.extend(value)


def _objection(reference: dict) -> str | None:
    """Why `reference` must not be resolved, or None."""
    module, name = reference.get("module"), reference.get("class_name")
    registered, config = reference.get("registered_name"), reference.get("config")
    if isinstance(name, str) and name in PLAIN and module is None and registered is None:
        return None
    if name == "__lambda__":
        return f"it holds a lambda, Python code that loading would run; {TRUST}"
    if not all(isinstance(part, str) for part in (module, name)) or not isinstance(registered, str | None):
        return f"it names a class without saying where that is from ({name!r})"
    if name == "function":
        name = registered = config  # the name that Keras looks up
        if not isinstance(name, str):
            return "it names a function that has no name"
    if ">" in (registered or ""):
        return _hub_objection(module, registered)
    if registered not in (None, name):
        return f"it names {module}.{name} but registers it as {registered!r}"
    if reference["class_name"] == "function":
        return None if _computes(module, name) else f"it calls {module}.{name}, which is no function of a network"
    return _keras_objection(module, name, config)


def _hub_objection(module: str, registered: str) -> str | None:
    """Import what `registered` names from the hub's own files or a plug-in's; nothing else is ever imported."""
    import keras

    index = registry.index().values()
    own = re.fullmatch(rf"hub\.({'|'.join(registry.ROOMS)})\.\w+", module)
    if not own and module not in {entry.module for entry in index}:
        return f"it takes {registered!r} from {module!r}, which is not the hub's"
    homes = {module} | {entry.module for entry in index if entry.symbol == registered.rpartition(">")[2]}  # it may move
    for home in homes:
        if importlib.util.find_spec(home):
            importlib.import_module(home)
    found = keras.saving.get_registered_object(registered)
    return None if found and found.__module__ in homes else f"this version of the hub has no {registered!r}"


def _keras_objection(module: str, name: str, config: Any) -> str | None:
    found = None
    if KERAS.fullmatch(module):
        try:
            found = getattr(importlib.import_module(module), name, None)
        except ImportError:
            found = None
    if not inspect.isclass(found) or not issubclass(found, _parts()):
        return f"it takes {name!r} from {module!r}, which is neither a part of a network in Keras nor in the hub"
    import keras

    if issubclass(found, tuple(getattr(keras.layers, layer) for layer in UNSAFE)):
        return f"it holds a {found.__name__} layer, which brings its own code; {TRUST}"
    if isinstance(config, dict) and any(isinstance(config.get(key), str) for key in ("vocabulary", "idf_weights")):
        return f"its {name} layer reads the file {config.get('vocabulary')!r}; {TRUST}"
    return None


def _computes(module: str, name: str) -> bool:
    """Whether `name` is a mathematical function of Keras; "builtins" is what Keras writes for most of them."""
    import keras

    places = (
        FUNCTIONS if module == "builtins" else [p for p in FUNCTIONS if re.fullmatch(rf"keras\.{p}(\.\w+)*", module)]
    )
    found = [getattr(getattr(keras, place), name, None) for place in places]
    return name not in ("get", "serialize", "deserialize") and any(inspect.isfunction(f) for f in found)


@functools.cache
def _parts() -> tuple[type, ...]:
    """What the parts of a network derive from."""
    import keras

    return (
        keras.Operation,  # layers, models and the functions of keras.ops in a graph
        keras.Initializer,
        keras.Regularizer,
        keras.constraints.Constraint,
        keras.Loss,
        keras.Metric,
        keras.Optimizer,
        keras.optimizers.schedules.LearningRateSchedule,
        keras.DTypePolicy,
        keras.dtype_policies.DTypePolicyMap,
        keras.random.SeedGenerator,
        keras.Quantizer,
        keras.quantizers.QuantizationConfig,
    )


def check_graph(folder: pathlib.Path) -> None:
    """Check that the SavedModel in `folder` only computes: no files, no Python, no network, no other process.

    Raises:
        UnsafeFileError: the SavedModel is damaged or refused.
    """
    from google.protobuf.message import DecodeError
    from tensorflow.core.protobuf import saved_model_pb2

    try:
        graphs = saved_model_pb2.SavedModel.FromString((folder / "saved_model.pb").read_bytes()).meta_graphs
    except (DecodeError, OSError) as error:
        raise UnsafeFileError(f"{folder} is damaged: its saved_model.pb cannot be read.") from error
    if len(graphs) != 1 or not graphs[0].HasField("object_graph_def"):
        raise UnsafeFileError(f"{folder} is damaged or no SavedModel of TensorFlow 2.")
    main, saver = graphs[0].graph_def.node, graphs[0].saver_def
    functions = {function.signature.name: function.node_def for function in graphs[0].graph_def.library.function}
    saving = {saver.save_tensor_name.partition(":")[0], saver.restore_op_name}
    checkpoint = _called([node for node in main if node.name in saving], functions)
    checkpoint -= _called([node for node in main if node.name not in saving], functions)
    checkpoint -= _called((), functions, graphs[0].object_graph_def.concrete_functions)
    for name, nodes in {None: main, **functions}.items():
        for op in {node.op for node in nodes} - (SAVER if name in checkpoint else set()):
            if not _harmless(op, functions):
                raise UnsafeFileError(
                    f"{folder} is refused because its graph holds {op}, which could do more than compute; {TRUST}."
                )


def _harmless(op: str, functions: dict[str, Any]) -> bool:
    import tensorflow as tf
    from tensorflow.python.framework import op_def_registry  # says which operations have state; nothing public does

    definition = op_def_registry.get(op)
    if definition is None:
        return op in functions
    if definition.is_stateful:
        return bool(COMPUTES.fullmatch(op))
    return hasattr(tf.raw_ops, op) and not REACHES_OUT.search(op)


def _called(nodes: list, functions: dict[str, Any], named: Iterable[str] = ()) -> set[str]:
    """Names of the `functions` that graph nodes call, directly or through others, and of those `named` outright."""
    reached: set[str] = set()
    wanted = set(named).union(*map(_names, nodes))
    while new := wanted & functions.keys() - reached:
        reached |= new
        wanted = set().union(*(_names(node) for name in new for node in functions[name]))
    return reached


def _names(node: Any) -> set[str]:
    values = node.attr.values()
    return {node.op, *(v.func.name for v in values), *(f.name for v in values for f in v.list.func)}

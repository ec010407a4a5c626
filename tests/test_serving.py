"""The embedded server against direct calls of the same SavedModel, over REST and over the official gRPC client."""

import base64
import concurrent.futures
import gzip
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
    regression_pb2,
)

from applications import cli
from hub.serving import rest, tensors, values
from hub.serving.errors import HTTP_STATUS, ServingError
from hub.serving.layout import scan
from hub.serving.repository import Repository
from hub.serving.server import Server

RNG = np.random.default_rng(0)


class Toy(tf.Module):
    """Signatures of every kind the server meets; `scale` tells versions apart."""

    def __init__(self, scale):
        super().__init__()
        self.scale = tf.Variable(float(scale))

    @tf.function(input_signature=[tf.TensorSpec([None, 2, 3], tf.float32, "pixels")])
    def pixels(self, pixels):
        total = self.scale * tf.reduce_sum(pixels, [1, 2])
        return {"total": total, "digits": tf.cast(tf.round(pixels[:, 0]), tf.int32)}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "text")])
    def text(self, text):
        return {"echo": text, "echo_bytes": text, "length": tf.strings.length(text)}

    @tf.function(
        input_signature=[tf.TensorSpec([None], tf.int64, "left"), tf.TensorSpec([None, None], tf.float32, "right")]
    )
    def pair(self, left, right):
        return {"sum": tf.cast(left, tf.float32)[:, None] + right}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, "x")])
    def half(self, x):
        return {"y": x / 2}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "inputs")])
    def classify(self, inputs):
        x = self._feature(inputs)
        return {"scores": tf.stack([x, -x], 1), "classes": tf.tile([["up", "down"]], [tf.shape(x)[0], 1])}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "inputs")])
    def regress(self, inputs):
        return {"outputs": self._feature(inputs) * 0.1}

    @tf.function(input_signature=[tf.TensorSpec([], tf.float32, "count")])
    def picky(self, count):
        tf.debugging.assert_positive(count, "count must be positive")
        return {"root": tf.sqrt(count)}

    def _feature(self, inputs):
        return tf.io.parse_example(inputs, {"x": tf.io.FixedLenFeature([], tf.float32)})["x"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("saved_models")
    for version in (1, 2):
        toy = Toy(version)
        names = ("text", "pair", "half", "classify", "regress", "picky")
        signatures = {"serving_default": toy.pixels} | {name: getattr(toy, name) for name in names}
        tf.saved_model.save(toy, str(root / "toy" / str(version)), signatures=signatures)
    return root


@pytest.fixture(scope="module")
def direct(folder):
    loaded = tf.saved_model.load(str(folder / "toy" / "2"))
    return lambda name, **inputs: {k: v.numpy() for k, v in loaded.signatures[name](**inputs).items()}


@pytest.fixture(scope="module")
def server(folder):
    with Server(Repository(folder), rest_port=0, grpc_port=0) as running:
        yield running


@pytest.fixture(scope="module")
def stub(server):
    options = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
    with grpc.insecure_channel(server.grpc_address, options) as channel:
        yield prediction_service_pb2_grpc.PredictionServiceStub(channel)


def call(server, path, body=None, method=None, headers=None):
    """(status, parsed JSON) of one HTTP request; a `body` that is not bytes is sent as JSON."""
    data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    request = urllib.request.Request(f"{server.rest_url}{path}", data, headers or {}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            assert answer.headers["Content-Type"] == "application/json"
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        assert error.headers["Content-Type"] == "application/json"
        return error.code, json.loads(error.read())


def predict(server, body, path="/v1/models/toy:predict"):
    status, answer = call(server, path, body)
    assert status == 200, answer
    return answer


def request_for(signature="", version=None, outputs=(), **inputs):
    request = predict_pb2.PredictRequest(output_filter=outputs)
    request.model_spec.name, request.model_spec.signature_name = "toy", signature
    if version is not None:
        request.model_spec.version.value = version
    for name, value in inputs.items():
        request.inputs[name].CopyFrom(
            value if isinstance(value, tensor_pb2.TensorProto) else tf.make_tensor_proto(value)
        )
    return request


# --- answers ---------------------------------------------------------------------------------------------------------


def test_rows_and_columns_equal_a_direct_call(server, direct):
    pixels = RNG.normal(0, 100, (5, 2, 3)).astype(np.float32)
    expected = direct("serving_default", pixels=tf.constant(pixels))
    rows = predict(server, {"instances": pixels.tolist()})["predictions"]
    assert [set(row) for row in rows] == [{"total", "digits"}] * 5
    np.testing.assert_array_equal(np.float32([row["total"] for row in rows]), expected["total"])
    assert [row["digits"] for row in rows] == expected["digits"].tolist()
    named = predict(server, {"instances": [{"pixels": p} for p in pixels.tolist()]})["predictions"]
    assert named == rows
    columns = predict(server, {"inputs": pixels.tolist()})["outputs"]
    np.testing.assert_array_equal(np.float32(columns["total"]), expected["total"])
    assert columns["digits"] == expected["digits"].tolist()
    assert predict(server, {"inputs": {"pixels": pixels.tolist()}})["outputs"] == columns


def test_one_output_is_not_named(server):
    assert predict(server, {"signature_name": "half", "instances": [1, 2.5, -4]}) == {"predictions": [0.5, 1.25, -2.0]}
    assert predict(server, {"signature_name": "half", "inputs": [1, 2.5]}) == {"outputs": [0.5, 1.25]}
    assert predict(server, {"signature_name": "picky", "inputs": 9.0}) == {"outputs": 3.0}
    assert predict(server, {"signature_name": "half", "inputs": []}) == {"outputs": []}


def test_several_inputs(server, direct):
    left, right = np.arange(3), RNG.normal(size=(3, 4)).astype(np.float32)
    expected = direct("pair", left=tf.constant(left), right=tf.constant(right))["sum"]
    rows = [{"left": a, "right": b} for a, b in zip(left.tolist(), right.tolist(), strict=True)]
    body = {"signature_name": "pair", "instances": rows}
    np.testing.assert_array_equal(np.float32(predict(server, body)["predictions"]), expected)
    body = {"signature_name": "pair", "inputs": {"left": left.tolist(), "right": right.tolist(), "more": 1}}
    np.testing.assert_array_equal(np.float32(predict(server, body)["outputs"]), expected)


def test_strings_and_base64(server):
    raw = b"\x89PNG\x00\xff"
    packed = {"b64": base64.b64encode(raw).decode()}
    rows = predict(server, {"signature_name": "text", "instances": ["žluť", {"text": "a\\b"}["text"]]})["predictions"]
    assert [row["echo"] for row in rows] == ["žluť", "a\\b"]
    assert rows[0]["length"] == len("žluť".encode())
    assert [base64.b64decode(row["echo_bytes"]["b64"]).decode() for row in rows] == ["žluť", "a\\b"]
    request = urllib.request.Request(
        f"{server.rest_url}/v1/models/toy:predict",
        json.dumps({"signature_name": "text", "inputs": [packed, {"b64": packed["b64"].rstrip("=")}]}).encode(),
    )
    body = urllib.request.urlopen(request, timeout=20).read()
    outputs = json.loads(body.decode("utf-8", "replace"))["outputs"]
    assert outputs["echo_bytes"] == [packed] * 2
    assert outputs["length"] == [len(raw)] * 2
    assert raw.replace(b"\x00", b"\\u0000") in body  # a name without the suffix: the bytes as they are, as there


def test_versions(server):
    ones = {"inputs": [[[1, 1, 1], [1, 1, 1]]]}
    assert predict(server, ones)["outputs"]["total"] == [12.0]
    assert predict(server, ones, "/v1/models/toy/versions/2:predict")["outputs"]["total"] == [12.0]
    assert predict(server, ones, "/v1/models/toy/versions/001:predict")["outputs"]["total"] == [6.0]
    assert predict(server, ones, "/V1/MODELS/%74oy:PREDICT")["outputs"]["total"] == [12.0]


def test_not_a_number_and_infinity(server):
    body = b'{"signature_name": "half", "instances": [NaN, Infinity, -Infinity, 1e300, -0.0]} and more'
    values_ = predict(server, body)["predictions"]
    assert np.isnan(values_[0]) and values_[1:4] == [np.inf, -np.inf, np.inf]
    assert np.signbit(values_[4])


def test_gzip_body(server):
    body = gzip.compress(b'{"signature_name": "half", "instances": [3]}')
    assert call(server, "/v1/models/toy:predict", body, headers={"Content-Encoding": "gzip"})[1] == {
        "predictions": [1.5]
    }
    for wrong in (b"plain", body[:-9]):
        status, answer = call(server, "/v1/models/toy:predict", wrong, headers={"Content-Encoding": "gzip"})
        assert status == 400 and "gzip" in answer["error"]


def test_status_and_metadata(server, folder):
    status, answer = call(server, "/v1/models/toy/versions/2")
    fine = {"error_code": "OK", "error_message": ""}
    assert (status, answer) == (200, {"model_version_status": [{"version": "2", "state": "AVAILABLE", "status": fine}]})
    assert [row["version"] for row in call(server, "/v1/models/toy")[1]["model_version_status"]] == ["2", "1"]
    status, answer = call(server, "/v1/models/toy/versions/1/metadata")
    assert status == 200
    assert answer["model_spec"] == {"name": "toy", "signature_name": "", "version": "1"}
    signature = answer["metadata"]["signature_def"]["signature_def"]["serving_default"]
    sizes = [{"size": size, "name": ""} for size in ("-1", "2", "3")]
    assert signature["inputs"]["pixels"]["tensor_shape"] == {"dim": sizes, "unknown_rank": False}
    assert signature["inputs"]["pixels"]["dtype"] == "DT_FLOAT"
    assert set(signature["outputs"]) == {"total", "digits"}
    assert signature["method_name"] == "tensorflow/serving/predict"


def test_classify_and_regress(server, stub, direct):
    xs = [0.2, -3.0, 7.25]
    examples = [tf.train.Example() for _ in xs]
    for example, x in zip(examples, xs, strict=True):
        example.features.feature["x"].float_list.value.append(x)
    serialised = tf.constant([example.SerializeToString() for example in examples])
    body = {"signature_name": "classify", "examples": [{"x": x} for x in xs]}
    status, answer = call(server, "/v1/models/toy:classify", body)
    assert (status, answer) == (200, {"results": [[["up", x], ["down", -x]] for x in xs]})
    expected = direct("regress", inputs=serialised)["outputs"]
    status, answer = call(server, "/v1/models/toy:regress", body | {"signature_name": "regress"})
    np.testing.assert_array_equal(np.float32(answer["results"]), expected)
    shared = {"signature_name": "regress", "context": {"x": [30.0]}, "examples": [{}, {"tag": ["a", {"b64": "YQ=="}]}]}
    assert call(server, "/v1/models/toy:regress", shared)[1] == {"results": [3.0, 3.0]}

    spec = model_pb2.ModelSpec(name="toy", signature_name="classify")
    request = classification_pb2.ClassificationRequest(model_spec=spec)
    request.input.example_list.examples.extend(examples)
    rows = stub.Classify(request).result.classifications
    assert [[(c.label, c.score) for c in row.classes] for row in rows] == [
        [("up", np.float32(x)), ("down", np.float32(-x))] for x in xs
    ]
    request = regression_pb2.RegressionRequest(input=request.input, model_spec=spec)
    request.model_spec.signature_name = "regress"
    np.testing.assert_array_equal([r.value for r in stub.Regress(request).result.regressions], expected)


def test_grpc_equals_a_direct_call(stub, direct):
    pixels = RNG.normal(0, 100, (5, 2, 3)).astype(np.float32)
    expected = direct("serving_default", pixels=tf.constant(pixels))
    response = stub.Predict(request_for(pixels=pixels))
    assert (response.model_spec.name, response.model_spec.signature_name) == ("toy", "serving_default")
    assert response.model_spec.version.value == 2
    assert set(response.outputs) == {"total", "digits"}
    for name, array in expected.items():
        np.testing.assert_array_equal(tf.make_ndarray(response.outputs[name]), array)
    np.testing.assert_array_equal(response.outputs["total"].float_val, expected["total"])  # where TF Serving puts it
    typed = tensor_pb2.TensorProto(dtype=tf.float32.as_datatype_enum, float_val=[1.5])  # one value for all
    typed.tensor_shape.CopyFrom(tf.TensorShape([4, 2, 3]).as_proto())
    response = stub.Predict(request_for(version=1, outputs=["total"], pixels=typed))
    assert set(response.outputs) == {"total"}
    assert list(response.outputs["total"].float_val) == [9.0] * 4
    strings = stub.Predict(request_for("text", text=np.array([b"\xff\x00", b""], object))).outputs
    assert list(strings["echo"].string_val) == list(strings["echo_bytes"].string_val) == [b"\xff\x00", b""]


def test_grpc_takes_more_than_four_megabytes(stub):
    x = RNG.normal(size=2_000_000).astype(np.float32)
    np.testing.assert_array_equal(tf.make_ndarray(stub.Predict(request_for("half", x=x)).outputs["y"]), x / 2)


def test_grpc_metadata_and_status(server, stub):
    spec = model_pb2.ModelSpec(name="toy")
    request = get_model_metadata_pb2.GetModelMetadataRequest(model_spec=spec, metadata_field=["signature_def"])
    response = stub.GetModelMetadata(request)
    signatures = get_model_metadata_pb2.SignatureDefMap()
    assert response.metadata["signature_def"].Unpack(signatures)
    assert signatures.signature_def["pair"].inputs["left"].dtype == tf.int64.as_datatype_enum
    assert response.model_spec.version.value == 2
    with grpc.insecure_channel(server.grpc_address) as channel:
        models = model_service_pb2_grpc.ModelServiceStub(channel)
        rows = models.GetModelStatus(get_model_status_pb2.GetModelStatusRequest(model_spec=spec)).model_version_status
        assert [row.version for row in rows] == [2, 1]
        assert rows[0].state == get_model_status_pb2.ModelVersionStatus.AVAILABLE
        spec.version.value = 9
        with pytest.raises(grpc.RpcError) as error:
            models.GetModelStatus(get_model_status_pb2.GetModelStatusRequest(model_spec=spec))
        assert error.value.code() == grpc.StatusCode.NOT_FOUND
        assert error.value.details() == "Could not find version 9 of model toy"


def test_eight_threads_each_get_their_own_answer(server, stub):
    def ask(number):
        x = np.float32([number, number + 0.5])
        if number % 2:
            return predict(server, {"signature_name": "half", "inputs": x.tolist()})["outputs"] == (x / 2).tolist()
        return list(stub.Predict(request_for("half", x=x)).outputs["y"].float_val) == (x / 2).tolist()

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert all(pool.map(ask, range(160)))


# --- refusals --------------------------------------------------------------------------------------------------------

TOY = "/v1/models/toy:predict"
ELEMENT = "Failed to process element: {} of 'instances' list. Error: INVALID_ARGUMENT: "
BAD_REQUESTS = [
    (TOY, b"", 400, "JSON Parse error: The document is empty"),
    (TOY, b"instances = [1]", 400, "JSON Parse error: Invalid value. at offset: 0"),
    (TOY, b'{"instances": [1', 400, "JSON Parse error: Missing a comma"),
    (TOY, b'{"instances": ["\xff"]}', 400, "JSON Parse error: Invalid encoding in string. at offset: 16"),
    (TOY, b'{"instances": ' + b"[" * 100_000, 400, "JSON Parse error: The document is nested too deeply."),
    (TOY, b'{"instances": [' + b"9" * 5000 + b"]}", 400, "JSON Parse error: Number too big"),
    (TOY, b"[1]", 400, "JSON Value: [1] Is not object"),
    (TOY, {}, 400, "Missing 'inputs' or 'instances' key"),
    (TOY, {"instances": 1}, 400, "JSON Value: {\n    \"instances\": 1\n} Expecting 'instances' to be an list/array"),
    (TOY, {"instances": []}, 400, "JSON Value: {\n    \"instances\": []\n} No values in 'instances' array"),
    (TOY, {"instances": [1], "inputs": 1}, 400, "expecting only one of 'inputs' or 'instances' keys to exist"),
    (TOY, {"signature_name": 7}, 400, "not formatted correctly. 'signature_name' key must be a string value."),
    (TOY, {"signature_name": "x"}, 400, 'Serving signature name: "x" not found in signature def'),
    (TOY, {"signature_name": "__saved_model_init_op"}, 400, "not found in signature def"),
    (
        TOY,
        {"instances": [["a"]]},
        400,
        ELEMENT.format(0) + 'JSON Value: "a" Type: String is not of expected type: float',
    ),
    (TOY, {"instances": [[True]]}, 400, "JSON Value: true Type: True is not of expected type: float"),
    (TOY, {"instances": [[1, None]]}, 400, "JSON Value: null Type: Null is not of expected type: float"),
    (TOY, {"instances": [[{"b64": "YQ=="}]]}, 400, "Type: Object is not of expected type: float"),
    (TOY, {"instances": [[1, 2], [1]]}, 400, ELEMENT.format(1) + "Expecting tensor size: 2 but got: 1"),
    (TOY, {"instances": [[1, 2], [[1], [2]]]}, 400, ELEMENT.format(1) + "Expecting shape [2] but got: [2,1]"),
    (TOY, {"instances": [[[1, 2], [3]]]}, 400, "Encountered list at unexpected size: 1 at level: 1 expected size: 2"),
    (TOY, {"instances": [[1, [2]]]}, 400, "Encountered list at unexpected level: 1 expected < 1"),
    (
        TOY,
        {"instances": [[[1], 2]]},
        400,
        "JSON Value: 2 found at incorrect level: 2 in the JSON DOM. Expected at level: 2",
    ),
    (TOY, {"instances": [[1], {"pixels": 1}]}, 400, "Expecting value/list but got object at item 1 of input list"),
    (TOY, {"instances": [{"pixels": [1]}, [1]]}, 400, "Expecting object but got list at item 1 of input list"),
    (TOY, {"instances": [{"pixel": 1}]}, 400, "key: pixel of 'instances' list. Error: INVALID_ARGUMENT: JSON object: "),
    (TOY, {"instances": [{}]}, 400, "of 'instances' list. JSON object: {} keys must be equal to: pixels"),
    (TOY, {"instances": json.loads("[" * 40 + "1" + "]" * 40)}, 400, "is nested deeper than 32 levels"),
    (TOY, {"inputs": {"pixel": 1}}, 400, "Missing named input: pixels in 'inputs' object."),
    (TOY, {"inputs": [[1], [2, 3]]}, 400, "Encountered list at unexpected size: 2 at level: 1 expected size: 1"),
    (TOY, {"inputs": [[[1, 2, 3]]]}, 400, "Expected input pixels to have shape [-1, 2, 3] but get [1, 1, 3]."),
    (TOY, {"inputs": 1}, 400, "Expected input pixels to have shape [-1, 2, 3] but get []."),
    (TOY, {"signature_name": "pair", "inputs": [1]}, 400, "inputs is a plain value/list, but expecting an object"),
    (
        TOY,
        {"signature_name": "pair", "instances": [1]},
        400,
        "instances is a plain list, but expecting list of objects",
    ),
    (TOY, {"signature_name": "pair", "instances": [{"b64": "YQ=="}]}, 400, "is not of expected type: int64"),
    (
        TOY,
        {"signature_name": "pair", "inputs": {"left": [1.0], "right": [[1]]}},
        400,
        "JSON Value: 1.0 Type: Number is not",
    ),
    (
        TOY,
        {"signature_name": "text", "instances": [3]},
        400,
        "JSON Value: 3 Type: Number is not of expected type: string",
    ),
    (TOY, {"signature_name": "text", "instances": [{"b64": "a"}]}, 400, "Unable to base64 decode"),
    (TOY, {"signature_name": "text", "inputs": [{"b64": 1}]}, 400, "not formatted correctly for base64 data"),
    (TOY, {"signature_name": "text", "inputs": ["\ud800"]}, 400, "The surrogate pair in string is invalid."),
    (TOY, {"signature_name": "picky", "inputs": -1}, 400, "count must be positive"),
    (TOY, {"signature_name": "picky", "instances": [1]}, 400, "Expected input count to have shape [] but get [1]."),
    ("/v1/models/none:predict", {"instances": [1]}, 404, "Servable not found for request: Latest(none)"),
    ("/v1/models/toy/versions/9:predict", {"instances": [1]}, 404, "Servable not found for request: Specific(toy, 9)"),
    (
        "/v1/models/toy/versions/99999999999999999999:predict",
        {},
        400,
        "Failed to convert version: 99999999999999999999",
    ),
    ("/v1/models/toy/labels/stable:predict", {"instances": [1]}, 400, "Unrecognized servable version label: stable"),
    ("/v1/models/toy/versions/x:predict", {}, 400, "Malformed request: POST /v1/models/toy/versions/x:predict"),
    ("/v1/models/toy:guess", {}, 400, "Malformed request: POST /v1/models/toy:guess"),
    ("/v1/models/toy", {}, 400, "Malformed request: POST /v1/models/toy"),
    ("/v1/models/toy:classify", {"examples": [{"x": 1.0}]}, 400, "No classification inputs found in SignatureDef: "),
    (
        "/v1/models/toy:classify",
        {"signature_name": "text", "examples": [{}]},
        400,
        "Expected one or two output Tensors",
    ),
    (
        "/v1/models/toy:classify",
        {"signature_name": "no", "examples": [{}]},
        400,
        "No signature was found with the name: no",
    ),
    ("/v1/models/toy:regress", {"signature_name": "pair", "examples": [{}]}, 400, "Expected one input Tensor."),
    ("/v1/models/toy:regress", {"examples": []}, 400, "'examples' value is an empty array"),
    ("/v1/models/toy:regress", {"instances": []}, 400, "key 'examples' is expected and was not found"),
    ("/v1/models/toy:regress", {"examples": [3]}, 400, "Example must be JSON object but got JSON Number"),
    ("/v1/models/toy:regress", {"examples": [{"x": [1.0, "a"]}]}, 400, "Unexpected element type in feature: x"),
    ("/v1/models/toy:regress", {"examples": [{"x": [None]}]}, 400, "has element with unexpected JSON type: Null"),
    ("/v1/models/toy:regress", {"examples": [{"x": 1 << 63}]}, 400, "has uint64_t element. Only int64_t is supported."),
    ("/v1/models/none", None, 404, "Could not find any versions of model none"),
    ("/v1/models/toy/versions/7", None, 404, "Could not find version 7 of model toy"),
    ("/v1/models/none/metadata", None, 404, "Servable not found for request: Latest(none)"),
    ("/v1/models", None, 400, "Missing model name in request."),
    ("/v1/elsewhere", None, 400, "Malformed request: GET /v1/elsewhere"),
    ("/", None, 404, "Malformed request: GET /"),
]


@pytest.mark.parametrize(("path", "body", "status", "error"), BAD_REQUESTS)
def test_a_bad_request_is_answered_as_there(server, path, body, status, error):
    got, answer = call(server, path, body)
    assert (got, set(answer)) == (status, {"error"})
    assert error in answer["error"]
    assert "Graph execution error" not in answer["error"]


def test_other_methods_are_malformed(server):
    for method in ("PUT", "DELETE", "PATCH"):
        assert call(server, TOY, b"{}", method) == (400, {"error": f"Malformed request: {method} {TOY}"})


@pytest.mark.parametrize(
    ("code", "error", "request_"),
    [
        ("INVALID_ARGUMENT", "Missing ModelSpec", predict_pb2.PredictRequest()),
        ("INVALID_ARGUMENT", "ModelSpec has no name", predict_pb2.PredictRequest(model_spec=model_pb2.ModelSpec())),
        ("NOT_FOUND", "Specific(toy, 9)", request_for(version=9)),
        ("FAILED_PRECONDITION", 'Serving signature key "x" not found.', request_for("x")),
        ("INVALID_ARGUMENT", "0!=1 len({}) != len({x}). Sent extra: {}. Missing but", request_for("half")),
        ("INVALID_ARGUMENT", "Sent extra: {z}. Missing", request_for("half", x=[1.0], z=[1.0])),
        ("INVALID_ARGUMENT", "Signature input alias: x(feed name: ", request_for("half", z=[1.0])),
        ("INVALID_ARGUMENT", "Expected input x to be float but get int32.", request_for("half", x=[1])),
        ("INVALID_ARGUMENT", "shape [-1] but get [1, 1].", request_for("half", x=[[1.0]])),
        ("INVALID_ARGUMENT", "tensor parsing error: x", request_for("half", x=tensor_pb2.TensorProto())),
        ("INVALID_ARGUMENT", "tensor parsing error: x", request_for("half", x=tensor_pb2.TensorProto(dtype=999))),
        ("INVALID_ARGUMENT", "output tensor alias not found", request_for("half", outputs=["z"], x=[1.0])),
        ("INVALID_ARGUMENT", "duplicate output tensor", request_for("half", outputs=["y", "y"], x=[1.0])),
        ("INVALID_ARGUMENT", "count must be positive", request_for("picky", count=-1.0)),
    ],
)
def test_a_bad_grpc_request_is_answered_as_there(stub, code, error, request_):
    with pytest.raises(grpc.RpcError) as caught:
        stub.Predict(request_)
    assert caught.value.code().name == code
    assert error in caught.value.details()


def test_every_error_code_has_a_status_in_both_protocols():
    assert set(HTTP_STATUS) == {code.name for code in grpc.StatusCode} - {"OK"}


def test_an_unforeseen_error_is_a_500_in_json(caplog):
    status, body = rest.respond(None, "GET", "/v1/models/toy", b"")
    assert status == 500
    assert json.loads(body)["error"].startswith("AttributeError")


# --- tensors ---------------------------------------------------------------------------------------------------------


def naive(value, dtype):
    """One value at a time, as a reader of the rules would write it."""
    if isinstance(value, list):
        parts = [naive(item, dtype) for item in value]
        assert len({part.shape for part in parts}) <= 1
        return np.stack(parts) if parts else np.zeros(0, dtype)
    return np.array(value, dtype)


@pytest.mark.parametrize("dtype", [t for t in values.JSON_TYPES if t != "string"])
@pytest.mark.parametrize("shape", [(1,), (3,), (2, 3), (4, 1, 2), (2, 3, 2, 2)])
def test_arrays_equal_the_naive_conversion(dtype, shape):
    array = (RNG.normal(size=shape) * 50).astype(dtype) if dtype != "bool" else RNG.random(shape) < 0.5
    nested = array.tolist()
    for document in ({"inputs": nested}, {"instances": nested}, {"instances": [{"x": row} for row in nested]}):
        arrays, rows = tensors.inputs(document, {"x": tf.as_dtype(dtype)})
        assert rows == ("instances" in document)
        assert arrays["x"].dtype == dtype
        np.testing.assert_array_equal(arrays["x"], naive(nested, dtype), strict=True)


@pytest.mark.parametrize("dtype", ["int8", "int16", "int32", "int64", "uint8", "uint32", "uint64"])
def test_the_range_of_an_integer_is_kept(dtype):
    limits, kind = np.iinfo(dtype), {"x": tf.as_dtype(dtype)}
    ends = [int(limits.min), int(limits.max)]
    assert tensors.inputs({"inputs": ends}, kind)[0]["x"].tolist() == ends
    for beyond in (limits.min - 1, limits.max + 1, 1.0, True, "1"):
        with pytest.raises(ServingError, match=f"is not of expected type: {dtype}"):
            tensors.inputs({"inputs": [0, int(beyond) if type(beyond) is int else beyond]}, kind)


def test_a_truth_value_is_true_or_false():
    assert tensors.inputs({"instances": [True, False]}, {"x": tf.bool})[0]["x"].tolist() == [True, False]
    for other in (1, 0.0, "true", None):
        with pytest.raises(ServingError, match="is not of expected type: bool"):
            tensors.inputs({"inputs": [True, other]}, {"x": tf.bool})


def test_types_that_json_cannot_carry():
    with pytest.raises(ServingError, match="Conversion of JSON Value: 1 to type: half") as error:
        tensors.inputs({"inputs": [1]}, {"x": tf.float16})
    assert error.value.code == "UNIMPLEMENTED"
    with pytest.raises(ServingError, match="Failed to write JSON value for tensor type: half"):
        tensors.dump({"y": np.zeros(1, np.float16)}, rows=True)


def test_float32_is_written_in_its_own_shortest_digits():
    array = np.concatenate([np.float32([0.1, 0.2, 1e-45, 3.4e38, 9e6, 2**24]), RNG.normal(size=500).astype(np.float32)])
    text = tensors.dump({"y": array}, rows=False).decode()
    assert text.startswith('{"outputs": [0.1, 0.2, ')
    np.testing.assert_array_equal(np.float32(json.loads(text)["outputs"]), array)
    assert all(len(number) <= 15 for number in text[len('{"outputs": [') : -2].split(", "))


def test_rows_need_one_batch_size():
    with pytest.raises(ServingError, match="Tensor name: b has inconsistent batch size: 3 expecting: 2"):
        tensors.dump({"a": np.zeros(2), "b": np.zeros(3)}, rows=True)
    with pytest.raises(ServingError, match="Tensor name: a has no shape information"):
        tensors.dump({"a": np.float64(1)}, rows=True)
    assert json.loads(tensors.dump({"a": np.zeros(2), "b": np.zeros(3)}, rows=False))["outputs"]["b"] == [0.0] * 3


def test_a_message_shows_the_start_of_a_long_value():
    assert len(values.show({"a": list(range(10**6)), "b": "x" * 10**6})) == 256
    assert values.show({"a": [1, {"b": None}], "c": {}}) == (
        '{\n    "a": [1, {\n        "b": null\n    }],\n    "c": {}\n}'
    )


# --- folders, ports, the command -------------------------------------------------------------------------------------


def test_layouts(folder, tmp_path):
    assert list(scan(folder)) == ["toy"]
    assert sorted(scan(folder)["toy"]) == [1, 2]
    assert scan(folder / "toy")["toy"] == scan(folder)["toy"]
    (tmp_path / "empty" / "toy" / "1.tmp").mkdir(parents=True)
    (tmp_path / "empty" / "toy" / "1.tmp" / "saved_model.pb").touch()
    for wrong, words in (
        (tmp_path / "none", "There is no folder"),
        (tmp_path / "empty", "No model to serve"),
        (folder / "toy" / "1", "serve the folder above it"),
    ):
        with pytest.raises(ValueError, match=words):
            scan(wrong)


def test_an_older_version_is_loaded_when_asked_for(folder):
    repository = Repository(folder)
    every, first = model_pb2.ModelSpec(name="toy"), model_pb2.ModelSpec(name="toy")
    first.version.value = 1
    states = get_model_status_pb2.ModelVersionStatus
    assert [r.state for r in repository.status(every).model_version_status] == [states.AVAILABLE, states.START]
    assert repository.find(first) is repository.find(first)
    assert repository.find(first).version == 1
    assert [r.state for r in repository.status(every).model_version_status] == [states.AVAILABLE] * 2


def test_a_broken_model_is_named(folder, tmp_path):
    broken = tmp_path / "models" / "toy" / "3"
    broken.mkdir(parents=True)
    (broken / "saved_model.pb").write_bytes(b"no protobuf \xff")
    with pytest.raises(ValueError, match="3 cannot be loaded as a SavedModel"):
        Repository(tmp_path / "models")
    (tmp_path / "models" / "toy" / "4").symlink_to(folder / "toy" / "2")
    repository = Repository(tmp_path / "models")
    spec = model_pb2.ModelSpec(name="toy")
    assert repository.find(spec).version == 4
    spec.version.value = 3
    with pytest.raises(ServingError, match=r"Specific\(toy, 3\)\. .* cannot be loaded") as error:
        repository.find(spec)
    assert error.value.code == "NOT_FOUND"


def test_a_signature_may_have_defaults(folder, tmp_path):
    version = shutil.copytree(folder / "toy" / "2", tmp_path / "toy" / "1")
    model = saved_model_pb2.SavedModel.FromString((version / "saved_model.pb").read_bytes())
    defaults = model.meta_graphs[0].signature_def["pair"].defaults
    defaults["left"].CopyFrom(tf.make_tensor_proto(np.int64([5])))
    (version / "saved_model.pb").write_bytes(model.SerializeToString())
    servable = Repository(tmp_path).find(model_pb2.ModelSpec(name="toy"))
    assert servable.run("pair", {"right": np.float32([[1, 2]])})["sum"].tolist() == [[6, 7]]
    assert servable.run("pair", {"left": np.int64([0]), "right": np.float32([[1, 2]])})["sum"].tolist() == [[1, 2]]
    with pytest.raises(ServingError, match=r"Signature input alias: right\(.* or default input alias set: left"):
        servable.run("pair", {"left": np.int64([0])})


def test_ports(folder):
    repository = Repository(folder)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        for ports in ({"rest_port": port, "grpc_port": 0}, {"rest_port": 0, "grpc_port": port}):
            with pytest.raises(OSError, match=f"Cannot listen on 127.0.0.1 port {port}: Address already in use"):
                Server(repository, **ports)
    with pytest.raises(ValueError, match="Received: 70000"):
        Server(repository, rest_port=70000)
    with Server(repository, rest_port=0, grpc_port=0) as first:
        ports = [int(address.rpartition(":")[2]) for address in (first.rest_url, first.grpc_address)]
        assert call(first, "/v1/models/toy")[0] == 200
    with Server(repository, rest_port=ports[0], grpc_port=ports[1]) as second:  # both are free again at once
        assert call(second, "/v1/models/toy")[0] == 200


@pytest.mark.parametrize("arguments", [["missing"], ["."], ["--rest-port", "x", "."], ["."] * 2])
def test_the_command_refuses_in_one_sentence(arguments, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    try:
        status = cli.dispatch(["serve", *arguments])
    except SystemExit as stop:
        status = stop.code
    said = capsys.readouterr().err
    assert status == 2
    assert said.startswith("hub: ") and said.count("\n") == 1


def test_the_command_serves_until_stopped(folder):
    command = "from applications import cli; cli.main()"
    arguments = ["serve", str(folder), "--rest-port", "0", "--grpc-port", "0"]
    process = subprocess.Popen(
        [sys.executable, "-c", command, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=pathlib.Path(__file__).parents[1],
        env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"},
    )
    try:
        line = process.stdout.readline()
        assert line.startswith("Serving toy: REST http://127.0.0.1:")
        url = line.split()[3]
        with urllib.request.urlopen(f"{url}/toy", timeout=20) as answer:
            assert json.loads(answer.read())["model_version_status"][0]["state"] == "AVAILABLE"
        process.send_signal(signal.SIGTERM)  # handled as Ctrl-C
        assert process.wait(20) == 0
        assert "Traceback" not in process.stderr.read()
    finally:
        process.kill()
        process.communicate()

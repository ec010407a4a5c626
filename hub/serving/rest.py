"""TensorFlow Serving's REST API as an ASGI application over a `Repository`.

Source of paths and messages: tensorflow_serving/model_servers/http_rest_api_{handler,util}.cc, http_server.cc.
"""

import json
import logging
import re
import urllib.parse
import zlib
from collections.abc import Callable

import numpy as np
from google.protobuf import json_format
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from tensorflow_serving.apis import get_model_metadata_pb2, model_pb2

from hub.serving import examples, tensors, values
from hub.serving.errors import HTTP_STATUS, ServingError, invalid
from hub.serving.repository import Repository
from hub.serving.servable import DEFAULT_SIGNATURE

_VERSION = r"(?:/versions/(?P<version>[0-9]+)|/labels/(?P<label>[^/:]+))?"
_POST = re.compile(rf"/v1/models/(?P<name>[^/:]+){_VERSION}:(?P<method>classify|regress|predict)", re.IGNORECASE)
_GET = re.compile(rf"/v1/models(?:/(?P<name>[^/:]+))?{_VERSION}(?:/(?P<metadata>metadata))?", re.IGNORECASE)
_LARGEST = 100 << 20  # bytes of an unpacked gzip body, as TensorFlow Serving's


def application(repository: Repository) -> Callable:
    """The ASGI application that answers from `repository`; a request runs in a worker thread."""

    async def app(scope: dict, receive: Callable, send: Callable) -> None:
        request = Request(scope, receive)
        path = scope["raw_path"].decode("latin-1")
        try:
            body = await request.body()
        except ClientDisconnect:
            return
        packed = "gzip" in request.headers.get("content-encoding", "")
        status, answer = await run_in_threadpool(respond, repository, request.method, path, body, packed)
        await Response(answer, status, media_type="application/json")(scope, receive, send)

    return app


def respond(repository: Repository, method: str, path: str, body: bytes, packed: bool = False) -> tuple[int, bytes]:
    """HTTP status and JSON body of one request.

    Args:
        method: GET, POST ...
        path: the path as sent, percent-encoded.
        body: the request's body, gzip where `packed`.
    """
    try:
        return 200, _answer(repository, method, path, _unpack(body) if packed else body)
    except ServingError as error:
        status, message = HTTP_STATUS[error.code], error.message
    except Exception as error:
        logging.getLogger(__name__).exception("%s %s failed", method, path)
        status, message = 500, f"{type(error).__name__}: {error}"
    return status, json.dumps({"error": message}, indent=4, ensure_ascii=False).encode("utf-8", "replace")


def _unpack(body: bytes) -> bytes:
    unpacker = zlib.decompressobj(wbits=31)
    try:
        text = unpacker.decompress(body, _LARGEST)
    except zlib.error as error:
        raise invalid(f"The body is not gzip, as its Content-Encoding says: {error}.") from error
    if unpacker.unconsumed_tail or not unpacker.eof:
        raise invalid(f"The gzip body is cut short or unpacks to more than {_LARGEST} bytes.")
    return text


def _answer(repository: Repository, method: str, path: str, body: bytes) -> bytes:
    pattern = {"POST": _POST, "GET": _GET}.get(method)
    match = pattern.fullmatch(path) if pattern else None
    if not match:
        code = "INVALID_ARGUMENT" if path.lower().startswith("/v1/") else "NOT_FOUND"
        raise ServingError(code, f"Malformed request: {method} {path}")
    spec = _spec(match)
    if method == "POST":
        verb = {"predict": _predict, "classify": _classify, "regress": _regress}[match["method"].lower()]
        return verb(repository, spec, body)
    if not spec.name:
        raise invalid("Missing model name in request.")
    return _metadata(repository, spec) if match["metadata"] else _status(repository, spec)


def _spec(match: re.Match) -> model_pb2.ModelSpec:
    spec = model_pb2.ModelSpec(name=urllib.parse.unquote(match["name"] or ""))
    if match["version"]:
        digits = match["version"].lstrip("0") or "0"
        if len(digits) > 19 or int(digits) >= 1 << 63:
            raise invalid(f"Failed to convert version: {match['version']} to numeric.")
        spec.version.value = int(digits)
    elif match["label"]:
        spec.version_label = urllib.parse.unquote(match["label"])
    return spec


def _predict(repository: Repository, spec: model_pb2.ModelSpec, body: bytes) -> bytes:
    document = values.parse(body)
    wanted = values.signature_name(document)
    servable = repository.find(spec)
    name = wanted or DEFAULT_SIGNATURE
    if name not in servable.signatures:
        raise invalid(f'Serving signature name: "{name}" not found in signature def')
    dtypes = servable.input_types(name)
    if not dtypes:
        raise invalid(f"Failed to get input map for signature: {wanted or 'DEFAULT'}")
    arrays, rows = tensors.inputs(document, dtypes)
    return tensors.dump(servable.run(name, arrays), rows)


def _classify(repository: Repository, spec: model_pb2.ModelSpec, body: bytes) -> bytes:
    request, name = examples.from_json(body)
    result = examples.classify(repository.find(spec), name, request)
    scores = [values.shortest(np.float32([c.score for c in row.classes])) for row in result.classifications]
    labels = [[c.label for c in row.classes] for row in result.classifications]
    return _results([list(zip(*row, strict=True)) for row in zip(labels, scores, strict=True)])


def _regress(repository: Repository, spec: model_pb2.ModelSpec, body: bytes) -> bytes:
    request, name = examples.from_json(body)
    result = examples.regress(repository.find(spec), name, request)
    return _results(values.shortest(np.float32([row.value for row in result.regressions])))


def _results(rows: list) -> bytes:
    return json.dumps({"results": rows}, ensure_ascii=False).encode()


def _status(repository: Repository, spec: model_pb2.ModelSpec) -> bytes:
    return _json(repository.status(spec)).encode()


def _metadata(repository: Repository, spec: model_pb2.ModelSpec) -> bytes:
    response = repository.metadata(spec)
    signatures = get_model_metadata_pb2.SignatureDefMap()
    response.metadata["signature_def"].Unpack(signatures)
    text = f'"model_spec": {_json(response.model_spec)},\n"metadata": {{"signature_def": {_json(signatures)}}}'
    return f"{{\n{text}\n}}\n".encode()


def _json(message: object) -> str:
    return json_format.MessageToJson(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True, indent=1
    )

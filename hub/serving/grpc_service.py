"""TensorFlow Serving's gRPC services over a `Repository`, with the official messages.

Source of rules and messages: tensorflow_serving/model_servers/{prediction,model}_service_impl.cc,
tensorflow_serving/servables/tensorflow/predict_util.cc.
"""

import functools
from collections.abc import Callable
from typing import Any

import grpc
import numpy as np
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2
from tensorflow_serving.apis import (
    classification_pb2,
    model_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
    regression_pb2,
)

from hub.serving import examples
from hub.serving.errors import ServingError, invalid
from hub.serving.repository import Repository
from hub.serving.servable import DEFAULT_SIGNATURE

_LONGEST = 1024  # characters of a status message, as TensorFlow Serving's
_FIELDS = {
    "float32": "float_val",
    "float64": "double_val",
    "int8": "int_val",
    "int16": "int_val",
    "int32": "int_val",
    "uint8": "int_val",
    "uint16": "int_val",
    "int64": "int64_val",
    "uint32": "uint32_val",
    "uint64": "uint64_val",
    "bool": "bool_val",
    "object": "string_val",
}


def add_services(repository: Repository, server: grpc.Server) -> None:
    """Answer PredictionService and ModelService on `server` from `repository`."""
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(PredictionService(repository), server)
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(ModelService(repository), server)


def _method(answer: Callable) -> Callable:
    """A servicer's method that ends a refused request with the status code of its error."""

    @functools.wraps(answer)
    def respond(self: Any, request: Any, context: grpc.ServicerContext) -> Any:
        try:
            if not request.HasField("model_spec"):
                raise invalid("Missing ModelSpec")
            return answer(self, request, context)
        except ServingError as error:
            context.abort(grpc.StatusCode[error.code], error.message[:_LONGEST])

    return respond


class PredictionService(prediction_service_pb2_grpc.PredictionServiceServicer):
    """Predict, Classify, Regress and GetModelMetadata; MultiInference answers UNIMPLEMENTED."""

    def __init__(self, repository: Repository) -> None:
        self._repository = repository

    @_method
    def Predict(self, request: Any, context: grpc.ServicerContext) -> predict_pb2.PredictResponse:  # noqa: N802
        servable = self._repository.find(request.model_spec)
        name = request.model_spec.signature_name or DEFAULT_SIGNATURE
        if name not in servable.signatures:
            raise ServingError("FAILED_PRECONDITION", f'Serving signature key "{name}" not found.')
        inputs = {alias: _tensor(alias, proto) for alias, proto in request.inputs.items()}
        response = predict_pb2.PredictResponse(model_spec=_answered(request.model_spec, servable.version, name))
        for alias, array in servable.run(name, inputs, request.output_filter).items():
            response.outputs[alias].CopyFrom(_proto(array))
        return response

    @_method
    def Classify(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        servable = self._repository.find(request.model_spec)
        name = request.model_spec.signature_name or DEFAULT_SIGNATURE
        spec = _answered(request.model_spec, servable.version, name)
        result = examples.classify(servable, name, request.input)
        return classification_pb2.ClassificationResponse(model_spec=spec, result=result)

    @_method
    def Regress(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        servable = self._repository.find(request.model_spec)
        name = request.model_spec.signature_name or DEFAULT_SIGNATURE
        spec = _answered(request.model_spec, servable.version, name)
        result = examples.regress(servable, name, request.input)
        return regression_pb2.RegressionResponse(model_spec=spec, result=result)

    @_method
    def GetModelMetadata(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        if not request.metadata_field:
            raise invalid("GetModelMetadataRequest must specify at least one metadata_field")
        for field in request.metadata_field:
            if field != "signature_def":
                raise invalid(f"Metadata field {field} is not supported")
        return self._repository.metadata(request.model_spec)


class ModelService(model_service_pb2_grpc.ModelServiceServicer):
    """GetModelStatus; HandleReloadConfigRequest answers UNIMPLEMENTED."""

    def __init__(self, repository: Repository) -> None:
        self._repository = repository

    @_method
    def GetModelStatus(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        return self._repository.status(request.model_spec)


def _answered(spec: model_pb2.ModelSpec, version: int, signature_name: str) -> model_pb2.ModelSpec:
    answered = model_pb2.ModelSpec(name=spec.name, signature_name=signature_name)
    answered.version.value = version
    return answered


def _tensor(alias: str, proto: Any) -> tf.Tensor:
    """`proto` as TensorFlow's own reader takes it: packed content, typed fields, one value for all."""
    try:
        return tf.io.parse_tensor(proto.SerializeToString(), tf.as_dtype(proto.dtype))
    except (TypeError, tf.errors.OpError) as error:
        raise invalid(f"tensor parsing error: {alias}") from error


def _proto(array: np.ndarray) -> Any:
    """`array` in its typed field, where clients of TensorFlow Serving look (`float_val` ...)."""
    field = _FIELDS.get(array.dtype.name)
    if field is None:
        return tf.make_tensor_proto(array)
    kind, shape = tf.as_dtype(array.dtype).as_datatype_enum, tf.TensorShape(array.shape).as_proto()
    proto = tensor_pb2.TensorProto(dtype=kind, tensor_shape=shape)
    getattr(proto, field).extend(array.ravel().tolist())
    return proto

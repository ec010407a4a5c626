"""The models of a folder in TensorFlow Serving's layout.

Every request of either protocol asks `Repository.find` which version answers it.
Source of messages: basic_manager.cc, server_core.cc and get_model_status_impl.cc of tensorflow_serving.
"""

import pathlib
import threading

from tensorflow.core.protobuf import error_codes_pb2
from tensorflow_serving.apis import get_model_metadata_pb2, get_model_status_pb2, model_pb2

from hub.serving.errors import ServingError, invalid
from hub.serving.layout import scan
from hub.serving.servable import Servable, load


class Repository:
    """The models under `folder`: `NAME/VERSION/saved_model.pb`, or `VERSION/saved_model.pb` for one model.

    The highest version of each model is loaded at once and is the default; another one when it is first asked for.

    Raises:
        ValueError: `folder` does not exist, holds no SavedModel in this layout, or a SavedModel cannot be loaded.
    """

    def __init__(self, folder: str | pathlib.Path) -> None:
        self._paths = scan(pathlib.Path(folder))
        self._lock = threading.Lock()
        self._servables: dict[tuple[str, int], Servable] = {}
        for name, versions in self._paths.items():
            self._load(name, max(versions))

    @property
    def names(self) -> list[str]:
        """Names of the models."""
        return sorted(self._paths)

    def find(self, spec: model_pb2.ModelSpec) -> Servable:
        """The version that answers a request for `spec`.

        Raises:
            ServingError: NOT_FOUND, or INVALID_ARGUMENT for a label (labels are part of a server's configuration).
        """
        choice = spec.WhichOneof("version_choice")
        if not spec.name:
            raise invalid("ModelSpec has no name specified.")
        if choice == "version_label":
            raise invalid(f"Unrecognized servable version label: {spec.version_label}")
        versions = self._paths.get(spec.name, {})
        version = spec.version.value if choice == "version" else max(versions, default=None)
        request = f"Specific({spec.name}, {version})" if choice == "version" else f"Latest({spec.name})"
        if version not in versions:
            raise ServingError("NOT_FOUND", f"Servable not found for request: {request}")
        try:
            return self._load(spec.name, version)
        except ValueError as error:
            raise ServingError("NOT_FOUND", f"Servable not found for request: {request}. {error}") from error

    def _load(self, name: str, version: int) -> Servable:
        key = name, version
        if key not in self._servables:
            with self._lock:  # of two first requests one loads; versions in use answer meanwhile
                if key not in self._servables:
                    self._servables[key] = load(name, version, self._paths[name][version])
        return self._servables[key]

    def status(self, spec: model_pb2.ModelSpec) -> get_model_status_pb2.GetModelStatusResponse:
        """State of one version, or of all, newest first; a version nobody has asked for yet is at START."""
        versions = self._paths.get(spec.name, {})
        response = get_model_status_pb2.GetModelStatusResponse()
        if spec.WhichOneof("version_choice") == "version":
            wanted = [spec.version.value]
            if spec.version.value not in versions:
                message = f"Could not find version {spec.version.value} of model {spec.name}"
                raise ServingError("NOT_FOUND", message)
        else:
            wanted = sorted(versions, reverse=True)
            if not wanted:
                raise ServingError("NOT_FOUND", f"Could not find any versions of model {spec.name}")
        for version in wanted:
            state = "AVAILABLE" if (spec.name, version) in self._servables else "START"
            row = response.model_version_status.add(version=version, state=state)
            row.status.error_code = error_codes_pb2.OK
        return response

    def metadata(self, spec: model_pb2.ModelSpec) -> get_model_metadata_pb2.GetModelMetadataResponse:
        """The signatures of a version, as `SignatureDefMap` under `signature_def`."""
        servable = self.find(spec)
        response = get_model_metadata_pb2.GetModelMetadataResponse()
        response.model_spec.name = servable.name
        response.model_spec.version.value = servable.version
        response.metadata["signature_def"].Pack(servable.described)
        return response

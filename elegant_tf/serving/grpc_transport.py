"""Asks TF Serving over gRPC."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from elegant_tf.errors import UserError
from elegant_tf.serving.endpoint import STATUS, Endpoint, Refused, Unavailable, lacking, not_served, one_line

# Images can be larger than gRPC's default limit of 4 MB; -1: no limit.
_OPTIONS = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]


class GrpcTransport:
    """PredictionService's Predict; see `endpoint.Transport`.

    Raises:
        UserError: tensorflow-serving-api is not installed.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        try:
            import grpc
            from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc
        except ImportError:
            raise UserError(
                "gRPC needs tensorflow-serving-api: pip install 'elegant-tf[serving]', or ask over --protocol=rest"
            ) from None
        self._grpc, self._requests = grpc, predict_pb2
        self.endpoint = endpoint
        self._channel = self._open(endpoint)
        self._service = prediction_service_pb2_grpc.PredictionServiceStub(self._channel)

    def _open(self, endpoint: Endpoint) -> Any:
        if not endpoint.tls:
            return self._grpc.insecure_channel(endpoint.server, options=_OPTIONS)
        files = (endpoint.ca_file, endpoint.key_file, endpoint.cert_file)
        texts = [Path(path).read_bytes() if path is not None else None for path in files]
        return self._grpc.secure_channel(endpoint.server, self._grpc.ssl_channel_credentials(*texts), options=_OPTIONS)

    def predict(
        self, signature: str, inputs: Mapping[str, np.ndarray], output: str, timeout: float
    ) -> dict[str, np.ndarray]:
        from tensorflow import make_ndarray, make_tensor_proto

        request = self._requests.PredictRequest()
        spec = request.model_spec
        spec.name, spec.signature_name = self.endpoint.model, signature
        if self.endpoint.version is not None:
            spec.version.value = self.endpoint.version
        elif self.endpoint.label is not None:
            spec.version_label = self.endpoint.label
        for name, value in inputs.items():
            request.inputs[name].CopyFrom(make_tensor_proto(value))
        try:
            response = self._service.Predict(request, timeout=timeout)
        except self._grpc.RpcError as error:
            raise self._translate(error, timeout) from error
        if output not in response.outputs:
            raise lacking(self.endpoint, output, response.outputs)
        names = {output, STATUS} & set(response.outputs)
        return {name: make_ndarray(response.outputs[name]) for name in names}

    def _translate(self, error: Any, timeout: float) -> UserError:
        server, code, details = self.endpoint.server, error.code(), one_line(error.details() or "")
        codes = self._grpc.StatusCode
        if code == codes.UNAVAILABLE:
            return Unavailable(f"{server}: is not available: {details}")
        if code == codes.DEADLINE_EXCEEDED:
            return UserError(f"{server}: no answer within {timeout:.3g} seconds; give it more --timeout")
        if code == codes.NOT_FOUND:
            return not_served(self.endpoint, details)
        kind = Refused if code in (codes.INVALID_ARGUMENT, codes.FAILED_PRECONDITION) else UserError
        return kind(f"{server}: {code.name}: {details}")

    def close(self) -> None:
        self._channel.close()

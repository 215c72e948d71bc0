"""A stand-in for TF Serving, which cannot be installed from PyPI: its gRPC and REST predict routes for a SavedModel.

    python tests/model_server.py models/elegant --port 8500 --rest_port 8501

Follows the official protocol buffers and stubs, and TF Serving's description of its REST API. It joins no requests and
watches no directory.
"""

from __future__ import annotations

import argparse
import base64
import json
import re
import ssl
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import grpc
import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

ROUTE = re.compile(r"/v1/models/([^/:]+)(?:/versions/(\d+))?(?:/labels/([^/:]+))?:predict")
HTTP_STATUS = {"INVALID_ARGUMENT": 400, "NOT_FOUND": 404, "UNAVAILABLE": 503}


class Refused(Exception):
    """The server's answer to a request that it refuses: the name of a status code, and a message."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class ServedModel:
    """Versions of a model by number, under a name and with labels. It can pretend to be busy or slow.

    `busy`: how many of the next requests are refused as overload; `delay`: seconds before each answer.
    """

    def __init__(self, base: Path, name: str = "elegant", labels: dict[str, int] | None = None) -> None:
        numbers = sorted(int(path.name) for path in base.iterdir() if path.name.isdecimal())
        self._versions = {number: tf.saved_model.load(str(base / str(number))).signatures for number in numbers}
        self._name, self._labels = name, labels or {}
        self._lock = threading.Lock()
        self.busy, self.delay, self.requests = 0, 0.0, 0

    def signature(self, model: str, version: int | None, label: str | None, name: str):
        number = self._labels.get(label) if label else version if version is not None else max(self._versions)
        if model != self._name or number not in self._versions:
            raise Refused("NOT_FOUND", f"Servable not found for request: {model}, {label or version}")
        if name not in self._versions[number]:
            raise Refused("INVALID_ARGUMENT", f"Serving signature key {name!r} not found.")
        return self._versions[number][name]

    def predict(self, signature, inputs: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        with self._lock:
            self.requests += 1
            self.busy -= 1
            if self.busy >= 0:
                raise Refused("UNAVAILABLE", "The batch scheduling queue is full")
        time.sleep(self.delay)
        specs = signature.structured_input_signature[1]
        if set(inputs) != set(specs):
            raise Refused("INVALID_ARGUMENT", f"input size does not match signature: {sorted(inputs)}")
        try:
            return signature(**inputs)
        except (tf.errors.InvalidArgumentError, ValueError, TypeError) as error:
            raise Refused("INVALID_ARGUMENT", str(error)) from error


class GrpcService(prediction_service_pb2_grpc.PredictionServiceServicer):
    def __init__(self, model: ServedModel) -> None:
        self._model = model

    def Predict(self, request, context):
        spec = request.model_spec
        version = spec.version.value if spec.HasField("version") else None
        try:
            signature = self._model.signature(
                spec.name, version, spec.version_label, spec.signature_name or "serving_default"
            )
            inputs = {name: tf.constant(tf.make_ndarray(proto)) for name, proto in request.inputs.items()}
            outputs = self._model.predict(signature, inputs)
        except Refused as error:
            context.abort(getattr(grpc.StatusCode, error.code), str(error))
        response = predict_pb2.PredictResponse(model_spec=spec)
        for name, value in outputs.items():
            response.outputs[name].CopyFrom(tf.make_tensor_proto(value.numpy()))
        return response


class RestHandler(BaseHTTPRequestHandler):
    model: ServedModel

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        try:
            status, answer = 200, self._answer(body)
        except Refused as error:
            status, answer = HTTP_STATUS[error.code], {"error": str(error)}
        text = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def _answer(self, body: bytes) -> dict:
        route = ROUTE.fullmatch(self.path)
        if not route:
            raise Refused("NOT_FOUND", f"Malformed request: POST {self.path}")
        model, version, label = route.groups()
        asked = json.loads(body)
        name = asked.get("signature_name", "serving_default")
        signature = self.model.signature(model, int(version) if version else None, label, name)
        specs = signature.structured_input_signature[1]
        if "inputs" in asked:
            return {"outputs": to_columns(self.model.predict(signature, from_columns(asked["inputs"], specs)))}
        rows = asked["instances"]
        if len(specs) == 1:
            rows = [{next(iter(specs)): row} for row in rows]
        columns = {key: [row[key] for row in rows] for key in rows[0]}
        outputs = to_columns(self.model.predict(signature, from_columns(columns, specs)))
        if not isinstance(outputs, dict):
            return {"predictions": outputs}
        return {"predictions": [dict(zip(outputs, row, strict=True)) for row in zip(*outputs.values(), strict=True)]}

    def log_message(self, format, *arguments) -> None:
        """Logs nothing."""


def from_columns(columns, specs) -> dict[str, tf.Tensor]:
    if not isinstance(columns, dict):
        columns = {next(iter(specs)): columns}
    unknown = sorted(set(columns) - set(specs))
    if unknown:
        raise Refused("INVALID_ARGUMENT", f"unexpected inputs: {unknown}")
    return {name: tf.constant(from_json(value), specs[name].dtype) for name, value in columns.items()}


def from_json(value):
    if isinstance(value, list):
        return [from_json(item) for item in value]
    return base64.b64decode(value["b64"]) if isinstance(value, dict) else value


def to_columns(outputs: dict[str, tf.Tensor]):
    """Outputs as JSON by name; a single one without its name. Outputs that end in `_bytes` are in base64."""
    columns = {name: to_json(value.numpy(), name.endswith("_bytes")) for name, value in outputs.items()}
    return columns if len(columns) > 1 else next(iter(columns.values()))


def to_json(value, binary: bool):
    if (isinstance(value, np.ndarray) and value.dtype == object) or isinstance(value, list):
        return [to_json(item, binary) for item in value]
    if isinstance(value, bytes):
        return {"b64": base64.b64encode(value).decode()} if binary else value.decode()
    return value.tolist()


class ModelServer:
    """Both servers in threads of this process, as a context manager.

    `port`, `rest_port`: 0: any free one; `tls`: PEM texts of the server's key, of its certificate chain and, if clients
    need certificates, of their authority.
    """

    def __init__(self, model: ServedModel, port: int = 0, rest_port: int = 0, tls: tuple | None = None) -> None:
        self.model = model
        self._grpc = grpc.server(ThreadPoolExecutor(16), options=[("grpc.max_receive_message_length", -1)])
        prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(GrpcService(model), self._grpc)
        credentials = None
        if tls is not None:
            key, chain, clients = tls
            credentials = grpc.ssl_server_credentials([(key, chain)], clients, clients is not None)
        address = f"localhost:{port}"
        bound = self._grpc.add_secure_port(address, credentials) if tls else self._grpc.add_insecure_port(address)
        handler = type("Handler", (RestHandler,), {"model": model})
        self._rest = ThreadingHTTPServer(("localhost", rest_port), handler)
        self.grpc = f"localhost:{bound}"
        self.rest = f"localhost:{self._rest.server_address[1]}"

    def encrypt_rest(self, context: ssl.SSLContext) -> None:
        self._rest.socket = context.wrap_socket(self._rest.socket, server_side=True)

    def __enter__(self) -> ModelServer:
        self._grpc.start()
        threading.Thread(target=self._rest.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_) -> None:
        self._grpc.stop(None).wait()
        self._rest.shutdown()
        self._rest.server_close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("base", type=Path, help="directory of the versions")
    parser.add_argument("--name", default="elegant")
    parser.add_argument("--port", type=int, default=8500)
    parser.add_argument("--rest_port", type=int, default=8501)
    options = parser.parse_args()
    with ModelServer(ServedModel(options.base, options.name), options.port, options.rest_port) as server:
        print(f"gRPC {server.grpc}, REST {server.rest}", flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main()

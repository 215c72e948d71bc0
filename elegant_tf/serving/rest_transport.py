"""Asks TF Serving over REST, with Python's standard library alone."""

from __future__ import annotations

import base64
import http
import http.client
import json
import ssl
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from typing import Any

import numpy as np

from elegant_tf.errors import UserError
from elegant_tf.serving.endpoint import STATUS, Endpoint, Refused, Unavailable, lacking, not_served, one_line

# Bad gateway and service unavailable: the answers of a proxy, or of the server itself, under overload.
_BUSY = (502, 503)

# Bad request, and precondition failed.
_REFUSED = (400, 412)


class RestTransport:
    """The predict route, with inputs by column; see `endpoint.Transport`.

    Raises:
        UserError: a certificate file cannot be used.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        scheme = "https" if endpoint.tls else "http"
        url = f"{scheme}://{endpoint.server}/v1/models/{urllib.parse.quote(endpoint.model)}"
        if endpoint.version is not None:
            url += f"/versions/{endpoint.version}"
        elif endpoint.label is not None:
            url += f"/labels/{urllib.parse.quote(endpoint.label)}"
        self.endpoint, self._server, self._url = endpoint, endpoint.server, f"{url}:predict"
        self._tls = _tls_context(endpoint) if endpoint.tls else None

    def predict(
        self, signature: str, inputs: Mapping[str, np.ndarray], output: str, timeout: float
    ) -> dict[str, np.ndarray]:
        columns = {name: _to_json(value) for name, value in inputs.items()}
        body = json.dumps({"signature_name": signature, "inputs": columns}).encode()
        request = urllib.request.Request(self._url, body, {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=timeout, context=self._tls) as response:
                return self._pick(json.load(response)["outputs"], output)
        except urllib.error.HTTPError as error:
            raise self._translate(error) from error
        except TimeoutError as error:
            raise self._too_late(timeout) from error
        except (OSError, http.client.HTTPException) as error:
            if isinstance(getattr(error, "reason", None), TimeoutError):
                raise self._too_late(timeout) from error
            raise Unavailable(f"{self._server}: is not available: {getattr(error, 'reason', error)}") from error
        except UserError:
            raise
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(f"{self._server}: its answer is not TF Serving's at {self._url}") from error

    def _pick(self, outputs: Any, output: str) -> dict[str, np.ndarray]:
        # TF Serving omits the name of a signature's only output.
        if not isinstance(outputs, dict) or "b64" in outputs:
            outputs = {output: outputs}
        if output not in outputs:
            raise lacking(self.endpoint, output, outputs)
        return {name: _from_json(outputs[name]) for name in {output, STATUS} & set(outputs)}

    def _translate(self, error: urllib.error.HTTPError) -> UserError:
        if error.code == http.HTTPStatus.NOT_FOUND:
            return not_served(self.endpoint, _message(error))
        kind = Unavailable if error.code in _BUSY else Refused if error.code in _REFUSED else UserError
        return kind(f"{self._server}: HTTP {error.code}: {_message(error)}")

    def _too_late(self, timeout: float) -> UserError:
        return UserError(f"{self._server}: no answer within {timeout:.3g} seconds; give it more --timeout")

    def close(self) -> None:
        """Nothing stays open between requests."""


def _tls_context(endpoint: Endpoint) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=endpoint.ca_file)
        if endpoint.cert_file is not None:
            context.load_cert_chain(endpoint.cert_file, endpoint.key_file)
    except ssl.SSLError as error:
        raise UserError(f"--ca_file, --cert_file or --key_file: cannot be used: {error}") from error
    return context


def _to_json(value: np.ndarray) -> Any:
    """Nested lists, bytes in base64."""
    if value.dtype != object:
        return value.tolist()
    return [{"b64": base64.b64encode(data).decode()} for data in value]


def _from_json(value: Any) -> np.ndarray:
    return np.array(_decoded(value), dtype=object if _holds_text(value) else np.float32)


def _decoded(value: Any) -> Any:
    if isinstance(value, list):
        return [_decoded(item) for item in value]
    if isinstance(value, dict):
        return base64.b64decode(value["b64"])
    return value.encode() if isinstance(value, str) else value


def _holds_text(value: Any) -> bool:
    while isinstance(value, list) and value:
        value = value[0]
    return isinstance(value, dict | str)


def _message(error: urllib.error.HTTPError) -> str:
    text = error.read().decode("utf-8", "replace")
    try:
        text = json.loads(text)["error"]
    except (ValueError, KeyError, TypeError):
        text = text[:500]
    return one_line(str(text)) or str(error.reason)

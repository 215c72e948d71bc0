"""The address of a served model, how to ask it, and how requests fail."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from elegant_tf.errors import UserError

STATUS = "status"
"""The output that says for each row what is wrong with it, of models that were exported with `--status`."""


class Unavailable(UserError):
    """The server could not be reached or is overloaded; a later attempt may succeed."""


class Refused(UserError):
    """The served model does not take the request, or answers with other outputs than expected."""


@dataclass(frozen=True)
class Endpoint:
    """A model on a server, as TF Serving addresses it.

    Attributes:
        server: host:port.
        model: the model's name on the server.
        version, label: which version, by one of them; None: the newest.
        tls: whether to encrypt.
        ca_file: PEM file of the authorities to trust instead of the system's.
        cert_file, key_file: PEM files of the client's own certificate, for a server that asks for one.

    Raises:
        UserError: values do not fit together, or a file does not exist.
    """

    server: str
    model: str
    version: int | None = None
    label: str | None = None
    tls: bool = False
    ca_file: str | None = None
    cert_file: str | None = None
    key_file: str | None = None

    def __post_init__(self) -> None:
        host, _, port = self.server.rpartition(":")
        if not host or "/" in host or not (port.isdecimal() and 0 < int(port) < 2**16):
            raise UserError(f"--server={self.server}: must be host:port, for instance localhost:8500")
        if not self.model or "/" in self.model:
            raise UserError(f"--model={self.model}: must be the model's name on the server")
        if self.version is not None and self.label is not None:
            raise UserError("--version and --label: give one of them")
        if (self.cert_file is None) != (self.key_file is None):
            raise UserError("--cert_file and --key_file: give both or neither")
        files = {"ca_file": self.ca_file, "cert_file": self.cert_file, "key_file": self.key_file}
        given = {name: path for name, path in files.items() if path is not None}
        if given and not self.tls:
            raise UserError(f"--{next(iter(given))}: needs --tls")
        for name, path in given.items():
            if not Path(path).is_file():
                raise UserError(f"--{name}={path}: no such file")

    def __str__(self) -> str:
        version = f", version {self.version}" if self.version is not None else ""
        label = f", label {self.label!r}" if self.label is not None else ""
        return f"{self.server}: model {self.model!r}{version}{label}"


class Transport(Protocol):
    """A connection to an endpoint."""

    endpoint: Endpoint

    def predict(
        self, signature: str, inputs: Mapping[str, np.ndarray], output: str, timeout: float
    ) -> dict[str, np.ndarray]:
        """An output of a signature, and `status` if it has one. Images and texts are arrays of `bytes` objects.

        Raises:
            Unavailable: the server cannot be reached or is overloaded.
            Refused: the model does not take the request, or lacks the output.
            UserError: there was no answer within `timeout` seconds, there is no such model, or another error.
        """
        ...

    def close(self) -> None:
        """Closes the connection."""
        ...


def not_served(endpoint: Endpoint, answer: str) -> UserError:
    """The error of a server that does not serve that model; `answer` is what the server says."""
    return UserError(f"{endpoint}: is not served: {one_line(answer)}; check --model, --version and --label")


def lacking(endpoint: Endpoint, output: str, found: Iterable[str]) -> Refused:
    """The error of an answer without the output that was asked for."""
    return Refused(f"{endpoint}: expected the output {output!r}, found {', '.join(sorted(found)) or 'none'}")


def one_line(text: str) -> str:
    """A server's message on one line."""
    return " ".join(text.split())

"""Where a served model is, and what can go wrong on the way to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from elegant_tf.errors import UserError


class Unavailable(UserError):
    """The server could not be reached or has no room just now: asking again may help."""


@dataclass(frozen=True)
class Endpoint:
    """A model on a server, as TF Serving names it.

    `server`: host:port; `model`: its name there; `version` or `label`: which version, the newest if neither is given;
    `tls`: whether to encrypt; `ca_file`: PEM file of the authorities to trust instead of the system's; `cert_file` and
    `key_file`: PEM files of the client's own certificate, if the server asks for one.

    Raises:
        UserError: values that do not go together, or a file that is not there.
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
            raise UserError(f"--server={self.server}: must be host:port, such as localhost:8500")
        if not self.model or "/" in self.model:
            raise UserError(f"--model={self.model}: must be the model's name on the server")
        if self.version is not None and self.label is not None:
            raise UserError("--version and --label: give one of them")
        if (self.cert_file is None) != (self.key_file is None):
            raise UserError("--cert_file and --key_file: give both or neither")
        files = {"ca_file": self.ca_file, "cert_file": self.cert_file, "key_file": self.key_file}
        given = {name: path for name, path in files.items() if path is not None}
        if given and not self.tls:
            raise UserError(f"--{next(iter(given))}: goes with --tls")
        for name, path in given.items():
            if not Path(path).is_file():
                raise UserError(f"--{name}={path}: is no file")


class Transport(Protocol):
    """A way to ask an endpoint."""

    def predict(self, signature: str, inputs: Mapping[str, np.ndarray], output: str, timeout: float) -> np.ndarray:
        """One output of a signature; encoded pictures are arrays of `bytes` objects, there and back.

        Raises:
            Unavailable: no server there, or none that answers now.
            UserError: no answer within `timeout` seconds, or the server refused.
        """
        ...

    def close(self) -> None:
        """Lets go of the connection."""
        ...

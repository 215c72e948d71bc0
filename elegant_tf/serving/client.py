"""Edits images on a server that serves an exported model."""

from __future__ import annotations

import io
import json
import random
import time
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from PIL import Image

from elegant_tf.coefficients import swap_coefficients
from elegant_tf.errors import UserError
from elegant_tf.images import read_image
from elegant_tf.serving.endpoint import Endpoint, Transport, Unavailable
from elegant_tf.serving.rest_transport import RestTransport

FIRST_WAIT = 0.2
LONGEST_WAIT = 5.0

# Formats and modes that every server decodes as `read_image` does, except that servers ignore EXIF orientation.
_PLAIN = {("JPEG", "RGB"), ("JPEG", "L"), ("PNG", "RGB"), ("BMP", "RGB")}

Answer = TypeVar("Answer")


def connect(endpoint: Endpoint, protocol: str) -> Transport:
    """A transport to an endpoint over `grpc` or `rest`.

    Raises:
        UserError: a package that the protocol needs is not installed, or certificates cannot be used.
    """
    if protocol == "rest":
        return RestTransport(endpoint)
    # Imported here because it loads TensorFlow, which REST does not need.
    from elegant_tf.serving.grpc_transport import GrpcTransport

    return GrpcTransport(endpoint)


class Client:
    """A served model.

    Args:
        transport: how to reach it.
        timeout: seconds that one request may take, with all its attempts and the waits between them.
        retries: how often to ask again while the server is not available, after waits that double.
    """

    def __init__(self, transport: Transport, timeout: float = 30.0, retries: int = 4) -> None:
        if not 0 < timeout < float("inf"):
            raise UserError(f"--timeout={timeout}: must be a number of seconds, more than 0")
        if retries < 0:
            raise UserError(f"--retries={retries}: must be 0 or more")
        self._transport, self._timeout, self._retries = transport, timeout, retries

    @cached_property
    def metadata(self) -> dict[str, Any]:
        """The model's metadata: attributes, image size, step and more; requested once."""
        found = self._ask("metadata", {"id": np.zeros(1, np.int32)}, "json")
        try:
            return json.loads(found[0])
        except (ValueError, TypeError) as error:
            raise UserError(
                "the server's model was not exported by this package: its metadata cannot be read"
            ) from error

    def edit(
        self,
        images: Sequence[bytes],
        exemplars: Sequence[bytes],
        attributes: Sequence[str],
        strength: float | Sequence[float] = 1.0,
    ) -> list[bytes]:
        """Transfers attributes from exemplars to images, and returns the edited images, encoded.

        Args:
            images: N encoded images, each of which gets the same edit.
            exemplars: one encoded image, which gives all attributes, or one for each attribute, in order.
            attributes: names, of those in `metadata`.
            strength: 0 keeps, 1 exchanges, between interpolates, beyond extrapolates; one for all attributes or one
                for each.

        Raises:
            UserError: an attribute is unknown, numbers do not fit together, or the server refused the request.
            Unavailable: the server was not available at any attempt.
        """
        coefficients = swap_coefficients(self.metadata["attributes"], attributes, len(exemplars), strength)
        count = len(images)
        inputs = {"image": _objects(images), "weights": np.repeat(coefficients.sum(0)[None], count, axis=0)}
        if len(exemplars) == 1:
            return list(
                self._ask("serving_default", {**inputs, "exemplar": _objects(exemplars * count)}, "edited_bytes")
            )
        code = np.repeat(self._joined_code(exemplars, coefficients)[None], count, axis=0)
        return list(self._ask("edit_with_code", {**inputs, "code": code}, "edited_bytes"))

    def close(self) -> None:
        """Closes the connection."""
        self._transport.close()

    def _joined_code(self, exemplars: Sequence[bytes], coefficients: np.ndarray) -> np.ndarray:
        """One code `[h, w, C]` with the block of each attribute from the exemplar that gives it."""
        codes = self._ask("encode", {"image": _objects(exemplars)}, "code")
        joined = codes[0].copy()
        bounds = self.metadata["block_bounds"]
        for exemplar, attribute in zip(*np.nonzero(coefficients), strict=True):
            block = slice(bounds[attribute], bounds[attribute + 1])
            joined[..., block] = codes[exemplar, ..., block]
        return joined

    def _ask(self, signature: str, inputs: Mapping[str, np.ndarray], output: str) -> np.ndarray:
        return with_retries(
            lambda timeout: self._transport.predict(signature, inputs, output, timeout), self._timeout, self._retries
        )


def with_retries(
    ask: Callable[[float], Answer],
    timeout: float,
    retries: int,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> Answer:
    """`ask(seconds left)`, repeated while it raises Unavailable, up to `retries` times and within `timeout` seconds.

    Waits between attempts double from `FIRST_WAIT` to `LONGEST_WAIT` seconds. Each is scaled by a random factor from
    0.5 to 1, so that clients that lost a server at the same time do not all return at the same time.
    """
    deadline = clock() + timeout
    for attempt in range(retries + 1):
        try:
            return ask(deadline - clock())
        except Unavailable as error:
            wait = min(FIRST_WAIT * 2**attempt, LONGEST_WAIT) * random.uniform(0.5, 1.0)
            if attempt == retries or clock() + wait >= deadline:
                raise Unavailable(f"{error} (asked {attempt + 1} times)") from error
        sleep(wait)
    raise AssertionError("unreachable")


def image_bytes(path: str | Path) -> bytes:
    """An image file's bytes, or those of a PNG where a server would decode the file differently from `read_image`.

    A PNG replaces images that EXIF rotates, transparent and animated ones, and formats that TensorFlow cannot decode.

    Raises:
        BadImage: the file is missing, not an image, damaged or too large.
    """
    pixels = read_image(path)
    with Image.open(path) as image:
        plain = (image.format, image.mode) in _PLAIN and not image.has_transparency_data
        if plain and np.array_equal(pixels, image.convert("RGB")):
            return Path(path).read_bytes()
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def _objects(values: Sequence[bytes]) -> np.ndarray:
    array = np.empty(len(values), object)
    array[:] = list(values)
    return array

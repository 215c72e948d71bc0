"""Edits pictures on a server that serves an exported model."""

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

from elegant_tf.errors import UserError
from elegant_tf.images import read_image
from elegant_tf.serving.endpoint import Endpoint, Transport, Unavailable
from elegant_tf.serving.rest_transport import RestTransport
from elegant_tf.weights import swap_weights

FIRST_WAIT = 0.2
LONGEST_WAIT = 5.0

# What every server decodes just as `read_image` does, once it needs no turning.
_PLAIN = {("JPEG", "RGB"), ("JPEG", "L"), ("PNG", "RGB"), ("BMP", "RGB")}
_ORIENTATION = 0x0112
_UPRIGHT = 1

Answer = TypeVar("Answer")


def connect(endpoint: Endpoint, protocol: str) -> Transport:
    """The way to an endpoint over `grpc` or `rest`.

    Raises:
        UserError: what the protocol needs is not installed, or certificates cannot be used.
    """
    if protocol == "rest":
        return RestTransport(endpoint)
    # Here, because it loads TensorFlow, which REST does without.
    from elegant_tf.serving.grpc_transport import GrpcTransport

    return GrpcTransport(endpoint)


class Client:
    """A served model.

    Args:
        transport: how to reach it.
        timeout: seconds that an edit may take in all, attempts and waits together.
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
        """What the model says of itself: attributes, image size, step and more; asked for once."""
        found = self._ask("metadata", {"id": np.zeros(1, np.int32)}, "json")
        try:
            return json.loads(found[0])
        except (ValueError, TypeError) as error:
            raise UserError("the server's model is none of this package's: its metadata cannot be read") from error

    def edit(
        self,
        images: Sequence[bytes],
        exemplars: Sequence[bytes],
        attributes: Sequence[str],
        strength: float | Sequence[float] = 1.0,
    ) -> list[bytes]:
        """Gives encoded pictures the exemplars' attributes; the edited pictures, encoded.

        Args:
            images: N encoded pictures, each edited alike.
            exemplars: one encoded picture, which gives all attributes, or one for each attribute, in order.
            attributes: names, of those in `metadata`.
            strength: 0 keeps, 1 exchanges, beyond exaggerates; one for all attributes or one for each.

        Raises:
            UserError: an unknown attribute, numbers that do not go together, or what the server refused.
            Unavailable: the server was not available at any attempt.
        """
        weights = swap_weights(self.metadata["attributes"], attributes, len(exemplars), strength)
        count = len(images)
        inputs = {"image": _objects(images), "weights": np.repeat(weights.sum(0)[None], count, axis=0)}
        if len(exemplars) == 1:
            return list(
                self._ask("serving_default", {**inputs, "exemplar": _objects(exemplars * count)}, "edited_bytes")
            )
        code = np.repeat(self._joined_code(exemplars, weights)[None], count, axis=0)
        return list(self._ask("edit_with_code", {**inputs, "code": code}, "edited_bytes"))

    def close(self) -> None:
        """Lets go of the connection."""
        self._transport.close()

    def _joined_code(self, exemplars: Sequence[bytes], weights: np.ndarray) -> np.ndarray:
        """One code `[h, w, C]` that holds every attribute's block of the exemplar that gives it."""
        codes = self._ask("encode", {"image": _objects(exemplars)}, "code")
        joined = codes[0].copy()
        bounds = self.metadata["block_bounds"]
        for exemplar, attribute in zip(*np.nonzero(weights), strict=True):
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
    """`ask(seconds left)`, again after a wait whenever it raises Unavailable, `retries` times and within `timeout`.

    Waits double from `FIRST_WAIT` to `LONGEST_WAIT` seconds, each times a random number from a half to one, so that
    clients that lost a server together do not come back together.
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


def picture_bytes(path: str | Path) -> bytes:
    """A picture file as a server can decode it: as it is, or as a PNG where servers would see it otherwise.

    That is what EXIF turns, what is transparent or animated, and formats that TensorFlow has no decoder for.

    Raises:
        BadImage: the file is missing, no picture, damaged or too large.
    """
    pixels = read_image(path)
    with Image.open(path) as image:
        plain = (image.format, image.mode) in _PLAIN and not image.has_transparency_data
        if plain and image.getexif().get(_ORIENTATION, _UPRIGHT) == _UPRIGHT:
            return Path(path).read_bytes()
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def _objects(values: Sequence[bytes]) -> np.ndarray:
    array = np.empty(len(values), object)
    array[:] = list(values)
    return array

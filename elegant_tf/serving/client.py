"""Edits images on a server that serves an exported model."""

from __future__ import annotations

import contextlib
import io
import json
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from PIL import ExifTags, Image

from elegant_tf.bounds import Bounds
from elegant_tf.catalogue import Catalogue, Exemplar
from elegant_tf.coefficients import swap_coefficients
from elegant_tf.errors import UserError
from elegant_tf.images import MAX_PIXELS, READ_FORMATS, read_image
from elegant_tf.marks import ExemplarData, Receipt, receipt_of
from elegant_tf.serving.endpoint import STATUS, Endpoint, Refused, Transport, Unavailable, one_line
from elegant_tf.serving.rest_transport import RestTransport

MOST_RETRIES = 1000
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
        Bounds(above=0, at_most=1e6).check("timeout", float(timeout))
        Bounds(at_least=0, at_most=MOST_RETRIES).check("retries", retries)
        self._transport, self._timeout, self._retries = transport, timeout, retries

    @cached_property
    def metadata(self) -> dict[str, Any]:
        """The model's metadata: attributes, image size, step and more; requested once.

        Raises:
            UserError: the model is not one that `elegant-tf export` wrote, or the server refused the request.
            Unavailable: the server was not available at any attempt.
        """
        try:
            return _read_metadata(self._ask("metadata", {"id": np.zeros(1, np.int32)}, "json")["json"])
        except Refused as error:
            expected = "expected the signature 'metadata' of a model that elegant-tf exported"
            raise UserError(f"{self._transport.endpoint}: {expected}, found another model: {error}") from error

    def edit(
        self,
        images: Sequence[bytes],
        exemplars: Sequence[bytes | Exemplar],
        attributes: Sequence[str],
        strength: float | Sequence[float] = 1.0,
    ) -> list[bytes]:
        """Transfers attributes from exemplars to images in one request, and returns the edited images, encoded.

        Args:
            images: N encoded images, each of which gets the same edit.
            exemplars: one encoded image or `Exemplar` of a catalogue, which gives all attributes, or one for each
                attribute, in order.
            attributes: names, of those in `metadata`.
            strength: 0 reconstructs the images, which may change them slightly; 1 exchanges, between interpolates,
                beyond extrapolates; one for all attributes or one for each.

        Raises:
            UserError: an attribute is unknown, numbers do not fit together, a catalogue is that of another model, the
                server refused the request or an image, or its answer is not that of the model that `metadata`
                describes.
            Unavailable: the server was not available at any attempt.
        """
        answers = self._ask_for_images(images, *self._exemplar_inputs(exemplars, attributes, strength))
        return list(self._without_refusals(answers))

    def edit_each(
        self,
        images: Sequence[bytes],
        exemplars: Sequence[bytes | Exemplar],
        attributes: Sequence[str],
        strength: float | Sequence[float] = 1.0,
    ) -> list[bytes | Refused]:
        """Edits as `edit` does, but an image that the server refuses spoils no other.

        One request holds all images if the model was exported with `--status`. Otherwise, or if the server refuses this
        request, perhaps because it takes fewer images at once, each image is sent by itself.

        Returns:
            For each image, the edited image, encoded, or the error that says why the server refused it. All other
            errors are raised as by `edit`.
        """
        signature, shared = self._exemplar_inputs(exemplars, attributes, strength)
        if self.has_status and len(images) > 1:
            with contextlib.suppress(Refused):
                return self._ask_for_images(images, signature, shared)
        answers: list[bytes | Refused] = []
        for image in images:
            try:
                answers += self._ask_for_images([image], signature, shared)
            except Refused as error:
                answers.append(error)
        return answers

    @property
    def has_status(self) -> bool:
        """Whether the model says for each image of a request what is wrong with it: `elegant-tf export --status`."""
        options = self.metadata.get("export")
        return isinstance(options, dict) and options.get(STATUS) is True

    def receipt(
        self, exemplars: Sequence[ExemplarData], attributes: Sequence[str], strength: float | Sequence[float] = 1.0
    ) -> Receipt:
        """What to write into the files of images that `edit` returns, see `marks.xmp_packet`.

        The hash of the model and its step come from `metadata`; models that older versions exported have no hash.
        Raises what `metadata` raises, and UserError if the file of an exemplar cannot be read.
        """
        told, step = self.metadata, self.metadata.get("step")
        model, version = str(told.get("model_sha256", "")), str(told.get("elegant_tf", ""))
        return receipt_of(model, step if isinstance(step, int) else None, exemplars, attributes, strength, version)

    def check_catalogue(self, catalogue: Catalogue) -> None:
        """Raises UserError, naming its file, if a catalogue is that of another model or image size."""
        size = self.metadata.get("image_size")
        if size not in (None, catalogue.image_size):
            raise UserError(
                f"{catalogue.origin}: holds codes for images of {catalogue.image_size} pixels; "
                f"{self._transport.endpoint} edits {size}: make a catalogue with --image_size {size}"
            )
        self._checked(catalogue.exemplars[0])

    def close(self) -> None:
        """Closes the connection."""
        self._transport.close()

    def _exemplar_inputs(
        self, exemplars: Sequence[bytes | Exemplar], attributes: Sequence[str], strength: float | Sequence[float]
    ) -> tuple[str, dict[str, Any]]:
        """The signature that edits with these exemplars, and its inputs besides `image`, for one image."""
        coefficients = swap_coefficients(self.metadata["attributes"], attributes, len(exemplars), strength)
        weights = coefficients.sum(0)
        if len(exemplars) == 1 and isinstance(exemplars[0], bytes):
            return "serving_default", {"weights": weights, "exemplar": exemplars[0]}
        return "edit_with_code", {"weights": weights, "code": self._joined_code(exemplars, coefficients)}

    def _joined_code(self, exemplars: Sequence[bytes | Exemplar], coefficients: np.ndarray) -> np.ndarray:
        """One code `[h, w, C]` with the block of each attribute from the exemplar that gives it."""
        encoded = iter(self._encode([one for one in exemplars if isinstance(one, bytes)]))
        codes = [self._checked(one).code if isinstance(one, Exemplar) else next(encoded) for one in exemplars]
        if len({code.shape for code in codes}) > 1:
            shapes = " and ".join(sorted({str(list(code.shape)) for code in codes}))
            raise UserError(f"{self._transport.endpoint}: exemplars have the codes {shapes}: they must have one size")
        bounds, joined = self.metadata["block_bounds"], codes[0].copy()
        for exemplar, attribute in zip(*np.nonzero(coefficients), strict=True):
            block = slice(bounds[attribute], bounds[attribute + 1])
            joined[..., block] = codes[exemplar][..., block]
        return joined

    def _encode(self, images: Sequence[bytes]) -> Sequence[np.ndarray]:
        """A code `[h, w, C]` for each of the images."""
        if not images:
            return []
        answer, channels = self._ask("encode", {"image": _objects(images)}, "code"), self.metadata["block_bounds"][-1]
        for number, text in enumerate(self._statuses(answer, len(images)), 1):
            if text:
                raise Refused(f"{self._transport.endpoint}: exemplar {number} of {len(images)}: {text}")
        codes = answer["code"]
        if codes.dtype == object or codes.ndim != 4 or (len(codes), codes.shape[3]) != (len(images), channels):
            raise self._unexpected(f"codes [{len(images)}, h, w, {channels}]", codes)
        return list(codes)

    def _checked(self, exemplar: Exemplar) -> Exemplar:
        """An exemplar whose code is one of the served model, as far as that is known."""
        served, channels = self.metadata.get("model_sha256"), self.metadata["block_bounds"][-1]
        if (served and exemplar.model not in ("", served)) or exemplar.code.shape[2:] != (channels,):
            raise UserError(
                f"{self._transport.endpoint}: exemplar {exemplar.name!r} is the code of another model: make a "
                "catalogue with the run that was exported"
            )
        return exemplar

    def _ask_for_images(
        self, images: Sequence[bytes], signature: str, shared: Mapping[str, Any]
    ) -> list[bytes | Refused]:
        """For each of the images, the edited one, encoded, or what is wrong with it; `shared`: all other inputs."""
        count = len(images)
        inputs = {name: _repeated(value, count) for name, value in shared.items()}
        answer = self._ask(signature, {"image": _objects(images), **inputs}, "edited_bytes")
        edited = answer["edited_bytes"]
        if edited.shape != (count,) or not all(isinstance(data, bytes) for data in edited):
            raise self._unexpected(f"encoded images [{count}]", edited)
        endpoint = self._transport.endpoint
        statuses = self._statuses(answer, count)
        return [Refused(f"{endpoint}: {text}") if text else data for data, text in zip(edited, statuses, strict=True)]

    def _statuses(self, answer: Mapping[str, np.ndarray], count: int) -> list[str]:
        """What is wrong with each of the `count` rows of an answer; empty texts where nothing is."""
        if STATUS not in answer:
            return [""] * count
        found = answer[STATUS]
        if found.shape != (count,) or not all(isinstance(text, bytes) for text in found):
            raise self._unexpected(f"texts [{count}]", found)
        return [one_line(text.decode("utf-8", "replace")) for text in found]

    def _without_refusals(self, answers: Sequence[bytes | Refused]) -> Iterator[bytes]:
        for number, answer in enumerate(answers, 1):
            if isinstance(answer, Refused):
                raise Refused(f"{answer} (image {number} of {len(answers)})")
            yield answer

    def _unexpected(self, expected: str, found: np.ndarray) -> UserError:
        return UserError(f"{self._transport.endpoint}: expected {expected}, found {found.dtype} {list(found.shape)}")

    def _ask(self, signature: str, inputs: Mapping[str, np.ndarray], output: str) -> dict[str, np.ndarray]:
        """An output of a signature, and `status` if it has one."""
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

    A PNG replaces images that EXIF rotates, transparent, animated and cut-off ones, and formats that TensorFlow cannot
    decode.

    Raises:
        BadImage: the file is missing, not an image, damaged or too large.
    """
    if _is_plain(path):
        return Path(path).read_bytes()
    file = io.BytesIO()
    Image.fromarray(read_image(path)).save(file, "PNG")
    return file.getvalue()


def _is_plain(path: str | Path) -> bool:
    """Whether every server decodes the file as `read_image` does. Decodes it only if its header leaves that open."""
    try:
        with Image.open(path, formats=READ_FORMATS) as image:
            if (image.format, image.mode) not in _PLAIN or image.has_transparency_data:
                return False
            if image.width * image.height > MAX_PIXELS or _is_turned(image):
                return False
            image.load()
            return True
    except Exception:  # noqa: BLE001 - Pillow raises almost any exception; `read_image` says what is wrong
        return False


def _is_turned(image: Image.Image) -> bool:
    # An image with a broken EXIF block is still an image.
    with contextlib.suppress(Exception):
        return image.getexif().get(ExifTags.Base.Orientation) in range(2, 9)
    return False


def _read_metadata(found: np.ndarray) -> dict[str, Any]:
    try:
        metadata = json.loads(found[0])
        names, bounds = metadata["attributes"], metadata["block_bounds"]
        fit = len(bounds) == len(names) + 1 and all(isinstance(name, str) for name in names)
    except KeyError as error:
        raise Refused(f"its metadata have no {error}") from error
    except (ValueError, TypeError, IndexError) as error:
        raise Refused("its metadata are not a JSON object") from error
    if not fit:
        raise Refused("its metadata have attributes and block_bounds that do not fit together")
    return metadata


def _repeated(value: bytes | np.ndarray, count: int) -> np.ndarray:
    """One row as `count` equal ones."""
    return _objects([value] * count) if isinstance(value, bytes) else np.repeat(value[None], count, axis=0)


def _objects(values: Sequence[bytes]) -> np.ndarray:
    array = np.empty(len(values), object)
    array[:] = list(values)
    return array

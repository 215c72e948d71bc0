"""Marks of edited images: in their XMP, that a trained model changed them, and receipts that say how."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import math
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeAlias
from xml.etree.ElementTree import Element, SubElement

import numpy as np
from absl import logging
from PIL import Image, UnidentifiedImageError

import elegant_tf
from elegant_tf.checkpoint_files import CheckpointFiles
from elegant_tf.errors import UserError
from elegant_tf.files import reason
from elegant_tf.images import MAX_PIXELS, READ_FORMATS, BadImage
from elegant_tf.remote import as_path
from elegant_tf.rundir import PACKED_FILE, find_run, is_packed
from elegant_tf.xmp import LARGEST_IN_JPEG, RDF, Packet, fit, packet_of
from elegant_tf.xmp import save_options as save_options

# Of IPTC's vocabulary of digital source types: a photo that a trained model changed, and an image that one made.
SOURCE_TYPES = "http://cv.iptc.org/newscodes/digitalsourcetype/"
EDITED = f"{SOURCE_TYPES}compositeWithTrainedAlgorithmicMedia"
GENERATED = f"{SOURCE_TYPES}trainedAlgorithmicMedia"

_IPTC = "http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
_OURS = "urn:elegant-tf:receipt:1/"
_SOURCE_TYPE, _EDITS = f"{{{_IPTC}}}DigitalSourceType", f"{{{_OURS}}}edits"
_SEQUENCE, _ITEM = f"{{{RDF}}}Seq", f"{{{RDF}}}li"

# Properties that are no longer true of an edited image: it is upright, and neither the signed manifest nor the part
# of a packet that did not fit into one segment comes with it.
_OUTDATED = {
    "{http://ns.adobe.com/tiff/1.0/}Orientation",
    "{http://purl.org/dc/terms/}provenance",
    "{http://ns.adobe.com/xmp/note/}HasExtendedXMP",
}

# Exemplars in a receipt, and earlier receipts in a packet.
MOST_EXEMPLARS, MOST_EARLIER = 64, 15

ExemplarData: TypeAlias = str | os.PathLike[str] | bytes | np.ndarray
"""An exemplar: the path of its file, the bytes of a file, or an array of pixels or of a code."""


@dataclass(frozen=True)
class Receipt:
    """How an image was edited.

    Attributes:
        model: SHA-256 of the model's weights, see `model_hash`; empty if it is not known.
        step: the training step of the weights; None if it is not known.
        exemplars: SHA-256 of each exemplar's file, of the first `MOST_EXEMPLARS` at most.
        attributes: the attributes that were transferred.
        strength: one for all attributes or one for each.
        version: the version of elegant_tf.
    """

    model: str
    step: int | None
    exemplars: tuple[str, ...]
    attributes: tuple[str, ...]
    strength: tuple[float, ...]
    version: str = elegant_tf.__version__


@dataclass(frozen=True)
class Mark:
    """What an image file says about how it was made.

    Attributes:
        source_type: the IPTC digital source type, a URI; empty if the file says none.
        receipts: one for each edit by this package, oldest first.
    """

    source_type: str
    receipts: tuple[Receipt, ...]

    def as_json(self) -> dict[str, Any]:
        """The mark as JSON values."""
        return {"digital_source_type": self.source_type, "receipts": [asdict(receipt) for receipt in self.receipts]}


def make_receipt(
    run_dir: str | os.PathLike[str],
    exemplars: Sequence[ExemplarData],
    attributes: Sequence[str],
    strength: float | Sequence[float] = 1.0,
    step: int | None = None,
) -> Receipt:
    """The receipt of edits by a run.

    Args:
        run_dir: a run directory, packed or not, or the name of a model that comes with the package.
        exemplars: what gave the attributes.
        attributes: their names.
        strength: one for all attributes or one for each.
        step: that of the checkpoint; None: the newest that is complete.

    Raises:
        UserError: the run has no such checkpoint, or the weights or an exemplar cannot be read.
    """
    model, step = model_hash(run_dir, step)
    return receipt_of(model, step, exemplars, attributes, strength)


def receipt_of(
    model: str,
    step: int | None,
    exemplars: Sequence[ExemplarData],
    attributes: Sequence[str],
    strength: float | Sequence[float] = 1.0,
    version: str = elegant_tf.__version__,
) -> Receipt:
    """The receipt of edits by a model whose hash is known already; the rest as in `make_receipt`."""
    hashes = tuple(_hash_exemplar(exemplar) for exemplar in exemplars[:MOST_EXEMPLARS])
    strengths = tuple(np.atleast_1d(np.asarray(strength, float)).tolist())
    return Receipt(model, step, hashes, tuple(attributes), strengths, version)


def model_hash(run_dir: str | os.PathLike[str], step: int | None = None) -> tuple[str, int]:
    """The SHA-256 of the weights that a run edits with, and their step.

    Of a packed run, it is the hash of `generator.npz`; of another one, that of `checkpoints/step-N.data-*`, one after
    the other. A file is read once in a process unless it changes. Arguments and errors are those of `make_receipt`.
    """
    run = find_run(run_dir)
    found = _packed_files(run) if is_packed(run) else _checkpoint_files(run, step)
    if not found or step not in (None, found[0]):
        raise UserError(f"{run_dir}: no complete checkpoint" + ("" if step is None else f" of step {step}"))
    there, paths = found
    return _hash_files(tuple(_state(path) for path in paths)), there


def xmp_packet(receipt: Receipt, existing: bytes | None = None, image_format: str = "JPEG") -> bytes:
    """An XMP packet that marks an image as edited. Equal arguments give equal bytes; it holds no time.

    It says the digital source type `EDITED`, or still `GENERATED` if the existing packet does, since that says more.
    It keeps the existing packet's receipts, the last `MOST_EARLIER`, and its other properties, but for those that the
    edit makes untrue. It leaves the existing packet out, with a warning, if that is not XMP, or if both do not fit into
    a file of the format.

    Args:
        receipt: of the edit.
        existing: the packet of the image before the edit.
        image_format: the Pillow format of the file to write; the default suits all.
    """
    packet = _parsed(existing)
    earlier = _mark_of(packet)
    source_type = GENERATED if earlier.source_type == GENERATED else EDITED
    receipts = [*earlier.receipts[-MOST_EARLIER:], receipt]
    data = _marked(packet, source_type, receipts)
    if image_format == "JPEG" and len(data) > LARGEST_IN_JPEG:
        logging.warning("the XMP of the photo is left out: with the mark of the edit, it does not fit into a JPEG file")
        data = _marked(Packet(), source_type, [receipt])
    return data


def read_mark(path: str | os.PathLike[str]) -> Mark | None:
    """What the XMP of an image file says about how the image was made; None if it says nothing of it.

    Raises:
        BadImage: the file is missing or not an image.
    """
    mark = _mark_of(_parsed(packet_in(path)))
    return mark if mark.source_type or mark.receipts else None


def packet_in(path: str | os.PathLike[str]) -> bytes | None:
    """The XMP packet of an image file; None if it has none. Raises BadImage as `read_mark` does."""
    try:
        with Image.open(path, formats=READ_FORMATS) as image:
            packet = packet_of(image)
            if packet is None and image.format == "PNG" and image.width * image.height <= MAX_PIXELS:
                image.load()  # the packet may stand behind the pixels
                packet = packet_of(image)
            return packet
    except UnidentifiedImageError:
        raise BadImage(f"{path}: is not an image in a known format") from None
    except Exception as error:  # Pillow raises almost any exception
        cause = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise BadImage(f"{path}: cannot be read: {cause}") from error


def _parsed(data: bytes | None) -> Packet:
    if not data:
        return Packet()
    try:
        return Packet.parse(data)
    except ValueError as error:
        logging.warning("the XMP of an image is passed over: it %s", error)
        return Packet()


def _marked(packet: Packet, source_type: str, receipts: Sequence[Receipt]) -> bytes:
    packet.add_prefix("Iptc4xmpExt", _IPTC)
    packet.add_prefix("elegant", _OURS)
    packet.remove(lambda name: name in _OUTDATED or name == _SOURCE_TYPE or name.startswith(f"{{{_OURS}}}"))
    source, edits = Element(_SOURCE_TYPE), Element(_EDITS)
    source.text = source_type
    items = SubElement(edits, _SEQUENCE)
    for receipt in receipts:
        item = SubElement(items, _ITEM, {f"{{{RDF}}}parseType": "Resource"})
        for name, value in asdict(receipt).items():
            if value not in (None, "", ()):
                _set(SubElement(item, f"{{{_OURS}}}{name}"), value)
    packet.add([source, edits])
    return packet.to_bytes()


def _set(element: Element, value: Any) -> None:
    if isinstance(value, tuple):
        items = SubElement(element, _SEQUENCE)
        for one in value:
            SubElement(items, _ITEM).text = fit(str(one))
    else:
        element.text = fit(str(value))


def _mark_of(packet: Packet) -> Mark:
    edits = packet.find(_EDITS)
    items = edits.iterfind(f"{_SEQUENCE}/{_ITEM}") if isinstance(edits, Element) else ()
    return Mark(packet.text(_SOURCE_TYPE) or "", tuple(map(_read_receipt, items)))


def _read_receipt(item: Element) -> Receipt:
    """A receipt in a packet, which other programs may have written anew, or forged: what is not right is left out."""

    def one(name: str) -> str:
        return next(iter(_texts(item, name)), "")

    step, strengths = one("step"), _texts(item, "strength")
    return Receipt(
        model=one("model"),
        step=int(step) if step.isascii() and step.isdigit() and len(step) < 20 else None,
        exemplars=tuple(_texts(item, "exemplars")),
        attributes=tuple(_texts(item, "attributes")),
        strength=tuple(filter(math.isfinite, map(_number, strengths))),
        version=one("version"),
    )


def _texts(item: Element, name: str) -> list[str]:
    """The values of a field of a structure, in any of the three ways in which RDF writes structures."""
    for node in (item, *item.iterfind(f"{{{RDF}}}Description")):
        name_there = f"{{{_OURS}}}{name}"
        if name_there in node.attrib:
            return [node.attrib[name_there]]
        for element in node.iterfind(name_there):
            items = element.findall(f"{_SEQUENCE}/{_ITEM}")
            return [one.text or "" for one in items or [element]]
    return []


def _number(text: str) -> float:
    with contextlib.suppress(ValueError):
        return float(text)
    return math.nan


def _packed_files(run: Path) -> tuple[int, list[Path]]:
    path = run / PACKED_FILE
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            return int(arrays["step"]), [path]
    except Exception as error:  # a damaged archive raises almost any error of zlib, zipfile or NumPy
        raise UserError(f"{path}: cannot be read: {error}") from error


def _checkpoint_files(run: Path, step: int | None) -> tuple[int, list[Path]] | None:
    files = CheckpointFiles(run)
    steps = [one for one in files.steps() if step in (None, one) and not files.lacks(one)]
    if not steps:
        return None
    return steps[-1], sorted(files.folder.glob(f"{files.path(steps[-1]).name}.data-*"))


def _state(path: Path) -> tuple[Path, int, int]:
    """A file, and what changes when it does."""
    try:
        state = path.stat()
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {reason(error)}") from error
    return path, state.st_size, state.st_mtime_ns


@functools.lru_cache(maxsize=16)
def _hash_files(states: tuple[tuple[Path, int, int], ...]) -> str:
    digest = hashlib.sha256()
    for path, _, _ in states:
        try:
            with path.open("rb") as file:
                while block := file.read(2**20):
                    digest.update(block)
        except OSError as error:
            raise UserError(f"{path}: cannot be read: {reason(error)}") from error
    return digest.hexdigest()


def _hash_exemplar(exemplar: ExemplarData) -> str:
    if isinstance(exemplar, np.ndarray):
        exemplar = np.ascontiguousarray(exemplar).tobytes()
    if isinstance(exemplar, bytes):
        return hashlib.sha256(exemplar).hexdigest()
    return _hash_files((_state(as_path(exemplar)),))

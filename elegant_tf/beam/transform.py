"""The transform that edits image files, and what it is made of."""

from __future__ import annotations

import contextlib
import io
import json
import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, TypeAlias

import apache_beam as beam
from apache_beam.io.filesystem import FileMetadata
from apache_beam.io.filesystems import FileSystems
from apache_beam.metrics import Metrics
from apache_beam.ml.inference.base import RunInference
from PIL import Image

from elegant_tf.beam.files import absolute, output_name, read_bytes, write_bytes
from elegant_tf.beam.model import Answer, EditHandler, Export, Ready, Squares, find_version
from elegant_tf.bounds import Bounds
from elegant_tf.catalogue import Exemplar
from elegant_tf.coefficients import swap_coefficients
from elegant_tf.errors import UserError
from elegant_tf.images import READ_FORMATS, BadImage, decode_image, write_image
from elegant_tf.marks import Receipt, xmp_packet
from elegant_tf.serving.client import Client
from elegant_tf.xmp import packet_of

DEAD_LETTERS_FILE = "dead_letters.jsonl"

# Of images, as in exported models: about 0.5 GB of memory while one is read.
MAX_PIXELS = 2**25

# Of images that the model pads to squares, in pixels: four times as many as above.
MAX_PADDED_SIDE = 11585

# Of all exemplars: they travel to the workers with the pipeline, of which Dataflow takes 10 MB.
MAX_EXEMPLAR_BYTES = 5_000_000

_NAMESPACE = "elegant_tf"  # of the counters
_DEAD = "dead_letters"

Named: TypeAlias = tuple[str, bytes | None]
"""The name of an image file, and its content unless that is to be read."""

ExemplarFile: TypeAlias = str | os.PathLike[str] | bytes | Exemplar
"""The path of an image file, its content, or the exemplar of a catalogue."""


class EditImages(beam.PTransform):
    """Transfers attributes from exemplars to image files, with a model that `elegant-tf export` wrote.

    Takes a PCollection, which must be bounded, of the names of image files, of what `apache_beam.io.fileio.MatchFiles`
    finds, or of pairs of a name and the content of a file. Gives a dictionary of two: `edited`, pairs of the name and
    the path of the edited file; and `dead_letters`, pairs of the name and the reason why the image was not edited. Each
    image is in one of them, and the counters `edited` and `dead_letters` of the namespace `elegant_tf` count them.

    Edited files have the names of the images, with `.png` added unless they end in .png, .jpg, .jpeg or .webp. They
    are squares of the model's size, and marked as edited. They appear whole or not at all, and replace existing ones.
    The dead letters are also written to `dead_letters.jsonl` in the same folder.

    Args:
        export: the directory of a version of the exported model, or of its versions, of which the newest is taken.
        exemplars: the path or the bytes of an image file, or an exemplar of a catalogue; or one for each attribute.
        attributes: their names.
        out: the folder for edited files.
        strength: 0 reconstructs, 1 exchanges, more exaggerates; one for all attributes or one for each.
        root: the folder below which the images' folders are kept in `out`; empty: all folders are kept; None: none is.
            Images that would have one name in `out` are not edited.
        mark: whether edited files are marked as edited.
        batch_size: how many images the model edits at once.

    Raises:
        UserError: a file cannot be read, an attribute is unknown, or numbers do not fit together.
    """

    def __init__(
        self,
        export: str,
        exemplars: ExemplarFile | Sequence[ExemplarFile],
        attributes: Sequence[str],
        out: str,
        strength: float | Sequence[float] = 1.0,
        root: str | None = None,
        mark: bool = True,
        batch_size: int = 8,
    ) -> None:
        super().__init__()
        Bounds(at_least=1, at_most=1024).check("batch_size", batch_size)
        if isinstance(exemplars, str | os.PathLike | bytes | Exemplar):
            exemplars = [exemplars]
        self._out, self._root = absolute(out, "out"), root
        path = find_version(export)
        model = Export(path)
        client = Client(model)
        swap_coefficients(client.metadata["attributes"], attributes, len(exemplars), strength)
        read = [_read_exemplar(one, model) for one in exemplars]
        receipt = client.receipt([one.code if isinstance(one, Exemplar) else one for one in read], attributes, strength)
        if sum(len(one) for one in read if isinstance(one, bytes)) > MAX_EXEMPLAR_BYTES:
            raise UserError(
                f"--exemplar: files of more than {MAX_EXEMPLAR_BYTES / 1e6:g} MB in all do not travel to workers: "
                "scale the exemplars down, or take them from a catalogue"
            )
        self._check = _Check(model.squares, receipt if mark else None)
        self._handler = EditHandler(path, read, attributes, receipt.strength, batch_size)

    def expand(self, images: beam.PCollection) -> dict[str, beam.PCollection]:
        named = images | "Name" >> beam.ParDo(_Name(self._root, self._out)).with_outputs(_DEAD, main="named")
        chosen = named.named | beam.GroupByKey() | "Choose" >> beam.ParDo(_Choose()).with_outputs(_DEAD, main="chosen")
        ready = chosen.chosen | "Check" >> beam.ParDo(self._check).with_outputs(_DEAD, main="ready")
        answers = ready.ready | RunInference(self._handler)
        written = answers | "Write" >> beam.ParDo(_Write(self._out)).with_outputs(_DEAD, main="written")
        letters = (
            (named[_DEAD], chosen[_DEAD], ready[_DEAD], written[_DEAD]) | beam.Flatten() | "Count" >> beam.Map(_counted)
        )
        _ = (
            letters
            | "Describe" >> beam.Map(_as_json)
            | beam.io.WriteToText(FileSystems.join(self._out, DEAD_LETTERS_FILE), num_shards=1, shard_name_template="")
        )
        return {"edited": written.written, _DEAD: letters}


class _Name(beam.DoFn):
    """Finds the name of each image in the output folder."""

    def __init__(self, root: str | None, out: str) -> None:
        self._root, self._out = root, out

    def process(self, image: str | FileMetadata | Named) -> Iterator[Any]:
        if isinstance(image, FileMetadata):
            image = image.path
        name, data = (image, None) if isinstance(image, str) else image
        try:
            target = output_name(name, self._root)
            if data is None and _path(self._out, target) == absolute(name, "input"):
                raise UserError("its edited file would replace it: choose another output folder")
        except UserError as error:
            yield _dead_letter(name, error)
        else:
            yield target, (name, data)


class _Choose(beam.DoFn):
    """Passes on one image for each name in the output folder."""

    def process(self, group: tuple[str, Iterable[Named]]) -> Iterator[Any]:
        target, images = group
        one, *others = images
        if all(other == one for other in others):
            yield target, one
            for name, _ in others:
                yield _dead_letter(name, "was given several times; it is edited once")
            return
        names = sorted({name for name, _ in (one, *others)})
        shown = ", ".join(names[:3]) + (", …" if len(names) > 3 else "")
        for name, _ in (one, *others):
            yield _dead_letter(
                name, f"several images would be written to {target} ({shown}): keep their folders with a root"
            )


class _Check(beam.DoFn):
    """Reads each image, so that only good ones join a batch, and makes it as small as the model needs it."""

    def __init__(self, squares: Squares, receipt: Receipt | None) -> None:
        self._squares, self._receipt = squares, receipt

    def process(self, image: tuple[str, Named]) -> Iterator[Any]:
        target, (name, data) = image
        try:
            data = read_bytes(name) if data is None else data
            packet = _packet(name, data, self._squares.resize == "pad")
            square = self._squares.encoded(decode_image(data, name))
        except BadImage as error:
            yield _dead_letter(name, error)
        else:
            yield Ready(name, target, square, xmp_packet(self._receipt, packet) if self._receipt else b"")


class _Write(beam.DoFn):
    """Writes edited images."""

    def __init__(self, out: str) -> None:
        self._out = out
        self._edited = Metrics.counter(_NAMESPACE, "edited")

    def process(self, answer: Answer) -> Iterator[Any]:
        image = answer.image
        if answer.reason:
            yield _dead_letter(image.name, answer.reason)
            return
        path = _path(self._out, image.target)
        write_bytes(path, _encoded(answer))
        self._edited.inc()
        yield image.name, path


def _path(out: str, target: str) -> str:
    return FileSystems.join(out, *target.split("/"))


def _encoded(answer: Answer) -> bytes:
    """The edited image in the format that its name asks for, with its mark."""
    pixels = decode_image(answer.edited, answer.image.name)
    with tempfile.TemporaryDirectory(prefix="elegant_tf-") as folder:
        file = Path(folder, "edited" + PurePosixPath(answer.image.target).suffix)
        write_image(file, pixels, mark=answer.image.mark or None)
        return file.read_bytes()


def _packet(name: str, data: bytes, is_padded: bool) -> bytes | None:
    """The XMP packet of an image, if it has any. Raises BadImage if the image is too large, before it is decoded."""
    width, height, packet = 0, 0, None
    with contextlib.suppress(Exception), Image.open(io.BytesIO(data), formats=READ_FORMATS) as image:
        width, height = image.size
        packet = packet_of(image)
        if packet is None and image.format == "PNG" and width * height <= MAX_PIXELS:
            image.load()  # the packet may stand behind the pixels
            packet = packet_of(image)
    if width * height > MAX_PIXELS or (is_padded and max(width, height) > MAX_PADDED_SIDE):
        side = f", or a side of {MAX_PADDED_SIDE}," if is_padded else ""
        text = f"has {width} x {height} pixels; more than {MAX_PIXELS}{side} are refused: scale it down first"
        raise BadImage(f"{name}: {text}")
    return packet


def _read_exemplar(exemplar: ExemplarFile, model: Export) -> bytes | Exemplar:
    """An exemplar as workers need it: the content of its file, or its code."""
    if isinstance(exemplar, Exemplar):
        model.check(exemplar)
        return exemplar
    name = "exemplar" if isinstance(exemplar, bytes) else os.fspath(exemplar)
    data = exemplar if isinstance(exemplar, bytes) else read_bytes(name)
    decode_image(data, name)
    return data


def _dead_letter(name: str, reason: Exception | str) -> beam.pvalue.TaggedOutput:
    """A dead letter. What is not UTF-8 is written as an escape."""
    name, text = (one.encode("utf-8", "backslashreplace").decode("utf-8") for one in (name, str(reason)))
    return beam.pvalue.TaggedOutput(_DEAD, (name, text.removeprefix(f"{name}: ")))


def _counted(letter: tuple[str, str]) -> tuple[str, str]:
    Metrics.counter(_NAMESPACE, _DEAD).inc()
    return letter


def _as_json(letter: tuple[str, str]) -> str:
    name, reason = letter
    return json.dumps({"name": name, "reason": reason}, ensure_ascii=False)

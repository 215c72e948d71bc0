"""Prepared records: a directory of shards that `elegant-tf prepare` wrote, with random access.

A shard is a TFRecord file of `tf.train.Example`s, with an index of its encoded images beside it. Only the indices are
in memory, and reading an image, in any order, is one read of a file.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from elegant_tf.data.attributes import AttributeTable
from elegant_tf.data.collection import Collection, CollectionSource
from elegant_tf.data.tfrecords import ByteReader
from elegant_tf.errors import UserError
from elegant_tf.images import BadImage, decode_image
from elegant_tf.remote import as_path

MANIFEST_FILE = "manifest.json"
VERSION = 1


class RecordReader:
    """The encoded images of some shards.

    Args:
        paths: the shards.
        shards: int32 `[M]`, the shard of each image.
        offsets, lengths: int64 `[M]`, the place of each encoded image in its shard.
        checksums: uint32 `[M]`, the CRC-32 of each encoded image.
        files: the M file names, for errors.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        shards: np.ndarray,
        offsets: np.ndarray,
        lengths: np.ndarray,
        checksums: np.ndarray,
        files: Sequence[str],
    ) -> None:
        self._reader = ByteReader(paths)
        self._places = np.stack([shards, offsets, lengths, checksums], axis=1).astype(np.int64)
        self._files = files

    def read(self, index: int) -> bytes:
        """The bytes of encoded image `index`. Raises BadImage if they are not those that were written."""
        shard, offset, length, checksum = self._places[index].tolist()
        try:
            data = self._reader.read(shard, offset, length)
        except OSError as error:
            raise BadImage(f"{self._name(index)}: cannot be read: {error.strerror}") from None
        if zlib.crc32(data) != checksum:
            raise BadImage(f"{self._name(index)}: is damaged: prepare the records again")
        return data

    def decode(self, index: int) -> np.ndarray:
        """Image `index`, uint8 RGB `[H, W, 3]`. Raises BadImage if its bytes are not those that were written."""
        return decode_image(self.read(index), self._name(index))

    def _name(self, index: int) -> str:
        return f"{self._reader.name(int(self._places[index, 0]))}: {self._files[index]}"


@dataclass(frozen=True)
class Records:
    """A directory of records: its manifest, its images, and their encoded bytes."""

    manifest: dict[str, Any]
    collection: Collection
    reader: RecordReader

    @property
    def image_size(self) -> int:
        """The side of all images; 0 if their sizes differ."""
        return self.manifest["settings"]["image_size"]


def open_records(data_dir: str | Path) -> Records:
    """Opens a directory that `elegant-tf prepare` wrote.

    Raises:
        UserError: it is not such a directory, it is unfinished, or a shard is missing or has another length.
    """
    root = as_path(data_dir)
    manifest = read_manifest(root)
    shards = manifest["shards"]
    parts = [_read_index(root, shard) for shard in shards]
    joined = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    files = tuple(joined["files"].tolist())
    numbers = np.repeat(np.arange(len(parts)), [len(part["files"]) for part in parts])
    paths = [root / shard["file"] for shard in shards]
    places = joined["offsets"], joined["lengths"], joined["checksums"]
    reader = RecordReader(paths, numbers, *places, files)
    has_landmarks = bool(np.isfinite(joined["landmarks"]).all())
    collection = Collection(
        name="records",
        origin=str(root),
        table=AttributeTable(tuple(manifest["attributes"]), files, joined["labels"]),
        labels_from=str(root),
        images_from=str(root),
        read=reader.decode,
        splits_from=str(root / MANIFEST_FILE),
        splits=joined["splits"],
        landmarks=joined["landmarks"] if has_landmarks else None,
    )
    return Records(manifest, collection, reader)


def read_manifest(root: Path) -> dict[str, Any]:
    """A directory's manifest. Raises UserError if it has none, or one of another version."""
    path = root / MANIFEST_FILE
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        version = manifest["version"]
    except FileNotFoundError:
        raise UserError(
            f"--data_dir={root}: has no {MANIFEST_FILE}: give a directory that `elegant-tf prepare` wrote; "
            "if it was interrupted, the same command continues"
        ) from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path}: cannot be read ({error}): prepare the records again") from None
    if version != VERSION:
        raise UserError(f"{path}: has version {version}, expected {VERSION}: prepare the records again")
    return manifest


def _read_index(root: Path, shard: dict[str, Any]) -> dict[str, np.ndarray]:
    path = root / shard["file"]
    try:
        size = path.stat().st_size
        if size != shard["bytes"]:
            raise UserError(f"{path}: has {size} bytes, expected {shard['bytes']}: prepare the records again")
        return read_index(path)
    except (OSError, ValueError, KeyError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"{path}: it or its index cannot be read ({error}): prepare the records again") from None


def index_path(shard: Path) -> Path:
    """The path of a shard's index."""
    return shard.with_suffix(".npz")


def read_index(shard: Path) -> dict[str, np.ndarray]:
    """A shard's index: files, labels, splits, landmarks, offsets, lengths and checksums."""
    names = ("files", "labels", "splits", "landmarks", "offsets", "lengths", "checksums")
    with index_path(shard).open("rb") as file, np.load(file, allow_pickle=False) as index:
        return {name: index[name] for name in names}


class RecordsSource(CollectionSource):
    """An `EncodedSource` of a split of records whose images have training's size."""

    def __init__(self, records: Records, attributes: Sequence[str], split: str) -> None:
        super().__init__(records.collection, attributes, records.image_size, split)
        self._reader = records.reader

    def encoded(self, index: int) -> bytes:
        """Image `index` as a JPEG or PNG file of the right size. Raises BadImage if it is damaged."""
        return self._reader.read(int(self._rows[index]))

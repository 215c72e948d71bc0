"""From any collection to records: images aligned, resized and encoded once, in shards of TFRecords."""

from __future__ import annotations

import hashlib
import json
import os
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from elegant_tf.data.attributes import SPLITS
from elegant_tf.data.celeba_layout import LANDMARK_FILES
from elegant_tf.data.collection import Collection
from elegant_tf.data.parallel import Progress, cpus, map_in_order
from elegant_tf.data.preparation import Detect, Prepared, Settings, prepare_image
from elegant_tf.data.records import MANIFEST_FILE, VERSION, index_path
from elegant_tf.data.tfrecords import HEAD, TAIL, file_sha256
from elegant_tf.errors import UserError
from elegant_tf.files import atomic_file, write_json

SETTINGS_FILE = "settings.json"


def prepare(
    collection: Collection,
    out: str | Path,
    settings: Settings,
    detect: Detect | None = None,
    workers: int | None = None,
) -> dict[str, Any]:
    """Writes a collection as records into the directory `out`, and returns the manifest.

    Shards appear one by one, each of them whole; after an interruption, the same call continues with the next shard.
    Equal input gives equal files. Images that cannot be read or aligned are left out and named in the manifest.

    Args:
        collection: the labelled images.
        out: a new directory, or one that the same call began.
        settings: how images are prepared.
        detect: finds the five points for the alignment `similarity`, if the collection has no landmarks.
        workers: the number of threads; None: one per processor.

    Raises:
        UserError: labels and images disagree, landmarks are needed and missing, `out` holds something else or cannot
            be written, or no image is left.
    """
    if workers is not None and workers < 1:
        raise UserError(f"--workers={workers}: expected 1 or more")
    collection.check_agreement()
    if settings.alignment == "similarity" and collection.landmarks is None and detect is None:
        raise UserError(_no_landmarks(collection))
    root = Path(out)
    _begin(root, collection, settings)
    total = len(collection.table.files)
    edges = [(start, min(start + settings.shard_images, total)) for start in range(0, total, settings.shard_images)]
    paths = _shard_paths(root, len(edges))
    finished = sum(stop - start for path, (start, stop) in zip(paths, edges, strict=True) if index_path(path).exists())
    progress = Progress("images", total, finished)

    def one(row: int) -> Prepared:
        return prepare_image(collection, row, settings, detect)

    for path, (start, stop) in zip(paths, edges, strict=True):
        if not index_path(path).exists():
            images = map_in_order(one, range(start, stop), workers or cpus())
            _write_shard(path, collection, start, _counted(images, progress))
    progress.close()
    manifest = _manifest(collection, settings, paths)
    if not manifest["images"]:
        reasons = "\n".join(f"  {entry['reason']}" for entry in manifest["dropped"][:3])
        raise UserError(f"--out={root}: no image is left of {total}:\n{reasons}")
    write_json(root / MANIFEST_FILE, manifest)
    return manifest


def _shard_paths(root: Path, count: int) -> list[Path]:
    # Older versions named shards pictures-…; records that one of them began keep this name.
    stem = "pictures" if any(root.glob("pictures-*.tfrecord")) else "images"
    return [root / f"{stem}-{number:05d}-of-{count:05d}.tfrecord" for number in range(count)]


def _no_landmarks(collection: Collection) -> str:
    wanted = LANDMARK_FILES.get(collection.variant)
    if wanted:
        lacking = f"{collection.images_from} holds CelebA's images {collection.variant}, but there is no {wanted}"
    else:
        lacking = f"{collection.origin} has none"
    return (
        f"--alignment=similarity needs five landmarks of each image: {lacking}. Copy it there; find them with "
        "--detect; or choose --alignment=crop"
    )


def _begin(root: Path, collection: Collection, settings: Settings) -> None:
    """Makes the directory, or checks that an earlier call began it with the same input and settings."""
    wanted = {**asdict(settings), "source": _source(collection)}
    path = root / SETTINGS_FILE
    if path.is_file():
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise UserError(f"{path}: cannot be read ({error}): choose another --out") from None
        if found != wanted:
            names = ", ".join(name for name in wanted if found.get(name) != wanted[name])
            raise UserError(f"--out={root}: holds records with another {names}: choose another --out")
        for aside in root.glob(".*.part"):
            aside.unlink()
        return
    if root.exists() and not (root.is_dir() and not any(root.iterdir())):
        raise UserError(f"--out={root}: already exists; name a new or an empty folder")
    write_json(path, wanted)


def _source(collection: Collection) -> dict[str, Any]:
    table = collection.table
    digest = hashlib.sha256("\n".join((*table.names, *table.files)).encode())
    for part in (table.labels, collection.splits, collection.landmarks):
        digest.update(b"" if part is None else np.ascontiguousarray(part).tobytes())
    return {
        "data": collection.name,
        "variant": collection.variant,
        "images": len(table.files),
        "labels_sha256": digest.hexdigest(),
    }


def _counted(images: Iterator[Prepared], progress: Progress) -> Iterator[Prepared]:
    for image in images:
        progress.add()
        yield image


def _write_shard(path: Path, collection: Collection, start: int, images: Iterator[Prepared]) -> None:
    """Writes a shard, then its index: where an index exists, both are whole."""
    rows, dropped, index = [], [], []
    at = 0
    with atomic_file(path) as aside:
        with tf.io.TFRecordWriter(str(aside)) as writer:
            for row, image in enumerate(images, start):
                if image.dropped:
                    dropped.append((collection.table.files[row], image.dropped))
                    continue
                record = _example(collection, row, image).SerializeToString(deterministic=True)
                writer.write(record)
                place = at + HEAD + record.index(image.encoded)
                index.append((place, len(image.encoded), zlib.crc32(image.encoded), image.landmarks))
                rows.append(row)
                at += HEAD + len(record) + TAIL
        _flush_to_disk(aside)
    offsets, lengths, checksums, landmarks = zip(*index, strict=True) if index else ((),) * 4
    with atomic_file(index_path(path)) as aside, open(aside, "wb") as file:
        np.savez(
            file,
            files=np.array([collection.table.files[row] for row in rows], dtype=np.str_),
            labels=collection.table.labels[rows],
            splits=_splits(collection)[rows],
            landmarks=np.array(landmarks, np.float32).reshape(-1, 5, 2),
            offsets=np.array(offsets, np.int64),
            lengths=np.array(lengths, np.int64),
            checksums=np.array(checksums, np.uint32),
            dropped=np.array(dropped, dtype=np.str_).reshape(-1, 2),
        )


def _flush_to_disk(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _splits(collection: Collection) -> np.ndarray:
    if collection.splits is None:
        return np.zeros(len(collection.table.files), np.int8)
    return collection.splits


def _example(collection: Collection, row: int, image: Prepared) -> tf.train.Example:
    table = collection.table
    features = {
        "image": _bytes(image.encoded),
        "file": _bytes(table.files[row].encode()),
        "row": _ints([row]),
        "source": _bytes(collection.name.encode()),
        "split": _bytes(SPLITS[_splits(collection)[row]].encode()),
        "labels": _ints(table.labels[row].tolist()),
        "landmarks": tf.train.Feature(float_list=tf.train.FloatList(value=image.landmarks.ravel())),
    }
    return tf.train.Example(features=tf.train.Features(feature=features))


def _bytes(value: bytes) -> tf.train.Feature:
    return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))


def _ints(values: Sequence[int]) -> tf.train.Feature:
    return tf.train.Feature(int64_list=tf.train.Int64List(value=values))


def _manifest(collection: Collection, settings: Settings, paths: Sequence[Path]) -> dict[str, Any]:
    shards, dropped, labels, splits = [], [], [], []
    for path in paths:
        with np.load(index_path(path), allow_pickle=False) as index:
            dropped += [{"file": file, "reason": reason} for file, reason in index["dropped"].tolist()]
            labels.append(index["labels"])
            splits.append(index["splits"])
        size = path.stat().st_size
        shards.append({"file": path.name, "images": len(labels[-1]), "bytes": size, "sha256": file_sha256(path)})
    joined, split = np.concatenate(labels), np.concatenate(splits)
    totals = joined.sum(axis=0, dtype=np.int64).tolist()
    return {
        "version": VERSION,
        "settings": asdict(settings),
        "source": _source(collection),
        "images": len(joined),
        "splits": {name: int((split == number).sum()) for number, name in enumerate(SPLITS)},
        "attributes": list(collection.table.names),
        "positives": dict(zip(collection.table.names, totals, strict=True)),
        "dropped": dropped,
        "shards": shards,
    }

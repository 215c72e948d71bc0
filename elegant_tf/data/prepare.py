"""From any collection to records: images aligned, resized and encoded once, in shards of TFRecords."""

from __future__ import annotations

import contextlib
import hashlib
import json
import sys
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
import tensorflow as tf

from elegant_tf.data.attributes import SPLITS
from elegant_tf.data.celeba_layout import LANDMARK_FILES
from elegant_tf.data.collection import Collection
from elegant_tf.data.journal import says_how_to_go_on
from elegant_tf.data.parallel import Progress, cpus, map_in_order
from elegant_tf.data.preparation import Detect, Prepared, Settings, prepare_image
from elegant_tf.data.records import MANIFEST_FILE, VERSION, index_path, read_manifest
from elegant_tf.data.tfrecords import HEAD, TAIL
from elegant_tf.errors import UserError
from elegant_tf.files import atomic_file, check_writable, file_sha256, remove_file, remove_parts, sync, write_json
from elegant_tf.remote import as_path
from elegant_tf.runlock import WRITING, locked

SETTINGS_FILE = "settings.json"

R = TypeVar("R")


def prepare(
    collection: Collection,
    out: str | Path,
    settings: Settings,
    detect: Detect | None = None,
    workers: int | None = None,
) -> dict[str, Any]:
    """Writes a collection as records into the directory `out`, and returns the manifest.

    Shards appear one by one, each of them whole; after an interruption, the same call continues with the next shard.
    It also writes a shard again if one of its images, labels or landmarks has changed since, by SHA-256: images that
    were mended are taken in. Equal input gives equal files. Images that cannot be read or aligned are left out and
    named in the manifest.

    Args:
        collection: the labelled images.
        out: a new directory, or one that the same call began.
        settings: how images are prepared.
        detect: finds the five points for the alignment `similarity`, if the collection has no landmarks.
        workers: the number of threads; None: one per processor.

    Raises:
        UserError: labels and images disagree, landmarks are needed and missing, `out` holds something else or cannot
            be written (its finished shards stay), another process writes there, or no image is left.
    """
    if workers is not None and workers < 1:
        raise UserError(f"--workers={workers}: expected 1 or more")
    collection.check_agreement()
    if settings.alignment == "similarity" and collection.landmarks is None and detect is None:
        raise UserError(_no_landmarks(collection))
    if settings.alignment == "similarity":
        _check_landmarks(collection)
    check_writable(out)
    with locked(out, WRITING):
        return _write_records(collection, as_path(out), settings, detect, workers or cpus())


def _write_records(
    collection: Collection, root: Path, settings: Settings, detect: Detect | None, threads: int
) -> dict[str, Any]:
    total = len(collection.table.files)
    _begin(root, collection, settings)
    edges = [(start, min(start + settings.shard_images, total)) for start in range(0, total, settings.shard_images)]
    shards = [Shard(path, range(*edge)) for path, edge in zip(_shard_paths(root, len(edges)), edges, strict=True)]
    todo = [shard for shard in shards if not _is_current(shard, collection, threads)]
    finished = total - sum(len(shard.rows) for shard in todo)
    if finished:
        print(f"{root}: {finished} of {total} images are finished already", file=sys.stderr)
    if not todo:
        with contextlib.suppress(UserError):
            return read_manifest(root)
    remove_file(root / MANIFEST_FILE)  # it is of the shards as they were
    progress = Progress("images", total, finished)

    def one(row: int) -> tuple[Prepared, str]:
        digest = _digest(collection, row)
        return prepare_image(collection, row, settings, detect), digest

    def said() -> str:
        return f"{finished} of {total} images are finished" if finished else ""

    with says_how_to_go_on(said):
        for shard in todo:
            _write_shard(shard, collection, _counted(map_in_order(one, shard.rows, threads), progress))
            finished += len(shard.rows)
        progress.close()
        manifest = _manifest(collection, settings, [shard.path for shard in shards])
        if manifest["images"]:
            write_json(root / MANIFEST_FILE, manifest)
    if not manifest["images"]:
        _take_away(root, shards)
        reasons = "\n".join(f"  {entry['reason']}" for entry in manifest["dropped"][:3])
        raise UserError(f"--out={root}: no image is left of {total}:\n{reasons}")
    return manifest


class Shard(NamedTuple):
    """A shard's file, and the rows of the collection whose images it holds."""

    path: Path
    rows: range


def _is_current(shard: Shard, collection: Collection, threads: int) -> bool:
    """Whether a shard is there, whole, and of the images, labels and landmarks as they are now."""
    try:
        with index_path(shard.path).open("rb") as file, np.load(file, allow_pickle=False) as index:
            if "sources" not in index:  # older versions did not note what a shard is of
                return shard.path.is_file() and not len(index["dropped"])
            found = {name: index[name] for name in ("sources", "bytes")}
        if shard.path.stat().st_size != found["bytes"] or len(found["sources"]) != len(shard.rows):
            return False
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return False
    now = map_in_order(lambda row: _digest(collection, row), shard.rows, threads)
    changed = int((found["sources"] != np.array(list(now), dtype=np.bytes_)).sum())
    if changed:
        print(f"{shard.path}: {changed} images or their labels have changed: it is written again", file=sys.stderr)
    return not changed


def _digest(collection: Collection, row: int) -> str:
    """A digest of all that a record is made of: an image's file, its labels, split and landmarks."""
    digest, path = hashlib.sha256(), collection.image_path(row)
    with contextlib.suppress(OSError):  # reading the image says why
        digest.update(file_sha256(path).encode() if path else b"")
    for column in (collection.table.labels, collection.splits, collection.landmarks):
        digest.update(b"" if column is None else np.ascontiguousarray(column[row]).tobytes())
    return digest.hexdigest()


def _take_away(root: Path, shards: Sequence[Shard]) -> None:
    """Removes shards without images, so that another call may begin anew."""
    for shard in shards:
        remove_file(index_path(shard.path))
        remove_file(shard.path)
    remove_file(root / SETTINGS_FILE)


def _shard_paths(root: Path, count: int) -> list[Path]:
    # Older versions named shards pictures-…; records that one of them began keep this name.
    stem = "pictures" if any(root.glob("pictures-*.tfrecord")) else "images"
    return [root / f"{stem}-{number:05d}-of-{count:05d}.tfrecord" for number in range(count)]


def _check_landmarks(collection: Collection) -> None:
    try:
        collection.check_landmarks()
    except UserError as error:
        raise UserError(f"--data_dir={collection.origin}: {error}; or use --detect or --alignment=crop") from None


def _no_landmarks(collection: Collection) -> str:
    wanted = LANDMARK_FILES.get(collection.variant)
    if collection.landmarks_problem:
        return f"--alignment=similarity needs landmarks: {collection.landmarks_problem}; or choose --alignment=crop"
    if wanted:
        lacking = f"{collection.images_from} holds CelebA's images {collection.variant}, but there is no {wanted}"
    else:
        lacking = f"{collection.origin} has none"
    return (
        f"--alignment=similarity needs five landmarks of each image: {lacking}. Copy it there; find them with "
        "--detect; or choose --alignment=crop"
    )


def _begin(root: Path, collection: Collection, settings: Settings) -> None:
    """Makes the directory, or checks that an earlier call began it with the same images and settings."""
    remove_parts(root)
    wanted = {**asdict(settings), "source": _source(collection)}
    path = root / SETTINGS_FILE
    if path.is_file():
        differences = _differences(_read_settings(path), wanted)
        if differences:
            raise UserError(f"--out={root}: holds other records: {', '.join(differences)}. Choose another --out")
    elif any(path.name != WRITING.lock_file for path in root.iterdir()):
        raise UserError(f"--out={root}: already exists; name a new or an empty folder")
    write_json(path, wanted)


def _read_settings(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return {**found, "source": dict(found["source"])}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path}: cannot be read ({error}): choose another --out") from None


def _differences(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[str]:
    """How the settings and images of an earlier call differ, in words; labels and landmarks may change."""
    names = [name for name in wanted if name != "source"] + ["data", "variant", "images"]
    old, new = ({**settings, **settings["source"]} for settings in (found, wanted))
    said = [f"{name} (there {old.get(name)}, now {new[name]})" for name in names if old.get(name) != new[name]]
    # Older versions have one digest of file names, labels and landmarks.
    digest = "files_sha256" if "files_sha256" in old else "labels_sha256"
    return said or ([] if old.get(digest) == new[digest] else ["names of files or attributes"])


def _source(collection: Collection) -> dict[str, Any]:
    table = collection.table
    names = hashlib.sha256("\n".join((*table.names, *table.files)).encode())
    labels = names.copy()
    for part in (table.labels, collection.splits, collection.landmarks):
        labels.update(b"" if part is None else np.ascontiguousarray(part).tobytes())
    return {
        "data": collection.name,
        "variant": collection.variant,
        "images": len(table.files),
        "files_sha256": names.hexdigest(),
        "labels_sha256": labels.hexdigest(),
    }


def _counted(images: Iterator[R], progress: Progress) -> Iterator[R]:
    for image in images:
        progress.add()
        yield image


def _write_shard(shard: Shard, collection: Collection, images: Iterator[tuple[Prepared, str]]) -> None:
    """Writes a shard and its index, in place of older ones: where an index is, both are whole."""
    rows, dropped, places, sources = [], [], [], []
    index = index_path(shard.path)
    at = 0
    with atomic_file(index) as index_aside, atomic_file(shard.path) as aside:
        with tf.io.TFRecordWriter(str(aside)) as writer:
            for row, (image, source) in zip(shard.rows, images, strict=True):
                sources.append(source)
                if image.dropped:
                    dropped.append((collection.table.files[row], image.dropped))
                    continue
                record = _example(collection, row, image).SerializeToString(deterministic=True)
                writer.write(record)
                place = at + HEAD + record.index(image.encoded)
                places.append((place, len(image.encoded), zlib.crc32(image.encoded), image.landmarks))
                rows.append(row)
                at += HEAD + len(record) + TAIL
        sync(aside)
        offsets, lengths, checksums, landmarks = zip(*places, strict=True) if places else ((),) * 4
        with index_aside.open("wb") as file:
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
                sources=np.array(sources, dtype=np.bytes_),
                bytes=np.int64(at),
            )
        remove_file(index)


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
        with index_path(path).open("rb") as file, np.load(file, allow_pickle=False) as index:
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

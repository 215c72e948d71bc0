"""CelebA through TensorFlow Datasets: already prepared, or made of the files in its manual folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError

from elegant_tf.data.attributes import SPLITS, AttributeTable
from elegant_tf.data.batches import untuned
from elegant_tf.data.collection import Collection
from elegant_tf.data.landmarks import COLUMNS, POINTS
from elegant_tf.data.listing import is_file
from elegant_tf.data.tfrecords import ByteReader, find_records
from elegant_tf.errors import UserError
from elegant_tf.images import BadImage, decode_image
from elegant_tf.remote import as_path, is_remote

NAME = "celeb_a"
MANUAL_FILES = (
    "img_align_celeba.zip",
    "list_attr_celeba.txt",
    "list_landmarks_align_celeba.txt",
    "list_eval_partition.txt",
    "identity_CelebA.txt",
)
_BATCH = 1024


def open_tfds(data_dir: str | Path = "") -> Collection:
    """Opens CelebA as TensorFlow Datasets stores it. Images are read in any order, without a shuffle buffer.

    Args:
        data_dir: a prepared directory (the one with dataset_info.json, or one above it); or a folder with
            `MANUAL_FILES`, in which a prepared directory is then made; empty: TensorFlow Datasets' own directory.

    Raises:
        UserError: tensorflow-datasets is not installed, or the data is neither prepared nor can be, or is unreadable.
    """
    tfds = _import_tfds()
    root = as_path(data_dir) if str(data_dir) else Path(tfds.core.constants.DATA_DIR)
    builder = _builder(tfds, root)
    if builder.info.file_format.value != "tfrecord":
        raise UserError(f"--data_dir={root}: is in the format {builder.info.file_format.value}; expected tfrecord")
    infos = builder.info.splits
    present = [split for split in SPLITS if split in infos]
    paths = [str(path) for split in present for path in infos[split].filepaths]
    places = [find_records(path) for path in paths]
    numbers = np.repeat(np.arange(len(places)), [len(part) for part in places])
    joined = np.concatenate(places)
    names = tuple(sorted(builder.info.features["attributes"]))  # the features are in any order
    labels, landmarks = _read_labels(paths, names, len(joined))
    splits = np.repeat([SPLITS.index(split) for split in present], [infos[split].num_examples for split in present])
    if len(splits) != len(joined):
        raise UserError(f"--data_dir={root}: holds {len(joined)} examples where its info says {len(splits)}")
    reader = ByteReader(paths)
    files = tuple(f"{SPLITS[split]}-{row:06d}" for row, split in enumerate(splits.tolist()))

    def read(index: int) -> np.ndarray:
        file, (offset, length) = int(numbers[index]), joined[index].tolist()
        try:
            example = tf.train.Example.FromString(reader.read(file, offset, length))
            data = example.features.feature["image"].bytes_list.value[0]
        except (OSError, IndexError, DecodeError) as error:
            raise BadImage(f"{reader.name(file)}, record {files[index]}: is damaged ({error})") from None
        return decode_image(data, f"{reader.name(file)}, record {files[index]}")

    return Collection(
        name="tfds",
        origin=str(root),
        table=AttributeTable(names, files, labels),
        labels_from=str(root),
        images_from=str(root),
        read=read,
        splits_from=str(root),
        splits=splits.astype(np.int8),
        landmarks=landmarks,
        variant="aligned",
    )


def _import_tfds() -> Any:
    try:
        import tensorflow_datasets as tfds
    except ImportError as error:
        raise UserError(f"--data=tfds needs tensorflow-datasets: pip install 'elegant-tf[tfds]' ({error})") from None
    return tfds


def _builder(tfds: Any, root: Path) -> Any:
    prepared = _find_prepared(root)
    if prepared is not None:
        try:
            return tfds.builder_from_directory(str(prepared))
        except Exception as error:  # its formats and versions raise many kinds
            raise UserError(f"--data_dir={prepared}: TensorFlow Datasets cannot read it: {error}") from error
    if is_remote(root):
        raise UserError(f"--data_dir={root}: holds no prepared {NAME}; prepare it on this machine, then copy it there")
    manual = next((folder for folder in (root, root / "downloads" / "manual") if _has_manual(folder)), None)
    if manual is None:
        raise UserError(
            f"--data_dir={root}: holds neither a prepared {NAME} nor the files of its manual folder "
            f"({', '.join(MANUAL_FILES)}): put them there"
        )
    return _make(tfds, root, manual)


def _find_prepared(root: Path) -> Path | None:
    is_file(root / "dataset_info.json")  # glob passes over a folder that cannot be read
    for pattern in ("", "*", f"{NAME}/*"):
        for path in sorted(root.glob(f"{pattern}/dataset_info.json" if pattern else "dataset_info.json"), reverse=True):
            return path.parent
    return None


def _has_manual(folder: Path) -> bool:
    return all((folder / name).is_file() for name in MANUAL_FILES)


def _make(tfds: Any, root: Path, manual: Path) -> Any:
    try:
        builder = tfds.builder(NAME, data_dir=str(root))
        config = tfds.download.DownloadConfig(manual_dir=str(manual))
        builder.download_and_prepare(download_config=config)
    except Exception as error:  # a checksum, the disk or the network: its text says which
        raise UserError(f"--data_dir={manual}: TensorFlow Datasets cannot make {NAME} of it: {error}") from error
    return builder


def _read_labels(paths: list[str], names: tuple[str, ...], count: int) -> tuple[np.ndarray, np.ndarray]:
    """Labels int8 `[M, n]` and landmarks float32 `[M, 5, 2]` of all examples, in order, without decoding images."""
    features = {f"attributes/{name}": tf.io.FixedLenFeature([], tf.int64) for name in names}
    features |= {f"landmarks/{name}": tf.io.FixedLenFeature([], tf.int64) for name in COLUMNS}

    def parse(records: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        values = tf.io.parse_example(records, features)
        labels = tf.stack([values[f"attributes/{name}"] for name in names], axis=1)
        return tf.cast(labels, tf.int8), tf.stack([values[f"landmarks/{name}"] for name in COLUMNS], axis=1)

    batches = untuned(tf.data.TFRecordDataset(paths).batch(_BATCH).map(parse, num_parallel_calls=tf.data.AUTOTUNE))
    try:
        rows = list(batches.as_numpy_iterator())
    except tf.errors.OpError as error:
        raise UserError(f"{as_path(paths[0]).parent}: its records cannot be read: {error.message}") from None
    labels = np.concatenate([part for part, _ in rows]).reshape(count, len(names))
    landmarks = np.concatenate([part for _, part in rows]).astype(np.float32)
    return labels, landmarks.reshape(count, len(POINTS), 2)

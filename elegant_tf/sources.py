"""Where labelled images come from: drawn faces, or one of the kinds of data on disk."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from elegant_tf.config import DataConfig
from elegant_tf.data.celeba_layout import open_celeba, open_celeba_hq
from elegant_tf.data.collection import Collection, CollectionSource, check_split
from elegant_tf.data.records import RecordsSource, open_records
from elegant_tf.data.source import Source
from elegant_tf.data.table_folder import open_table_folder
from elegant_tf.errors import UserError
from elegant_tf.paths import any_path, find_beside
from elegant_tf.synthetic.source import FacesSource

# The kinds of data on disk, as --data names them, and what --data_dir is for each.
DATA = {
    "celeba": "the folder that holds CelebA's images and label files",
    "celeba_hq": "the folder that holds CelebA-HQ-img and CelebAMask-HQ-attribute-anno.txt",
    "tfds": "TensorFlow Datasets' directory, or its manual folder",
    "folder": "the folder of the images and their table",
    "records": "a directory that `elegant-tf prepare` wrote",
}


def open_source(
    data: DataConfig, attributes: Sequence[str], image_size: int, split: str = "train", seed: int = 0
) -> Source:
    """The source that a data group describes.

    Args:
        data: where images come from.
        attributes: which of the labels, in order.
        image_size: side of the images in pixels.
        split: `train`, `validation` or `test`.
        seed: of drawn faces.

    Raises:
        UserError: the data cannot be used; the text names the flag or file and the cure.
    """
    check_split(split)
    return _SOURCES.get(data.kind, _select)(data, attributes, image_size, split, seed)


def open_collection(kind: str, data_dir: str | Path, labels_file: str | Path = "") -> Collection:
    """Everything in the place that --data and --data_dir name. Raises UserError if it cannot be used."""
    if kind not in DATA:
        raise UserError(f"--data={kind}: expected {', '.join(DATA)}")
    if not str(data_dir) and kind != "tfds":
        raise UserError(f"--data={kind} needs --data_dir: {DATA[kind]}")
    if str(data_dir):
        data_dir = any_path(data_dir, "data_dir")
    if str(labels_file):
        labels_file = find_beside(any_path(labels_file, "labels_file"), data_dir)
    return _COLLECTIONS[kind](data_dir, labels_file)


def _draw(data: DataConfig, attributes: Sequence[str], image_size: int, split: str, seed: int) -> Source:
    return FacesSource(attributes, image_size, seed, data.faces_count, split, workers=None)


def _read_records(data: DataConfig, attributes: Sequence[str], image_size: int, split: str, seed: int) -> Source:
    records = open_records(data.data_dir)
    if records.image_size == image_size:
        return RecordsSource(records, attributes, split)
    return CollectionSource(records.collection, attributes, image_size, split)


def _select(data: DataConfig, attributes: Sequence[str], image_size: int, split: str, seed: int) -> Source:
    collection = open_collection(data.kind, data.data_dir, data.labels_file)
    return CollectionSource(collection, attributes, image_size, split)


def _open_tfds(data_dir: str | Path) -> Collection:
    from elegant_tf.data.tfds_celeba import open_tfds  # loads TensorFlow

    return open_tfds(data_dir)


# Kinds whose sources are more than a selection from a collection.
_SOURCES: Mapping[str, Callable[[DataConfig, Sequence[str], int, str, int], Source]] = {
    "faces": _draw,
    "records": _read_records,
}

_COLLECTIONS: Mapping[str, Callable[[str | Path, str | Path], Collection]] = {
    "celeba": lambda data_dir, _: open_celeba(data_dir),
    "celeba_hq": lambda data_dir, _: open_celeba_hq(data_dir),
    "tfds": lambda data_dir, _: _open_tfds(data_dir),
    "folder": open_table_folder,
    "records": lambda data_dir, _: open_records(data_dir).collection,
}

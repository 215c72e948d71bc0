"""Where labelled images come from: the embedded faces, or one of the kinds of data on disk."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from elegant_tf.data import faces
from elegant_tf.data.attributes import SPLITS, AttributeTable, find_attributes
from elegant_tf.data.celeba_layout import open_celeba, open_celeba_hq
from elegant_tf.data.collection import Collection, CollectionSource, check_polarities, check_split
from elegant_tf.data.records import RecordsSource, open_records
from elegant_tf.data.table_folder import open_table_folder
from elegant_tf.errors import UserError

# The kinds of data on disk, as --data names them, and what --data_dir is for each.
DATA = {
    "celeba": "the folder that holds CelebA's images and label files",
    "celeba_hq": "the folder that holds CelebA-HQ-img and CelebAMask-HQ-attribute-anno.txt",
    "tfds": "TensorFlow Datasets' directory, or its manual folder",
    "folder": "the folder of the images and their table",
    "records": "a directory that `elegant-tf prepare` wrote",
}


class Source(Protocol):
    """M labelled images of one size.

    `attributes`: the n chosen names, in order; `labels`: int8 `[M, n]` in {0, 1}, its columns `attributes`.
    """

    name: str
    attributes: tuple[str, ...]
    labels: np.ndarray
    image_size: int

    def load(self, index: int) -> np.ndarray:
        """Image `index`, uint8 RGB `[S, S, 3]`. Raises BadImage, a UserError, if it cannot be read."""
        ...


class CelebASource(CollectionSource):
    """A folder in CelebA's layout: images, list_attr_celeba.txt and, if it has one, list_eval_partition.txt.

    Images are cut to their centred square and resized to `image_size`. Without a partition file every image
    is of the train split. `files`: the M file names, beside what every `Source` has.

    Raises:
        UserError: a folder or file is missing or malformed, labels and images disagree, or an attribute is
            unknown or the same for every image of the split.
    """

    def __init__(self, data_dir: str | Path, attributes: Sequence[str], image_size: int, split: str = "train") -> None:
        check_split(split)
        super().__init__(open_celeba(data_dir), attributes, image_size, split)


class FacesSource:
    """The embedded faces, `count` of them drawn into memory by `workers` processes.

    The faces of the three splits are different ones, whatever `count`. `faces`: the M faces, and `images`: their
    pictures, uint8 `[M, S, S, 3]`, beside what every `Source` has. `workers` None: one for each CPU if that pays.
    Raises UserError on an attribute that the faces do not have, or that all of them or none has.
    """

    name = "faces"

    def __init__(
        self,
        attributes: Sequence[str],
        image_size: int,
        seed: int,
        count: int,
        split: str = "train",
        workers: int | None = None,
    ) -> None:
        check_split(split)
        columns = find_attributes(attributes, faces.ATTRIBUTES)
        self.faces = [faces.make_face(seed, face_index(split, index)) for index in range(count)]
        labels = np.array([face.labels for face in self.faces], np.int8).reshape(count, -1)[:, columns]
        table = AttributeTable(tuple(attributes), (), labels)
        check_polarities(table, f"{count} faces of seed {seed}, {split} split")
        self.attributes = table.names
        self.labels = table.labels
        self.image_size = image_size
        self.images = faces.draw_faces(self.faces, image_size, workers)

    def load(self, index: int) -> np.ndarray:
        """Image `index`, uint8 RGB `[S, S, 3]`."""
        return self.images[index]


def face_index(split: str, index: int) -> int:
    """The number, for `faces.make_face`, of a split's face `index`: splits take turns, so they never meet."""
    return index * len(SPLITS) + SPLITS.index(split)


def open_source(
    data: str,
    data_dir: str | Path,
    attributes: Sequence[str],
    image_size: int,
    seed: int = 0,
    count: int = 8000,
    split: str = "train",
    workers: int | None = None,
    labels_file: str | Path = "",
) -> Source:
    """The source that the flag --data names.

    `seed`, `count` and `workers` are for faces, `data_dir` is for all others, `labels_file` for folder. Raises
    UserError as the sources do.
    """
    if data == "faces":
        return FacesSource(attributes, image_size, seed, count, split, workers)
    if data not in DATA:
        raise UserError(f"--data={data}: expected faces or {', '.join(DATA)}")
    check_split(split)
    if data == "records" and str(data_dir):
        records = open_records(data_dir)
        if records.image_size == image_size:
            return RecordsSource(records, attributes, split)
        return CollectionSource(records.collection, attributes, image_size, split)
    return CollectionSource(open_collection(data, data_dir, labels_file), attributes, image_size, split)


def open_collection(data: str, data_dir: str | Path, labels_file: str | Path = "") -> Collection:
    """All that the place named by --data and --data_dir holds. Raises UserError if it cannot be used."""
    if data not in DATA:
        raise UserError(f"--data={data}: expected {', '.join(DATA)}")
    if not str(data_dir) and data != "tfds":
        raise UserError(f"--data={data} needs --data_dir: {DATA[data]}")
    if data == "celeba":
        return open_celeba(data_dir)
    if data == "celeba_hq":
        return open_celeba_hq(data_dir)
    if data == "folder":
        return open_table_folder(data_dir, labels_file)
    if data == "records":
        return open_records(data_dir).collection
    from elegant_tf.data.tfds_celeba import open_tfds

    return open_tfds(data_dir)

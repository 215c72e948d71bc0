"""Where labelled images come from: a folder in CelebA's layout, or the embedded faces."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from elegant_tf.data import faces
from elegant_tf.data.attributes import (
    SPLITS,
    AttributeTable,
    find_attributes,
    read_attributes,
    read_partition,
)
from elegant_tf.errors import UserError
from elegant_tf.images import read_image, resize

ATTRIBUTES_FILE = "list_attr_celeba.txt"
PARTITION_FILE = "list_eval_partition.txt"

# Where CelebA's own download, its users and the authors' alignment script put things in the data directory.
_IMAGE_FOLDERS = ("img_align_celeba", "Img/img_align_celeba", "images", "align_5p")
_TEXT_FOLDERS = ("", "Anno", "Eval")
_IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff")


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


class CelebASource:
    """A folder in CelebA's layout: images, list_attr_celeba.txt and, if it has one, list_eval_partition.txt.

    Images are cut to their centred square and resized to `image_size`. Without a partition file every image
    is of the train split. `files`: the M file names, beside what every `Source` has.

    Raises:
        UserError: a folder or file is missing or malformed, labels and images disagree, or an attribute is
            unknown or the same for every image of the split.
    """

    name = "celeba"

    def __init__(self, data_dir: str | Path, attributes: Sequence[str], image_size: int, split: str = "train") -> None:
        _check_split(split)
        root = Path(data_dir)
        if not root.is_dir():
            raise UserError(f"--data_dir={root}: no such directory: give the folder that holds {ATTRIBUTES_FILE}")
        labels_path = _find_text(root, ATTRIBUTES_FILE)
        if labels_path is None:
            raise UserError(f"--data_dir={root}: has no {ATTRIBUTES_FILE}: copy CelebA's annotation files there")
        self._folder, names = _find_images(root)
        table = read_attributes(labels_path)
        _check_agreement(labels_path, table.files, self._folder, names)
        table = _take_split(root, table.select(attributes), split)
        _check_polarities(table, f"{labels_path}, {split} split")
        self.attributes = table.names
        self.labels = table.labels
        self.files = table.files
        self.image_size = image_size

    def load(self, index: int) -> np.ndarray:
        """Image `index`, uint8 RGB `[S, S, 3]`. Raises BadImage, a UserError, if it cannot be read."""
        return resize(read_image(self._folder / self.files[index]), self.image_size)


class FacesSource:
    """The embedded faces, `count` of them drawn into memory by `workers` processes.

    The faces of the three splits are different ones, whatever `count`. `faces`: the M faces, beside what
    every `Source` has. `workers` None: one for each CPU if that pays. Raises UserError on an attribute that
    the faces do not have, or that all of them or none has.
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
        _check_split(split)
        columns = find_attributes(attributes, faces.ATTRIBUTES)
        self.faces = [faces.make_face(seed, face_index(split, index)) for index in range(count)]
        labels = np.array([face.labels for face in self.faces], np.int8).reshape(count, -1)[:, columns]
        table = AttributeTable(tuple(attributes), (), labels)
        _check_polarities(table, f"{count} faces of seed {seed}, {split} split")
        self.attributes = table.names
        self.labels = table.labels
        self.image_size = image_size
        self._images = faces.draw_faces(self.faces, image_size, workers)

    def load(self, index: int) -> np.ndarray:
        """Image `index`, uint8 RGB `[S, S, 3]`."""
        return self._images[index]


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
) -> Source:
    """The source that the flag --data names.

    `seed`, `count` and `workers` are for faces, `data_dir` is for CelebA. Raises UserError as the sources do.
    """
    if data == "faces":
        return FacesSource(attributes, image_size, seed, count, split, workers)
    if data != "celeba":
        raise UserError(f"--data={data}: expected faces or celeba")
    if not str(data_dir):
        raise UserError("--data=celeba needs --data_dir: the folder that holds CelebA's images and label files")
    return CelebASource(data_dir, attributes, image_size, split)


def _check_split(split: str) -> None:
    if split not in SPLITS:
        raise UserError(f"unknown split {split!r}: expected one of {', '.join(SPLITS)}")


def _find_text(root: Path, name: str) -> Path | None:
    paths = (root / folder / name for folder in _TEXT_FOLDERS)
    return next((path for path in paths if path.is_file()), None)


def _find_images(root: Path) -> tuple[Path, set[str]]:
    """The first of the known image folders, and the names of the images in it."""
    folder = next((root / name for name in _IMAGE_FOLDERS if (root / name).is_dir()), None)
    if folder is None:
        raise UserError(f"--data_dir={root}: has no folder of images: expected one of {', '.join(_IMAGE_FOLDERS)}")
    with os.scandir(folder) as entries:
        names = {entry.name for entry in entries if entry.name.lower().endswith(_IMAGE_SUFFIXES)}
    if not names:
        raise UserError(f"{folder}: holds no images ({', '.join(_IMAGE_SUFFIXES)}): unpack CelebA's images there")
    return folder, names


def _check_agreement(labels_path: Path, files: Sequence[str], folder: Path, names: set[str]) -> None:
    missing = [file for file in files if file not in names]
    if missing:
        raise UserError(
            f"{folder}: lacks {len(missing)} of the {len(files)} images in {labels_path} "
            f"({_first(missing)}): copy them there, or take their lines out of the label file"
        )
    unlabelled = sorted(names.difference(files))
    if unlabelled:
        raise UserError(
            f"{labels_path}: has no labels for {len(unlabelled)} of the {len(names)} images in {folder} "
            f"({_first(unlabelled)}): add their lines, or move these images away"
        )


def _first(names: Sequence[str], count: int = 3) -> str:
    return ", ".join(names[:count]) + (", …" if len(names) > count else "")


def _take_split(root: Path, table: AttributeTable, split: str) -> AttributeTable:
    path = _find_text(root, PARTITION_FILE)
    if path is None:
        if split != "train":
            raise UserError(f"--data_dir={root}: has no {PARTITION_FILE}, so all images are for training, not {split}")
        return table
    partition = read_partition(path)
    absent = [file for file in table.files if file not in partition]
    if absent:
        raise UserError(
            f"{path}: has no line for {len(absent)} of the {len(table.files)} labelled images "
            f"({_first(absent)}): add them with {_split_numbers()}"
        )
    number = SPLITS.index(split)
    rows = np.flatnonzero([partition[file] == number for file in table.files])
    if not len(rows):
        raise UserError(f"{path}: puts no image in the {split} split; expected some with {number}")
    return table.take(rows)


def _split_numbers() -> str:
    return ", ".join(f"{number} ({split})" for number, split in enumerate(SPLITS))


def _check_polarities(table: AttributeTable, where: str) -> None:
    """Every update needs images with its attribute and images without."""
    positives = table.labels.sum(axis=0, dtype=np.int64)
    for name, count in zip(table.names, positives, strict=True):
        if count in (0, len(table.labels)):
            lacking = "with" if count == 0 else "without"
            raise UserError(
                f"--attributes: {where}: no image {lacking} {name} among {len(table.labels)}: "
                "drop the attribute or give more images"
            )

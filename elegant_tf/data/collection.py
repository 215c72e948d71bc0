"""Labelled images of any size, their splits, and the source of a chosen part of them."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from elegant_tf.data.attributes import SPLITS, AttributeTable
from elegant_tf.errors import UserError
from elegant_tf.images import read_image, resize

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff")


@dataclass(frozen=True)
class Collection:
    """M labelled images of any size.

    `name`: what --data calls the kind; `origin`: the directory; `table`: files and labels of all attributes;
    `labels_from`: the file of the labels; `images_from`: the folder or file of the images; `read`: maps an index to
    uint8 RGB `[H, W, 3]`, or raises BadImage; `splits`: int8 `[M]`, positions in `SPLITS`, or None if all images are
    for training; `splits_from`: the file or column that holds the splits, or should; `landmarks`: float32 `[M, 5, 2]`,
    x and y in pixels of the image, or None; `variant`: the variant of CelebA, if it is one; `missing`: files with
    labels but no image; `unlabelled`: files with an image but no labels.
    """

    name: str
    origin: str
    table: AttributeTable
    labels_from: str
    images_from: str
    read: Callable[[int], np.ndarray]
    splits_from: str
    splits: np.ndarray | None = None
    landmarks: np.ndarray | None = None
    variant: str = ""
    missing: tuple[str, ...] = ()
    unlabelled: tuple[str, ...] = ()

    def check_agreement(self) -> None:
        """Raises UserError unless every row of labels has its image and every image its labels."""
        total = len(self.table.files)
        if self.missing:
            raise UserError(
                f"{self.images_from}: lacks {len(self.missing)} of the {total} images in {self.labels_from} "
                f"({first(self.missing)}): copy them there, or take their lines out of the label file"
            )
        if self.unlabelled:
            images = total + len(self.unlabelled)
            raise UserError(
                f"{self.labels_from}: has no labels for {len(self.unlabelled)} of the {images} images in "
                f"{self.images_from} ({first(self.unlabelled)}): add their lines, or move these images away"
            )

    def rows(self, split: str) -> np.ndarray:
        """The positions of a split's images, `[m]`. Raises UserError if the split is empty."""
        check_split(split)
        if self.splits is None:
            if split != "train":
                raise UserError(
                    f"--data_dir={self.origin}: has no {self.splits_from}, so all images are for training, not {split}"
                )
            return np.arange(len(self.table.files))
        number = SPLITS.index(split)
        rows = np.flatnonzero(self.splits == number)
        if not len(rows):
            raise UserError(
                f"{self.splits_from}: puts no image in the {split} split; expected some with {number} or {split}"
            )
        return rows


class CollectionSource:
    """A `Source` of some attributes of one split of a collection, cut to the centred square and resized.

    In addition to a `Source`'s fields: `files`, the M file names.

    Raises:
        UserError: labels and images disagree, the split is empty, or an attribute is unknown or the same for every
            image of the split.
    """

    def __init__(self, collection: Collection, attributes: Sequence[str], image_size: int, split: str) -> None:
        collection.check_agreement()
        table = collection.table.select(attributes)
        self._collection = collection
        self._rows = collection.rows(split)
        table = table.take(self._rows)
        check_polarities(table, f"{collection.labels_from}, {split} split")
        self.name = collection.name
        self.attributes = table.names
        self.labels = table.labels
        self.files = table.files
        self.image_size = image_size

    def load(self, index: int) -> np.ndarray:
        """Image `index`, uint8 RGB `[S, S, 3]`. Raises BadImage, a UserError, if it cannot be read."""
        return resize(self._collection.read(int(self._rows[index])), self.image_size)


def read_from(folder: Path, files: Sequence[str]) -> Callable[[int], np.ndarray]:
    """A collection's `read` for image files in a folder."""
    return lambda index: read_image(folder / files[index])


def list_images(folder: Path) -> set[str]:
    """The paths, with /, of the image files in a folder and below it; links to folders are not followed.

    Raises UserError if the folder has no images.
    """
    names = set()
    for place, _, files in os.walk(folder):
        inner = os.path.relpath(place, folder).replace(os.sep, "/")
        prefix = "" if inner == "." else inner + "/"
        names.update(prefix + file for file in files if is_image_name(file))
    if not names:
        raise UserError(f"{folder}: holds no images ({', '.join(IMAGE_SUFFIXES)}): unpack the images there")
    return names


def is_image_name(file: str) -> bool:
    """Whether a file has an image's name, other than the hidden ones that macOS leaves (._a.jpg)."""
    return file.lower().endswith(IMAGE_SUFFIXES) and not file.startswith("._")


def disagreement(files: Sequence[str], images: set[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The labelled files without an image, and the images without labels."""
    return tuple(file for file in files if file not in images), tuple(sorted(images.difference(files)))


def check_split(split: str) -> None:
    """Raises UserError unless `split` is in `SPLITS`."""
    if split not in SPLITS:
        raise UserError(f"unknown split {split!r}: expected one of {', '.join(SPLITS)}")


def check_polarities(table: AttributeTable, where: str) -> None:
    """Raises UserError unless every attribute has images with it and images without it: every update needs both."""
    positives = table.labels.sum(axis=0, dtype=np.int64)
    for name, count in zip(table.names, positives, strict=True):
        if count in (0, len(table.labels)):
            lacking = "with" if count == 0 else "without"
            raise UserError(
                f"--attributes: {where}: no image {lacking} {name} among {len(table.labels)}: "
                "drop the attribute or give more images"
            )


def first(names: Sequence[str], count: int = 3) -> str:
    """The first few names, for messages."""
    return ", ".join(names[:count]) + (", …" if len(names) > count else "")

"""Labelled images of any size, their splits, and the source of a chosen part of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from elegant_tf.data.attributes import SPLITS, AttributeTable, label_words
from elegant_tf.data.landmarks import check_convention
from elegant_tf.data.listing import first_names
from elegant_tf.data.tables import TABLE_SUFFIXES, read_table
from elegant_tf.errors import UserError
from elegant_tf.images import BadImage, read_image, resize, upright_size
from elegant_tf.remote import as_path

_SAMPLE = 32  # images whose sizes tell the convention of landmarks


@dataclass(frozen=True)
class Collection:
    """M labelled images of any size.

    `name`: what --data calls the kind; `origin`: the directory; `table`: files and labels of all attributes;
    `labels_from`: the file of the labels; `images_from`: the folder or file of the images; `read`: maps an index to
    uint8 RGB `[H, W, 3]`, or raises BadImage; `splits`: int8 `[M]`, positions in `SPLITS`, or None if all images are
    for training; `splits_from`: the file or column that holds the splits, or should; `landmarks`: float32 `[M, 5, 2]`,
    x and y in pixels of the image, NaN where an image has none, or None; `landmarks_problem`: why they cannot be read;
    `variant`: the variant of CelebA, if it is one; `images`: the paths of the image files in `images_from`, "" where
    one is missing, or nothing if the images are not files; `missing`: files with labels but no image; `unreadable`:
    those whose images have a format that is not read; `unlabelled`: files with an image but no labels; `hint`: which
    images a missing file could be.
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
    landmarks_problem: str = ""
    variant: str = ""
    images: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    unreadable: tuple[str, ...] = ()
    unlabelled: tuple[str, ...] = ()
    hint: str = ""

    def check_agreement(self) -> None:
        """Raises UserError unless every row of labels has its image and every image its labels."""
        disagreements = self.disagreements()
        if disagreements:
            raise UserError(next(iter(disagreements.values())))

    def disagreements(self) -> dict[str, str]:
        """How labels and images disagree, by the kinds missing, unreadable and unlabelled."""
        total = len(self.table.files)
        texts = {}
        if self.missing:
            hint = f"; {self.hint}" if self.hint else ""
            texts["missing"] = (
                f"{self.images_from}: lacks {len(self.missing)} of the {total} images in {self.labels_from} "
                f"({first_names(self.missing)}{hint}): copy them there, or take their lines out of the label file"
            )
        if self.unreadable:
            texts["unreadable"] = (
                f"{self.images_from}: {len(self.unreadable)} of the {total} images in {self.labels_from} are there, "
                f"but in a format that is not read ({first_names(self.unreadable)}): save them as JPEG or PNG"
            )
        if self.unlabelled:
            images = total - len(self.missing) - len(self.unreadable) + len(self.unlabelled)
            texts["unlabelled"] = (
                f"{self.labels_from}: has no labels for {len(self.unlabelled)} of the {images} images in "
                f"{self.images_from} ({first_names(self.unlabelled)}): add their lines, or move these images away"
            )
        return texts

    def check_landmarks(self) -> None:
        """Raises UserError if the landmarks follow another convention than `landmarks`; looks at some images."""
        if self.landmarks is None:
            return
        check_convention(self.landmarks, ())
        step = -(-len(self.landmarks) // _SAMPLE)
        sizes = {row: size for row in range(0, len(self.landmarks), step) if (size := self._size(row))}
        check_convention(self.landmarks[list(sizes)], list(sizes.values()))

    def _size(self, row: int) -> tuple[int, int] | None:
        """The width and height of an image, or None if it cannot be read, which is reported when it is needed."""
        path = self.image_path(row)
        if path:
            return upright_size(path)
        try:
            return self.read(row).shape[1::-1]
        except BadImage:
            return None

    @property
    def columns(self) -> tuple[str, ...]:
        """The attributes, and the columns of a table that hold no labels."""
        is_table = Path(self.labels_from).suffix.lower() in TABLE_SUFFIXES
        return (*self.table.names, *(self.table.flaws if is_table else ()))

    def column(self, name: str) -> np.ndarray:
        """What one of `columns` says of every image, str `[M]`: yes or no if it holds labels, otherwise its text.

        Text is read from the file again, since most uses do not need it. Raises UserError if two columns have this
        name, or if the file cannot be read.
        """
        if name in self.table.names:
            return label_words(self.table.column(name))
        table = read_table(Path(self.labels_from))
        if table.header.count(name) > 1:
            raise UserError(self.table.flaws[name].text)
        return np.array(table.column(name))

    def image_path(self, row: int) -> Path | None:
        """The file of an image, or None if it is missing or not a file."""
        return as_path(self.images_from) / self.images[row] if self.images and self.images[row] else None

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

    @property
    def columns(self) -> tuple[str, ...]:
        """Those of the collection."""
        return self._collection.columns

    def column(self, name: str) -> np.ndarray:
        """What one of `columns` says of every image of the split, str `[M]`. Raises as `Collection.column` does."""
        return self._collection.column(name)[self._rows]

    def load(self, index: int) -> np.ndarray:
        """Image `index`, uint8 RGB `[S, S, 3]`. Raises BadImage, a UserError, if it cannot be read."""
        return resize(self._collection.read(int(self._rows[index])), self.image_size)


def read_from(folder: Path, images: Sequence[str], files: Sequence[str]) -> Callable[[int], np.ndarray]:
    """A collection's `read` for image files in a folder; `files`: their names where images are missing."""
    return lambda index: read_image(folder / (images[index] or files[index]))


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

"""CelebA's folder, aligned or in the wild, and the folder of CelebA-HQ with CelebAMask-HQ's attributes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from elegant_tf.data.attributes import SPLITS, AttributeTable, read_attributes, read_lines, read_partition
from elegant_tf.data.collection import Collection, read_from
from elegant_tf.data.landmarks import COLUMNS, read_landmarks, select_points
from elegant_tf.data.listing import (
    Listing,
    check_folder,
    find_images,
    first_names,
    is_file,
    list_files,
    match_names,
    no_images,
)
from elegant_tf.data.tables import (
    SPLIT_COLUMNS,
    landmark_columns,
    read_files,
    read_labels,
    read_points,
    read_splits,
    read_table,
)
from elegant_tf.errors import UserError
from elegant_tf.remote import as_path

IMAGE_FOLDER = "img_align_celeba"
ATTRIBUTES_FILE = "list_attr_celeba.txt"
PARTITION_FILE = "list_eval_partition.txt"
HQ_ATTRIBUTES_FILE = "CelebAMask-HQ-attribute-anno.txt"
HQ_MAPPING_FILE = "CelebA-HQ-to-CelebA-mapping.txt"

# Variant of CelebA -> the file of its landmarks, in pixels of that variant's images.
LANDMARK_FILES = {"aligned": "list_landmarks_align_celeba.txt", "in the wild": "list_landmarks_celeba.txt"}
ALIGNED_SIZE = (178, 218)
_LOOKED_AT = 16  # images whose sizes identify the variant

# Where CelebA's own download, its users, Kaggle's copy and the authors' alignment script put files.
_IMAGE_FOLDERS = (IMAGE_FOLDER, "Img/img_align_celeba", "images", "align_5p", "img_celeba", "Img/img_celeba")
_HQ_IMAGE_FOLDERS = ("CelebA-HQ-img", "images", "celeba_hq", "data1024x1024", "data256x256")
_TEXT_FOLDERS = ("", "Anno", "Eval")
_TABLE_SUFFIX = ".csv"  # of Kaggle's copy, instead of .txt


def open_celeba(data_dir: str | Path) -> Collection:
    """Opens a folder in CelebA's layout: images, list_attr_celeba.txt and, optionally, partition and landmarks.

    The three may be CSV tables with a header, as in Kaggle's copy.

    Raises:
        UserError: a folder or file is missing, malformed or cannot be read.
    """
    root, labels_path = _root(data_dir, ATTRIBUTES_FILE)
    listing = _list_images(root, _IMAGE_FOLDERS)
    table = _read_labels(labels_path)
    found = find_images(listing, table.files)
    variant = _variant(listing.folder, [image for image in found.images if image])
    landmarks, problem = _landmarks(root, variant, table.files)
    return Collection(
        name="celeba",
        origin=str(root),
        table=table,
        labels_from=str(labels_path),
        images_from=str(listing.folder),
        read=read_from(listing.folder, found.images, table.files),
        splits_from=str(_find_text(root, PARTITION_FILE) or PARTITION_FILE),
        splits=_splits(root, table.files),
        landmarks=landmarks,
        landmarks_problem=problem,
        variant=variant,
        **found._asdict(),
    )


def open_celeba_hq(data_dir: str | Path) -> Collection:
    """Opens CelebAMask-HQ's folder: CelebA-HQ-img/0.jpg … and CelebAMask-HQ-attribute-anno.txt.

    Images keep their split in CelebA if CelebA-HQ-to-CelebA-mapping.txt and list_eval_partition.txt are there.

    Raises:
        UserError: a folder or file is missing or malformed.
    """
    root, labels_path = _root(data_dir, HQ_ATTRIBUTES_FILE)
    listing = _list_images(root, _HQ_IMAGE_FOLDERS)
    table = _read_labels(labels_path)
    found = find_images(listing, table.files)
    splits = None
    mapping = _find_text(root, HQ_MAPPING_FILE)
    if mapping is not None and _find_text(root, PARTITION_FILE) is not None:
        splits = _splits(root, _mapped(mapping, table.files))
    return Collection(
        name="celeba_hq",
        origin=str(root),
        table=table,
        labels_from=str(labels_path),
        images_from=str(listing.folder),
        read=read_from(listing.folder, found.images, table.files),
        splits_from=str(_find_text(root, PARTITION_FILE) or PARTITION_FILE) if splits is not None else HQ_MAPPING_FILE,
        splits=splits,
        **found._asdict(),
    )


def _root(data_dir: str | Path, labels_file: str) -> tuple[Path, Path]:
    root = as_path(data_dir)
    check_folder(root, "data_dir", f"give the folder that holds {labels_file}")
    labels_path = _find_text(root, labels_file)
    if labels_path is None:
        table = Path(labels_file).with_suffix(_TABLE_SUFFIX)
        raise UserError(f"--data_dir={root}: has no {labels_file} or {table}: copy the annotation files there")
    return root, labels_path


def _find_text(root: Path, name: str) -> Path | None:
    """A text file, or the table that Kaggle's copy has instead."""
    names = (name, Path(name).with_suffix(_TABLE_SUFFIX))
    paths = (root / folder / one for one in names for folder in _TEXT_FOLDERS)
    return next((path for path in paths if is_file(path)), None)


def _list_images(root: Path, folders: Sequence[str]) -> Listing:
    """The files in the first of the known folders that holds images; it may be in another of its own name."""
    present = [root / name for name in folders if (root / name).is_dir()]
    if not present:
        raise UserError(f"--data_dir={root}: has no folder of images: expected one of {', '.join(folders)}")
    for place in (place for folder in present for place in (folder, folder / folder.name)):
        listing = list_files(place, below=False) if place.is_dir() else Listing(place)
        if listing.images:
            return listing
    raise no_images(present[0])


def _read_labels(path: Path) -> AttributeTable:
    if path.suffix != _TABLE_SUFFIX:
        return read_attributes(path)
    table = read_table(path)
    file_column, files = read_files(table)
    return read_labels(table, files, others=[file_column])


def _landmarks(root: Path, variant: str, files: Sequence[str]) -> tuple[np.ndarray | None, str]:
    """The landmarks, or why there are none; training does not need them."""
    try:
        path = _find_text(root, LANDMARK_FILES[variant]) if variant else None
        if path is None:
            return None, ""
        if path.suffix != _TABLE_SUFFIX:
            return read_landmarks(path, files), ""
        table = read_table(path)
        columns = landmark_columns(table)
        if not columns:
            raise UserError(f"{path}, line 1: expected the columns {', '.join(COLUMNS)}")
        _, names = read_files(table)
        return select_points(path, names, read_points(table, columns), files), ""
    except UserError as error:
        return None, str(error)


def _variant(folder: Path, files: Sequence[str]) -> str:
    """The variant of CelebA that the sizes of some images identify; empty if all have one other size."""
    sizes = set()
    for place in np.linspace(0, max(len(files) - 1, 0), min(_LOOKED_AT, len(files))).astype(int):
        try:
            with (folder / files[place]).open("rb") as file, Image.open(file) as image:
                sizes.add(image.size)
        except Exception:  # noqa: BLE001 - reading the image will report what is wrong with it
            continue
    if sizes == {ALIGNED_SIZE}:
        return "aligned"
    if len(sizes) > 1:
        return "in the wild"
    return "aligned" if (folder.name == IMAGE_FOLDER) else ""


def _splits(root: Path, files: Sequence[str]) -> np.ndarray | None:
    path = _find_text(root, PARTITION_FILE)
    if path is None:
        return None
    partition = _read_partition(path)
    pairs = match_names(files, partition)
    absent = [file for file in files if file not in pairs]
    if absent:
        numbers = ", ".join(f"{number} ({split})" for number, split in enumerate(SPLITS))
        raise UserError(
            f"{path}: has no line for {len(absent)} of the {len(files)} labelled images "
            f"({first_names(absent)}): add them with {numbers}"
        )
    return np.array([partition[pairs[file]] for file in files], np.int8)


def _read_partition(path: Path) -> dict[str, int]:
    if path.suffix != _TABLE_SUFFIX:
        return read_partition(path)
    table = read_table(path)
    _, files = read_files(table)
    position = table.find(SPLIT_COLUMNS)
    if position is None:
        raise UserError(f"{path}, line 1: expected a column {' or '.join(SPLIT_COLUMNS)}")
    return dict(zip(files, read_splits(table, position).tolist(), strict=True))


def _mapped(path: Path, files: Sequence[str]) -> list[str]:
    """CelebA's file names of CelebA-HQ's files. A line is an index, CelebA's index and CelebA's file name."""
    originals = {}
    for number, line in enumerate(read_lines(path)[1:], 2):
        words = line.split()
        if len(words) != 3:
            raise UserError(f"{path}, line {number}: expected an index, CelebA's index and its file; found {line!r}")
        originals[words[0]] = words[2]
    absent = [file for file in files if Path(file).stem not in originals]
    if absent:
        raise UserError(f"{path}: has no line for {len(absent)} of the {len(files)} images ({first_names(absent)})")
    return [originals[Path(file).stem] for file in files]

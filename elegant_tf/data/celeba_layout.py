"""CelebA's folder, aligned or in the wild, and the folder of CelebA-HQ with CelebAMask-HQ's attributes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from elegant_tf.data.attributes import SPLITS, read_attributes, read_lines, read_partition
from elegant_tf.data.collection import (
    IMAGE_SUFFIXES,
    Collection,
    disagreement,
    first,
    is_image_name,
    read_from,
)
from elegant_tf.data.landmarks import read_landmarks
from elegant_tf.errors import UserError

IMAGE_FOLDER = "img_align_celeba"
ATTRIBUTES_FILE = "list_attr_celeba.txt"
PARTITION_FILE = "list_eval_partition.txt"
HQ_ATTRIBUTES_FILE = "CelebAMask-HQ-attribute-anno.txt"
HQ_MAPPING_FILE = "CelebA-HQ-to-CelebA-mapping.txt"

# Variant of CelebA -> the file of its landmarks, in pixels of that variant's images.
LANDMARK_FILES = {"aligned": "list_landmarks_align_celeba.txt", "in the wild": "list_landmarks_celeba.txt"}
ALIGNED_SIZE = (178, 218)
_LOOKED_AT = 16  # images whose sizes identify the variant

# Where CelebA's own download, its users and the authors' alignment script put files in the data directory.
_IMAGE_FOLDERS = (IMAGE_FOLDER, "Img/img_align_celeba", "images", "align_5p", "img_celeba", "Img/img_celeba")
_HQ_IMAGE_FOLDERS = ("CelebA-HQ-img", "images", "celeba_hq", "data1024x1024", "data256x256")
_TEXT_FOLDERS = ("", "Anno", "Eval")


def open_celeba(data_dir: str | Path) -> Collection:
    """Opens a folder in CelebA's layout: images, list_attr_celeba.txt and, optionally, partition and landmarks.

    Raises:
        UserError: a folder or file is missing or malformed.
    """
    root, labels_path = _root(data_dir, ATTRIBUTES_FILE)
    folder, names = _find_images(root, _IMAGE_FOLDERS)
    table = read_attributes(labels_path)
    missing, unlabelled = disagreement(table.files, names)
    present = [file for file in table.files if file in names]
    variant = _variant(folder, present)
    landmarks_path = _find_text(root, LANDMARK_FILES[variant]) if variant else None
    return Collection(
        name="celeba",
        origin=str(root),
        table=table,
        labels_from=str(labels_path),
        images_from=str(folder),
        read=read_from(folder, table.files),
        splits_from=str(_find_text(root, PARTITION_FILE) or PARTITION_FILE),
        splits=_splits(root, table.files),
        landmarks=read_landmarks(landmarks_path, table.files) if landmarks_path else None,
        variant=variant,
        missing=missing,
        unlabelled=unlabelled,
    )


def open_celeba_hq(data_dir: str | Path) -> Collection:
    """Opens CelebAMask-HQ's folder: CelebA-HQ-img/0.jpg … and CelebAMask-HQ-attribute-anno.txt.

    Images keep their split in CelebA if CelebA-HQ-to-CelebA-mapping.txt and list_eval_partition.txt are there.

    Raises:
        UserError: a folder or file is missing or malformed.
    """
    root, labels_path = _root(data_dir, HQ_ATTRIBUTES_FILE)
    folder, names = _find_images(root, _HQ_IMAGE_FOLDERS)
    table = read_attributes(labels_path)
    missing, unlabelled = disagreement(table.files, names)
    splits = None
    mapping = _find_text(root, HQ_MAPPING_FILE)
    if mapping is not None and _find_text(root, PARTITION_FILE) is not None:
        splits = _splits(root, _mapped(mapping, table.files))
    return Collection(
        name="celeba_hq",
        origin=str(root),
        table=table,
        labels_from=str(labels_path),
        images_from=str(folder),
        read=read_from(folder, table.files),
        splits_from=str(_find_text(root, PARTITION_FILE) or PARTITION_FILE) if splits is not None else HQ_MAPPING_FILE,
        splits=splits,
        missing=missing,
        unlabelled=unlabelled,
    )


def _root(data_dir: str | Path, labels_file: str) -> tuple[Path, Path]:
    root = Path(data_dir)
    if not root.is_dir():
        raise UserError(f"--data_dir={root}: no such directory: give the folder that holds {labels_file}")
    labels_path = _find_text(root, labels_file)
    if labels_path is None:
        raise UserError(f"--data_dir={root}: has no {labels_file}: copy the annotation files there")
    return root, labels_path


def _find_text(root: Path, name: str) -> Path | None:
    paths = (root / folder / name for folder in _TEXT_FOLDERS)
    return next((path for path in paths if path.is_file()), None)


def _find_images(root: Path, folders: Sequence[str]) -> tuple[Path, set[str]]:
    """The first of the known image folders, and the names of the images in it."""
    folder = next((root / name for name in folders if (root / name).is_dir()), None)
    if folder is None:
        raise UserError(f"--data_dir={root}: has no folder of images: expected one of {', '.join(folders)}")
    with os.scandir(folder) as entries:
        names = {entry.name for entry in entries if is_image_name(entry.name)}
    if not names:
        raise UserError(f"{folder}: holds no images ({', '.join(IMAGE_SUFFIXES)}): unpack the images there")
    return folder, names


def _variant(folder: Path, files: Sequence[str]) -> str:
    """The variant of CelebA that the sizes of some images identify; empty if all have one other size."""
    sizes = set()
    for place in np.linspace(0, max(len(files) - 1, 0), min(_LOOKED_AT, len(files))).astype(int):
        try:
            with Image.open(folder / files[place]) as image:
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
    partition = read_partition(path)
    absent = [file for file in files if file not in partition]
    if absent:
        numbers = ", ".join(f"{number} ({split})" for number, split in enumerate(SPLITS))
        raise UserError(
            f"{path}: has no line for {len(absent)} of the {len(files)} labelled images "
            f"({first(absent)}): add them with {numbers}"
        )
    return np.array([partition[file] for file in files], np.int8)


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
        raise UserError(f"{path}: has no line for {len(absent)} of the {len(files)} images ({first(absent)})")
    return [originals[Path(file).stem] for file in files]

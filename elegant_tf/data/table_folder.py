"""A user's own images: a folder with a table (CSV, TSV or Parquet) of files and attributes."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from elegant_tf.data.attributes import check_unique
from elegant_tf.data.collection import Collection, read_from
from elegant_tf.data.listing import check_folder, find_images, is_file, list_files, no_images, printable
from elegant_tf.data.tables import (
    SPLIT_COLUMNS,
    TABLE_SUFFIXES,
    Table,
    landmark_columns,
    read_files,
    read_labels,
    read_points,
    read_splits,
    read_table,
)
from elegant_tf.errors import UserError
from elegant_tf.remote import as_path, is_remote


def open_table_folder(data_dir: str | Path, labels_file: str | Path = "") -> Collection:
    """Opens a folder of images, which may lie in folders below it, and the table of their attributes.

    The table has a header, whose names are read in any case. A column with a name in `FILE_COLUMNS`, else the first
    column, holds the images' paths, relative to the folder. Every column of labels (1 or 0, 1 or -1, yes or no, true or
    false) is an attribute. The column `split` or `partition` (train, validation, test) and the ten `lefteye_x` …
    `rightmouth_y` are optional; others are known to `Collection.columns` alone.

    Args:
        data_dir: the folder.
        labels_file: the table, as given or in the folder; empty: the only one in the folder.

    Raises:
        UserError: the folder has no table or no image, one of them cannot be read, or the table is malformed; the text
            names file and line.
    """
    root = as_path(data_dir)
    check_folder(root, "data_dir", "give the folder of the images")
    table = read_table(_named_table(root, as_path(labels_file)) if str(labels_file) else _find_table(root))
    file_column, files = read_files(table)
    listing = list_files(root)
    if not listing.images:
        raise no_images(root)
    check_unique(table.path, listing.canonical(files), table.lines)
    found = find_images(listing, files)
    split, points = table.find(SPLIT_COLUMNS), landmark_columns(table)
    landmarks, problem = _landmarks(table, points)
    return Collection(
        name="folder",
        origin=str(root),
        table=read_labels(table, files, others=[file_column, split, *points]),
        labels_from=str(table.path),
        images_from=str(root),
        read=read_from(root, found.images, files),
        splits_from=f"column {SPLIT_COLUMNS[0]!r} in {table.path.name}" if split is None else str(table.path),
        splits=None if split is None else read_splits(table, split),
        landmarks=landmarks,
        landmarks_problem=problem,
        **found._asdict(),
    )


def _landmarks(table: Table, columns: list[int]) -> tuple[np.ndarray | None, str]:
    """The landmarks, or why there are none; training does not need them."""
    try:
        return (read_points(table, columns), "") if columns else (None, "")
    except UserError as error:
        return None, str(error)


def _named_table(root: Path, path: Path) -> Path:
    beside = path if is_remote(path) else root / path
    if not is_file(path) and is_file(beside):
        return beside
    if path.suffix.lower() in TABLE_SUFFIXES and not is_file(path):
        raise UserError(f"--labels_file={path}: no such file, here or in {root}")
    return path


def _find_table(root: Path) -> Path:
    found = sorted(
        path
        for path in root.iterdir()
        if path.suffix.lower() in TABLE_SUFFIXES and not path.name.startswith((".", "~")) and is_file(path)
    )
    if len(found) != 1:
        names = ", ".join(printable(path.name) for path in found) or "none"
        raise UserError(
            f"--data_dir={root}: expected one table (.csv, .tsv, .parquet), found {names}: name it with --labels_file"
        )
    return found[0]

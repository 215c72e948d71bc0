"""A user's own images: a folder with a table (CSV, TSV or Parquet) of files and attributes."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from elegant_tf.data.attributes import SPLITS, AttributeTable, check_unique, read_text
from elegant_tf.data.collection import Collection, disagreement, list_images, read_from
from elegant_tf.data.landmarks import COLUMNS, POINTS
from elegant_tf.errors import UserError

TABLE_SUFFIXES = (".csv", ".tsv", ".parquet")
FILE_COLUMNS = ("file", "filename", "file_name", "image", "image_id", "path", "name")
SPLIT_COLUMN = "split"

_VALUES = {"1": 1, "0": 0, "-1": -1, "true": 1, "false": 0}
_SPLIT_VALUES = {**{name: number for number, name in enumerate(SPLITS)}, "0": 0, "1": 1, "2": 2, "val": 1, "valid": 1}


class Table(NamedTuple):
    """A table's text: `path`; `header`; `rows`, each as long as the header; `lines`, the first line of each row."""

    path: Path
    header: tuple[str, ...]
    rows: Sequence[Sequence[str]]
    lines: Sequence[int]

    def column(self, name: str) -> list[str]:
        """One column, its values without surrounding spaces."""
        position = self.header.index(name)
        return [row[position].strip() for row in self.rows]


def open_table_folder(data_dir: str | Path, labels_file: str | Path = "") -> Collection:
    """Opens a folder of images, which may lie in folders below it, and the table of their attributes.

    The table has a header. A column with a name in `FILE_COLUMNS`, else the first column, holds the images' paths,
    relative to the folder. Every column of 0 and 1, -1 and 1, or true and false only is an attribute. The column
    `split` (train, validation, test) and the ten `lefteye_x` … `rightmouth_y` are optional; others are ignored.

    Args:
        data_dir: the folder.
        labels_file: the table; empty: the only one in the folder.

    Raises:
        UserError: the folder has no table or no image, or the table is malformed; the text names file and line.
    """
    root = Path(data_dir)
    if not root.is_dir():
        raise UserError(f"--data_dir={root}: no such directory: give the folder of the images")
    table = read_table(Path(labels_file) if str(labels_file) else _find_table(root))
    file_column = next((name for name in table.header if name.lower() in FILE_COLUMNS), table.header[0])
    files = [file.replace("\\", "/").removeprefix("./") for file in table.column(file_column)]
    _check_files(table, files)
    missing, unlabelled = disagreement(files, list_images(root))
    return Collection(
        name="folder",
        origin=str(root),
        table=_attributes(table, files, file_column),
        labels_from=str(table.path),
        images_from=str(root),
        read=read_from(root, files),
        splits_from=str(table.path)
        if SPLIT_COLUMN in table.header
        else f"column {SPLIT_COLUMN!r} in {table.path.name}",
        splits=_splits(table) if SPLIT_COLUMN in table.header else None,
        landmarks=_landmarks(table) if set(COLUMNS) <= set(table.header) else None,
        missing=missing,
        unlabelled=unlabelled,
    )


def read_table(path: Path) -> Table:
    """Reads a .csv, .tsv or .parquet file. Raises UserError, with file and line, on anything else."""
    if path.suffix.lower() not in TABLE_SUFFIXES:
        raise UserError(f"--labels_file={path}: expected a name ending in {', '.join(TABLE_SUFFIXES)}")
    table = _read_parquet(path) if path.suffix.lower() == ".parquet" else _read_text(path)
    header = table.header
    if len(set(header)) < len(header) or not all(header):
        raise UserError(f"{path}, line 1: expected names of columns, each once; found {', '.join(header)[:80]!r}")
    if not table.rows:
        raise UserError(f"{path}: has no rows")
    return table


def _find_table(root: Path) -> Path:
    found = sorted(path for path in root.iterdir() if path.suffix.lower() in TABLE_SUFFIXES and path.is_file())
    if len(found) != 1:
        names = ", ".join(path.name for path in found) or "none"
        raise UserError(
            f"--data_dir={root}: expected one table (.csv, .tsv, .parquet), found {names}: name it with --labels_file"
        )
    return found[0]


def _read_text(path: Path) -> Table:
    text = read_text(path)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=_delimiter(path, text), strict=True)
    rows, lines = [], []
    try:
        begins = 1
        for row in reader:
            if row:
                rows.append(row)
                lines.append(begins)
            begins = reader.line_num + 1
    except csv.Error as error:
        raise UserError(f"{path}, line {reader.line_num}: {error}") from None
    if not rows:
        raise UserError(f"{path}: is empty: expected a header and rows")
    for row, line in zip(rows, lines, strict=True):
        if len(row) != len(rows[0]):
            raise UserError(
                f"{path}, line {line}: has {len(row)} values, the header {len(rows[0])}; "
                "a name with a comma needs quotes"
            )
    return Table(path, tuple(name.strip() for name in rows[0]), rows[1:], lines[1:])


def _delimiter(path: Path, text: str) -> str:
    """Spreadsheets write .csv files with semicolons where the comma is the decimal sign."""
    if path.suffix.lower() == ".tsv":
        return "\t"
    header = text.partition("\n")[0]
    return ";" if ";" in header and "," not in header else ","


def _read_parquet(path: Path) -> Table:
    try:
        from pyarrow import lib, parquet
    except ImportError:
        raise UserError(f"{path}: reading Parquet needs pyarrow: pip install 'elegant-tf[parquet]'") from None
    try:
        table = parquet.read_table(path)
    except (OSError, lib.ArrowException) as error:
        raise UserError(f"{path}: cannot be read: {error}") from None
    columns = [["" if value is None else str(value) for value in column.to_pylist()] for column in table.columns]
    rows = list(zip(*columns, strict=True))
    return Table(path, tuple(table.column_names), rows, range(2, len(rows) + 2))


def _check_files(table: Table, files: Sequence[str]) -> None:
    for file, line in zip(files, table.lines, strict=True):
        if not file:
            raise UserError(f"{table.path}, line {line}: names no file")
    check_unique(table.path, files, table.lines)


def _attributes(table: Table, files: Sequence[str], file_column: str) -> AttributeTable:
    names, columns = [], []
    for name in table.header:
        if name not in (file_column, SPLIT_COLUMN, *COLUMNS):
            column = _labels(table, name)
            if column is not None:
                names.append(name)
                columns.append(column)
    if not names:
        raise UserError(f"{table.path}: has no column of 0 and 1, -1 and 1, or true and false: expected attributes")
    return AttributeTable(tuple(names), tuple(files), np.stack(columns, axis=1))


def _labels(table: Table, name: str) -> np.ndarray | None:
    """int8 `[M]` in {0, 1}; None if the column is not an attribute."""
    words = [word.lower() for word in table.column(name)]
    odd = [place for place, word in enumerate(words) if word not in _VALUES]
    if len(odd) * 2 > len(words):
        return None
    if odd:
        place = odd[0]
        raise UserError(
            f"{table.path}, line {table.lines[place]}: {name} is {words[place]!r} where others are 0 or 1: "
            "use 0 and 1, -1 and 1, or true and false"
        )
    values = np.array([_VALUES[word] for word in words], np.int8)
    if {"0", "-1"} <= set(words):
        line = table.lines[words.index("0")]
        raise UserError(f"{table.path}, line {line}: {name} has 0 where other lines have -1: use one of them, not both")
    return (values == 1).astype(np.int8)


def _splits(table: Table) -> np.ndarray:
    words = [word.lower() for word in table.column(SPLIT_COLUMN)]
    for word, line in zip(words, table.lines, strict=True):
        if word not in _SPLIT_VALUES:
            raise UserError(f"{table.path}, line {line}: {SPLIT_COLUMN} is {word!r}; expected {', '.join(SPLITS)}")
    return np.array([_SPLIT_VALUES[word] for word in words], np.int8)


def _landmarks(table: Table) -> np.ndarray:
    numbers = []
    for name in COLUMNS:
        for word, line in zip(table.column(name), table.lines, strict=True):
            try:
                numbers.append(float(word))
            except ValueError:
                raise UserError(f"{table.path}, line {line}: {name} is {word!r}; expected a number") from None
    points = np.array(numbers, np.float32).reshape(len(COLUMNS), -1).T
    return points.reshape(-1, len(POINTS), 2)

"""Tables that people write, in CSV, TSV or Parquet: their columns as text, and the labels in them."""

from __future__ import annotations

import csv
import io
import unicodedata
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from elegant_tf.data.attributes import (
    SPLITS,
    AttributeTable,
    LabelColumn,
    check_unique,
    collect_labels,
    label_codes,
    read_text,
)
from elegant_tf.data.landmarks import COLUMNS, POINTS
from elegant_tf.errors import UserError

TABLE_SUFFIXES = (".csv", ".tsv", ".parquet")
FILE_COLUMNS = ("file", "filename", "file_name", "image", "image_id", "path", "filepath", "file_path", "name")
SPLIT_COLUMNS = ("split", "partition")

_SPLIT_VALUES = {**{name: number for number, name in enumerate(SPLITS)}, "0": 0, "1": 1, "2": 2, "val": 1, "valid": 1}
_LARGEST_FIELD = 2**31 - 1  # bytes: what csv takes everywhere


@dataclass(frozen=True)
class Table:
    """A table as text.

    `path`; `header`, whose names may be empty or repeated; `lines`: the first line of each row; `read`: maps the
    position of a column to its values, without surrounding blanks.
    """

    path: Path
    header: tuple[str, ...]
    lines: Sequence[int]
    read: Callable[[int], list[str]]

    def column(self, name: str) -> list[str]:
        """One column, its values without surrounding blanks."""
        return self.read(self.header.index(name))

    def find(self, names: Sequence[str]) -> int | None:
        """The position of the column with one of these names, the first if it can be, in any case.

        Raises UserError if two columns have this name.
        """
        lower = [name.lower() for name in self.header]
        name = next((name for name in names if name in lower), None)
        if name is None:
            return None
        if lower.count(name) > 1:
            raise UserError(f"{self.path}, line 1: names two columns {name!r}: expected one")
        return lower.index(name)


def read_table(path: Path) -> Table:
    """Reads a .csv, .tsv or .parquet file. Raises UserError, with file and line, on anything else."""
    if path.suffix.lower() not in TABLE_SUFFIXES:
        raise UserError(f"--labels_file={path}: expected a name ending in {', '.join(TABLE_SUFFIXES)}")
    table = _read_parquet(path) if path.suffix.lower() == ".parquet" else _read_text(path)
    if not any(table.header):
        raise UserError(f"{path}, line 1: expected names of columns; found {', '.join(table.header)[:80]!r}")
    if not table.lines:
        raise UserError(f"{path}: has no rows")
    return table


def read_files(table: Table) -> tuple[int, list[str]]:
    """The position of the column of file names, and the names. Raises UserError, with the line, on an empty name."""
    found = table.find(FILE_COLUMNS)
    position = next(place for place, name in enumerate(table.header) if name) if found is None else found
    files = [file.replace("\\", "/").removeprefix("./") for file in table.read(position)]
    for file, line in zip(files, table.lines, strict=True):
        if not file:
            raise UserError(f"{table.path}, line {line}: names no file")
    check_unique(table.path, files, table.lines)
    return position, files


def read_labels(table: Table, files: Sequence[str], others: Collection[int | None]) -> AttributeTable:
    """The labels in all columns but `others`. Raises UserError if no column holds labels."""
    places = [place for place, name in enumerate(table.header) if name and place not in others]
    return collect_labels(table.path, files, table.lines, (_label_column(table, place) for place in places))


def read_splits(table: Table, position: int) -> np.ndarray:
    """int8 `[M]`, positions in `SPLITS`. Raises UserError, with the line, on anything else."""
    words = [word.lower().removesuffix(".0") for word in table.read(position)]
    for word, line in zip(words, table.lines, strict=True):
        if word not in _SPLIT_VALUES:
            raise UserError(
                f"{table.path}, line {line}: {table.header[position]} is {word!r}; expected {', '.join(SPLITS)}"
            )
    return np.array([_SPLIT_VALUES[word] for word in words], np.int8)


def landmark_columns(table: Table) -> list[int]:
    """The positions of the ten columns of landmarks, in the order of `COLUMNS`; an empty list if some are missing."""
    lower = [name.lower() for name in table.header]
    return [lower.index(name) for name in COLUMNS] if set(COLUMNS) <= set(lower) else []


def read_points(table: Table, positions: Sequence[int]) -> np.ndarray:
    """Landmarks float32 `[M, 5, 2]`, NaN where cells are empty. Raises UserError, with the line, on other words."""
    columns = []
    for position in positions:
        words = table.read(position)
        try:
            columns.append([float(word or "nan") for word in words])
        except ValueError:
            raise UserError(_no_number(table, position, words)) from None
    return np.array(columns, np.float32).T.reshape(-1, len(POINTS), 2)


def _no_number(table: Table, position: int, words: Sequence[str]) -> str:
    for word, line in zip(words, table.lines, strict=True):
        try:
            float(word or "nan")
        except ValueError:
            return f"{table.path}, line {line}: {table.header[position]} is {word!r}; expected a number"
    raise AssertionError("all words are numbers")


def _label_column(table: Table, position: int) -> LabelColumn:
    return LabelColumn(table.header[position], label_codes(table.read(position)), lambda row: table.read(position)[row])


def _read_text(path: Path) -> Table:
    text = read_text(path)
    csv.field_size_limit(_LARGEST_FIELD)  # a column that nobody chose may hold anything
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
    body = rows[1:]
    return Table(path, _names(rows[0]), lines[1:], lambda position: [row[position].strip() for row in body])


def _delimiter(path: Path, text: str) -> str:
    """Spreadsheets write .csv files with semicolons where the comma is the decimal sign, or with tabs."""
    header = text.partition("\n")[0]
    if path.suffix.lower() == ".tsv":
        return "\t"
    return next((sign for sign in ",;\t" if sign in header), ",")


def _read_parquet(path: Path) -> Table:
    try:
        from pyarrow import lib, parquet
    except ImportError:
        raise UserError(f"{path}: reading Parquet needs pyarrow: pip install 'elegant-tf[parquet]'") from None
    try:
        with path.open("rb") as file:
            table = parquet.read_table(file)
    except (OSError, lib.ArrowException) as error:
        raise UserError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from None

    def read(position: int) -> list[str]:
        return [_text(value) for value in table.column(position).to_pylist()]

    return Table(path, _names(table.column_names), range(2, table.num_rows + 2), read)


def _text(value: object) -> str:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace").strip()
    return "" if value is None else str(value).strip()


def _names(header: Sequence[str]) -> tuple[str, ...]:
    return tuple(unicodedata.normalize("NFC", name.strip()) for name in header)

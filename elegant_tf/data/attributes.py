"""CelebA's attribute names, and the readers of its label and partition files."""

from __future__ import annotations

import codecs
import contextlib
import itertools
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

from elegant_tf.errors import UserError
from elegant_tf.names import find_attributes
from elegant_tf.remote import as_path

# The columns of list_attr_celeba.txt, in the file's order.
CELEBA_ATTRIBUTES: tuple[str, ...] = (
    "5_o_Clock_Shadow",
    "Arched_Eyebrows",
    "Attractive",
    "Bags_Under_Eyes",
    "Bald",
    "Bangs",
    "Big_Lips",
    "Big_Nose",
    "Black_Hair",
    "Blond_Hair",
    "Blurry",
    "Brown_Hair",
    "Bushy_Eyebrows",
    "Chubby",
    "Double_Chin",
    "Eyeglasses",
    "Goatee",
    "Gray_Hair",
    "Heavy_Makeup",
    "High_Cheekbones",
    "Male",
    "Mouth_Slightly_Open",
    "Mustache",
    "Narrow_Eyes",
    "No_Beard",
    "Oval_Face",
    "Pale_Skin",
    "Pointy_Nose",
    "Receding_Hairline",
    "Rosy_Cheeks",
    "Sideburns",
    "Smiling",
    "Straight_Hair",
    "Wavy_Hair",
    "Wearing_Earrings",
    "Wearing_Hat",
    "Wearing_Lipstick",
    "Wearing_Necklace",
    "Wearing_Necktie",
    "Young",
)

# By their numbers in list_eval_partition.txt.
SPLITS: tuple[str, ...] = ("train", "validation", "test")

_PARTITIONS = {str(number): number for number in range(len(SPLITS))}

# The codes of labels as bytes: 255 is -1, which means 0 where no 0 is.
_NO_LABEL = 2
_WORDS = {"true": 1, "yes": 1, "false": 0, "no": 0}
_NUMBERS = {1.0: 1, 0.0: 0, -1.0: 255}
LABELS = "1 or 0, 1 or -1, yes or no, true or false"


class Flaw(NamedTuple):
    """Why a column holds no labels: `text` names the file and line; `rare`: whether most of its values are labels."""

    text: str
    rare: bool


@dataclass(frozen=True)
class AttributeTable:
    """The attributes of image files.

    `names`: the n attributes; `files`: the M image file names; `labels`: int8 `[M, n]` in {0, 1}; `flaws`: the columns
    that hold no labels, by their names.
    """

    names: tuple[str, ...]
    files: tuple[str, ...]
    labels: np.ndarray
    flaws: Mapping[str, Flaw] = field(default_factory=dict)

    def column(self, name: str) -> np.ndarray:
        """The labels of one attribute, int8 `[M]`. Raises UserError on an unknown name."""
        return self.select([name]).labels[:, 0]

    def select(self, names: Sequence[str]) -> AttributeTable:
        """The same files with these attributes only, in this order.

        Raises UserError on an unknown name, and on that of a column that holds no labels.
        """
        if not isinstance(names, str):
            names = [unicodedata.normalize("NFC", name) for name in names]
            flawed = next((self.flaws[name] for name in names if name in self.flaws), None)
            if flawed:
                raise UserError(f"--attributes: {flawed.text}")
        columns = find_attributes(names, self.names)
        return AttributeTable(tuple(names), self.files, self.labels[:, columns])

    def take(self, rows: np.ndarray) -> AttributeTable:
        """The same attributes of the files at these positions, integers `[m]`, in this order."""
        files = tuple(self.files[row] for row in rows)
        return AttributeTable(self.names, files, self.labels[rows])


def label_words(labels: np.ndarray) -> np.ndarray:
    """Labels in {0, 1} as the words no and yes: str `[M]`."""
    return np.where(labels == 1, "yes", "no")


def read_attributes(path: str | Path) -> AttributeTable:
    """Reads a label file in the format of CelebA's list_attr_celeba.txt.

    Line 1 is the number of images, line 2 the attribute names, every other line a file name and one label per
    attribute. Raises UserError, with file and line, on anything else, unless another column holds labels.
    """
    lines = read_lines(path)
    if len(lines) < 2:
        raise UserError(f"{path}: has {len(lines)} lines; expected the image count, the attribute names, then rows")
    names = unicodedata.normalize("NFC", lines[1]).split()
    if not names:
        raise UserError(f"{path}, line 2: expected the attribute names, each once; found {lines[1][:80]!r}")
    rows = lines[2:]
    files, codes = _parse_rows(path, rows, first_line=3, columns=len(names), values=_Codes())
    _check_count(path, lines[0], len(files))

    def column(number: int) -> LabelColumn:
        return LabelColumn(names[number], codes[:, number], lambda row: rows[row].rsplit(None, len(names))[1 + number])

    return collect_labels(path, files, range(3, len(lines) + 1), map(column, range(len(names))), header=2)


class LabelColumn(NamedTuple):
    """A column that may hold labels: `name`; `codes`, uint8 `[M]`; `word`: maps a row to its text."""

    name: str
    codes: np.ndarray
    word: Callable[[int], str]


class _Codes(dict[str, int]):
    """The codes of the words met so far: a table has millions of labels in few different words."""

    def __missing__(self, word: str) -> int:
        code = _WORDS.get(word.lower(), _NO_LABEL)
        with contextlib.suppress(ValueError):
            code = _NUMBERS.get(float(word), code)
        self[word] = code
        return code


def label_codes(words: Iterable[str]) -> np.ndarray:
    """The codes of words, uint8 `[M]`."""
    return np.frombuffer(bytes(map(_Codes().__getitem__, words)), np.uint8)


def collect_labels(
    path: str | Path, files: Sequence[str], lines: Sequence[int], columns: Iterable[LabelColumn], header: int = 1
) -> AttributeTable:
    """The table of all columns that hold labels; the others become its `flaws`.

    Args:
        path: the file, for errors.
        files: the M file names.
        lines: the M lines, for errors.
        columns: the columns.
        header: the line of their names.

    Raises:
        UserError: no column holds labels.
    """
    found: dict[str, np.ndarray] = {}
    flaws: dict[str, Flaw] = {}
    for column in columns:
        flaw = _flaw(path, lines, column)
        if column.name in found or column.name in flaws:
            found.pop(column.name, None)
            flaw = Flaw(f"{path}, line {header}: expected names of columns, each once; {column.name!r} is twice", True)
        if flaw:
            flaws[column.name] = flaw
        else:
            found[column.name] = (column.codes == 1).astype(np.int8)
    if not found:
        rare = next((flaw.text for flaw in flaws.values() if flaw.rare), "")
        raise UserError(rare or f"{path}: has no column of labels ({LABELS}): expected attributes")
    return AttributeTable(tuple(found), tuple(files), np.stack(list(found.values()), axis=1), flaws)


def _flaw(path: str | Path, lines: Sequence[int], column: LabelColumn) -> Flaw | None:
    odd = np.flatnonzero(column.codes == _NO_LABEL)
    if len(odd):
        row = int(odd[0])
        text = f"{path}, line {lines[row]}: {column.name} is {column.word(row)[:80]!r}; expected {LABELS}"
        return Flaw(text, rare=len(odd) * 2 <= len(column.codes))
    zeros = np.flatnonzero(column.codes == 0)
    if len(zeros) and (column.codes == 255).any():
        line = lines[int(zeros[0])]
        return Flaw(f"{path}, line {line}: {column.name} has 0 where other lines have -1: use one of them", True)
    return None


def read_partition(path: str | Path) -> dict[str, int]:
    """Reads CelebA's list_eval_partition.txt: maps each file name to the position of its split in `SPLITS`.

    Raises UserError, with file and line, if a line is not a file name and 0, 1 or 2.
    """
    files, values = _parse_rows(path, read_lines(path), first_line=1, columns=1, values=_PARTITIONS)
    return dict(zip(files, values[:, 0].tolist(), strict=True))


def read_lines(path: str | Path) -> list[str]:
    """The lines of a text file with any line ends. Raises UserError as `read_text` does."""
    text = read_text(path).replace("\r\n", "\n").replace("\r", "\n").rstrip()
    return text.split("\n") if text else []


def read_text(path: str | Path) -> str:
    """A file's text in UTF-8, or in UTF-16 with a byte order mark. Raises UserError if it cannot be read."""
    try:
        content = as_path(path).read_bytes()
        utf16 = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        return content.decode("utf-16" if utf16 else "utf-8-sig")
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UserError(f"{path}, line {line}: is not a text file in UTF-8: save it in this encoding") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from None


def _check_count(path: str | Path, line: str, rows: int) -> None:
    if not line.strip().isdecimal():
        raise UserError(f"{path}, line 1: expected the number of images; found {line[:80]!r}")
    if int(line) != rows:
        raise UserError(f"{path}, line 1: says {int(line)} images, but {rows} rows follow: is the file complete?")


def _parse_rows(
    path: str | Path, lines: Sequence[str], first_line: int, columns: int, values: Mapping[str, int]
) -> tuple[tuple[str, ...], np.ndarray]:
    """The file names, and the values of every line as uint8 `[M, columns]`."""
    files, rows = [], []
    stray = frozenset(values) or {"-1", "0", "1"}
    for number, line in enumerate(lines, first_line):
        # From the right: a file name may contain spaces.
        file, *words = line.strip().rsplit(None, columns) or [""]
        if len(words) < columns or file.split()[-1] in stray:
            found = len(line.split()) - 1
            raise UserError(f"{path}, line {number}: expected a file name and {columns} values; found {found} values")
        try:
            rows.append(bytes(map(values.__getitem__, words)))
        except KeyError as error:
            allowed = ", ".join(values)
            raise UserError(f"{path}, line {number}: found {error.args[0]!r} where one of {allowed} belongs") from None
        files.append(file)
    check_unique(path, files, itertools.count(first_line))
    return tuple(files), np.frombuffer(b"".join(rows), np.uint8).reshape(-1, columns)


def check_unique(path: str | Path, files: Sequence[str], lines: Iterable[int]) -> None:
    """Raises UserError on a repeated file name; `lines`: the line of each."""
    first_seen: dict[str, int] = {}
    for file, number in zip(files, lines, strict=False):
        if first_seen.setdefault(file, number) != number:
            raise UserError(f"{path}, line {number}: {file!r} was already on line {first_seen[file]}")

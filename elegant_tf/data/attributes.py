"""CelebA's attribute names, and the readers of its label and partition files."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from elegant_tf.errors import UserError
from elegant_tf.names import find_attributes

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

_LABELS = {"-1": 255, "0": 0, "1": 1}  # as bytes of an int8: 255 is -1
_PARTITIONS = {str(number): number for number in range(len(SPLITS))}


@dataclass(frozen=True)
class AttributeTable:
    """The attributes of image files.

    `names`: the n attributes; `files`: the M image file names; `labels`: int8 `[M, n]` in {0, 1}.
    """

    names: tuple[str, ...]
    files: tuple[str, ...]
    labels: np.ndarray

    def column(self, name: str) -> np.ndarray:
        """The labels of one attribute, int8 `[M]`. Raises UserError on an unknown name."""
        return self.labels[:, find_attributes([name], self.names)[0]]

    def select(self, names: Sequence[str]) -> AttributeTable:
        """The same files with these attributes only, in this order. Raises UserError on an unknown name."""
        columns = find_attributes(names, self.names)
        return AttributeTable(tuple(names), self.files, self.labels[:, columns])

    def take(self, rows: np.ndarray) -> AttributeTable:
        """The same attributes of the files at these positions, integers `[m]`, in this order."""
        files = tuple(self.files[row] for row in rows)
        return AttributeTable(self.names, files, self.labels[rows])


def read_attributes(path: str | Path) -> AttributeTable:
    """Reads a label file in the format of CelebA's list_attr_celeba.txt.

    Line 1 is the number of images, line 2 the attribute names, every other line a file name and one value per
    attribute: -1 or 1, or 0 or 1 throughout. Raises UserError, with file and line, on anything else.
    """
    lines = read_lines(path)
    if len(lines) < 2:
        raise UserError(f"{path}: has {len(lines)} lines; expected the image count, the attribute names, then rows")
    names = tuple(lines[1].split())
    if len(set(names)) < len(names) or not names:
        raise UserError(f"{path}, line 2: expected the attribute names, each once; found {lines[1][:80]!r}")
    files, values = _parse_rows(path, lines[2:], first_line=3, columns=len(names), values=_LABELS)
    _check_count(path, lines[0], len(files))
    labels = values.view(np.int8)
    if (labels == -1).any() and (labels == 0).any():
        line = 3 + int((labels == 0).any(axis=1).argmax())
        raise UserError(f"{path}, line {line}: has 0 where other lines have -1: use -1 and 1, or 0 and 1, not both")
    return AttributeTable(names, files, (labels == 1).astype(np.int8))


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
    """A file's UTF-8 text without a byte order mark. Raises UserError if it cannot be read."""
    try:
        return Path(path).read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except UnicodeDecodeError:
        raise UserError(f"{path}: is not a text file (UTF-8)") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from None


def _check_count(path: str | Path, line: str, rows: int) -> None:
    if not line.strip().isdecimal():
        raise UserError(f"{path}, line 1: expected the number of images; found {line[:80]!r}")
    if int(line) != rows:
        raise UserError(f"{path}, line 1: says {int(line)} images, but {rows} rows follow: is the file complete?")


def _parse_rows(
    path: str | Path, lines: Sequence[str], first_line: int, columns: int, values: dict[str, int]
) -> tuple[tuple[str, ...], np.ndarray]:
    """The file names, and the values of every line as uint8 `[M, columns]`."""
    files, rows = [], []
    for number, line in enumerate(lines, first_line):
        # From the right: a file name may contain spaces.
        file, *words = line.strip().rsplit(None, columns) or [""]
        if len(words) < columns or file.split()[-1] in values:
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

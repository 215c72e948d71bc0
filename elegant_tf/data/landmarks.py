"""The five landmarks of a face: their names, and the reader of CelebA's landmark files."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from elegant_tf.data.attributes import check_unique, read_lines
from elegant_tf.errors import UserError

# Left and right as the viewer sees them.
POINTS: tuple[str, ...] = ("lefteye", "righteye", "nose", "leftmouth", "rightmouth")
COLUMNS: tuple[str, ...] = tuple(f"{point}_{axis}" for point in POINTS for axis in "xy")


def read_landmarks(path: str | Path, files: Sequence[str]) -> np.ndarray:
    """Reads a file in the format of CelebA's list_landmarks_align_celeba.txt: float32 `[M, 5, 2]`, x and y in pixels.

    Row m belongs to `files[m]`. Line 1 is the number of images, line 2 the names of the columns, every other line a
    file name and ten numbers. Raises UserError, with file and line, on anything else, or if a file has no line.
    """
    lines = read_lines(path)[2:]
    names, rows = [], []
    for number, line in enumerate(lines, 3):
        name, *words = line.strip().rsplit(None, len(COLUMNS)) or [""]
        try:
            rows.append(list(map(float, words)))
        except ValueError:
            words = []
        if len(words) < len(COLUMNS):
            raise UserError(f"{path}, line {number}: expected a file name and ten numbers; found {line[:80]!r}")
        names.append(name)
    check_unique(path, names, itertools.count(3))
    positions = {name: position for position, name in enumerate(names)}
    absent = [file for file in files if file not in positions]
    if absent:
        raise UserError(f"{path}: has no line for {len(absent)} of the {len(files)} images ({absent[0]}, …)")
    points = np.array(rows, np.float32).reshape(-1, len(POINTS), 2)
    return points[[positions[file] for file in files]]

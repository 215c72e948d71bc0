"""Files of landmarks of photos that people have: three formats, told apart by their names."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from elegant_tf.data.attributes import read_text
from elegant_tf.data.landmarks import COLUMNS, POINTS, read_landmarks, select_points
from elegant_tf.data.listing import first_names
from elegant_tf.data.tables import TABLE_SUFFIXES, landmark_columns, read_files, read_points, read_table
from elegant_tf.errors import UserError


def read_landmark_file(path: Path, files: Sequence[str]) -> np.ndarray:
    """The landmarks of P photos, `[P, 5, 2]`, x and y in pixels.

    Args:
        path: `align.json` of `elegant-tf align`, a table with the columns `lefteye_x` …, or a text file like CelebA's.
        files: the photos, known by their names without folders.

    Raises:
        UserError: the file cannot be read or is malformed, or lacks a photo, or two photos have the same name; the
            text names it as --landmarks.
    """
    names = [os.path.basename(file) for file in files]
    if len(set(names)) < len(names):
        name = next(name for name in names if names.count(name) > 1)
        raise UserError(f"--landmarks={path}: knows photos by their names, and {name} is given twice: rename one")
    try:
        if path.suffix.lower() == ".json":
            points = _read_align(path, names)
        elif path.suffix.lower() in TABLE_SUFFIXES:
            table = read_table(path)
            columns = landmark_columns(table)
            if not columns:
                raise UserError(f"{path}, line 1: expected the columns {', '.join(COLUMNS)}")
            _, known = read_files(table)
            points = select_points(path, [os.path.basename(name) for name in known], read_points(table, columns), names)
        else:
            points = read_landmarks(path, names)
    except UserError as error:
        raise UserError(f"--landmarks={path}: {str(error).removeprefix(f'{path}: ')}") from None
    absent = [name for name, found in zip(names, points, strict=True) if not np.isfinite(found).all()]
    if absent:
        raise UserError(f"--landmarks={path}: has no landmarks of {len(absent)} photos ({first_names(absent)})")
    return points


def _read_align(path: Path, names: Sequence[str]) -> np.ndarray:
    """The landmarks in the index that `elegant-tf align` writes; of several faces in a photo, the first."""
    points: dict[str, np.ndarray] = {}
    try:
        entries: list[dict[str, Any]] = json.loads(read_text(path))
        for entry in entries:
            marks = entry["landmarks"]
            found = np.array([marks[name] for name in POINTS], np.float64).reshape(len(POINTS), 2)
            points.setdefault(os.path.basename(entry["photo"]), found)
    except (ValueError, TypeError, KeyError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"is not an align.json that `elegant-tf align` wrote ({error!r})") from None
    return select_points(path, list(points), np.array(list(points.values())).reshape(-1, len(POINTS), 2), names)

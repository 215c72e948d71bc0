"""Which photos are dressed: those with a face from the front that do not wear the accessories already."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from elegant_tf.data import align
from elegant_tf.data.attributes import AttributeTable, read_attributes, read_text
from elegant_tf.data.landmark_files import read_landmark_file
from elegant_tf.data.listing import first_names, match_names
from elegant_tf.data.parallel import Progress
from elegant_tf.data.tables import TABLE_SUFFIXES, landmark_columns, read_files, read_labels, read_table
from elegant_tf.errors import UserError
from elegant_tf.images import read_image
from elegant_tf.synthetic.photo_base import TOO_TURNED, make_base, turn_of


@dataclass(frozen=True)
class PhotoList:
    """Photos to dress: P `paths`, their `landmarks`, float64 `[P, 5, 2]`, and a line for each photo `left_out`."""

    paths: tuple[str, ...]
    landmarks: np.ndarray
    left_out: tuple[str, ...]


def list_photos(
    paths: Sequence[str | Path],
    attributes: Sequence[str],
    landmarks: str | Path | None = None,
    leave_out: str | Path | None = None,
    detect: align.Detector | None = None,
) -> PhotoList:
    """Finds the face in each photo, and leaves out photos that cannot be dressed.

    Args:
        paths: image files.
        attributes: what the photos are to be dressed in.
        landmarks: a file of landmarks, in pixels of the photos: `align.json` of `elegant-tf align`, a table with the
            columns `lefteye_x` …, or a text file like CelebA's. None: faces are found with `detect`.
        leave_out: a text file of names, one a line; or a table of labels, of which those photos are left out that have
            one of `attributes`.
        detect: None: the detector of `make_detector`.

    Raises:
        UserError: a file cannot be read or is malformed, a photo has no landmarks in it, names of photos are not
            unique, or no photo is left.
    """
    files = list(dict.fromkeys(os.fspath(path) for path in paths))
    if landmarks or leave_out:
        _check_names(files)
    worn = _worn(Path(leave_out), files, attributes) if leave_out else set()
    left_out = [f"{file}: is in {leave_out}" for file in files if file in worn]
    files = [file for file in files if file not in worn]
    if landmarks:
        points = dict(zip(files, read_landmark_file(Path(landmarks), files), strict=True))
    else:
        points, failures = _find(files, detect)
        left_out += failures
    turned = [file for file in points if abs(turn_of(points[file])) > TOO_TURNED]
    left_out += [f"{file}: the head turns too far to the side" for file in turned]
    kept = [file for file in points if file not in turned]
    if not kept:
        raise UserError("\n".join(["no photo can be dressed:", *left_out]))
    return PhotoList(tuple(kept), np.stack([points[file] for file in kept]).astype(np.float64), tuple(left_out))


def _find(files: Sequence[str], detect: align.Detector | None) -> tuple[dict[str, np.ndarray], list[str]]:
    """The landmarks of the largest face in each photo, and a line for each photo without a face."""
    points, failures = {}, []
    detect = detect or align.make_detector()
    progress = Progress("photos", len(files))
    for file in files:
        try:
            found = align.find_largest(read_image(file), detect)
            make_base(np.zeros((1, 1, 3), np.uint8), found, size=16)  # raises an error if this is no face
        except UserError as error:
            text = str(error)
            failures.append(text if text.startswith(file) else f"{file}: {text}")
        else:
            points[file] = found
        progress.add()
    progress.close()
    return points, failures


def _worn(path: Path, files: Sequence[str], attributes: Sequence[str]) -> set[str]:
    """The photos to leave out."""
    by_name = {os.path.basename(file): file for file in files}
    try:
        names = _names_to_leave_out(path, attributes)
    except UserError as error:
        raise UserError(f"--leave_out={path}: {str(error).removeprefix(f'{path}: ')}") from None
    pairs = match_names(names, by_name)
    if names and not pairs:
        raise UserError(f"--leave_out={path}: none of its {len(names)} photos is in --input ({first_names(names)})")
    return {by_name[name] for name in pairs.values()}


def _names_to_leave_out(path: Path, attributes: Sequence[str]) -> list[str]:
    if path.suffix.lower() in TABLE_SUFFIXES:
        table = read_table(path)
        column, files = read_files(table)
        return _labelled(path, read_labels(table, files, others=[column, *landmark_columns(table)]), attributes)
    lines = [line.strip() for line in read_text(path).splitlines()]
    if lines and lines[0].isdigit():  # like CelebA's list_attr_celeba.txt
        return _labelled(path, read_attributes(path), attributes)
    return _bare([line for line in lines if line and not line.startswith("#")])


def _labelled(path: Path, table: AttributeTable, attributes: Sequence[str]) -> list[str]:
    """The files that have one of the attributes."""
    known = [name for name in attributes if name in table.names or name in table.flaws]
    if not known:
        raise UserError(f"has no column {' or '.join(attributes)}, only {', '.join(table.names)}")
    has = table.select(known).labels.max(axis=1)
    return _bare([file for file, is_worn in zip(table.files, has, strict=True) if is_worn])


def _bare(files: Sequence[str]) -> list[str]:
    return [os.path.basename(file) for file in files]


def _check_names(files: Sequence[str]) -> None:
    """Files of landmarks and of photos to leave out know photos by their names."""
    seen: dict[str, str] = {}
    for file in files:
        other = seen.setdefault(os.path.basename(file), file)
        if other != file:
            raise UserError(f"{other} and {file} have the same name: rename one of them")

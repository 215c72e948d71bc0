"""Held-out edits whose right answer is known: drawn, or read from a folder of written faces."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from elegant_tf.config import Config
from elegant_tf.data import faces
from elegant_tf.errors import UserError
from elegant_tf.evaluation.edits import DIRECTIONS, EVALUATION_SEED, Edits
from elegant_tf.images import read_image, resize

INDEX_FILE = "counterfactuals/index.json"
ROLES = ("input", "exemplar", "truth")


@dataclass(frozen=True)
class Triples(Edits):
    """Held-out edits with `truths`, uint8 `[M, S, S, 3]`: the pictures that perfect edits would give."""

    truths: np.ndarray


def has_triples(config: Config) -> bool:
    """Whether a run's own data has held-out edits with their right answers."""
    return config.data == "faces" or (Path(config.data_dir) / INDEX_FILE).is_file()


def load_triples(
    config: Config,
    data_dir: str | Path | None,
    count: int,
    directions: Sequence[str] = DIRECTIONS,
    seed: int = EVALUATION_SEED,
) -> Triples:
    """The held-out edits for a run, at its image size: `count` per attribute and direction.

    Those of the embedded faces, if the run learned from them and no `data_dir` is given; else those, at most
    `count`, in `data_dir` or the run's own data directory, where there are none that restyle. The people are those
    of `seed`, not of the run's, so that runs are tried on the same.

    Raises:
        UserError: there are none, they cannot be read, or `count` is not positive.
    """
    if count < 1:
        raise UserError(f"--count={count}: must be 1 or more")
    if not data_dir and config.data == "faces":
        return draw_triples(seed, config.attributes, config.image_size, count, directions)
    return read_triples(data_dir or config.data_dir, config.attributes, config.image_size, count)


def draw_triples(
    seed: int, attributes: Sequence[str], image_size: int, count: int, directions: Sequence[str] = DIRECTIONS
) -> Triples:
    """Edits of faces that are in no seed's training data: `count` per attribute and direction."""
    edits = make_edits(seed, attributes, count, directions)
    people = [getattr(edit, role) for role in ROLES for edit in edits]
    inputs, exemplars, truths = np.split(faces.draw_faces(people, image_size, workers=None), len(ROLES))
    names = tuple(attributes)
    columns = [names.index(edit.attributes[0]) for edit in edits]
    numbers = [DIRECTIONS.index(direction_of(edit)) for edit in edits]
    return Triples(names, inputs, exemplars, np.array(columns, int), np.array(numbers, int), truths)


def make_edits(
    seed: int, attributes: Sequence[str], count: int, directions: Sequence[str] = DIRECTIONS
) -> list[faces.Counterfactual]:
    """The people of `draw_triples`."""
    edits = []
    if {"add", "remove"} & set(directions):
        both = faces.make_counterfactuals(seed, 2 * count * len(attributes), attributes)
        edits += [edit for edit in both if direction_of(edit) in directions]
    if "restyle" in directions:
        edits += faces.make_restyles(seed, count * len(attributes), attributes)
    return edits


def direction_of(edit: faces.Counterfactual) -> str:
    """Of an edit of one attribute, a name in `DIRECTIONS`."""
    had, given = (getattr(face.styles, edit.attributes[0]) is not None for face in (edit.input, edit.exemplar))
    return ("restyle" if had else "add") if given else "remove"


def read_triples(data_dir: str | Path, attributes: Sequence[str], image_size: int, count: int) -> Triples:
    """Edits that `elegant-tf faces` wrote, of one of `attributes` each: at most `count` of a kind.

    Raises:
        UserError: no index or a malformed one, an image that cannot be read, or no edit of these attributes.
    """
    index = Path(data_dir) / INDEX_FILE
    entries = _read_index(index)
    seen: Counter[tuple[str, str]] = Counter()
    chosen = []
    for names, direction, files in entries:
        if len(names) != 1 or names[0] not in attributes:
            continue
        seen[names[0], direction] += 1
        if seen[names[0], direction] <= count:
            chosen.append((names[0], direction, files))
    if not chosen:
        there = sorted({name for names, _, _ in entries for name in names})
        raise UserError(
            f"{index}: has no edits of {', '.join(attributes)}, which this run knows, "
            f"only of {', '.join(there) or 'nothing'}"
        )
    inputs, exemplars, truths = (
        _read_column(index.parent, [files[role] for _, _, files in chosen], image_size) for role in ROLES
    )
    columns = [list(attributes).index(name) for name, _, _ in chosen]
    numbers = [DIRECTIONS.index(direction) for _, direction, _ in chosen]
    return Triples(tuple(attributes), inputs, exemplars, np.array(columns, int), np.array(numbers, int), truths)


def _read_index(path: Path) -> list[tuple[list[str], str, Mapping[str, str]]]:
    """Attributes, direction and file names by role, for each entry."""
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))["counterfactuals"]
        return [_read_entry(entry) for entry in entries]
    except OSError as error:
        raise UserError(
            f"--data_dir={path.parents[1]}: cannot read {INDEX_FILE} in it ({error.strerror}): "
            "give a folder that `elegant-tf faces --out DIR` wrote; photos have no counterfactuals"
        ) from None
    except (ValueError, TypeError, KeyError) as error:
        raise UserError(f"{path}: is no index of edits ({error!r}): write the folder again") from None


def _read_entry(entry: Mapping) -> tuple[list[str], str, Mapping[str, str]]:
    names, direction = [str(name) for name in entry["attributes"]], entry["direction"]
    if direction not in DIRECTIONS:
        raise ValueError(f"direction {direction}")
    return names, direction, {role: str(entry[role]) for role in ROLES}


def _read_column(folder: Path, files: Sequence[str], image_size: int) -> np.ndarray:
    return np.stack([resize(read_image(folder / file), image_size) for file in files])

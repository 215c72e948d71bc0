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
from elegant_tf.images import read_image, resize

INDEX_FILE = "counterfactuals/index.json"
ROLES = ("input", "exemplar", "truth")
DIRECTIONS = ("add", "remove")


@dataclass(frozen=True)
class Triples:
    """Held-out inputs and exemplars with the pictures that a perfect edit would give.

    `inputs`, `exemplars`, `truths`: uint8 `[M, S, S, 3]`; `attribute`: int `[M]`, an index into `attributes`;
    `adding`: bool `[M]`, whether the exemplar has the attribute (and the input has not) or the reverse.
    """

    attributes: tuple[str, ...]
    inputs: np.ndarray
    exemplars: np.ndarray
    truths: np.ndarray
    attribute: np.ndarray
    adding: np.ndarray

    def __len__(self) -> int:
        return len(self.inputs)


def has_triples(config: Config) -> bool:
    """Whether a run's own data has held-out edits with their right answers."""
    return config.data == "faces" or (Path(config.data_dir) / INDEX_FILE).is_file()


def load_triples(config: Config, data_dir: str | Path | None, count: int) -> Triples:
    """The held-out edits for a run, at its image size: `count` per attribute and direction.

    Those of the embedded faces, if the run learned from them and no `data_dir` is given; else those, at most
    `count`, in `data_dir` or the run's own data directory.

    Raises:
        UserError: there are none, they cannot be read, or `count` is not positive.
    """
    if count < 1:
        raise UserError(f"--count={count}: must be 1 or more")
    if not data_dir and config.data == "faces":
        return draw_triples(config.seed, config.attributes, config.image_size, count)
    return read_triples(data_dir or config.data_dir, config.attributes, config.image_size, count)


def draw_triples(seed: int, attributes: Sequence[str], image_size: int, count: int) -> Triples:
    """Edits of faces that are not in the seed's training data: `count` per attribute and direction."""
    edits = faces.make_counterfactuals(seed, count * len(attributes) * len(DIRECTIONS), attributes)
    people = [getattr(edit, role) for role in ROLES for edit in edits]
    pictures = faces.draw_faces(people, image_size, workers=None)
    columns = [list(attributes).index(edit.attributes[0]) for edit in edits]
    adding = [getattr(edit.exemplar.styles, edit.attributes[0]) is not None for edit in edits]
    return _triples(attributes, np.split(pictures, len(ROLES)), columns, adding)


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
    pictures = [_read_column(index.parent, [files[role] for _, _, files in chosen], image_size) for role in ROLES]
    columns = [list(attributes).index(name) for name, _, _ in chosen]
    return _triples(attributes, pictures, columns, [direction == "add" for _, direction, _ in chosen])


def _triples(
    attributes: Sequence[str], pictures: Sequence[np.ndarray], columns: Sequence[int], adding: Sequence[bool]
) -> Triples:
    return Triples(tuple(attributes), *pictures, np.array(columns, int), np.array(adding, bool))


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

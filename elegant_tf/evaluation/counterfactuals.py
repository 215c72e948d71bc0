"""Held-out edits with counterfactual targets: drawn, or read from a folder that `elegant-tf faces` or `dress` wrote."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from elegant_tf.config import Config
from elegant_tf.errors import UserError
from elegant_tf.evaluation.edits import DIRECTIONS, EVALUATION_SEED, Edits, check_count, known_people
from elegant_tf.images import read_image, resize
from elegant_tf.names import check_columns
from elegant_tf.remote import as_path
from elegant_tf.synthetic import Counterfactual, draw_faces, make_counterfactuals, make_restyles
from elegant_tf.synthetic.celeba import FACE_COLUMNS, face_column

INDEX_FILE = "counterfactuals/index.json"
ROLES = ("input", "exemplar", "target")

# What older folders call a role.
_OLD_ROLES = {"target": "truth"}

# Labels of people in the index; other values are text.
_LABEL_WORDS = {1: "yes", 0: "no"}


@dataclass(frozen=True)
class Counterfactuals(Edits):
    """Held-out edits with `targets`, uint8 `[M, S, S, 3]`: the result of a perfect edit."""

    targets: np.ndarray


def has_counterfactuals(config: Config) -> bool:
    """Whether a run's own data has held-out edits with counterfactual targets."""
    return config.data.kind == "faces" or has_index(config.data.data_dir)


def has_index(data_dir: str | Path) -> bool:
    """Whether a folder has counterfactual targets, as those have that `elegant-tf faces` and `dress` write."""
    return (as_path(data_dir) / INDEX_FILE).is_file()


def load_counterfactuals(
    config: Config,
    data_dir: str | Path | None,
    count: int,
    directions: Sequence[str] = DIRECTIONS,
    seed: int = EVALUATION_SEED,
    by: Sequence[str] | None = None,
) -> Counterfactuals:
    """The evaluation set for a run, at its image size: `count` edits per attribute and direction.

    It is drawn if the run was trained on drawn faces and no `data_dir` is given. Otherwise it is read from `data_dir`
    or the run's own data directory, at most `count` edits of a kind. `elegant-tf faces` writes none that restyle,
    `elegant-tf dress` does.

    Args:
        config: the run's.
        data_dir: a folder that `elegant-tf faces` or `dress` wrote, or None.
        count: edits per attribute and direction.
        directions: which to draw.
        seed: of the drawn evaluation set. It does not depend on the run's seed, so that runs compare.
        by: the columns of `Edits.people`; None: none.

    Raises:
        UserError: the folder has no counterfactual targets, they cannot be read, `count` is not positive, or a column
            is not known.
    """
    check_count(count)
    model = config.model
    if not data_dir and config.data.kind == "faces":
        return draw_counterfactuals(seed, model.attributes, model.image_size, count, directions, by)
    return read_counterfactuals(data_dir or config.data.data_dir, model.attributes, model.image_size, count, by)


def draw_counterfactuals(
    seed: int,
    attributes: Sequence[str],
    image_size: int,
    count: int,
    directions: Sequence[str] = DIRECTIONS,
    by: Sequence[str] | None = None,
) -> Counterfactuals:
    """Edits of drawn faces that no run trains on, whatever its seed: `count` per attribute and direction.

    `by`: the columns of `Edits.people`, of `FACE_COLUMNS`; None: none. Raises UserError on another name.
    """
    if by is not None:
        check_columns(by, FACE_COLUMNS)
    pairs = make_pairs(seed, attributes, count, directions)
    people = known_people(by, lambda name: face_column([pair.input for pair in pairs], name))
    faces = [getattr(pair, role) for role in ROLES for pair in pairs]
    inputs, exemplars, targets = np.split(draw_faces(faces, image_size, workers=None), len(ROLES))
    return Counterfactuals(tuple(attributes), inputs, exemplars, *kinds_of(pairs, attributes), targets, people=people)


def make_pairs(
    seed: int, attributes: Sequence[str], count: int, directions: Sequence[str] = DIRECTIONS
) -> list[Counterfactual]:
    """The faces of `draw_counterfactuals`, not drawn yet."""
    pairs = []
    if {"add", "remove"} & set(directions):
        both = make_counterfactuals(seed, 2 * count * len(attributes), attributes)
        pairs += [pair for pair in both if direction_of(pair) in directions]
    if "restyle" in directions:
        pairs += make_restyles(seed, count * len(attributes), attributes)
    return pairs


def direction_of(pair: Counterfactual) -> str:
    """The direction, one of `DIRECTIONS`, of an edit of one attribute."""
    had, given = (getattr(face.styles, pair.attributes[0]) is not None for face in (pair.input, pair.exemplar))
    return ("restyle" if had else "add") if given else "remove"


def kinds_of(pairs: Sequence[Counterfactual], attributes: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """The columns `attribute` and `direction` of `Edits`, int `[M]` each."""
    return _columns([pair.attributes[0] for pair in pairs], [direction_of(pair) for pair in pairs], attributes)


def read_counterfactuals(
    data_dir: str | Path, attributes: Sequence[str], image_size: int, count: int, by: Sequence[str] | None = None
) -> Counterfactuals:
    """Edits of one of `attributes` each from a folder of `elegant-tf faces` or `dress`: at most `count` of a kind.

    `by`: the columns of `Edits.people`, of those for which every edit has a label; None: none.

    Raises:
        UserError: the index is missing or malformed, an image cannot be read, no edit is of these attributes, or a
            column is not known.
    """
    index = as_path(data_dir) / INDEX_FILE
    entries = _read_index(index)
    seen: Counter[tuple[str, str]] = Counter()
    chosen = []
    for names, direction, files, known in entries:
        if len(names) != 1 or names[0] not in attributes:
            continue
        seen[names[0], direction] += 1
        if seen[names[0], direction] <= count:
            chosen.append((names[0], direction, files, known))
    if not chosen:
        there = sorted({name for names, *_ in entries for name in names})
        raise UserError(
            f"{index}: has no edits of {', '.join(attributes)}, which this run knows, "
            f"only of {', '.join(there) or 'nothing'}"
        )
    chosen_names, directions, rows, labels = zip(*chosen, strict=True)
    people = _read_people(index, labels, by)
    inputs, exemplars, targets = (
        np.stack([resize(read_image(index.parent / row[role]), image_size) for row in rows]) for role in ROLES
    )
    return Counterfactuals(
        tuple(attributes), inputs, exemplars, *_columns(chosen_names, directions, attributes), targets, people=people
    )


def _read_people(index: Path, labels: Sequence[Mapping[str, str]], by: Sequence[str] | None) -> dict[str, np.ndarray]:
    if by is not None:
        columns = [name for name in labels[0] if all(name in known for known in labels)]
        if not columns:
            raise UserError(
                f"--by={','.join(by)}: {index} says nothing about the people: each of its edits needs "
                '"labels" of its input, such as {"Male": 1}; `elegant-tf faces` writes them'
            )
        check_columns(by, columns)
    return known_people(by, lambda name: np.array([known[name] for known in labels]))


def _columns(
    names: Sequence[str], directions: Sequence[str], attributes: Sequence[str]
) -> tuple[np.ndarray, np.ndarray]:
    places, numbers = map(list(attributes).index, names), map(DIRECTIONS.index, directions)
    return np.array(list(places), int), np.array(list(numbers), int)


def _read_index(path: Path) -> list[tuple[list[str], str, Mapping[str, str], Mapping[str, str]]]:
    """Attributes, direction, file names by role, and what is known of the person, for each entry."""
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))["counterfactuals"]
        return [_read_entry(entry) for entry in entries]
    except OSError as error:
        raise UserError(
            f"--data_dir={path.parents[1]}: cannot read {INDEX_FILE} in it ({error.strerror}): "
            "give a folder that `elegant-tf faces --out DIR` or `elegant-tf dress` wrote"
        ) from None
    except (ValueError, TypeError, KeyError) as error:
        raise UserError(f"{path}: is not an index of edits ({error!r}): write the folder again") from None


def _read_entry(entry: Mapping[str, Any]) -> tuple[list[str], str, Mapping[str, str], Mapping[str, str]]:
    names, direction = [str(name) for name in entry["attributes"]], entry["direction"]
    if direction not in DIRECTIONS:
        raise ValueError(f"direction {direction}")
    keys = {role: role if role in entry else _OLD_ROLES.get(role, role) for role in ROLES}
    known = {name: _LABEL_WORDS.get(value, str(value)) for name, value in dict(entry.get("labels", {})).items()}
    return names, direction, {role: str(entry[key]) for role, key in keys.items()}, known

"""Held-out edits to evaluate: an input, an exemplar, an attribute and a direction each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from elegant_tf.data.source import Source
from elegant_tf.errors import UserError
from elegant_tf.names import check_columns

DIRECTIONS = ("add", "remove", "restyle")
# Whether the input and the exemplar have the attribute.
_LABELS = {"add": (0, 1), "remove": (1, 0), "restyle": (1, 1)}

# The seed of the evaluation set: the same for every run, whatever its own seed, so that runs compare.
EVALUATION_SEED = 0

# Different values of a column to split people by, at most: a table of more is no overview.
MOST_GROUPS = 20


class Evaluated(Protocol):
    """What is evaluated: an `Editor`, or an exported model, see `export.written`.

    `attributes`: the n attributes by name; `image_size`: S; `step`: the training step of the weights.
    """

    attributes: tuple[str, ...]
    image_size: int
    step: int

    def edit(self, images: np.ndarray, exemplars: np.ndarray, coefficients: np.ndarray) -> np.ndarray:
        """Edits of images uint8 `[N, S, S, 3]`, by exemplars `[N, 1, S, S, 3]` and coefficients `[N, 1, n]`."""
        ...


@dataclass(frozen=True)
class Edits:
    """M inputs and exemplars.

    `inputs`, `exemplars`: uint8 `[M, S, S, 3]`; `attribute`: int `[M]`, an index into `attributes`; `direction`: int
    `[M]`, an index into `DIRECTIONS`: the exemplar alone has the attribute (add), the input alone (remove), or both
    (restyle). `people`: what is known of the people in the inputs, by column, str `[M]` each.
    """

    attributes: tuple[str, ...]
    inputs: np.ndarray
    exemplars: np.ndarray
    attribute: np.ndarray
    direction: np.ndarray
    people: Mapping[str, np.ndarray] = field(default_factory=dict, kw_only=True)

    def __len__(self) -> int:
        return len(self.inputs)

    @property
    def coefficients(self) -> np.ndarray:
        """The coefficients of the single exemplar for `Editor.edit`: float64 `[M, 1, n]`."""
        return np.eye(len(self.attributes))[self.attribute][:, None]

    @property
    def kind(self) -> np.ndarray:
        """A number for each attribute and direction: int `[M]`, 0 or more."""
        return len(DIRECTIONS) * np.asarray(self.attribute) + self.direction

    def kinds(self) -> list[tuple[str, str, np.ndarray]]:
        """Attribute, direction and rows of every kind of edit that occurs, in the order of the attributes."""
        kinds = []
        for index, name in enumerate(self.attributes):
            for number, direction in enumerate(DIRECTIONS):
                rows = np.flatnonzero((self.attribute == index) & (self.direction == number))
                if len(rows):
                    kinds.append((name, direction, rows))
        return kinds

    def at_most(self, count: int) -> Edits:
        """At most `count` edits, spread evenly over all kinds, without what is known of the people."""
        rows = slice(None, None, -(-len(self) // count))
        columns = (self.inputs, self.exemplars, self.attribute, self.direction)
        return Edits(self.attributes, *(column[rows] for column in columns))


def edit_all(editor: Evaluated, edits: Edits) -> np.ndarray:
    """Every input with its attribute from its exemplar, uint8 `[M, S, S, 3]`."""
    return editor.edit(edits.inputs, edits.exemplars[:, None], edits.coefficients)


def sample_edits(source: Source, count: int, seed: int = EVALUATION_SEED, by: Sequence[str] | None = None) -> Edits:
    """Edits of a source's images, without counterfactual targets: at most `count` per attribute and direction.

    Inputs and exemplars are drawn at random; no image occurs twice on the same side of a kind. Kinds for which the
    source has fewer than two images are left out. `by`: the columns of `Edits.people`; None: none.

    Raises:
        UserError: no kind is left, an image cannot be read, `count` is not positive, or the source lacks a column.
    """
    check_count(count)
    if by is not None:
        check_columns(by, source.columns)
    random = np.random.default_rng([seed, 1])
    rows: list[tuple[int, int, int, int]] = []
    for attribute, labels in enumerate(source.labels.T):
        for number, direction in enumerate(DIRECTIONS):
            pools = [random.permutation(np.flatnonzero(labels == label)) for label in _LABELS[direction]]
            if direction == "restyle":  # Both sides share a pool; no image is its own exemplar.
                pools = [pools[0][0::2], pools[0][1::2]]
            pairs = zip(*(pool[:count].tolist() for pool in pools), strict=False)
            rows += [(source_row, exemplar, attribute, number) for source_row, exemplar in pairs]
    if not rows:
        raise UserError("no two held-out images for an edit: more images are needed")
    first, second, attributes, directions = np.array(rows).T
    images = {index: source.load(index) for index in np.unique([first, second]).tolist()}
    inputs, exemplars = (np.stack([images[index] for index in column.tolist()]) for column in (first, second))
    people = known_people(by, lambda name: source.column(name)[first])
    return Edits(tuple(source.attributes), inputs, exemplars, attributes, directions, people=people)


def known_people(by: Sequence[str] | None, column: Callable[[str], np.ndarray]) -> dict[str, np.ndarray]:
    """`Edits.people` of these columns. Raises UserError if one has more than `MOST_GROUPS` different values."""
    people = {name: column(name) for name in by or ()}
    for name, values in people.items():
        if (different := len(np.unique(values))) > MOST_GROUPS:
            raise UserError(
                f"--by={name}: has {different} different values; must have {MOST_GROUPS} at most: "
                "write a column with fewer, such as ranges, into the table"
            )
    return people


def check_count(count: int) -> None:
    """Raises UserError unless `--count` is positive."""
    if count < 1:
        raise UserError(f"--count={count}: must be 1 or more")

"""Held-out edits to evaluate: an input, an exemplar, an attribute and a direction each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from elegant_tf.data.source import Source
from elegant_tf.errors import UserError

DIRECTIONS = ("add", "remove", "restyle")
# Whether the input and the exemplar have the attribute.
_LABELS = {"add": (0, 1), "remove": (1, 0), "restyle": (1, 1)}

# The seed of the evaluation set: the same for every run, whatever its own seed, so that runs compare.
EVALUATION_SEED = 0


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
    (restyle).
    """

    attributes: tuple[str, ...]
    inputs: np.ndarray
    exemplars: np.ndarray
    attribute: np.ndarray
    direction: np.ndarray

    def __len__(self) -> int:
        return len(self.inputs)

    @property
    def coefficients(self) -> np.ndarray:
        """The coefficients of the single exemplar for `Editor.edit`: float64 `[M, 1, n]`."""
        return np.eye(len(self.attributes))[self.attribute][:, None]

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
        """At most `count` edits, spread evenly over all kinds."""
        rows = slice(None, None, -(-len(self) // count))
        columns = (self.inputs, self.exemplars, self.attribute, self.direction)
        return Edits(self.attributes, *(column[rows] for column in columns))


def edit_all(editor: Evaluated, edits: Edits) -> np.ndarray:
    """Every input with its attribute from its exemplar, uint8 `[M, S, S, 3]`."""
    return editor.edit(edits.inputs, edits.exemplars[:, None], edits.coefficients)


def sample_edits(source: Source, count: int, seed: int = EVALUATION_SEED) -> Edits:
    """Edits of a source's images, without counterfactual targets: at most `count` per attribute and direction.

    Inputs and exemplars are drawn at random; no image occurs twice on the same side of a kind. Kinds for which the
    source has fewer than two images are left out.

    Raises:
        UserError: no kind is left, an image cannot be read, or `count` is not positive.
    """
    check_count(count)
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
    return Edits(tuple(source.attributes), inputs, exemplars, attributes, directions)


def check_count(count: int) -> None:
    """Raises UserError unless `--count` is positive."""
    if count < 1:
        raise UserError(f"--count={count}: must be 1 or more")

"""Held-out edits to be tried: whom to edit, with which exemplar, in which attribute and direction."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from elegant_tf.data.sources import Source
from elegant_tf.editor import Editor
from elegant_tf.errors import UserError

DIRECTIONS = ("add", "remove", "restyle")
# Whether the input and the exemplar have the attribute.
_LABELS = {"add": (0, 1), "remove": (1, 0), "restyle": (1, 1)}

# Which people are drawn, or edits chosen: the same for every run, whatever its own seed, so that runs compare.
EVALUATION_SEED = 0


@dataclass(frozen=True)
class Edits:
    """M inputs and exemplars.

    `inputs`, `exemplars`: uint8 `[M, S, S, 3]`; `attribute`: int `[M]`, an index into `attributes`; `direction`: int
    `[M]`, an index into `DIRECTIONS`: the exemplar alone has the attribute, or the input alone, or both.
    """

    attributes: tuple[str, ...]
    inputs: np.ndarray
    exemplars: np.ndarray
    attribute: np.ndarray
    direction: np.ndarray

    def __len__(self) -> int:
        return len(self.inputs)

    @property
    def weights(self) -> np.ndarray:
        """One exemplar's weights for `Editor.edit`: float64 `[M, 1, n]`."""
        return np.eye(len(self.attributes))[self.attribute][:, None]

    def kinds(self) -> list[tuple[str, str, np.ndarray]]:
        """Attribute, direction and rows of every kind of edit that there is, in the order of the attributes."""
        kinds = []
        for index, name in enumerate(self.attributes):
            for number, direction in enumerate(DIRECTIONS):
                rows = np.flatnonzero((self.attribute == index) & (self.direction == number))
                if len(rows):
                    kinds.append((name, direction, rows))
        return kinds


def edit_all(editor: Editor, edits: Edits) -> np.ndarray:
    """Every input with its attribute from its exemplar, uint8 `[M, S, S, 3]`."""
    return editor.edit(edits.inputs, edits.exemplars[:, None], edits.weights)


def sample_edits(source: Source, count: int, seed: int = EVALUATION_SEED) -> Edits:
    """Edits of a source's images, whose right answer nobody knows: at most `count` of a kind.

    Inputs and exemplars are drawn at random, no image twice on the same side of a kind. Kinds of edits for which
    there are not two images are left out.

    Raises:
        UserError: there are none at all, an image cannot be read, or `count` is not positive.
    """
    if count < 1:
        raise UserError(f"--count={count}: must be 1 or more")
    random = np.random.default_rng([seed, 1])
    rows: list[tuple[int, int, int, int]] = []
    for attribute, labels in enumerate(source.labels.T):
        for number, direction in enumerate(DIRECTIONS):
            pools = [random.permutation(np.flatnonzero(labels == label)) for label in _LABELS[direction]]
            if direction == "restyle":  # The two sides share a pool: nobody is their own exemplar.
                pools = [pools[0][0::2], pools[0][1::2]]
            pairs = zip(*(pool[:count].tolist() for pool in pools), strict=False)
            rows += [(source_row, exemplar, attribute, number) for source_row, exemplar in pairs]
    if not rows:
        raise UserError("no two held-out images for an edit: more images are needed")
    first, second, attributes, directions = np.array(rows).T
    images = {index: source.load(index) for index in np.unique([first, second]).tolist()}
    inputs, exemplars = (np.stack([images[index] for index in column.tolist()]) for column in (first, second))
    return Edits(tuple(source.attributes), inputs, exemplars, attributes, directions)

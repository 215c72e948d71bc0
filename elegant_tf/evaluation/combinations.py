"""Several attributes at once: against their joint truth, and one after another in either order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from elegant_tf.data import faces
from elegant_tf.editor import Editor
from elegant_tf.evaluation.scorecard import Score, score


@dataclass(frozen=True)
class Combination:
    """How `size` attributes at once, from one exemplar, match their joint truth.

    `score`: see there; `order`: mean `|one order - the reverse|`, 0 to 255, of exchanging them one after another, each
    in the picture that the last exchange gave; `joint`: how far one order is from all at once, alike.
    """

    size: int
    score: Score
    order: float
    joint: float


def evaluate_combinations(
    editor: Editor, seed: int, attributes: Sequence[str], image_size: int, count: int
) -> list[Combination]:
    """Two held-out attributes at once, and all that there are: `count` edits of each kind."""
    sizes = sorted({2, len(attributes)} & set(range(2, len(attributes) + 1)))
    return [_evaluate(editor, seed, tuple(attributes), image_size, count, size) for size in sizes]


def _evaluate(
    editor: Editor, seed: int, attributes: tuple[str, ...], image_size: int, count: int, size: int
) -> Combination:
    edits = faces.make_combinations(seed, count, size, attributes)
    people = [*(edit.input for edit in edits), *(edit.exemplar for edit in edits), *(edit.truth for edit in edits)]
    inputs, exemplars, truths = np.split(faces.draw_faces(people, image_size, workers=None), 3)
    places = np.array([[attributes.index(name) for name in edit.attributes] for edit in edits])
    edited = editor.edit(inputs, exemplars[:, None], _weights(places, len(attributes)))
    forth, back = (_one_by_one(editor, inputs, exemplars, order) for order in (places, places[:, ::-1]))
    name = f"{size} at once"
    return Combination(
        size, score(name, "all", inputs, truths, edited), _distance(forth, back), _distance(forth, edited)
    )


def _one_by_one(editor: Editor, images: np.ndarray, exemplars: np.ndarray, places: np.ndarray) -> np.ndarray:
    for column in places.T:
        images = editor.edit(images, exemplars[:, None], _weights(column[:, None], len(editor.attributes)))
    return images


def _weights(places: np.ndarray, count: int) -> np.ndarray:
    """One exemplar's weights for attributes `[M, size]`: float64 `[M, 1, n]`."""
    return np.eye(count)[places].sum(axis=1)[:, None]


def _distance(first: np.ndarray, second: np.ndarray) -> float:
    return float(np.abs(first.astype(np.int16) - second.astype(np.int16)).mean(dtype=np.float64))

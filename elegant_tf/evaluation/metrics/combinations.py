"""Several attributes at once: against their joint target, and one after another in either order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from elegant_tf.evaluation.edits import Evaluated
from elegant_tf.evaluation.metrics.context import Context
from elegant_tf.evaluation.metrics.metric import Metric
from elegant_tf.evaluation.metrics.scores import Score, score
from elegant_tf.evaluation.report.tables import Table
from elegant_tf.synthetic import draw_faces, make_combinations

# Edits per number of attributes.
COUNT = 100


@dataclass(frozen=True)
class Combination:
    """How well edits of `size` attributes at once, from one exemplar, match their joint target.

    `score`: see `Score`; `order`: mean `|one order - the reverse|`, 0 to 255, of exchanging the attributes one after
    another, each in the result of the last exchange; `joint`: mean `|one order - all at once|`, 0 to 255.
    """

    size: int
    score: Score
    order: float
    joint: float


@dataclass(frozen=True)
class Combinations(Metric):
    """`combinations`: a row for two attributes at once, and one for all of them."""

    combinations: Sequence[Combination]

    @classmethod
    def measure(cls, context: Context) -> Combinations | None:
        if not context.can_draw or len(context.editor.attributes) < 2:
            return None
        return cls(combine(context.editor, context.seed, min(COUNT, 2 * context.count)))

    def tables(self) -> list[Table]:
        return [
            Table(
                "Combinations of attributes",
                "realised, leak: against the joint target. Order gap: the mean absolute difference, of 255, between "
                "exchanging attributes one after another and in the reverse order; joint gap: between one after "
                "another and all at once.",
                ("attributes", "realised", "leak", "order gap", "joint gap", "n"),
                [
                    (
                        str(row.size),
                        f"{row.score.realised:.3f}",
                        f"{row.score.leak:.2f}",
                        f"{row.order:.2f}",
                        f"{row.joint:.2f}",
                        str(row.score.count),
                    )
                    for row in self.combinations
                ],
            )
        ]


def combine(editor: Evaluated, seed: int, count: int) -> list[Combination]:
    """Edits of two of the editor's attributes at once, and of all: `count` held-out drawn faces for each."""
    return [_combine(editor, seed, count, size) for size in sorted({2, len(editor.attributes)})]


def _combine(editor: Evaluated, seed: int, count: int, size: int) -> Combination:
    attributes = editor.attributes
    pairs = make_combinations(seed, count, size, attributes)
    faces = [*(pair.input for pair in pairs), *(pair.exemplar for pair in pairs), *(pair.target for pair in pairs)]
    inputs, exemplars, targets = np.split(draw_faces(faces, editor.image_size, workers=None), 3)
    places = np.array([[attributes.index(name) for name in pair.attributes] for pair in pairs])
    edited = editor.edit(inputs, exemplars[:, None], _coefficients(places, len(attributes)))
    forth, back = (_one_by_one(editor, inputs, exemplars, order) for order in (places, places[:, ::-1]))
    scored = score(f"{size} at once", "all", inputs, targets, edited)
    return Combination(size, scored, _distance(forth, back), _distance(forth, edited))


def _one_by_one(editor: Evaluated, images: np.ndarray, exemplars: np.ndarray, places: np.ndarray) -> np.ndarray:
    for column in places.T:
        images = editor.edit(images, exemplars[:, None], _coefficients(column[:, None], len(editor.attributes)))
    return images


def _coefficients(places: np.ndarray, count: int) -> np.ndarray:
    """Coefficients of one exemplar for attributes `[M, size]`: float64 `[M, 1, n]`."""
    return np.eye(count)[places].sum(axis=1)[:, None]


def _distance(first: np.ndarray, second: np.ndarray) -> float:
    return float(np.abs(first.astype(np.int16) - second.astype(np.int16)).mean(dtype=np.float64))

"""Style fidelity: is an edit closest to the target with its own exemplar's style, among those of ten exemplars?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from elegant_tf.evaluation.bootstrap import Interval, confidence_interval
from elegant_tf.evaluation.counterfactuals import direction_of, kinds_of, make_pairs
from elegant_tf.evaluation.edits import Edits, edit_all
from elegant_tf.evaluation.metrics.context import Context
from elegant_tf.evaluation.metrics.metric import Metric
from elegant_tf.evaluation.report.tables import Table, interval_cell
from elegant_tf.synthetic import Counterfactual, Face, draw_faces

CANDIDATES = 10
# The directions in which an exemplar gives its style.
GIVING = ("add", "restyle")
# Edits per attribute and direction.
COUNT = 32


@dataclass(frozen=True)
class Galleries(Edits):
    """Edits that give a style, each with a gallery of ten candidate targets.

    `candidates`: uint8 `[M, 10, S, S, 3]`, the input with the style of its own exemplar first, then of nine others.
    """

    candidates: np.ndarray


@dataclass(frozen=True)
class Fidelity:
    """The share of `count` edits of a kind that are closest to their own exemplar's target; chance is 0.1.

    `interval`: its 95 % confidence interval (bootstrap over edits).
    """

    attribute: str
    direction: str
    rank_one: float
    interval: Interval
    count: int


@dataclass(frozen=True)
class StyleFidelity(Metric):
    """`fidelity`: a row per attribute and direction that gives a style; `rank_one`: the mean of their shares."""

    fidelity: Sequence[Fidelity]
    rank_one: float

    @classmethod
    def measure(cls, context: Context) -> StyleFidelity | None:
        if not context.can_draw:
            return None
        editor = context.editor
        galleries = draw_galleries(context.seed, editor.attributes, editor.image_size, min(COUNT, context.count))
        rows = fidelities(galleries, edit_all(editor, galleries))
        return cls(rows, float(np.mean([row.rank_one for row in rows])))

    def tables(self) -> list[Table]:
        rows = [
            (row.attribute, row.direction, f"{row.rank_one:.3f}", interval_cell(row.interval, 2), str(row.count))
            for row in self.fidelity
        ]
        count = sum(row.count for row in self.fidelity)
        return [
            Table(
                f"Style fidelity (rank 1 of {CANDIDATES})",
                f"rank 1: the share of edits that are closest, among the targets of {CANDIDATES} exemplars, to that of "
                f"their own exemplar; chance is {1 / CANDIDATES}.",
                ("attribute", "direction", "rank 1", "95 %", "n"),
                [*rows, ("mean", "all", f"{self.rank_one:.3f}", "", str(count))],
                words=2,
            )
        ]


def draw_galleries(seed: int, attributes: Sequence[str], image_size: int, count: int) -> Galleries:
    """Galleries of held-out drawn faces: `count` per attribute and direction, at least ten."""
    kinds: dict[tuple[str, str], list[Counterfactual]] = {}
    for pair in make_pairs(seed, attributes, max(count, CANDIDATES), GIVING):
        kinds.setdefault((pair.attributes[0], direction_of(pair)), []).append(pair)
    pairs = [pair for kind in kinds.values() for pair in kind]
    faces = [face for kind in kinds.values() for place in range(len(kind)) for face in _gallery(kind, place)]
    faces += [pair.input for pair in pairs] + [pair.exemplar for pair in pairs]
    images = draw_faces(faces, image_size, workers=None)
    candidates, inputs, exemplars = np.split(images, [len(pairs) * CANDIDATES, len(pairs) * (CANDIDATES + 1)])
    candidates = candidates.reshape(len(pairs), CANDIDATES, *candidates.shape[1:])
    return Galleries(tuple(attributes), inputs, exemplars, *kinds_of(pairs, attributes), candidates)


def _gallery(pairs: Sequence[Counterfactual], place: int) -> list[Face]:
    """The input of a pair with the style of its own exemplar, and with those of the next pairs of the kind."""
    pair = pairs[place]
    others = (pairs[(place + step) % len(pairs)] for step in range(CANDIDATES))
    return [pair.input.wearing(other.exemplar, pair.attributes) for other in others]


def fidelities(galleries: Galleries, edited: np.ndarray) -> list[Fidelity]:
    """Ranks edited images, uint8 `[M, S, S, 3]`, by their mean absolute distance to the candidates."""
    right = nearest(edited, galleries.candidates) == 0
    return [
        Fidelity(
            name,
            direction,
            float(right[rows].mean()),
            _interval(right[rows]),
            len(rows),
        )
        for name, direction, rows in galleries.kinds()
    ]


def _interval(right: np.ndarray) -> Interval:
    return confidence_interval(len(right), lambda drawn: float(right[drawn].mean()))


def nearest(edited: np.ndarray, candidates: np.ndarray) -> np.ndarray:
    """The candidate closest to each image, int `[M]`; on a tie the last, so that a tie with the first is no hit."""
    count = candidates.shape[1]
    distances = [
        np.abs(image.astype(np.int16) - row.astype(np.int16)).mean(axis=(1, 2, 3), dtype=np.float64)
        for image, row in zip(edited, candidates, strict=True)
    ]
    return count - 1 - np.argmin(np.array(distances)[:, ::-1], axis=1)

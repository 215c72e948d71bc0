"""Whose attribute arrived: is an edit nearest to the truth with this exemplar's style, among those of others?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from elegant_tf.data import faces
from elegant_tf.evaluation.bootstrap import confidence_interval
from elegant_tf.evaluation.edits import DIRECTIONS, Edits
from elegant_tf.evaluation.triples import direction_of, make_edits

CANDIDATES = 10
GIVING = ("add", "restyle")


@dataclass(frozen=True)
class Lineups(Edits):
    """Edits that give a style, each with the truths of ten exemplars.

    `candidates`: uint8 `[M, 10, S, S, 3]`, the input with the style of its own exemplar first, then of nine others.
    """

    candidates: np.ndarray


@dataclass(frozen=True)
class Fidelity:
    """Of `count` edits of a kind, the share that is nearest to its own exemplar's truth; by chance it would be 0.1.

    `interval`: where 95 % of shares lie if other edits had been drawn (bootstrap).
    """

    attribute: str
    direction: str
    rank_one: float
    interval: tuple[float, float]
    count: int


def draw_lineups(seed: int, attributes: Sequence[str], image_size: int, count: int) -> Lineups:
    """Line-ups of held-out drawn faces: `count` per attribute and direction, ten at least."""
    names = tuple(attributes)
    edits = make_edits(seed, names, max(count, CANDIDATES), GIVING)
    kinds: dict[tuple[str, str], list[faces.Counterfactual]] = {}
    for edit in edits:
        kinds.setdefault((edit.attributes[0], direction_of(edit)), []).append(edit)
    ordered = [edit for kind in kinds.values() for edit in kind]
    lineups = [_lineup(kind, place) for kind in kinds.values() for place in range(len(kind))]
    people = [face for lineup in lineups for face in lineup]
    people += [edit.input for edit in ordered] + [edit.exemplar for edit in ordered]
    pictures = faces.draw_faces(people, image_size, workers=None)
    candidates, inputs, exemplars = np.split(pictures, [len(lineups) * CANDIDATES, len(lineups) * (CANDIDATES + 1)])
    return Lineups(
        names,
        inputs,
        exemplars,
        np.array([names.index(edit.attributes[0]) for edit in ordered]),
        np.array([DIRECTIONS.index(direction_of(edit)) for edit in ordered]),
        candidates.reshape(len(lineups), CANDIDATES, *candidates.shape[1:]),
    )


def _lineup(edits: Sequence[faces.Counterfactual], place: int) -> list[faces.Face]:
    """The input of an edit wearing its own exemplar's style, and those of the next edits of the kind."""
    edit = edits[place]
    others = (edits[(place + step) % len(edits)] for step in range(CANDIDATES))
    return [edit.input.wearing(other.exemplar, edit.attributes) for other in others]


def fidelities(lineups: Lineups, edited: np.ndarray) -> list[Fidelity]:
    """Ranks edited images, uint8 `[M, S, S, 3]`, by their mean absolute distance to the candidates."""
    right = nearest(edited, lineups.candidates) == 0
    return [
        Fidelity(
            name,
            direction,
            float(right[rows].mean()),
            confidence_interval(len(rows), lambda drawn, rows=rows: float(right[rows][drawn].mean())),
            len(rows),
        )
        for name, direction, rows in lineups.kinds()
    ]


def nearest(edited: np.ndarray, candidates: np.ndarray) -> np.ndarray:
    """The candidate that is nearest to each image, int `[M]`; of equally near ones the last: a tie is no win."""
    count = candidates.shape[1]
    distances = [
        np.abs(image.astype(np.int16) - row.astype(np.int16)).mean(axis=(1, 2, 3), dtype=np.float64)
        for image, row in zip(edited, candidates, strict=True)
    ]
    return count - 1 - np.argmin(np.array(distances)[:, ::-1], axis=1)

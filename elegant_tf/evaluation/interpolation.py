"""Strengths between 0 and 1: does an edit grow steadily?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from elegant_tf.editor import Editor
from elegant_tf.evaluation.edits import Edits

STEPS = 5


@dataclass(frozen=True)
class Interpolation:
    """How edits grow over equal steps of strength.

    An image's progress is how far it went from the input along the straight way to the full edit, 0 to 1.

    `monotone`: the share of edits whose progress never falls; `unevenness`: by how much steps of progress differ from
    equal ones, mean over steps and edits, as a share of an equal step: 0 is even; `count`: edits.
    """

    monotone: float
    unevenness: float
    count: int


def evaluate_interpolation(editor: Editor, edits: Edits, steps: int = STEPS) -> Interpolation:
    """Edits at strengths 1/steps … 1."""
    strips = [editor.edit(edits.inputs, edits.exemplars[:, None], edits.weights * k / steps) for k in range(steps + 1)]
    return interpolation(np.stack(strips, axis=1))


def interpolation(strips: np.ndarray) -> Interpolation:
    """Judges strips uint8 `[M, steps + 1, S, S, 3]` from strength 0 to 1; those that go nowhere are left out."""
    flat = strips.reshape(*strips.shape[:2], -1).astype(np.float64)
    ways = flat - flat[:, :1]
    full = ways[:, -1:]
    lengths = np.sum(full**2, axis=-1)
    moving = lengths[:, 0] > 0
    progress = np.sum(ways[moving] * full[moving], axis=-1) / lengths[moving]
    steps = np.diff(progress, axis=1)
    if not len(steps):
        return Interpolation(float("nan"), float("nan"), 0)
    return Interpolation(
        monotone=float((steps >= 0).all(axis=1).mean()),
        unevenness=float(np.abs(steps * steps.shape[1] - 1).mean()),
        count=len(steps),
    )

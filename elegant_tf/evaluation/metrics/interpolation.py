"""Interpolation: do edits grow steadily and evenly with strengths between 0 and 1?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from elegant_tf.evaluation.edits import Edits, Evaluated
from elegant_tf.evaluation.metrics.context import Context
from elegant_tf.evaluation.metrics.metric import Metric
from elegant_tf.evaluation.report.tables import Table

STEPS = 5
# Edits, at most.
COUNT = 60


@dataclass(frozen=True)
class Progress:
    """How edits progress over equal steps of strength.

    The progress of an image is its projection on the line from the input (0) to the full edit (1).

    `monotone`: the share of edits whose progress never falls; `unevenness`: the mean absolute difference between a
    step of progress and an equal step, over steps and edits, as a share of an equal step: 0 is even; `count`: edits.
    """

    monotone: float
    unevenness: float
    count: int


@dataclass(frozen=True)
class Interpolation(Metric):
    """`interpolation`: how the edits progress with strength."""

    interpolation: Progress

    @classmethod
    def measure(cls, context: Context) -> Interpolation:
        return cls(interpolate(context.editor, context.edits.at_most(COUNT)))

    def tables(self) -> list[Table]:
        found = self.interpolation
        return [
            Table(
                "Interpolation",
                f"Edits at {STEPS} equal steps of strength. monotone: the share of edits that grow with every step, 1 "
                "is perfect; unevenness: how much steps differ from equal ones, as a share of one, 0 is perfect.",
                ("monotone", "unevenness", "n"),
                [(f"{found.monotone:.3f}", f"{found.unevenness:.3f}", str(found.count))],
                words=0,
            )
        ]


def interpolate(editor: Evaluated, edits: Edits, steps: int = STEPS) -> Progress:
    """Edits at strengths 0, 1/steps … 1."""
    strips = [
        editor.edit(edits.inputs, edits.exemplars[:, None], edits.coefficients * k / steps) for k in range(steps + 1)
    ]
    return progress(np.stack(strips, axis=1))


def progress(strips: np.ndarray) -> Progress:
    """The progress over strips uint8 `[M, steps + 1, S, S, 3]`; edits that change nothing are left out."""
    flat = strips.reshape(*strips.shape[:2], -1).astype(np.float64)
    ways = flat - flat[:, :1]
    full = ways[:, -1:]
    lengths = np.sum(full**2, axis=-1)
    moving = lengths[:, 0] > 0
    shares = np.sum(ways[moving] * full[moving], axis=-1) / lengths[moving]
    steps = np.diff(shares, axis=1)
    if not len(steps):
        return Progress(float("nan"), float("nan"), 0)
    return Progress(
        monotone=float((steps >= 0).all(axis=1).mean()),
        unevenness=float(np.abs(steps * steps.shape[1] - 1).mean()),
        count=len(steps),
    )

"""Differences between two models on the same edits, and how sure they are: a paired bootstrap over people."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from elegant_tf.evaluation.bootstrap import Interval
from elegant_tf.evaluation.shares import Shares, interval_over_people


@dataclass(frozen=True)
class Difference:
    """A number of two models, measured on the same edits.

    `interval`: the 95 % confidence interval of the change; NaN if all edits are of one person.
    """

    old: float
    new: float
    interval: Interval

    @property
    def change(self) -> float:
        """From the old model to the new one."""
        return self.new - self.old


def difference(old: Shares, new: Shares, kind: np.ndarray, person: np.ndarray) -> Difference:
    """The difference of a number of the same M edits by two models.

    Args:
        old, new: the number.
        kind: int `[M]`, 0 or more.
        person: int `[M]`, whose image was edited, see `interval_over_people`.
    """
    once = np.ones(len(kind), int)
    interval = interval_over_people(person, lambda weight: new.mean(kind, weight) - old.mean(kind, weight))
    return Difference(old.mean(kind, once), new.mean(kind, once), interval)

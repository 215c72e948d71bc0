"""Differences between two models on the same edits, and how sure they are: a paired bootstrap over people."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from elegant_tf.evaluation.bootstrap import Interval, confidence_interval


class Shares(NamedTuple):
    """A number of M edits as a share of sums, `Σ part / Σ whole` over the edits of a kind: float64 `[M]` each.

    An edit of which the number is not known has 0 in both.
    """

    part: np.ndarray
    whole: np.ndarray

    @classmethod
    def of(cls, values: np.ndarray) -> Shares:
        """A number that is the mean over edits."""
        values = np.asarray(values, np.float64)
        return cls(values, np.ones_like(values))

    def take(self, rows: np.ndarray | slice) -> Shares:
        """The number of some of the edits."""
        return Shares(self.part[rows], self.whole[rows])

    def mean(self, kind: np.ndarray, weight: np.ndarray) -> float:
        """The unweighted mean over kinds, int `[M]`; each edit counts `weight` times, int `[M]`. NaN without any."""
        part, whole = (np.bincount(kind, weight * values) for values in self)
        known = whole > 0
        return float(np.mean(part[known] / whole[known])) if known.any() else float("nan")


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
        person: int `[M]`, whose image was edited. Resamples draw people, with all of their edits, since these depend on
            each other.
    """
    people, person = np.unique(person, return_inverse=True)

    def change(chosen: np.ndarray) -> float:
        weight = np.bincount(chosen, minlength=len(people))[person]
        return new.mean(kind, weight) - old.mean(kind, weight)

    once = np.ones(len(kind), int)
    return Difference(old.mean(kind, once), new.mean(kind, once), confidence_interval(len(people), change))


def people_in(images: np.ndarray) -> np.ndarray:
    """A number for each of M images, the same for equal ones: int `[M]`."""
    numbers: dict[bytes, int] = {}
    return np.array([numbers.setdefault(image.tobytes(), len(numbers)) for image in images])

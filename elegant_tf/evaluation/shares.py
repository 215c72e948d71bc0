"""Numbers of edits as shares of sums: their means over kinds of edits, and intervals over people."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from elegant_tf.evaluation.bootstrap import Interval, confidence_interval
from elegant_tf.scoring import Sums


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
class Mean:
    """The mean of a number over kinds of edits, and its 95 % confidence interval; NaN if they are not known."""

    value: float
    interval: Interval

    @classmethod
    def of(cls, shares: Shares, kind: np.ndarray, person: np.ndarray) -> Mean:
        """Of M edits of kinds int `[M]`, 0 or more, of people int `[M]`."""
        value = shares.mean(kind, np.ones(len(kind), int))
        return cls(value, interval_over_people(person, lambda weight: shares.mean(kind, weight)))


def interval_over_people(person: np.ndarray, statistic: Callable[[np.ndarray], float]) -> Interval:
    """The 95 % confidence interval of a statistic of edits; NaN if all are of one person.

    Args:
        person: int `[M]`, whose image was edited. Resamples draw people, with all of their edits, since these depend on
            each other.
        statistic: from how often each edit counts, int `[M]`, to its value.
    """
    people, person = np.unique(person, return_inverse=True)
    return confidence_interval(
        len(people), lambda chosen: statistic(np.bincount(chosen, minlength=len(people))[person])
    )


def people_in(images: np.ndarray) -> np.ndarray:
    """A number for each of M images, the same for equal ones: int `[M]`."""
    numbers: dict[bytes, int] = {}
    return np.array([numbers.setdefault(image.tobytes(), len(numbers)) for image in images])


def pixel_shares(inputs: np.ndarray, edited: np.ndarray, targets: np.ndarray | None) -> dict[str, Shares]:
    """`realised` and `leak` against targets; without, `moved`, the mean `|edited - input|`: uint8 `[M, S, S, 3]`."""
    if targets is None:
        moved = np.abs(edited.astype(np.int16) - inputs).mean(axis=(1, 2, 3), dtype=np.float64)
        return {"moved": Shares.of(moved)}
    sums = Sums.of(inputs, targets, edited)
    return {"realised": Shares(sums.wanted - sums.missing, sums.wanted), "leak": Shares(sums.strayed, sums.kept)}

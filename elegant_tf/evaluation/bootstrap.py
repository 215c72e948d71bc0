"""Confidence intervals by the percentile bootstrap (Efron and Tibshirani, 1993).

Own code: `kernel_interval` needs the resamples themselves, to leave out pairs of an image with its own copy, which no
library's bootstrap offers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

import numpy as np

from elegant_tf.errors import UserError

DRAWS = 1000
LEVEL = 0.95

Interval: TypeAlias = tuple[float, float]
"""The lower and the upper end; NaN if unknown."""


def confidence_interval(
    count: int,
    statistic: Callable[[np.ndarray], float],
    draws: int = DRAWS,
    level: float = LEVEL,
    seed: int = 0,
) -> Interval:
    """The confidence interval of a statistic of observations; NaN if there is only one.

    Args:
        count: the number of observations.
        statistic: from a resample, indices int64 `[count]` drawn with replacement, to its value. A statistic of pairs
            must leave out pairs of an observation with itself; `distances.kernel_interval` does.
        draws: the number of resamples.
        level: the confidence level, above 0 and below 1.
        seed: 0 or more; equal seeds give equal resamples.

    Raises:
        UserError: `count` is 0, `draws` is below 1, or `level` is out of range.
    """
    if count == 1:
        return float("nan"), float("nan")
    draw = resamples(count, draws, np.random.default_rng(seed))
    return central([statistic(chosen) for chosen in draw], level)


def resamples(count: int, draws: int, random: np.random.Generator) -> Iterator[np.ndarray]:
    """`draws` times `count` of `count` observations with replacement: int64 `[count]` each.

    Raises UserError if `count` is below 2 or `draws` below 1.
    """
    if count < 2:
        raise UserError(f"{count} observations: an interval needs at least 2")
    if draws < 1:
        raise UserError(f"{draws} draws: an interval needs at least 1")
    return (random.integers(0, count, count) for _ in range(draws))


def central(values: Sequence[float] | np.ndarray, level: float) -> Interval:
    """The ends of the central part of values that holds a share `level` of them.

    Raises UserError unless `level` is above 0 and below 1.
    """
    if not 0.0 < level < 1.0:
        raise UserError(f"level {level}: must be above 0 and below 1")
    low, high = np.quantile(values, [(1.0 - level) / 2.0, (1.0 + level) / 2.0])
    return float(low), float(high)
